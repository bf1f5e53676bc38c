//! What the vectors lead to, and the syndrome of an exception.
//!
//! Rule: what happened is decoded here, what becomes of it is decided by `crate::exception`.

use super::context::{FRAME_SIZE, Frame};
use super::cpu;
use aarch64_cpu::registers::{ELR_EL1, ESR_EL1, FAR_EL1, Readable, VBAR_EL1, Writeable};

core::arch::global_asm!(include_str!("exceptions.s"));

const _: () = assert!(FRAME_SIZE == 288, "exceptions.s knows the layout of a frame");

unsafe extern "C" {
    // Both in exceptions.s.
    static exception_vectors: u8;
    fn resume_component(frame: *mut Frame) -> !;
}

/// Kind of an exception: the position of its vector in the group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Caused by the instruction: look at the syndrome.
    Synchronous,
    /// An interrupt.
    Interrupt,
    /// A fast interrupt or a system error; the kernel enables no fast ones.
    Other,
}

/// ESR_EL1 and FAR_EL1 of the exception that was just taken.
#[derive(Clone, Copy, Debug)]
pub struct Syndrome {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1; it means something for aborts only.
    pub far: u64,
}

/// What a synchronous exception is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// `svc` with this immediate.
    SystemCall(u16),
    /// The MMU or the bus refused an access.
    Abort,
    /// The CPU refused the instruction.
    Refused,
}

impl Syndrome {
    /// Reads both registers.
    #[inline(always)]
    pub fn read() -> Self {
        Self { esr: ESR_EL1.get(), far: FAR_EL1.get() }
    }

    /// Decodes the exception class (DDI 0487, ESR_EL1.EC).
    #[inline(always)]
    pub fn cause(&self) -> Cause {
        match self.esr >> 26 & 0x3F {
            0x15 => Cause::SystemCall(self.esr as u16),
            0x20 | 0x24 => Cause::Abort,
            _ => Cause::Refused,
        }
    }
}

/// From here on exceptions lead to the vectors.
pub fn initialise() {
    VBAR_EL1.set(&raw const exception_vectors as u64);
    cpu::instruction_barrier();
}

/// Leaves the kernel for the first time.
///
/// # Safety
/// 1. `frame` comes from [`super::context::Frames::pointer`], and its component's address space is the current one.
pub unsafe fn enter(frame: *mut Frame) -> ! {
    // SAFETY: 1. by the caller's promise.
    unsafe { resume_component(frame) }
}

#[unsafe(no_mangle)]
extern "C" fn exception_from_component(kind: u64) -> *mut Frame {
    let kind = match kind {
        0 => Kind::Synchronous,
        1 => Kind::Interrupt,
        _ => Kind::Other,
    };
    crate::exception(kind, &Syndrome::read())
}

#[unsafe(no_mangle)]
extern "C" fn exception_from_kernel(kind: u64) -> ! {
    let Syndrome { esr, far } = Syndrome::read();
    panic!("exception {kind} in the kernel: ESR {esr:#x} FAR {far:#x} PC {:#x}", ELR_EL1.get())
}
