//! `recv`: waits for a request, a notification or a time. Also how to sleep, and the answer to a heartbeat.
//!
//! Notifications come before requests, and both before a deadline that has passed. No receive is refused.

use super::Done;
use crate::Kernel;
use abi::SlotId;

impl Kernel {
    pub(super) fn sys_recv(&mut self, slot: SlotId, now: u64) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (deadline, flags) = (x[0], x[1]);
        self.core.recv(slot, flags, deadline, now, &mut self.shell);
        Done::Settled
    }
}
