//! `start`: loads the next incarnation of a slot, in chunks, and lets it run. `More` means: call again.
//!
//! The caller must control the slot. The state of loading is the slot's: whoever controls it can go on with it.

use super::Done;
use crate::Kernel;
use abi::SlotId;

impl Kernel {
    pub(super) fn sys_start(&mut self, slot: SlotId, now: u64) -> Done {
        match self.controlled(slot) {
            Ok(target) => Done::Status(self.load(target, now)),
            Err(status) => Done::Status(status),
        }
    }
}
