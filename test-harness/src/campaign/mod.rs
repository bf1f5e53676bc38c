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
//! | [`silence`] | a guest that is slow, or dead |
//! | [`judge`] | frames, console, card to an observation |
//! | [`work`] | what became of a workload |
//! | [`outcome`] | observation to one word |
//! | [`ledger`] | the file with all trials |
//! | [`description`] | the file with all that is needed to run it again |
//! | [`summary`], [`statistics`] | rates with intervals, quantiles |
//! | [`planted`] | bugs that a campaign must find |
//! | [`mutants`] | mutants of the source: which there are, what became of each before it could be tried |
//! | [`source`] | a mutant's trial |
//! | [`minimize`] | fewer faults that still end so |
//! | [`html`], [`junit`] | the summary for people, and for whatever reads test results |

pub mod description;
pub mod html;
pub mod judge;
pub mod junit;
pub mod ledger;
pub mod minimize;
pub mod mutants;
pub mod outcome;
pub mod planted;
pub mod profile;
pub mod run;
pub mod scenario;
pub mod silence;
pub mod source;
pub mod spec;
pub mod statistics;
pub mod summary;
pub mod work;

use crate::evidence::Item;
use crate::fault::{Action, Carrier, Carriers, KERNEL, Model, TargetImage, image};
use crate::oracle::memory::Expected;
use crate::system::System;
use crate::target::{Machine, card};
use abi::plan::{Fault, PlanEntry};
use abi::{ROOT, SlotId};
use anyhow::{Context, Result, bail, ensure};
use injector_core::JOINED;
use judge::{History, Judge};
use ledger::Line;
use outcome::{Observed, classify};
use profile::{Kept, Profile};
use run::{AtFaultPoint, Boot, End, Passing, Profiler, Standing, boot, cast};
use scenario::CampaignScenario;
use silence::Mute;
use spec::{Planned, Spec, Target};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use summary::RECOVERY;

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
    /// The faults: when each took effect, in virtual nanoseconds; slot and address of the instruction that it is about; what it is.
    pub faults: Vec<Effected>,
    /// Everything that came over the evidence line, if it was kept.
    pub items: Vec<Item>,
    /// Everything that came over the console.
    pub console: Vec<u8>,
    /// The image of the card as the trial left it; the next trial in the same folder overwrites it.
    pub card: PathBuf,
}

/// What became of one fault of a trial.
#[derive(Clone, Debug)]
pub struct Effected {
    /// When it took effect, in virtual nanoseconds.
    pub activated: Option<u64>,
    /// Slot and address of the instruction that it is about.
    pub place: Option<(u8, u64)>,
    /// Model and target.
    pub title: String,
    /// What it is.
    pub text: String,
    /// Of a batch: mutations, and those that were reached.
    pub mutations: Option<[u64; 2]>,
}

/// Runs the first life of the board in a trial: with this plan, judged by this judge, with somebody who acts at the stops. Returns
/// how it ended, and where the card is.
type Run<'a> = &'a mut dyn FnMut(&[u8], &mut Judge, Option<&mut dyn AtFaultPoint>) -> Result<(End, PathBuf)>;

/// What all trials of a campaign share.
#[derive(Debug)]
pub struct Campaign {
    machine: Machine,
    system: System,
    kernel: PathBuf,
    scenario: CampaignScenario,
    seed: u64,
    fault_point: u64,
    resume_point: u64,
    card: PathBuf,
    client: u8,
    targets: BTreeMap<String, Target>,
    golden: Golden,
    memory: Arc<Expected>,
    alters_cards: bool,
}

/// The golden run of a scenario has findings, so that no trial would say anything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NotClean {
    /// The scenario.
    pub scenario: String,
    /// How the run ended, and what was found.
    pub findings: String,
}

impl std::fmt::Display for NotClean {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Self { scenario, findings } = self;
        write!(f, "the golden run of {scenario} is not clean, so no trial would say anything: {findings}")
    }
}

impl std::error::Error for NotClean {}

