//! RS is killed at 200 instants swept over the restart of a driver, whoever has the CPU at that instant: exactly one
//! incarnation more of each lives, and what RS knows of both is whole.

use super::support::{Boot, Depth, Evidence, MS, Place, US, depth, is_record, plan, run, step, system};
use abi::plan::Fault;
use abi::record::{DeathClass, SlotState};
use abi::syscall::trigger;
use abi::trace::Event;
use probe_core::Record;
use probe_core::script::{ACTIONS, SETUP};
use protocols::reincarnation::Standing;
use std::collections::BTreeSet;
use test_harness::oracle::card;
use test_harness::system::System;

/// The first fault.
const FIRST: u64 = 120 * MS;
/// Between two cases: RS is asked for its list several times.
const BETWEEN: u64 = 12 * MS;
const INSTANTS: u64 = 200;
/// After the last case, before the client begins.
const REST: u64 = 50 * MS;

/// The driver panics `delays.len()` times; so long after each panic RS is killed, if at all.
fn sweep(system: &System, delays: &[Option<u64>]) -> Evidence {
    let (block, rs) = (system.slot("block").unwrap(), system.slot("rs").unwrap());
    let mut entries = Vec::new();
    let mut at = FIRST;
    for delay in delays {
        entries.push(step(at, Fault::Panic, block, trigger::NOW, 0));
        if let Some(delay) = delay {
            entries.push(step(at + delay, Fault::Kill, rs, trigger::ALARM, 1));
        }
        at += BETWEEN;
    }
    let place = Place::new();
    let client = system.slot("client").unwrap();
    let plan = Some(plan(1, at + REST, &entries));
    let boot = Boot { system, card: Some(&place.card), plan, seed: 1, folder: place.folder.path() };
    let evidence = run(&boot, |_, event| is_record(event, client, |record| record == Record::Finished));
    let check = card::check(&place.card).unwrap();
    assert!(check.clean, "{}", check.output);
    let answers = evidence.records(client);
    let answered = |record: &Record| matches!(record, Record::Answer { status: 0, .. });
    let count = answers.iter().filter(|(_, record)| answered(record)).count();
    assert_eq!(count, SETUP.len() + ACTIONS.len(), "the client was answered {count} times");
    evidence
}

/// What RS says of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Known {
    slot: u8,
    incarnation: u32,
    ready: bool,
    standing: u8,
    deaths: u32,
    failures: u32,
    last: (u32, u8),
}

/// What RS said last of each slot before `until`.
fn last_list(evidence: &Evidence, list: u8, until: u64) -> Vec<Known> {
    let (mut rows, mut last) = (Vec::new(), Vec::new());
    for (_, record) in evidence.records(list).into_iter().filter(|(time, _)| *time < until) {
        match record {
            Record::Row {
                slot,
                state,
                incarnation,
                ready,
                standing,
                deaths,
                failures,
                death_incarnation,
                death_class,
            } => {
                let ready = ready && u32::from(state) == SlotState::Running as u32;
                let last = (death_incarnation, death_class);
                rows.push(Known { slot, incarnation, ready, standing, deaths, failures, last });
            }
            Record::EndOfRows { count, status } => {
                assert_eq!((usize::from(count), status), (rows.len(), 0), "an answer of RS");
                last = std::mem::take(&mut rows);
            }
            other => panic!("{other:?} of the component that asks RS"),
        }
    }
    last
}

/// What RS must know after `cases` cases; it may look at every slot but root's.
fn expected(system: &System, cases: u32) -> Vec<Known> {
    let of = |slot: u8, name: &str| {
        let standing = if name == "rs" { Standing::Unsupervised } else { Standing::Supervised };
        let (deaths, failures, class) = match name {
            "block" => (cases, cases, DeathClass::Panic as u8),
            "rs" => (cases, 0, DeathClass::Killed as u8),
            _ => (0, 0, 0),
        };
        let (incarnation, last) = (deaths + 1, (deaths, class));
        Known { slot, incarnation, ready: true, standing: standing as u8, deaths, failures, last }
    };
    system.slots.iter().filter(|slot| slot.name != "root").map(|slot| of(slot.slot, &slot.name)).collect()
}

