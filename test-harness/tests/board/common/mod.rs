//! A booted system under a test's hands: what it said so far, by line and by event, and ways to wait for more.

pub mod debugger;
pub mod image;

use abi::plan::{Fault, PlanEntry};
use abi::syscall::trigger;
use abi::trace::Event;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use test_harness::evidence::{Clock, Item, Recorded, Splitter};
use test_harness::oracle::workload::Follower;
use test_harness::plan::DrawnPlan;
use test_harness::scenario::Scenario;
use test_harness::system::System;
use test_harness::target::sections::{self, Watch};
use test_harness::target::{Emulator, Ending, Happening, Launch, Line, Machine, Mode};
use workload_core::Record;
use zerocopy::IntoBytes;

/// Longest time of the host that one wait may take. The machine may be busy with other tests, and a soak has long ones.
fn patience() -> Duration {
    if is_soak() { Duration::from_hours(6) } else { Duration::from_mins(4) }
}

/// Events that [`Board::fold`] keeps at most.
const KEPT: usize = 1 << 18;

/// Parameter of the plan that fuzzers read.
const FUZZER_CALLS: usize = 3;

/// Events that a failed test shows.
const SHOWN: usize = 30;

/// How much is to be tested.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// `./x test --quick`, and every board but the first.
    Quick,
    /// `./x test`.
    Full,
    /// `./x test --soak`.
    Soak,
}

/// What `./x test` was asked for.
pub fn depth() -> Depth {
    match std::env::var("SAMSARA_TEST_DEPTH").as_deref() {
        Ok("quick") => Depth::Quick,
        Ok("soak") => Depth::Soak,
        _ => Depth::Full,
    }
}

/// Whether the long versions of the tests are wanted.
pub fn is_soak() -> bool {
    depth() == Depth::Soak
}

/// The emulated board.
pub fn machine() -> Machine {
    Machine::under_test().unwrap()
}

/// The system of `system/<manifest>.toml`, as it was built.
pub fn system(manifest: &str) -> System {
    System::under_test(&machine().name, manifest).unwrap()
}

/// A plan without random calls: see [`plan_with`].
pub fn plan(seed: u64, end: u64, entries: &[PlanEntry]) -> Vec<u8> {
    plan_with(seed, end, entries, 0)
}

/// The bytes of a plan with these steps; the workload ends at `end` nanoseconds, or never. `calls`: how many calls a
/// fuzzer makes at random. Everything else is as in the demo.
pub fn plan_with(seed: u64, end: u64, entries: &[PlanEntry], calls: u64) -> Vec<u8> {
    let mut header = DrawnPlan::golden(seed, end, &Scenario::demo().unwrap()).header;
    header.parameters[FUZZER_CALLS] = calls;
    let header = injector_core::plan::sealed(header, entries);
    [header.as_bytes(), entries.as_bytes()].concat()
}

/// The step of a plan that kills a component.
pub fn kill(slot: u8, at: u64) -> PlanEntry {
    PlanEntry { at, fault: Fault::Kill as u32, slot: slot.into(), trigger: trigger::NOW as u32, count: 0 }
}

/// Shows the client's records from index `from` on to a follower; returns the index behind the last one.
pub fn follow(follower: &mut Follower, client: u8, events: &[(u64, Recorded)], from: usize) -> usize {
    for (time, frame) in &events[from..] {
        match frame.view().event {
            Event::Application { slot, data, .. } if slot == client => {
                follower.record(*time, &Record::decode(data).expect("a record of the client"));
            }
            Event::Died { slot, .. } if slot == client => follower.died(),
            _ => {}
        }
    }
    events.len()
}

/// What to boot, besides the system.
#[derive(Default)]
pub struct Setup<'a> {
    /// Another boot image than the system's own.
    pub kernel: Option<PathBuf>,
    /// The card; `None`: the slot is empty.
    pub card: Option<&'a Path>,
    /// Bytes of the fault plan.
    pub plan: Option<Vec<u8>>,
    /// Connects a debugger, with which physical memory can be written.
    pub debugger: bool,
    /// Watches how long the kernel does not look for interrupts, see [`Board::longest_section`].
    pub watched: bool,
}

/// A booted system.
pub struct Board {
    /// The system.
    pub system: System,
    /// Everything that came over the evidence line: nanoseconds since power-on, and the frame.
    pub events: Vec<(u64, Recorded)>,
    /// Everything that came over the console.
    pub console: Vec<u8>,
    /// How often the board was reset, as the emulator says.
    pub resets: usize,
    emulator: Emulator,
    splitter: Splitter,
    clock: Clock,
    closed: bool,
    watch: Option<Watch>,
    folder: tempfile::TempDir,
}