/// The undisturbed run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Golden {
    history: History,
    /// When the client was first acknowledged something, in virtual nanoseconds.
    first: Option<u64>,
    hash: String,
}

impl Golden {
    fn of(judge: &Judge) -> Self {
        Self { history: judge.history(0), first: judge.first_acknowledged(), hash: judge.hash() }
    }
}

impl Campaign {
    /// Runs the workload undisturbed, which must be clean, and finds out what the targets execute. `folder` holds the card that
    /// every trial gets a copy of, and nothing else that is needed later.
    ///
    /// # Errors
    /// The system lacks a component or its symbols; or the golden run is not clean, which is a [`NotClean`].
    pub fn prepare(
        machine: &Machine,
        system: &System,
        scenario: &CampaignScenario,
        seed: u64,
        folder: &Path,
        profiles: &Path,
    ) -> Result<Self> {
        let card = folder.join("card.img");
        let make = if scenario.checked_card { card::make_checked } else { card::make };
        make(&card, CARD_BYTES)?;
        let mut campaign = Self {
            machine: machine.clone(),
            system: system.clone(),
            kernel: system.kernel(),
            scenario: scenario.clone(),
            seed,
            fault_point: image::kernel_symbol(system, "fault_point_stop")?,
            resume_point: image::kernel_symbol(system, "resume_component")?,
            card,
            client: system.slot(&scenario.workload.client)?,
            targets: BTreeMap::new(),
            golden: Golden::default(),
            memory: Arc::new(Expected::of(system)?),
            alters_cards: false,
        };
        campaign.golden = campaign.golden_run(folder)?;
        for (name, _) in scenario.targets.iter().filter(|(_, weight)| **weight > 0) {
            let image = match name.as_str() {
                KERNEL => TargetImage::of_kernel(system, campaign.client)?,
                name => TargetImage::read(system, name)?,
            };
            let profile = campaign.profile(&image, None, folder, profiles)?;
            let recoveries = campaign.recoveries(&image, &profile, folder, profiles)?;
            campaign.targets.insert(name.clone(), Target { image, profile, recoveries });
        }
        Ok(campaign)
    }

    /// The same, but the card of each trial is altered behind everybody's back before it is judged ([`planted::alter`]).
    #[must_use]
    pub fn altering_cards(self) -> Self {
        Self { alters_cards: true, ..self }
    }

    /// The targets.
    pub fn targets(&self) -> &BTreeMap<String, Target> {
        &self.targets
    }

    /// What the client sees undisturbed.
    pub fn golden(&self) -> &History {
        &self.golden.history
    }

    fn golden_run(&self, folder: &Path) -> Result<Golden> {
        let mut judge = self.judge()?;
        let (end, card) =
            self.boot_once(&self.plan_without_fault(), &mut judge, Some(&mut Passing::new(None)), folder)?;
        let seen = judge.finish(&card)?;
        let golden = Golden::of(&judge);
        let clean = end == End::Over
            && classify(&Observed { activated: true, ..seen }) == outcome::Outcome::Benign
            && judge.findings().is_empty();
        if !clean {
            let findings = format!("{end:?}; {}", judge.findings().join("; "));
            return Err(NotClean { scenario: self.scenario.name.clone(), findings }.into());
        }
        ensure!(
            judge.acknowledged_before(self.scenario.last_ns()) < golden.history.acknowledged as usize,
            "the workload of {} is over before the last fault takes place: more operations, or an earlier window",
            self.scenario.name
        );
        Ok(golden)
    }

    /// Who follows a trial.
    fn judge(&self) -> Result<Judge> {
        self.judge_of(self.seed)
    }

    fn judge_of(&self, seed: u64) -> Result<Judge> {
        let cast = cast(&self.system, &self.scenario.workload, None)?;
        let work = work::of(&self.scenario.workload, &self.system, seed)?;
        Ok(Judge::new(cast, work).with_memory(&self.memory))
    }

