//! The judge of deaths and restarts: from the kernel's records to the rows of the report.
//!
//! A row lasts from the injector's announcement of its first entry to that of the next row's. Times:
//! - *detection*: from the injection to the kernel's death record (of two targets the longer one);
//! - *outage*: from the injection to the moment at which the next incarnation received for the first time, so it includes
//!   the detection (of two targets: from the first injection to the last moment).
//!
//! The row of root is different, because its death takes the board with it: detection ends when the kernel resets the
//! board, the outage when everything that had been ready is ready again, and every component is a target. The board's time
//! from there to its new start is not part of the outage: in the emulator it depends on the host.

use super::{Finding, Kind};
use crate::plan::{PlannedRow, RowKind};
use abi::plan::Fault;
use abi::record::DeathClass;
use abi::trace::Event;
use std::collections::{BTreeMap, BTreeSet};

/// What became of one target of a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Fate {
    /// When the fault took place, and the requests that were in service then.
    pub injected: Option<(u64, u8)>,
    /// When and why the incarnation died.
    pub died: Option<(u64, &'static str, u32)>,
    /// When the next incarnation was ready.
    pub ready: Option<u64>,
    /// Deaths in this row.
    pub deaths: u32,
}

/// One row of the report.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// What was planned.
    pub planned: PlannedRow,
    /// When it began.
    pub opened: u64,
    /// When the next one began.
    pub closed: Option<u64>,
    /// Incarnations by slot when it began.
    pub before: BTreeMap<u8, u32>,
    /// Incarnations by slot when it ended.
    pub after: BTreeMap<u8, u32>,
    /// What became of the targets, in the order of [`PlannedRow::slots`].
    pub fates: Vec<Fate>,
    /// When all targets were ready again.
    pub recovered: Option<u64>,
    /// Ticks from the reset of the board to its new start.
    pub reset_ticks: u64,
    /// Whether data was found intact after that; `None`: nobody has looked yet.
    pub data_intact: Option<bool>,
}

impl Row {
    /// From the injection to the death record in nanoseconds.
    pub fn detect_ns(&self) -> Option<u64> {
        let each = self.fates.iter().map(|fate| Some(fate.died?.0.saturating_sub(fate.injected?.0)));
        each.collect::<Option<Vec<_>>>()?.into_iter().max()
    }

    /// From the first injection to the moment at which all targets were ready again, in nanoseconds.
    pub fn outage_ns(&self) -> Option<u64> {
        let injected = self.fates.iter().filter_map(|fate| Some(fate.injected?.0)).min()?;
        Some(self.recovered?.saturating_sub(injected).saturating_sub(self.reset_ticks))
    }

    /// Requests that were in service by the targets when they failed.
    pub fn requests_in_service(&self) -> u32 {
        self.fates.iter().filter_map(|fate| fate.injected).map(|(_, requests)| u32::from(requests)).sum()
    }

    /// How the failure was classified: one name, or one for each target.
    pub fn class(&self) -> String {
        let names: Vec<_> = self.fates.iter().map(|fate| fate.died.map_or("none", |died| died.1)).collect();
        if names.iter().all(|name| name == &names[0]) { names[0].to_owned() } else { names.join(" + ") }
    }

    /// Whether the incarnation of every slot that is no target stayed the same.
    pub fn others_unchanged(&self) -> bool {
        self.changed_others().is_empty()
    }

    /// Slots that are no targets and have another incarnation than before.
    pub fn changed_others(&self) -> Vec<u8> {
        let slots: BTreeSet<_> = self.before.keys().chain(self.after.keys()).copied().collect();
        let is_target = |slot: &u8| self.planned.kind == RowKind::Root || self.planned.slots.contains(slot);
        let changed = |slot: &u8| !is_target(slot) && self.before.get(slot) != self.after.get(slot);
        slots.into_iter().filter(changed).collect()
    }

