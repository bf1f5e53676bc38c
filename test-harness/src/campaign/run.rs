//! One run of a trial, from a reset ([`boot`]) or from where another boot of the same plan stood ([`Standing`]): the emulator with
//! a debugger's stub, until the client has come to its end.

use super::judge::{Cast, Judge};
use super::profile::Profile;
use super::silence::{LONG_PATIENCE, Mute, PATIENCE, Silence, Verdict, Vitals, reason};
use crate::evidence::Splitter;
use crate::fault::{Carriers, Effect, KERNEL_OFFSET, PROBE, Stop, TargetImage};
use crate::target::{Emulator, Ending, Gdb, Happening, Launch, Line, Machine, Mode, Registers};
use abi::PAGE_SIZE;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest that a guest may say nothing, in time of this computer, where no debugger's stub can ask for the board's ([`Silence`]).
/// Generous, so that a busy computer makes nobody dead.
const SILENCE: Duration = Duration::from_secs(40);

/// How often in a row a silent guest is asked to stand, [`PATIENCE`] apart, before the emulator is taken for one that cannot stop it.
const UNHEARD_MAX: u32 = 20;

/// Bytes of a card that are compared at once.
const PIECE: usize = 64 * 1024;

/// Bytes of an instruction.
const INSTRUCTION: usize = 4;

/// Who acts while the guest stands at the fault point.
pub trait AtFaultPoint {
    /// Does what is to be done and lets the guest go on.
    ///
    /// # Errors
    /// The stub fails, or the guest's memory is not what it must be.
    fn stopped(&mut self, gdb: &mut Gdb) -> Result<Effect>;

    /// The guest stands behind a read of a word that is watched.
    ///
    /// # Errors
    /// The stub fails.
    fn watch_reached(&mut self, gdb: &mut Gdb, _address: u64) -> Result<Effect> {
        gdb.resume()?;
        Ok(Effect::GoesOn)
    }

    /// The run is over, and the guest stands: takes back what outlives the guest's memory.
    ///
    /// # Errors
    /// The stub fails.
    fn over(&mut self, _gdb: &mut Gdb) -> Result<()> {
        Ok(())
    }
}

impl AtFaultPoint for Carriers<'_> {
    fn stopped(&mut self, gdb: &mut Gdb) -> Result<Effect> {
        Carriers::stopped(self, gdb)
    }

    fn watch_reached(&mut self, gdb: &mut Gdb, address: u64) -> Result<Effect> {
        Carriers::watch_reached(self, gdb, address)
    }

    fn over(&mut self, gdb: &mut Gdb) -> Result<()> {
        Carriers::over(self, gdb)
    }
}

/// What is booted.
#[derive(Clone, Copy, Debug)]
pub struct Boot<'a> {
    /// The board.
    pub machine: &'a Machine,
    /// The boot image.
    pub kernel: &'a Path,
    /// The card, which the guest writes to.
    pub card: &'a Path,
    /// The fault plan.
    pub plan: &'a [u8],
    /// Seed of the emulator's own generators.
    pub seed: u64,
    /// Where the kernel stands at its fault point.
    pub fault_point: u64,
    /// Where the kernel goes back to a component.
    pub resume_point: u64,
    /// When the injector has spoken at the latest in a system that lives, in nanoseconds of the board.
    pub end_ns: u64,
    /// Where the emulator's messages go.
    pub folder: &'a Path,
}

impl Boot<'_> {
    fn vitals(&self) -> Vitals {
        let end_us = u32::try_from(self.end_ns / 1000).unwrap_or(u32::MAX);
        Vitals { clock_address: self.machine.clock_address, resume_point: self.resume_point, end_us }
    }
}

/// How a boot ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The client came to its end, or the injector said that time is over, or the kernel panicked.
    Over,
    /// The power was cut.
    PowerCut,
    /// The guest was left standing for a debugger.
    HandedOver,
    /// The guest said nothing any more; why, if that is known.
    Silent(Option<Mute>),
    /// The emulator cannot stop the guest: its kernel takes one exception after the other and executes nothing in between.
    Stuck,
    /// The emulator failed: why.
    Emulator(String),
}

