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
use test_harness::target::sections::{self, Section, Watch};
use test_harness::target::{Emulator, Happening, Launch, Line, Lock, Machine, Mode};

use crate::baselines::{self, Baselines};
use crate::build::build_system;
use crate::irq_off;
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
    goal: Option<u64>,
    reference: Option<(u64, &'static str)>,
}

const SEL4: &str = "seL4";

/// The figures in their order. References: seL4 1326364b, gcc -O2, non-SMP, with its fast path, measured with sel4bench by
/// the same method on the same emulated board; Linux 6.1 on the same board.
const ROWS: [Row; 24] = [
    Row {
        name: "null_syscall",
        what: "enter the kernel and leave it",
        goal: Some(80),
        reference: Some((91, SEL4)),
    },
    Row {
        name: "ipc_call",
        what: "client's call until the server runs",
        goal: Some(150),
        reference: Some((191, SEL4)),
    },
    Row {
        name: "ipc_reply_recv",
        what: "server's reply until the client runs",
        goal: Some(150),
        reference: Some((215, SEL4)),
    },
    Row { name: "ipc_round_trip", what: "both", goal: Some(300), reference: Some((406, SEL4)) },
    Row {
        name: "notify_switch",
        what: "notify until the waiting component runs",
        goal: Some(400),
        reference: Some((656, SEL4)),
    },
    Row {
        name: "notify_no_switch",
        what: "notify a component of lower priority",
        goal: Some(150),
        reference: Some((384, SEL4)),
    },
    Row {
        name: "fault_to_notice",
        what: "exception until the controller runs",
        goal: Some(500),
        reference: Some((513, SEL4)),
    },
    Row { name: INTERRUPT, what: "timer's time until its driver runs", goal: Some(450), reference: None },
    Row {
        name: "grant_copy_4k",
        what: "copy 4 KiB from a blocked client",
        goal: Some(1_200),
        reference: None,
    },
    Row {
        name: "restart_cold_64k",
        what: "death until the next incarnation receives",
        goal: Some(60_000),
        reference: Some((333_300, "Linux fork+exec+exit")),
    },
    Row {
        name: "boot_to_ready",
        what: "reset until all receive, card mounted (ns)",
        goal: Some(60_000_000),
        reference: Some((926_000_000, "Linux to init")),
    },
    Row {
        name: IRQ_OFF,
        what: "longest section without a look for interrupts",
        goal: Some(5_000),
        reference: None,
    },
    Row {
        name: "kernel_text",
        what: ".text and .rodata (bytes)",
        goal: Some(65_536),
        reference: Some((32_320, SEL4)),
    },
    Row { name: "recv_nothing", what: "recv after its deadline, nothing there", goal: None, reference: None },
    Row { name: "reply", what: "answer a caller of lower priority", goal: None, reference: None },
    Row { name: "map_page", what: "one page of heap", goal: None, reference: None },
    Row { name: "reg_read", what: "read a register", goal: None, reference: None },
    Row { name: ACKNOWLEDGE, what: "let a line through", goal: None, reference: None },
    Row { name: "checkpoint_commit_64", what: "commit 64 bytes", goal: None, reference: None },
    Row { name: "checkpoint_load_64", what: "load 64 bytes", goal: None, reference: None },
    Row { name: "log_64", what: "64 bytes of text, on the line (mean)", goal: None, reference: None },
    Row { name: "inspect_slot", what: "state of a slot", goal: None, reference: None },
    Row { name: "kill", what: "end a component that is ready", goal: None, reference: None },
    Row { name: "slot_ctl", what: "acknowledge a death", goal: None, reference: None },
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
    /// Makes today's figures the baseline of this compiler and board, which `./x test` compares with.
    #[arg(long)]
    record: bool,
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
    irq_off::build_plugin(tools)?;
    let boot = |manifest: &str| Boot::build(tools, &machine, manifest, limit);
    let boots = [boot(DEMO_MANIFEST)?, boot(MANIFEST)?, boot(FAULT_MANIFEST)?];
    let (figures, longest) = measure(&boots)?;
    let kernel = &boots[0].system.kernel_sha256;
    println!("kernel {kernel}: that of {DEMO_MANIFEST}");
    print!("{}", table(&figures)?);
    longest.iter().for_each(|line| println!("{line}"));
    let compiler = baselines::compiler()?;
    let mut baselines = Baselines::read(tools.root())?;
    match baselines.compare(&compiler, &machine.name, &figures) {
        _ if options.record => baselines.record(&compiler, &machine.name, &figures)?,
        None => println!("{}", without_baseline(&compiler, &machine.name)),
        Some(findings) => findings.iter().for_each(|finding| println!("{finding}")),
    }
    let text = serde_json::to_string_pretty(&result(&machine.name, kernel, &figures)?)?;
    json_file::write(options.json.as_deref(), &text)
}

fn without_baseline(compiler: &str, board: &str) -> String {
    format!(
        "nothing to compare with: no baseline for Rust {compiler} on {board}; {}",
        baselines::remedy(board)
    )
}

