//! `reset`: resets the board, switches it off, or says that root is alive.
//!
//! The frame goes out first. There is no watchdog yet: a sign of life is accepted and has no effect.

use super::Done;
use crate::Kernel;
use abi::rights::Rights;
use abi::syscall::reset::{PET, POWER_OFF, RESET};
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_reset(&mut self, slot: SlotId, now: u64) -> Done {
        if !Rights::from_bits_truncate(self.shell.rights(slot).flags).contains(Rights::RESET) {
            return Done::Status(Status::Denied);
        }
        match self.shell.frames.get(slot).x[0] {
            RESET => self.shell.reset_board(slot, false, now),
            POWER_OFF => self.shell.reset_board(slot, true, now),
            PET => Done::Status(Status::Ok),
            _ => Done::Status(Status::BadArgument),
        }
    }
}
