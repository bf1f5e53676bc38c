//! Programs that pass wild pointers, bad handles and huge lengths to every system call: they get errors, and the kernel
//! and everybody else go on.

use crate::common::{Board, Setup, is_soak, plan_with, system};
use abi::record::DeathClass;
use abi::trace::Event;

/// What the fuzzer reports at the end of a pass (`apps/fuzzer`).
pub struct Report {
    pub cases: u32,
    pub all: u32,
    pub done: u32,
    pub refused: u32,
}

/// Calls at random, in one pass.
fn combinations() -> u32 {
    if is_soak() { 1_000_000 } else { 20_000 }
}

/// Roles of the fuzzer (`apps/fuzzer`): an ordinary component, and one in the place of RS.
pub const ORDINARY: u32 = 1;
pub const SUPERVISOR: u32 = 2;

/// Boots a system in which `fuzzer` makes so many calls at random, and waits for its report.
pub fn run(manifest: &str, fuzzer: &str, role: u32, seed: u64, combinations: u32) -> (Board, Report) {
    run_watched(manifest, fuzzer, role, seed, combinations, false)
}

fn run_watched(
    manifest: &str,
    fuzzer: &str,
    role: u32,
    seed: u64,
    combinations: u32,
    watched: bool,
) -> (Board, Report) {
    let system = system(manifest);
    let plan = plan_with(seed, 0, &[], u64::from(combinations));
    let mut board = Board::boot(&system, &Setup { plan: Some(plan), watched, ..Setup::default() });
    let slot = board.slot(fuzzer);
    let report = |event: &Event| match *event {
        Event::Application { slot: from, data, .. } if from == slot && data.len() == 20 => {
            let word = |index: usize| u32::from_le_bytes(data[4 * index..][..4].try_into().unwrap());
            (word(0) == role).then(|| Report {
                cases: word(1),
                all: word(2),
                done: word(3),
                refused: word(4),
            })
        }
        // A panic names the case.
        Event::Died { slot: from, class: DeathClass::Panic, text, .. }
            if from == slot && !text.is_empty() =>
        {
            panic!("{fuzzer}: {text}")
        }
        _ => None,
    };
    let mut found = None;
    board.fold("the fuzzer's report", |_, event| {
        found = found.take().or_else(|| report(event));
        found.is_some()
    });
    (board, found.unwrap())
}

#[test]
fn an_ordinary_component_gets_errors_and_everybody_else_goes_on() {
    let (mut board, report) = run("test-wild", "wild", ORDINARY, 1, combinations());
    println!(
        "{} cases; of {} random calls {} were carried out and {} refused",
        report.cases, report.all, report.done, report.refused
    );
    assert!(report.cases > 400 && report.all == combinations());

    assert!(
        report.done > report.all / 20 && report.refused > report.all / 2,
        "too tame or too wild to find anything"
    );

    // It died of its own calls of `exit` only, of each once, with the class that it may give itself.
    let wild = board.slot("wild");
    let ends = board.all().filter_map(|(_, event)| match event {
        Event::Died { slot, class, .. } => Some((slot, class)),
        _ => None,
    });
    let classes = [
        DeathClass::Panic,
        DeathClass::Panic,
        DeathClass::Exit,
        DeathClass::Exit,
        DeathClass::Exit,
        DeathClass::Exit,
    ];
    assert_eq!(ends.collect::<Vec<_>>(), classes.map(|class| (wild, class)), "{}", board.story());

    // The server has done everything to a request in its service that must not be done.
    let server = board.slot("server");
    let reported = |event: &Event| matches!(*event, Event::Application { slot, .. } if slot == server);
    board.until_event(0, "the server's report", reported);

    // The witness has been answered all the while, and still is.
    let witness = board.slot("witness");
    let is_count = |event: &Event| matches!(*event, Event::Application { slot, .. } if slot == witness);
    let before = board.all().filter(|(_, event)| is_count(event)).count();
    assert!(before > 0, "the witness did not run beside the fuzzer");
    let from = board.events.len();
    board.until_event(from, "the witness is to go on", is_count);
    assert_eq!(board.all_deaths().len(), classes.len(), "{:?}", board.all_deaths());
    // Its own device it may treat as it likes.
    board.finish_after(|error| error.starts_with("bcm2835_systmr"));
}

#[test]
fn a_component_with_the_rights_of_the_supervisor_gets_errors_and_the_kernel_goes_on() {
    for seed in 1..=2 {
        let (board, report) = run("test-wild-control", "rs", SUPERVISOR, seed, combinations());
        println!(
            "{} cases; of {} random calls {} were carried out and {} refused",
            report.cases, report.all, report.done, report.refused
        );
        assert!(report.cases > 400 && report.all == combinations());
        // What it controls it may kill and start as it likes; nobody else died, and it did not either.
        let prey = board.slot("prey");
        let others = board
            .all()
            .filter(|(_, event)| matches!(*event, Event::Died { slot, .. } if slot != prey))
            .count();
        assert_eq!(others, 0, "{:?}", board.all_deaths());
        assert!(board.deaths("prey") > 1, "the calls at random did nothing");
        board.finish();
    }
}

/// Instructions between two looks for interrupts, whatever a component asks for: the goal of the bench's `irq_off_max`.
const IRQ_OFF_MAX: u64 = 5_000;

#[test]
fn no_call_keeps_interrupts_waiting_for_long() {
    for (manifest, fuzzer, role) in [("test-wild", "wild", ORDINARY), ("test-wild-control", "rs", SUPERVISOR)]
    {
        let (board, _report) = run_watched(manifest, fuzzer, role, 1, combinations(), true);
        let longest = board.longest_section();
        assert!(longest <= IRQ_OFF_MAX, "{manifest}: {longest} instructions without a look for interrupts");
    }
}
