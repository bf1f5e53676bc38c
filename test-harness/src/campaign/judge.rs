//! Follows one trial from outside: frames, console and card in, an observation out.
//!
//! *Rule.* Nothing that the system under test says about itself counts, but for the kernel's records of deaths; what a file must
//! contain follows from the seed, what is on the card is read by the file system's own tools.

use super::outcome::Observed;
use super::work::{Traces, Work};
use crate::evidence::{Clock, Item, Recorded, TraceHash};
use crate::oracle::account;
use crate::oracle::memory::{Copy, Exempt, Expected};
use crate::system::Slot;
use abi::record::DeathClass;
use abi::trace::{Event, Frame};
use anyhow::Result;
use injector_core::Record as InjectorRecord;
use interposer_core::Done;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Findings of one trial that are named: a directory without end has thousands.
const FINDINGS_NAMED: usize = 20;

/// Who is who.
#[derive(Clone, Debug)]
pub struct Cast {
    /// Slot of the injector.
    pub injector: u8,
    /// Slot of the console's driver.
    pub console: u8,
    /// Slots of the targets.
    pub targets: Vec<u8>,
    /// Names by slot.
    pub names: BTreeMap<u8, String>,
    /// What the build says of the slots.
    pub slots: Vec<Slot>,
    /// When the injector has spoken at the latest in a system that lives, in virtual nanoseconds. What is said later, by somebody who
    /// talks without end, depends on when this computer looks at the guest: it counts for nothing.
    pub end_ns: u64,
}

/// A death.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// Of whom.
    pub slot: u8,
    /// When, in virtual nanoseconds.
    pub time: u64,
    /// Why.
    pub class: DeathClass,
}

/// What the client saw, for comparison with the golden run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct History {
    /// Operations that were acknowledged.
    pub acknowledged: u32,
    /// Operations that had to be asked for again.
    pub repeated: u32,
    /// Longest time between two acknowledgements, from the fault on, in virtual nanoseconds.
    pub longest_wait: u64,
}

/// Follows a trial.
#[derive(Clone, Debug)]
pub struct Judge {
    cast: Cast,
    clock: Clock,
    now: u64,
    hash: TraceHash,
    work: Box<dyn Work>,
    text: Vec<u8>,
    deaths: Vec<Death>,
    started: BTreeMap<u8, u32>,
    closed: Vec<u8>,
    acknowledgements: Vec<u64>,
    /// When the kernel said that a step of the plan took place.
    injected: Vec<u64>,
    /// When a target said that it lies about blocks.
    lies: Vec<u64>,
    boots: u32,
    panic: Option<String>,
    deadline_told: bool,
    unreadable: u32,
    /// Something was said behind [`Cast::end_ns`].
    is_late: bool,
    /// What the kernel held and should not have, each once.
    leaks: BTreeSet<String>,
    /// What memory must be, if that is to be looked at, and what is not.
    memory: Option<(Arc<Expected>, Exempt)>,
    /// What memory is and must not be.
    trespasses: Vec<String>,
    findings: Vec<String>,
    /// Everything that came over the evidence line, if somebody wants to read it.
    kept: Option<Vec<Item>>,
}

impl Judge {
    /// Of a trial with this workload.
    pub fn new(cast: Cast, work: Box<dyn Work>) -> Self {
        Self {
            cast,
            clock: Clock { frequency: 0 },
            now: 0,
            hash: TraceHash::new(),
            work,
            text: Vec::new(),
            deaths: Vec::new(),
            started: BTreeMap::new(),
            closed: Vec::new(),
            acknowledgements: Vec::new(),
            injected: Vec::new(),
            lies: Vec::new(),
            boots: 0,
            panic: None,
            deadline_told: false,
            unreadable: 0,
            is_late: false,
            leaks: BTreeSet::new(),
            memory: None,
            trespasses: Vec::new(),
            findings: Vec::new(),
            kept: None,
        }
    }

    /// Looks at memory, too.
    #[must_use]
    pub fn with_memory(self, expected: &Arc<Expected>) -> Self {
        Self { memory: Some((Arc::clone(expected), Exempt::default())), ..self }
    }

    /// Does not look at all of it: for a fault from outside that is in what never changes.
    pub fn exempt(&mut self, constants: bool, all: bool) {
        if let Some((_, exempt)) = &mut self.memory {
            (exempt.constants, exempt.all) = (constants, all);
        }
    }

    /// The physical memory that has to be looked at when the guest stands at its end.
    pub fn memory_wanted(&self) -> Option<Range<u64>> {
        self.memory.as_ref().filter(|(_, exempt)| !exempt.all).map(|(expected, _)| expected.range())
    }

