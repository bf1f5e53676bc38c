//! When which step is due: time and the states of the targets in, an action out.

use crate::{JOINED, POLL, Plan, parameter};
use abi::SLOTS_MAX;
use abi::plan::{Fault, PlanEntry};
use abi::syscall::trigger;
use serde::{Deserialize, Serialize};

/// What the injector sees of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Target {
    /// Number of the current or last incarnation.
    pub incarnation: u32,
    /// It runs and has received for the first time.
    pub ready: bool,
}

/// What the injector does next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Sleeps until this virtual time in nanoseconds.
    Sleep(u64),
    /// Injects this entry.
    Inject {
        /// Its index in the plan.
        entry: usize,
        /// Without its trigger, which did not come in time.
        overdue: bool,
    },
    /// Arms this entry, and then sleeps until the moment at which it takes place.
    Arm {
        /// Its index in the plan.
        entry: usize,
        /// That moment, in virtual nanoseconds.
        until: u64,
    },
    /// There is nothing left to do.
    Finish,
}

/// What the injector commits to its checkpoint before each injection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Progress {
    /// Index of the first entry that was not begun.
    pub next: u32,
}

/// A fault that was injected and whose target has not been replaced yet.
#[derive(Clone, Copy, Debug)]
struct Pending {
    entry: usize,
    incarnation: u32,
    injected: u64,
    overdue: bool,
}

/// Carries out one plan.
#[derive(Debug)]
pub struct Schedule<'a> {
    plan: Plan<'a>,
    next: usize,
    pending: heapless::Vec<Pending, SLOTS_MAX>,
    /// Times of the last entry in the plan and in fact: the delay of a joined entry counts from there.
    last: Option<(u64, u64)>,
    /// When all targets were first seen ready.
    settled: Option<u64>,
}

impl<'a> Schedule<'a> {
    /// Begins at `now`, or where the last incarnation of the injector left off.
    pub fn new(plan: Plan<'a>, progress: Option<Progress>, now: u64) -> Self {
        let next = match progress {
            Some(progress) => progress.next as usize,
            None if plan.is_later_boot(now) => plan.entries.len(),
            None => 0,
        };
        Self { plan, next, pending: heapless::Vec::new(), last: None, settled: None }
    }

    /// What to commit before the action is carried out.
    pub fn progress(&self) -> Progress {
        Progress { next: self.next as u32 }
    }

    /// The entry with this index.
    pub fn entry(&self, index: usize) -> Option<&'a PlanEntry> {
        self.plan.entries.get(index)
    }

    /// The next action at `now`. Actions other than [`Action::Inject`] and [`Action::Arm`] change nothing but what was seen.
    pub fn step(&mut self, now: u64, look: impl Fn(u32) -> Target) -> Action {
        let replaced = |pending: &Pending| {
            let target = look(self.plan.entries[pending.entry].slot);
            target.incarnation > pending.incarnation && target.ready
        };
        self.pending.retain(|pending| !replaced(pending));
        if let Some(overdue) = self.overdue(now, &look) {
            return overdue;
        }
        let Some(entry) = self.entry(self.next).copied() else {
            return if self.pending.is_empty() { Action::Finish } else { Action::Sleep(now + POLL) };
        };
        let due = if is_joined(&entry) || is_alarm(&entry) {
            self.joined_due(&entry)
        } else {
            self.settled_due(now, &entry)
        };
        let target = look(entry.slot);
        if is_alarm(&entry) && target.ready {
            return self.arm(now, &entry, target);
        }
        match due {
            Some(due) if due > now => Action::Sleep(due),
            Some(_) if target.ready => self.begin(now, entry.at, target),
            _ => Action::Sleep(now + POLL),
        }
    }

    /// The kernel refused what [`Schedule::step`] asked for last: it will be asked for again.
    pub fn refused(&mut self, entry: usize, overdue: bool) {
        if overdue {
            if let Some(pending) = self.pending.iter_mut().find(|pending| pending.entry == entry) {
                pending.overdue = false;
            }
        } else {
            self.pending.retain(|pending| pending.entry != entry);
            self.next = entry;
        }
    }

    fn begin(&mut self, now: u64, at: u64, target: Target) -> Action {
        let entry = self.next;
        if !self.take(at, now, target) {
            return Action::Sleep(now + POLL);
        }
        Action::Inject { entry, overdue: false }
    }

    fn arm(&mut self, now: u64, entry: &PlanEntry, target: Target) -> Action {
        let until = self.joined_due(entry).unwrap_or(now);
        let index = self.next;
        if !self.take(entry.at, until, target) {
            return Action::Sleep(now + POLL);
        }
        Action::Arm { entry: index, until }
    }

    /// Takes the next entry, which takes place at `moment`; false if too many are pending.
    fn take(&mut self, at: u64, moment: u64, target: Target) -> bool {
        let pending =
            Pending { entry: self.next, incarnation: target.incarnation, injected: moment, overdue: false };
        let taken =
            self.entry(self.next).is_some_and(leaves_its_target) || self.pending.push(pending).is_ok();
        if taken {
            self.next += 1;
            self.last = Some((at, moment));
            self.settled = None;
        }
        taken
    }

    /// A fault whose trigger did not come: its target is the same incarnation as when it was armed, and still well.
    fn overdue(&mut self, now: u64, look: &impl Fn(u32) -> Target) -> Option<Action> {
        let limit = self.plan.header.parameters[parameter::TRIGGER_LIMIT];
        let entries = self.plan.entries;
        let pending = self.pending.iter_mut().find(|pending| {
            let entry = &entries[pending.entry];
            let waits = u64::from(entry.trigger) != trigger::NOW && !pending.overdue;
            let target = look(entry.slot);
            waits
                && now >= pending.injected + limit
                && target.ready
                && target.incarnation == pending.incarnation
        })?;
        pending.overdue = true;
        Some(Action::Inject { entry: pending.entry, overdue: true })
    }

    fn joined_due(&self, entry: &PlanEntry) -> Option<u64> {
        self.last.map_or(Some(entry.at), |(at, injected)| Some(injected + entry.at.saturating_sub(at)))
    }

    fn settled_due(&mut self, now: u64, entry: &PlanEntry) -> Option<u64> {
        if !self.pending.is_empty() {
            return None;
        }
        let since = *self.settled.get_or_insert(now);
        let quiet = if self.last.is_some() { self.plan.header.parameters[parameter::SETTLE] } else { 0 };
        Some(entry.at.max(since + quiet))
    }
}

