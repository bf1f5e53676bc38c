//! Running trials.

use super::{ablation, results, source};
use crate::baselines;
use crate::build::build_system;
use crate::debugger;
use crate::patched::Patched;
use crate::tools::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use test_harness::campaign::description::{self, Description};
use test_harness::campaign::ledger::{self, Line, Writer};
use test_harness::campaign::outcome::Outcome;
use test_harness::campaign::scenario::CampaignScenario;
use test_harness::campaign::{Account, Campaign, run_all, shard};
use test_harness::system::System;
use test_harness::target::{Lock, Machine};

/// What `x campaign run` is told.
#[derive(clap::Args)]
pub struct RunOptions {
    /// A scenario that comes with Samsara (`./x campaign list`), or a file that ends in .toml.
    scenario: String,
    /// Number of trials.
    #[arg(long)]
    trials: u64,
    /// Seed: trial K is a function of scenario, seed and K.
    #[arg(long)]
    seed: u64,
    /// Trials at once.
    #[arg(short, long, default_value = "2")]
    jobs: NonZeroUsize,
    /// `i/n`: only the trials of which the remainder by n is i.
    #[arg(long, default_value = "0/1")]
    shard: String,
    /// Folder for ledger and report.
    #[arg(long)]
    out: PathBuf,
    /// The emulated board; the default is the one whose file in qemu/ says so.
    #[arg(long)]
    board: Option<String>,
}

/// What `x campaign resume` is told.
#[derive(clap::Args)]
pub struct ResumeOptions {
    /// Folder of the campaign.
    folder: PathBuf,
    /// Trials at once.
    #[arg(short, long, default_value = "2")]
    jobs: NonZeroUsize,
}

/// What `x campaign replay` is told.
#[derive(clap::Args)]
pub struct ReplayOptions {
    /// Folder of the campaign.
    folder: PathBuf,
    /// Number of the trial.
    #[arg(long)]
    trial: u64,
    /// Tells what happened: times, functions, lines.
    #[arg(long)]
    story: bool,
    /// Leaves console.txt, all that came over the console, and card.img, the card as the trial left it, in this folder.
    #[arg(long, value_name = "FOLDER")]
    keep: Option<PathBuf>,
    /// Stops at the injection, waits for a debugger, and says what to type.
    #[arg(long, conflicts_with_all = ["story", "keep"])]
    gdb: bool,
}

/// What is there to run with.
pub(super) struct Setting {
    pub(super) machine: Machine,
    pub(super) system: System,
    pub(super) now: Description,
    scenario: CampaignScenario,
    /// Where what targets execute is kept.
    profiles: PathBuf,
    /// The copy of the tree that the system was built from, if it is not the tree.
    _patched: Option<Patched>,
}

impl Setting {
    pub(super) fn new(
        tools: &Toolchain,
        board: Option<&str>,
        scenario: CampaignScenario,
        text: &str,
        numbers: (u64, u64, (u64, u64)),
    ) -> Result<Self> {
        let profiles = tools.target_dir().join("campaign-profiles");
        let patched = ablation::sources(tools, &scenario.without)?;
        let tools = patched.as_ref().map_or(tools, Patched::tools);
        let machine = crate::run::machine(tools, board)?;
        let changed = tools.target_dir().join("campaign-manifests");
        let manifest = ablation::manifest(tools.root(), &scenario.manifest, &scenario.without, &changed)?;
        let built = build_system(tools, &manifest, &machine.name)?;
        let system = System::in_folder(&built.folder)?;
        let versions = (machine.emulator_version()?, baselines::compiler()?);
        let (seed, trials, shard) = numbers;
        let now = Description::new(&scenario, text, seed, trials, shard, &system, versions);
        Ok(Self { machine, system, now, scenario, profiles, _patched: patched })
    }

    /// That of a campaign that was begun.
    pub(super) fn of_folder(tools: &Toolchain, folder: &Path) -> Result<(Self, Description)> {
        let then = Description::read(folder)?;
        ensure!(
            then.mutants.is_none(),
            "{} is a campaign of mutants, which has no faults to be carried out: `./x campaign replay` and `resume` know it",
            folder.display()
        );
        let scenario = CampaignScenario::parse(&then.text).context("in the scenario of campaign.toml")?;
        let [i, n] = then.shard;
        let numbers = (then.seed, then.trials, (i, n));
        let setting = Self::new(tools, Some(&then.board), scenario, &then.text, numbers)?;
        then.check_unchanged(&setting.now)?;
        Ok((setting, then))
    }

