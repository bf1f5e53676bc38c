//! Booting a system and listening to it.

use abi::plan::{Fault, PARAMETERS, PlanEntry, PlanHeader};
use abi::trace::Event;
use injector_core::parameter;
use probe_core::Record;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use test_harness::evidence::{Clock, Item, Recorded, Splitter, TraceHash};
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};
use test_harness::target::{Emulator, Ending, Happening, Launch, Line, Machine, Mode};
use zerocopy::IntoBytes;

/// Nanoseconds in a microsecond.
pub const US: u64 = 1_000;
/// Nanoseconds in a millisecond.
pub const MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const S: u64 = 1_000_000_000;

/// Longest that the computer may take for one boot: a guard against a machine that never ends, not a measurement.
const LIMIT: Duration = Duration::from_hours(1);

/// How much to test.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Depth {
    Quick,
    Full,
    Soak,
}

/// What `./x test` says in SAMSARA_TEST_DEPTH.
pub fn depth() -> Depth {
    match std::env::var("SAMSARA_TEST_DEPTH").as_deref() {
        Ok("quick") => Depth::Quick,
        Ok("soak") => Depth::Soak,
        _ => Depth::Full,
    }
}

/// The built system of `system/<manifest>.toml`.
pub fn system(manifest: &str) -> System {
    System::under_test(&machine().name, manifest).unwrap()
}

pub fn machine() -> Machine {
    Machine::under_test().unwrap()
}

/// A folder for one boot, with an empty card.
pub struct Place {
    pub folder: tempfile::TempDir,
    pub card: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card.img");
        card::make(&card, CARD_BYTES).unwrap();
        Self { folder, card }
    }
}

/// What to boot.
pub struct Boot<'a> {
    pub system: &'a System,
    pub card: Option<&'a Path>,
    pub plan: Option<Vec<u8>>,
    pub seed: u64,
    pub folder: &'a Path,
}

/// A plan. `begin`: when the file client carries out its actions, in nanoseconds.
pub fn plan(seed: u64, begin: u64, entries: &[PlanEntry]) -> Vec<u8> {
    let mut parameters = [0; PARAMETERS];
    parameters[parameter::SETTLE] = MS;
    // A trigger that does not come is not replaced.
    parameters[parameter::TRIGGER_LIMIT] = u64::MAX / 2;
    parameters[probe_core::BEGIN] = begin;
    let header = PlanHeader { magic: 0, crc: 0, count: 0, seed, end: 0, parameters };
    let mut bytes = injector_core::plan::sealed(header, entries).as_bytes().to_vec();
    bytes.extend_from_slice(entries.as_bytes());
    bytes
}

/// A step of a plan.
pub fn step(at: u64, fault: Fault, slot: u8, trigger: u64, count: u32) -> PlanEntry {
    PlanEntry { at, fault: fault as u32, slot: slot.into(), trigger: trigger as u32, count }
}

/// What came over the evidence line.
pub struct Evidence {
    clock: Clock,
    /// Frames and their times in nanoseconds.
    pub frames: Vec<(u64, Recorded)>,
    hash: TraceHash,
}

impl Evidence {
    fn take(&mut self, item: Item, is_last: &dyn Fn(u64, &Event) -> bool) -> bool {
        match item {
            Item::Frame(frame) => {
                if let Event::Boot { frequency, .. } = frame.view().event {
                    assert!(self.frames.is_empty(), "the board was reset");
                    self.clock = Clock { frequency };
                }
                let time = self.clock.nanoseconds(frame.view().time);
                let event = frame.view().event;
                if let Event::KernelPanic { text, .. } = event {
                    panic!("the kernel panicked: {text}");
                }
                // A death is told later than it happens, but before any frame of a later time.
                if let Some((before, earlier)) = self.frames.last() {
                    assert!(
                        *before <= time,
                        "{event:?} of {time} ns comes behind {:?} of {before} ns",
                        earlier.view().event
                    );
                }
                let last = is_last(time, &event);
                self.hash.add(&frame, last);
                self.frames.push((time, frame));
                last
            }
            Item::Text(_) => false,
            Item::Damaged(error, bytes) => panic!("{} bytes that are no frame: {error:?}", bytes.len()),
        }
    }

    /// The trace hash, up to the last frame that was waited for.
    pub fn hash(&self) -> String {
        self.hash.hex()
    }