    fn plan_without_fault(&self) -> Vec<u8> {
        spec::plan_without_fault(&self.scenario, self.seed, self.client)
    }

    /// A board that stands where the trials begin. It lives in `folder`.
    ///
    /// # Errors
    /// The emulator cannot keep its state, or does not go on from it as it does from a reset.
    pub fn standing(&self, folder: &Path) -> Result<Standing> {
        let folder = folder.join("standing");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let card = folder.join("card.img");
        copy_sparse(&self.card, &card)?;
        let plan = self.plan_without_fault();
        let judge = self.judge()?;
        let mut standing = Standing::start(&self.what(&plan, &card, &folder), judge)?;
        for what in ["going on", "being put back"] {
            let mut judge = standing.judge().clone();
            let end = standing.run(&plan, &mut judge, None)?;
            let now = Golden::of(&judge);
            ensure!(
                end == End::Over && now == self.golden,
                "after {what}, a board does not do what it does from a reset: {end:?}, {now:?} is not {:?}",
                self.golden
            );
        }
        Ok(standing)
    }

    /// What the target executes besides while others are restarted, if the scenario asks for that.
    fn recoveries(
        &self,
        image: &TargetImage,
        undisturbed: &Profile,
        folder: &Path,
        profiles: &Path,
    ) -> Result<BTreeMap<String, Profile>> {
        let killed = self.scenario.recovery.iter().flat_map(|recovery| &recovery.of);
        let others = killed.filter(|name| **name != image.name);
        let recoveries = others.map(|name| {
            let profile = self.profile(image, Some(name), folder, profiles)?;
            Ok((name.clone(), profile.without(undisturbed)))
        });
        recoveries.collect()
    }

    /// What the target executes, when somebody is killed or nobody, if some model asks for that; looked for in `profiles` first.
    fn profile(
        &self,
        image: &TargetImage,
        killed: Option<&str>,
        folder: &Path,
        profiles: &Path,
    ) -> Result<Profile> {
        let is_drawn_from = |(model, weight): &(Model, u32)| *weight > 0 && model.is_drawn_from_profile();
        if image.is_kernel || !self.scenario.models().iter().any(is_drawn_from) {
            return Ok(Profile::default());
        }
        let run = format!(
            "{:?} {} {} {killed:?}",
            self.scenario.workload,
            self.scenario.last_ns(),
            self.scenario.checked_card
        );
        let kept = Kept::new(profiles, &self.system.kernel(), &[&self.system.board, &image.name, &run])?;
        if let Some(profile) = kept.load() {
            return Ok(profile);
        }
        let killed = killed.map(|name| self.system.slot(name)).transpose()?;
        let profile = self.measured_profile(image, killed, folder)?;
        kept.store(&profile)?;
        Ok(profile)
    }

    fn measured_profile(
        &self,
        image: &TargetImage,
        killed: Option<SlotId>,
        folder: &Path,
    ) -> Result<Profile> {
        let mut judge = self.judge_of(profile::SEED)?.with_targets([image.slot]);
        let at = self.scenario.last_ns();
        let entry =
            PlanEntry { at, fault: Fault::Outside as u32, slot: image.slot.into(), trigger: 0, count: 0 };
        let kill = killed.map(|slot| PlanEntry {
            at,
            fault: Fault::Kill as u32,
            slot: slot.into(),
            trigger: 0,
            count: JOINED,
        });
        let steps: Vec<_> = std::iter::once(entry).chain(kill).collect();
        let plan = spec::plan(&self.scenario, profile::SEED, &steps);
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
        boot(&self.what(plan, card, folder), judge, actor)
    }

    fn what<'a>(&'a self, plan: &'a [u8], card: &'a Path, folder: &'a Path) -> Boot<'a> {
        Boot {
            machine: &self.machine,
            kernel: &self.kernel,
            card,
            plan,
            seed: self.seed,
            fault_point: self.fault_point,
            resume_point: self.resume_point,
            end_ns: self.scenario.workload.end_ns(),
            folder,
        }
    }

