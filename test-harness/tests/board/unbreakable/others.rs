//! Lines 7, 8 and 9: what others notice of a flood, of a line that stays high, and of components that go on without end.
//!
//! The client `measured` calls every 300 us, at a higher priority than all who do harm. Two things are compared with a run in
//! which nobody does: its call, from request to answer, and how late it runs when its alarm is due. The only one who may
//! delay it for longer is RS above it, when it looks at everybody, and when it restarts somebody: `measured` says of each call
//! whether RS has run meanwhile, by the CPU time that the kernel counts.

use super::{boot, words_of};
use crate::common::{Depth, depth};
use abi::record::DeathClass;
use abi::trace::Event;
use std::collections::BTreeMap;

/// Bits of number 1 of the plan: there is a flood, and all calls are for the server that takes its time.
const FLOOD: u64 = 1;
const DOZING: u64 = 2;

/// Instructions of one tick of the board's clock.
const TICK: u64 = 16;

/// Instructions by which the call of a client of high priority may be longer than undisturbed.
const CALL_BOUND: u64 = 2_000;

/// Instructions that the longest request of the flood takes, and more.
const SERVICE_BOUND: u64 = 5_000;

/// Instructions between two looks of RS at everybody.
const LOOK_PERIOD: u64 = 4_000_000;

/// Instructions by which anything of RS's may delay others: one restart, and one look at everybody.
const SUPERVISOR_BOUND: u64 = 100_000;

/// Times that RS runs for one death: when the heartbeat is late, for the death, and when the pause is over.
const RUNS_PER_DEATH: u64 = 3;

/// Those who do no harm, and to whom none may be done.
const INNOCENT: [&str; 5] = ["rs", "echo", "measured", "worker", "starved"];

/// Instructions that something took each time, in order of length.
struct Lengths {
    /// While RS did not run.
    alone: Vec<u64>,
    /// While it did.
    beside_rs: Vec<u64>,
}

impl Lengths {
    /// From the words that `measured` has said of each call: a length in ticks, and whether RS ran.
    fn new(told: &[Vec<u64>], length: usize, ran: usize) -> Self {
        let those = |beside: u64| {
            let mut lengths: Vec<_> =
                told.iter().filter(|call| call[ran] == beside).map(|call| call[length] * TICK).collect();
            lengths.sort_unstable();
            lengths
        };
        Self { alone: those(0), beside_rs: those(1) }
    }

    /// By how much ours are longer than theirs at most: while RS did not run, shortest compared with shortest up to longest with
    /// longest; and while it did, compared with the longest of theirs without.
    fn excess(&self, theirs: &Self) -> [u64; 2] {
        let like = |index: usize| theirs.alone[index * theirs.alone.len() / self.alone.len()];
        let more = |(index, length): (usize, &u64)| length.saturating_sub(like(index));
        let beside =
            self.beside_rs.last().map_or(0, |most| most.saturating_sub(*theirs.alone.last().unwrap()));
        [self.alone.iter().enumerate().map(more).max().unwrap_or(0), beside]
    }
}

/// Everything that one run showed.
struct Run {
    /// From the call to the answer.
    calls: Lengths,
    /// From the moment for which `measured` had set its alarm until it ran.
    late: Lengths,
    /// Instructions from the first call to the last.
    duration: u64,
    /// Last number that each of the others has said, and when.
    said: BTreeMap<String, Vec<(u64, u64)>>,
    deaths: Vec<(u64, String, DeathClass)>,
    /// What RS has logged.
    logged: String,
}

