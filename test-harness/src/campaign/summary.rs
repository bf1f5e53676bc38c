//! What a ledger comes to, by the rules of evidence: rates are of activated trials, never of all; fail-stop faults share no
//! denominator with others; the worst cell comes first and is the headline.

use super::ledger::Line;
use super::mutants::{self, Fates};
use super::outcome::Outcome;
use super::statistics::{quantile, wilson};
use crate::fault::Model;
use serde::Serialize;
use std::collections::BTreeMap;

/// What the names of models begin with when the fault takes place during a restart.
pub const RECOVERY: &str = "recovery/";

/// Trials of one model in one target.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Cell {
    /// Name of the model.
    pub model: String,
    /// Name of the target.
    pub target: String,
    /// Kill, exit, panic: the component says itself that it is dead.
    pub fail_stop: bool,
    /// Trials.
    pub trials: u64,
    /// Of these, those in which the fault took effect.
    pub activated: u64,
    /// Of these, those in which it was seen.
    pub manifested: u64,
    /// Of these, those after which everything was there.
    pub recovered_intact: u64,
    /// 95 % interval of recovered by manifested; `[0, 1]` if nothing was manifested.
    pub interval: [f64; 2],
    /// Trials by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
}

/// Batches of mutations in one target.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Batch {
    /// Name of the target.
    pub target: String,
    /// Batches.
    pub batches: u64,
    /// Mutations in them.
    pub mutations: u64,
    /// Of these, those that were reached before the target was replaced or the trial over.
    pub reached: u64,
    /// Batches by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
}

/// Times of one class of failure, in virtual nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Times {
    /// Name of the class; `none`: the target did not die.
    pub class: String,
    /// Trials.
    pub trials: u64,
    /// Median, 99 and 99.9 of 100 of the detection latency; `null`: nobody died.
    pub detect_ns: Option<[u64; 3]>,
    /// The same of the outage that the client saw.
    pub outage_ns: Option<[u64; 3]>,
}

/// Mutants of the source in one target.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Mutants {
    /// Name of the target.
    pub target: String,
    /// Trials, each with a mutant that no unit test has noticed.
    pub trials: u64,
    /// Of these, those in which it took effect.
    pub activated: u64,
    /// Of these, those in which it was seen.
    pub manifested: u64,
    /// Of these, those after which everything was there.
    pub recovered_intact: u64,
    /// The same and those in which the component was given up: nothing better can become of what is there again after each restart.
    pub stood: u64,
    /// 95 % interval of stood by manifested; `[0, 1]` if nothing was manifested.
    pub interval: [f64; 2],
    /// Trials by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
}

/// A campaign in numbers.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Summary {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed.
    pub seed: u64,
    /// Trials in the ledger.
    pub trials: u64,
    /// Trials by outcome.
    pub outcomes: BTreeMap<Outcome, u64>,
    /// Cells of trials with one fault, the worst first.
    pub cells: Vec<Cell>,
    /// The same of trials with several faults, or with one during a restart: a table of their own.
    pub several: Vec<Cell>,
    /// The same of faults in the kernel, which nothing is there to stand: a table of their own.
    pub kernel: Vec<Cell>,
    /// Batches of many mutations: a table of their own, and never so many faults survived.
    pub batches: Vec<Batch>,
    /// Mutants of the source, which are there from the start and after each restart: a table of their own, the worst first.
    pub source: Vec<Mutants>,
    /// What became of all mutants that were drawn; empty if there were none.
    pub drawn: Vec<Fates>,
    /// Times by class.
    pub times: Vec<Times>,
    /// More than 0.1 % of the trials were lost to the emulator: nothing here is to be believed.
    pub void: bool,
}

