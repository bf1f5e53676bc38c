//! Where a debugger stops the kernel to do something to a component from outside, as a fault-injection campaign does.
//!
//! *Role.* The kernel comes here for [`abi::plan::Fault::Outside`], and when a component executes the probe. A debugger with
//! a breakpoint at `fault_point_stop` finds the time in `x1`, the component's registers at the address in `x0`, and behind
//! them the address of its translation table; it changes what it wants, sets `x0` to its answer, and lets the kernel go on
//! behind the instruction at which it stands.
//!
//! *Why in assembly.* The compiler must not know that the answer of a kernel without a debugger is always no. And the timer is
//! off meanwhile: an emulator that counts instructions takes a CPU that stands for idle, and would skip to the next deadline.

use super::context::Frame;

/// ESR_EL1 of `brk #0xFA17`: class 0x3C, an instruction of 32 bits (DDI 0487, ESR_EL1). A debugger writes the instruction
/// over another one to learn when that is executed.
pub const PROBE_SYNDROME: u64 = 0x3C << 26 | 1 << 25 | 0xFA17;

core::arch::global_asm!(
    ".pushsection .text.fault_point, \"ax\"",
    ".global fault_point",
    ".type fault_point, %function",
    "fault_point:",
    "mrs x2, cntv_ctl_el0",
    "msr cntv_ctl_el0, xzr",
    "isb",
    "mrs x1, cntvct_el0",
    ".global fault_point_stop",
    "fault_point_stop:",
    "mov x0, xzr",
    "msr cntv_ctl_el0, x2",
    "ret",
    ".size fault_point, . - fault_point",
    ".popsection",
);

unsafe extern "C" {
    fn fault_point(frame: *mut Frame) -> u64;
}

/// Stops for a debugger; true: it has put back the instruction that the component is to execute.
pub fn stop(frame: &mut Frame) -> bool {
    // SAFETY: 1. the assembly above clobbers nothing but x0 to x2, and leaves the timer as it was; 2. what a debugger does is its own affair.
    unsafe { fault_point(frame) != 0 }
}