/// Runs the system with these numbers in its plan until `measured` has made enough calls. Nothing of anybody's may be lost,
/// and nobody who does no harm may die.
fn observe(numbers: [u64; 4]) -> Run {
    let mut board = boot("others", numbers);
    let system = board.system.clone();
    let (measured, rs) = (board.slot("measured"), board.slot("rs"));
    let count = match depth() {
        Depth::Quick => 120,
        Depth::Full => 300,
        Depth::Soak => 40_000,
    };
    let (mut told, mut said, mut deaths) = (Vec::new(), BTreeMap::<_, Vec<_>>::new(), Vec::new());
    let (mut logged, mut ends) = (String::new(), None);
    board.fold("the calls of `measured`", |time, event| {
        match *event {
            Event::Application { slot, data, .. } if slot == measured => {
                ends = [ends.map_or(time, |[first, _]: [u64; 2]| first), time].into();
                told.push(words_of(data));
            }
            Event::Application { slot, data, .. } => {
                said.entry(system.name(slot)).or_default().push((time, words_of(data)[0]));
            }
            Event::Died { slot, class, .. } => deaths.push((time, system.name(slot), class)),
            Event::Log { slot, data, .. } if slot == rs => {
                logged += &String::from_utf8_lossy(data);
                logged.push('\n');
            }
            _ => {}
        }
        told.len() >= count
    });
    for (number, call) in (0..).zip(&told) {
        assert_eq!((call[0], call[3]), (number, 0), "a call was lost or answered wrongly: {}", board.story());
    }
    let blamed: Vec<_> = deaths.iter().filter(|(_, name, _)| INNOCENT.contains(&name.as_str())).collect();
    assert!(blamed.is_empty(), "those who did no harm died: {blamed:?}; RS: {logged}");
    let [first, last] = ends.expect("there were calls");
    let (calls, late) = (Lengths::new(&told, 1, 5), Lengths::new(&told, 2, 4));
    // One that was left running would take time from the next.
    board.finish();
    Run { calls, late, duration: last - first, said, deaths, logged }
}

impl Run {
    fn deaths_of(&self, component: &str) -> Vec<DeathClass> {
        self.deaths.iter().filter(|(_, name, _)| name == component).map(|(_, _, class)| *class).collect()
    }

    /// The last number that a component has said; 0 if it never did.
    fn last(&self, component: &str) -> u64 {
        self.said.get(component).and_then(|said| said.last()).map_or(0, |last| last.1)
    }

    /// Rounds of the worker in a millisecond: overall, and in the worst stretch of 20 ms.
    fn work(&self) -> [f64; 2] {
        let said = self.said.get("worker").expect("the worker did not even begin");
        let rate = |from: &(u64, u64), to: &(u64, u64)| (to.1 - from.1) as f64 * 1e6 / (to.0 - from.0) as f64;
        let stretches = said.windows(3).map(|three| rate(&three[0], &three[2]));
        [rate(&said[0], said.last().unwrap()), stretches.fold(f64::INFINITY, f64::min)]
    }

    /// Fails if a call was longer than undisturbed by more than the first bound, or an alarm later by more than the second. Where
    /// RS ran meanwhile another bound holds, and it may not have run more often than it looks and restarts.
    fn assert_close_to(&self, quiet: &Self, what: &str, bounds: [u64; 2]) {
        let runs = 1 + self.duration / LOOK_PERIOD + RUNS_PER_DEATH * self.deaths.len() as u64;
        let pairs = [("call longer", &self.calls, &quiet.calls), ("alarm later", &self.late, &quiet.late)];
        for ((unit, ours, theirs), bound) in pairs.into_iter().zip(bounds) {
            let [alone, beside] = ours.excess(theirs);
            let hit = ours.beside_rs.len();
            println!("{what}: {unit} by {alone} at most, by {beside} in the {hit} in which RS ran");
            assert!(alone <= bound, "{what}: {unit} by {alone} instructions; {bound} are allowed");
            assert!(beside <= bound + SUPERVISOR_BOUND, "{what}: {unit} by {beside} instructions by RS");
            assert!(hit as u64 <= runs, "{what}: RS ran in {hit}, and had to {runs} times");
            assert!(ours.alone.len() > hit, "{what}: too little to compare");
        }
        println!(
            "{what}: call {} (most {}); {} deaths",
            self.typical(),
            self.calls.alone.last().unwrap(),
            self.deaths.len()
        );
    }

    /// Length of a call in the middle.
    fn typical(&self) -> u64 {
        self.calls.alone[self.calls.alone.len() / 2]
    }
}

