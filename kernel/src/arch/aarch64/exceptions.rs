//! What the vectors lead to, and the syndrome of an exception.
//!
//! Rule: what happened is decoded here, what becomes of it is decided by [`Kernel`].

use super::context::Frame;
use super::{boot, cpu};
use crate::Kernel;
use crate::panic::{self, Bug};
use aarch64_cpu::registers::{ESR_EL1, FAR_EL1, Readable, VBAR_EL1, Writeable};
use abi::Status;
use abi::message::CallId;
use abi::syscall::{Call, received};
use abi::trace::KERNEL_REGISTERS;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::panic::PanicInfo;

core::arch::global_asm!(include_str!("exceptions.s"));

const _: () = assert!(
    offset_of!(Frame, sp) == 248 && offset_of!(Frame, tpidr) == 272 && offset_of!(Frame, meta) == 288,
    "exceptions.s knows the layout of a frame"
);
const _: () = assert!(
    Call::Call as u16 == 1 && Call::ReplyRecv as u16 == 2 && received::REQUEST == 0 && Status::Ok as u64 == 0,
    "exceptions.s knows these numbers"
);
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

/// ESR_EL1 and FAR_EL1 of the exception that was just taken.
#[derive(Clone, Copy, Debug)]
pub struct Syndrome {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1; it means something for aborts only.
    pub far: u64,
}

/// What a synchronous exception is about that is no system call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
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

    /// Whether the exception may be about an instruction that the CPU does not know, or not here: class 0 (unknown reason),
    /// or 0x18 (a system register, where FEAT_IDST is), and a few others that share the test.
    #[inline(always)]
    pub fn may_be_unknown_instruction() -> bool {
        ESR_EL1.get() >> 26 & 0x3F & !0x18 == 0
    }

    /// Decodes the exception class (DDI 0487, ESR_EL1.EC).
    #[inline(always)]
    pub fn cause(&self) -> Cause {
        match self.esr >> 26 & 0x3F {
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

// exceptions.s calls the next five with the one kernel state, from components only, and each time on an empty stack: nobody
// else has a reference to it.

/// An interrupt.
#[unsafe(no_mangle)]
extern "C" fn interrupt_from_component(kernel: &mut Kernel) -> *mut Frame {
    kernel.interrupt()
}

/// A fast interrupt or a system error; the kernel enables no fast ones.
#[unsafe(no_mangle)]
extern "C" fn exception_from_component(kernel: &mut Kernel) -> *mut Frame {
    kernel.exception()
}

/// A system call other than those below, or one of them where a direct switch is not possible; or, if the number has more
/// than 16 bits, another synchronous exception.
#[unsafe(no_mangle)]
extern "C" fn system_call_from_component(kernel: &mut Kernel, immediate: u64) -> *mut Frame {
    match kernel.system_call(immediate) {
        Some(next) => next,
        None => kernel.exception(),
    }
}

/// Who runs next, and the call that it has received.
#[repr(C)]
struct Delivery {
    frame: *mut Frame,
    call: u64,
}

/// The direct switch of `call`; `lengths` has the bits of the length words of both grants.
#[unsafe(no_mangle)]
extern "C" fn call_directly(
    handle: u64,
    deadline: u64,
    label: u64,
    lengths: u64,
    kernel: &mut Kernel,
) -> Delivery {
    match kernel.call_directly(handle, deadline, label, lengths) {
        Some((frame, call)) => Delivery { frame, call: call.0 },
        None => Delivery { frame: core::ptr::null_mut(), call: 0 },
    }
}

/// The direct switch of `reply_recv`.
#[unsafe(no_mangle)]
extern "C" fn reply_directly(deadline: u64, call: u64, kernel: &mut Kernel) -> *mut Frame {
    kernel.reply_directly(deadline, CallId(call)).unwrap_or(core::ptr::null_mut())
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
