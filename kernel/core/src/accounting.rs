//! Where the time of each slot goes.
//!
//! Three sums decide who is to blame for slowness: CPU time, time without the CPU although it was wanted, and time
//! blocked in calls. Only the rest, and CPU time, are held against a component.

use crate::slot::Gate;
use crate::{Core, NOBODY, bit};
use abi::SlotId;
use abi::record::Activity;

impl<const N: usize> Core<N> {
    /// Brings the times of `slot` up to date. To be called before its activity changes.
    #[inline(always)]
    pub(crate) fn charge(&mut self, slot: SlotId, now: u64) {
        let has_cpu = self.current == u32::from(slot);
        let record = self.slot_mut(slot);
        let elapsed = now.saturating_sub(record.mark);
        record.mark = now;
        match record.activity() {
            Activity::Ready if has_cpu => {
                record.cpu += elapsed;
                if record.gate.has(Gate::BUDGETED) {
                    record.budget_used += elapsed;
                }
            }
            Activity::Ready => {
                record.starved += elapsed;
                record.excused += elapsed;
            }
            Activity::Queued | Activity::InService => record.excused += elapsed,
            Activity::None | Activity::Receiving => {}
        }
    }

    /// The same for a slot that is ready, and has not had the CPU.
    #[inline(always)]
    pub(crate) fn end_starvation(&mut self, slot: SlotId, now: u64) {
        let record = self.slot_mut(slot);
        debug_assert_eq!(record.activity(), Activity::Ready);
        let elapsed = now.saturating_sub(record.mark);
        record.mark = now;
        record.starved += elapsed;
        record.excused += elapsed;
    }

    /// Clock of `slot` that stands still while it is blocked in a call or starved.
    #[inline(always)]
    pub(crate) fn unexcused(&self, slot: SlotId, now: u64) -> u64 {
        now - self.slot(slot).excused
    }

    /// CPU time that `slot` has used since it last asked to receive. Brings its times up to date.
    pub fn cpu_since_receive(&mut self, slot: SlotId, now: u64) -> u64 {
        self.charge(slot, now);
        let record = self.slot(slot);
        record.cpu - record.cpu_at_receive
    }

    /// Age of the oldest request in service by `slot`, excused time not counted. With none in service: how long requests
    /// have been queued that it could have taken. 0 if there is nothing to be done, or it has not received yet.
    pub fn service_age(&mut self, slot: SlotId, now: u64) -> u64 {
        self.charge(slot, now);
        let clock = self.unexcused(slot, now);
        let record = self.slot(slot);
        let oldest = if record.in_service != 0 {
            crate::members(record.in_service).map(|caller| self.slot(caller).served_since).min()
        } else {
            (record.ready && record.queued != 0).then_some(record.asked_since)
        };
        oldest.map_or(0, |since| clock.saturating_sub(since))
    }

    /// Takes note of the moment at which `server` has requests queued and none in service: from now on it is its own fault
    /// if it takes none. Many may wait for long while it works on others: that is overload, and not held against it.
    #[inline(never)]
    pub(crate) fn mark_asked(&mut self, server: SlotId, now: u64) {
        if self.slot(server).in_service == 0 {
            self.charge(server, now);
            let clock = self.unexcused(server, now);
            self.slot_mut(server).asked_since = clock;
        }
    }

    /// Time in which no slot wanted the CPU.
    pub fn idle(&self, now: u64) -> u64 {
        let lately = if self.current == NOBODY { now.saturating_sub(self.idle_since) } else { 0 };
        self.idle + lately
    }

    /// Makes the budgets of a new period available and takes note of those that are spent.
    #[inline(never)]
    pub(crate) fn check_budget(&mut self, slot: SlotId, now: u64) {
        self.charge(slot, now);
        let wants_cpu = self.ready & bit(slot) != 0;
        let record = self.slot_mut(slot);
        let settings = record.settings;
        if settings.budget == 0 {
            return;
        }
        if now >= record.budget_ends {
            record.budget_used = 0;
            record.budget_ends = now + settings.budget_period;
        }
        record.demoted = record.budget_used >= settings.budget;
        if wants_cpu {
            let due =
                if record.demoted { record.budget_ends } else { now + settings.budget - record.budget_used };
            self.timer = self.timer.min(due);
        }
    }
}