impl Board {
    /// Boots a system with instruction counting.
    pub fn boot(system: &System, setup: &Setup) -> Self {
        let folder = tempfile::Builder::new().prefix("samsara-board-").tempdir().unwrap();
        let machine = machine();
        let kernel = setup.kernel.clone().unwrap_or_else(|| system.kernel());
        let stub = format!("unix:{},server=on,wait=off", folder.path().join("gdb").display());
        let watch = setup.watched.then(|| Watch::new(&sections::plugin().unwrap(), folder.path()));
        let mut extra = if setup.debugger { vec!["-gdb".to_owned(), stub] } else { Vec::new() };
        extra.extend(watch.iter().flat_map(Watch::arguments));
        let launch = Launch {
            machine: &machine,
            kernel: &kernel,
            card: setup.card,
            plan: setup.plan.as_deref(),
            seed: 1,
            mode: Mode::Deterministic,
            extra: &extra,
            folder: folder.path(),
        };
        let emulator = Emulator::launch(&launch).unwrap();
        Self {
            system: system.clone(),
            events: Vec::new(),
            console: Vec::new(),
            resets: 0,
            emulator,
            splitter: Splitter::new(),
            clock: Clock { frequency: 0 },
            closed: false,
            watch,
            folder,
        }
    }

    /// The events from index `from` on.
    pub fn since(&self, from: usize) -> impl Iterator<Item = (u64, Event<'_>)> {
        self.events[from..].iter().map(|(time, frame)| (*time, frame.view().event))
    }

    /// All events.
    pub fn all(&self) -> impl Iterator<Item = (u64, Event<'_>)> {
        self.since(0)
    }

    /// What came over the console from byte `from` on.
    pub fn text(&self, from: usize) -> String {
        String::from_utf8_lossy(&self.console[from..]).into_owned()
    }

    /// Takes one happening; `false`: the machine has ended, or nothing came until `deadline`.
    fn pump(&mut self, deadline: Instant) -> bool {
        match self.emulator.next(deadline) {
            Happening::Bytes(Line::Console, bytes) => self.console.extend(bytes),
            Happening::Bytes(Line::Evidence, bytes) => {
                let (clock, events) = (&mut self.clock, &mut self.events);
                self.splitter.push(&bytes, |item| match item {
                    Item::Frame(frame) => {
                        if let Event::Boot { frequency, .. } = frame.view().event {
                            *clock = Clock { frequency };
                        }
                        events.push((clock.nanoseconds(frame.view().time), frame));
                    }
                    Item::Text(_) => {}
                    Item::Damaged(error, bytes) => panic!("{} bytes are no frame: {error:?}", bytes.len()),
                });
            }
            Happening::Reset(_) => self.resets += 1,
            Happening::Closed => self.closed = true,
            Happening::Nothing | Happening::Stopped(_) | Happening::Watched(_) => return false,
        }
        !self.closed
    }