/// The figures of three systems: the demo's, the operations', the faults'.
fn measure([demo, bench, fault]: &[Boot; 3]) -> Result<(Figures, Vec<String>)> {
    let kernel = &demo.system.kernel_sha256;
    for other in [bench, fault] {
        ensure!(
            &other.system.kernel_sha256 == kernel,
            "{} has another kernel than the demo",
            other.system.manifest
        );
    }
    let (operated, faulted) = (bench.measure()?, fault.measure()?);
    let mut figures = operations(&operated)?;
    figures.extend(faults(&faulted)?);
    figures.insert("boot_to_ready", demo.measure()?.boot_ns());
    figures.insert("kernel_text", kernel_text(&demo.system)?);
    let mut lines = Vec::new();
    if let Some(plugin) = &demo.plugin {
        let (demonstrated, hash) = irq_off::of_demo(demo.machine, &demo.system, plugin, demo.limit)?;
        lines.push(format!("the demo's trace hash while it was watched: {hash}"));
        let watched = [(demo, &demonstrated), (bench, &operated.sections), (fault, &faulted.sections)];
        for (boot, sections) in watched {
            let longest = sections.first().map_or(0, Section::length);
            let row = figures.entry(IRQ_OFF).or_default();
            *row = longest.max(*row);
            for line in irq_off::describe(&boot.system, sections) {
                lines.push(format!("{IRQ_OFF} {}: {line}", boot.system.manifest));
            }
        }
    }
    Ok((figures, lines))
}

/// Values by the name of their row.
type Figures = BTreeMap<&'static str, u64>;

// ------------------------------------------------------------------------------------------------ running the systems

/// A system that was built, and the board to boot it on.
struct Boot<'a> {
    machine: &'a Machine,
    system: System,
    limit: Duration,
    /// The emulator's plugin; none if it takes none.
    plugin: Option<PathBuf>,
}

impl<'a> Boot<'a> {
    fn build(tools: &Toolchain, machine: &'a Machine, manifest: &str, limit: Duration) -> Result<Self> {
        let built = build_system(tools, manifest.as_ref(), &machine.name)?;
        Self::new(machine, System::in_folder(&built.folder)?, limit)
    }

    fn new(machine: &'a Machine, system: System, limit: Duration) -> Result<Self> {
        let plugin = sections::are_possible(machine).then(sections::plugin).transpose()?;
        Ok(Self { machine, system, limit, plugin })
    }

