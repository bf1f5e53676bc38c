//! Life and death of incarnations, and what becomes of their calls.
//!
//! Rule: a death decides about every request at once and waits for nobody; a birth is one step.

use crate::slot::Gate;
use crate::{Core, Effects, NOBODY, bit, members};
use abi::message::{CallId, NEVER};
use abi::record::{Activity, SlotState};
use abi::{SlotId, Status};

/// What decides about the requests that were in service when an incarnation died.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Death {
    /// The incarnation died of its own doing: its current request may be poison.
    pub own_fault: bool,
    /// Equal for two deaths of the same kind at the same place.
    pub signature: u64,
}

impl<const N: usize> Core<N> {
    /// Begins to load the next incarnation of `slot`, or goes on with it.
    ///
    /// # Errors
    /// [`Status::WrongState`] if an incarnation lives.
    pub fn begin_loading(&mut self, slot: SlotId) -> Result<(), Status> {
        let record = self.slot_mut(slot);
        if record.state == SlotState::Running {
            return Err(Status::WrongState);
        }
        record.state = SlotState::Loading;
        Ok(())
    }

    /// All pages are in place: the next incarnation lives. This is the one step in which it begins to exist.
    pub fn begin_running(&mut self, slot: SlotId, now: u64) {
        debug_assert_eq!(self.slot(slot).state, SlotState::Loading);
        let record = self.slot_mut(slot);
        *record = record.born(now);
        self.make_ready(slot);
    }

    /// Gives up loading.
    pub fn stop_loading(&mut self, slot: SlotId) {
        let record = self.slot_mut(slot);
        if record.state == SlotState::Loading {
            record.state = SlotState::Empty;
        }
    }

    /// The incarnation of `slot` is dead. Its own call goes away; requests that it had received are delivered again,
    /// fail as unknown or as poison, as their marks say; requests that it had not received stay queued.
    pub fn die(&mut self, slot: SlotId, death: Death, now: u64, effects: &mut impl Effects) {
        self.charge(slot, now);
        if self.slot(slot).blocked_on().is_some() {
            self.leave_server(slot, now, effects);
        }
        self.ready &= !bit(slot);
        if self.current == u32::from(slot) {
            self.current = NOBODY;
            self.idle_since = now;
        }
        let record = self.slot_mut(slot);
        record.state = SlotState::Dead;
        record.set_activity(Activity::None);
        record.deadline = NEVER;
        record.gate.set(Gate::HEARTBEAT, false);
        record.demoted = false;
        record.unacknowledged = true;
        record.deaths += 1;
        if record.in_service != 0 {
            self.orphan_all(slot, death, now, effects);
        }
    }

    /// Decides about all requests that were in service by `server`, which died.
    #[inline(never)]
    fn orphan_all(&mut self, server: SlotId, death: Death, now: u64, effects: &mut impl Effects) {
        let record = self.slot_mut(server);
        let current = record.current();
        record.serving = CallId(0);
        let orphans = core::mem::take(&mut record.in_service);
        for caller in members(orphans) {
            self.orphan(server, caller, death, current == Some(caller), now, effects);
        }
    }

    /// Decides about one request that was in service by `server`, which died.
    fn orphan(
        &mut self,
        server: SlotId,
        caller: SlotId,
        death: Death,
        was_current: bool,
        now: u64,
        effects: &mut impl Effects,
    ) {
        let marks = self.slot(server).settings.marks;
        let closed = self.slot(server).is_closed();
        let record = self.slot_mut(caller);
        let again = (marks.idempotent | marks.deduplicated) >> record.request.label() & 1 != 0;
        let suspect = was_current && death.own_fault;
        let status = if suspect && record.request.is_suspect() && record.signature == death.signature {
            effects.poisoned(server, record.call_id());
            Status::Poisoned
        } else if !again || closed {
            Status::UnknownDied
        } else {
            if suspect {
                record.request.suspect();
                record.signature = death.signature;
            }
            record.request.survive();
            self.charge(caller, now);
            self.slot_mut(caller).set_activity(Activity::Queued);
            self.slot_mut(server).queued |= bit(caller);
            return;
        };
        self.charge(caller, now);
        self.make_ready(caller);
        effects.fail(caller, status);
    }

    /// Takes note that the death of `slot` has been dealt with.
    pub fn acknowledge(&mut self, slot: SlotId) {
        self.slot_mut(slot).unacknowledged = false;
    }

    /// The first slot at or above `from`, among `set`, whose death is not acknowledged.
    pub fn next_dead(&self, from: SlotId, set: u32) -> Option<SlotId> {
        (from..N as SlotId).find(|&slot| self.slot(slot).unacknowledged && set & bit(slot) != 0)
    }
}