/// Boots and listens until the end. Without an actor the guest runs undisturbed.
///
/// # Errors
/// The boot could not take place.
pub fn boot(boot: &Boot, judge: &mut Judge, actor: Option<&mut dyn AtFaultPoint>) -> Result<End> {
    let (mut emulator, mut stub) = launch(boot, actor.is_some())?;
    let mut splitter = Splitter::new();
    let vitals = boot.vitals();
    let end = listen(&mut emulator, stub.as_mut().zip(actor), vitals, &mut splitter, judge);
    let memory = judge.memory_wanted().map(|range| {
        emulator.control().command("stop", &serde_json::json!({}))?;
        emulator.standing_memory(&range)
    });
    let ending = emulator.end()?;
    for happening in emulator.rest() {
        take(&happening, &mut splitter, judge);
    }
    splitter.finish(|item| judge.item(&item));
    match memory {
        Some(Ok(memory)) => judge.take_memory(&memory),
        // An emulator that has failed is an outcome.
        Some(Err(error)) if !matches!(ending, Ending::Died { .. }) => return Err(error),
        _ => {}
    }
    match (end, ending) {
        (Ok(End::Silent(why)), _) => Ok(End::Silent(why)),
        // It was killed for it.
        (Ok(End::Stuck), _) => Ok(End::Stuck),
        // Whatever the stub said last: it was the emulator that failed, which is an outcome.
        (_, Ending::Died { reason }) => Ok(End::Emulator(reason)),
        (end, _) => end,
    }
}

/// Boots, and leaves the guest to a debugger where the actor does so; returns when the emulator has ended.
///
/// # Errors
/// The boot could not take place, or nothing was left to a debugger.
pub fn boot_for_debugger(
    boot: &Boot,
    judge: &mut Judge,
    actor: &mut dyn AtFaultPoint,
    announce: &mut dyn FnMut(u16) -> Result<()>,
) -> Result<()> {
    let (mut emulator, gdb) = launch(boot, true)?;
    let mut gdb = gdb.context("there is no debugger's stub")?;
    let vitals = boot.vitals();
    let end = listen(&mut emulator, Some((&mut gdb, actor)), vitals, &mut Splitter::new(), judge)?;
    if end != End::HandedOver {
        bail!("the fault did not take effect: there is nothing to stop at");
    }
    gdb.remove_breakpoint(boot.fault_point)?;
    announce(emulator.hand_over()?)?;
    // Whoever debugs takes any time; the debugger's `kill` ends the emulator.
    while !matches!(emulator.next(Instant::now() + SILENCE), Happening::Closed) {}
    emulator.end()?;
    Ok(())
}

/// Starts the emulator; with a stub, the guest will stand at its fault point.
fn launch(boot: &Boot, with_stub: bool) -> Result<(Emulator, Option<Gdb>)> {
    let launch = Launch {
        machine: boot.machine,
        kernel: boot.kernel,
        card: Some(boot.card),
        plan: Some(boot.plan),
        seed: boot.seed,
        mode: Mode::Deterministic,
        extra: &[],
        folder: boot.folder,
    };
    if !with_stub {
        return Ok((Emulator::launch(&launch)?, None));
    }
    let (emulator, mut gdb) = Emulator::launch_stopped(&launch)?;
    gdb.set_breakpoint(boot.fault_point)?;
    gdb.resume()?;
    Ok((emulator, Some(gdb)))
}

/// Passes the stop at which trials begin, where the plan is exchanged, and leaves the others to an actor. The plan is exchanged there
/// and not before the boot, since how long the injector looks at a plan depends on what is in it.
pub struct Passing<'a> {
    passed: bool,
    /// What to write, and where the kernel sees it.
    plan: Option<(u64, Vec<u8>)>,
    actor: Option<&'a mut dyn AtFaultPoint>,
    for_debugger: bool,
}