    pub(super) fn campaign(&self, folder: &Path) -> Result<Campaign> {
        println!("{}: the golden run, and what the targets execute", self.scenario.name);
        let (machine, system, seed) = (&self.machine, &self.system, self.now.seed);
        let campaign = Campaign::prepare(machine, system, &self.scenario, seed, folder, &self.profiles)?;
        for (name, target) in campaign.targets() {
            let (executed, all) = (target.profile.len(), target.image.words.len());
            println!("  {name}: {executed} of {all} instructions are executed");
            for (killed, more) in &target.recoveries {
                println!("  {name}: {} more while {killed} is restarted", more.len());
            }
        }
        Ok(campaign)
    }
}

/// Room that a campaign needs at the least, in bytes: some thousand lines of the ledger.
const ROOM: usize = 4 << 20;

/// The folder of a campaign that is to begin: found out to be usable before anything takes long, and gone again if nothing comes of it.
pub(super) struct NewFolder(Option<PathBuf>);

impl NewFolder {
    pub(super) fn make(path: &Path) -> Result<Self> {
        description::ensure_free(path)?;
        ensure!(!path.exists() || path.is_dir(), "{} is a file: name a folder", path.display());
        let was_there = path.exists();
        std::fs::create_dir_all(path).with_context(|| format!("making {}", path.display()))?;
        let made = Self((!was_there).then(|| path.to_owned()));
        let trial = path.join(".room");
        let written = std::fs::write(&trial, vec![0xA5; ROOM]);
        let _ = std::fs::remove_file(&trial);
        written.with_context(|| {
            format!("{} cannot take {} MiB: make room, or name another folder", path.display(), ROOM >> 20)
        })?;
        Ok(made)
    }

    /// It holds something from now on.
    pub(super) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // One that is not empty stays.
            let _ = std::fs::remove_dir(path);
        }
    }
}

/// Runs a new campaign.
///
/// # Errors
/// It could not begin, or a trial could not take place.
pub fn run(tools: &Toolchain, options: &RunOptions) -> Result<ExitCode> {
    ensure!(options.trials > 0, "--trials must be above 0");
    let (scenario, text) = CampaignScenario::named(&options.scenario)?;
    let shard = shard(&options.shard)?;
    let folder = NewFolder::make(&options.out)?;
    let numbers = (options.seed, options.trials, shard);
    let setting = Setting::new(tools, options.board.as_deref(), scenario, &text, numbers)?;
    let scratch = tempfile::tempdir().context("making a folder")?;
    let campaign = setting.campaign(scratch.path())?;
    let _lock = Lock::folder(&options.out)?;
    setting.now.write(&options.out)?;
    folder.keep();
    go_on(&campaign, &setting.now, &options.out, options.jobs.get())
}

/// Goes on with a campaign.
///
/// # Errors
/// It is none, or what it was begun with is not there any more, or a trial could not take place.
pub fn resume(tools: &Toolchain, options: &ResumeOptions) -> Result<ExitCode> {
    if Description::read(&options.folder)?.mutants.is_some() {
        return source::resume(tools, &options.folder);
    }
    let (setting, then) = Setting::of_folder(tools, &options.folder)?;
    ensure!(
        then.has_same_harness(&setting.now),
        "the harness (test-harness/) is another than the campaign's: what a trial does may have changed, and {} would hold two kinds. \
         Begin a new folder, or go on with the commit that it was begun with",
        options.folder.display()
    );
    let _lock = Lock::folder(&options.folder)?;
    let scratch = tempfile::tempdir().context("making a folder")?;
    let campaign = setting.campaign(scratch.path())?;
    go_on(&campaign, &then, &options.folder, options.jobs.get())
}