/// Whether the entry belongs to the one before.
pub fn is_joined(entry: &PlanEntry) -> bool {
    u64::from(entry.trigger) == trigger::NOW && entry.count == JOINED
}

/// What a debugger does to a component at once is the debugger's affair: nobody here knows whether that will be replaced, so the
/// next step waits for nothing.
fn leaves_its_target(entry: &PlanEntry) -> bool {
    entry.fault == Fault::Outside as u32 && u64::from(entry.trigger) == trigger::NOW
}

/// Joined to the entry before it, and armed together with it.
fn is_alarm(entry: &PlanEntry) -> bool {
    u64::from(entry.trigger) == trigger::ALARM
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::plan::PlanHeader;
    use std::cell::RefCell;

    const SETTLE: u64 = 1000;
    const LIMIT: u64 = 50_000;

    fn header() -> PlanHeader {
        let parameters = [SETTLE, LIMIT, 0, 0, 0, 0];
        PlanHeader { magic: 0, crc: 0, count: 0, seed: 0, end: 0, parameters }
    }

    fn entry(at: u64, slot: u32, trigger: u64, count: u32) -> PlanEntry {
        PlanEntry { at, fault: 1, slot, trigger: trigger as u32, count }
    }

    struct Board(RefCell<[Target; 4]>);

    impl Board {
        fn new() -> Self {
            Self(RefCell::new([Target { incarnation: 1, ready: true }; 4]))
        }

        fn set(&self, slot: usize, incarnation: u32, ready: bool) {
            self.0.borrow_mut()[slot] = Target { incarnation, ready };
        }

        fn look(&self) -> impl Fn(u32) -> Target {
            |slot| self.0.borrow()[slot as usize]
        }
    }

    const INJECT: fn(usize) -> Action = |entry| Action::Inject { entry, overdue: false };

    #[test]
    fn a_step_waits_for_its_time_and_for_the_targets_of_the_last() {
        let entries = [entry(5000, 1, 0, 0), entry(6000, 2, 0, 0)];
        let board = Board::new();
        let mut schedule = Schedule::new(Plan { header: header(), entries: &entries }, None, 10);
        assert_eq!(schedule.step(10, board.look()), Action::Sleep(5000));
        assert_eq!(schedule.step(5000, board.look()), INJECT(0));
        assert_eq!(schedule.step(7000, board.look()), Action::Sleep(7000 + POLL), "the target still lives");
        board.set(1, 1, false);
        assert_eq!(schedule.step(8000, board.look()), Action::Sleep(8000 + POLL), "dead");
        board.set(1, 2, false);
        assert_eq!(schedule.step(9000, board.look()), Action::Sleep(9000 + POLL), "loading");
        board.set(1, 2, true);
        assert_eq!(schedule.step(10_000, board.look()), Action::Sleep(10_000 + SETTLE));
        assert_eq!(schedule.step(10_000 + SETTLE, board.look()), INJECT(1));
        board.set(2, 2, true);
        assert_eq!(schedule.step(20_000, board.look()), Action::Finish);
    }

    #[test]
    fn a_step_after_a_stop_for_a_debugger_waits_for_nobody() {
        let stop = PlanEntry { fault: Fault::Outside as u32, ..entry(5000, 1, 0, 0) };
        let entries = [stop, entry(9000, 2, 0, 0)];
        let board = Board::new();
        let mut schedule = Schedule::new(Plan { header: header(), entries: &entries }, None, 0);
        assert_eq!(schedule.step(5000, board.look()), Action::Inject { entry: 0, overdue: false });
        assert_eq!(schedule.step(5001, board.look()), Action::Sleep(9000));
        assert_eq!(schedule.step(9000, board.look()), Action::Inject { entry: 1, overdue: false });
    }

    #[test]
    fn a_joined_step_comes_while_the_first_restarts() {
        let entries = [entry(5000, 1, 0, 0), entry(5300, 2, 0, JOINED)];
        let board = Board::new();
        let mut schedule = Schedule::new(Plan { header: header(), entries: &entries }, None, 0);
        assert_eq!(schedule.step(5100, board.look()), INJECT(0));
        board.set(1, 1, false);
        assert_eq!(
            schedule.step(5100, board.look()),
            Action::Sleep(5400),
            "delays count from the actual injection"
        );
        assert_eq!(schedule.step(5400, board.look()), INJECT(1));
        assert!(matches!(schedule.step(5400, board.look()), Action::Sleep(_)), "both are awaited");
        board.set(1, 2, true);
        board.set(2, 2, true);
        assert_eq!(schedule.step(9000, board.look()), Action::Finish);
    }

    #[test]
    fn an_alarm_is_armed_with_the_step_before_it_and_takes_place_at_its_moment() {
        let entries = [entry(5000, 1, 0, 0), entry(5300, 2, trigger::ALARM, 1), entry(6000, 1, 0, 0)];
        let board = Board::new();
        let mut schedule = Schedule::new(Plan { header: header(), entries: &entries }, None, 0);
        assert_eq!(schedule.step(5100, board.look()), INJECT(0));
        assert_eq!(schedule.step(5120, board.look()), Action::Arm { entry: 1, until: 5400 });
        board.set(1, 2, true);
        assert!(matches!(schedule.step(5400, board.look()), Action::Sleep(_)), "both are awaited");
        board.set(2, 2, true);
        assert_eq!(schedule.step(8000, board.look()), Action::Sleep(8000 + SETTLE));
        assert_eq!(schedule.step(8000 + SETTLE, board.look()), INJECT(2));
    }

    #[test]
    fn a_step_waits_until_its_own_target_is_ready() {
        let entries = [entry(5000, 1, 0, 0)];
        let board = Board::new();
        board.set(1, 4, false);
        let mut schedule = Schedule::new(Plan { header: header(), entries: &entries }, None, 0);
        assert_eq!(schedule.step(5000, board.look()), Action::Sleep(5000 + POLL));
        board.set(1, 4, true);
        assert_eq!(schedule.step(5000 + POLL, board.look()), INJECT(0));
    }

    #[test]
    fn a_trigger_that_does_not_come_is_replaced_once() {
        let entries = [entry(5000, 1, trigger::RECEIVED, 3)];
        let board = Board::new();
        let mut schedule = Schedule::new(Plan { header: header(), entries: &entries }, None, 0);
        assert_eq!(schedule.step(5000, board.look()), INJECT(0));
        assert!(matches!(schedule.step(5000 + LIMIT - 1, board.look()), Action::Sleep(_)));
        let overdue = Action::Inject { entry: 0, overdue: true };
        assert_eq!(schedule.step(5000 + LIMIT, board.look()), overdue);
        assert!(matches!(schedule.step(5000 + 3 * LIMIT, board.look()), Action::Sleep(_)));
        schedule.refused(0, true);
        assert_eq!(schedule.step(5000 + 4 * LIMIT, board.look()), overdue);
    }

    #[test]
    fn a_refused_step_is_tried_again() {
        let entries = [entry(5000, 1, 0, 0)];
        let board = Board::new();
        let mut schedule = Schedule::new(Plan { header: header(), entries: &entries }, None, 0);
        assert_eq!(schedule.step(5000, board.look()), INJECT(0));
        schedule.refused(0, false);
        assert_eq!(schedule.step(5100, board.look()), Action::Sleep(5100 + SETTLE));
        assert_eq!(schedule.step(5100 + SETTLE, board.look()), INJECT(0));
    }

    #[test]
    fn after_a_reset_of_the_board_nothing_is_injected() {
        let entries = [entry(5000, 1, 0, 0), entry(9000, 1, 0, 0)];
        let plan = Plan { header: header(), entries: &entries };
        let board = Board::new();
        assert_eq!(Schedule::new(plan, None, 5001).step(5001, board.look()), Action::Finish);
        let mut resumed = Schedule::new(plan, Some(Progress { next: 1 }), 6000);
        assert_eq!(resumed.step(6000, board.look()), Action::Sleep(9000));
    }
}
