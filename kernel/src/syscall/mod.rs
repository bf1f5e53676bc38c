//! System calls: one file each, the contract on top of it. `docs/syscalls.md` is the reference for users.
//!
//! Rule: arguments and rights are checked here, before the core hears of anything; a call that is refused has changed
//! nothing, unless the reference says so. Whoever is wrong gets a status, never a death, unless dying is what was asked for.

pub mod call;
pub mod checkpoint;
pub mod copy;
pub mod exit;
pub mod inject;
pub mod inspect;
pub mod irq_ack;
pub mod kill;
pub mod log;
pub mod map;
pub mod notify;
pub mod recv;
pub mod reg;
pub mod reply;
pub mod reset;
pub mod slot_ctl;
pub mod start;

use crate::Kernel;
use crate::arch::context::Frame;
use crate::arch::cpu;
use abi::syscall::Call;
use abi::{SlotId, Status};

/// What becomes of the caller's registers after a system call.
pub enum Done {
    /// `x0` gets this status.
    Status(Status),
    /// `x0` gets this status and `x1` this value.
    Value(Status, u64),
    /// The core has seen to everything: the caller waits, or has received, or is dead.
    Settled,
    /// An interrupt is pending: the call is made again after it, from where its registers say.
    Again,
}

impl From<Result<Done, Status>> for Done {
    fn from(result: Result<Done, Status>) -> Self {
        result.unwrap_or_else(Self::Status)
    }
}

impl Kernel {
    /// Carries out a system call of the running component; returns the registers of the component that runs next. `None`:
    /// no system call has so high a number.
    #[inline(always)]
    pub fn system_call(&mut self, immediate: u64) -> Option<*mut Frame> {
        let slot = self.core.current_index() as SlotId;
        if immediate == Call::Notify as u64 {
            return Some(self.sys_notify(slot, cpu::now()));
        }
        if immediate > u64::from(u16::MAX) {
            return None;
        }
        self.shell.counters.syscalls += 1;
        if immediate > u64::from(Call::LAST) {
            let frame = self.shell.frames.get_mut(slot);
            frame.x[0] = Status::NoSuchCall as u64;
            return Some(frame);
        }
        Some(self.known_call(immediate as u16, slot, cpu::now()))
    }

    #[inline(never)]
    fn known_call(&mut self, immediate: u16, slot: SlotId, now: u64) -> *mut Frame {
        let call = Call::from_immediate(immediate);
        let done = call.map_or(Done::Status(Status::NoSuchCall), |call| self.dispatch(call, slot, now));
        let frame = self.shell.frames.get_mut(slot);
        match done {
            Done::Status(status) => frame.x[0] = status as u64,
            Done::Value(status, value) => (frame.x[0], frame.x[1]) = (status as u64, value),
            Done::Settled => {}
            Done::Again => frame.pc -= 4,
        }
        if call.is_none_or(is_private) { frame } else { self.resume() }
    }

    fn dispatch(&mut self, call: Call, slot: SlotId, now: u64) -> Done {
        match call {
            Call::Call => self.sys_call(slot, now),
            Call::ReplyRecv => self.sys_reply_recv(slot, now),
            Call::Recv => self.sys_recv(slot, now),
            Call::Reply => self.sys_reply(slot, now),
            // `system_call` has seen to it.
            Call::Notify => Done::Settled,
            Call::Copy => self.sys_copy(slot).into(),
            Call::Map => self.sys_map(slot),
            Call::Reg => self.sys_reg(slot).into(),
            Call::IrqAck => self.sys_irq_ack(slot),
            Call::Checkpoint => self.sys_checkpoint(slot).into(),
            Call::Log => self.sys_log(slot, now).into(),
            Call::Exit => self.sys_exit(slot, now),
            Call::Start => self.sys_start(slot, now),
            Call::Kill => self.sys_kill(slot, now),
            Call::Inspect => self.sys_inspect(slot, now).into(),
            Call::SlotCtl => self.sys_slot_ctl(slot, now),
            Call::Inject => self.sys_inject(slot, now),
            Call::Reset => self.sys_reset(slot, now),
        }
    }

    /// The slot that argument 0 names, if the caller controls it.
    fn controlled(&self, slot: SlotId) -> Result<SlotId, Status> {
        let target = self.shell.slot_argument(self.shell.frames.get(slot).x[0]).ok_or(Status::BadHandle)?;
        let mask = self.shell.rights(slot).controls;
        if mask & abi::rights::slot_bit(target) == 0 { Err(Status::Denied) } else { Ok(target) }
    }
}

/// Whether the call is between its caller and the kernel: nobody is woken or stopped by it.
const fn is_private(call: Call) -> bool {
    use Call::{Checkpoint, Copy, Inspect, IrqAck, Log, Map, Reg};
    matches!(call, Copy | Map | Reg | IrqAck | Checkpoint | Log | Inspect)
}
