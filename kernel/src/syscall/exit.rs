//! `exit`: the component ends itself and says why. Classes that only others can find out count as plain exits.
//!
//! Does not return, whatever the arguments are: text that cannot be read becomes zeros.

use super::Done;
use crate::Kernel;
use crate::death::Demise;
use abi::SlotId;
use abi::record::{DeathClass, TEXT_MAX};

impl Kernel {
    pub(super) fn sys_exit(&mut self, slot: SlotId, now: u64) -> Done {
        let x = &self.shell.frames.get(slot).x;
        let (class, buffer, length) = (x[0], x[1], x[2]);
        let class = match u32::try_from(class).ok().and_then(DeathClass::from_code) {
            Some(
                class @ (DeathClass::Panic
                | DeathClass::QuotaExceeded
                | DeathClass::ProtocolViolation
                | DeathClass::CheckpointCorrupt),
            ) => class,
            _ => DeathClass::Exit,
        };
        let mut text = [0; TEXT_MAX];
        let length = (length as usize).min(TEXT_MAX);
        let text = &mut text[..length];
        if self.shell.read_user(slot, buffer, text).is_err() {
            text.fill(0);
        }
        self.die(slot, &Demise { class, text, syndrome: None }, now);
        Done::Settled
    }
}