fn go_on(campaign: &Campaign, description: &Description, folder: &Path, jobs: usize) -> Result<ExitCode> {
    let [first, step] = description.shard;
    let mut writer = Writer::open(folder, first, step)?;
    let next = writer.next();
    let rest: Vec<_> = description.numbers().filter(|&trial| trial >= next).collect();
    let progress = ProgressBar::new(rest.len() as u64);
    let style = "{bar:30} {pos}/{len}, {per_sec}, {eta} to go  {msg}";
    progress.set_style(ProgressStyle::with_template(style).context("in the style of the progress bar")?);
    let mut outcomes: BTreeMap<Outcome, u64> = BTreeMap::new();
    run_all(campaign, rest.into_iter(), jobs, |line| {
        *outcomes.entry(line.outcome).or_default() += 1;
        let counts: Vec<_> =
            outcomes.iter().map(|(outcome, count)| format!("{count} {}", outcome.name())).collect();
        progress.set_message(counts.join(", "));
        progress.inc(1);
        writer.add(line)
    })?;
    progress.finish_and_clear();
    results::report(folder)
}

/// Stops a trial where its fault takes effect.
fn debug(
    tools: &Toolchain,
    setting: &Setting,
    campaign: &Campaign,
    trial: u64,
    folder: &Path,
) -> Result<ExitCode> {
    let spec = campaign.spec(trial)?;
    println!("trial {trial}: {}", spec.trigger_text());
    let targets: std::collections::BTreeSet<_> =
        spec.faults.iter().map(|fault| fault.target.as_str()).collect();
    campaign.run_for_debugger(trial, folder, &mut |port| {
        print!("{}", debugger::prepare(&tools.path_remaps(), &setting.system, folder, port)?);
        println!(
            "the board stands in the kernel, behind the fault in {}; of a fault that the guest carries out by itself, before it:\n\
             `break-{} samsara_fault_stub` and `continue` go there. `kill` ends the emulator, and this command.",
            targets.iter().copied().collect::<Vec<_>>().join(", "),
            targets.first().unwrap_or(&"fs"),
        );
        Ok(())
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Runs one trial again. The recorded outcome has no part in it until the comparison.
///
/// # Errors
/// The trial is none of the campaign's, or could not take place.
pub fn replay(tools: &Toolchain, options: &ReplayOptions) -> Result<ExitCode> {
    if Description::read(&options.folder)?.mutants.is_some() {
        ensure!(
            !options.story && !options.gdb && options.keep.is_none(),
            "trial {} is of a mutant: it can be had again without --story, --keep and --gdb only",
            options.trial
        );
        return source::replay(tools, &options.folder, options.trial);
    }
    let numbers = Description::read(&options.folder)?.numbers();
    if !numbers.clone().any(|trial| trial == options.trial) {
        let last = numbers.max().unwrap_or(0);
        bail!("{} has no trial {}: the last one is {last}", options.folder.display(), options.trial);
    }
    let (setting, then) = Setting::of_folder(tools, &options.folder)?;
    if !then.has_same_harness(&setting.now) {
        println!(
            "the harness (test-harness/) is another than the campaign's: the fault may be drawn, or carried out, in another way"
        );
    }
    let scratch = tempfile::tempdir().context("making a folder")?;
    let campaign = setting.campaign(scratch.path())?;
    if options.gdb {
        return debug(tools, &setting, &campaign, options.trial, scratch.path());
    }
    let account = campaign.run_and_keep(options.trial, scratch.path(), options.story)?;
    if options.story {
        super::story::print(&setting.system, &account);
    }
    if let Some(folder) = &options.keep {
        keep(&account, folder)?;
    }
    let line = account.line;
    compare(&line, &options.folder)
}

/// Leaves in `folder` what the oracles have looked at.
fn keep(account: &Account, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let (console, card) = (folder.join("console.txt"), folder.join("card.img"));
    std::fs::write(&console, &account.console).with_context(|| format!("writing {}", console.display()))?;
    std::fs::copy(&account.card, &card).with_context(|| format!("writing {}", card.display()))?;
    println!("console and card are in {}", folder.display());
    Ok(())
}

/// Prints the line of a trial that was run again, and says whether the ledger has the same.
pub(super) fn compare(line: &Line, folder: &Path) -> Result<ExitCode> {
    println!("{}", serde_json::to_string_pretty(line)?);
    let recorded = ledger::read(folder)?.into_iter().find(|recorded| recorded.trial == line.trial);
    let recorded = recorded.with_context(|| format!("the ledger has no line of trial {} yet", line.trial))?;
    if line.agrees_with(&recorded) {
        println!("the same as in the ledger");
        return Ok(ExitCode::SUCCESS);
    }
    println!("DIFFERS from the ledger, which says: {}", serde_json::to_string(&recorded)?);
    Ok(ExitCode::FAILURE)
}