    /// The trial with this number.
    ///
    /// # Errors
    /// The scenario has no fault for its targets.
    pub fn spec(&self, trial: u64) -> Result<Spec> {
        Spec::draw(&self.scenario, self.seed, trial, &self.targets)
    }

    /// Runs a trial from a reset until its fault has taken effect, leaves the guest standing there, and tells `announce` the TCP port at
    /// which a debugger is waited for. Returns when the emulator has ended. What the guest does by itself (`behaviour/…`, `medium/…`)
    /// is still to come when it is left standing.
    ///
    /// # Errors
    /// The boot could not take place, the fault did not take effect, or `announce` fails.
    pub fn run_for_debugger(
        &self,
        trial: u64,
        folder: &Path,
        announce: &mut dyn FnMut(u16) -> Result<()>,
    ) -> Result<()> {
        let spec = self.spec(trial)?;
        let mut judge = self.judge()?;
        let carriers = self.carriers(&spec)?;
        let by_itself = carriers.all.is_empty();
        let mut carriers = carriers.for_debugger();
        let plan = spec.plan(&self.scenario, self.seed, self.client);
        let card = folder.join("card.img");
        copy_sparse(&self.card, &card)?;
        let mut passing = Passing::new(Some(&mut carriers)).with_plan(&self.machine, &plan);
        if by_itself {
            passing = passing.for_debugger();
        }
        let placeholder = self.plan_without_fault();
        run::boot_for_debugger(&self.what(&placeholder, &card, folder), &mut judge, &mut passing, announce)
    }

    /// Who carries the faults out, of those that are from outside.
    fn carriers<'a>(&'a self, spec: &'a Spec) -> Result<Carriers<'a>> {
        let from_outside = spec.faults.iter().filter(|fault| fault.action.is_from_outside());
        let carriers = from_outside
            .map(|fault| Ok(Carrier::new(&spec::target(&self.targets, fault)?.image, &fault.action)))
            .collect::<Result<_>>()?;
        Ok(Carriers::new(carriers))
    }

