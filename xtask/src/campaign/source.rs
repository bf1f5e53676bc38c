//! `./x campaign source`: mutants of the source that no unit test notices, each built into the system and tried.
//!
//! *Role.* cargo-mutants lists what could be a mistake, [`mutants`] draws from it. Each that is drawn is put into a copy of the tree
//! ([`Patched`]); the unit tests of its package have the first word ([`HostTests`]). A survivor is built into the system for the board
//! and goes through one trial from a reset, compared with the golden run of the unchanged system ([`source`]).
//!
//! *Rule.* A folder says all: `campaign.toml` what was begun, `mutants.jsonl` what was drawn, `trials.jsonl` what was tried. The same
//! command goes on with it, and tries nothing twice.

use super::results;
use super::run::{NewFolder, Setting, compare};
use crate::build::build_system;
use crate::patched::host_tests::{HostTests, Verdict};
use crate::patched::{Patched, diff};
use crate::tools::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use test_harness::campaign::Campaign;
use test_harness::campaign::description::{self, Description, Origin};
use test_harness::campaign::ledger::{Line, Writer};
use test_harness::campaign::mutants::{self, Deck, Drawn, Fate, Mutant, Pile, TARGETS};
use test_harness::campaign::scenario::CampaignScenario;
use test_harness::campaign::source::{self, Lines};
use test_harness::evidence::hex;
use test_harness::system::System;
use test_harness::target::Lock;

/// The scenario whose system, workload and profiles these trials have.
const LIKE: &str = "text";

/// Its name in the ledger.
const NAME: &str = "source";

/// Mutants in a row that do not build, after which it is not they that are to blame.
const UNBUILT_MAX: usize = 12;

/// What to type where cargo-mutants is missing.
const REMEDY: &str = "cargo install cargo-mutants --version 27.1.0 --locked";

/// What `x campaign source` is told.
#[derive(clap::Args)]
pub struct SourceOptions {
    /// Number of trials: mutants that survive the unit tests.
    #[arg(long)]
    mutants: u64,
    /// Seed: which mutants are drawn, and what the client does.
    #[arg(long)]
    seed: u64,
    /// Folder for ledger and report. If it holds these trials already, the command goes on with them.
    #[arg(long)]
    out: PathBuf,
    /// The emulated board; the default is the one whose file in qemu/ says so.
    #[arg(long)]
    board: Option<String>,
}

/// Runs a new campaign, or goes on with it.
///
/// # Errors
/// cargo-mutants is not there, the folder holds another campaign, or a trial could not take place.
pub fn run(tools: &Toolchain, options: &SourceOptions) -> Result<ExitCode> {
    ensure!(options.mutants > 0, "--mutants must be above 0");
    if options.out.join(description::NAME).exists() {
        let then = Description::read(&options.out)?;
        ensure!(
            then.mutants.is_some() && (then.seed, then.trials) == (options.seed, options.mutants),
            "{} holds another campaign: `{}`; a new one takes another folder",
            options.out.display(),
            then.command()
        );
        return resume(tools, &options.out);
    }
    let folder = NewFolder::make(&options.out)?;
    let work = Work::new(tools, options.board.as_deref(), options.seed, options.mutants)?;
    let bench = Bench::new(&work)?;
    let _lock = Lock::folder(&options.out)?;
    work.setting.now.write(&options.out)?;
    folder.keep();
    bench.go_on(&options.out)
}

/// Goes on with a campaign.
///
/// # Errors
/// What it was begun with is not there any more, or a trial could not take place.
pub fn resume(tools: &Toolchain, folder: &Path) -> Result<ExitCode> {
    let work = Work::of_folder(tools, folder)?;
    let bench = Bench::new(&work)?;
    let _lock = Lock::folder(folder)?;
    bench.go_on(folder)
}

/// Runs one trial again, without asking the unit tests, and compares it with the ledger.
///
/// # Errors
/// There is no such trial, or it could not take place.
pub fn replay(tools: &Toolchain, folder: &Path, trial: u64) -> Result<ExitCode> {
    let drawn = mutants::read(folder)?;
    let drawn = drawn.iter().find(|drawn| drawn.trial == Some(trial));
    let drawn = drawn.with_context(|| format!("{} has no trial {trial}", folder.display()))?;
    let work = Work::of_folder(tools, folder)?;
    let bench = Bench::new(&work)?;
    let mutant = work.deck.named(&drawn.mutant)?;
    println!("trial {trial}: {}", mutant.name);
    let patched = Patched::make(tools, &diff::parse(&mutant.patch)?)?;
    let system = bench.build(&patched)?;
    compare(&bench.trial(trial, mutant, &system)?, folder)
}

/// What a campaign of mutants is about.
struct Work<'a> {
    tools: &'a Toolchain,
    setting: Setting,
    deck: Deck,
}

