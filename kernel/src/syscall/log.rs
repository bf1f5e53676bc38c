//! `log`: a record for the slot's ring and the evidence line, or an application's event for the trace.
//!
//! An event is on the line when the call returns; a log record goes to the ring, too, and stays there for the next
//! incarnation.

use super::Done;
use crate::Kernel;
use abi::rights::Rights;
use abi::syscall::log::{BYTES_MAX, DEFMT, EVENT, TEXT};
use abi::trace::Event;
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_log(&mut self, slot: SlotId, now: u64) -> Result<Done, Status> {
        let x = &self.shell.frames.get(slot).x;
        let (kind, buffer, length) = (x[0], x[1], x[2]);
        if length > BYTES_MAX || !matches!(kind, DEFMT | EVENT | TEXT) {
            return Err(Status::BadArgument);
        }
        let rights = self.shell.rights(slot);
        if kind == EVENT && !Rights::from_bits_truncate(rights.flags).contains(Rights::EVENT) {
            return Err(Status::Denied);
        }
        let mut bytes = [0; BYTES_MAX as usize];
        let data = &mut bytes[..length as usize];
        self.shell.read_user(slot, buffer, data)?;
        let incarnation = self.core.slot(slot).incarnation;
        if kind == EVENT {
            self.shell.emit(now, Event::Application { slot, incarnation, data });
            return Ok(Done::Status(Status::Ok));
        }
        self.shell.rings[usize::from(slot)].push(kind as u8, incarnation, data);
        if self.shell.muted & abi::rights::slot_bit(slot) == 0 {
            let build = self.shell.build(slot);
            self.shell.emit(now, Event::Log { slot, incarnation, build, kind: kind as u8, data });
        }
        Ok(Done::Status(Status::Ok))
    }
}