impl<'a> Passing<'a> {
    /// With nobody to act, the next stops are passed, too.
    pub fn new(actor: Option<&'a mut dyn AtFaultPoint>) -> Self {
        Self { passed: false, plan: None, actor, for_debugger: false }
    }

    /// With this plan from the first stop on.
    #[must_use]
    pub fn with_plan(self, machine: &Machine, plan: &[u8]) -> Self {
        Self { plan: Some((plan_address(machine), plan.to_vec())), ..self }
    }
}

impl Passing<'_> {
    /// The guest is left standing at the first stop.
    #[must_use]
    pub fn for_debugger(self) -> Self {
        Self { for_debugger: true, ..self }
    }
}

impl AtFaultPoint for Passing<'_> {
    fn stopped(&mut self, gdb: &mut Gdb) -> Result<Effect> {
        match &mut self.actor {
            Some(actor) if self.passed => return actor.stopped(gdb),
            _ => self.passed = true,
        }
        if let Some((address, plan)) = self.plan.take() {
            gdb.write(address, &plan)?;
        }
        let registers = gdb.registers()?;
        gdb.answer(&registers, 0)?;
        if self.for_debugger {
            return Ok(Effect::HandOver);
        }
        gdb.resume()?;
        Ok(Effect::GoesOn)
    }

    fn watch_reached(&mut self, gdb: &mut Gdb, address: u64) -> Result<Effect> {
        match &mut self.actor {
            Some(actor) => actor.watch_reached(gdb, address),
            None => gdb.resume().map(|()| Effect::GoesOn),
        }
    }

    fn over(&mut self, gdb: &mut Gdb) -> Result<()> {
        self.actor.as_mut().map_or(Ok(()), |actor| actor.over(gdb))
    }
}

/// Where the kernel sees the plan.
const fn plan_address(machine: &Machine) -> u64 {
    machine.plan_address + KERNEL_OFFSET
}

/// A board that stands at the first step of its plan, and can be put back there: where trials begin.
///
/// *Rule.* What follows is the same, bit for bit, as after a boot with the trial's plan: time, memory, devices and card are those of
/// the kept state, and nobody on the board has needed the plan's further steps before. [`super::Campaign`] proves it for the
/// undisturbed run before it believes in a standing board, and every replay is a boot.
#[derive(Debug)]
pub struct Standing {
    emulator: Emulator,
    gdb: Gdb,
    registers: Registers,
    card: PathBuf,
    card_then: Vec<u8>,
    plan_address: u64,
    vitals: Vitals,
    judge: Judge,
    splitter: Splitter,
    /// Nothing has run since the state was kept.
    is_there: bool,
}

impl Standing {
    /// Boots until the first step of the plan, which must be a stop.
    ///
    /// # Errors
    /// The board does not come there.
    pub fn start(boot: &Boot, mut judge: Judge) -> Result<Self> {
        let (mut emulator, gdb) = launch(boot, true)?;
        let mut gdb = gdb.context("there is no debugger's stub")?;
        let mut splitter = Splitter::new();
        loop {
            match emulator.next(Instant::now() + SILENCE) {
                Happening::Stopped(_) => break,
                Happening::Closed | Happening::Nothing => {
                    bail!("the board does not come to the first step of its plan")
                }
                happening => take(&happening, &mut splitter, &mut judge),
            }
        }
        for happening in emulator.settled() {
            take(&happening, &mut splitter, &mut judge);
        }
        let registers = gdb.registers()?;
        emulator.keep(boot.folder)?;
        let card_then = read(boot.card)?;
        Ok(Self {
            emulator,
            gdb,
            registers,
            card: boot.card.to_owned(),
            card_then,
            plan_address: plan_address(boot.machine),
            vitals: boot.vitals(),
            judge,
            splitter,
            is_there: true,
        })
    }

    /// Where the card is, which is the trial's until the next one.
    pub fn card(&self) -> &Path {
        &self.card
    }

