//! Workloads, as a trial sees them: what their clients said and were told, and what must be left when they have come to their end.
//!
//! *Role.* One judge for each kind of workload behind [`Work`]; [`Judge`](super::judge::Judge) does the rest, which is the same for all.
//!
//! *Rule.* What a workload must have done follows from the seed and from what its clients were told, and is compared with what is on the
//! card and came over the console.

mod exercise;
mod mixed;
mod shared;

use super::scenario::Workload;
use crate::oracle::console_lines::ConsoleLine;
use crate::oracle::{card, console};
use crate::system::System;
use anyhow::{Result, bail};
use exercise::Exercise;
use exerciser_core::Kind;
use injector_core::parameter::{FILES, SHARED};
use mixed::Mixed;
use shared::Shared;
use std::fmt::Debug;
use std::path::Path;

/// What came of a workload outside of the board's memory.
#[derive(Clone, Copy, Debug)]
pub struct Traces<'a> {
    /// All that came over the console.
    pub console: &'a [u8],
    /// When the console's driver died, in virtual nanoseconds.
    pub console_deaths: &'a [u64],
    /// The card, with the machine switched off.
    pub card: &'a Path,
}

/// Follows the clients of a workload.
pub trait Work: Debug + Send {
    /// The same, in the same state.
    fn boxed_clone(&self) -> Box<dyn Work>;

    /// Whether the component in this slot is one of the clients.
    fn is_client(&self, slot: u8) -> bool;

    /// Takes what a client said at `time`, in virtual nanoseconds; false: these bytes say nothing.
    fn said(&mut self, time: u64, slot: u8, data: &[u8]) -> bool;

    /// A client died.
    fn died(&mut self, slot: u8);

    /// The board was switched off.
    fn reset(&mut self);

    /// Operations that were acknowledged.
    fn acknowledged(&self) -> u32;

    /// Operations that had to be asked for again.
    fn repeated(&self) -> u32;

    /// Operations of which a client was told that they failed.
    fn refused(&self) -> u32;

    /// All clients have come to their end.
    fn is_finished(&self) -> bool;

    /// What clients were told that must not be, and whether some of it is more than an operation that was refused: data that are wrong.
    fn complaints(&self) -> (Vec<String>, bool);

    /// What was left and must not be.
    ///
    /// # Errors
    /// The file system's tools cannot be run.
    fn leftovers(&self, traces: &Traces) -> Result<Leftovers>;
}

/// What was left and must not be.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Leftovers {
    /// Data that are wrong.
    pub wrong: Vec<String>,
    /// What a driver has sent before it died, between data that are right.
    pub noise: Vec<String>,
}

impl Clone for Box<dyn Work> {
    fn clone(&self) -> Self {
        self.boxed_clone()
    }
}

/// A workload by its name in a scenario.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorkKind {
    /// Files, and a line on the console for each operation.
    Mixed,
    /// The same without the lines.
    Files,
    /// The same few files for several clients.
    Shared,
    /// One service.
    One(Kind),
}

/// Names of the workloads.
pub const WORKLOADS: [&str; 6] = ["mixed", "files", "shared", "block", "ipc", "console"];

impl WorkKind {
    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "mixed" => Self::Mixed,
            "files" => Self::Files,
            "shared" => Self::Shared,
            "block" => Self::One(Kind::Block),
            "ipc" => Self::One(Kind::Ipc),
            "console" => Self::One(Kind::Console),
            _ => return None,
        })
    }

    /// Its number in the plan.
    pub const fn number(self) -> u64 {
        match self {
            Self::Mixed => 0,
            Self::Files => FILES,
            Self::Shared => SHARED,
            Self::One(kind) => kind as u64,
        }
    }
}

/// The workload of a scenario, before it begins.
///
/// # Errors
/// The system has not the components that it needs.
pub fn of(workload: &Workload, system: &System, seed: u64) -> Result<Box<dyn Work>> {
    let client = system.slot(&workload.client)?;
    Ok(match WorkKind::named(&workload.name) {
        Some(WorkKind::Mixed | WorkKind::Files) => Box::new(Mixed::new(client, seed)),
        Some(WorkKind::Shared) => Box::new(Shared::new(system, client, seed)?),
        Some(WorkKind::One(kind)) => Box::new(Exercise::new(client, kind, seed, workload.operations)),
        None => bail!("no workload {:?}: there is {}", workload.name, WORKLOADS.join(", ")),
    })
}

/// What is wrong with what came over the console, if these lines were written.
fn on_console(traces: &Traces, lines: &[ConsoleLine]) -> Leftovers {
    let report = console::judge(traces.console, lines, traces.console_deaths);
    let lost = report.lost.iter();
    let lost =
        lost.map(|line| format!("console: line {} was acknowledged and is not there whole", line.operation));
    let strays = (report.strays > 0).then(|| format!("console: {} lines that nobody wrote", report.strays));
    let noisy = report.noisy.iter();
    let noisy = noisy.map(|line| {
        format!("console: in line {} stands what the driver sent before it died", line.operation)
    });
    Leftovers { wrong: lost.chain(strays).collect(), noise: noisy.collect() }
}

/// What the file system's own tools say of the card.
fn on_card(image: &Path, is_unmounted: bool) -> Result<Vec<String>> {
    if !is_unmounted {
        // The client was told so. What was acknowledged is there when the card is mounted.
        card::replay_journal(image)?;
    }
    let checked = card::check(image)?;
    let complaint = (!checked.clean).then(|| format!("e2fsck -fn is not content: {}", checked.output));
    Ok(complaint.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_workload_has_a_number_of_its_own() {
        let numbers: std::collections::BTreeSet<_> =
            WORKLOADS.map(|name| WorkKind::named(name).unwrap().number()).into();
        assert_eq!(numbers.len(), WORKLOADS.len());
        assert_eq!(WorkKind::named("none"), None);
    }
}
