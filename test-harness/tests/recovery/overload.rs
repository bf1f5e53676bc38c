//! Honest overload: components of several priorities use all the CPU there is and receive as often as they must. Nobody
//! is restarted.

use super::support::{Boot, Depth, Evidence, S, depth, is_record, run, system};
use probe_core::Record;
use test_harness::system::System;

#[test]
fn honest_overload_causes_no_restart() {
    let system = system("test-overload");
    let account = system.slot("account").unwrap();
    let seconds = match depth() {
        Depth::Quick => 1,
        Depth::Full => 3,
        Depth::Soak => 100,
    };
    let folder = tempfile::tempdir().unwrap();
    let boot = Boot { system: &system, card: None, plan: None, seed: 1, folder: folder.path() };
    let is_last = |record| matches!(record, Record::Idle { now, .. } if now >= seconds * S);
    let evidence = run(&boot, |_, event| is_record(event, account, is_last));

    assert_eq!(evidence.deaths(), []);
    let ready = evidence.incarnations();
    let asleep: Vec<_> = system.slots.iter().filter(|slot| ready.get(&slot.slot) != Some(&1)).collect();
    // Whoever gets no CPU cannot even begin.
    assert!(asleep.iter().all(|slot| slot.name == "starved"), "not ready: {asleep:?}");
    judge_load(&evidence, &system, account);
}

/// It was overload: nobody left anything over, and those who got CPU worked.
fn judge_load(evidence: &Evidence, system: &System, account: u8) {
    let idle: Vec<_> = evidence
        .records(account)
        .into_iter()
        .filter_map(
            |(_, record)| if let Record::Idle { now, idle } = record { Some((now, idle)) } else { None },
        )
        .collect();
    let (first, last) = (idle[0], idle[idle.len() - 1]);
    let (elapsed, unused) = (last.0 - first.0, last.1 - first.1);
    println!("{unused} ns of {elapsed} ns were left over");
    assert!(unused * 1000 <= elapsed, "{unused} of {elapsed} ns were left over: no overload");
    for name in ["greedy", "asker", "other", "first", "second"] {
        let records = evidence.records(system.slot(name).unwrap());
        let Some((_, Record::Rounds { count, failed })) = records.last() else {
            panic!("{name} did nothing");
        };
        println!("{name}: {count} rounds, {failed} failed");
        assert!(*count > 20 && *failed == 0, "{name}: {count} rounds, {failed} failed");
    }
}
