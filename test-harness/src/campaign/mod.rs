//! Fault-injection campaigns: trials that can be had again, and a ledger of what became of every one.
//!
//! *Role.* Used by `./x campaign`. A [`Campaign`] is prepared once (golden run, profiles of the targets) and then runs trials,
//! which depend on scenario, seed and number only: on no earlier trial, and not on how many run at once.
//!
//! | module | what it does |
//! |---|---|
//! | [`scenario`] | data to what may be drawn |
//! | [`spec`] | scenario, seed, number to one fault |
//! | [`profile`] | what a target executes |
//! | [`run`] | one boot, with the debugger's stub in hand |
//! | [`judge`] | frames, console, card to an observation |
//! | [`outcome`] | observation to one word |
//! | [`ledger`] | the file with all trials |
//! | [`description`] | the file with all that is needed to run it again |
//! | [`summary`], [`statistics`] | rates with intervals, quantiles |
//! | [`html`], [`junit`] | the summary for people, and for whatever reads test results |

pub mod description;
pub mod html;
pub mod judge;
pub mod junit;
pub mod ledger;
pub mod outcome;
pub mod profile;
pub mod run;
pub mod scenario;
pub mod spec;
pub mod statistics;
pub mod summary;

use crate::evidence::Item;
use crate::fault::{Action, Carrier, TargetImage, image};
use crate::system::System;
use crate::target::{Machine, card};
use abi::plan::{Fault, PlanEntry};
use anyhow::{Context, Result, bail, ensure};
use judge::{History, Judge};
use ledger::Line;
use outcome::{Observed, classify};
use run::{AtFaultPoint, Boot, End, Profiler, boot, cast};
use scenario::CampaignScenario;
use spec::{Spec, Target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Size of a trial's card in bytes.
pub const CARD_BYTES: u64 = 16 << 20;

/// How much longer than in the golden run the client may wait for an acknowledgement before that is a deviation, in
/// nanoseconds: the probe costs time, too.
pub const TOLERANCE_NS: u64 = 100_000;

/// A trial in full.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its line in the ledger.
    pub line: Line,
    /// When the fault took effect, in virtual nanoseconds.
    pub activated: Option<u64>,
    /// Slot and address of the instruction that the fault is about.
    pub place: Option<(u8, u64)>,
    /// Everything that came over the evidence line, if it was kept.
    pub items: Vec<Item>,
}

/// What all trials of a campaign share.
#[derive(Debug)]
pub struct Campaign {
    machine: Machine,
    system: System,
    scenario: CampaignScenario,
    seed: u64,
    fault_point: u64,
    card: PathBuf,
    targets: BTreeMap<String, Target>,
    golden: History,
}

impl Campaign {
    /// Runs the workload undisturbed, which must be clean, and finds out what the targets execute. `folder` holds the card that
    /// every trial gets a copy of, and nothing else that is needed later.
    ///
    /// # Errors
    /// The system lacks a component or its symbols, or the golden run is not clean: says why.
    pub fn prepare(
        machine: &Machine,
        system: &System,
        scenario: &CampaignScenario,
        seed: u64,
        folder: &Path,
    ) -> Result<Self> {
        let card = folder.join("card.img");
        let make = if scenario.checked_card { card::make_checked } else { card::make };
        make(&card, CARD_BYTES)?;
        let mut campaign = Self {
            machine: machine.clone(),
            system: system.clone(),
            scenario: scenario.clone(),
            seed,
            fault_point: image::kernel_symbol(system, "fault_point_stop")?,
            card,
            targets: BTreeMap::new(),
            golden: History::default(),
        };
        campaign.golden = campaign.golden_run(folder)?;
        for (name, _) in scenario.targets.iter().filter(|(_, weight)| **weight > 0) {
            let image = TargetImage::read(system, name)?;
            let profile = campaign.profile(&image, folder)?;
            campaign.targets.insert(name.clone(), Target { image, profile });
        }
        Ok(campaign)
    }

    /// The targets.
    pub fn targets(&self) -> &BTreeMap<String, Target> {
        &self.targets
    }

    /// What the client sees undisturbed.
    pub fn golden(&self) -> &History {
        &self.golden
    }