impl<'a> Work<'a> {
    fn new(tools: &'a Toolchain, board: Option<&str>, seed: u64, trials: u64) -> Result<Self> {
        // First, since it is what may be missing.
        let (list, origin) = list(tools)?;
        let deck = Deck::new(list, seed)?;
        let (like, text) = CampaignScenario::named(LIKE)?;
        let about = "mistakes in the source that no unit test notices".to_owned();
        let scenario = CampaignScenario { name: NAME.to_owned(), about, ..like };
        let text = format!(
            "# System, workload and profiles are those of this scenario; its models have no part.\n{text}"
        );
        let mut setting = Setting::new(tools, board, scenario, &text, (seed, trials, (0, 1)))?;
        setting.now.mutants = Some(origin);
        for (target, packages) in TARGETS {
            let slot = setting.system.slots.iter().find(|slot| slot.name == target);
            let image = slot.and_then(|slot| slot.image.as_deref());
            ensure!(
                image == Some(packages[0]),
                "the image of {target} is {image:?}, and its mutants are of {}: TARGETS in mutants.rs needs a change",
                packages[0]
            );
            println!("{target}: {} mutants in {}", deck.count(target), packages.join(", "));
        }
        Ok(Self { tools, setting, deck })
    }

    fn of_folder(tools: &'a Toolchain, folder: &Path) -> Result<Self> {
        let then = Description::read(folder)?;
        let work = Self::new(tools, Some(&then.board), then.seed, then.trials)?;
        then.check_unchanged(&work.setting.now)?;
        Ok(work)
    }
}

/// What cargo-mutants lists for the packages of all targets.
fn list(tools: &Toolchain) -> Result<(Vec<Mutant>, Origin)> {
    let ask = |arguments: &[&str]| -> Result<Option<String>> {
        let mut command = tools.host_cargo("mutants");
        let output = command.args(arguments).output().with_context(|| format!("starting {command:?}"))?;
        let text = String::from_utf8(output.stdout).context("cargo-mutants does not write UTF-8")?;
        Ok(output.status.success().then_some(text))
    };
    let version = ask(&["--version"])?;
    let version = version.with_context(|| format!("cargo-mutants is not installed: `{REMEDY}` does that"))?;
    let version = version.split_whitespace().last().unwrap_or_default().to_owned();
    let mut arguments = vec!["--list", "--json", "--diff", "--no-config", "--colors=never"];
    for package in TARGETS.iter().flat_map(|(_, packages)| *packages) {
        arguments.extend(["--package", package]);
    }
    let list = ask(&arguments)?;
    let list = list.with_context(|| format!("`cargo mutants {}` failed", arguments.join(" ")))?;
    let mutants = mutants::parse(&list)?;
    let listed = mutants.len() as u64;
    Ok((mutants, Origin { cargo_mutants: version, listed, list_sha256: hex(&Sha256::digest(&list)) }))
}

/// What is booted: kernel and components.
fn image(system: &System) -> Result<Vec<u8>> {
    let path = system.kernel();
    std::fs::read(&path).with_context(|| format!("reading {}", path.display()))
}

/// Where mutants are tried.
struct Bench<'a> {
    work: &'a Work<'a>,
    campaign: Campaign,
    /// What is booted without any change.
    unchanged: Vec<u8>,
    /// What each target executes undisturbed.
    executed: BTreeMap<&'static str, Lines>,
    scratch: tempfile::TempDir,
}

impl<'a> Bench<'a> {
    fn new(work: &'a Work<'a>) -> Result<Self> {
        let scratch = tempfile::tempdir().context("making a folder")?;
        let campaign = work.setting.campaign(scratch.path())?;
        let executed = TARGETS.iter().map(|(target, _)| Ok((*target, campaign.executed_lines(target)?)));
        let unchanged = image(&work.setting.system)?;
        Ok(Self { work, unchanged, executed: executed.collect::<Result<_>>()?, campaign, scratch })
    }

    /// Draws until all trials have taken place, and sums up.
    fn go_on(&self, folder: &Path) -> Result<ExitCode> {
        let mut writer = Writer::open(folder, 0, 1)?;
        let mut pile = Pile::open(folder)?;
        self.work.deck.check(pile.drawn())?;
        let trials = self.work.setting.now.trials;
        if writer.next() < trials {
            self.draw(&mut pile, &mut writer, &self.unchanged()?)?;
        }
        results::report(folder)
    }

    /// The copy without any change gives the same system, and its tests pass: what is said of a mutant is its own doing.
    fn unchanged(&self) -> Result<HostTests> {
        println!("the unit tests and the system without any change");
        let patched = Patched::make(self.work.tools, &[])?;
        let packages: Vec<_> = TARGETS.iter().flat_map(|(_, packages)| *packages).copied().collect();
        let tests = HostTests::of_unchanged(patched.tools(), &packages)?;
        let system = self.build(&patched)?;
        ensure!(
            image(&system)? == self.unchanged,
            "a copy of the tree gives another system than the tree itself: {} is not {}",
            system.kernel().display(),
            self.work.setting.system.kernel().display()
        );
        Ok(tests)
    }

