//! `call`: a request to a service; blocks until the reply, the deadline, or the end of the call for another reason.
//!
//! The grants are two windows on the caller's memory. Their addresses are proved when the server copies, not here: a
//! window that the caller itself could not access yields an error to both.

use super::Done;
use crate::Kernel;
use abi::message::{GRANT_MAX, GRANT_WRITABLE, LABELS};
use abi::rights::CallRight;
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_call(&mut self, slot: SlotId, now: u64) -> Done {
        let (right, label, deadline) = match self.call_arguments(slot) {
            Ok(arguments) => arguments,
            Err(status) => return Done::Status(status),
        };
        match self.core.call(slot, right.server as SlotId, label, deadline, now, &mut self.shell) {
            Ok(()) => Done::Settled,
            Err(status) => Done::Status(status),
        }
    }

    /// The caller's right, the label and the deadline, after all checks that need no state.
    fn call_arguments(&self, slot: SlotId) -> Result<(&'static CallRight, u8, u64), Status> {
        let x = &self.shell.frames.get(slot).x;
        let (handle, deadline, label) = (x[0], x[1], x[2]);
        let lengths = [x[12] & !GRANT_WRITABLE, x[14] & !GRANT_WRITABLE];
        let right = self.shell.rights(slot).calls.get(handle as usize).filter(|right| right.used != 0);
        let right = right.ok_or(Status::BadHandle)?;
        if label >= LABELS || lengths.iter().any(|&length| length > GRANT_MAX) {
            return Err(Status::BadArgument);
        }
        if right.labels >> label & 1 == 0 { Err(Status::Denied) } else { Ok((right, label as u8, deadline)) }
    }
}