    /// Waits until `done` says so; a panic tells `what` was waited for.
    pub fn until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + patience();
        while !done(self) {
            let goes_on = self.pump(deadline);
            let why = if self.closed { "ended" } else { "went on for ever" };
            assert!(goes_on, "{what}: the board {why}; {}", self.story());
        }
    }

    /// Shows each event once to `fold` until it says that it has seen enough, and keeps only the last ones: for runs with
    /// more events than there is memory. A panic tells `what` was waited for.
    pub fn fold(&mut self, what: &str, mut fold: impl FnMut(u64, &Event) -> bool) {
        let (mut seen, mut done) = (0, false);
        while !done {
            self.until(what, |board| {
                for (time, event) in board.since(seen) {
                    assert!(!matches!(event, Event::KernelPanic { .. }), "{what}: {}", board.story());
                    done |= fold(time, &event);
                }
                seen = board.events.len();
                done || seen > KEPT
            });
            if seen > KEPT {
                seen = self.forget();
            }
        }
    }

    /// Drops all events but the last ones and the first of all, without which the others mean nothing; returns how many
    /// are left.
    fn forget(&mut self) -> usize {
        let (old, mut index) = (self.events.len() - SHOWN, 0);
        self.events.retain(|(_, frame)| {
            index += 1;
            index > old || matches!(frame.view().event, Event::Boot { .. })
        });
        self.events.len()
    }

    /// Waits until an event fits, beginning with number `from`; returns the number after it and its time.
    pub fn until_event(&mut self, from: usize, what: &str, fits: impl Fn(&Event) -> bool) -> (usize, u64) {
        let mut at = from;
        self.until(what, |board| {
            while at < board.events.len() && !fits(&board.events[at].1.view().event) {
                at += 1;
            }
            at < board.events.len()
        });
        (at + 1, self.events[at].0)
    }

    /// Waits until an incarnation of `component` after `incarnation` is ready; returns which, and as [`Board::until_event`].
    pub fn until_ready(&mut self, component: &str, after: u32) -> (u32, usize, u64) {
        let wanted = self.slot(component);
        let fits = |event: &Event| matches!(*event, Event::Ready { slot, incarnation } if slot == wanted && incarnation > after);
        let (next, time) = self.until_event(0, &format!("{component} is to be ready"), fits);
        let Event::Ready { incarnation, .. } = self.events[next - 1].1.view().event else { unreachable!() };
        (incarnation, next, time)
    }

    /// Slot of a component.
    pub fn slot(&self, component: &str) -> u8 {
        self.system.slot(component).unwrap()
    }

    /// How many incarnations of a component have died.
    pub fn deaths(&self, component: &str) -> usize {
        let wanted = self.slot(component);
        self.all().filter(|(_, event)| matches!(*event, Event::Died { slot, .. } if slot == wanted)).count()
    }

    /// Everything that died, and when: for messages, and to be compared with nothing.
    pub fn all_deaths(&self) -> Vec<String> {
        let told = |(time, event): (u64, Event)| match event {
            Event::Died { slot, incarnation, class, text, .. } => {
                let name = self.system.name(slot);
                Some(format!("{time} ns: {name}#{incarnation} {} {text:?}", class.name()))
            }
            _ => None,
        };
        self.all().filter_map(told).collect()
    }

    /// Lines of plain text that a component has logged.
    pub fn logged(&self, component: &str) -> Vec<String> {
        let wanted = self.slot(component);
        let told = |(_, event): (u64, Event)| match event {
            Event::Log { slot, kind, data, .. }
                if slot == wanted && u64::from(kind) == abi::syscall::log::TEXT =>
            {
                Some(String::from_utf8_lossy(data).into_owned())
            }
            _ => None,
        };
        self.all().filter_map(told).collect()
    }

    /// Types a line on the console, and returns what is shown from there until `end` is.
    pub fn type_line(&mut self, line: &str, end: &str) -> String {
        let from = self.console.len();
        self.emulator.type_bytes(format!("{line}\r").as_bytes()).unwrap();
        let echo = from + line.len();
        self.until(&format!("the answer to {line:?}"), |board| {
            board.console.len() > echo && board.text(echo).contains(end)
        });
        self.text(echo)
    }

    /// Takes what comes for a while.
    pub fn watch(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while self.pump(end) {}
    }

    /// Types on the console and waits for nothing.
    pub fn type_bytes(&mut self, bytes: &[u8]) {
        self.emulator.type_bytes(bytes).unwrap();
    }

    /// Carries out a command of the emulator's control protocol.
    pub fn control(&mut self, command: &str, arguments: &Value) -> Value {
        self.emulator.control().command(command, arguments).unwrap()
    }

    /// Connects the debugger of [`Setup::debugger`]; the board stands still until [`Board::go_on`].
    pub fn attach(&mut self) -> debugger::Debugger {
        self.control("stop", &json!({}));
        debugger::Debugger::connect(&self.folder.path().join("gdb"))
    }

    /// The debugger is done: the board goes on.
    pub fn go_on(&mut self, debugger: debugger::Debugger) {
        drop(debugger);
        self.control("cont", &json!({}));
    }

    /// Copies physical memory.
    pub fn memory(&mut self, address: u64, bytes: u64) -> Vec<u8> {
        self.emulator.memory(address, bytes).unwrap()
    }

    /// Ends the emulator by a signal that it cannot catch, and takes what it had said until then.
    pub fn cut_power(mut self) -> Vec<(u64, Recorded)> {
        let process = rustix::process::Pid::from_raw(self.emulator.id().cast_signed()).unwrap();
        rustix::process::kill_process(process, rustix::process::Signal::KILL).unwrap();
        let deadline = Instant::now() + patience();
        while self.pump(deadline) {}
        assert!(self.closed, "the emulator outlived its death");
        self.events
    }

    /// Ends the emulator and returns the longest section of a watched kernel without a look for interrupts, in instructions.
    pub fn longest_section(mut self) -> u64 {
        self.emulator.end().unwrap();
        let sections = self.watch.expect("watched").sections().unwrap();
        println!("{}: the longest section has {} instructions", self.system.manifest, sections[0].length());
        sections[0].length()
    }

    /// Ends the emulator in an orderly way. The guest must have done nothing that no correct program does.
    pub fn finish(self) {
        self.finish_after(|_| false);
    }

    /// As [`Board::finish`], but the emulator may have complained of what `is_allowed` knows.
    pub fn finish_after(mut self, is_allowed: impl Fn(&str) -> bool) {
        let ending = self.emulator.end().unwrap();
        assert!(!matches!(ending, Ending::Died { .. }), "{ending:?}; {}", self.story());
        let panics = self.all().any(|(_, event)| matches!(event, Event::KernelPanic { .. }));
        assert!(!panics, "{}", self.story());
        let boots = self.all().filter(|(_, event)| matches!(event, Event::Boot { .. })).count();
        assert_eq!(boots, 1, "the board was reset; {}", self.story());
        let mut errors = self.emulator.guest_errors().unwrap();
        errors.retain(|error| !is_allowed(error));
        assert_eq!(errors, Vec::<String>::new());
    }

    /// The last events and the end of the console, for messages.
    pub fn story(&self) -> String {
        let mut story = String::from("the last events:\n");
        for (time, event) in self.since(self.events.len().saturating_sub(SHOWN)) {
            let line = match event {
                Event::Log { slot, data, .. } => {
                    format!("{} logs {}", self.system.name(slot), String::from_utf8_lossy(data))
                }
                event => format!("{event:?}"),
            };
            writeln!(story, "{time:>12} {line}").unwrap();
        }
        let console = self.text(self.console.len().saturating_sub(1500));
        write!(story, "the console's end:\n{console}").unwrap();
        story
    }
}
