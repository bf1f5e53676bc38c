//! From a scenario and a seed to the fault plan, and what its entries mean for the report.
//!
//! *Rule.* A plan is a function of scenario, system and seed.

use crate::scenario::{Scenario, Stuck, Trigger, fault};
use crate::system::System;
use abi::plan::{ENTRIES_MAX, Fault, PARAMETERS, PlanEntry, PlanHeader};
use abi::syscall::trigger;
use anyhow::{Result, bail};
use injector_core::{JOINED, parameter};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::ops::Range;
use zerocopy::IntoBytes;

/// Stream of the generator that the plan is drawn from; the emulator and the workload use others.
const STREAM: u64 = 0x706C_616E;

/// Longest count of a trigger.
const COUNT_MAX: u64 = 8;

/// What a row of the report is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RowKind {
    /// One component, one fault.
    Single,
    /// Two components; the second fails while the first restarts.
    Pair,
    /// A server that has a request and does not answer.
    Stuck,
    /// The death that resets the board.
    Root,
}

/// One row of the report, as it was planned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlannedRow {
    /// What it is about.
    pub kind: RowKind,
    /// Its entries in the plan.
    pub entries: Range<usize>,
    /// Slots that are failed.
    pub slots: Vec<u8>,
    /// How.
    pub fault: Fault,
}

/// A plan.
#[derive(Clone, Debug)]
pub struct DrawnPlan {
    /// What is put into memory before boot.
    pub header: PlanHeader,
    /// Its entries.
    pub entries: Vec<PlanEntry>,
    /// The rows of the report, in the order of their entries.
    pub rows: Vec<PlannedRow>,
}

impl DrawnPlan {
    /// The bytes that the emulator puts into memory.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.as_bytes().to_vec();
        bytes.extend_from_slice(self.entries.as_bytes());
        bytes
    }

    /// A plan without faults, in which the workload ends at `end` (virtual nanoseconds).
    pub fn golden(seed: u64, end: u64, scenario: &Scenario) -> Self {
        let drawing = Drawing::new(seed, scenario);
        drawing.finish(seed, end, scenario)
    }
}

/// Draws the plan of a scenario for a system.
///
/// # Errors
/// Fails when the system lacks a component, or the plan becomes too long.
pub fn draw(scenario: &Scenario, system: &System, seed: u64) -> Result<DrawnPlan> {
    let mut drawing = Drawing::new(seed, scenario);
    drawing.matrix(scenario, system)?;
    drawing.pairs(scenario, system)?;
    for stuck in &scenario.stuck {
        drawing.stuck(stuck, system)?;
    }
    if let Some(root) = &scenario.root {
        let slot = system.slot(&root.target)?;
        let at = drawing.next_time();
        let fault = fault(&root.fault)?;
        drawing.row(RowKind::Root, fault, &[(slot, at, (trigger::NOW, 0))]);
    }
    if drawing.entries.len() > ENTRIES_MAX {
        bail!("{} entries, but a plan holds {ENTRIES_MAX}: fewer targets or faults", drawing.entries.len());
    }
    let end = drawing.time + scenario.end_margin_ms * 1_000_000;
    Ok(drawing.finish(seed, end, scenario))
}

struct Drawing {
    generator: ChaCha8Rng,
    time: u64,
    gap: [u64; 2],
    entries: Vec<PlanEntry>,
    rows: Vec<PlannedRow>,
}

