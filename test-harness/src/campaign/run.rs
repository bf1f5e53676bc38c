//! One boot of a trial: the emulator with a debugger's stub, until the client has come to its end.

use super::judge::{Cast, Judge};
use super::profile::Profile;
use crate::evidence::Splitter;
use crate::fault::{Carrier, Effect, PROBE, Stop, TargetImage};
use crate::target::{Emulator, Ending, Gdb, Happening, Launch, Line, Machine, Mode};
use abi::PAGE_SIZE;
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// Longest that a guest may say nothing, in time of this computer. Whoever lives speaks within milliseconds of it; this is for
/// kernels that are dead, and generous, so that a busy computer makes nobody dead.
const SILENCE: Duration = Duration::from_secs(40);

/// Bytes of an instruction.
const INSTRUCTION: usize = 4;

/// Who acts while the guest stands at the fault point.
pub trait AtFaultPoint {
    /// Does what is to be done and lets the guest go on.
    ///
    /// # Errors
    /// The stub fails, or the guest's memory is not what it must be.
    fn stopped(&mut self, gdb: &mut Gdb) -> Result<Effect>;
}

impl AtFaultPoint for Carrier<'_> {
    fn stopped(&mut self, gdb: &mut Gdb) -> Result<Effect> {
        Carrier::stopped(self, gdb)
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
    /// Where the emulator's messages go.
    pub folder: &'a Path,
}

/// How a boot ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum End {
    /// The client came to its end, or the injector said that time is over, or the kernel panicked.
    Over,
    /// The power was cut.
    PowerCut,
    /// The guest said nothing any more.
    Silent,
    /// The emulator failed: why.
    Emulator(String),
}

/// Boots and listens until the end. Without an actor the guest runs undisturbed.
///
/// # Errors
/// The boot could not take place.
pub fn boot(boot: &Boot, judge: &mut Judge, actor: Option<&mut dyn AtFaultPoint>) -> Result<End> {
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
    let (mut emulator, mut stub) = if actor.is_some() {
        let (emulator, mut gdb) = Emulator::launch_stopped(&launch)?;
        gdb.set_breakpoint(boot.fault_point)?;
        gdb.resume()?;
        (emulator, Some(gdb))
    } else {
        (Emulator::launch(&launch)?, None)
    };
    let mut splitter = Splitter::new();
    let end = listen(&mut emulator, stub.as_mut().zip(actor), &mut splitter, judge);
    let ending = emulator.end()?;
    for happening in emulator.rest() {
        take(&happening, &mut splitter, judge);
    }
    splitter.finish(|item| judge.item(&item));
    match (end, ending) {
        (Ok(End::Silent), _) => Ok(End::Silent),
        // Whatever the stub said last: it was the emulator that failed, which is an outcome.
        (_, Ending::Died { reason }) => Ok(End::Emulator(reason)),
        (end, _) => end,
    }
}

fn listen(
    emulator: &mut Emulator,
    mut actor: Option<(&mut Gdb, &mut dyn AtFaultPoint)>,
    splitter: &mut Splitter,
    judge: &mut Judge,
) -> Result<End> {
    loop {
        match emulator.next(Instant::now() + SILENCE) {
            Happening::Stopped => {
                let Some((gdb, actor)) = &mut actor else { continue };
                if actor.stopped(gdb)? == Effect::PowerCut {
                    return Ok(End::PowerCut);
                }
            }
            Happening::Closed => return Ok(End::Over),
            Happening::Nothing => return Ok(End::Silent),
            happening => take(&happening, splitter, judge),
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
        client: system.slot(&workload.client)?,
        injector: system.slot(&workload.injector)?,
        console: system.slot(&workload.console)?,
        target,
        names: system.slots.iter().map(|slot| (slot.slot, slot.name.clone())).collect(),
    })
}
