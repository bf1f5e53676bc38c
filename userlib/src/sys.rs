//! The system calls, raw: the only `asm!` that a component contains.
//!
//! *Rule.* Each function is one system call, with the registers of `abi::syscall` and no interpretation. Calls that hand
//! the kernel an address are `unsafe`: their callers promise what the address may be used for.
//!
//! *Why.* The kernel walks the tables for every address and harms nobody but the caller; but within the caller, memory
//! that Rust believes constant or unreachable must not change.

use abi::message::{Message, WORDS};
use abi::status::Status;
use abi::syscall::Call;
use core::arch::asm;

/// Registers `x0` to `x14`, in and out, of the calls that carry a message.
pub type Registers = [u64; 15];

/// First register of a message.
const LABEL: usize = 2;

/// Puts `message` where requests and the replies of `reply` and `reply_recv` have it.
#[inline(always)]
fn put_message(registers: &mut Registers, message: &Message) {
    registers[LABEL] = message.label;
    registers[LABEL + 1..=LABEL + WORDS].copy_from_slice(&message.words);
}

/// Takes a message from where `call`, `recv` and `reply_recv` return it.
#[inline(always)]
pub fn message(registers: &Registers) -> Message {
    let mut message = Message { label: registers[LABEL], words: [0; WORDS] };
    message.words.copy_from_slice(&registers[LABEL + 1..=LABEL + WORDS]);
    message
}

/// One system call with a message.
///
/// # Safety
/// Whatever memory the call named by `NUMBER` lets the kernel read or write must be the caller's to lend in that way.
#[inline(always)]
unsafe fn with_message<const NUMBER: u16>(registers: &mut Registers) {
    let r = registers;
    // SAFETY: 1. `svc` enters the kernel, which preserves x19 to x29 and sp and may change everything else: all of that
    //    is named as an output or covered by `clobber_abi`. 2. The memory that the kernel touches is the caller's
    //    promise; no option says that memory is left alone, so the compiler reloads what it had cached.
    unsafe {
        asm!(
            "svc #{number}",
            number = const NUMBER,
            inlateout("x0") r[0], inlateout("x1") r[1], inlateout("x2") r[2], inlateout("x3") r[3],
            inlateout("x4") r[4], inlateout("x5") r[5], inlateout("x6") r[6], inlateout("x7") r[7],
            inlateout("x8") r[8], inlateout("x9") r[9], inlateout("x10") r[10], inlateout("x11") r[11],
            inlateout("x12") r[12], inlateout("x13") r[13], inlateout("x14") r[14],
            clobber_abi("C"),
        );
    }
}

/// One system call without a message; returns `x0` and `x1`.
///
/// # Safety
/// As for [`with_message`].
#[inline(always)]
unsafe fn plain<const NUMBER: u16>(arguments: [u64; 5]) -> (u64, u64) {
    let (x0, x1);
    // SAFETY: 1. As in `with_message`, the registers that the kernel may change are outputs or clobbered. 2. The memory
    //    that it touches is the caller's promise.
    unsafe {
        asm!(
            "svc #{number}",
            number = const NUMBER,
            inlateout("x0") arguments[0] => x0, inlateout("x1") arguments[1] => x1,
            in("x2") arguments[2], in("x3") arguments[3], in("x4") arguments[4],
            clobber_abi("C"),
        );
    }
    (x0, x1)
}

/// The status in `x0`. A number that this `abi` does not know counts as "no such call".
#[inline(always)]
fn status(code: u64) -> Status {
    if code == Status::Ok as u64 { Status::Ok } else { Status::from_code(code).unwrap_or(Status::NoSuchCall) }
}

/// The status in `x0` as a result, with `x1`.
#[inline(always)]
fn result((code, value): (u64, u64)) -> Result<u64, Status> {
    match status(code) {
        Status::Ok => Ok(value),
        error => Err(error),
    }
}

/// `call`: sends `request` and waits for the reply. Each grant is (address, length word).
///
/// # Safety
/// Until the call returns, each granted range must be memory that may be read, and if its length word has
/// [`abi::message::GRANT_WRITABLE`], written, by somebody else.
#[inline(always)]
pub unsafe fn call(
    handle: u32,
    deadline: u64,
    request: &Message,
    grants: [(u64, u64); 2],
) -> Result<Message, Status> {
    let mut registers = [0; 15];
    registers[0] = u64::from(handle);
    registers[1] = deadline;
    put_message(&mut registers, request);
    [registers[11], registers[12]] = [grants[0].0, grants[0].1];
    [registers[13], registers[14]] = [grants[1].0, grants[1].1];
    // SAFETY: 1. The kernel touches the granted ranges only, before the call returns: the caller's promise.
    unsafe { with_message::<{ Call::Call as u16 }>(&mut registers) };
    match status(registers[0]) {
        Status::Ok => Ok(message(&registers)),
        error => Err(error),
    }
}