    /// Runs a trial from a reset, in a folder of its own.
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
        self.run_spec(&self.spec(trial)?, folder, keep)
    }

    /// Runs these faults from a reset.
    ///
    /// # Errors
    /// As [`Campaign::run`].
    pub fn run_spec(&self, spec: &Spec, folder: &Path, keep: bool) -> Result<Account> {
        let mut judge = self.judge()?;
        if keep {
            judge.keep();
        }
        self.carry_out(spec, &judge, folder, &mut |plan, judge, actor| {
            let mut passing = Passing::new(actor).with_plan(&self.machine, plan);
            self.boot_once(&self.plan_without_fault(), judge, Some(&mut passing), folder)
        })
    }

    /// As [`Campaign::run`], but from where the board stands. The board is lost if the emulator fails.
    ///
    /// # Errors
    /// As [`Campaign::run`].
    pub fn run_from(&self, standing: &mut Standing, trial: u64, folder: &Path) -> Result<(Line, End)> {
        let judge = standing.judge().clone();
        let mut last = End::Over;
        let account = self.carry_out(&self.spec(trial)?, &judge, folder, &mut |plan, judge, actor| {
            last = standing.run(plan, judge, actor)?;
            Ok((last.clone(), standing.card().to_owned()))
        })?;
        Ok((account.line, last))
    }

    /// A trial, with `run` for its first life of the board.
    fn carry_out(&self, spec: &Spec, judge: &Judge, folder: &Path, run: Run) -> Result<Account> {
        let begun = Instant::now();
        let slots: Vec<SlotId> =
            spec.faults.iter().filter(|fault| fault.target != KERNEL).map(|fault| fault.slot).collect();
        let mut judge = judge.with_targets(slots.iter().copied());
        let in_bundle = spec.faults.iter().any(|fault| fault.model.is_in_bundle());
        judge.exempt(in_bundle, spec.faults.iter().any(|fault| fault.target == KERNEL));
        let mut carriers = self.carriers(spec)?;
        let actor: Option<&mut dyn AtFaultPoint> =
            if carriers.all.is_empty() { None } else { Some(&mut carriers) };
        let plan = spec.plan(&self.scenario, self.seed, self.client);
        let (mut end, mut card) = run(&plan, &mut judge, actor)?;
        if end == End::Stuck && carriers.are_overwritten() {
            let reason = "it does not go on from a read that was watched, of what had been overwritten since";
            end = End::Emulator(reason.to_owned());
        }
        let faults = self.effects(spec, &judge, &carriers)?;
        let reset = root_reset(&slots, &judge, &end);
        let starts_again = end == End::PowerCut || reset.is_some();
        if starts_again {
            judge.power_cut();
            let slot = slots.first().copied().unwrap_or(self.client);
            (end, card) = self.next_start(slot, &mut judge, &card, folder)?;
        }
        if self.alters_cards {
            planted::alter(&card)?;
        }
        let mut seen = judge.finish(&card)?;
        seen.deviates = starts_again;
        // Nobody says so, but the kernel goes on.
        seen.deadline_told |= matches!(end, End::Silent(Some(Mute::Components)));
        let mut line = self.line(spec, &faults, &judge, &seen, &end);
        line.findings.extend(reset.map(str::to_owned));
        line.findings.extend(carriers.all.iter().flat_map(|carrier| carrier.notes().iter().cloned()));
        line.wall_ms = begun.elapsed().as_millis() as u64;
        let console = judge.text().to_vec();
        Ok(Account { line, faults, items: judge.into_kept(), console, card })
    }

    /// What became of each fault, in their order.
    fn effects(&self, spec: &Spec, judge: &Judge, carriers: &Carriers) -> Result<Vec<Effected>> {
        let mut carriers = carriers.all.iter();
        let mut from = self.scenario.first_ns();
        let mut effect = |fault: &Planned| {
            let (activated, effects) = match &fault.action {
                Action::Stub(_) => {
                    let injected = judge.injected_after(from);
                    from = injected.map_or(from, |at| at + 1);
                    (injected, 1)
                }
                Action::Medium(order) => (judge.lied_after(order.at), 1),
                _ => carriers.next().map_or((None, 0), |carrier| {
                    (carrier.activated().map(|ticks| judge.nanoseconds(ticks)), carrier.effects())
                }),
            };
            let image = &spec::target(&self.targets, fault)?.image;
            let mutations = match &fault.action {
                Action::Batch(changes) => Some([changes.len() as u64, effects.into()]),
                _ => None,
            };
            let place = fault.action.address().map(|at| (fault.slot, at));
            let title = format!("{} in {}", fault.model, fault.target);
            Ok(Effected { activated, place, title, text: fault.action.describe(image), mutations })
        };
        spec.faults.iter().map(&mut effect).collect()
    }

    /// The board is switched on again, with a copy of its card.
    fn next_start(&self, slot: u8, judge: &mut Judge, card: &Path, folder: &Path) -> Result<(End, PathBuf)> {
        let folder = folder.join("next");
        std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
        let copy = folder.join("card.img");
        copy_sparse(card, &copy)?;
        let plan = spec::plan_of_next_start(&self.scenario, self.seed, slot);
        let end = self.boot_with(&plan, judge, None, &copy, &folder)?;
        Ok((end, copy))
    }

    fn line(&self, spec: &Spec, faults: &[Effected], judge: &Judge, seen: &Observed, end: &End) -> Line {
        // Of a fault during a restart, the kill that follows it is no fault.
        let counted = if self.scenario.recovery.is_some() { &faults[..faults.len().min(1)] } else { faults };
        let activated = counted.iter().filter_map(|fault| fault.activated).min();
        let served = activated.is_some_and(|at| judge.acknowledged_before(at) > 0);
        let history = judge.history(activated.unwrap_or(0));
        let outage = history.longest_wait.checked_sub(self.golden.history.longest_wait + TOLERANCE_NS);
        let deviates = seen.deviates || outage.is_some() || history.repeated > self.golden.history.repeated;
        let seen =
            Observed { activated: served, emulator_died: matches!(end, End::Emulator(_)), deviates, ..*seen };
        let death = judge.target_death(activated.unwrap_or(0));
        let mut findings = judge.findings().to_vec();
        if *end == End::Stuck {
            findings.push("the kernel takes exceptions without end: the emulator cannot stop it".to_owned());
        }
        if let End::Emulator(reason) = end {
            findings.push(format!("the emulator failed: {reason}"));
        }
        let targets: std::collections::BTreeSet<_> = spec.faults.iter().map(|fault| &*fault.target).collect();
        Line {
            trial: spec.trial,
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            target: targets.into_iter().collect::<Vec<_>>().join("+"),
            model: match &*spec.faults {
                [fault] => fault.model.to_string(),
                [fault, _] if self.scenario.recovery.is_some() => format!("{RECOVERY}{}", fault.model),
                faults => format!("several/{}", faults.len()),
            },
            trigger: spec.trigger_text(),
            fault: described(faults),
            mutations: faults.iter().find_map(|fault| fault.mutations),
            activated: served,
            outcome: classify(&seen),
            class: death.map(|death| death.class.name().to_owned()),
            detect_ns: death.zip(activated).map(|(death, activated)| death.time.saturating_sub(activated)),
            outage_ns: outage.map(|_| history.longest_wait - self.golden.history.longest_wait),
            incarnations: judge.incarnations(),
            trace_hash: judge.hash(),
            findings,
            wall_ms: 0,
        }
    }
}

