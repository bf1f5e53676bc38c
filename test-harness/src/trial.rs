//! One run from start to verdict.
//!
//! Every wait has a limit: the whole run, silence of the machine, and, by the machine's own clock, the recovery of each
//! row. Whatever ends a run, the emulator is gone afterwards, and what it said is in the run's folder.

use crate::evidence::Splitter;
use crate::oracle::{Finding, Kind, Oracle, Verdict};
use crate::plan::DrawnPlan;
use crate::scenario::Scenario;
use crate::system::System;
use crate::target::{Emulator, Ending, Happening, Launch, Line, Machine, Mode};
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest time in which a machine that runs says nothing: its client acknowledges many operations a second.
const SILENCE: Duration = Duration::from_mins(1);

/// Longest time from the end of the workload to the end of the machine.
const FAREWELL: Duration = Duration::from_secs(5);

/// Guest errors that are named; more are only counted.
const ERRORS_NAMED: usize = 5;

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct Trial<'a> {
    /// The emulated board.
    pub machine: &'a Machine,
    /// What was built.
    pub system: &'a System,
    /// What is done to it.
    pub scenario: &'a Scenario,
    /// The plan that was drawn.
    pub plan: &'a DrawnPlan,
    /// Seed of everything.
    pub seed: u64,
    /// The image of the card; it is changed.
    pub card: &'a Path,
    /// Where evidence and messages go.
    pub folder: &'a Path,
    /// Longest time of the host.
    pub limit: Duration,
    /// Further arguments of the emulator.
    pub extra: &'a [String],
}

/// Who watches a run.
pub trait Observer {
    /// Something has changed.
    ///
    /// # Errors
    /// An error ends the run.
    fn progress(&mut self, oracle: &Oracle) -> Result<()>;
}

impl<F: FnMut(&Oracle) -> Result<()>> Observer for F {
    fn progress(&mut self, oracle: &Oracle) -> Result<()> {
        self(oracle)
    }
}

/// Runs it.
///
/// # Errors
/// Fails when the run could not take place, as opposed to a run that failed.
pub fn run(trial: &Trial, observer: &mut dyn Observer) -> Result<Verdict> {
    let plan = trial.plan.bytes();
    let launch = Launch {
        machine: trial.machine,
        kernel: &trial.system.kernel(),
        card: Some(trial.card),
        plan: Some(&plan),
        seed: trial.seed,
        mode: Mode::Deterministic,
        extra: trial.extra,
        folder: trial.folder,
    };
    let mut oracle = Oracle::new(trial.system, trial.scenario, trial.plan)?;
    let mut emulator = Emulator::launch(&launch)?;
    listen(trial, &mut emulator, &mut oracle, observer)?;
    let ending = emulator.end()?;
    let findings = judge_ending(&emulator, &ending, &oracle)?;
    findings.into_iter().for_each(|finding| oracle.report(finding));
    oracle.finish(Some(trial.card))
}

/// Listens until the machine or its time ends.
fn listen(
    trial: &Trial,
    emulator: &mut Emulator,
    oracle: &mut Oracle,
    observer: &mut dyn Observer,
) -> Result<()> {
    let file = |name: &str| {
        let path = trial.folder.join(name);
        File::create(&path).with_context(|| format!("making {}", path.display()))
    };
    let (mut console, mut evidence) = (file("console.txt")?, file("evidence.bin")?);
    let mut splitter = Splitter::new();
    let mut end = Instant::now() + trial.limit;
    let mut finished = false;
    loop {
        let silence = Instant::now() + SILENCE;
        match emulator.next(end.min(silence)) {
            Happening::Bytes(Line::Console, bytes) => {
                console.write_all(&bytes).context("writing console.txt")?;
                oracle.console(&bytes);
            }
            Happening::Bytes(Line::Evidence, bytes) => {
                evidence.write_all(&bytes).context("writing evidence.bin")?;
                splitter.push(&bytes, |item| oracle.item(&item));
                observer.progress(oracle)?;
            }
            Happening::Reset(_) | Happening::Stopped(_) | Happening::Watched(_) => {}
            Happening::Closed => break,
            Happening::Nothing if finished => break,
            Happening::Nothing => {
                let what =
                    if Instant::now() >= end { "the time limit has passed" } else { "the machine is silent" };
                oracle.report(Finding::overall(Kind::Liveness, what));
                break;
            }
        }
        if oracle.is_finished() && !finished {
            finished = true;
            end = end.min(Instant::now() + FAREWELL);
        }
        if oracle.is_hopeless() {
            break;
        }
    }
    splitter.finish(|item| oracle.item(&item));
    Ok(())
}

fn judge_ending(emulator: &Emulator, ending: &Ending, oracle: &Oracle) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    if let Ending::Died { reason } = ending {
        findings.push(Finding::overall(Kind::Emulator, reason.clone()));
    }
    let errors = emulator.guest_errors()?;
    for error in errors.iter().take(ERRORS_NAMED) {
        findings.push(Finding::overall(Kind::GuestError, error.clone()));
    }
    if errors.len() > ERRORS_NAMED {
        let text = format!("and {} more", errors.len() - ERRORS_NAMED);
        findings.push(Finding::overall(Kind::GuestError, text));
    }
    let seen = oracle.boots().saturating_sub(1);
    let resets = emulator.guest_resets();
    if resets != seen && oracle.is_finished() {
        let text = format!("the board was reset {resets} times, the evidence line tells of {seen}");
        findings.push(Finding::overall(Kind::Evidence, text));
    }
    Ok(findings)
}
