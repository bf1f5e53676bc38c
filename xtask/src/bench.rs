//! `./x bench`: what the kernel's operations, a restart and a boot cost, in guest instructions, beside seL4 and Linux.
//!
//! *Rule.* The guest sends raw differences of its clock; all that turns them into figures is here, and a sample that
//! contradicts the method fails the bench instead of bending a figure. `docs/performance.md` explains the method.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use abi::SlotId;
use abi::trace::Event;
use anyhow::{Context, Result, bail, ensure};
use object::{Object, ObjectSection};
use protocols::bench::{Group, PHASES, Series};
use serde_json::{Value, json};
use test_harness::evidence::{Item, Recorded, Splitter};
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};
use test_harness::target::{Emulator, Happening, Launch, Line, Lock, Machine, Mode};

use crate::build::build_system;
use crate::json_file;
use crate::tools::Toolchain;

/// Operations and restarts.
const MANIFEST: &str = "system/bench.toml";
/// Faults, with the bench in RS's place.
const FAULT_MANIFEST: &str = "system/bench-fault.toml";
/// The system whose boot is measured and whose kernel all others must have.
const DEMO_MANIFEST: &str = "system/demo.toml";
/// The component that is restarted.
const FIXTURE: &str = "fixture";
/// The component that dies of its own instruction.
const VICTIM: &str = "victim";

/// Guest instructions, which are virtual nanoseconds, in a tick of the clock.
const NS_PER_TICK: u64 = PHASES as u64;
/// The first measurement of a series meets states that do not come again.
const WARM_UP: usize = 1;
/// Instructions of a measurement without its operation: what stands for the operation, and reading the clock.
const STUB: u64 = 2;
/// Instructions between waking and the end of a stamp that is shifted, the shift apart.
const SHIFTED_STUB: u64 = 4;

/// A figure and what it is held against.
struct Row {
    name: &'static str,
    what: &'static str,
    goal: u64,
    reference: Option<(u64, &'static str)>,
}

const SEL4: &str = "seL4";

/// The figures in their order. References: seL4 1326364b, gcc -O2, non-SMP, with its fast path, measured with sel4bench by
/// the same method on the same emulated board; Linux 6.1 on the same board.
const ROWS: [Row; 12] = [
    Row {
        name: "null_syscall",
        what: "enter the kernel and leave it",
        goal: 80,
        reference: Some((91, SEL4)),
    },
    Row {
        name: "ipc_call",
        what: "client's call until the server runs",
        goal: 150,
        reference: Some((191, SEL4)),
    },
    Row {
        name: "ipc_reply_recv",
        what: "server's reply until the client runs",
        goal: 150,
        reference: Some((215, SEL4)),
    },
    Row { name: "ipc_round_trip", what: "both", goal: 300, reference: Some((406, SEL4)) },
    Row {
        name: "notify_switch",
        what: "notify until the waiting component runs",
        goal: 400,
        reference: Some((656, SEL4)),
    },
    Row {
        name: "notify_no_switch",
        what: "notify a component of lower priority",
        goal: 150,
        reference: Some((384, SEL4)),
    },
    Row {
        name: "fault_to_notice",
        what: "exception until the controller runs",
        goal: 500,
        reference: Some((513, SEL4)),
    },
    Row { name: INTERRUPT, what: "timer's time until its driver runs", goal: 450, reference: None },
    Row { name: "grant_copy_4k", what: "copy 4 KiB from a blocked client", goal: 1_200, reference: None },
    Row {
        name: "restart_cold_64k",
        what: "death until the next incarnation receives",
        goal: 60_000,
        reference: Some((333_300, "Linux fork+exec+exit")),
    },
    Row {
        name: "boot_to_ready",
        what: "reset until all receive, card mounted (ns)",
        goal: 60_000_000,
        reference: Some((926_000_000, "Linux to init")),
    },
    Row {
        name: "kernel_text",
        what: ".text and .rodata (bytes)",
        goal: 65_536,
        reference: Some((32_320, SEL4)),
    },
];

/// What `x bench` is told.
#[derive(clap::Args)]
pub struct Options {
    /// Writes the figures as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The emulated board; the default is the one whose file in qemu/ says so.
    #[arg(long)]
    board: Option<String>,
    /// Longest time of this computer for each of the three boots, in seconds.
    #[arg(long, default_value_t = 300)]
    limit: u64,
}

/// Builds, measures, prints.
///
/// # Errors
/// A system could not be built or run, a component failed, or samples contradict the method.
pub fn run(tools: &Toolchain, options: &Options) -> Result<()> {
    json_file::check(options.json.as_deref())?;
    let machine = crate::run::machine(tools, options.board.as_deref())?;
    let limit = Duration::from_secs(options.limit);
    let boot = |manifest: &str| Boot::build(tools, &machine, manifest, limit);
    let (demo, bench, fault) = (boot(DEMO_MANIFEST)?, boot(MANIFEST)?, boot(FAULT_MANIFEST)?);
    let kernel = &demo.system.kernel_sha256;
    for other in [&bench, &fault] {
        ensure!(
            &other.system.kernel_sha256 == kernel,
            "{} has another kernel than the demo",
            other.system.manifest
        );
    }
    let mut figures = operations(&bench.measure()?)?;
    figures.extend(faults(&fault.measure()?)?);
    figures.insert("boot_to_ready", demo.measure()?.boot_ns());
    figures.insert("kernel_text", kernel_text(&demo.system)?);
    println!("kernel {kernel}: that of {DEMO_MANIFEST}");
    print!("{}", table(&figures)?);
    let text = serde_json::to_string_pretty(&result(&machine.name, kernel, &figures)?)?;
    json_file::write(options.json.as_deref(), &text)
}

/// Values by the name of their row.
type Figures = BTreeMap<&'static str, u64>;

// ------------------------------------------------------------------------------------------------ running the systems

/// A system that was built, and the board to boot it on.
struct Boot<'a> {
    machine: &'a Machine,
    system: System,
    limit: Duration,
}