    /// Takes a copy of that.
    pub fn take_memory(&mut self, copy: &Copy) {
        if let Some((expected, exempt)) = &self.memory {
            let exempt = Exempt { targets: self.cast.targets.clone(), ..exempt.clone() };
            self.trespasses.extend(expected.judge(copy, &exempt));
        }
    }

    /// The same, of a trial whose faults go into these slots.
    #[must_use]
    pub fn with_targets(&self, slots: impl IntoIterator<Item = u8>) -> Self {
        let mut judge = self.clone();
        judge.cast.targets = slots.into_iter().collect();
        judge
    }

    /// Keeps everything that comes over the evidence line for [`Judge::into_kept`].
    pub fn keep(&mut self) {
        self.kept = Some(Vec::new());
    }

    /// What was kept.
    pub fn into_kept(self) -> Vec<Item> {
        self.kept.unwrap_or_default()
    }

    /// Takes what came over the console.
    pub fn console(&mut self, bytes: &[u8]) {
        self.text.extend_from_slice(bytes);
    }

    /// Takes what came over the evidence line.
    pub fn item(&mut self, item: &Item) {
        if let Some(kept) = &mut self.kept {
            kept.push(item.clone());
        }
        match item {
            Item::Frame(frame) => self.frame(frame),
            Item::Text(_) => {}
            // What follows the end is cut off somewhere, where this computer got to look.
            Item::Damaged(..) if self.is_over() || self.is_late => {}
            Item::Damaged(..) => self.unreadable += 1,
        }
    }

    /// Whether nothing that follows counts.
    pub fn is_over(&self) -> bool {
        self.work.is_finished() || self.deadline_told || self.panic.is_some() || self.was_reset()
    }

    /// Whether the board was reset though nobody had asked for it.
    pub fn was_reset(&self) -> bool {
        self.boots > 1
    }

    /// Virtual nanoseconds of a value of the board's clock.
    pub fn nanoseconds(&self, ticks: u64) -> u64 {
        self.clock.nanoseconds(ticks)
    }

    /// When the kernel said that a fault took place, from `time` on: what comes before is the stop at which trials begin.
    pub fn injected_after(&self, time: u64) -> Option<u64> {
        self.injected.iter().copied().find(|&at| at >= time)
    }

    /// When the client was first acknowledged something, in virtual nanoseconds.
    pub fn first_acknowledged(&self) -> Option<u64> {
        self.acknowledgements.first().copied()
    }

    /// Operations acknowledged before `time`.
    pub fn acknowledged_before(&self, time: u64) -> usize {
        self.acknowledgements.iter().filter(|&&at| at < time).count()
    }

    /// The power was cut: what follows is another life of the board.
    pub fn power_cut(&mut self) {
        self.work.reset();
        self.boots = 0;
    }

    /// Hash of the trace.
    pub fn hash(&self) -> String {
        self.hash.hex()
    }

    /// What came over the console, for comparison.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// When a target first lied about blocks, from `time` on, as it said itself before anybody could see it.
    pub fn lied_after(&self, time: u64) -> Option<u64> {
        self.lies.iter().copied().find(|&at| at >= time)
    }

    /// The first death of a target from `time` on.
    pub fn target_death(&self, time: u64) -> Option<&Death> {
        self.deaths.iter().find(|death| self.is_target(death.slot) && death.time >= time)
    }

    fn is_target(&self, slot: u8) -> bool {
        self.cast.targets.contains(&slot)
    }

    /// Incarnations of the targets that began behind their first.
    pub fn incarnations(&self) -> u32 {
        let targets: BTreeSet<_> = self.cast.targets.iter().collect();
        let started = targets.iter().filter_map(|target| self.started.get(target));
        started.map(|count| count.saturating_sub(1)).sum()
    }

    /// What the client saw from `time` on.
    pub fn history(&self, time: u64) -> History {
        let before = self.acknowledgements.partition_point(|&at| at < time).saturating_sub(1);
        let waits = self.acknowledgements[before.min(self.acknowledgements.len())..].windows(2);
        History {
            acknowledged: self.work.acknowledged(),
            repeated: self.work.repeated(),
            longest_wait: waits.map(|pair| pair[1] - pair[0]).max().unwrap_or(0),
        }
    }

    /// What must not be, for people.
    pub fn findings(&self) -> &[String] {
        &self.findings
    }

