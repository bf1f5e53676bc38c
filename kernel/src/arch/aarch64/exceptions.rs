//! What the vectors lead to, and the syndrome of an exception.
//!
//! Rule: what happened is decoded here, what becomes of it is decided by `crate::exception`.

use super::context::{FRAME_SIZE, Frame};
use super::{boot, cpu};
use crate::panic::{self, Bug};
use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable, VBAR_EL1, Writeable};
use abi::trace::KERNEL_REGISTERS;
use core::cell::UnsafeCell;
use core::panic::PanicInfo;

core::arch::global_asm!(include_str!("exceptions.s"));

const _: () = assert!(FRAME_SIZE == 288, "exceptions.s knows the layout of a frame");
const _: () = assert!(KERNEL_REGISTERS == 36, "exceptions.s knows the layout of the kernel's registers");

/// Immediate of the `brk` by which a panic gets its registers saved.
const PANIC: u64 = 0x5A5A;
/// ESR_EL1 of that instruction: class 0x3C, an instruction of 32 bits.
const PANIC_SYNDROME: u64 = 0x3C << 26 | 1 << 25 | PANIC;

/// The registers of the kernel at its last exception.
#[repr(transparent)]
struct Registers(UnsafeCell<[u64; KERNEL_REGISTERS]>);

// SAFETY: 1. exceptions.s writes to it on the way to `exception_from_kernel`, the only reader, which does not return.
unsafe impl Sync for Registers {}

#[unsafe(export_name = "kernel_registers")]
static REGISTERS: Registers = Registers(UnsafeCell::new([0; KERNEL_REGISTERS]));

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

/// The frame record at this address of the kernel's stack: the caller's frame record, and the return address (AAPCS64,
/// 6.4.6). `None` elsewhere.
pub fn frame_record(at: usize) -> Option<[u64; 2]> {
    let bottom = boot::guard_page() + abi::PAGE_SIZE;
    if !(bottom..boot::stack_top() - 8).contains(&at) || !at.is_multiple_of(8) {
        return None;
    }
    // SAFETY: 1. the kernel's stack is mapped; 2. the address is aligned; 3. whoever runs there will not go on.
    Some(unsafe { core::ptr::with_exposed_provenance::<[u64; 2]>(at).read_volatile() })
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

/// What the panic handler does: an exception, so that a panic takes the same way, with its registers and a stack of its own.
pub fn trap(info: &PanicInfo<'_>) -> ! {
    // SAFETY: 1. the exception is taken by `exception_from_kernel`, which does not return.
    unsafe { core::arch::asm!("brk #{}", const PANIC, in("x0") info, options(noreturn)) }
}

#[unsafe(no_mangle)]
extern "C" fn exception_from_kernel(registers: &[u64; KERNEL_REGISTERS], kind: u64) -> ! {
    let syndrome = Syndrome::read();
    let info = registers[0] as *const PanicInfo<'_>;
    // SAFETY: 1. this `brk` is nowhere but in `trap`, which holds a reference in x0 for ever.
    let info = (syndrome.esr == PANIC_SYNDROME).then(|| unsafe { &*info });
    panic::report(&Bug { info, kind, registers })
}