    fn golden_run(&self, folder: &Path) -> Result<History> {
        let mut judge = Judge::new(cast(&self.system, &self.scenario.workload, None)?, self.seed);
        let plan = spec::plan(&self.scenario, self.seed, &[]);
        let (end, card) = self.boot_once(&plan, &mut judge, None, folder)?;
        let seen = judge.finish(&card)?;
        let history = judge.history(0);
        let clean = end == End::Over
            && classify(&Observed { activated: true, ..seen }) == outcome::Outcome::Benign
            && judge.findings().is_empty();
        ensure!(
            clean,
            "the golden run of {} is not clean, so no trial would say anything: {end:?}; {}",
            self.scenario.name,
            judge.findings().join("; ")
        );
        let last = self.scenario.window_ms[1] * 1_000_000;
        ensure!(
            judge.acknowledged_before(last) < history.acknowledged as usize,
            "the workload of {} is over before the last fault takes place: more operations, or an earlier window",
            self.scenario.name
        );
        Ok(history)
    }

    fn profile(&self, image: &TargetImage, folder: &Path) -> Result<profile::Profile> {
        let mut judge = Judge::new(cast(&self.system, &self.scenario.workload, Some(image.slot))?, self.seed);
        let at = self.scenario.window_ms[0] * 1_000_000;
        let entry =
            PlanEntry { at, fault: Fault::Outside as u32, slot: image.slot.into(), trigger: 0, count: 0 };
        let plan = spec::plan(&self.scenario, self.seed, &[entry]);
        let mut profiler = Profiler::new(image);
        self.boot_once(&plan, &mut judge, Some(&mut profiler), folder)?;
        let profile = profiler.into_profile();
        if let Some(death) = judge.target_death(0) {
            bail!(
                "{} died while its instructions were counted: {} at {} ns, after {} of them",
                image.name,
                death.class.name(),
                death.time,
                profile.len()
            );
        }
        ensure!(
            !profile.is_empty(),
            "{} executes nothing in the workload of {}",
            image.name,
            self.scenario.name
        );
        Ok(profile)
    }

    /// Boots with a fresh card in `folder`.
    fn boot_once(
        &self,
        plan: &[u8],
        judge: &mut Judge,
        actor: Option<&mut dyn AtFaultPoint>,
        folder: &Path,
    ) -> Result<(End, PathBuf)> {
        let folder = folder.join("run");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let card = folder.join("card.img");
        copy_sparse(&self.card, &card)?;
        let end = self.boot_with(plan, judge, actor, &card, &folder)?;
        Ok((end, card))
    }

    fn boot_with(
        &self,
        plan: &[u8],
        judge: &mut Judge,
        actor: Option<&mut dyn AtFaultPoint>,
        card: &Path,
        folder: &Path,
    ) -> Result<End> {
        let what = Boot {
            machine: &self.machine,
            kernel: &self.system.kernel(),
            card,
            plan,
            seed: self.seed,
            fault_point: self.fault_point,
            folder,
        };
        boot(&what, judge, actor)
    }

    /// The trial with this number.
    ///
    /// # Errors
    /// The scenario has no fault for its targets.
    pub fn spec(&self, trial: u64) -> Result<Spec> {
        Spec::draw(&self.scenario, self.seed, trial, &self.targets)
    }

    /// Runs a trial in a folder of its own.
    ///
    /// # Errors
    /// The trial could not take place.
    pub fn run(&self, trial: u64, folder: &Path) -> Result<Line> {
        Ok(self.run_and_keep(trial, folder, false)?.line)
    }

    /// As [`Campaign::run`]; with `keep` together with everything that came over the evidence line.
    ///
    /// # Errors
    /// As [`Campaign::run`].
    pub fn run_and_keep(&self, trial: u64, folder: &Path, keep: bool) -> Result<Account> {
        let begun = Instant::now();
        let spec = self.spec(trial)?;
        let target = self.targets.get(&spec.target).context("the target was not prepared")?;
        let slot = target.image.slot;
        let mut judge = Judge::new(cast(&self.system, &self.scenario.workload, Some(slot))?, self.seed);
        if keep {
            judge.keep();
        }
        let mut carrier = Carrier::new(&target.image, &spec.action);
        let actor: Option<&mut dyn AtFaultPoint> =
            if matches!(spec.action, Action::Stub(_)) { None } else { Some(&mut carrier) };
        let plan = spec.plan(&self.scenario, self.seed, slot);
        let (mut end, card) = self.boot_once(&plan, &mut judge, actor, folder)?;
        let activated_ticks = carrier.activated();
        let activated = match spec.action {
            Action::Stub(_) => judge.injected(),
            _ => activated_ticks.map(|ticks| judge.nanoseconds(ticks)),
        };
        if end == End::PowerCut {
            judge.power_cut();
            let plan = spec::plan_of_next_start(&self.scenario, self.seed, slot);
            end = self.boot_with(&plan, &mut judge, None, &card, &folder.join("run"))?;
        }
        let seen = judge.finish(&card)?;
        let mut line = self.line(&spec, target, &judge, &seen, activated, &end);
        line.findings.extend(carrier.notes().iter().cloned());
        line.wall_ms = begun.elapsed().as_millis() as u64;
        Ok(Account {
            line,
            activated,
            place: spec.action.address().map(|at| (slot, at)),
            items: judge.into_kept(),
        })
    }

