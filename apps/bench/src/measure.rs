//! Time stamps around a system call, with nothing else between them.
//!
//! *Rule.* The one place of the bench that is not safe Rust. A [`Block`] goes into the registers, the operation runs between
//! two readings of the clock, the registers come back.

use core::arch::global_asm;
use userlib::SlotId;
use userlib::abi::syscall::slot_ctl::STORE;
use userlib::abi::syscall::{checkpoint, inspect, log};

global_asm!(include_str!("measure.s"));

/// Registers and stamps of one operation.
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub struct Block {
    /// `x0` to `x14`, in and out.
    pub registers: [u64; 15],
    /// Instructions by which the operation is moved against the clock, 0 to 15.
    pub shift: u64,
    /// The clock just before the operation.
    pub before: u64,
    /// The clock just after it.
    pub after: u64,
}

const _: () =
    assert!(core::mem::offset_of!(Block, shift) == 120 && core::mem::offset_of!(Block, before) == 128);

impl Block {
    /// A block with these first registers.
    pub fn new(first: &[u64], shift: u64) -> Self {
        let mut block = Self { shift: shift % 16, ..Self::default() };
        block.registers[..first.len()].copy_from_slice(first);
        block
    }

    /// Ticks between the stamps.
    pub fn ticks(&self) -> u32 {
        (self.after - self.before) as u32
    }
}

unsafe extern "C" {
    fn measure_stub(block: *mut Block);
    fn measure_hundred(block: *mut Block);
    fn measure_null_call(block: *mut Block);
    fn measure_call(block: *mut Block);
    fn measure_notify(block: *mut Block);
    fn measure_inject(block: *mut Block);
    fn measure_recv(block: *mut Block);
    fn measure_poll(block: *mut Block);
    fn measure_map(block: *mut Block);
    fn measure_reg(block: *mut Block);
    fn measure_irq_ack(block: *mut Block);
    fn measure_checkpoint(block: *mut Block);
    fn measure_log(block: *mut Block);
    fn measure_kill(block: *mut Block);
    fn measure_inspect(block: *mut Block);
    fn measure_slot_ctl(block: *mut Block);
    fn measure_reply(block: *mut Block);
    fn measure_copy(block: *mut Block);
    fn measure_reply_recv(block: *mut Block);
    fn measure_reply_recv_shifted(block: *mut Block);
    fn measure_fault(block: *mut Block) -> !;
}

/// What is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A no-operation in the place of a system call.
    Stub,
    /// A hundred of them.
    Hundred,
    /// A system call that does not exist.
    NullCall,
    /// `call`, without grants that can be written to.
    Call,
    /// `notify`.
    Notify,
    /// `inject`.
    Inject,
    /// `recv`, in any phase.
    Recv,
    /// `recv`.
    Poll,
    /// `map`.
    Map,
    /// `reg`, of one register.
    Reg,
    /// `irq_ack`.
    IrqAck,
    /// `kill`.
    Kill,
    /// `slot_ctl`, without a buffer.
    SlotCtl,
    /// `reply`.
    Reply,
    /// `reply_recv`, in any phase; the last word of the reply is replaced by the stamp before it.
    ReplyRecv,
    /// The same, and the stamp after it is shifted.
    ReplyRecvShifted,
}

/// Carries out `operation` with the registers of `block`.
pub fn run(operation: Operation, block: &mut Block) {
    // SAFETY: 1. Each function saves what the procedure call standard lets it not change, and writes to the block alone,
    //    which is borrowed exclusively. 2. None of these system calls lets anybody write to memory of this component:
    //    callers of `Call` grant windows for reading only, which `call` below makes sure of.
    unsafe {
        match operation {
            Operation::Stub => measure_stub(block),
            Operation::Hundred => measure_hundred(block),
            Operation::NullCall => measure_null_call(block),
            Operation::Call => {
                assert!(
                    block.registers[12] >> 63 == 0 && block.registers[14] >> 63 == 0,
                    "only grants for reading"
                );
                measure_call(block);
            }
            Operation::Notify => measure_notify(block),
            Operation::Inject => measure_inject(block),
            Operation::Recv => measure_recv(block),
            Operation::Poll => measure_poll(block),
            Operation::Map => measure_map(block),
            Operation::Reg => {
                assert!(block.registers[1] <= 1, "only one register, and no buffer");
                measure_reg(block);
            }
            Operation::IrqAck => measure_irq_ack(block),
            Operation::Kill => measure_kill(block),
            Operation::SlotCtl => {
                assert!(block.registers[1] != STORE, "no buffer");
                measure_slot_ctl(block);
            }
            Operation::Reply => measure_reply(block),
            Operation::ReplyRecv => measure_reply_recv(block),
            Operation::ReplyRecvShifted => measure_reply_recv_shifted(block),
        }
    }
}

/// `copy` from grant 0 of the request `call` into `buffer`, in any phase.
pub fn copy(call: u64, buffer: &mut [u8]) -> Block {
    let address = buffer.as_mut_ptr().expose_provenance() as u64;
    let mut block = Block::new(&[call, 0, 0, address, buffer.len() as u64], 0);
    // SAFETY: 1. As in `run`. 2. The kernel writes to `buffer` at most, which is borrowed exclusively.
    unsafe { measure_copy(&raw mut block) };
    block
}

/// What takes a buffer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Buffered {
    /// `checkpoint`.
    Commit,
    /// `checkpoint`.
    Load,
    /// `log` of text.
    Log,
    /// `inspect` of a slot.
    Inspect(SlotId),
}

/// Carries out `operation` on the whole of `buffer`.
pub fn buffered(operation: Buffered, buffer: &mut [u8], shift: u64) -> Block {
    let (address, length) = (buffer.as_mut_ptr().expose_provenance() as u64, buffer.len() as u64);
    let mut block = match operation {
        Buffered::Commit => Block::new(&[checkpoint::COMMIT, address, length], shift),
        Buffered::Load => Block::new(&[checkpoint::LOAD, address, length], shift),
        Buffered::Log => Block::new(&[log::TEXT, address, length], shift),
        Buffered::Inspect(slot) => Block::new(&[inspect::SLOT, u64::from(slot), address, length], shift),
    };
    // SAFETY: 1. As in `run`. 2. The kernel reads or writes `buffer` at most, which is borrowed exclusively.
    unsafe {
        match operation {
            Buffered::Commit | Buffered::Load => measure_checkpoint(&raw mut block),
            Buffered::Log => measure_log(&raw mut block),
            Buffered::Inspect(_) => measure_inspect(&raw mut block),
        }
    }
    block
}

/// Executes an undefined instruction; the clock just before it is in `x20` of the death record.
pub fn fault(shift: u64) -> ! {
    let mut block = Block::new(&[], shift);
    // SAFETY: 1. The component ends there and nothing of it goes on.
    unsafe { measure_fault(&raw mut block) }
}
