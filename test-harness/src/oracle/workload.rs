//! The judge of the client's work: repeats its operations from the seed and holds every answer against them.
//!
//! Contract that it holds the file server to:
//!
//! | what happened | what must be there |
//! |---|---|
//! | an operation was acknowledged | its effect, whatever dies afterwards |
//! | the client died during an operation | the state before or the state after, as its next incarnation finds; never a mixture |
//! | the board was reset, [`Promise::Acknowledged`] | every acknowledged operation; of the one in flight, none or all, and of an overwrite any mixture of old and new sectors |
//! | the board was reset, [`Promise::Synced`] | the state after some operation not older than the last acknowledged `fsync` or `sync` |

use super::console_lines::{ConsoleLine, LineRefusal, Lines};
use super::tree::{self, Difference, Node, Tree};
use super::{Finding, Kind};
use abi::Status;
use protocols::files;
use std::collections::BTreeMap;
use workload_core::record::{Answer, DONE, Found, KERNEL_STATUS, answer};
use workload_core::resolution::{resolve, witnesses};
use workload_core::{Operation, Record, Resolution, State, line, next};

/// What an acknowledgement promises about a reset of the board.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Promise {
    /// What was acknowledged is on the medium.
    Acknowledged,
    /// What was acknowledged before the last acknowledged `fsync` or `sync` is on the medium.
    Synced,
}

/// A walk that the client finished.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// When it began.
    pub started: u64,
    /// When it ended.
    pub ended: u64,
    /// Everything was there, and nothing else.
    pub intact: bool,
}

#[derive(Clone, Debug)]
enum Phase {
    /// No incarnation of the client has begun.
    Absent,
    /// The client begins an operation next.
    Between,
    /// An operation was asked for.
    InFlight,
    /// The outcome of the operation with this number is being found out.
    Resolving(u32, Vec<Found>),
    /// Names are being reported; true: after a reset of the board.
    Walking { started: u64, after_reset: bool, entries: BTreeMap<String, Found> },
    /// The file system was unmounted.
    Finished,
}

/// Follows the client.
#[derive(Clone, Debug)]
pub struct Follower {
    seed: u64,
    promise: Promise,
    phase: Phase,
    /// After all acknowledged operations.
    state: State,
    /// Before the last one of them.
    previous: State,
    /// An operation was asked for and not acknowledged.
    in_flight: bool,
    /// States that a reset may leave, oldest first; the newest is not among them.
    unsynced: Vec<State>,
    was_reset: bool,
    /// The tree after a reset, which no state describes when an overwrite was cut off.
    after_reset: Option<Tree>,
    lost: BTreeMap<String, u64>,
    lines: Lines,
    is_unmounted: bool,
    walks: Vec<Walk>,
    findings: Vec<Finding>,
    acknowledged: u32,
    repeated: u32,
    refused: u32,
    refusal: Option<Refusal>,
}

/// An operation that was refused and must not have been.
#[derive(Clone, Debug)]
struct Refusal {
    operation: u32,
    finding: Finding,
    /// The client has complained, and asks a fresh server: the finding is held back until that has refused it, too.
    is_pending: bool,
}

impl Follower {
    /// A follower of the workload with this seed, before it begins.
    pub fn new(seed: u64, promise: Promise) -> Self {
        Self {
            seed,
            promise,
            phase: Phase::Absent,
            state: State::default(),
            previous: State::default(),
            in_flight: false,
            unsynced: Vec::new(),
            was_reset: false,
            after_reset: None,
            lost: BTreeMap::new(),
            lines: Lines::default(),
            is_unmounted: false,
            walks: Vec::new(),
            findings: Vec::new(),
            acknowledged: 0,
            repeated: 0,
            refused: 0,
            refusal: None,
        }
    }

    /// What must not be, so far.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The walks that were finished, in their order.
    pub fn walks(&self) -> &[Walk] {
        &self.walks
    }

    /// The lines that the client wrote to the console, in their order.
    pub fn lines(&self) -> &[ConsoleLine] {
        self.lines.all()
    }

    /// Acknowledged bytes that a walk did not find, or did not find equal.
    pub fn lost_bytes(&self) -> u64 {
        self.lost.values().sum()
    }

    /// Operations that were acknowledged.
    pub fn acknowledged(&self) -> u32 {
        self.acknowledged
    }

