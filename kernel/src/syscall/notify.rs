//! `notify`: sets bits in another component's notification word and wakes it if it is receiving. Never blocks.
//!
//! The bits belong to the slot: if nobody lives there, the next incarnation gets them.

use super::Done;
use crate::Kernel;
use abi::message::bits::PEER;
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_notify(&mut self, slot: SlotId, now: u64) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (target, bits) = (x[0], x[1]);
        let Some(target) = self.shell.slot_argument(target) else { return Done::Status(Status::BadHandle) };
        if self.shell.rights(slot).notifies & abi::rights::slot_bit(target) == 0 {
            return Done::Status(Status::Denied);
        }
        if bits & !PEER != 0 {
            return Done::Status(Status::BadArgument);
        }
        self.core.notify(target, bits, now, &mut self.shell);
        Done::Status(Status::Ok)
    }
}
