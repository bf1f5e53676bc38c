//! Life and death of incarnations, and what becomes of their calls.
//!
//! Rule: a death decides about every request at once and waits for nobody; a birth is one step.

use crate::slot::Slot;
use crate::{Core, Effects, bit, members};
use abi::message::{NEVER, bits};
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
        *record = Slot {
            state: SlotState::Running,
            incarnation: record.incarnation + 1,
            settings: record.settings,
            call_number: record.call_number,
            notifications: record.notifications & !bits::HEARTBEAT,
            queued: record.queued,
            closed: record.closed,
            unacknowledged: record.unacknowledged,
            deaths: record.deaths,
            mark: now,
            started: now,
            last_receive: now,
            ..Slot::EMPTY
        };
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
        self.leave_server(slot, now, effects);
        self.ready &= !bit(slot);
        if self.current == Some(slot) {
            self.current = None;
            self.idle_since = now;
        }
        let record = self.slot_mut(slot);
        record.state = SlotState::Dead;
        record.activity = Activity::None;
        record.deadline = NEVER;
        record.heartbeat_pending = false;
        record.demoted = false;
        record.unacknowledged = true;
        record.deaths += 1;
        let current = record.current.take();
        let orphans = core::mem::take(&mut record.in_service);
        for caller in members(orphans) {
            self.orphan(slot, caller, death, current == Some(caller), now, effects);
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
        let closed = self.slot(server).closed;
        let record = self.slot_mut(caller);
        let again = (marks.idempotent | marks.deduplicated) >> record.label & 1 != 0;
        let suspect = was_current && death.own_fault;
        let status = if suspect && record.signature == Some(death.signature) {
            effects.poisoned(server, record.call_id(caller));
            Status::Poisoned
        } else if !again || closed {
            Status::UnknownDied
        } else {
            if suspect {
                record.signature = Some(death.signature);
            }
            record.attempt = record.attempt.saturating_add(1);
            self.charge(caller, now);
            self.slot_mut(caller).activity = Activity::Queued;
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
