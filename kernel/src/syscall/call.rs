//! `call`: a request to a service; blocks until the reply, the deadline, or the end of the call for another reason.
//!
//! The grants are two windows on the caller's memory. Their addresses are proved when the server copies, not here: a
//! window that the caller itself could not access yields an error to both.

use super::Done;
use crate::Kernel;
use abi::message::{GRANT_MAX, GRANT_WRITABLE, LABELS};
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_call(&mut self, slot: SlotId, now: u64) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (handle, deadline, label) = (x[0], x[1], x[2]);
        let lengths = [x[12] & !GRANT_WRITABLE, x[14] & !GRANT_WRITABLE];
        let Some(right) = self.shell.table().call_right(slot, handle) else {
            return Done::Status(Status::BadHandle);
        };
        if label >= LABELS || lengths.iter().any(|&length| length > GRANT_MAX) {
            return Done::Status(Status::BadArgument);
        }
        if right.labels >> label & 1 == 0 {
            return Done::Status(Status::Denied);
        }
        match self.core.call(slot, right.server as SlotId, label as u8, deadline, now, &mut self.shell) {
            Ok(()) => Done::Settled,
            Err(status) => Done::Status(status),
        }
    }
}
