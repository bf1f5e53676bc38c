//! `./x campaign planted`: whether what is to find bugs finds those that were planted.
//!
//! *Role.* Each bug is built from a copy of the tree ([`Patched`]) and goes through trials of its scenario until one of them is not
//! stood, or the golden run is not clean. What counts as caught says [`Planted`]. At the end each trial that has caught one takes place
//! once more without any bug: what is said then, too, is said of something else.
//!
//! *Rule.* Trials are those of `./x campaign run` with the scenario and the seed of the bug's file, and nothing here looks at what the
//! bug is.

use super::run::Setting;
use crate::patched::{Patched, diff};
use crate::tools::Toolchain;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use test_harness::campaign::ledger::Line;
use test_harness::campaign::planted::{Planted, said_of_golden_run, said_of_trial};
use test_harness::campaign::scenario::CampaignScenario;
use test_harness::campaign::{Campaign, NotClean, run_all};

/// Where the bugs are, relative to the root.
const FOLDER: &str = "test-harness/planted";

/// Longest account of what was said, in characters.
const SAID_MAX: usize = 300;

/// What `x campaign planted` is told.
#[derive(clap::Args)]
pub struct PlantedOptions {
    /// The bugs, by the names of their files; all of them if none is named.
    names: Vec<String>,
    /// Says which there are, and plants none.
    #[arg(long)]
    list: bool,
    /// Trials at once.
    #[arg(short, long, default_value_t = 1)]
    jobs: usize,
    /// The emulated board; the default is the one whose file in qemu/ says so.
    #[arg(long)]
    board: Option<String>,
}

/// Plants bugs and says what became of each.
///
/// # Errors
/// A file is wrong, a diff does not fit, what it makes cannot be built, or a trial could not take place.
pub fn run(tools: &Toolchain, options: &PlantedOptions) -> Result<ExitCode> {
    let bugs = chosen(Planted::all(&tools.root().join(FOLDER))?, &options.names)?;
    if options.list {
        for (name, planted) in &bugs {
            println!("{name:20} {}", planted.about);
        }
        return Ok(ExitCode::SUCCESS);
    }
    let mut missed = Vec::new();
    let mut controls = Vec::new();
    for (name, planted) in &bugs {
        println!("{name}: {}", planted.about);
        let end = plant(tools, planted, options).with_context(|| format!("the planted bug {name}"))?;
        println!("{name}: {}", end.text(planted));
        match end {
            End::Caught(Said { trial, .. }) => controls.extend(trial.map(|trial| (name, planted, trial))),
            _ => missed.push(name.as_str()),
        }
    }
    for (name, planted, trial) in controls {
        let without = control(tools, planted, trial, options)
            .with_context(|| format!("trial {trial} without the planted bug {name}"))?;
        if let Some(said) = without.filter(|said| planted.is_understood(said)) {
            println!(
                "{name}: NOT CAUGHT: without it trial {trial} ends so, too, {}: its file needs another seed",
                cut(&said)
            );
            missed.push(name);
        }
    }
    if missed.is_empty() {
        println!("ok: {} of {0} planted bugs are caught", bugs.len());
        return Ok(ExitCode::SUCCESS);
    }
    println!("FAILED: not caught as they must be: {}", missed.join(", "));
    Ok(ExitCode::FAILURE)
}

/// The bugs of these names.
fn chosen(all: Vec<(String, Planted)>, names: &[String]) -> Result<Vec<(String, Planted)>> {
    let known: Vec<_> = all.iter().map(|(name, _)| name.clone()).collect();
    if let Some(unknown) = names.iter().find(|name| !known.contains(name)) {
        anyhow::bail!("no planted bug {unknown:?}: there is {}", known.join(", "));
    }
    let chosen =
        all.into_iter().filter(|(name, _)| names.is_empty() || names.contains(name)).collect::<Vec<_>>();
    ensure!(!chosen.is_empty(), "there are no planted bugs in {FOLDER}");
    Ok(chosen)
}

/// What was said, and of what.
#[derive(Debug)]
struct Said {
    /// The trial; `None`: the golden run.
    trial: Option<u64>,
    /// The same for people.
    place: String,
    text: String,
}

