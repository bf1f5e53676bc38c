//! The file server is killed after every single message that it receives or sends, while `create exclusive`, `append`,
//! `unlink`, `rename` and the others that are deduplicated are in flight: answers and tree are those of a run without.

use super::support::{
    Boot, Depth, Evidence, MS, Place, depth, in_parallel, is_record, plan, run, step, system,
};
use abi::plan::{Fault, PlanEntry};
use abi::syscall::trigger;
use probe_core::script::{ACTIONS, SETUP, Step, byte};
use probe_core::{Record, role};
use protocols::files::Status;
use std::path::Path;
use test_harness::oracle::card::{self, Contents};
use test_harness::oracle::tree::{Node, Tree};
use test_harness::system::System;

/// When the fault is armed: the client has prepared its tree and waits.
const ARMED: u64 = 120 * MS;
/// When the client begins.
const BEGIN: u64 = 122 * MS;
const SEED: u64 = 5;

/// What a message is to the file server.
const KINDS: [(u64, &str); 3] = [
    (trigger::RECEIVED, "request received"),
    (trigger::SENT, "message sent"),
    (trigger::ANSWERED, "answer received"),
];

/// One run.
struct Outcome {
    evidence: Evidence,
    answers: Vec<Record>,
    contents: Contents,
    check: card::Check,
    /// Deaths of the file server.
    deaths: usize,
}

fn trial(system: &System, entries: &[PlanEntry]) -> Outcome {
    let place = Place::new();
    let client = system.slot("client").unwrap();
    let boot = Boot {
        system,
        card: Some(&place.card),
        plan: Some(plan(SEED, BEGIN, entries)),
        seed: SEED,
        folder: place.folder.path(),
    };
    let evidence = run(&boot, |_, event| is_record(event, client, |record| record == Record::Finished));
    let records = evidence.records(client);
    let prepared = records.iter().find(|(_, record)| *record == Record::Prepared).expect("a prepared tree");
    assert!(prepared.0 < ARMED, "the tree was prepared at {} ns only", prepared.0);
    let answers = records.iter().map(|(_, record)| *record).collect();
    let contents = card::read(&place.card).unwrap();
    let check = card::check(&place.card).unwrap();
    let fs = system.slot("fs").unwrap();
    let deaths = evidence.deaths().iter().filter(|death| death.1 == fs).count();
    Outcome { evidence, answers, contents, check, deaths }
}

/// What the script must leave on the card, from the script alone.
fn expected_tree() -> Tree {
    let append = |index: usize| match ACTIONS.get(index.wrapping_sub(SETUP.len())).or(SETUP.get(index)) {
        Some(Step::Append(_, bytes)) => (0..*bytes).map(|at| byte(SEED, index, at)).collect::<Vec<_>>(),
        other => panic!("step {index} is {other:?}"),
    };
    let first = SETUP.len();
    let file = |steps: &[usize]| Node::File(steps.iter().flat_map(|step| append(*step)).collect());
    [
        ("/work", Node::Directory),
        ("/work/log", file(&[2, first + 4])),
        ("/work/new", file(&[first + 1])),
        ("/work/replaced", file(&[5])),
        ("/work/made", Node::Directory),
    ]
    .map(|(path, node)| (path.to_owned(), node))
    .into()
}

fn label_of(record: &Record) -> Option<u64> {
    match record {
        Record::Answer { status: 0, label, .. } => Some(*label),
        _ => None,
    }
}

