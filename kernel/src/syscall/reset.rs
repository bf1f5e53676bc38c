//! `reset`: resets the board, switches it off, or tells the watchdog that root is alive.
//!
//! The first word from root arms the watchdog, and only in an image for a real card: the emulated board resets at the very
//! write that arms it.

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
            PET => Done::Status(self.pet()),
            _ => Done::Status(Status::BadArgument),
        }
    }

    /// Sets the watchdog to its full time, in an image that has one.
    fn pet(&mut self) -> Status {
        match self.shell.table().header.watchdog_ns {
            0 => Status::Unsupported,
            ns => {
                self.shell.board().power.watch(ns);
                Status::Ok
            }
        }
    }
}