    /// What was seen until here.
    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Runs with another plan that has as many steps, of which the first is the same. After [`End::Emulator`] and [`End::Stuck`] the board is lost.
    ///
    /// # Errors
    /// The board cannot be put back, or the run could not take place.
    pub fn run(
        &mut self,
        plan: &[u8],
        judge: &mut Judge,
        actor: Option<&mut dyn AtFaultPoint>,
    ) -> Result<End> {
        match actor {
            Some(actor) => self.run_with(plan, judge, actor),
            None => self.run_with(plan, judge, &mut Passing::new(None)),
        }
    }

    fn run_with(&mut self, plan: &[u8], judge: &mut Judge, actor: &mut dyn AtFaultPoint) -> Result<End> {
        if !std::mem::take(&mut self.is_there) {
            self.emulator.put_back()?;
            restore(&self.card, &self.card_then)?;
            // What the last trial has still said is nobody's business.
            self.emulator.settled();
        }
        let mut splitter = self.splitter.clone();
        self.gdb.write(self.plan_address, plan)?;
        self.gdb.answer(&self.registers, 0)?;
        self.gdb.resume()?;
        let end = {
            let actor: &mut dyn AtFaultPoint = &mut *actor;
            let stub = Some((&mut self.gdb, actor));
            listen(&mut self.emulator, stub, self.vitals, &mut splitter, judge)
        };
        let end = self.halt(end, &mut splitter, judge)?;
        if !matches!(end, End::Emulator(_) | End::Stuck) {
            if let Some(range) = judge.memory_wanted() {
                judge.take_memory(&self.emulator.standing_memory(&range)?);
            }
            actor.over(&mut self.gdb)?;
        }
        splitter.finish(|item| judge.item(&item));
        Ok(end)
    }

    /// The run is over: the guest stands, and its card is as the guest has left it.
    fn halt(&mut self, end: Result<End>, splitter: &mut Splitter, judge: &mut Judge) -> Result<End> {
        if matches!(end, Ok(End::Stuck)) {
            self.emulator.end()?;
            return end;
        }
        let stands = matches!(end, Ok(End::PowerCut | End::Silent(Some(_)))) || self.stop(splitter, judge);
        if !stands {
            return match self.emulator.end()? {
                Ending::Died { reason } => Ok(End::Emulator(reason)),
                _ => end.and(Ok(End::Emulator("it ended in the middle of a trial".to_owned()))),
            };
        }
        for happening in self.emulator.settled() {
            take(&happening, splitter, judge);
        }
        end
    }

