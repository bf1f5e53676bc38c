//! An endless loop, and a server that has a request and never replies, are detected within 10 ms in the demo's system.

use super::support::{Depth, MS, Place, S, depth, machine, system};
use abi::plan::Fault;
use std::time::Duration;
use test_harness::oracle::Verdict;
use test_harness::oracle::kernel::Row;
use test_harness::plan::draw;
use test_harness::scenario::{Scenario, Stuck};
use test_harness::system::System;
use test_harness::trial::{self, Trial};

/// Longest from the fault to the death record, in nanoseconds.
const LIMIT: u64 = 10 * MS;

/// Loops of every component, and servers that keep a request, and nothing else.
fn scenario() -> Scenario {
    let stuck = |target: &str, fault: &str| Stuck { target: target.to_owned(), fault: fault.to_owned() };
    let servers = ["console", "block", "fs"];
    let demo = Scenario::demo().unwrap();
    Scenario {
        faults: vec!["loop".to_owned()],
        pair: Vec::new(),
        stuck: servers.iter().flat_map(|name| [stuck(name, "mute"), stuck(name, "loop")]).collect(),
        root: None,
        end_margin_ms: 100,
        ..demo
    }
}

fn run(system: &System, seed: u64) -> Verdict {
    let (scenario, machine, place) = (scenario(), machine(), Place::new());
    let plan = draw(&scenario, system, seed).unwrap();
    let trial = Trial {
        machine: &machine,
        system,
        scenario: &scenario,
        plan: &plan,
        seed,
        card: &place.card,
        folder: place.folder.path(),
        limit: Duration::from_mins(15),
        extra: &[],
    };
    trial::run(&trial, &mut |_: &_| Ok(())).unwrap()
}

#[test]
fn loops_and_servers_that_never_reply_are_detected_within_10_ms() {
    let system = system("demo");
    let seeds = match depth() {
        Depth::Quick => 1,
        Depth::Full => 2,
        Depth::Soak => 20,
    };
    for seed in 1..=seeds {
        let verdict = run(&system, seed);
        assert!(verdict.ok(), "seed {seed}: {:#?}", verdict.findings);
        assert_eq!(verdict.rows.len(), 5 + 6);
        for row in &verdict.rows {
            judge(&system, seed, row);
        }
        assert!(verdict.counts.time < 10 * S);
    }
}

fn judge(system: &System, seed: u64, row: &Row) {
    let names = row.target_names(&|slot| system.name(slot));
    let detected = row.detect_ns().expect("every row was detected");
    println!(
        "seed {seed}: {} of {names}, {} requests in service: {} us ({})",
        row.planned.fault.name(),
        row.requests_in_service(),
        detected / 1000,
        row.class(),
    );
    assert!(
        row.planned.fault == Fault::Loop || row.requests_in_service() > 0,
        "seed {seed}: {names} had no request"
    );
    assert!(detected <= LIMIT, "seed {seed}: {} of {names} after {detected} ns", row.planned.fault.name());
}