    fn draw(&self, pile: &mut Pile, writer: &mut Writer, tests: &HostTests) -> Result<()> {
        let mut unbuilt = 0;
        while writer.next() < self.work.setting.now.trials {
            let trial = writer.next();
            // One that was found to survive when the campaign was interrupted.
            let survivor = pile.drawn().last().filter(|drawn| drawn.trial == Some(trial));
            let known = survivor.map(|drawn| drawn.fate);
            let mutant = match survivor {
                Some(drawn) => Some(self.work.deck.named(&drawn.mutant)?),
                None => self.work.deck.next(pile.drawn(), trial),
            };
            let Some(mutant) = mutant else {
                bail!("all mutants were drawn, and only {trial} of them survive: ask for fewer");
            };
            let patched = Patched::make(self.work.tools, &diff::parse(&mutant.patch)?)?;
            let (drawn, system) = self.fate(&patched, mutant, trial, known, tests)?;
            println!("{}: {}: {}", mutant.target, mutant.name, drawn.fate.name());
            unbuilt = if matches!(drawn.fate, Fate::DoesNotBuild | Fate::NoImage) { unbuilt + 1 } else { 0 };
            ensure!(
                unbuilt < UNBUILT_MAX,
                "{unbuilt} mutants in a row do not build: {:?} was said last",
                drawn.why
            );
            ensure!(
                known.is_none() || system.is_some(),
                "trial {trial}: {} could be tried when it was drawn, and cannot be now: {:?}",
                mutant.name,
                drawn.why
            );
            if known.is_none() {
                pile.add(drawn)?;
            }
            if let Some(system) = system {
                let line = self.trial(trial, mutant, &system)?;
                println!("  trial {trial}: {}", line.outcome.name());
                writer.add(line)?;
            }
        }
        Ok(())
    }

    /// What becomes of a mutant, which the copy has; and the system, if it is to be tried.
    fn fate(
        &self,
        patched: &Patched,
        mutant: &Mutant,
        trial: u64,
        known: Option<Fate>,
        tests: &HostTests,
    ) -> Result<(Drawn, Option<System>)> {
        let drawn = |fate: Fate, why| Drawn {
            target: mutant.target.to_owned(),
            mutant: mutant.name.clone(),
            fate,
            why,
            trial: fate.is_tried().then_some(trial),
        };
        let fate = match known {
            Some(fate) => fate,
            None if !tests.compile(&mutant.package, &mutant.file) => Fate::Untested,
            None => match tests.judge(patched.tools(), &mutant.package)? {
                Verdict::DoesNotBuild(why) => return Ok((drawn(Fate::DoesNotBuild, Some(why)), None)),
                Verdict::Caught => Fate::Caught,
                Verdict::TimedOut => Fate::TimedOut,
                Verdict::Survived => Fate::Survived,
            },
        };
        if !fate.is_tried() {
            return Ok((drawn(fate, None), None));
        }
        match self.build(patched) {
            Err(why) => Ok((drawn(Fate::NoImage, Some(format!("{why:#}"))), None)),
            Ok(system) if image(&system)? == self.unchanged => Ok((drawn(Fate::SameImage, None), None)),
            Ok(system) => Ok((drawn(fate, None), Some(system))),
        }
    }

    /// The system of the copy.
    fn build(&self, patched: &Patched) -> Result<System> {
        let setting = &self.work.setting;
        let manifest = PathBuf::from("system").join(&setting.system.manifest).with_extension("toml");
        System::in_folder(&build_system(patched.tools(), &manifest, &setting.machine.name)?.folder)
    }

    fn trial(&self, trial: u64, mutant: &Mutant, system: &System) -> Result<Line> {
        let is_executed =
            self.executed.get(mutant.target).is_some_and(|lines| source::is_executed(mutant, lines));
        let campaign = self.campaign.on(system)?;
        let line = campaign.run_mutant(trial, mutant, is_executed, self.scratch.path());
        line.with_context(|| format!("trial {trial}, {}", mutant.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_mutants_changes_can_be_applied() {
        let changes = "@@ -1,3 +1,3 @@\n one\n-two\n+ /* ~ changed by cargo-mutants ~ */\n three\n";
        let list = serde_json::json!([{
            "name": "fs-server/core/src/lib.rs:2:1: delete match arm A in f",
            "package": "fs-core",
            "file": "fs-server/core/src/lib.rs",
            "function": null,
            "span": { "start": { "line": 2, "column": 1 }, "end": { "line": 2, "column": 4 } },
            "replacement": "",
            "genre": "MatchArm",
            "diff": format!("--- fs-server/core/src/lib.rs\n+++ delete match arm A in f\n{changes}"),
        }]);
        let mutants = mutants::parse(&list.to_string()).unwrap();
        let files = diff::parse(&mutants[0].patch).unwrap();
        assert_eq!(files[0].path, mutants[0].file);
        let changed = files[0].apply("one\ntwo\nthree\n").unwrap();
        assert_eq!(changed, "one\n /* ~ changed by cargo-mutants ~ */\nthree\n");
    }

    #[test]
    fn the_targets_are_those_of_the_scenario_that_profiles_are_taken_from() {
        let (scenario, _) = CampaignScenario::named(LIKE).unwrap();
        assert!(scenario.targets.keys().map(String::as_str).eq(TARGETS.map(|(target, _)| target)));
    }
}