    /// Stops the guest, which runs; false: the emulator is gone.
    fn stop(&mut self, splitter: &mut Splitter, judge: &mut Judge) -> bool {
        if self.gdb.interrupt().is_err() {
            return false;
        }
        let deadline = Instant::now() + SILENCE;
        loop {
            match self.emulator.next(deadline) {
                Happening::Stopped(_) | Happening::Watched(_) => return true,
                Happening::Closed | Happening::Nothing => return false,
                happening => take(&happening, splitter, judge),
            }
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("reading {}", path.display()))
}

/// Makes a card what it was; only what differs is written.
fn restore(card: &Path, then: &[u8]) -> Result<()> {
    let now = read(card)?;
    let writing = || format!("writing {}", card.display());
    let file = std::fs::File::options().write(true).open(card).with_context(writing)?;
    let pieces = now.chunks(PIECE).zip(then.chunks(PIECE)).enumerate();
    for (index, (_, then)) in pieces.filter(|(_, (now, then))| now != then) {
        std::os::unix::fs::FileExt::write_all_at(&file, then, (index * PIECE) as u64)
            .with_context(writing)?;
    }
    Ok(())
}

fn listen(
    emulator: &mut Emulator,
    mut actor: Option<(&mut Gdb, &mut dyn AtFaultPoint)>,
    vitals: Vitals,
    splitter: &mut Splitter,
    judge: &mut Judge,
) -> Result<End> {
    let patience = if actor.is_some() { PATIENCE } else { SILENCE };
    let (mut silence, mut look_at) = (Silence::default(), Instant::now() + LONG_PATIENCE);
    let mut unheard = 0;
    loop {
        if let Some((gdb, _)) = actor.as_mut().filter(|_| Instant::now() > look_at) {
            gdb.interrupt()?;
            look_at = Instant::now() + LONG_PATIENCE;
        }
        match (emulator.next(Instant::now() + patience), &mut actor) {
            (Happening::Closed, _) => return Ok(End::Over),
            (Happening::Nothing, None) => return Ok(End::Silent(None)),
            (Happening::Nothing, Some(_)) if unheard == UNHEARD_MAX => return Ok(End::Stuck),
            (Happening::Nothing, Some((gdb, _))) => {
                unheard += 1;
                gdb.interrupt()?;
            }
            (Happening::Stopped(true), Some((gdb, _))) => match silence.look(gdb, vitals)? {
                Verdict::Waits => {
                    unheard = 0;
                    gdb.resume()?;
                }
                Verdict::Mute => return Ok(End::Silent(Some(reason(emulator, gdb, vitals)?))),
            },
            (Happening::Stopped(_), Some((gdb, actor))) => match actor.stopped(gdb)? {
                Effect::GoesOn => {}
                Effect::PowerCut => return Ok(End::PowerCut),
                Effect::HandOver => return Ok(End::HandedOver),
            },
            (Happening::Watched(address), Some((gdb, actor))) => {
                if actor.watch_reached(gdb, address)? == Effect::HandOver {
                    return Ok(End::HandedOver);
                }
            }
            (happening, _) => {
                silence.broken();
                unheard = 0;
                take(&happening, splitter, judge);
            }
        }
        if judge.is_over() {
            return Ok(End::Over);
        }
    }
}

fn take(happening: &Happening, splitter: &mut Splitter, judge: &mut Judge) {
    match happening {
        Happening::Bytes(Line::Console, bytes) => judge.console(bytes),
        Happening::Bytes(Line::Evidence, bytes) => splitter.push(bytes, |item| judge.item(&item)),
        _ => {}
    }
}

/// Finds out what a target executes.
#[derive(Debug)]
pub struct Profiler<'a> {
    image: &'a TargetImage,
    space: Option<u64>,
    profile: Profile,
}

impl<'a> Profiler<'a> {
    /// Of the component with this image.
    pub fn new(image: &'a TargetImage) -> Self {
        Self { image, space: None, profile: Profile::default() }
    }

    /// What was executed.
    pub fn into_profile(self) -> Profile {
        self.profile
    }

    fn cover(&self, stop: &mut Stop) -> Result<()> {
        let end = self.image.start + (self.image.words.len() * INSTRUCTION) as u64;
        let mut at = self.image.start;
        while at < end {
            let next = (at + 1).next_multiple_of(PAGE_SIZE as u64).min(end);
            let probes = PROBE.to_le_bytes().repeat((next - at) as usize / INSTRUCTION);
            stop.write(at, &probes)?;
            at = next;
        }
        Ok(())
    }
}

impl AtFaultPoint for Profiler<'_> {
    fn stopped(&mut self, gdb: &mut Gdb) -> Result<Effect> {
        let (mut stop, registers, _) = Stop::here(gdb)?;
        let at = stop.registers.pc;
        let word = self.image.word(at).filter(|_| self.space == Some(stop.space()));
        match word {
            Some(word) => {
                self.profile.add(at, word, &stop.registers);
                stop.write(at, &word.to_le_bytes())?;
            }
            None if self.space.is_none() => {
                self.space = Some(stop.space());
                self.cover(&mut stop)?;
            }
            None => {}
        }
        gdb.answer(&registers, u64::from(word.is_some()))?;
        gdb.resume()?;
        Ok(Effect::GoesOn)
    }
}

/// Who is who in a system.
pub fn cast(
    system: &crate::system::System,
    workload: &super::scenario::Workload,
    target: Option<u8>,
) -> Result<Cast> {
    Ok(Cast {
        injector: system.slot(&workload.injector)?,
        console: system.slot(&workload.console)?,
        targets: target.into_iter().collect(),
        names: system.slots.iter().map(|slot| (slot.slot, slot.name.clone())).collect(),
        slots: system.slots.clone(),
        end_ns: workload.end_ns(),
    })
}
