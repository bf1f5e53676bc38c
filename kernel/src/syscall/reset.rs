//! `reset`: resets the board, switches it off, or tells the watchdog that root is alive.
//!
//! No watchdog is driven yet: `PET` answers [`Status::Unsupported`]. The emulated board resets at the very write that arms
//! one, so that nothing could be tested; see `bsp::power`.

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
            PET => Done::Status(Status::Unsupported),
            _ => Done::Status(Status::BadArgument),
        }
    }
}
