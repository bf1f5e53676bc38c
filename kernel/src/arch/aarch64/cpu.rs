//! The processor's clock, timer, barriers and sleep.
//!
//! Rule: one function for each thing that is asked of the processor; nothing is remembered here.

use aarch64_cpu::asm::{self, barrier};
use aarch64_cpu::registers::{
    CNTFRQ_EL0, CNTKCTL_EL1, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTVCT_EL0, CPACR_EL1, MDSCR_EL1, Readable,
    TPIDRRO_EL0, TTBR0_EL1, Writeable,
};

/// The clock in ticks. Not ordered with memory accesses: nothing here depends on that.
#[inline(always)]
pub fn now() -> u64 {
    CNTVCT_EL0.get()
}

/// Ticks a second.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Lets the timer fire at `time`; with `u64::MAX` never. Then it is off: an emulator that skips idle time would go to the
/// end of time for it.
#[inline(always)]
pub fn set_timer(time: u64) {
    CNTV_CVAL_EL0.set(time);
    CNTV_CTL_EL0.set(u64::from(time != u64::MAX));
}

/// Lets the timer never fire again: nothing is left to wait for. An emulator that counts instructions would otherwise be
/// free to skip to the next deadline while it resets the board, or not.
pub fn stop_timer() {
    CNTV_CTL_EL0.set(0);
}

/// Makes ready for components: the timer on, the clock readable for them, floating point and debugging not, no register that holds
/// what was there before.
pub fn initialise() {
    CPACR_EL1.set(0);
    // TDCC: the debug communication channel is nobody's (DDI 0487, D24.3.21).
    MDSCR_EL1.set(1 << 12);
    TPIDRRO_EL0.set(0);
    CNTKCTL_EL1.set(0b10);
    CNTV_CVAL_EL0.set(u64::MAX);
    CNTV_CTL_EL0.set(1);
    instruction_barrier();
}

/// Whether an interrupt is waiting. The kernel runs with interrupts masked and looks here between the steps of long work.
#[inline(always)]
pub fn interrupt_pending() -> bool {
    let pending: u64;
    // SAFETY: 1. reading ISR_EL1 has no effect.
    unsafe {
        core::arch::asm!("mrs {0}, isr_el1", out(reg) pending, options(nomem, nostack, preserves_flags));
    };
    pending != 0
}

/// Sleeps until an interrupt is pending.
pub fn wait_for_interrupt() {
    barrier::dsb(barrier::SY);
    asm::wfi();
}

/// All earlier accesses are complete.
#[inline(always)]
pub fn data_barrier() {
    barrier::dsb(barrier::ISH);
}

/// Later instructions see changed system registers.
#[inline(always)]
pub fn instruction_barrier() {
    barrier::isb(barrier::SY);
}

/// Forgets every translation.
pub fn invalidate_tlb() {
    // SAFETY: 1. TLB maintenance changes no memory; the tables are the truth.
    unsafe {
        core::arch::asm!("dsb ishst", "tlbi vmalle1", "dsb nsh", "isb", options(nostack, preserves_flags));
    };
}

/// Forgets the translations of one address space.
pub fn invalidate_asid(asid: u16) {
    let operand = u64::from(asid) << 48;
    // SAFETY: 1. TLB maintenance changes no memory; the tables are the truth.
    unsafe {
        core::arch::asm!("dsb ishst", "tlbi aside1, {0}", "dsb nsh", "isb", in(reg) operand, options(nostack, preserves_flags));
    }
}

/// Makes the address space with this root table and identifier the current one.
#[inline(always)]
pub fn set_address_space(root: usize, asid: u16) {
    TTBR0_EL1.set(root as u64 | u64::from(asid) << 48);
    instruction_barrier();
}

/// Instructions that were written are seen by instruction fetch. The data side was cleaned page by page.
pub fn invalidate_instruction_cache() {
    // SAFETY: 1. cache maintenance changes no memory.
    unsafe { core::arch::asm!("dsb ish", "ic iallu", "dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Stops for ever.
pub fn halt() -> ! {
    loop {
        wait_for_interrupt();
    }
}
