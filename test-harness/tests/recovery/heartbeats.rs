//! What heartbeats cost: the CPU time of the demo's components when they have nothing else to do.

use super::support::{Boot, Depth, MS, Place, S, depth, is_record, run, system};
use probe_core::Record;
use std::collections::BTreeMap;
use std::path::Path;

/// The system has booted and is quiet.
const QUIET: u64 = S;
/// Most that heartbeats may cost, in millionths of the CPU.
const MILLIONTHS_MAX: u64 = 5000;

fn components(manifest: &str) -> BTreeMap<String, toml::Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../system").join(manifest);
    let text = std::fs::read_to_string(path).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    table["component"].as_table().unwrap().clone().into_iter().collect()
}

/// The system that is measured is the demo, but for an accountant in the monitor's place and with its policy.
#[test]
fn the_quiet_system_is_the_demo_but_for_its_monitor() {
    let (demo, calm) = (components("demo.toml"), components("test-calm.toml"));
    for (name, entry) in &demo {
        let mut twin = calm[if name == "monitor" { "account" } else { name }].clone();
        let mut entry = entry.clone();
        if name == "monitor" {
            let of_policy = |entry: &toml::Value| ["policy", "priority"].map(|key| entry.get(key).cloned());
            assert_eq!(of_policy(&twin), of_policy(&entry), "the accountant and the monitor");
            continue;
        }
        if name == "rs" {
            // It controls one or the other.
            for entry in [&mut twin, &mut entry] {
                entry.as_table_mut().unwrap().remove("controls");
            }
        }
        assert_eq!(twin, entry, "{name}");
    }
    assert_eq!(demo.len(), calm.len());
}

/// Accounts at one moment.
#[derive(Clone, Default)]
struct Accounts {
    now: u64,
    idle: u64,
    cpu: BTreeMap<u8, u64>,
}

#[test]
fn heartbeats_cost_at_most_half_a_percent_of_the_cpu() {
    let system = system("test-calm");
    let account = system.slot("account").unwrap();
    let end = if depth() == Depth::Soak { 60 * S } else { 4 * S };
    let place = Place::new();
    let boot =
        Boot { system: &system, card: Some(&place.card), plan: None, seed: 1, folder: place.folder.path() };
    let is_last = |record| matches!(record, Record::Idle { now, .. } if now >= end);
    let evidence = run(&boot, |_, event| is_record(event, account, is_last));
    assert_eq!(evidence.deaths(), []);

    let (mut all, mut current) = (Vec::new(), Accounts::default());
    for (_, record) in evidence.records(account) {
        match record {
            Record::Usage { slot, cpu, .. } => drop(current.cpu.insert(slot, cpu)),
            Record::Idle { now, idle } => {
                (current.now, current.idle) = (now, idle);
                all.push(std::mem::take(&mut current));
            }
            other => panic!("{other:?} of the accountant"),
        }
    }
    let first = all.iter().find(|accounts| accounts.now >= QUIET).unwrap();
    let last = all.last().unwrap();
    let (elapsed, idle) = (last.now - first.now, last.idle - first.idle);
    let used = |slot: u8| last.cpu[&slot] - first.cpu[&slot];
    let cost = elapsed - idle - used(account);
    let millionths = cost * 1_000_000 / elapsed;
    for slot in &system.slots {
        println!("{:>10}: {:>8} ns in {} ms", slot.name, used(slot.slot), elapsed / MS);
    }
    println!("heartbeats cost {millionths} millionths of the CPU");
    assert!(millionths > 0, "there were no heartbeats");
    assert!(millionths <= MILLIONTHS_MAX, "{millionths} millionths, {MILLIONTHS_MAX} are allowed");
}
