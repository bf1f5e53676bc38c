//! A whole run, made up: kernel, injector, client and console as they behave when nothing is wrong, and then not.

use super::*;
use crate::evidence::Recorded;
use crate::plan::draw;
use crate::scenario::Scenario;
use abi::plan::Fault;
use abi::record::DeathClass;
use workload_core::record::RECORD_MAX;
use workload_core::{Operation, State, content, line, next};

const FREQUENCY: u64 = 1_000_000_000;
const SEED: u64 = 11;

const SCENARIO: &str = r#"
name = "one fault"
client = "client"
injector = "injector"
console = "console"
targets = ["block", "console"]
faults = ["panic"]
start_ms = 1
gap_us = [10, 10]
settle_us = 1
trigger_limit_us = 1
pause_us = 1
end_margin_ms = 1
recovery_limit_ms = 1
"#;

/// What goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Mishap {
    Nothing,
    OtherRestarted,
    UnplannedReset,
    KernelPanic,
    LostConsoleLine,
    DamagedFrame,
    NoEnd,
    NoWalkAfterwards,
}

struct Story {
    oracle: Oracle,
    plan: DrawnPlan,
    state: State,
    time: u64,
    mishap: Mishap,
}

impl Story {
    fn new(mishap: Mishap) -> Self {
        let system = System::for_tests();
        let scenario = Scenario::parse(SCENARIO).unwrap();
        let plan = draw(&scenario, &system, SEED).unwrap();
        let oracle = Oracle::new(&system, &scenario, &plan).unwrap();
        Self { oracle, plan, state: State::default(), time: 0, mishap }
    }

    fn say(&mut self, event: Event) {
        self.time += 10;
        let item = Item::Frame(Recorded::of(&Frame { time: self.time, event }));
        self.oracle.item(&item);
    }

    fn client(&mut self, record: &Record) {
        let mut buffer = [0; RECORD_MAX];
        let data = record.encode(&mut buffer).unwrap().to_vec();
        self.say(Event::Application { slot: 6, incarnation: 1, data: &data });
    }

    fn injector(&mut self, record: InjectorRecord) {
        let mut buffer = [0; injector_core::record::RECORD_MAX];
        let data = record.encode(&mut buffer).to_vec();
        self.say(Event::Application { slot: 2, incarnation: 1, data: &data });
    }

    fn start(&mut self, slot: u8, incarnation: u32) {
        self.say(Event::Started { slot, incarnation });
        self.say(Event::Ready { slot, incarnation });
    }

    fn boot(&mut self) {
        self.say(Event::Boot { board: "b", frequency: FREQUENCY, slots: 7 });
        for slot in 0..7 {
            self.start(slot, 1);
        }
    }

    fn operation(&mut self) {
        let (number, operation) = (self.state.operation, next(SEED, &self.state));
        self.client(&Record::Intent { operation: number, code: operation.code() });
        if operation == Operation::Walk {
            let paths: Vec<_> = self.state.paths().collect();
            for path in &paths {
                let found = content::expected(SEED, &self.state, *path);
                self.client(&Record::Entry { path: &path.text(), found });
            }
            self.client(&Record::EndOfWalk { entries: paths.len() as u32 });
        }
        let busy = protocols::files::Status::Busy as u32;
        let status = if matches!(operation, Operation::UnlinkOpen { .. }) { busy } else { 0 };
        self.client(&Record::Acknowledged { operation: number, status });
        self.state.apply(&operation);
        let text = line::line(number, &operation);
        if self.mishap != Mishap::LostConsoleLine || number != 20 {
            self.oracle.console(text.as_bytes());
        }
        self.client(&Record::Line { operation: number });
    }

    fn row(&mut self, index: usize) {
        let slot = self.plan.rows[index].slots[0];
        self.injector(InjectorRecord::Step { entry: index as u32, overdue: false });
        self.say(Event::Injected { slot, incarnation: 1, fault: Fault::Panic, in_service: 1 });
        let (class, text) = (DeathClass::Panic, "injected panic");
        self.say(Event::Died { slot, incarnation: 1, class, pc: 0, esr: 0, far: 0, in_service: 1, text });
        self.start(slot, 2);
    }

    fn tell(mut self) -> (Verdict, usize) {
        self.boot();
        self.client(&Record::Begin { seed: SEED, operation: 0, fresh: true });
        (0..20).for_each(|_| self.operation());
        self.row(0);
        match self.mishap {
            Mishap::OtherRestarted => self.start(5, 2),
            Mishap::UnplannedReset => self.boot(),
            Mishap::KernelPanic => self.say(Event::KernelPanic { text: "oops", build: [0; 16] }),
            Mishap::DamagedFrame => {
                self.oracle.item(&Item::Damaged(abi::trace::FrameError::Checksum, vec![1, 2]));
            }
            _ => {}
        }
        if self.mishap != Mishap::NoWalkAfterwards {
            (0..20).for_each(|_| self.operation());
            self.row(1);
            (0..20).for_each(|_| self.operation());
        }
        self.injector(InjectorRecord::Finished);
        if self.mishap != Mishap::NoEnd {
            self.client(&Record::Finished { status: 0 });
        }
        let settled = (0..2).filter(|&index| self.oracle.is_settled(index)).count();
        (self.oracle.finish(None).unwrap(), settled)
    }
}

fn kinds(mishap: Mishap) -> Vec<Kind> {
    let mut kinds: Vec<_> = Story::new(mishap).tell().0.findings.iter().map(|finding| finding.kind).collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

#[test]
fn nothing_is_found_when_nothing_is_wrong() {
    let (verdict, settled) = Story::new(Mishap::Nothing).tell();
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.rows.len(), settled), (2, 1), "the last row is over only with the run");
    assert!(verdict.rows.iter().all(|row| row.data_intact == Some(true) && row.others_unchanged()));
    assert_eq!((verdict.counts.deaths, verdict.counts.reboots, verdict.counts.lost_bytes), (2, 0, 0));
    assert!(!verdict.ok(), "no card was checked");
    assert_eq!(verdict.failure(), Some(Kind::Correctness));
    assert_eq!(verdict.trace_hash, Story::new(Mishap::Nothing).tell().0.trace_hash);
}

#[test]
fn every_mishap_is_found_and_named() {
    assert_eq!(kinds(Mishap::OtherRestarted), [Kind::Correctness]);
    assert!(kinds(Mishap::UnplannedReset).contains(&Kind::Crash));
    assert_eq!(kinds(Mishap::KernelPanic), [Kind::Crash]);
    assert_eq!(kinds(Mishap::LostConsoleLine), [Kind::Correctness]);
    assert_eq!(kinds(Mishap::DamagedFrame), [Kind::Evidence]);
    assert_eq!(kinds(Mishap::NoEnd), [Kind::Liveness]);
    assert_eq!(
        kinds(Mishap::NoWalkAfterwards),
        [Kind::Correctness, Kind::Liveness],
        "nobody looked; a row is missing"
    );
}

#[test]
fn a_lost_line_is_blamed_on_the_row_in_which_it_was_lost() {
    let (verdict, _) = Story::new(Mishap::LostConsoleLine).tell();
    let intact: Vec<_> = verdict.rows.iter().map(|row| row.data_intact).collect();
    assert_eq!(intact, [Some(false), Some(true)]);
}