    /// All events and their times.
    pub fn events(&self) -> impl Iterator<Item = (u64, Event<'_>)> {
        self.frames.iter().map(|(time, frame)| (*time, frame.view().event))
    }

    /// The records of a probe and their times.
    pub fn records(&self, slot: u8) -> Vec<(u64, Record)> {
        let records = self.events().filter_map(|(time, event)| match event {
            Event::Application { slot: from, data, .. } if from == slot => {
                Some((time, Record::decode(data).expect("a record of the probe")))
            }
            _ => None,
        });
        records.collect()
    }

    /// When each slot got a new incarnation, or was ready.
    pub fn starts(&self, ready: bool) -> Vec<(u64, u8, u32)> {
        let starts = self.events().filter_map(|(time, event)| match event {
            Event::Started { slot, incarnation } if !ready => Some((time, slot, incarnation)),
            Event::Ready { slot, incarnation } if ready => Some((time, slot, incarnation)),
            _ => None,
        });
        starts.collect()
    }

    /// When each slot died: time, slot, incarnation, class.
    pub fn deaths(&self) -> Vec<(u64, u8, u32, &'static str)> {
        let deaths = self.events().filter_map(|(time, event)| match event {
            Event::Died { slot, incarnation, class, .. } => Some((time, slot, incarnation, class.name())),
            _ => None,
        });
        deaths.collect()
    }

    /// The last incarnation of each slot that is ready.
    pub fn incarnations(&self) -> BTreeMap<u8, u32> {
        self.starts(true).into_iter().map(|(_, slot, incarnation)| (slot, incarnation)).collect()
    }
}

/// Boots and listens until `is_last` says of an event that it is the last one.
///
/// # Panics
/// When the machine ends by itself, is not done in time, panics, is reset, or touches what no correct program touches.
pub fn run(boot: &Boot, is_last: impl Fn(u64, &Event) -> bool) -> Evidence {
    let machine = machine();
    let launch = Launch {
        machine: &machine,
        kernel: &boot.system.kernel(),
        card: boot.card,
        plan: boot.plan.as_deref(),
        seed: boot.seed,
        mode: Mode::Deterministic,
        extra: &[],
        folder: boot.folder,
    };
    let mut emulator = Emulator::launch(&launch).unwrap();
    let mut evidence = Evidence { clock: Clock { frequency: 0 }, frames: Vec::new(), hash: TraceHash::new() };
    let mut splitter = Splitter::new();
    let end = Instant::now() + LIMIT;
    let mut done = false;
    while !done {
        match emulator.next(end) {
            Happening::Bytes(Line::Evidence, bytes) => splitter.push(&bytes, |item| {
                done = done || evidence.take(item, &is_last);
            }),
            Happening::Bytes(Line::Console, _) => {}
            Happening::Reset(by_guest) => panic!("the board was reset (by the guest: {by_guest})"),
            Happening::Closed => panic!("the machine ended too soon: {:?}", emulator.end()),
            Happening::Nothing | Happening::Stopped(_) | Happening::Watched(_) => {
                panic!("not done after {} s: {}", LIMIT.as_secs(), last_words(&evidence))
            }
        }
    }
    assert_eq!(emulator.end().unwrap(), Ending::Quit);
    assert_eq!(emulator.guest_errors().unwrap(), Vec::<String>::new());
    evidence
}

/// The last events, for a person who wants to know why nothing happens any more.
pub fn last_words(evidence: &Evidence) -> String {
    let last = evidence.frames.len().saturating_sub(12);
    let lines: Vec<_> =
        evidence.events().skip(last).map(|(time, event)| format!("\n{time} {event:?}")).collect();
    lines.concat()
}

/// Whether this is the record of the probe in `slot` that `wanted` wants.
pub fn is_record(event: &Event, slot: u8, wanted: impl Fn(Record) -> bool) -> bool {
    matches!(*event, Event::Application { slot: from, data, .. }
        if from == slot && Record::decode(data).is_some_and(wanted))
}

/// Calls `work` for each of `0..count` on two threads, and returns what it returned, in order.
pub fn in_parallel<T: Send>(count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(BTreeMap::new());
    let worker = || {
        loop {
            let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if index >= count {
                return;
            }
            let result = work(index);
            done.lock().unwrap().insert(index, result);
        }
    };
    std::thread::scope(|scope| {
        let threads = [scope.spawn(worker), scope.spawn(worker)];
        for thread in threads {
            thread.join().unwrap();
        }
    });
    done.into_inner().unwrap().into_values().collect()
}