/// What became of a bug.
#[derive(Debug)]
enum End {
    /// What its file expects was said.
    Caught(Said),
    /// Something was said, but nothing that its file expects: the first of it.
    Misunderstood(Said),
    /// Nothing was said in any trial, which ended so.
    Missed(BTreeMap<&'static str, u64>),
}

impl End {
    fn text(&self, planted: &Planted) -> String {
        match self {
            Self::Caught(Said { place, text, .. }) => format!("caught, {place}: {}", cut(text)),
            Self::Misunderstood(Said { place, text, .. }) => {
                let expected = &planted.caught_by;
                format!("NOT CAUGHT AS EXPECTED: {place}, {}; its file expects {expected:?}", cut(text))
            }
            Self::Missed(outcomes) => {
                let counts: Vec<_> =
                    outcomes.iter().map(|(outcome, count)| format!("{count} {outcome}")).collect();
                format!("NOT CAUGHT in {} trials: {}", planted.trials, counts.join(", "))
            }
        }
    }
}

/// The first characters.
fn cut(text: &str) -> String {
    let text = text.replace('\n', " ");
    let short: String = text.chars().take(SAID_MAX).collect();
    if short.len() < text.len() { format!("{short} ...") } else { short }
}

/// The scenario of a bug, for the system as it is in the copy.
fn setting(patched: &Patched, planted: &Planted, options: &PlantedOptions) -> Result<Setting> {
    let (scenario, text) = CampaignScenario::named(&planted.scenario)?;
    let numbers = (planted.seed, planted.trials, (0, 1));
    Setting::new(patched.tools(), options.board.as_deref(), scenario, &text, numbers)
}

/// Builds the system with the bug and runs trials until one is caught.
fn plant(tools: &Toolchain, planted: &Planted, options: &PlantedOptions) -> Result<End> {
    let diff = planted.patch.as_deref().map(diff::parse).transpose()?;
    let patched = Patched::make(tools, &diff.unwrap_or_default())?;
    let scratch = tempfile::tempdir().context("making a folder")?;
    match setting(&patched, planted, options)?.campaign(scratch.path()) {
        Ok(campaign) if planted.alters_card => watch(&campaign.altering_cards(), planted, options.jobs),
        Ok(campaign) => watch(&campaign, planted, options.jobs),
        Err(error) => {
            let NotClean { findings, .. } = error.downcast()?;
            let mut sorted = Sorted::default();
            let text = said_of_golden_run(&findings);
            sorted.add(planted, Said { trial: None, place: "the golden run is not clean".to_owned(), text });
            Ok(sorted.end())
        }
    }
}

/// What is said of the trial when nothing is planted.
fn control(
    tools: &Toolchain,
    planted: &Planted,
    trial: u64,
    options: &PlantedOptions,
) -> Result<Option<String>> {
    let patched = Patched::make(tools, &[])?;
    let scratch = tempfile::tempdir().context("making a folder")?;
    let campaign = setting(&patched, planted, options)?.campaign(scratch.path())?;
    Ok(said_of_trial(&campaign.run(trial, scratch.path())?))
}

/// Runs trials until what is expected is said.
fn watch(campaign: &Campaign, planted: &Planted, jobs: usize) -> Result<End> {
    let caught = AtomicBool::new(false);
    let mut sorted = Sorted::default();
    let trials = (0..planted.trials).take_while(|_| !caught.load(Ordering::Relaxed));
    run_all(campaign, trials, jobs, |line: Line| {
        *sorted.outcomes.entry(line.outcome.name()).or_default() += 1;
        if let Some(text) = said_of_trial(&line) {
            let place =
                format!("trial {} of {}, {} in {}", line.trial, planted.trials, line.model, line.target);
            sorted.add(planted, Said { trial: Some(line.trial), place, text });
        }
        caught.store(sorted.caught.is_some(), Ordering::Relaxed);
        Ok(())
    })?;
    Ok(sorted.end())
}

/// What was said until now.
#[derive(Default)]
struct Sorted {
    caught: Option<Said>,
    other: Option<Said>,
    outcomes: BTreeMap<&'static str, u64>,
}

impl Sorted {
    fn add(&mut self, planted: &Planted, said: Said) {
        let first = if planted.is_understood(&said.text) { &mut self.caught } else { &mut self.other };
        first.get_or_insert(said);
    }

    fn end(self) -> End {
        match (self.caught, self.other) {
            (Some(said), _) => End::Caught(said),
            (None, Some(said)) => End::Misunderstood(said),
            (None, None) => End::Missed(self.outcomes),
        }
    }
}

/// The diffs of all planted bugs fit the tree at `root`.
///
/// # Errors
/// A file is wrong, or a diff does not fit: names it.
#[cfg(test)]
fn all_fit(root: &std::path::Path) -> Result<usize> {
    let all = Planted::all(&root.join(FOLDER))?;
    for (name, planted) in &all {
        let Some(patch) = &planted.patch else { continue };
        let fits = diff::parse(patch).and_then(|diff| crate::patched::changes(root, &diff));
        fits.with_context(|| format!("in {FOLDER}/{name}.toml"))?;
    }
    Ok(all.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planted() -> Planted {
        let text = "about = \"a\"\nalters_card = true\nscenario = \"text\"\ntrials = 3\nseed = 1\ncaught_by = \"hang\"\n";
        Planted::parse(text).unwrap()
    }

    #[test]
    fn every_diff_fits_the_tree() {
        assert!(all_fit(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..")).unwrap() > 0);
    }

    #[test]
    fn only_what_is_expected_counts_as_caught() {
        let planted = planted();
        let end = |texts: &[&str]| {
            let mut sorted = Sorted::default();
            for (trial, text) in (0..).zip(texts) {
                let (place, text) = (format!("trial {trial}"), (*text).to_owned());
                sorted.add(&planted, Said { trial: Some(trial), place, text });
            }
            sorted.end()
        };
        assert!(
            matches!(end(&["degraded: ", "hang: ", "hang: again"]), End::Caught(said) if said.trial == Some(1))
        );
        let other = end(&["degraded: fs"]).text(&planted);
        assert!(other.starts_with("NOT CAUGHT AS EXPECTED: trial 0, degraded: fs"), "{other}");
        let missed = End::Missed([("benign", 2), ("recovered_intact", 1)].into());
        assert_eq!(missed.text(&planted), "NOT CAUGHT in 3 trials: 2 benign, 1 recovered_intact");
    }

    #[test]
    fn bugs_are_chosen_by_name() {
        let all = || vec![("one".to_owned(), planted()), ("two".to_owned(), planted())];
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(chosen(all(), &[]).unwrap().len(), 2);
        assert_eq!(chosen(all(), &names(&["two"])).unwrap()[0].0, "two");
        assert!(chosen(all(), &names(&["three"])).unwrap_err().to_string().contains("there is one, two"));
    }
}