    /// Operations that had to be asked for again, because they were not executed or their outcome was unknown.
    pub fn repeated(&self) -> u32 {
        self.repeated
    }

    /// Operations of which the client was told that they failed, the final unmounting included: each is a finding, too.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// Whether the file system was unmounted at the end.
    pub fn is_unmounted(&self) -> bool {
        self.is_unmounted
    }

    /// Whether the workload came to its end.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished)
    }

    /// The client died.
    pub fn died(&mut self) {
        if !self.is_finished() {
            self.phase = Phase::Absent;
        }
    }

    /// The board was reset.
    pub fn reset(&mut self) {
        self.died();
        self.was_reset = true;
    }

    /// The trees that may be on the card now: the first one is that without the operation in flight.
    pub fn possible_trees(&self) -> Vec<Tree> {
        if let Some(tree) = &self.after_reset {
            return vec![tree.clone()];
        }
        let mut trees = vec![tree::of_state(self.seed, &self.state)];
        if self.in_flight {
            let operation = next(self.seed, &self.state);
            let mut after = self.state.clone();
            after.apply(&operation);
            trees.push(tree::of_state(self.seed, &after));
            if let Some((path, contents)) = tree::torn_overwrites(self.seed, &self.state, &operation) {
                let torn = contents.into_iter().map(|bytes| {
                    let mut tree = trees[0].clone();
                    tree.insert(path.clone(), Node::File(bytes));
                    tree
                });
                let torn: Vec<_> = torn.collect();
                trees.extend(torn);
            }
        }
        if self.promise == Promise::Synced {
            trees.extend(self.unsynced.iter().map(|state| tree::of_state(self.seed, state)));
        }
        trees
    }

    /// Takes the next record of the client.
    pub fn record(&mut self, time: u64, record: &Record) {
        match *record {
            Record::Begin { seed, operation, fresh } => self.begin(time, seed, operation, fresh),
            Record::Intent { operation, code } => self.intent(time, operation, code),
            Record::Acknowledged { operation, status } => self.answer(time, operation, status),
            Record::Entry { path, found } => self.entry(time, path, found),
            Record::EndOfWalk { entries } => self.end_of_walk(time, entries),
            Record::Resolved { operation, resolution } => self.resolved(time, operation, resolution),
            Record::Line { operation } => self.line(time, operation),
            Record::LineRefused { operation } => self.line_refused(time, operation),
            Record::Complained { operation } => self.complained(operation),
            Record::Finished { status } => self.finished(time, status),
        }
    }

    fn complain(&mut self, kind: Kind, time: u64, text: impl Into<String>) {
        self.findings.push(Finding::at(kind, time, text));
    }

    fn begin(&mut self, time: u64, seed: u64, operation: u32, fresh: bool) {
        if seed != self.seed {
            self.complain(
                Kind::Evidence,
                time,
                format!("the client works with seed {seed}, not {}", self.seed),
            );
        }
        let begun = self.state.operation > 0 || self.in_flight;
        if fresh && begun {
            if !self.was_reset {
                self.complain(Kind::Correctness, time, "the client lost its checkpoint");
            }
            self.phase = Phase::Walking { started: time, after_reset: true, entries: BTreeMap::new() };
            return;
        }
        let expected = [self.state.operation, self.previous.operation];
        if !fresh && !expected.contains(&operation) {
            let text =
                format!("the client goes on with operation {operation}, but had come to {}", expected[0]);
            self.complain(Kind::Correctness, time, text);
        }
        self.phase = if fresh { Phase::Between } else { Phase::Resolving(operation, Vec::new()) };
    }

    fn intent(&mut self, time: u64, operation: u32, code: u8) {
        let expected = next(self.seed, &self.state);
        if !matches!(self.phase, Phase::Between) {
            self.complain(
                Kind::Evidence,
                time,
                format!("operation {operation} begins while {:?}", self.phase),
            );
        }
        if (operation, code) != (self.state.operation, expected.code()) {
            let text = format!(
                "the client begins operation {operation} of kind {code}; the seed says {} of kind {} ({})",
                self.state.operation,
                expected.code(),
                expected.name()
            );
            self.complain(Kind::Evidence, time, text);
        }
        self.in_flight = true;
        self.phase = match expected {
            Operation::Walk => Phase::Walking { started: time, after_reset: false, entries: BTreeMap::new() },
            _ => Phase::InFlight,
        };
    }

    fn answer(&mut self, time: u64, operation: u32, status: u32) {
        let expected = next(self.seed, &self.state);
        if operation != self.state.operation || !self.in_flight {
            self.complain(
                Kind::Evidence,
                time,
                format!("operation {operation} is answered but was not asked for"),
            );
            return;
        }
        match answer(&expected, status) {
            Answer::AsExpected => self.acknowledge(time, &expected, true),
            Answer::NotExecuted => {
                self.repeated += 1;
                self.in_flight = false;
                self.phase = Phase::Between;
            }
            Answer::Unknown => {
                self.repeated += 1;
                self.phase = Phase::Resolving(operation, Vec::new());
            }
            Answer::Wrong => {
                self.stand_by_refusal();
                self.refused += 1;
                let text = format!(
                    "operation {operation} ({}) was answered {}",
                    expected.name(),
                    status_text(status)
                );
                let finding = Finding::at(Kind::Correctness, time, text);
                self.findings.push(finding.clone());
                self.refusal = Some(Refusal { operation, finding, is_pending: false });
                self.phase = Phase::Resolving(operation, Vec::new());
            }
        }
    }

    /// The client has complained of the file server. If the last finding is that the server has refused this operation, that is not
    /// the last word. Of an operation that leaves nothing to be looked at the client asks again.
    fn complained(&mut self, operation: u32) {
        self.repeated += 1;
        let refusal = self.refusal.as_mut().filter(|refusal| refusal.operation == operation);
        let Some(refusal) = refusal.filter(|refusal| !refusal.is_pending) else { return };
        if self.findings.last() != Some(&refusal.finding) {
            return;
        }
        refusal.is_pending = true;
        self.findings.pop();
        self.refused -= 1;
        if witnesses(&self.state, &next(self.seed, &self.state)).is_empty() {
            self.in_flight = false;
            self.phase = Phase::Between;
        }
    }

    /// What was refused was not done after all.
    fn stand_by_refusal(&mut self) {
        if let Some(refusal) = self.refusal.take().filter(|refusal| refusal.is_pending) {
            self.findings.push(refusal.finding);
            self.refused += 1;
        }
    }

    /// The operation in flight took place. `with_line`: the client says so on the console.
    fn acknowledge(&mut self, time: u64, operation: &Operation, with_line: bool) {
        let number = self.state.operation;
        self.previous = self.state.clone();
        if operation.is_barrier() {
            self.unsynced.clear();
        } else if self.promise == Promise::Synced {
            self.unsynced.push(self.state.clone());
        }
        self.state.apply(operation);
        self.in_flight = false;
        self.refusal = None;
        self.acknowledged += 1;
        self.phase = Phase::Between;
        if with_line {
            let text = line::line(number, operation).as_str().to_owned();
            self.lines.push(time, number, text);
        }
    }

    fn entry(&mut self, time: u64, path: &str, found: Found) {
        match &mut self.phase {
            Phase::Walking { entries, .. } => {
                if entries.insert(path.to_owned(), found).is_some() {
                    self.complain(Kind::Correctness, time, format!("{path} is in its directory twice"));
                }
            }
            Phase::Resolving(_, seen) => seen.push(found),
            phase => {
                let text = format!("the client reports {path} while {phase:?}");
                self.complain(Kind::Evidence, time, text);
            }
        }
    }

    fn end_of_walk(&mut self, time: u64, count: u32) {
        let phase = std::mem::replace(&mut self.phase, Phase::InFlight);
        let Phase::Walking { started, after_reset, entries } = phase else {
            self.complain(Kind::Evidence, time, "a walk ends that did not begin");
            return;
        };
        if entries.len() != count as usize {
            let text = format!("a walk reported {} entries and counted {count}", entries.len());
            self.complain(Kind::Evidence, time, text);
        }
        let differences = if after_reset { self.settle_reset(&entries) } else { self.compare(&entries) };
        self.walks.push(Walk { started, ended: time, intact: differences.is_empty() });
        for difference in differences {
            self.lost.insert(difference.path.clone(), difference.bytes);
            self.complain(Kind::Correctness, time, difference.to_string());
        }
    }

    fn compare(&self, entries: &BTreeMap<String, Found>) -> Vec<Difference> {
        tree::differences(&tree::of_state(self.seed, &self.state), entries)
    }

    /// Chooses the tree that the reset left among those that it may leave.
    fn settle_reset(&mut self, entries: &BTreeMap<String, Found>) -> Vec<Difference> {
        let mut possible = self.possible_trees();
        let fits = possible.iter().position(|tree| tree::differences(tree, entries).is_empty());
        let tree = possible.swap_remove(fits.unwrap_or(0));
        let differences = tree::differences(&tree, entries);
        self.after_reset = Some(tree);
        self.in_flight = false;
        differences
    }

    fn resolved(&mut self, time: u64, operation: u32, claimed: Resolution) {
        let phase = std::mem::replace(&mut self.phase, Phase::Between);
        let Phase::Resolving(number, found) = phase else {
            self.complain(
                Kind::Evidence,
                time,
                format!("operation {operation} is resolved but was not in doubt"),
            );
            return;
        };
        let acknowledged = number != self.state.operation;
        let state = if acknowledged { self.previous.clone() } else { self.state.clone() };
        let doubtful = next(self.seed, &state);
        let judged = resolve(self.seed, &state, &doubtful, &found);
        if (number, judged) != (operation, claimed) {
            let text =
                format!("operation {operation} is called {claimed:?}, but what was found says {judged:?}");
            self.complain(Kind::Evidence, time, text);
        }
        let has_effect = !witnesses(&state, &doubtful).is_empty();
        match judged {
            Resolution::Done if acknowledged => {}
            Resolution::Done if self.in_flight || !has_effect => {
                if !has_effect {
                    // Nothing was seen that a fresh server would have done.
                    self.stand_by_refusal();
                }
                self.acknowledge(time, &doubtful, false);
            }
            Resolution::Done => {
                let text =
                    format!("operation {operation} ({}) took place but nobody asked for it", doubtful.name());
                self.complain(Kind::Correctness, time, text);
            }
            Resolution::NotDone if acknowledged => {
                let text =
                    format!("operation {operation} ({}) was acknowledged and is not there", doubtful.name());
                self.complain(Kind::Correctness, time, text);
            }
            Resolution::NotDone => self.in_flight = false,
            Resolution::Torn => {
                // Who is told that nothing can be read knows that; it is not shown anything wrong.
                let is_told =
                    !found.is_empty() && found.iter().all(|found| matches!(found, Found::Unreadable { .. }));
                self.refused += u32::from(is_told);
                let text = format!("operation {operation} ({}) is torn: {found:?}", doubtful.name());
                self.complain(Kind::Correctness, time, text);
            }
        }
    }

    fn line(&mut self, time: u64, operation: u32) {
        if !self.lines.acknowledged(time, operation) {
            self.complain(Kind::Evidence, time, format!("line {operation} was not to be written"));
        }
    }

    fn line_refused(&mut self, time: u64, operation: u32) {
        match self.lines.refused(time, operation) {
            LineRefusal::OfNothing => {
                self.complain(Kind::Evidence, time, format!("line {operation} was not to be written"));
            }
            LineRefusal::WrittenAgain => self.repeated += 1,
            LineRefusal::OfTheLastAttempt => {
                self.refused += 1;
                self.complain(Kind::Correctness, time, format!("line {operation} was never acknowledged"));
            }
        }
    }

    fn finished(&mut self, time: u64, status: u32) {
        self.stand_by_refusal();
        self.is_unmounted = status == DONE;
        if status != DONE {
            self.refused += 1;
            self.complain(
                Kind::Correctness,
                time,
                format!("unmounting was answered {}", status_text(status)),
            );
        }
        if self.in_flight {
            self.complain(Kind::Evidence, time, "the workload ended in the middle of an operation");
        }
        self.phase = Phase::Finished;
    }
}

/// An answer, for people.
pub(super) fn status_text(status: u32) -> String {
    match status.checked_sub(KERNEL_STATUS) {
        Some(code) => match Status::from_code(code.into()) {
            Some(status) => format!("{status:?} by the kernel"),
            None => format!("{code} by the kernel"),
        },
        None => files::Status::from_raw(status)
            .map_or_else(|| status.to_string(), |status| status.text().to_owned()),
    }
}

#[cfg(test)]
mod tests;