impl<'a> Boot<'a> {
    fn build(tools: &Toolchain, machine: &'a Machine, manifest: &str, limit: Duration) -> Result<Self> {
        let built = build_system(tools, manifest.as_ref(), &machine.name)?;
        let system = System::in_folder(&built.folder)?;
        Ok(Self { machine, system, limit })
    }

    /// Boots with an empty card and without a fault plan, and listens until the end that the evidence tells of.
    fn measure(&self) -> Result<Evidence> {
        let folder = self.system.folder.join("bench");
        let _folder = Lock::folder(&folder)?;
        let card = folder.join("card.img");
        card::make(&card, CARD_BYTES)?;
        let _card = Lock::card(&card)?;
        let launch = Launch {
            machine: self.machine,
            kernel: &self.system.kernel(),
            card: Some(&card),
            plan: None,
            seed: 1,
            mode: Mode::Deterministic,
            extra: &[],
            folder: &folder,
        };
        let mut emulator = Emulator::launch(&launch)?;
        let heard = self.listen(&mut emulator, &folder);
        emulator.end()?;
        let errors = emulator.guest_errors()?;
        ensure!(errors.is_empty(), "{}: errors of the guest: {}", self.system.manifest, errors.join("; "));
        heard
    }

    fn listen(&self, emulator: &mut Emulator, folder: &Path) -> Result<Evidence> {
        let mut evidence = Evidence::new(&self.system);
        let (mut splitter, mut raw) = (Splitter::new(), Vec::new());
        let end = Instant::now() + self.limit;
        while !evidence.is_complete() {
            match emulator.next(end) {
                Happening::Bytes(Line::Evidence, bytes) => {
                    raw.extend_from_slice(&bytes);
                    let mut heard = Ok(());
                    splitter.push(&bytes, |item| {
                        let outcome = evidence.item(&item);
                        heard = std::mem::replace(&mut heard, Ok(())).and(outcome);
                    });
                    fs::write(folder.join("evidence.bin"), &raw).context("writing the evidence")?;
                    heard.with_context(|| format!("system {:?}", self.system.manifest))?;
                }
                Happening::Bytes(Line::Console, _) => {}
                Happening::Reset(_) => bail!("{}: the board was reset", self.system.manifest),
                Happening::Closed => bail!("{}: the emulator ended", self.system.manifest),
                Happening::Nothing => bail!("{}: the time limit has passed", self.system.manifest),
            }
        }
        Ok(evidence)
    }
}

