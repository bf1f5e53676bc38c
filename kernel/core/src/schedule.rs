//! Who runs next, and what the passing of time brings about.
//!
//! Fixed priorities; equals take turns of one slice. Who has spent its budget runs behind everybody until its period
//! ends: a spent budget demotes, it never kills.

use crate::{Core, Effects, bit, members};
use abi::message::NEVER;
use abi::record::Activity;
use abi::{SlotId, Status};

impl<const N: usize> Core<N> {
    /// Puts `slot` among those that want the CPU. The slot's times must be up to date.
    #[inline(always)]
    pub(crate) fn make_ready(&mut self, slot: SlotId) {
        let stamp = self.next_stamp();
        let record = self.slot_mut(slot);
        record.activity = Activity::Ready;
        record.deadline = NEVER;
        record.stamp = stamp;
        self.ready |= bit(slot);
    }

    /// Takes `slot` from those that want the CPU. The slot's times must be up to date.
    #[inline(always)]
    pub(crate) fn block(&mut self, slot: SlotId, activity: Activity, deadline: u64) {
        self.ready &= !bit(slot);
        let record = self.slot_mut(slot);
        record.activity = activity;
        record.deadline = deadline;
        self.timer = self.timer.min(deadline);
    }

    /// Chooses who has the CPU from `now` on; `None`: nobody wants it.
    pub fn pick(&mut self, now: u64) -> Option<SlotId> {
        if let Some(slot) = self.current
            && self.ready & bit(slot) != 0
            && self.is_unrivalled(slot)
            && self.slot(slot).settings.budget == 0
        {
            return self.current;
        }
        let next = self.highest();
        if next != self.current {
            self.hand_over(next, now);
        }
        let next = next?;
        if self.slot(next).settings.budget != 0 {
            self.check_budget(next, now);
        }
        if !self.is_unrivalled(next) && self.has_equal(next) {
            self.timer = self.timer.min(now + self.slice);
        }
        Some(next)
    }

    fn highest(&self) -> Option<SlotId> {
        if self.ready.is_power_of_two() {
            return Some(self.ready.trailing_zeros() as SlotId);
        }
        let mut slot = self.ready.trailing_zeros() as SlotId;
        if self.ready != 0 {
            while let above @ 1.. = self.ready & self.above[usize::from(slot) % N] {
                slot = above.trailing_zeros() as SlotId;
            }
            if self.is_unrivalled(slot) {
                return Some(slot);
            }
        }
        members(self.ready).max_by_key(|&slot| {
            let record = self.slot(slot);
            (record.effective_priority(), core::cmp::Reverse(record.stamp))
        })
    }

    /// Whether no other slot that wants the CPU could come before `slot` or take turns with it.
    #[inline(always)]
    fn is_unrivalled(&self, slot: SlotId) -> bool {
        self.ready & self.rivals[usize::from(slot) % N] == 0 && !self.slot(slot).demoted
    }

    fn has_equal(&self, slot: SlotId) -> bool {
        let priority = self.slot(slot).effective_priority();
        members(self.ready & !bit(slot)).any(|other| self.slot(other).effective_priority() == priority)
    }

    fn hand_over(&mut self, next: Option<SlotId>, now: u64) {
        match self.current {
            Some(slot) => self.charge(slot, now),
            None => self.idle += now.saturating_sub(self.idle_since),
        }
        if let Some(slot) = next {
            self.charge(slot, now);
        }
        self.current = next;
        self.idle_since = now;
    }

    /// The timer fired: ends the waits whose deadline has come, gives equals their turn, renews budgets.
    pub fn tick(&mut self, now: u64, effects: &mut impl Effects) {
        self.timer = NEVER;
        for slot in 0..N as SlotId {
            if self.slot(slot).deadline <= now {
                self.expire(slot, now, effects);
            }
            self.timer = self.timer.min(self.slot(slot).deadline);
            self.check_budget(slot, now);
        }
        if let Some(slot) = self.current.filter(|&slot| self.ready & bit(slot) != 0) {
            let stamp = self.next_stamp();
            self.slot_mut(slot).stamp = stamp;
        }
    }

    fn expire(&mut self, slot: SlotId, now: u64, effects: &mut impl Effects) {
        match self.slot(slot).activity {
            Activity::Receiving => {
                self.charge(slot, now);
                self.make_ready(slot);
                effects.timed_out(slot);
            }
            Activity::Queued | Activity::InService => {
                let status = self.expiry_status(slot);
                self.abandon(slot, now, effects);
                effects.fail(slot, status);
            }
            Activity::None | Activity::Ready => self.slot_mut(slot).deadline = NEVER,
        }
    }

    fn expiry_status(&self, caller: SlotId) -> Status {
        let record = self.slot(caller);
        if record.activity == Activity::Queued && record.attempt == 0 {
            Status::Expired
        } else {
            Status::UnknownExpired
        }
    }
}
