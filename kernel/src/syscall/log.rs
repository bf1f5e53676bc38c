//! `log`: a record for the slot's ring and the evidence line, or an application's event for the trace.
//!
//! What goes to the line is out when the call returns; a log record goes to the ring, too, and stays there for the next
//! incarnation. An interrupt that comes while the frame leaves is served: the call is then made again as one that waits for
//! the rest.

use super::Done;
use crate::Kernel;
use crate::arch::cpu;
use abi::rights::Rights;
use abi::syscall::log::{BYTES_MAX, DEFMT, EVENT, FLUSH, TEXT};
use abi::trace::Event;
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_log(&mut self, slot: SlotId, now: u64) -> Result<Done, Status> {
        Ok(if self.log(slot, now)? { Done::Status(Status::Ok) } else { Done::Again })
    }

    /// False: an interrupt waits, and the call is to be made again.
    #[inline(never)]
    fn log(&mut self, slot: SlotId, now: u64) -> Result<bool, Status> {
        let x = &self.shell.frames.get(slot).x;
        let (kind, buffer, length) = (x[0], x[1], x[2]);
        if kind == FLUSH {
            self.shell.send_piece();
            return Ok(self.flush(slot));
        }
        if length > BYTES_MAX || !matches!(kind, DEFMT | EVENT | TEXT) {
            return Err(Status::BadArgument);
        }
        let rights = self.shell.rights(slot);
        if kind == EVENT && !Rights::from_bits_truncate(rights.flags).contains(Rights::EVENT) {
            return Err(Status::Denied);
        }
        if !(self.tell_all() && self.make_room()) {
            return Ok(false);
        }
        let mut bytes = [0; BYTES_MAX as usize];
        let data = &mut bytes[..length as usize];
        self.shell.read_user(slot, buffer, data)?;
        let incarnation = self.core.slot(slot).incarnation;
        if kind == EVENT {
            self.shell.record(now, Event::Application { slot, incarnation, data });
            return Ok(self.flush(slot));
        }
        self.shell.rings[usize::from(slot)].push(kind as u8, incarnation, data);
        if self.shell.muted & abi::rights::slot_bit(slot) != 0 {
            return Ok(true);
        }
        let build = self.shell.build(slot);
        self.shell.record(now, Event::Log { slot, incarnation, build, kind: kind as u8, data });
        Ok(self.flush(slot))
    }

    /// Sends all that waits for the evidence line, as long as no interrupt does; whether all is out.
    fn flush(&mut self, slot: SlotId) -> bool {
        while !self.shell.evidence.frames.is_empty() {
            if cpu::interrupt_pending() {
                self.shell.frames.get_mut(slot).x[0] = FLUSH;
                return false;
            }
            self.shell.send_piece();
        }
        true
    }

    /// Sends until there is room for another frame, as long as no interrupt waits; whether there is.
    #[cold]
    fn make_room(&mut self) -> bool {
        while self.shell.evidence.frames.is_full() {
            self.shell.send_piece();
            if cpu::interrupt_pending() {
                break;
            }
        }
        !self.shell.evidence.frames.is_full()
    }
}