/// `recv`: the registers as the kernel returns them.
#[inline(always)]
pub fn recv(deadline: u64, flags: u64) -> Registers {
    let mut registers = [0; 15];
    [registers[0], registers[1]] = [deadline, flags];
    // SAFETY: 1. `recv` takes no address: the kernel touches no memory of the caller.
    unsafe { with_message::<{ Call::Recv as u16 }>(&mut registers) };
    registers
}

/// `reply_recv`: answers `call` and receives.
#[inline(always)]
pub fn reply_recv(deadline: u64, call: u64, reply: &Message) -> Registers {
    let mut registers = [0; 15];
    [registers[0], registers[1]] = [deadline, call];
    put_message(&mut registers, reply);
    // SAFETY: 1. `reply_recv` takes no address: the kernel touches no memory of the caller.
    unsafe { with_message::<{ Call::ReplyRecv as u16 }>(&mut registers) };
    registers
}

/// `reply`: answers `call`, or complains of its sender.
#[inline(always)]
pub fn reply(kind: u64, call: u64, reply: &Message) -> Result<(), Status> {
    let mut registers = [0; 15];
    [registers[0], registers[1]] = [kind, call];
    put_message(&mut registers, reply);
    // SAFETY: 1. `reply` takes no address: the kernel touches no memory of the caller.
    unsafe { with_message::<{ Call::Reply as u16 }>(&mut registers) };
    result((registers[0], 0)).map(|_| ())
}

/// `notify`.
#[inline(always)]
pub fn notify(slot: u32, bits: u64) -> Result<(), Status> {
    // SAFETY: 1. `notify` takes no address.
    result(unsafe { plain::<{ Call::Notify as u16 }>([u64::from(slot), bits, 0, 0, 0]) }).map(|_| ())
}

/// `copy` between a grant of the request `call` and `length` bytes at `buffer`.
///
/// # Safety
/// `buffer` must be valid for reads of `length` bytes if the grant is writable, else for writes.
#[inline(always)]
pub unsafe fn copy(
    call: u64,
    grant: usize,
    offset: usize,
    buffer: *mut u8,
    length: usize,
) -> Result<(), Status> {
    let arguments = [call, grant as u64, offset as u64, buffer.expose_provenance() as u64, length as u64];
    // SAFETY: 1. The kernel touches `buffer..buffer + length` in the direction that the caller promised is valid.
    result(unsafe { plain::<{ Call::Copy as u16 }>(arguments) }).map(|_| ())
}

/// `map`: address of the first of `pages` new zeroed pages.
#[inline(always)]
pub fn map(pages: usize) -> Result<u64, Status> {
    // SAFETY: 1. `map` takes no address; the pages that appear were not mapped before.
    result(unsafe { plain::<{ Call::Map as u16 }>([pages as u64, 0, 0, 0, 0]) })
}

/// `reg` with a value: reads or writes one register.
#[inline(always)]
pub fn reg(window: u32, operation: u64, offset: usize, value: u32, mask: u32) -> Result<u32, Status> {
    let operation = operation & 1;
    // SAFETY: 1. The operations left by the mask above, one register each, take no address.
    result(unsafe {
        plain::<{ Call::Reg as u16 }>([
            u64::from(window),
            operation,
            offset as u64,
            u64::from(value),
            u64::from(mask),
        ])
    })
    .map(|value| value as u32)
}

/// `reg` with a buffer: moves `words` words between one register and `buffer`.
///
/// # Safety
/// `buffer` must be valid for writes of `words` words if `operation` reads the register, else for reads.
#[inline(always)]
pub unsafe fn reg_words(
    window: u32,
    operation: u64,
    offset: usize,
    buffer: *mut u32,
    words: usize,
) -> Result<(), Status> {
    let arguments =
        [u64::from(window), operation, offset as u64, buffer.expose_provenance() as u64, words as u64];
    // SAFETY: 1. The kernel touches `words` words at `buffer` in the direction that the caller promised is valid.
    result(unsafe { plain::<{ Call::Reg as u16 }>(arguments) }).map(|_| ())
}

/// `irq_ack`.
#[inline(always)]
pub fn irq_ack(index: u32) -> Result<(), Status> {
    // SAFETY: 1. `irq_ack` takes no address.
    result(unsafe { plain::<{ Call::IrqAck as u16 }>([u64::from(index), 0, 0, 0, 0]) }).map(|_| ())
}

/// `checkpoint` commit.
#[inline(always)]
pub fn checkpoint_commit(data: &[u8]) -> Result<(), Status> {
    let operation = abi::syscall::checkpoint::COMMIT;
    let arguments = [operation, data.as_ptr().expose_provenance() as u64, data.len() as u64, 0, 0];
    // SAFETY: 1. The kernel reads `data`, which is borrowed for as long.
    result(unsafe { plain::<{ Call::Checkpoint as u16 }>(arguments) }).map(|_| ())
}