    /// The machine is off: judges what can be judged only now. What the activation and the golden run have to do with it is
    /// left to the caller.
    ///
    /// # Errors
    /// The file system's tools cannot be run.
    pub fn finish(&mut self, card: &Path) -> Result<Observed> {
        self.findings.clear();
        if let Some(text) = &self.panic {
            self.findings.push(format!("the kernel panicked: {text}"));
        }
        let (complaints, mut wrong_data) = self.work.complaints();
        self.findings.extend(complaints);
        let left = self.work.leftovers(&Traces {
            console: &self.text,
            console_deaths: &self.deaths_of(self.cast.console),
            card,
        })?;
        wrong_data |= !left.wrong.is_empty();
        let noise = !left.noise.is_empty();
        self.findings.extend(left.wrong.into_iter().chain(left.noise));
        let target_deaths = self.deaths.iter().filter(|death| self.is_target(death.slot)).count() as u32;
        for death in self.deaths.iter().filter(|death| !self.cast.targets.contains(&death.slot)) {
            let text =
                format!("{} died, too: {} at {} ns", self.name(death.slot), death.class.name(), death.time);
            self.findings.push(text);
        }
        self.findings.extend(self.leaks.iter().map(|leak| format!("leaked: {leak}")));
        self.findings.extend(self.trespasses.iter().map(|what| format!("memory: {what}")));
        for slot in &self.closed {
            self.findings.push(format!("{} was given up", self.name(*slot)));
        }
        if self.unreadable > 0 {
            self.findings.push(format!("{} pieces of the evidence line are no frames", self.unreadable));
        }
        let more = self.findings.len().saturating_sub(FINDINGS_NAMED);
        if more > 0 {
            self.findings.truncate(FINDINGS_NAMED);
            self.findings.push(format!("and {more} more"));
        }
        Ok(Observed {
            kernel_panicked: self.panic.is_some(),
            unplanned_reset: self.was_reset(),
            finished: self.work.is_finished(),
            deadline_told: self.deadline_told,
            wrong_data,
            refused: self.work.refused(),
            noise,
            leaked: !self.leaks.is_empty(),
            trespassed: !self.trespasses.is_empty(),
            closed: !self.closed.is_empty(),
            target_deaths,
            other_deaths: self.deaths.len() as u32 - target_deaths,
            ..Observed::default()
        })
    }

    /// Whether somebody else than this component was given up.
    pub fn gave_up_another(&self, slot: u8) -> bool {
        self.closed.iter().any(|closed| *closed != slot)
    }

    fn name(&self, slot: u8) -> String {
        self.cast.names.get(&slot).cloned().unwrap_or_else(|| format!("slot {slot}"))
    }

    fn deaths_of(&self, slot: u8) -> Vec<u64> {
        self.deaths.iter().filter(|death| death.slot == slot).map(|death| death.time).collect()
    }

    fn frame(&mut self, recorded: &Recorded) {
        let over = self.is_over();
        let Frame { time, event } = recorded.view();
        if let Event::Boot { frequency, .. } = event {
            self.clock = Clock { frequency };
            self.boots += 1;
        }
        let now = self.clock.nanoseconds(time);
        self.is_late = now > self.cast.end_ns;
        if over || self.is_late {
            return;
        }
        self.now = now;
        self.dispatch(&event);
        self.hash.add(recorded, self.is_over());
    }

    fn dispatch(&mut self, event: &Event) {
        match *event {
            Event::Application { slot, data, .. } if self.work.is_client(slot) => self.client(slot, data),
            Event::Application { slot, data, .. } if slot == self.cast.injector => {
                self.injector(InjectorRecord::decode(data));
            }
            Event::Application { slot, data, .. } if self.is_target(slot) => {
                self.lies.extend(Done::decode(data).map(|_| self.now));
            }
            Event::Injected { .. } => self.injected.push(self.now),
            Event::Started { slot, .. } => *self.started.entry(slot).or_default() += 1,
            Event::Died { slot, class, .. } => {
                self.deaths.push(Death { slot, time: self.now, class });
                if self.work.is_client(slot) {
                    self.work.died(slot);
                }
            }
            Event::Closed { slot } => self.closed.push(slot),
            Event::Opened { slot } => self.closed.retain(|closed| *closed != slot),
            Event::KernelPanic { text, .. } => self.panic = Some(text.to_owned()),
            _ => {}
        }
    }

    fn injector(&mut self, record: Option<InjectorRecord>) {
        match record {
            Some(InjectorRecord::Deadline) => self.deadline_told = true,
            Some(InjectorRecord::Account(held)) => {
                self.leaks.extend(account::judge(&held, &self.cast.slots));
            }
            _ => {}
        }
    }

    fn client(&mut self, slot: u8, data: &[u8]) {
        let before = self.work.acknowledged();
        let is_understood = self.work.said(self.now, slot, data);
        self.unreadable += u32::from(!is_understood);
        if self.work.acknowledged() > before {
            self.acknowledgements.push(self.now);
        }
    }
}