#[test]
fn line_07_a_flood_from_below_costs_a_client_above_it_nothing() {
    let quiet = observe([0, 0, 0, 0]);
    let flooded = observe([0, FLOOD, 0, 0]);
    // The server is above its clients: what it has begun for the flood it ends before an alarm of theirs is served.
    flooded.assert_close_to(&quiet, "flood", [CALL_BOUND, SERVICE_BOUND]);
    let flood: u64 = (1..=3).map(|number| flooded.last(&format!("flood-{number}"))).sum();
    let calls = (flooded.calls.alone.len() + flooded.calls.beside_rs.len()) as u64;
    println!("{flood} calls of the flood beside {calls}");
    assert!(flood > 50 * calls, "only {flood} calls of the flood beside {calls}");
    assert_eq!(quiet.deaths, []);
    assert_eq!(flooded.deaths, [], "the flooded server, or anybody");
}

#[test]
fn line_07_a_client_above_a_flood_waits_for_one_request_of_it_at_most() {
    // The server waits for its device with each request, so that the flood queues up.
    let quiet = observe([0, DOZING, 0, 0]);
    let flooded = observe([0, FLOOD | DOZING, 0, 0]);
    let service = quiet.typical();
    assert!(service > 50_000, "{service} instructions are no waiting");
    // As above, an alarm also waits for what the server has begun.
    flooded.assert_close_to(&quiet, "flood of a slow server", [service + CALL_BOUND, SERVICE_BOUND]);
    assert_eq!(flooded.deaths, [], "the flooded server, or anybody");
}

#[test]
fn line_08_a_line_that_stays_high_leaves_the_others_nine_tenths_of_the_cpu() {
    let quiet = observe([0, 0, 0, 1]);
    let stuck = observe([0, 0, 1, 1]);
    stuck.assert_close_to(&quiet, "stuck line", [CALL_BOUND, CALL_BOUND]);
    let [[undisturbed, _], [all, worst]] = [quiet.work(), stuck.work()];
    println!(
        "work: {undisturbed:.1} rounds/ms undisturbed, {all:.1} beside the line, {worst:.1} in the worst 20 ms"
    );
    assert!(all >= 0.9 * undisturbed && worst >= 0.9 * undisturbed);
    let storms = stuck.deaths_of("driver");
    assert!(
        storms.len() > 3 && storms.iter().all(|class| *class == DeathClass::InterruptStorm),
        "{storms:?}"
    );
    assert_eq!(stuck.deaths.len(), storms.len(), "{:?}", stuck.deaths);
}

/// One kind of going on without end, by its bit in the plan.
struct Kind {
    component: &'static str,
    bit: u64,
    /// Instructions by which alarms of others may be later, RS apart.
    late_bound: u64,
    /// What it dies of, again and again.
    dies: Option<DeathClass>,
}

/// A record goes to the evidence line with interrupts masked, and who may notify a component may wake it.
const KINDS: [Kind; 6] = [
    Kind { component: "runaway", bit: 0, late_bound: 2_000, dies: None },
    Kind { component: "allocator", bit: 1, late_bound: 2_000, dies: None },
    Kind { component: "notifier", bit: 2, late_bound: 4_000, dies: None },
    Kind { component: "faulter", bit: 3, late_bound: 2_000, dies: Some(DeathClass::CpuException) },
    Kind { component: "logger", bit: 4, late_bound: 6_000, dies: None },
    Kind { component: "hung", bit: 5, late_bound: 2_000, dies: Some(DeathClass::HeartbeatMissed) },
];

#[test]
fn line_09_whoever_goes_on_without_end_delays_and_starves_without_blame() {
    let quiet = observe([0, 0, 0, 1]);
    for kind in &KINDS {
        let run = observe([1 << kind.bit, 0, 0, 1]);
        run.assert_close_to(&quiet, kind.component, [CALL_BOUND, kind.late_bound]);
        let deaths = run.deaths_of(kind.component);
        assert_eq!(deaths.len(), run.deaths.len(), "{:?}", run.deaths);
        if let Some(class) = kind.dies {
            assert!(deaths.len() > 3 && deaths.iter().all(|death| *death == class), "{deaths:?}");
        } else {
            assert_eq!(deaths, [], "{}", kind.component);
            // Those below it had nothing, and RS has named who had: after 20 periods of 4 ms.
            assert_eq!(
                (run.last("worker"), run.last("starved")),
                (0, 0),
                "{} let others work",
                kind.component
            );
            let named = format!("waits for the CPU, which {} has used most", kind.component);
            assert!(depth() == Depth::Quick || run.logged.contains(&named), "{}", run.logged);
        }
    }
}
