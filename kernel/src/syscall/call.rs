//! `call`: a request to a service; blocks until the reply, the deadline, or the end of the call for another reason.
//!
//! The grants are two windows on the caller's memory. Their addresses are proved when the server copies, not here: a
//! window that the caller itself could not access yields an error to both.

use super::Done;
use crate::Kernel;
use abi::message::{GRANT_MAX, GRANT_WRITABLE, LABELS};
use abi::rights::CallRight;
use abi::{SlotId, Status};
use kernel_core::Effects;

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

    /// The direct switch, where its conditions hold: the server, which has the CPU and the request.
    #[inline(always)]
    pub fn call_directly(&mut self, slot: SlotId, now: u64) -> Option<SlotId> {
        let (right, label, deadline) = self.call_arguments(slot).ok()?;
        let server = right.server as SlotId;
        let (call, meta) = self.core.call_directly(slot, server, label, deadline, now)?;
        self.shell.deliver(server, slot, call, meta);
        Some(server)
    }

    /// The caller's right, the label and the deadline, after all checks that need no state.
    #[inline(always)]
    fn call_arguments(&self, slot: SlotId) -> Result<(&'static CallRight, u8, u64), Status> {
        let x = &self.shell.frames.get(slot).x;
        let (handle, deadline, label) = (x[0], x[1], x[2]);
        let lengths = [x[12] & !GRANT_WRITABLE, x[14] & !GRANT_WRITABLE];
        let right = self.shell.table().call_right(slot, handle).ok_or(Status::BadHandle)?;
        if label >= LABELS || lengths.iter().any(|&length| length > GRANT_MAX) {
            return Err(Status::BadArgument);
        }
        if right.labels >> label & 1 == 0 { Err(Status::Denied) } else { Ok((right, label as u8, deadline)) }
    }
}