/// What the evidence line said.
struct Evidence {
    names: BTreeMap<SlotId, String>,
    groups: BTreeMap<Series, Vec<Group>>,
    ready: BTreeMap<SlotId, u64>,
    died: Option<u64>,
    restarts: Vec<u64>,
    measures: bool,
}

impl Evidence {
    fn new(system: &System) -> Self {
        let names: BTreeMap<_, _> = system.slots.iter().map(|slot| (slot.slot, slot.name.clone())).collect();
        let measures = system.slots.iter().any(|slot| slot.image.as_deref() == Some("bench"));
        Self {
            names,
            groups: BTreeMap::new(),
            ready: BTreeMap::new(),
            died: None,
            restarts: Vec::new(),
            measures,
        }
    }

    /// A bench says when it is done; any other system is complete when every slot has received.
    fn is_complete(&self) -> bool {
        if self.measures {
            self.groups.contains_key(&Series::Done)
        } else {
            self.ready.len() == self.names.len()
        }
    }

    /// Virtual time at which the last slot received for the first time.
    fn boot_ns(&self) -> u64 {
        self.ready.values().max().map_or(0, |ticks| ticks * NS_PER_TICK)
    }

    fn name(&self, slot: SlotId) -> &str {
        self.names.get(&slot).map_or("a slot without a name", String::as_str)
    }

    fn item(&mut self, item: &Item) -> Result<()> {
        match item {
            Item::Frame(frame) => self.frame(frame),
            Item::Text(_) => Ok(()),
            Item::Damaged(error, _) => bail!("a frame is damaged: {error:?}"),
        }
    }

    fn frame(&mut self, frame: &Recorded) -> Result<()> {
        let frame = frame.view();
        match frame.event {
            Event::Application { data, .. } if self.measures => {
                let group = Group::decode(data).context("an event that is no group of samples")?;
                self.groups.entry(group.series).or_default().push(group);
            }
            Event::Died { slot, .. } if self.name(slot) == FIXTURE => self.died = Some(frame.time),
            Event::Died { slot, .. } if self.name(slot) == VICTIM => {}
            Event::Died { slot, class, pc, text, .. } => {
                bail!("{} died ({class:?}) at {pc:#x}: {text:?}", self.name(slot));
            }
            Event::Ready { slot, .. } => {
                self.ready.entry(slot).or_insert(frame.time);
                if self.name(slot) == FIXTURE
                    && let Some(died) = self.died.take()
                {
                    self.restarts.push(frame.time - died);
                }
            }
            Event::KernelPanic { text, .. } => bail!("the kernel: {text}"),
            _ => {}
        }
        Ok(())
    }
}

// ---------------------------------------------------------------------------------------------- from samples to figures

/// Instructions between two stamps: the sum of the differences over all phases. With a length of n instructions the
/// difference is floor((phase + n) / 16) - floor(phase / 16), and over sixteen phases in a row these add up to n.
fn length(group: &Group) -> u64 {
    group.ticks.iter().map(|&ticks| u64::from(ticks)).sum()
}

/// The length of `series`: the same in every repetition but the first, with differences as one length has them.
fn exact(evidence: &Evidence, series: Series) -> Result<u64> {
    let groups = evidence.groups.get(&series).map_or(&[][..], Vec::as_slice);
    let steady = groups.get(WARM_UP..).unwrap_or_default();
    ensure!(steady.len() > 1, "{series:?}: {} groups of samples", groups.len());
    for group in steady {
        let (least, most) = (group.ticks.iter().min(), group.ticks.iter().max());
        let spread = most.zip(least).map_or(0, |(most, least)| most - least);
        ensure!(spread <= 1, "{series:?}: not one length in all phases: {:?}", group.ticks);
    }
    let lengths: Vec<u64> = steady.iter().map(length).collect();
    ensure!(lengths.iter().all(|&other| other == lengths[0]), "{series:?}: repetitions differ: {lengths:?}");
    Ok(lengths[0])
}