    /// Everything that is wrong with this row once it is closed; data apart.
    fn problems(&self, limit: u64, name: &dyn Fn(u8) -> String) -> Vec<(Kind, String)> {
        let mut problems = Vec::new();
        let title = format!("{} of {}", self.planned.fault.name(), self.target_names(name));
        match self.outage_ns() {
            None => problems.push((Kind::Liveness, format!("{title}: did not come back"))),
            Some(outage) if outage > limit => {
                problems.push((Kind::Liveness, format!("{title}: came back only after {outage} ns")));
            }
            Some(_) => {}
        }
        for slot in self.changed_others() {
            problems.push((Kind::Correctness, format!("{title}: {} was restarted, too", name(slot))));
        }
        if self.planned.kind == RowKind::Root {
            return problems;
        }
        for (slot, fate) in self.planned.slots.iter().zip(&self.fates) {
            if let Some((_, class, code)) = fate.died
                && !is_expected(self.planned.fault, code)
            {
                problems.push((Kind::Correctness, format!("{title}: {} died of {class:?}", name(*slot))));
            }
            if fate.deaths > 1 {
                problems.push((
                    Kind::Correctness,
                    format!("{title}: {} died {} times", name(*slot), fate.deaths),
                ));
            }
        }
        if self.planned.kind == RowKind::Stuck && self.requests_in_service() == 0 {
            problems.push((Kind::Evidence, format!("{title}: nobody was waiting for it")));
        }
        problems
    }

    /// The targets' names.
    pub fn target_names(&self, name: &dyn Fn(u8) -> String) -> String {
        self.planned.slots.iter().map(|slot| name(*slot)).collect::<Vec<_>>().join(" + ")
    }
}

/// Whether a component that suffered `fault` may die of this class.
fn is_expected(fault: Fault, class: u32) -> bool {
    use DeathClass::{
        CpuException, Exit, Hang, HeartbeatMissed, Killed, MmuException, Panic, QuotaExceeded, StackOverflow,
    };
    let expected: &[DeathClass] = match fault {
        Fault::Kill => &[Killed],
        Fault::Exit => &[Exit],
        Fault::Panic => &[Panic],
        Fault::WildWrite => &[MmuException],
        Fault::IllegalInstruction => &[CpuException],
        Fault::Loop | Fault::Mute | Fault::Deaf | Fault::Flood | Fault::Forge | Fault::Accuse => {
            &[Hang, HeartbeatMissed]
        }
        Fault::StackOverflow => &[StackOverflow],
        Fault::Leak => &[QuotaExceeded],
        // Whatever follows from what a debugger has done, or whoever complains of it first.
        Fault::Outside | Fault::Garbage | Fault::Plausible => return true,
    };
    DeathClass::from_code(class).is_some_and(|class| expected.contains(&class))
}

/// Follows the kernel's records.
#[derive(Debug)]
pub struct Tracker {
    planned: Vec<PlannedRow>,
    limit: u64,
    rows: Vec<Row>,
    /// Whether the last row is still open.
    open: bool,
    /// Number of the incarnation in each slot that was ever started since the board was started.
    incarnations: BTreeMap<u8, u32>,
    /// Slots whose current incarnation is ready.
    ready: BTreeSet<u8>,
    /// Slots that must be ready again after a reset.
    awaited: BTreeSet<u8>,
    boots: u32,
    deaths: BTreeMap<u8, Vec<u64>>,
    unplanned_resets: u32,
}

impl Tracker {
    /// A tracker of these rows. `limit`: longest outage in nanoseconds.
    pub fn new(planned: Vec<PlannedRow>, limit: u64) -> Self {
        Self {
            planned,
            limit,
            rows: Vec::new(),
            open: false,
            incarnations: BTreeMap::new(),
            ready: BTreeSet::new(),
            awaited: BTreeSet::new(),
            boots: 0,
            deaths: BTreeMap::new(),
            unplanned_resets: 0,
        }
    }

    /// The rows that have begun, in their order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The rows, for marking them.
    pub fn rows_mut(&mut self) -> &mut [Row] {
        &mut self.rows
    }

    /// Whether the row with this index is over.
    pub fn is_closed(&self, index: usize) -> bool {
        index + usize::from(self.open) < self.rows.len()
    }

    /// Deaths of all components.
    pub fn deaths(&self) -> u32 {
        self.deaths.values().map(|times| times.len() as u32).sum()
    }

    /// When the component in this slot died, each time.
    pub fn deaths_of(&self, slot: u8) -> &[u64] {
        self.deaths.get(&slot).map_or(&[], Vec::as_slice)
    }

