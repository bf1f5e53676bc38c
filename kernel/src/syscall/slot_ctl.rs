//! `slot_ctl`: small decisions about a slot that the caller controls; and the store of a spare slot, which is another right.
//!
//! What is done already is done again without an error, so that a supervisor that was restarted may repeat itself.

use super::Done;
use super::checkpoint::Checkpoint;
use crate::Kernel;
use abi::message::bits;
use abi::record::{DeathClass, SlotState};
use abi::rights::slot_bit;
use abi::syscall::slot_ctl::{
    ACKNOWLEDGE, CLOSE, DROP_CHECKPOINT, HEARTBEAT, MUTE, OPEN, SEAL, STORE, UNMUTE,
};
use abi::trace::Event;
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_slot_ctl(&mut self, slot: SlotId, now: u64) -> Done {
        match self.shell.frames.get(slot).x[1] {
            STORE => return Done::Status(self.fill_store(slot).err().unwrap_or(Status::Ok)),
            SEAL => return Done::Status(self.seal_store(slot).err().unwrap_or(Status::Ok)),
            _ => {}
        }
        let target = match self.controlled(slot) {
            Ok(target) => target,
            Err(status) => return Done::Status(status),
        };
        let operation = self.shell.frames.get(slot).x[1];
        match operation {
            ACKNOWLEDGE => self.core.acknowledge(target),
            OPEN | CLOSE if !self.tell_all() => return Done::Again,
            OPEN => {
                self.core.open(target);
                self.shell.emit(now, Event::Opened { slot: target });
            }
            CLOSE => {
                self.core.close(target, now, &mut self.shell);
                self.shell.emit(now, Event::Closed { slot: target });
            }
            DROP_CHECKPOINT if !self.may_have_failed_by_its_checkpoint(target) => {
                return Done::Status(Status::WrongState);
            }
            DROP_CHECKPOINT => self.shell.checkpoints[usize::from(target)] = Checkpoint::EMPTY,
            MUTE => self.shell.muted |= slot_bit(target),
            UNMUTE => self.shell.muted &= !slot_bit(target),
            HEARTBEAT if self.core.slot(target).state != SlotState::Running => {
                return Done::Status(Status::WrongState);
            }
            HEARTBEAT => self.core.notify(target, bits::HEARTBEAT, now, &mut self.shell),
            _ => return Done::Status(Status::BadArgument),
        }
        Done::Status(Status::Ok)
    }

    /// Whether the last incarnation said that its checkpoint was damaged, or failed before it was ready. Of nobody else is there a
    /// reason to forget anything, whatever a supervisor that is wrong may say.
    fn may_have_failed_by_its_checkpoint(&self, target: SlotId) -> bool {
        let record = &self.shell.records[usize::from(target)];
        let class = DeathClass::from_code(record.class);
        let fails = |class| class == DeathClass::InterruptStorm || DeathClass::is_own_fault(class);
        let unready = record.was_ready == 0 && class.is_some_and(fails);
        let failed = unready || class == Some(DeathClass::CheckpointCorrupt);
        failed && self.core.slot(target).state != SlotState::Running
    }
}