/// [`exact`] without the `stub`.
fn net(evidence: &Evidence, series: Series, stub: u64) -> Result<u64> {
    let length = exact(evidence, series)?;
    length
        .checked_sub(stub)
        .with_context(|| format!("{series:?}: {length} instructions are less than the stub"))
}

/// The figures of `system/bench.toml`.
fn operations(evidence: &Evidence) -> Result<Figures> {
    let stub = exact(evidence, Series::Stub)?;
    let hundred = exact(evidence, Series::Hundred)?;
    ensure!(
        stub == STUB && hundred == stub + 99,
        "the clock does not count instructions: 1 and 100 no-operations take {stub} and {hundred}"
    );
    let (call, reply) = (net(evidence, Series::Call, stub)?, net(evidence, Series::Reply, stub)?);
    let service = exact(evidence, Series::Service)?;
    let trip = net(evidence, Series::RoundTrip, service + 2 * stub)?;
    ensure!(
        trip == call + reply,
        "the way there ({call}) and back ({reply}) do not make the round trip ({trip})"
    );
    let mut figures = Figures::from([
        ("null_syscall", net(evidence, Series::NullCall, stub)?),
        ("ipc_call", call),
        ("ipc_reply_recv", reply),
        ("ipc_round_trip", trip),
        ("notify_switch", net(evidence, Series::NotifySwitch, stub)?),
        ("notify_no_switch", net(evidence, Series::NotifyNoSwitch, stub)?),
        ("grant_copy_4k", net(evidence, Series::Copy, stub)?),
        ("restart_cold_64k", restart(evidence)?),
    ]);
    if evidence.groups.contains_key(&Series::Interrupt) {
        figures.insert(INTERRUPT, net(evidence, Series::Interrupt, SHIFTED_STUB)?);
    }
    Ok(figures)
}

/// The mean restart: the paths differ, so the sum over the phases is a mean and not one length.
fn restart(evidence: &Evidence) -> Result<u64> {
    let steady = evidence.restarts.get(WARM_UP..).unwrap_or_default();
    ensure!(steady.len() == PHASES, "{} restarts of the fixture", evidence.restarts.len());
    Ok(steady.iter().sum())
}

/// The figures of `system/bench-fault.toml`.
fn faults(evidence: &Evidence) -> Result<Figures> {
    Ok(Figures::from([("fault_to_notice", net(evidence, Series::Fault, STUB)?)]))
}

/// Bytes of the kernel's code and constants.
fn kernel_text(system: &System) -> Result<u64> {
    let path = system.folder.join("elf/kernel");
    let bytes = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let file = object::File::parse(&*bytes).with_context(|| format!("in {}", path.display()))?;
    let size = |name: &str| {
        let section = file.section_by_name(name).with_context(|| format!("{}: no {name}", path.display()))?;
        Ok::<_, anyhow::Error>(section.size())
    };
    Ok(size(".text")? + size(".rodata")?)
}

// ------------------------------------------------------------------------------------------------------------- reporting

/// The row that a board lacks if its timer has no interrupt line.
const INTERRUPT: &str = "irq_to_driver";

/// The row's value; none for what the board cannot show.
fn value(figures: &Figures, row: &Row) -> Result<Option<u64>> {
    let value = figures.get(row.name).copied();
    ensure!(value.is_some() || row.name == INTERRUPT, "{} was not measured", row.name);
    Ok(value)
}

/// 1234567 as 1,234,567.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn table(figures: &Figures) -> Result<String> {
    let mut text = format!("{:<18}{:>12}{:>14}  {:<36}\n", "guest instructions", "here", "goal", "reference");
    for row in &ROWS {
        let Some(value) = value(figures, row)? else {
            writeln!(
                text,
                "{:<18}{:>12}{:>14}  {:<36}{}: the board's timer has no line",
                row.name, "-", "", "-", row.what
            )?;
            continue;
        };
        let goal = format!("{} {}", if value <= row.goal { "<=" } else { "over" }, grouped(row.goal));
        let reference =
            row.reference.map_or_else(|| "-".into(), |(value, name)| format!("{} {name}", grouped(value)));
        writeln!(text, "{:<18}{:>12}{goal:>14}  {reference:<36}{}", row.name, grouped(value), row.what)?;
    }
    Ok(text)
}