    /// Resets of the board that were not root's row.
    pub fn unplanned_resets(&self) -> u32 {
        self.unplanned_resets
    }

    /// Starts of the board.
    pub fn boots(&self) -> u32 {
        self.boots
    }

    /// The injector announced an entry of the plan.
    pub fn step(&mut self, time: u64, entry: u32) {
        let index = self.planned.iter().position(|row| row.entries.start == entry as usize);
        let Some(index) = index else { return };
        let again = self.open && self.rows.len() == index + 1;
        if again {
            return;
        }
        self.close(time);
        let planned = self.planned[index].clone();
        let fates = vec![Fate::default(); planned.slots.len()];
        self.rows.push(Row {
            planned,
            opened: time,
            closed: None,
            before: self.incarnations.clone(),
            after: BTreeMap::new(),
            fates,
            recovered: None,
            reset_ticks: 0,
            data_intact: None,
        });
        self.open = true;
    }

    /// Takes the next record of the kernel. Returns true if it says that the board was started again.
    pub fn event(&mut self, time: u64, event: &Event) -> bool {
        match *event {
            Event::Boot { .. } => return self.boot(time),
            Event::Started { slot, incarnation } => {
                self.incarnations.insert(slot, incarnation);
                self.ready.remove(&slot);
            }
            Event::Ready { slot, .. } => self.became_ready(time, slot),
            Event::Injected { slot, in_service, .. } => self.injected(time, slot, in_service),
            Event::Died { slot, class, .. } => self.died(time, slot, class),
            Event::Reset { power_off: false, .. } => self.reset(time),
            _ => {}
        }
        false
    }

    /// The run is over: closes the last row.
    pub fn finish(&mut self, time: u64) {
        self.close(time);
    }

    /// Whether the open row has taken longer than it may.
    pub fn is_overdue(&self, now: u64) -> bool {
        let injected = |row: &Row| row.fates.iter().filter_map(|fate| Some(fate.injected?.0)).min();
        self.open
            && self.rows.last().is_some_and(|row| {
                row.recovered.is_none() && injected(row).is_some_and(|injected| now > injected + self.limit)
            })
    }

    /// Everything that is wrong with the rows that are over, and with those that never began.
    pub fn findings(&self, name: &dyn Fn(u8) -> String) -> Vec<Finding> {
        let mut findings = Vec::new();
        for row in self.rows.iter().filter(|row| row.closed.is_some()) {
            for (kind, text) in row.problems(self.limit, name) {
                findings.push(Finding::at(kind, row.opened, text));
            }
        }
        let missing = self.planned.len() - self.rows.len();
        if missing > 0 {
            findings.push(Finding::overall(
                Kind::Liveness,
                format!("{missing} rows of the plan were not carried out"),
            ));
        }
        findings
    }

    fn current(&mut self) -> Option<&mut Row> {
        if self.open { self.rows.last_mut() } else { None }
    }

    fn fate(&mut self, slot: u8) -> Option<&mut Fate> {
        let row = self.current()?;
        let index = row.planned.slots.iter().position(|target| *target == slot)?;
        Some(&mut row.fates[index])
    }

    fn close(&mut self, time: u64) {
        let incarnations = self.incarnations.clone();
        if let Some(row) = self.current() {
            row.closed = Some(time);
            row.after = incarnations;
        }
        self.open = false;
    }

    fn boot(&mut self, time: u64) -> bool {
        self.boots += 1;
        let again = self.boots > 1;
        if again {
            self.awaited = std::mem::take(&mut self.ready);
            match self.current().filter(|row| row.planned.kind == RowKind::Root) {
                Some(row) => {
                    row.reset_ticks = row.fates[0].died.map_or(0, |died| time.saturating_sub(died.0));
                }
                None => self.unplanned_resets += 1,
            }
        }
        self.incarnations.clear();
        self.ready.clear();
        again
    }

    fn became_ready(&mut self, time: u64, slot: u8) {
        self.ready.insert(slot);
        self.awaited.remove(&slot);
        let board_is_back = self.boots > 1 && self.awaited.is_empty();
        if let Some(fate) = self.fate(slot)
            && fate.died.is_some()
        {
            fate.ready.get_or_insert(time);
        }
        let Some(row) = self.current() else { return };
        let back = match row.planned.kind {
            RowKind::Root => board_is_back,
            _ => row.fates.iter().all(|fate| fate.ready.is_some()),
        };
        if back {
            row.recovered.get_or_insert(time);
        }
    }