impl Summary {
    /// Of a ledger.
    pub fn of(lines: &[Line]) -> Self {
        let mut outcomes = BTreeMap::new();
        let mut cells: BTreeMap<(String, String), Vec<&Line>> = BTreeMap::new();
        let mut classes: BTreeMap<String, Vec<&Line>> = BTreeMap::new();
        for line in lines {
            *outcomes.entry(line.outcome).or_default() += 1;
            // Mutants of one target are one row, whatever their genre.
            let model = if line.is_of_mutant() { mutants::MODEL } else { line.model.as_str() };
            cells.entry((model.to_owned(), line.target.clone())).or_default().push(line);
            if line.activated {
                let class = line.class.clone().unwrap_or_else(|| "none".to_owned());
                classes.entry(class).or_default().push(line);
            }
        }
        let (source, cells): (BTreeMap<_, _>, BTreeMap<_, _>) =
            cells.into_iter().partition(|((model, _), _)| model == mutants::MODEL);
        let mut cells: Vec<_> =
            cells.into_iter().map(|((model, target), lines)| cell(model, target, &lines)).collect();
        cells.sort_by(|one, two| badness(two).total_cmp(&badness(one)));
        let is_of = |prefix: &'static str| move |cell: &mut Cell| cell.model.starts_with(prefix);
        let mut several: Vec<_> = cells.extract_if(.., is_of("several/")).collect();
        several.extend(cells.extract_if(.., is_of(RECOVERY)));
        let kernel = cells.extract_if(.., is_of("kernel/")).collect();
        let batches = cells.extract_if(.., is_of("batch/")).map(|cell| batch(cell, lines)).collect();
        let lost = outcomes.get(&Outcome::EmulatorDied).copied().unwrap_or(0);
        Self {
            scenario: lines.first().map_or_else(String::new, |line| line.scenario.clone()),
            seed: lines.first().map_or(0, |line| line.seed),
            trials: lines.len() as u64,
            outcomes,
            cells,
            several,
            kernel,
            batches,
            source: mutants_of(source.into_iter().map(|((_, target), lines)| (target, lines))),
            drawn: Vec::new(),
            times: classes.into_iter().map(|(class, lines)| times(class, &lines)).collect(),
            void: lost * 1000 > lines.len() as u64,
        }
    }
}

/// The rows of the mutants, the worst first.
fn mutants_of<'a>(targets: impl Iterator<Item = (String, Vec<&'a Line>)>) -> Vec<Mutants> {
    let row = |(target, lines): (String, Vec<&Line>)| {
        let cell = cell(mutants::MODEL.to_owned(), target, &lines);
        let stood =
            lines.iter().filter(|line| line.outcome.is_manifested() && line.is_stood()).count() as u64;
        let (low, high) = wilson(stood, cell.manifested);
        Mutants {
            target: cell.target,
            trials: cell.trials,
            activated: cell.activated,
            manifested: cell.manifested,
            recovered_intact: cell.recovered_intact,
            stood,
            interval: [low, high],
            outcomes: cell.outcomes,
        }
    };
    let mut rows: Vec<_> = targets.map(row).collect();
    let badness = |row: &Mutants| badness_of(row.manifested - row.stood, row.manifested);
    rows.sort_by(|one, two| badness(two).total_cmp(&badness(one)));
    rows
}

/// How bad a cell is: the upper end of what its rate of failure may be.
fn badness(cell: &Cell) -> f64 {
    badness_of(cell.manifested - cell.recovered_intact, cell.manifested)
}

fn badness_of(failed: u64, manifested: u64) -> f64 {
    if failed == 0 {
        return -(manifested as f64);
    }
    wilson(failed, manifested).0
}

fn cell(model: String, target: String, lines: &[&Line]) -> Cell {
    let count = |wanted: &dyn Fn(&Line) -> bool| lines.iter().filter(|line| wanted(line)).count() as u64;
    let manifested = count(&|line| line.outcome.is_manifested());
    let recovered_intact = count(&|line| line.outcome == Outcome::RecoveredIntact);
    let (low, high) = wilson(recovered_intact, manifested);
    let mut outcomes = BTreeMap::new();
    lines.iter().for_each(|line| *outcomes.entry(line.outcome).or_default() += 1);
    Cell {
        fail_stop: Model::named(&model).is_ok_and(Model::is_fail_stop),
        model,
        target,
        trials: lines.len() as u64,
        activated: count(&|line| line.activated),
        manifested,
        recovered_intact,
        interval: [low, high],
        outcomes,
    }
}

fn batch(cell: Cell, lines: &[Line]) -> Batch {
    let of_cell = lines.iter().filter(|line| line.model == cell.model && line.target == cell.target);
    let [mutations, reached] = of_cell
        .filter_map(|line| line.mutations)
        .fold([0, 0], |sums, counts| [sums[0] + counts[0], sums[1] + counts[1]]);
    Batch { target: cell.target, batches: cell.trials, mutations, reached, outcomes: cell.outcomes }
}