impl Drawing {
    fn new(seed: u64, scenario: &Scenario) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(STREAM);
        let gap = scenario.gap_us.map(|gap| gap * 1000);
        let time = scenario.start_ms * 1_000_000;
        Self { generator, time, gap, entries: Vec::new(), rows: Vec::new() }
    }

    fn within(&mut self, [first, last]: [u64; 2]) -> u64 {
        first + self.generator.next_u64() % (last - first + 1)
    }

    fn next_time(&mut self) -> u64 {
        let gap = self.within(self.gap);
        self.time += gap;
        self.time
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.within([0, last as u64]) as usize;
            items.swap(last, other);
        }
    }

    /// Every fault for every target, in an order that is drawn.
    fn matrix(&mut self, scenario: &Scenario, system: &System) -> Result<()> {
        let mut cells = Vec::new();
        for target in &scenario.targets {
            let slot = system.slot(target)?;
            for name in &scenario.faults {
                cells.push((slot, target, fault(name)?));
            }
        }
        self.shuffle(&mut cells);
        for (slot, target, fault) in cells {
            let at = self.next_time();
            let triggers = scenario.triggers.get(target).map_or(&[][..], Vec::as_slice);
            let trigger = self.trigger(triggers);
            self.row(RowKind::Single, fault, &[(slot, at, trigger)]);
        }
        Ok(())
    }

    /// None at all half of the time.
    fn trigger(&mut self, triggers: &[Trigger]) -> (u64, u32) {
        let (which, choice, count) =
            (self.within([0, 1]), self.generator.next_u64(), self.within([1, COUNT_MAX]));
        if which == 0 || triggers.is_empty() {
            return (trigger::NOW, 0);
        }
        (triggers[choice as usize % triggers.len()].code(), count as u32)
    }

    fn pairs(&mut self, scenario: &Scenario, system: &System) -> Result<()> {
        for pair in &scenario.pair {
            let [first, second] = [system.slot(&pair.targets[0])?, system.slot(&pair.targets[1])?];
            for _ in 0..pair.count {
                let name = &pair.faults[self.within([0, pair.faults.len() as u64 - 1]) as usize];
                let at = self.next_time();
                let delay = self.within(pair.delay_us.map(|delay| delay * 1000));
                let steps = [(first, at, (trigger::NOW, 0)), (second, at + delay, (trigger::NOW, JOINED))];
                self.row(RowKind::Pair, fault(name)?, &steps);
            }
        }
        Ok(())
    }

    fn stuck(&mut self, stuck: &Stuck, system: &System) -> Result<()> {
        let slot = system.slot(&stuck.target)?;
        let at = self.next_time();
        let count = self.within([1, COUNT_MAX]) as u32;
        self.row(RowKind::Stuck, fault(&stuck.fault)?, &[(slot, at, (trigger::RECEIVED, count))]);
        Ok(())
    }

    fn row(&mut self, kind: RowKind, fault: Fault, steps: &[(u8, u64, (u64, u32))]) {
        let first = self.entries.len();
        for &(slot, at, (trigger, count)) in steps {
            let (slot, trigger) = (u32::from(slot), trigger as u32);
            self.entries.push(PlanEntry { at, fault: fault as u32, slot, trigger, count });
        }
        let slots = steps.iter().map(|(slot, ..)| *slot).collect();
        self.rows.push(PlannedRow { kind, entries: first..self.entries.len(), slots, fault });
    }

    fn finish(self, seed: u64, end: u64, scenario: &Scenario) -> DrawnPlan {
        let mut parameters = [0; PARAMETERS];
        parameters[parameter::SETTLE] = scenario.settle_us * 1000;
        parameters[parameter::TRIGGER_LIMIT] = scenario.trigger_limit_us * 1000;
        parameters[parameter::PAUSE] = scenario.pause_us * 1000;
        let header = PlanHeader { magic: 0, crc: 0, count: 0, seed, end, parameters };
        let header = injector_core::plan::sealed(header, &self.entries);
        DrawnPlan { header, entries: self.entries, rows: self.rows }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn plan(seed: u64) -> DrawnPlan {
        draw(&Scenario::demo().unwrap(), &System::for_tests(), seed).unwrap()
    }

    #[test]
    fn the_demo_covers_the_matrix_and_ends_with_root() {
        let plan = plan(1);
        let singles = plan.rows.iter().filter(|row| row.kind == RowKind::Single);
        let cells: BTreeSet<_> = singles.map(|row| (row.slots[0], row.fault as u32)).collect();
        assert_eq!(cells.len(), 5 * Fault::FAILURES.len());
        assert_eq!(plan.rows.last().unwrap().kind, RowKind::Root);
        assert!(plan.rows.iter().any(|row| row.kind == RowKind::Stuck));
        let busy = plan.entries.last().unwrap().at;
        assert!(busy < 4_000_000_000, "{busy} ns are too long for a demo of three minutes");
    }

    proptest! {
        #[test]
        fn the_injector_can_read_what_is_drawn(seed: u64) {
            let bytes = plan(seed).bytes();
            let mut words = vec![0_u64; bytes.len().div_ceil(8)];
            words.as_mut_bytes()[..bytes.len()].copy_from_slice(&bytes);
            let read = injector_core::Plan::read(words.as_bytes()).unwrap();
            prop_assert_eq!(read.header.seed, seed);
            prop_assert_eq!(read.entries.len(), plan(seed).entries.len());
            prop_assert!(read.entries.is_sorted_by_key(|entry| entry.at));
        }

        #[test]
        fn a_plan_is_a_function_of_the_seed(seed: u64) {
            prop_assert_eq!(plan(seed).bytes(), plan(seed).bytes());
            let order = |seed| plan(seed).rows.iter().map(|row| (row.slots.clone(), row.fault as u32)).collect::<Vec<_>>();
            prop_assert_ne!(order(seed), order(seed.wrapping_add(1)));
        }

        #[test]
        fn triggers_fit_their_targets_and_are_common(seed: u64) {
            let plan = plan(seed);
            let rs = u32::from(System::for_tests().slot("rs").unwrap());
            prop_assert!(plan.entries.iter().all(|entry| entry.slot != rs || entry.trigger == 0));
            let armed = plan.entries.iter().filter(|entry| entry.trigger != 0).count();
            prop_assert!(armed >= 8, "only {} of {} wait for a message", armed, plan.entries.len());
        }
    }
}
