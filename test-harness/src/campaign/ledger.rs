//! The ledger: `trials.jsonl`, a line for each trial, in the order of their numbers.
//!
//! *Rule.* A line is written when all lines before it are, so the file is always the beginning of what it will be: whoever was
//! killed goes on behind the last whole line. Everything but `wall_ms` is a function of scenario, seed and number.

use super::mutants;
use super::outcome::Outcome;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Name of the file.
pub const NAME: &str = "trials.jsonl";

/// What became of one trial.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// Its number.
    pub trial: u64,
    /// Name of the scenario.
    pub scenario: String,
    /// Seed of the campaign.
    pub seed: u64,
    /// Component that the fault is put into.
    pub target: String,
    /// Name of the fault model.
    pub model: String,
    /// When the fault takes place.
    pub trigger: String,
    /// What was done.
    pub fault: String,
    /// Of a batch: mutations, and how many of them were reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutations: Option<[u64; 2]>,
    /// Whether it took effect while clients were being served, as seen from outside.
    pub activated: bool,
    /// What became of it.
    pub outcome: Outcome,
    /// Class of the target's first death behind the fault; `null`: it did not die.
    pub class: Option<String>,
    /// From the moment at which the fault took effect to that death, in virtual nanoseconds.
    pub detect_ns: Option<u64>,
    /// How much longer than in the golden run the client waited for an acknowledgement, in virtual nanoseconds; `null`: not
    /// longer.
    pub outage_ns: Option<u64>,
    /// Incarnations of the target that were started after the fault.
    pub incarnations: u32,
    /// Hash of the trace.
    pub trace_hash: String,
    /// What must not be, if anything.
    pub findings: Vec<String>,
    /// Time of this computer, in milliseconds. It is nobody's function.
    pub wall_ms: u64,
}

impl Line {
    /// Whether both say the same, but for the time of the computers.
    pub fn agrees_with(&self, other: &Self) -> bool {
        Self { wall_ms: 0, ..self.clone() } == Self { wall_ms: 0, ..other.clone() }
    }

    /// The fields in which they differ, as ` (in trace_hash, outage_ns)`.
    pub fn differing_fields(&self, other: &Self) -> String {
        let fields = |line: &Self| match serde_json::to_value(Self { wall_ms: 0, ..line.clone() }) {
            Ok(serde_json::Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (own, others) = (fields(self), fields(other));
        let differ = own.iter().filter(|(name, value)| others.get(*name) != Some(value));
        let names: Vec<_> = differ.map(|(name, _)| name.as_str()).collect();
        if names.is_empty() { String::new() } else { format!(" (in {})", names.join(", ")) }
    }

    /// Whether the fault is a mutant of the source.
    pub fn is_of_mutant(&self) -> bool {
        self.model.starts_with(mutants::MODEL)
    }

    /// Whether the system stood it. A mutant is there again after each restart: more than giving its component up cannot be done.
    pub fn is_stood(&self) -> bool {
        self.outcome.is_success() || self.is_of_mutant() && self.outcome == Outcome::Degraded
    }
}

/// Reads a ledger. A last line without an end, which a killed campaign leaves, does not count.
///
/// # Errors
/// The file cannot be read, or a line is not understood: its number is named.
pub fn read(folder: &Path) -> Result<Vec<Line>> {
    let path = folder.join(NAME);
    let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    let mut reader = BufReader::new(file);
    let (mut lines, mut text) = (Vec::new(), String::new());
    loop {
        text.clear();
        reader.read_line(&mut text).with_context(|| format!("reading {}", path.display()))?;
        if !text.ends_with('\n') {
            return Ok(lines);
        }
        let line = serde_json::from_str(&text)
            .with_context(|| format!("{}: line {} is not understood", path.display(), lines.len() + 1))?;
        lines.push(line);
    }
}

/// A ledger that is being written.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    next: u64,
    step: u64,
    waiting: BTreeMap<u64, Line>,
}

impl Writer {
    /// Goes on with the ledger in `folder` behind its whole lines, which are the trials `first`, `first + step` and so on.
    ///
    /// # Errors
    /// The file cannot be written, or holds other trials than these.
    pub fn open(folder: &Path, first: u64, step: u64) -> Result<Self> {
        let path = folder.join(NAME);
        let name = || path.display().to_string();
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path);
        let mut file = file.with_context(|| format!("opening {}", name()))?;
        let lines = read(folder)?;
        let mut length = 0;
        for (line, trial) in lines.iter().zip((first..).step_by(step as usize)) {
            if line.trial != trial {
                bail!("{}: trial {} stands where {trial} should be", name(), line.trial);
            }
        }
        let mut reader = BufReader::new(File::open(&path).with_context(|| format!("opening {}", name()))?);
        for _ in &lines {
            length += reader.skip_until(b'\n').with_context(|| format!("reading {}", name()))? as u64;
        }
        file.set_len(length).with_context(|| format!("cutting {}", name()))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))
            .with_context(|| format!("in {}", name()))?;
        Ok(Self { file, next: first + step * lines.len() as u64, step, path, waiting: BTreeMap::new() })
    }

    /// The first trial that is not there.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Takes a line, whenever it comes.
    ///
    /// # Errors
    /// The file cannot be written: the disk is full, say.
    pub fn add(&mut self, line: Line) -> Result<()> {
        self.waiting.insert(line.trial, line);
        while let Some(line) = self.waiting.remove(&self.next) {
            let mut text = serde_json::to_string(&line).context("writing a line of the ledger")?;
            text.push('\n');
            self.file
                .write_all(text.as_bytes())
                .with_context(|| format!("writing {}", self.path.display()))?;
            self.next += self.step;
        }
        Ok(())
    }
}