    /// Boots with an empty card and without a fault plan, and listens until the end that the evidence tells of.
    fn measure(&self) -> Result<Evidence> {
        let folder = self.system.folder.join("bench");
        let _folder = Lock::folder(&folder)?;
        let card = folder.join("card.img");
        card::make(&card, CARD_BYTES)?;
        let _card = Lock::card(&card)?;
        let watch = self.plugin.as_deref().map(|plugin| Watch::new(plugin, &folder));
        let extra = watch.as_ref().map_or_else(Vec::new, |watch| watch.arguments().to_vec());
        let launch = Launch {
            machine: self.machine,
            kernel: &self.system.kernel(),
            card: Some(&card),
            plan: None,
            seed: 1,
            mode: Mode::Deterministic,
            extra: &extra,
            folder: &folder,
        };
        let mut emulator = Emulator::launch(&launch)?;
        let heard = self.listen(&mut emulator, &folder);
        emulator.end()?;
        let errors = emulator.guest_errors()?;
        ensure!(errors.is_empty(), "{}: errors of the guest: {}", self.system.manifest, errors.join("; "));
        let mut evidence = heard?;
        if let Some(watch) = &watch {
            evidence.sections = watch.sections()?;
        }
        Ok(evidence)
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
                Happening::Nothing | Happening::Stopped(_) | Happening::Watched(_) => {
                    bail!("{}: the time limit has passed", self.system.manifest)
                }
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
    /// The longest sections without a look for interrupts.
    sections: Vec<Section>,
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
            sections: Vec::new(),
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
    for (name, series) in OTHERS {
        figures.insert(name, net(evidence, series, stub)?);
    }
    figures.insert("log_64", mean(evidence, Series::Log)?.saturating_sub(stub));
    if evidence.groups.contains_key(&Series::Interrupt) {
        figures.insert(INTERRUPT, net(evidence, Series::Interrupt, SHIFTED_STUB)?);
        figures.insert(ACKNOWLEDGE, net(evidence, Series::Ack, stub)?);
    }
    Ok(figures)
}

/// The mean restart: the paths differ, so the sum over the phases is a mean and not one length.
fn restart(evidence: &Evidence) -> Result<u64> {
    let steady = evidence.restarts.get(WARM_UP..).unwrap_or_default();
    ensure!(steady.len() == PHASES, "{} restarts of the fixture", evidence.restarts.len());
    Ok(steady.iter().sum())
}

/// Rows of system calls that are measured by themselves.
const OTHERS: [(&str, Series); 7] = [
    ("recv_nothing", Series::Poll),
    ("reply", Series::Answer),
    ("map_page", Series::Map),
    ("reg_read", Series::Reg),
    ("checkpoint_commit_64", Series::Commit),
    ("checkpoint_load_64", Series::Load),
    ("inspect_slot", Series::Inspect),
];

/// The mean length of `series`, whose operations are not of one length: frames have numbers of various lengths in them.
fn mean(evidence: &Evidence, series: Series) -> Result<u64> {
    let groups = evidence.groups.get(&series).map_or(&[][..], Vec::as_slice);
    let steady = groups.get(WARM_UP..).unwrap_or_default();
    ensure!(!steady.is_empty(), "{series:?}: {} groups of samples", groups.len());
    Ok(steady.iter().map(length).sum::<u64>() / steady.len() as u64)
}

/// The figures of `system/bench-fault.toml`.
fn faults(evidence: &Evidence) -> Result<Figures> {
    Ok(Figures::from([
        ("fault_to_notice", net(evidence, Series::Fault, STUB)?),
        ("kill", net(evidence, Series::Kill, STUB)?),
        ("slot_ctl", net(evidence, Series::Acknowledge, STUB)?),
    ]))
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

/// The row that an emulator without plugins cannot show.
const IRQ_OFF: &str = "irq_off_max";
/// The rows that a board lacks if its timer has no interrupt line.
const INTERRUPT: &str = "irq_to_driver";
const ACKNOWLEDGE: &str = "irq_ack";

/// Why a row may be missing.
fn excuse(name: &str) -> Option<&'static str> {
    match name {
        INTERRUPT | ACKNOWLEDGE => Some("the board's timer has no line"),
        IRQ_OFF => Some("this emulator takes no plugins"),
        _ => None,
    }
}

/// The row's value; none for what the board or the emulator cannot show.
fn value(figures: &Figures, row: &Row) -> Result<Option<u64>> {
    let value = figures.get(row.name).copied();
    ensure!(value.is_some() || excuse(row.name).is_some(), "{} was not measured", row.name);
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
    let mut text = format!("{:<22}{:>12}{:>14}  {:<36}\n", "guest instructions", "here", "goal", "reference");
    for row in &ROWS {
        let Some(value) = value(figures, row)? else {
            writeln!(
                text,
                "{:<22}{:>12}{:>14}  {:<36}{}: {}",
                row.name,
                "-",
                "",
                "-",
                row.what,
                excuse(row.name).unwrap_or_default()
            )?;
            continue;
        };
        let goal = row.goal.map_or_else(String::new, |goal| {
            format!("{} {}", if value <= goal { "<=" } else { "over" }, grouped(goal))
        });
        let reference =
            row.reference.map_or_else(|| "-".into(), |(value, name)| format!("{} {name}", grouped(value)));
        writeln!(text, "{:<22}{:>12}{goal:>14}  {reference:<36}{}", row.name, grouped(value), row.what)?;
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
            sections: Vec::new(),
        };
        groups.into_iter().for_each(|group| evidence.groups.entry(group.series).or_default().push(group));
        evidence
    }

    /// What `./x test` has built for `board`.
    fn figures_of(board: &str, root: &Path) -> Result<Figures> {
        let machine = Machine::named(&root.join("qemu"), board)?;
        let boot = |manifest: &str| {
            let name =
                Path::new(manifest).file_stem().and_then(|name| name.to_str()).expect("a manifest's name");
            let system = System::under_test(board, name)?;
            Boot::new(&machine, system, Duration::from_mins(10))
        };
        Ok(measure(&[boot(DEMO_MANIFEST)?, boot(MANIFEST)?, boot(FAULT_MANIFEST)?])?.0)
    }

    /// Rows above their goals. A board may lack some.
    fn missed(figures: &Figures) -> Vec<(&'static str, u64)> {
        let above =
            |row: &&Row| row.goal.zip(figures.get(row.name)).is_some_and(|(goal, value)| *value > goal);
        ROWS.iter().filter(above).map(|row| (row.name, figures[row.name])).collect()
    }

    #[test]
    fn a_row_above_its_goal_is_found() {
        assert_eq!(missed(&Figures::from([("null_syscall", 80), ("kill", 9999)])), []);
        assert_eq!(missed(&Figures::from([("null_syscall", 81)])), [("null_syscall", 81)]);
    }

    #[test]
    fn no_row_has_grown_by_more_than_five_percent() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let baselines = Baselines::read(&root).unwrap();
        let compiler = baselines::compiler().unwrap();
        for board in crate::build::boards(&root) {
            let figures = figures_of(&board, &root).unwrap();
            // Whatever the compiler: there may be no baseline of it.
            let missed = missed(&figures);
            assert!(missed.is_empty(), "{board}: above their goals: {missed:?}");
            let Some(findings) = baselines.compare(&compiler, &board, &figures) else {
                println!("{}", without_baseline(&compiler, &board));
                continue;
            };
            assert!(findings.is_empty(), "{board}: {}; {}", findings.join("; "), baselines::remedy(&board));
        }
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
        let mut figures: Figures = ROWS.iter().map(|row| (row.name, row.goal.unwrap_or(1))).collect();
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
