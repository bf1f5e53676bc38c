//! All judges together: takes what comes from the machine and ends in a verdict.

use super::card::{self, Check, Contents};
use super::kernel::{Row, Tracker};
use super::workload::{Follower, Promise};
use super::{Finding, Kind, account, console};
use crate::evidence::{Clock, Item, Recorded, TraceHash};
use crate::plan::{DrawnPlan, RowKind};
use crate::scenario::Scenario;
use crate::system::{Slot, System};
use abi::trace::{Event, Frame};
use anyhow::Result;
use injector_core::Record as InjectorRecord;
use workload_core::Record;

/// Numbers for the running line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Time of the board in nanoseconds.
    pub time: u64,
    /// Deaths of all components.
    pub deaths: u32,
    /// Acknowledged bytes that were found lost.
    pub lost_bytes: u64,
    /// Resets of the board that nobody planned.
    pub reboots: u32,
    /// Operations that were acknowledged.
    pub operations: u32,
    /// Rows that are over, and rows in the plan.
    pub rows: (usize, usize),
}

/// The end of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The rows that began.
    pub rows: Vec<Row>,
    /// Everything that must not be.
    pub findings: Vec<Finding>,
    /// The trace hash.
    pub trace_hash: String,
    /// Whether `e2fsck -fn` found nothing.
    pub fsck_clean: bool,
    /// Final numbers.
    pub counts: Counts,
    /// When every component that is started at boot was ready for the first time, in nanoseconds.
    pub boot_ns: Option<u64>,
}

impl Verdict {
    /// Whether everything is as it must be.
    pub fn ok(&self) -> bool {
        self.findings.is_empty() && self.fsck_clean
    }

    /// The kind of failure that counts; `None`: everything is as it must be.
    pub fn failure(&self) -> Option<Kind> {
        let found = self.findings.iter().map(|finding| finding.kind).min();
        found.or((!self.fsck_clean).then_some(Kind::Correctness))
    }
}

/// All judges together.
#[derive(Debug)]
pub struct Oracle {
    names: Vec<(u8, String)>,
    slots: Vec<Slot>,
    client: u8,
    injector: u8,
    driver: u8,
    clock: Clock,
    now: u64,
    hash: TraceHash,
    tracker: Tracker,
    follower: Follower,
    console: Vec<u8>,
    findings: Vec<Finding>,
    planned: usize,
    judged_walks: usize,
    injector_done: bool,
    first_ready: std::collections::BTreeMap<u8, u64>,
}

impl Oracle {
    /// An oracle for one run.
    ///
    /// # Errors
    /// Fails when the system lacks the scenario's client or injector.
    pub fn new(system: &System, scenario: &Scenario, plan: &DrawnPlan) -> Result<Self> {
        let limit = scenario.recovery_limit_ms * 1_000_000;
        Ok(Self {
            names: system.slots.iter().map(|slot| (slot.slot, slot.name.clone())).collect(),
            slots: system.slots.clone(),
            client: system.slot(&scenario.client)?,
            injector: system.slot(&scenario.injector)?,
            driver: system.slot(&scenario.console)?,
            clock: Clock { frequency: 0 },
            now: 0,
            hash: TraceHash::new(),
            tracker: Tracker::new(plan.rows.clone(), limit),
            follower: Follower::new(plan.header.seed, Promise::Acknowledged),
            console: Vec::new(),
            findings: Vec::new(),
            planned: plan.rows.len(),
            judged_walks: 0,
            injector_done: false,
            first_ready: std::collections::BTreeMap::new(),
        })
    }

    /// Name of a slot.
    pub fn name(&self, slot: u8) -> String {
        let found = self.names.iter().find(|(number, _)| *number == slot);
        found.map_or_else(|| format!("slot {slot}"), |(_, name)| name.clone())
    }

    /// Takes what came over the console.
    pub fn console(&mut self, bytes: &[u8]) {
        self.console.extend_from_slice(bytes);
    }

    /// Takes what came over the evidence line.
    pub fn item(&mut self, item: &Item) {
        match item {
            Item::Frame(frame) => self.frame(frame),
            Item::Text(_) => {}
            Item::Damaged(error, bytes) => {
                let text = format!("{} bytes on the evidence line are no frame ({error:?})", bytes.len());
                self.findings.push(Finding::at(Kind::Evidence, self.now, text));
            }
        }
    }