    fn injected(&mut self, time: u64, slot: u8, in_service: u8) {
        if let Some(fate) = self.fate(slot)
            && fate.died.is_none()
        {
            fate.injected = Some((time, in_service));
        }
    }

    fn died(&mut self, time: u64, slot: u8, class: DeathClass) {
        self.deaths.entry(slot).or_default().push(time);
        self.ready.remove(&slot);
        if let Some(fate) = self.fate(slot) {
            fate.deaths += 1;
            fate.died.get_or_insert((time, class.name(), class as u32));
        }
    }

    /// Root is dead: what is reset now is the board.
    fn reset(&mut self, time: u64) {
        if let Some(row) = self.current()
            && row.planned.kind == RowKind::Root
        {
            let fate = &mut row.fates[0];
            let code = fate.died.map_or(DeathClass::Killed as u32, |died| died.2);
            fate.died = Some((time, "board reset", code));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 1_000_000;

    fn row(kind: RowKind, entries: std::ops::Range<usize>, slots: &[u8], fault: Fault) -> PlannedRow {
        PlannedRow { kind, entries, slots: slots.to_vec(), fault }
    }

    fn booted(planned: Vec<PlannedRow>) -> Tracker {
        let mut tracker = Tracker::new(planned, LIMIT);
        boot(&mut tracker, 0);
        tracker
    }

    fn boot(tracker: &mut Tracker, time: u64) -> bool {
        let again = tracker.event(time, &Event::Boot { board: "b", frequency: 1, slots: 4, ram: 0 });
        for slot in 0..4 {
            restart(tracker, time + 10, slot, 1);
        }
        again
    }

    fn restart(tracker: &mut Tracker, time: u64, slot: u8, incarnation: u32) {
        tracker.event(time, &Event::Started { slot, incarnation });
        tracker.event(time + 5, &Event::Ready { slot, incarnation });
    }

    fn inject(tracker: &mut Tracker, time: u64, slot: u8, fault: Fault, in_service: u8) {
        tracker.event(time, &Event::Injected { slot, incarnation: 1, fault, in_service });
    }

    fn die(tracker: &mut Tracker, time: u64, slot: u8, class: DeathClass) {
        let event =
            Event::Died { slot, incarnation: 1, class, pc: 0, esr: 0, far: 0, in_service: 0, text: "" };
        tracker.event(time, &event);
    }

    fn kinds(tracker: &Tracker) -> Vec<Kind> {
        tracker.findings(&|slot| slot.to_string()).iter().map(|finding| finding.kind).collect()
    }

    #[test]
    fn a_row_has_its_times_and_incarnations() {
        let mut tracker = booted(vec![row(RowKind::Single, 0..1, &[2], Fault::Loop)]);
        tracker.step(100, 0);
        inject(&mut tracker, 110, 2, Fault::Loop, 3);
        die(&mut tracker, 150, 2, DeathClass::Hang);
        restart(&mut tracker, 160, 2, 2);
        tracker.finish(200);
        let row = &tracker.rows()[0];
        assert_eq!((row.detect_ns(), row.outage_ns()), (Some(40), Some(55)));
        assert_eq!((row.before[&2], row.after[&2], row.requests_in_service()), (1, 2, 3));
        assert_eq!(row.class(), "hang");
        assert!(row.others_unchanged());
        assert_eq!(kinds(&tracker), []);
        assert_eq!(tracker.deaths(), 1);
    }

    #[test]
    fn failures_are_found() {
        let planned = || vec![row(RowKind::Single, 0..1, &[2], Fault::Panic)];
        let mut never_back = booted(planned());
        never_back.step(100, 0);
        inject(&mut never_back, 110, 2, Fault::Panic, 0);
        die(&mut never_back, 120, 2, DeathClass::Panic);
        assert!(!never_back.is_overdue(110 + LIMIT) && never_back.is_overdue(111 + LIMIT));
        never_back.finish(200);
        assert_eq!(kinds(&never_back), [Kind::Liveness]);

        let mut wrong_class = booted(planned());
        wrong_class.step(100, 0);
        inject(&mut wrong_class, 110, 2, Fault::Panic, 0);
        die(&mut wrong_class, 120, 2, DeathClass::Killed);
        restart(&mut wrong_class, 130, 2, 2);
        wrong_class.finish(200);
        assert_eq!(kinds(&wrong_class), [Kind::Correctness]);

        let mut other_too = booted(planned());
        other_too.step(100, 0);
        inject(&mut other_too, 110, 2, Fault::Panic, 0);
        die(&mut other_too, 120, 2, DeathClass::Panic);
        restart(&mut other_too, 130, 2, 2);
        die(&mut other_too, 140, 3, DeathClass::Hang);
        restart(&mut other_too, 150, 3, 2);
        other_too.finish(200);
        assert!(!other_too.rows()[0].others_unchanged());
        assert_eq!(kinds(&other_too), [Kind::Correctness]);

        let mut not_begun = booted(planned());
        not_begun.finish(200);
        assert_eq!(kinds(&not_begun), [Kind::Liveness]);

        let mut twice = booted(planned());
        twice.step(100, 0);
        inject(&mut twice, 110, 2, Fault::Panic, 0);
        die(&mut twice, 120, 2, DeathClass::Panic);
        restart(&mut twice, 130, 2, 2);
        die(&mut twice, 140, 2, DeathClass::Panic);
        restart(&mut twice, 150, 2, 3);
        twice.finish(200);
        assert_eq!(kinds(&twice), [Kind::Correctness]);
    }

    #[test]
    fn a_stuck_server_must_have_had_a_caller() {
        for in_service in [0, 1] {
            let mut tracker = booted(vec![row(RowKind::Stuck, 0..1, &[2], Fault::Mute)]);
            tracker.step(100, 0);
            inject(&mut tracker, 110, 2, Fault::Mute, in_service);
            die(&mut tracker, 120, 2, DeathClass::Hang);
            restart(&mut tracker, 130, 2, 2);
            tracker.finish(200);
            assert_eq!(kinds(&tracker).is_empty(), in_service == 1);
        }
    }

    #[test]
    fn a_pair_lasts_until_both_are_back() {
        let mut tracker = booted(vec![row(RowKind::Pair, 0..2, &[2, 3], Fault::Kill)]);
        tracker.step(100, 0);
        inject(&mut tracker, 110, 2, Fault::Kill, 1);
        die(&mut tracker, 110, 2, DeathClass::Killed);
        tracker.step(115, 1);
        inject(&mut tracker, 120, 3, Fault::Kill, 1);
        die(&mut tracker, 121, 3, DeathClass::Killed);
        restart(&mut tracker, 130, 2, 2);
        assert_eq!(tracker.rows()[0].recovered, None);
        restart(&mut tracker, 140, 3, 2);
        tracker.finish(200);
        let row = &tracker.rows()[0];
        assert_eq!((row.detect_ns(), row.outage_ns(), row.requests_in_service()), (Some(1), Some(35), 2));
        assert_eq!(kinds(&tracker), []);
    }

    #[test]
    fn the_death_of_root_resets_the_board_once() {
        let planned = vec![row(RowKind::Root, 0..1, &[0], Fault::Kill)];
        let mut tracker = booted(planned);
        tracker.step(100, 0);
        inject(&mut tracker, 110, 0, Fault::Kill, 0);
        die(&mut tracker, 110, 0, DeathClass::Killed);
        tracker.event(112, &Event::Reset { slot: 0, power_off: false });
        assert!(boot(&mut tracker, 200));
        tracker.finish(300);
        let row = &tracker.rows()[0];
        assert_eq!(
            (row.class().as_str(), row.detect_ns(), row.outage_ns()),
            ("board reset", Some(2), Some(17))
        );
        assert_eq!((tracker.unplanned_resets(), tracker.boots()), (0, 2));
        assert_eq!(kinds(&tracker), []);
    }

    #[test]
    fn a_reset_in_any_other_row_is_counted() {
        let mut tracker = booted(vec![row(RowKind::Single, 0..1, &[2], Fault::Kill)]);
        tracker.step(100, 0);
        boot(&mut tracker, 200);
        assert_eq!(tracker.unplanned_resets(), 1);
    }
}