/// The run without a fault is itself as it must be.
fn judge_reference(reference: &Outcome) {
    let labels: Vec<_> = reference.answers.iter().filter_map(label_of).collect();
    let status = |step: &Step, refused: &mut std::vec::IntoIter<Status>| match step {
        Step::Create(2, _) | Step::Unlink(_) | Step::Rename(_, "/work/nowhere") => {
            refused.next().unwrap() as u64
        }
        _ => Status::Ok as u64,
    };
    let mut refused = vec![Status::Exists, Status::NotFound, Status::Ok, Status::NotFound].into_iter();
    let expected: Vec<_> = SETUP.iter().chain(ACTIONS).map(|step| status(step, &mut refused)).collect();
    assert_eq!(labels, expected, "{:?}", reference.answers);
    assert!(reference.check.clean, "{}", reference.check.output);
    assert_eq!(reference.contents.tree, expected_tree());
    assert_eq!(card::compare(&reference.contents, &[expected_tree()]), []);
}

/// Messages of the file server in the run without a fault, by what they are to it, from the beginning of the actions.
fn judge(kind: &str, count: u32, outcome: &Outcome, reference: &Outcome) -> Result<(), String> {
    let fail = |what: String| Err(format!("killed after {kind} {count}: {what}"));
    for (answer, expected) in outcome.answers.iter().zip(&reference.answers) {
        if answer != expected {
            return fail(format!("answered {answer:?} instead of {expected:?}"));
        }
    }
    if outcome.answers.len() != reference.answers.len() {
        return fail(format!("{} records instead of {}", outcome.answers.len(), reference.answers.len()));
    }
    let findings = card::compare(&outcome.contents, &[reference.contents.tree.clone()]);
    if outcome.contents != reference.contents || !findings.is_empty() {
        return fail(format!("the tree differs: {findings:?}, in the root {:?}", outcome.contents.root));
    }
    if !outcome.check.clean {
        return fail(format!("e2fsck -fn is not content: {}", outcome.check.output));
    }
    let others: Vec<_> = outcome.evidence.deaths();
    if others.len() != outcome.deaths {
        return fail(format!("others died, too: {others:?}"));
    }
    Ok(())
}

#[test]
fn a_file_server_killed_after_any_message_answers_as_if_it_had_not_been() {
    let system = system("test-files");
    let fs = system.slot("fs").unwrap();
    assert!(role::FILES == 1 && Path::new(&system.kernel()).exists());
    let reference = trial(&system, &[]);
    judge_reference(&reference);
    assert_eq!(reference.deaths, 0);
    let stride = match depth() {
        Depth::Quick => 16,
        Depth::Full => 4,
        Depth::Soak => 1,
    };
    let mut failures = Vec::new();
    for (kind, name) in KINDS {
        // Requests are few: each of them, always.
        let stride = if kind == trigger::RECEIVED { 1 } else { stride };
        let total = enumerate(&system, fs, kind, name, stride, &reference, &mut failures);
        println!("{name}: fewer than {}; killed after each {stride}. of them", total + 1);
        assert!(total >= ACTIONS.len() as u32, "{name}: only {total}");
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// Kills after message 1, 1 + `stride` and so on, until there are no more messages; returns how many there are at most.
fn enumerate(
    system: &System,
    fs: u8,
    kind: u64,
    name: &str,
    stride: u32,
    reference: &Outcome,
    failures: &mut Vec<String>,
) -> u32 {
    const BATCH: usize = 16;
    for batch in 0.. {
        let count = |index: usize| 1 + (batch * BATCH as u32 + index as u32) * stride;
        let results = in_parallel(BATCH, |index| {
            let entry = step(ARMED, Fault::Kill, fs, kind, count(index));
            let outcome = trial(system, &[entry]);
            assert!(outcome.deaths <= 1, "the file server died {} times", outcome.deaths);
            (outcome.deaths, judge(name, count(index), &outcome, reference))
        });
        failures.extend(results.iter().filter_map(|(_, result)| result.clone().err()));
        if let Some(none) = results.iter().position(|(deaths, _)| *deaths == 0) {
            // Whoever does not die of message n does not die of any later one: there are fewer than n.
            assert!(results[none..].iter().all(|(deaths, _)| *deaths == 0), "gaps among the messages");
            return count(none) - 1;
        }
    }
    unreachable!("the enumeration has no end")
}
