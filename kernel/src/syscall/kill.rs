//! `kill`: ends the incarnation of a slot, or its loading, with the class that the caller found out.
//!
//! The caller must control the slot. A slot that is loading becomes empty, without a death and without a record.

use super::Done;
use crate::Kernel;
use crate::death::Demise;
use abi::record::{DeathClass, SlotState};
use abi::{SlotId, Status};

impl Kernel {
    pub(super) fn sys_kill(&mut self, slot: SlotId, now: u64) -> Done {
        let target = match self.controlled(slot) {
            Ok(target) => target,
            Err(status) => return Done::Status(status),
        };
        let class = u32::try_from(self.shell.frames.get(slot).x[1]).ok().and_then(DeathClass::from_code);
        // That a checkpoint is damaged only its component finds out: what is dropped for it rests on that.
        let class = class.filter(|&class| class != DeathClass::CheckpointCorrupt);
        let Some(class) = class else { return Done::Status(Status::BadArgument) };
        match self.core.slot(target).state {
            SlotState::Running => self.die(target, &Demise { class, text: b"", syndrome: None }, now),
            SlotState::Loading => self.core.stop_loading(target),
            SlotState::Empty | SlotState::Dead => return Done::Status(Status::WrongState),
        }
        Done::Status(Status::Ok)
    }
}
