//! The kernel: a plug-in core. Clock, creation and destruction of processes, scheduling, communication; nothing more.
//!
//! Rule: `kernel-core` decides, [`shell`] moves registers and memory, `arch` touches the processor, `bsp` the board. The
//! kernel runs on one stack, to completion, with interrupts masked; long work looks for interrupts between its steps.
//!
//! Invariants:
//! - Nothing that a component does makes the kernel panic.
//! - Nothing is allocated after boot: every table has its size from the build.
//! - No user pointer is used as a pointer: [`user`] walks the tables and goes through the linear map.
//!
//! Why: everything outside of the kernel can be restarted, the kernel cannot.

#![no_std]
#![no_main]
// What runs once, at boot, is better small than fast: the kernel has 64 KiB of code and constants.
#![feature(optimize_attribute)]

mod arch;
mod boot;
mod death;
mod emulate;
mod evidence;
mod interrupts;
mod loader;
mod logs;
mod panic;
mod shell;
mod store;
mod syscall;
mod table;
mod user;

use abi::message::{CallId, GRANT_MAX, GRANT_WRITABLE, LABELS};
use abi::rights::CALLS_MAX;
use abi::{SLOTS_MAX, SlotId};
use arch::context::Frame;
use arch::cpu;
use core::cell::UnsafeCell;
use core::sync::atomic::AtomicBool;
use kernel_core::Core;
use shell::Shell;

/// All state of the kernel.
#[repr(C)]
pub struct Kernel {
    /// Decides.
    core: Core<SLOTS_MAX>,
    /// When the timer has been told to fire.
    programmed: u64,
    /// Carries out.
    shell: Shell,
}

/// Whether a component has run: until then nobody drives the console, and a defect of the image would be one again after
/// a reset.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// The one kernel state. It needs no lock: one core, and no exception enters the kernel while it runs.
struct State(UnsafeCell<Kernel>);

// SAFETY: 1. only `kernel_main`, once, and exceptions.s take the state; 2. the other cores sleep; 3. the kernel runs with
// interrupts masked and never returns into itself, so that one of them at most has it.
unsafe impl Sync for State {}

/// exceptions.s hands it to the functions below.
#[unsafe(export_name = "kernel_state")]
static KERNEL: State = State(UnsafeCell::new(Kernel {
    core: Core::new(0),
    programmed: u64::MAX,
    // SAFETY: 1. `Shell::new` is called here and nowhere else.
    shell: unsafe { Shell::new() },
}));

impl Kernel {
    /// Deals with an interrupt; returns the registers of the component that runs next.
    fn interrupt(&mut self) -> *mut Frame {
        self.interrupts(cpu::now());
        self.resume()
    }

    /// Deals with any other exception of a component that is no system call.
    fn exception(&mut self) -> *mut Frame {
        self.fault(cpu::now());
        self.resume()
    }

    /// The direct switch of `call`: the server's registers and the call, or `None`, and nothing has changed. `lengths` has
    /// the bits of the lengths of both grants: one that is too long is not hidden by the other.
    #[inline(always)]
    fn call_directly(
        &mut self,
        handle: u64,
        deadline: u64,
        label: u64,
        lengths: u64,
    ) -> Option<(*mut Frame, CallId)> {
        let beyond = [handle / CALLS_MAX as u64, label / LABELS, (lengths & !GRANT_WRITABLE) / GRANT_MAX];
        let rights = self.shell.rights(self.core.current_index() as SlotId);
        let right = &rights.calls[handle as usize % CALLS_MAX];
        if beyond[0] | beyond[1] | beyond[2] != 0 || right.labels >> label & 1 == 0 || !self.shell.is_plain()
        {
            return None;
        }
        let server = right.server as SlotId;
        let call = self.core.call_directly(server, label as u8, deadline, cpu::now())?;
        self.shell.direct_calls += 1;
        Some((self.shell.frames.pointer(server), call))
    }

    /// The direct switch of `reply_recv`: the caller's registers, or `None`, and nothing has changed.
    #[inline(always)]
    fn reply_directly(&mut self, deadline: u64, call: CallId) -> Option<*mut Frame> {
        if !self.shell.is_plain() {
            return None;
        }
        let caller = self.core.reply_directly(call, deadline, cpu::now())?;
        self.shell.direct_replies += 1;
        Some(self.shell.frames.pointer(caller))
    }

    /// Gives the CPU to whoever is to have it, waiting for somebody to want it.
    fn resume(&mut self) -> *mut Frame {
        loop {
            if self.shell.pressing != 0 || self.must_tell() {
                self.settle();
            }
            let before = self.core.current();
            let next = self.core.pick(cpu::now());
            if self.core.timer() != self.programmed {
                self.programmed = self.core.timer();
                cpu::set_timer(self.programmed);
            }
            if let Some(slot) = next {
                self.shell.counters.switches += u64::from(next != before);
                return self.shell.frames.pointer(slot);
            }
            self.idle();
        }
    }

    /// Waits for an interrupt; what waits for the evidence line goes out before.
    #[cold]
    #[inline(never)]
    fn idle(&mut self) {
        if self.shell.evidence.frames.is_empty() {
            cpu::wait_for_interrupt();
        } else {
            self.shell.send_piece();
            if !cpu::interrupt_pending() {
                return;
            }
        }
        self.interrupts(cpu::now());
    }

    /// Whether a death is to be told before anybody runs: unless whoever is to run next has the dead in its care.
    #[inline(always)]
    fn must_tell(&self) -> bool {
        let untold = self.shell.untold;
        untold != 0 && untold & !self.core.next().map_or(0, |slot| self.shell.rights(slot).controls) != 0
    }

    /// What comes before anybody runs: faults whose triggers have fired, and frames. Between the steps interrupts have their
    /// turn.
    #[cold]
    #[inline(never)]
    fn settle(&mut self) {
        loop {
            if self.shell.holds() {
                self.shell.send_piece();
            } else if self.must_tell() || self.shell.untold != 0 && self.shell.due() != 0 {
                self.shell.tell();
            } else if self.shell.due() != 0 {
                self.fire_injection(cpu::now());
            } else {
                return;
            }
            if cpu::interrupt_pending() {
                self.interrupts(cpu::now());
            }
        }
    }

    /// Makes the frames of all deaths, as long as no interrupt waits; whether all are made. Before what must come after them
    /// on the evidence line.
    #[inline(never)]
    fn tell_all(&mut self) -> bool {
        while self.shell.untold != 0 {
            self.shell.tell();
            if cpu::interrupt_pending() {
                break;
            }
        }
        self.shell.untold == 0
    }
}

/// Address-space identifier of a slot; 0 belongs to the empty table.
const fn asid(slot: SlotId) -> u16 {
    slot as u16 + 1
}
