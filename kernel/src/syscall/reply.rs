//! `reply` and `reply_recv`: the answer to a request in service, or a complaint about its sender.
//!
//! `reply` answers `Stale` if the call is over. `reply_recv` drops a stale answer without a word, since its result is
//! what it received.

use super::Done;
use crate::Kernel;
use crate::death::Demise;
use abi::message::CallId;
use abi::record::DeathClass;
use abi::rights::Rights;
use abi::syscall::reply::{ANSWER, BLAME};
use abi::{SlotId, Status};
use kernel_core::Effects;

impl Kernel {
    pub(super) fn sys_reply(&mut self, slot: SlotId, now: u64) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (kind, call) = (x[0], CallId(x[1]));
        let status = match kind {
            ANSWER => self.core.reply(slot, call, now, &mut self.shell).err().unwrap_or(Status::Ok),
            BLAME => self.blame(slot, call, now),
            _ => Status::BadArgument,
        };
        Done::Status(status)
    }

    pub(super) fn sys_reply_recv(&mut self, slot: SlotId, now: u64) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (deadline, call) = (x[0], CallId(x[1]));
        let _stale = self.core.reply(slot, call, now, &mut self.shell);
        self.core.recv(slot, 0, deadline, now, &mut self.shell);
        Done::Settled
    }

    /// The direct switch of `reply_recv`, where its conditions hold: the caller, which has the CPU and the answer.
    #[inline(always)]
    pub fn reply_directly(&mut self, slot: SlotId, now: u64) -> Option<SlotId> {
        let x = &self.shell.frames.get(slot).x;
        let (deadline, call) = (x[0], CallId(x[1]));
        let caller = self.core.reply_directly(slot, call, deadline, now)?;
        self.shell.answer(slot, caller);
        Some(caller)
    }

    /// Ends the call as refused; the sender dies of it if the manifest trusts this server's word.
    fn blame(&mut self, slot: SlotId, call: CallId, now: u64) -> Status {
        let caller = match self.core.in_service(slot, call) {
            Ok(caller) => caller,
            Err(status) => return status,
        };
        self.core.abandon(caller, now, &mut self.shell);
        self.shell.frames.get_mut(caller).x[0] = Status::Refused as u64;
        if Rights::from_bits_truncate(self.shell.rights(slot).flags).contains(Rights::BLAME) {
            self.die(
                caller,
                &Demise { class: DeathClass::ProtocolViolation, text: b"", syndrome: None },
                now,
            );
        }
        Status::Ok
    }
}