fn result(board: &str, kernel: &str, figures: &Figures) -> Result<Value> {
    let mut results = Vec::new();
    for row in &ROWS {
        if let Some(value) = value(figures, row)? {
            results.push(json!({
                "name": row.name,
                "value": value,
                "reference": row.reference.map(|(value, _)| value),
                "reference_name": row.reference.map(|(_, name)| name),
            }));
        }
    }
    Ok(json!({ "board": board, "unit": "guest instructions", "kernel_sha256": kernel, "results": results }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sampled(series: Series, number: u8, length: u64, first_phase: u64) -> Group {
        let mut ticks = [0; PHASES];
        for (shift, ticks) in ticks.iter_mut().enumerate() {
            let phase = (first_phase + shift as u64) % NS_PER_TICK;
            *ticks = ((phase + length) / NS_PER_TICK) as u32;
        }
        Group { series, number, ticks }
    }

    fn evidence(groups: impl IntoIterator<Item = Group>) -> Evidence {
        let mut evidence = Evidence {
            names: BTreeMap::new(),
            groups: BTreeMap::new(),
            ready: BTreeMap::new(),
            died: None,
            restarts: Vec::new(),
            measures: true,
        };
        groups.into_iter().for_each(|group| evidence.groups.entry(group.series).or_default().push(group));
        evidence
    }

    proptest! {
        #[test]
        fn sixteen_phases_give_the_exact_length(n in 0u64..1 << 24, phase in 0u64..16) {
            prop_assert_eq!(length(&sampled(Series::Call, 0, n, phase)), n);
        }
    }

    #[test]
    fn only_the_first_repetition_may_differ() {
        let group = |number, length| sampled(Series::Call, number, length, 3);
        assert_eq!(
            exact(&evidence([group(0, 500), group(1, 400), group(2, 400)]), Series::Call).unwrap(),
            400
        );
        assert!(exact(&evidence([group(0, 400), group(1, 400), group(2, 401)]), Series::Call).is_err());
        assert!(exact(&evidence([group(0, 400), group(1, 400)]), Series::Call).is_err());
        assert!(exact(&evidence([]), Series::Call).is_err());
    }

    #[test]
    fn samples_of_two_lengths_are_refused() {
        let mut torn = sampled(Series::Call, 1, 400, 0);
        torn.ticks[5] += 2;
        assert!(exact(&evidence([torn; 3]), Series::Call).is_err());
    }

    #[test]
    fn a_clock_that_does_not_count_instructions_fails_the_bench() {
        let groups = |series, length| (0..3).map(move |number| sampled(series, number, length, 0));
        let right = groups(Series::Stub, 2).chain(groups(Series::Hundred, 101));
        let message = operations(&evidence(right)).unwrap_err().to_string();
        assert!(message.contains("Call"), "{message}");
        let wrong = groups(Series::Stub, 2).chain(groups(Series::Hundred, 100));
        let message = operations(&evidence(wrong)).unwrap_err().to_string();
        assert!(message.contains("does not count"), "{message}");
    }

    #[test]
    fn every_row_is_printed_and_a_missing_one_is_an_error() {
        let mut figures: Figures = ROWS.iter().map(|row| (row.name, row.goal)).collect();
        let json = result("raspi3b", "00", &figures).unwrap();
        assert_eq!(json["results"].as_array().unwrap().len(), ROWS.len());
        assert_eq!(table(&figures).unwrap().lines().count(), 1 + ROWS.len());
        figures.remove("ipc_call");
        assert!(table(&figures).is_err());
    }

    #[test]
    fn digits_are_grouped() {
        assert_eq!([0, 999, 1000, 60_000_000].map(grouped), ["0", "999", "1,000", "60,000,000"]);
    }
}