/// `checkpoint` load: bytes of the checkpoint, of which as many as fit were written to `buffer`.
#[inline(always)]
pub fn checkpoint_load(buffer: &mut [u8]) -> Result<usize, Status> {
    let operation = abi::syscall::checkpoint::LOAD;
    let arguments = [operation, buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64, 0, 0];
    // SAFETY: 1. The kernel writes within `buffer`, which is borrowed exclusively for as long.
    result(unsafe { plain::<{ Call::Checkpoint as u16 }>(arguments) }).map(|bytes| bytes as usize)
}

/// `log`.
#[inline(always)]
pub fn log(kind: u64, record: &[u8]) -> Result<(), Status> {
    let arguments = [kind, record.as_ptr().expose_provenance() as u64, record.len() as u64, 0, 0];
    // SAFETY: 1. The kernel reads `record`, which is borrowed for as long.
    result(unsafe { plain::<{ Call::Log as u16 }>(arguments) }).map(|_| ())
}

/// `exit`.
pub fn exit(class: u32, text: &[u8]) -> ! {
    let arguments = [u64::from(class), text.as_ptr().expose_provenance() as u64, text.len() as u64, 0, 0];
    loop {
        // SAFETY: 1. The kernel reads `text`, which is borrowed for as long. 2. Should it refuse an argument and return,
        //    this function loops and does not return either.
        unsafe { plain::<{ Call::Exit as u16 }>(arguments) };
    }
}

/// `start`: [`Status::More`] until the slot runs.
#[inline(always)]
pub fn start(slot: u32) -> Status {
    // SAFETY: 1. `start` takes no address.
    status(unsafe { plain::<{ Call::Start as u16 }>([u64::from(slot), 0, 0, 0, 0]) }.0)
}

/// `kill`.
#[inline(always)]
pub fn kill(slot: u32, class: u32) -> Result<(), Status> {
    // SAFETY: 1. `kill` takes no address.
    result(unsafe { plain::<{ Call::Kill as u16 }>([u64::from(slot), u64::from(class), 0, 0, 0]) })
        .map(|_| ())
}

/// `inspect`: `x1`, bytes written to `buffer` or an index.
#[inline(always)]
pub fn inspect(what: u64, index: u32, buffer: &mut [u8]) -> Result<u64, Status> {
    let arguments =
        [what, u64::from(index), buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64, 0];
    // SAFETY: 1. The kernel writes within `buffer`, which is borrowed exclusively for as long.
    result(unsafe { plain::<{ Call::Inspect as u16 }>(arguments) })
}

/// `slot_ctl`.
#[inline(always)]
pub fn slot_ctl(slot: u32, operation: u64) -> Result<(), Status> {
    // SAFETY: 1. `slot_ctl` takes no address.
    result(unsafe { plain::<{ Call::SlotCtl as u16 }>([u64::from(slot), operation, 0, 0, 0]) }).map(|_| ())
}

/// `slot_ctl` store: copies `data` to `offset` of the store of a spare slot.
#[inline(always)]
pub fn store(slot: u32, offset: u64, data: &[u8]) -> Result<(), Status> {
    let operation = abi::syscall::slot_ctl::STORE;
    let arguments =
        [u64::from(slot), operation, offset, data.as_ptr().expose_provenance() as u64, data.len() as u64];
    // SAFETY: 1. The kernel reads `data`, which is borrowed for as long.
    result(unsafe { plain::<{ Call::SlotCtl as u16 }>(arguments) }).map(|_| ())
}

/// `inject`.
#[inline(always)]
pub fn inject(slot: u32, fault: u32, trigger: u64, count: u64) -> Result<(), Status> {
    let arguments = [u64::from(slot), u64::from(fault), trigger, count, 0];
    // SAFETY: 1. `inject` takes no address. 2. What happens to the target afterwards is its death, not its going on.
    result(unsafe { plain::<{ Call::Inject as u16 }>(arguments) }).map(|_| ())
}

/// `reset`.
#[inline(always)]
pub fn reset(operation: u64) -> Result<(), Status> {
    // SAFETY: 1. `reset` takes no address.
    result(unsafe { plain::<{ Call::Reset as u16 }>([operation, 0, 0, 0, 0]) }).map(|_| ())
}

/// `CNTVCT_EL0`: the system's clock, in ticks since power-on.
#[inline(always)]
pub fn counter() -> u64 {
    let ticks;
    // SAFETY: 1. Reading the counter has no effect and is allowed at EL0 (the kernel's contract). Not `pure`: two reads
    //    differ.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// `CNTFRQ_EL0`: ticks a second.
#[inline(always)]
pub fn frequency() -> u64 {
    let frequency;
    // SAFETY: 1. Reading the frequency has no effect, is allowed at EL0, and always gives the same value.
    unsafe { asm!("mrs {}, cntfrq_el0", out(reg) frequency, options(pure, nomem, nostack, preserves_flags)) };
    frequency
}

/// An instruction that no AArch64 CPU defines, for the fault stub.
pub fn undefined_instruction() -> ! {
    // SAFETY: 1. `udf` raises an exception at this place; the kernel ends the component, so nothing follows.
    unsafe { asm!("udf #0", options(noreturn)) }
}