    fn line(
        &self,
        spec: &Spec,
        target: &Target,
        judge: &Judge,
        seen: &Observed,
        activated: Option<u64>,
        end: &End,
    ) -> Line {
        let served = activated.is_some_and(|at| judge.acknowledged_before(at) > 0);
        let history = judge.history(activated.unwrap_or(0));
        let outage = history.longest_wait.checked_sub(self.golden.longest_wait + TOLERANCE_NS);
        let deviates =
            outage.is_some() || history.repeated > self.golden.repeated || spec.action == Action::PowerCut;
        let seen =
            Observed { activated: served, emulator_died: matches!(end, End::Emulator(_)), deviates, ..*seen };
        let death = judge.target_death(activated.unwrap_or(0));
        let mut findings = judge.findings().to_vec();
        if let End::Emulator(reason) = end {
            findings.push(format!("the emulator failed: {reason}"));
        }
        Line {
            trial: spec.trial,
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            target: spec.target.clone(),
            model: spec.model.to_string(),
            trigger: spec.trigger_text(),
            fault: spec.action.describe(&target.image),
            activated: served,
            outcome: classify(&seen),
            class: death.map(|death| death.class.name().to_owned()),
            detect_ns: death.zip(activated).map(|(death, activated)| death.time.saturating_sub(activated)),
            outage_ns: outage.map(|_| history.longest_wait - self.golden.longest_wait),
            incarnations: judge.incarnations(),
            trace_hash: judge.hash(),
            findings,
            wall_ms: 0,
        }
    }
}

/// Copies a card; what is all zeros takes no room.
fn copy_sparse(from: &Path, to: &Path) -> Result<()> {
    let bytes = std::fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    let file = std::fs::File::create(to).with_context(|| format!("making {}", to.display()))?;
    file.set_len(bytes.len() as u64).with_context(|| format!("sizing {}", to.display()))?;
    for (index, piece) in
        bytes.chunks(PIECE).enumerate().filter(|(_, piece)| piece.iter().any(|&byte| byte != 0))
    {
        let written = std::os::unix::fs::FileExt::write_all_at(&file, piece, (index * PIECE) as u64);
        written.with_context(|| format!("writing {}", to.display()))?;
    }
    Ok(())
}

/// Bytes that [`copy_sparse`] looks at at once.
const PIECE: usize = 64 * 1024;

/// Runs the trials `first`, `first + step`, … below `end`, `jobs` at once, and hands each line on in no particular order.
///
/// # Errors
/// The first trial that could not take place, or what `sink` says.
pub fn run_all(
    campaign: &Campaign,
    trials: impl Iterator<Item = u64> + Send,
    jobs: usize,
    mut sink: impl FnMut(Line) -> Result<()>,
) -> Result<()> {
    let trials = std::sync::Mutex::new(trials);
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            let (sender, trials) = (sender.clone(), &trials);
            scope.spawn(move || work(campaign, trials, &sender));
        }
        drop(sender);
        lines.into_iter().try_for_each(|line: Result<Line>| sink(line?))
    })
}

fn work(
    campaign: &Campaign,
    trials: &std::sync::Mutex<impl Iterator<Item = u64>>,
    lines: &std::sync::mpsc::Sender<Result<Line>>,
) {
    let folder = match tempfile::Builder::new().prefix("samsara-trial-").tempdir() {
        Ok(folder) => folder,
        Err(error) => {
            // Nobody listens any more if this fails.
            let _ = lines.send(Err(error).context("making a folder for trials"));
            return;
        }
    };
    loop {
        let Some(trial) = trials.lock().ok().and_then(|mut trials| trials.next()) else { return };
        let line = campaign.run(trial, folder.path()).with_context(|| format!("trial {trial}"));
        let failed = line.is_err();
        if lines.send(line).is_err() || failed {
            return;
        }
    }
}

/// Parses `i/n`: the trials of which the remainder by n is i.
///
/// # Errors
/// It is something else.
pub fn shard(text: &str) -> Result<(u64, u64)> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    match parts {
        Some((i, n)) if i < n => Ok((i, n)),
        _ => bail!("a shard is i/n with i below n, as 0/4; this is {text:?}"),
    }
}