#[cfg(test)]
impl Line {
    /// A line for tests.
    pub(super) fn sample(trial: u64, target: &str, model: &str, outcome: Outcome) -> Self {
        Self {
            trial,
            scenario: "s".to_owned(),
            seed: 1,
            target: target.to_owned(),
            model: model.to_owned(),
            trigger: "at 1 ns".to_owned(),
            fault: "`b.lo` became `b.hs`".to_owned(),
            mutations: None,
            activated: outcome != Outcome::NotActivated,
            outcome,
            class: None,
            detect_ns: None,
            outage_ns: None,
            incarnations: 0,
            trace_hash: "00".to_owned(),
            findings: Vec::new(),
            wall_ms: trial,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(trial: u64) -> Line {
        Line::sample(trial, "fs", "text/condition", Outcome::Benign)
    }

    #[test]
    fn lines_stand_in_their_order_however_they_come() {
        let folder = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(folder.path(), 1, 2).unwrap();
        for trial in [5, 1, 7, 3] {
            writer.add(line(trial)).unwrap();
        }
        let trials: Vec<_> = read(folder.path()).unwrap().iter().map(|line| line.trial).collect();
        assert_eq!(trials, [1, 3, 5, 7]);
    }

    #[test]
    fn who_was_killed_in_a_line_goes_on_behind_the_last_whole_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(NAME);
        let mut writer = Writer::open(folder.path(), 0, 1).unwrap();
        (0..3).for_each(|trial| writer.add(line(trial)).unwrap());
        let whole = std::fs::read(&path).unwrap();
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let mut writer = Writer::open(folder.path(), 0, 1).unwrap();
            (writer.next()..3).for_each(|trial| writer.add(line(trial)).unwrap());
            assert_eq!(std::fs::read(&path).unwrap(), whole, "cut at {cut}");
        }
    }

    #[test]
    fn another_campaign_s_ledger_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Writer::open(folder.path(), 0, 1).unwrap().add(line(0)).unwrap();
        assert!(
            Writer::open(folder.path(), 1, 1).unwrap_err().to_string().contains("trial 0 stands where 1")
        );
        std::fs::write(folder.path().join(NAME), "{\"trial\":0}\n").unwrap();
        assert!(read(folder.path()).unwrap_err().to_string().contains("line 1"));
    }

    #[test]
    fn only_the_time_of_the_computer_may_differ() {
        assert!(line(1).agrees_with(&Line { wall_ms: 99, ..line(1) }));
        assert!(!line(1).agrees_with(&Line { outcome: Outcome::Hang, ..line(1) }));
    }

    #[test]
    fn what_differs_is_named() {
        let other = Line { outcome: Outcome::Hang, wall_ms: 99, ..line(1) };
        assert_eq!(line(1).differing_fields(&other), " (in outcome)");
        assert_eq!(line(1).differing_fields(&line(1)), "");
    }

    #[test]
    fn giving_up_is_a_failure_unless_the_fault_comes_back_with_every_restart() {
        let stood = |model, outcome| Line::sample(1, "fs", model, outcome).is_stood();
        assert!(!stood("text/condition", Outcome::Degraded));
        assert!(stood("source/fn-value", Outcome::Degraded));
        assert!(!stood("source/fn-value", Outcome::Hang));
    }
}