    /// Adds a finding of somebody else.
    pub fn report(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Whether the workload came to its end.
    pub fn is_finished(&self) -> bool {
        self.follower.is_finished()
    }

    /// Whether going on makes no sense: something did not come back, or the kernel is gone.
    pub fn is_hopeless(&self) -> bool {
        let fatal = |finding: &Finding| finding.kind == Kind::Crash;
        self.tracker.is_overdue(self.now) || self.findings.iter().any(fatal)
    }

    /// Numbers for the running line.
    pub fn counts(&self) -> Counts {
        let over = (0..self.tracker.rows().len()).filter(|&index| self.tracker.is_closed(index)).count();
        Counts {
            time: self.now,
            deaths: self.tracker.deaths(),
            lost_bytes: self.follower.lost_bytes(),
            reboots: self.tracker.unplanned_resets(),
            operations: self.follower.acknowledged(),
            rows: (over, self.planned),
        }
    }

    /// The rows that have begun.
    pub fn rows(&self) -> &[Row] {
        self.tracker.rows()
    }

    /// Whether nothing about the row with this index will change any more, console apart.
    pub fn is_settled(&self, index: usize) -> bool {
        self.tracker.is_closed(index) && self.tracker.rows()[index].data_intact.is_some()
    }

    /// Whether the row with this index and all rows before it are settled.
    pub fn is_settled_up_to(&self, index: usize) -> bool {
        index < self.tracker.rows().len() && (0..=index).all(|index| self.is_settled(index))
    }

    /// Starts of the board.
    pub fn boots(&self) -> u32 {
        self.tracker.boots()
    }

    /// What is known of the workload.
    pub fn follower(&self) -> &Follower {
        &self.follower
    }

    /// The run is over and the machine is off: judges what can be judged only now. `image`: the card.
    ///
    /// # Errors
    /// Fails when the file system's tools cannot be run.
    pub fn finish(mut self, image: Option<&std::path::Path>) -> Result<Verdict> {
        self.tracker.finish(self.now);
        if !self.follower.is_finished() {
            self.findings.push(Finding::overall(Kind::Liveness, "the workload did not come to its end"));
        }
        self.judge_walks();
        self.judge_console();
        let mut fsck_clean = false;
        let mut lost = self.follower.lost_bytes();
        if let Some(image) = image {
            let checked = card::check(image)?;
            fsck_clean = checked.clean;
            let contents = card::read(image)?;
            lost = lost.max(self.judge_card(&checked, &contents));
        }
        let names = self.names.clone();
        let name = |slot: u8| {
            names
                .iter()
                .find(|(number, _)| *number == slot)
                .map_or_else(String::new, |(_, name)| name.clone())
        };
        self.findings.extend(self.follower.findings().iter().cloned());
        self.findings.extend(self.tracker.findings(&name));
        self.findings.extend(self.unsettled(&name));
        if self.tracker.unplanned_resets() > 0 {
            let text = format!("the board was reset {} times unasked", self.tracker.unplanned_resets());
            self.findings.push(Finding::overall(Kind::Crash, text));
        }
        let counts = Counts { lost_bytes: lost, ..self.counts() };
        Ok(Verdict {
            rows: self.tracker.rows().to_vec(),
            findings: self.findings,
            trace_hash: self.hash.hex(),
            fsck_clean,
            counts,
            boot_ns: self.first_ready.values().max().copied(),
        })
    }

    fn frame(&mut self, recorded: &Recorded) {
        let Frame { time, event } = recorded.view();
        if let Event::Boot { frequency, .. } = event {
            self.clock = Clock { frequency };
        }
        self.now = self.clock.nanoseconds(time);
        let finished_before = self.follower.is_finished();
        self.dispatch(&event);
        self.judge_walks();
        self.hash.add(recorded, self.follower.is_finished() && !finished_before);
    }

    fn dispatch(&mut self, event: &Event) {
        let now = self.now;
        match *event {
            Event::Application { slot, data, .. } if slot == self.client => match Record::decode(data) {
                Some(record) => self.follower.record(now, &record),
                None => self.findings.push(Finding::at(
                    Kind::Evidence,
                    now,
                    "a record of the client is unreadable",
                )),
            },
            Event::Application { slot, data, .. } if slot == self.injector => {
                match InjectorRecord::decode(data) {
                    Some(record) => self.injector(record),
                    None => self.findings.push(Finding::at(
                        Kind::Evidence,
                        now,
                        "a record of the injector is unreadable",
                    )),
                }
            }
            Event::KernelPanic { text, .. } => {
                self.findings.push(Finding::at(Kind::Crash, now, format!("the kernel panicked: {text}")));
            }
            Event::Poisoned { slot, call } => {
                let text = format!("request {call:#x} was taken from {} as poison", self.name(slot));
                self.findings.push(Finding::at(Kind::Correctness, now, text));
            }
            _ => {
                if let Event::Died { slot, .. } = *event
                    && slot == self.client
                {
                    self.follower.died();
                }
                if let Event::Ready { slot, .. } = *event {
                    self.first_ready.entry(slot).or_insert(now);
                }
                if self.tracker.event(now, event) {
                    self.follower.reset();
                }
            }
        }
    }

    fn injector(&mut self, record: InjectorRecord) {
        match record {
            InjectorRecord::Step { entry, overdue: false } => self.tracker.step(self.now, entry),
            InjectorRecord::Finished => self.injector_done = true,
            InjectorRecord::Account(held) => {
                let leaks = account::judge(&held, &self.slots).into_iter();
                let at = self.now;
                self.findings
                    .extend(leaks.map(|text| Finding::at(Kind::Correctness, at, format!("leaked: {text}"))));
            }
            InjectorRecord::Begin { .. }
            | InjectorRecord::Step { .. }
            | InjectorRecord::Refused { .. }
            | InjectorRecord::Deadline => {}
        }
    }

    /// Each walk says of the rows that were over before it began whether their data are intact; after a reset of the
    /// board it may begin before the file server is there and wait for it. A walk that finds damage says so of every row
    /// that nobody has judged yet.
    fn judge_walks(&mut self) {
        let walks = self.follower.walks();
        for walk in &walks[self.judged_walks..] {
            for row in self.tracker.rows_mut().iter_mut().filter(|row| row.data_intact.is_none()) {
                let from = if row.planned.kind == RowKind::Root { Some(row.opened) } else { row.recovered };
                let seen = from.is_some_and(|from| from <= walk.started) && row.recovered.is_some();
                if seen || !walk.intact && row.opened <= walk.ended {
                    row.data_intact = Some(walk.intact);
                }
            }
        }
        self.judged_walks = walks.len();
    }

    fn judge_console(&mut self) {
        let report =
            console::judge(&self.console, self.follower.lines(), self.tracker.deaths_of(self.driver));
        let noisy = report.noisy.iter().map(|line| (line, "there, and something else stands in it"));
        let lost = report.lost.iter().map(|line| (line, "not there whole"));
        for (line, what) in lost.chain(noisy) {
            let text = format!("console: line {} was acknowledged and is {what}", line.operation);
            self.findings.push(Finding::at(Kind::Correctness, line.time, text));
            let row = self.tracker.rows_mut().iter_mut().rev().find(|row| row.opened <= line.time);
            if let Some(row) = row {
                row.data_intact = Some(false);
            }
        }
        if report.strays > 0 {
            let text = format!("console: {} lines that nobody wrote", report.strays);
            self.findings.push(Finding::overall(Kind::Correctness, text));
        }
    }

    fn judge_card(&mut self, checked: &Check, contents: &Contents) -> u64 {
        if !checked.clean {
            let text = format!("e2fsck -fn is not content: {}", checked.output);
            self.findings.push(Finding::overall(Kind::Correctness, text));
        }
        let possible = self.follower.possible_trees();
        let findings = card::compare(contents, &possible);
        if !findings.is_empty()
            && let Some(row) = self.tracker.rows_mut().last_mut()
        {
            row.data_intact = Some(false);
        }
        self.findings.extend(findings);
        card::lost_bytes(contents, &possible)
    }

    /// Rows whose data nobody could look at.
    fn unsettled(&self, name: &dyn Fn(u8) -> String) -> Vec<Finding> {
        let rows =
            self.tracker.rows().iter().filter(|row| row.recovered.is_some() && row.data_intact != Some(true));
        let finding = |row: &Row| {
            let state = if row.data_intact.is_none() { "were not looked at" } else { "are not intact" };
            let what =
                if row.planned.kind == RowKind::Root { "root".to_owned() } else { row.target_names(name) };
            let text = format!("{} of {what}: data {state} afterwards", row.planned.fault.name());
            Finding::at(Kind::Correctness, row.opened, text)
        };
        rows.map(finding).collect()
    }
}

#[cfg(test)]
mod tests;
