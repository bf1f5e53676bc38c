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

use abi::{SLOTS_MAX, SlotId};
use arch::context::Frame;
use arch::cpu;
use arch::exceptions::{Cause, Kind, Syndrome};
use core::sync::atomic::AtomicBool;
use kernel_core::Core;
use shell::Shell;
use spin::Mutex;

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

static KERNEL: Mutex<Kernel> = Mutex::new(Kernel {
    core: Core::new(0),
    // SAFETY: 1. `Shell::new` is called here and nowhere else.
    shell: unsafe { Shell::new() },
    programmed: u64::MAX,
    mapped: None,
});

/// Deals with an exception from a component; returns the registers of the component that runs next.
fn exception(kind: Kind, syndrome: &Syndrome) -> *mut Frame {
    let mut kernel = KERNEL.lock();
    let now = cpu::now();
    match kind {
        Kind::Synchronous => kernel.synchronous(syndrome, now),
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

    /// Gives the CPU to whoever is to have it, waiting for somebody to want it.
    fn resume(&mut self) -> *mut Frame {
        loop {
            self.fire_injections(cpu::now());
            let next = self.core.pick(cpu::now());
            if self.core.timer() != self.programmed {
                self.programmed = self.core.timer();
                cpu::set_timer(self.programmed);
            }
            if let Some(slot) = next {
                if self.mapped != next {
                    self.mapped = next;
                    self.shell.counters.switches += 1;
                    cpu::set_address_space(self.shell.space(slot).root(), asid(slot));
                }
                return self.shell.frames.pointer(slot);
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