fn times(class: String, lines: &[&Line]) -> Times {
    let quantiles = |value: &dyn Fn(&Line) -> Option<u64>| {
        let mut values: Vec<_> = lines.iter().filter_map(|line| value(line)).collect();
        values.sort_unstable();
        Some([quantile(&values, 500)?, quantile(&values, 990)?, quantile(&values, 999)?])
    };
    Times {
        class,
        trials: lines.len() as u64,
        detect_ns: quantiles(&|line| line.detect_ns),
        outage_ns: quantiles(&|line| line.outage_ns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Benign, EmulatorDied, Hang, KernelDead, NotActivated, RecoveredIntact};

    fn ledger(trials: &[(&str, &str, Outcome, u64)]) -> Vec<Line> {
        let lines = trials.iter().flat_map(|&(target, model, outcome, count)| {
            (0..count).map(move |trial| Line::sample(trial, target, model, outcome))
        });
        lines.collect()
    }

    #[test]
    fn rates_are_of_what_was_seen_and_the_worst_cell_comes_first() {
        let summary = Summary::of(&ledger(&[
            ("rs", "text/address", RecoveredIntact, 90),
            ("fs", "text/address", NotActivated, 7),
            ("fs", "text/address", Benign, 11),
            ("fs", "text/address", RecoveredIntact, 8),
            ("fs", "text/address", Hang, 2),
        ]));
        let worst = &summary.cells[0];
        assert_eq!((&*worst.target, worst.trials, worst.activated), ("fs", 28, 21));
        assert_eq!((worst.manifested, worst.recovered_intact), (10, 8));
        assert!(worst.interval[0] < 0.8 && 0.8 < worst.interval[1]);
        assert_eq!(worst.outcomes[&Hang], 2);
        assert_eq!((summary.trials, summary.outcomes[&RecoveredIntact]), (118, 98));
    }

    #[test]
    fn several_batches_and_the_kernel_have_tables_of_their_own() {
        let mut lines = ledger(&[
            ("fs", "several/3", Hang, 1),
            ("rs", "recovery/text/address", RecoveredIntact, 1),
            ("kernel", "kernel/condition", KernelDead, 1),
            ("fs", "batch/text", RecoveredIntact, 2),
            ("fs", "behaviour/kill", RecoveredIntact, 1),
            ("fs", "behaviour/loop", RecoveredIntact, 1),
        ]);
        for line in lines.iter_mut().filter(|line| line.model == "batch/text") {
            line.mutations = Some([100, 13]);
        }
        let summary = Summary::of(&lines);
        let names = |cells: &[Cell]| cells.iter().map(|cell| cell.model.clone()).collect::<Vec<_>>();
        assert_eq!(names(&summary.several), ["several/3", "recovery/text/address"]);
        assert_eq!(names(&summary.kernel), ["kernel/condition"]);
        assert_eq!(names(&summary.cells), ["behaviour/kill", "behaviour/loop"]);
        assert_eq!(
            summary.cells.iter().filter(|cell| cell.fail_stop).count(),
            1,
            "kill is one, loop is none"
        );
        assert_eq!((summary.batches[0].batches, summary.batches[0].mutations), (2, 200));
        assert_eq!(summary.batches[0].reached, 26);
    }

    #[test]
    fn mutants_are_a_table_of_their_own_in_which_giving_up_is_no_failure() {
        let summary = Summary::of(&ledger(&[
            ("rs", "source/fn-value", RecoveredIntact, 2),
            ("fs", "source/fn-value", Outcome::Degraded, 3),
            ("fs", "source/binary-operator", Hang, 1),
            ("fs", "source/match-arm", Benign, 1),
            ("fs", "text/address", RecoveredIntact, 1),
        ]));
        assert_eq!(summary.cells.len(), 1);
        let [fs, rs] = &*summary.source else { panic!("{:?}", summary.source) };
        assert_eq!((&*fs.target, fs.trials, fs.activated, fs.manifested), ("fs", 5, 5, 4));
        assert_eq!((fs.recovered_intact, fs.stood), (0, 3));
        assert_eq!((&*rs.target, rs.recovered_intact, rs.stood), ("rs", 2, 2));
    }

    #[test]
    fn times_are_by_class_and_of_activated_trials() {
        let mut lines =
            ledger(&[("fs", "text/address", RecoveredIntact, 2), ("fs", "text/address", NotActivated, 1)]);
        for (line, detect) in lines.iter_mut().zip([30, 10, 99]) {
            (line.class, line.detect_ns) = (Some("panic".to_owned()), Some(detect));
        }
        let times = Summary::of(&lines).times;
        assert_eq!((times.len(), &*times[0].class, times[0].trials), (1, "panic", 2));
        assert_eq!((times[0].detect_ns.unwrap()[2], times[0].outage_ns), (30, None));
    }

    #[test]
    fn an_emulator_that_fails_too_often_makes_a_run_void() {
        let lost = |of: u64| {
            Summary::of(&ledger(&[
                ("fs", "text/address", Benign, of - 1),
                ("fs", "text/address", EmulatorDied, 1),
            ]))
        };
        assert!(lost(999).void);
        assert!(!lost(1000).void);
    }
}
