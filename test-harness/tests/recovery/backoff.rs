//! The file server is blocked on a driver that waits for half a minute before it is started again: only the driver is
//! restarted, and the call in flight is carried out afterwards.

use super::support::{Boot, MS, Place, S, is_record, plan, run, step, system};
use abi::plan::Fault;
use abi::syscall::trigger;
use probe_core::Record;
use probe_core::script::SETUP;
use test_harness::oracle::card;

const FIRST: u64 = 120 * MS;
/// The pause that the manifest gives before the second restart in a row.
const PAUSE: u64 = 30 * S;

#[test]
fn a_server_blocked_on_a_driver_in_back_off_is_not_restarted() {
    let system = system("test-files");
    let [block, fs, client] = ["block", "fs", "client"].map(|name| system.slot(name).unwrap());
    let panic = |at| step(at, Fault::Panic, block, trigger::NOW, 0);
    let entries = [panic(FIRST), panic(FIRST + 5 * MS)];
    let begin = FIRST + 40 * MS;
    let place = Place::new();
    let boot = Boot {
        system: &system,
        card: Some(&place.card),
        plan: Some(plan(1, begin, &entries)),
        seed: 1,
        folder: place.folder.path(),
    };
    let evidence = run(&boot, |_, event| is_record(event, client, |record| record == Record::Finished));

    let deaths = evidence.deaths();
    assert_eq!(
        deaths.iter().map(|death| (death.1, death.2, death.3)).collect::<Vec<_>>(),
        [(block, 1, "panic"), (block, 2, "panic")],
        "nobody but the driver dies"
    );
    let second = deaths[1].0;
    assert!(second < begin, "the driver is away when the client begins");
    let started = |slot, incarnation| {
        let starts = evidence.starts(false);
        starts.into_iter().find(|start| (start.1, start.2) == (slot, incarnation)).map(|start| start.0)
    };
    let restarted = started(block, 3).expect("the driver's third incarnation");
    assert!((PAUSE..PAUSE + S).contains(&(restarted - second)), "back after {} ns", restarted - second);
    assert_eq!(started(fs, 2), None);

    let answers = evidence.records(client);
    let first = answers.iter().find(
        |(_, record)| matches!(record, Record::Answer { step, .. } if usize::from(*step) == SETUP.len()),
    );
    let (time, record) = first.expect("an answer to the call in flight");
    assert!(matches!(record, Record::Answer { status: 0, label: 0, .. }), "{record:?}");
    assert!(*time > restarted, "the call was in flight all the time");
    let check = card::check(&place.card).unwrap();
    assert!(check.clean, "{}", check.output);
    println!("blocked for {} ms, nobody but the driver was restarted", (time - begin) / MS);
}
