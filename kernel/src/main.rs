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
mod interrupts;
mod loader;
mod logs;
mod panic;
mod shell;
mod store;
mod syscall;
mod table;
mod user;

use abi::syscall::Call;
use abi::{SLOTS_MAX, SlotId};
use arch::context::Frame;
use arch::cpu;
use arch::exceptions::{Cause, Kind, Syndrome};
use core::cell::UnsafeCell;
use core::sync::atomic::AtomicBool;
use kernel_core::Core;
use shell::Shell;

/// All state of the kernel.
pub struct Kernel {
    /// Decides.
    core: Core<SLOTS_MAX>,
    /// Carries out.
    shell: Shell,
    /// When the timer has been told to fire.
    programmed: u64,
    /// The component whose address space is in the MMU.
    mapped: Option<SlotId>,
}

/// Whether a component has run: until then nobody drives the console, and a defect of the image would be one again after
/// a reset.
static RUNNING: AtomicBool = AtomicBool::new(false);

/// The one kernel state. It needs no lock: one core, and no exception enters the kernel while it runs.
struct State(UnsafeCell<Kernel>);

// SAFETY: 1. only `kernel_main`, once, and `exception` take the state; 2. the other cores sleep; 3. the kernel runs with
// interrupts masked and never returns into itself, so that one of them at most has it.
unsafe impl Sync for State {}

static KERNEL: State = State(UnsafeCell::new(Kernel {
    core: Core::new(0),
    // SAFETY: 1. `Shell::new` is called here and nowhere else.
    shell: unsafe { Shell::new() },
    programmed: u64::MAX,
    mapped: None,
}));

/// Deals with an exception from a component; returns the registers of the component that runs next.
fn exception(kind: Kind, syndrome: &Syndrome) -> *mut Frame {
    // SAFETY: 1. this is the only reference, see `State`: exceptions.s comes here from components only, each time on an empty
    //    stack.
    let kernel = unsafe { &mut *KERNEL.0.get() };
    let now = cpu::now();
    match kind {
        Kind::Synchronous => {
            if let Some(next) = kernel.direct(syndrome, now) {
                return kernel.switch_to(next);
            }
            kernel.synchronous(syndrome, now);
        }
        Kind::Interrupt => kernel.interrupts(now),
        Kind::Other => kernel.fault(syndrome, now),
    }
    kernel.resume()
}

impl Kernel {
    fn synchronous(&mut self, syndrome: &Syndrome, now: u64) {
        match syndrome.cause() {
            Cause::SystemCall(number) => self.system_call(number, now),
            Cause::Abort | Cause::Refused => self.fault(syndrome, now),
        }
    }

    /// The direct switch of `call` and `reply_recv`, where its conditions hold: who has the CPU. Else nothing has changed.
    #[inline(always)]
    fn direct(&mut self, syndrome: &Syndrome, now: u64) -> Option<SlotId> {
        let Cause::SystemCall(number) = syndrome.cause() else { return None };
        let slot = self.core.current().filter(|_| self.shell.armed == 0)?;
        let next = match Call::from_immediate(number) {
            Some(Call::Call) => self.call_directly(slot, now),
            Some(Call::ReplyRecv) => self.reply_directly(slot, now),
            _ => None,
        }?;
        self.shell.counters.syscalls += 1;
        Some(next)
    }

    /// The registers of `slot`, which has the CPU from now on.
    #[inline(always)]
    fn switch_to(&mut self, slot: SlotId) -> *mut Frame {
        if self.mapped != Some(slot) {
            self.mapped = Some(slot);
            self.shell.counters.switches += 1;
            cpu::set_address_space(self.shell.space(slot).root(), asid(slot));
        }
        self.shell.frames.pointer(slot)
    }

    /// Gives the CPU to whoever is to have it, waiting for somebody to want it.
    fn resume(&mut self) -> *mut Frame {
        loop {
            let now = cpu::now();
            self.fire_injections(now);
            let next = self.core.pick(now);
            if self.core.timer() != self.programmed {
                self.programmed = self.core.timer();
                cpu::set_timer(self.programmed);
            }
            if let Some(slot) = next {
                return self.switch_to(slot);
            }
            cpu::wait_for_interrupt();
            self.interrupts(cpu::now());
        }
    }
}

/// Address-space identifier of a slot; 0 belongs to the empty table.
const fn asid(slot: SlotId) -> u16 {
    slot as u16 + 1
}