/// Whether the board was reset because root, which nobody on it can start again, was hit: that is how root recovers, and the next start
/// has to find everything that was acknowledged. Says how it came to that. Emulated boards have no watchdog that counts: the harness
/// does what it does when root is at work for ever and nobody else says anything.
fn root_reset(targets: &[SlotId], judge: &Judge, end: &End) -> Option<&'static str> {
    if !targets.contains(&ROOT) {
        return None;
    }
    match end {
        End::Silent(Some(Mute::Components)) => Some("root did not get on: the board's watchdog was played"),
        _ if judge.was_reset() => Some("the board was reset with root, and started again"),
        _ => None,
    }
}

/// The faults of a trial, for people; of several also who has which, and which were not reached.
fn described(faults: &[Effected]) -> String {
    if let [fault] = faults {
        return fault.text.clone();
    }
    let text = |fault: &Effected| {
        let reached = if fault.activated.is_some() { "" } else { " (not reached)" };
        format!("{}: {}{reached}", fault.title, fault.text)
    };
    faults.iter().map(text).collect::<Vec<_>>().join("; ")
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
    let worker = tempfile::Builder::new().prefix("samsara-trial-").tempdir();
    let mut worker = match worker.context("making a folder for trials") {
        Ok(folder) => Worker { campaign, folder, standing: None },
        Err(error) => {
            // Nobody listens any more if this fails.
            let _ = lines.send(Err(error));
            return;
        }
    };
    loop {
        let Some(trial) = trials.lock().ok().and_then(|mut trials| trials.next()) else { return };
        let line = worker.run(trial).with_context(|| format!("trial {trial}"));
        let failed = line.is_err();
        if lines.send(line).is_err() || failed {
            return;
        }
    }
}

/// Runs one trial after the other.
struct Worker<'a> {
    campaign: &'a Campaign,
    folder: tempfile::TempDir,
    /// The board, but at the beginning and after the emulator has failed.
    standing: Option<Standing>,
}

impl Worker<'_> {
    fn run(&mut self, trial: u64) -> Result<Line> {
        let mut standing = match self.standing.take() {
            Some(standing) => standing,
            None => self.campaign.standing(self.folder.path())?,
        };
        let (line, end) = self.campaign.run_from(&mut standing, trial, self.folder.path())?;
        if !matches!(end, End::Emulator(_) | End::Stuck) {
            self.standing = Some(standing);
        }
        Ok(line)
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