/// Where in the restart of the driver RS was killed.
#[derive(Default, Debug)]
struct Phases {
    before_death: u32,
    loading: u32,
    starting: u32,
    running: u32,
    /// When, from the injection on: the kernel is never interrupted, so these are fewer than the instants.
    moments: BTreeSet<u64>,
}

/// Judges case `index`, whose events lie between `begin` and `end`.
fn judge(evidence: &Evidence, system: &System, index: u32, begin: u64, end: u64, phases: &mut Phases) {
    let (block, rs) = (system.slot("block").unwrap(), system.slot("rs").unwrap());
    let within = |time: u64| (begin..end).contains(&time);
    let deaths: Vec<_> = evidence.deaths().into_iter().filter(|death| within(death.0)).collect();
    let mut who: Vec<_> = deaths.iter().map(|death| (death.1, death.2, death.3)).collect();
    who.sort_unstable();
    let mut due = vec![(block, index + 1, "panic"), (rs, index + 1, "killed")];
    due.sort_unstable();
    assert_eq!(who, due, "case {index}: who died");
    for ready in [false, true] {
        let starts = evidence.starts(ready).into_iter().filter(|start| within(start.0));
        let mut starts: Vec<_> = starts.map(|(_, slot, incarnation)| (slot, incarnation)).collect();
        starts.sort_unstable();
        let mut due = vec![(block, index + 2), (rs, index + 2)];
        due.sort_unstable();
        assert_eq!(starts, due, "case {index}: who was started (ready: {ready})");
    }
    let time_of = |slot: u8| deaths.iter().find(|death| death.1 == slot).unwrap().0;
    let start = |ready| evidence.starts(ready).into_iter().find(|start| within(start.0) && start.1 == block);
    let (killed, died) = (time_of(rs), time_of(block));
    phases.moments.insert(killed - begin);
    match killed {
        _ if killed < died => phases.before_death += 1,
        _ if killed < start(false).unwrap().0 => phases.loading += 1,
        _ if killed < start(true).unwrap().0 => phases.starting += 1,
        _ => phases.running += 1,
    }
    let list = last_list(evidence, system.slot("list").unwrap(), end);
    assert_eq!(list, expected(system, index + 1), "case {index}: what RS knows");
}

/// When the driver's panics were injected.
fn injections(evidence: &Evidence, block: u8) -> Vec<u64> {
    let of_block = |event: &Event| matches!(event, Event::Injected { slot, .. } if *slot == block);
    evidence.events().filter(|(_, event)| of_block(event)).map(|(time, _)| time).collect()
}

/// From the injection to the driver's first receive, without a fault of RS.
fn restart_length(system: &System) -> u64 {
    let evidence = sweep(system, &[None]);
    let block = system.slot("block").unwrap();
    let injected = injections(&evidence, block)[0];
    let ready = evidence.starts(true).into_iter().find(|start| start.1 == block && start.2 == 2);
    ready.expect("the driver's second incarnation").0 - injected
}

#[test]
fn rs_killed_at_any_instant_of_a_restart_leaves_one_incarnation_of_each() {
    let system = system("test-restart");
    let length = restart_length(&system);
    // A fifth more than the restart: also what RS does afterwards.
    let step = (length + length / 5) / INSTANTS;
    let offsets: &[u64] = if depth() == Depth::Soak { &[0, 1, 2, 3, 4] } else { &[0] };
    for offset in offsets {
        let delays: Vec<_> = (0..INSTANTS).map(|index| Some(index * step + offset * step / 5)).collect();
        let evidence = sweep(&system, &delays);
        let begins = injections(&evidence, system.slot("block").unwrap());
        assert_eq!(begins.len(), delays.len());
        let mut phases = Phases::default();
        for (index, begin) in begins.iter().enumerate() {
            let end = begins.get(index + 1).copied().unwrap_or(begin + BETWEEN);
            judge(&evidence, &system, index as u32, *begin, end, &mut phases);
        }
        let Phases { before_death, loading, starting, running, moments } = phases;
        println!(
            "restart of {} us, RS killed every {step} ns, at {} different moments: {before_death} before the driver's death, \
             {loading} while it is loaded, {starting} until its first receive, {running} after it",
            length / US,
            moments.len()
        );
        // The sweep proves something only if it hits every part of the restart.
        assert!([before_death, loading, starting, running].iter().all(|count| *count > 0));
        assert!(moments.len() > 100, "{moments:?}");
    }
}
