//! The file server, and then its driver, is killed after every single message that it receives or sends, while `create
//! exclusive`, `append`, `unlink`, `rename` and the others that are deduplicated are in flight: answers and tree are those
//! of a run in which nobody is killed.

use super::support::{
    Boot, Depth, Evidence, MS, Place, depth, in_parallel, is_record, plan, run, step, system,
};
use abi::plan::{Fault, PlanEntry};
use abi::syscall::trigger;
use probe_core::Record;
use probe_core::script::{ACTIONS, SETUP, Step, byte};
use protocols::files::Status;
use test_harness::oracle::card::{self, Contents};
use test_harness::oracle::tree::{Node, Tree};
use test_harness::system::System;

/// When the fault is armed: the client has prepared its tree and waits.
const ARMED: u64 = 120 * MS;
/// When the client begins.
const BEGIN: u64 = 122 * MS;
const SEED: u64 = 5;

/// What a message is to whom it concerns.
#[derive(Clone, Copy)]
struct Kind {
    trigger: u64,
    name: &'static str,
}

const RECEIVED: Kind = Kind { trigger: trigger::RECEIVED, name: "request received" };
const SENT: Kind = Kind { trigger: trigger::SENT, name: "message sent" };
const ANSWERED: Kind = Kind { trigger: trigger::ANSWERED, name: "answer received" };

/// One run.
struct Outcome {
    evidence: Evidence,
    answers: Vec<Record>,
    contents: Contents,
    check: card::Check,
}

fn trial(system: &System, seed: u64, entries: &[PlanEntry]) -> Outcome {
    let place = Place::new();
    let client = system.slot("client").unwrap();
    let boot = Boot {
        system,
        card: Some(&place.card),
        plan: Some(plan(seed, BEGIN, entries)),
        seed,
        folder: place.folder.path(),
    };
    let evidence = run(&boot, |_, event| is_record(event, client, |record| record == Record::Finished));
    let records = evidence.records(client);
    let prepared = records.iter().find(|(_, record)| *record == Record::Prepared).expect("a prepared tree");
    assert!(prepared.0 < ARMED, "the tree was prepared at {} ns only", prepared.0);
    let answers = records.iter().map(|(_, record)| *record).collect();
    let contents = card::read(&place.card).unwrap();
    let check = card::check(&place.card).unwrap();
    Outcome { evidence, answers, contents, check }
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
    assert_eq!(reference.evidence.deaths(), []);
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

/// Whether `outcome` is that of the run without a fault.
fn judge(outcome: &Outcome, reference: &Outcome) -> Result<(), String> {
    for (answer, expected) in outcome.answers.iter().zip(&reference.answers) {
        if answer != expected {
            return Err(format!("answered {answer:?} instead of {expected:?}"));
        }
    }
    if outcome.answers.len() != reference.answers.len() {
        return Err(format!("{} records instead of {}", outcome.answers.len(), reference.answers.len()));
    }
    let findings = card::compare(&outcome.contents, std::slice::from_ref(&reference.contents.tree));
    if outcome.contents != reference.contents || !findings.is_empty() {
        return Err(format!("the tree differs: {findings:?}, in the root {:?}", outcome.contents.root));
    }
    if !outcome.check.clean {
        return Err(format!("e2fsck -fn is not content: {}", outcome.check.output));
    }
    Ok(())
}

/// One enumeration: `victim` is killed after each `stride`th message of this kind.
#[derive(Clone, Copy)]
struct Enumeration<'a> {
    system: &'a System,
    reference: &'a Outcome,
    victim: u8,
    kind: Kind,
    stride: u32,
}

impl Enumeration<'_> {
    /// Kills after message 1, 1 + `stride` and so on until there are no more; adds what went wrong to `failures`.
    fn run(&self, failures: &mut Vec<String>) {
        const BATCH: usize = 8;
        let mut killed = 0;
        for batch in 0.. {
            let count = |index: usize| 1 + (batch * BATCH as u32 + index as u32) * self.stride;
            let results = in_parallel(BATCH, |index| self.case(count(index)));
            failures.extend(results.iter().filter_map(|(_, result)| result.clone().err()));
            killed += results.iter().filter(|(deaths, _)| *deaths > 0).count();
            let Some(none) = results.iter().position(|(deaths, _)| *deaths == 0) else { continue };
            // Whoever does not die of message n does not die of any later one: there are fewer than n.
            assert!(results[none..].iter().all(|(deaths, _)| *deaths == 0), "gaps among the messages");
            let (name, victim, total) = (self.kind.name, self.system.name(self.victim), count(none));
            println!("{victim}: {name}: fewer than {total}, killed after every {}.", self.stride);
            // Each action is one message at least, of which every `stride`th was the last.
            let least = ACTIONS.len() / self.stride as usize;
            assert!(killed >= least.max(1), "{name}: {killed} deaths, at least {least} were to be");
            return;
        }
    }

    /// Kills after message `count`; returns the number of deaths, and what went wrong.
    fn case(&self, count: u32) -> (usize, Result<(), String>) {
        let entry = step(ARMED, Fault::Kill, self.victim, self.kind.trigger, count);
        let outcome = trial(self.system, SEED, &[entry]);
        let deaths = outcome.evidence.deaths();
        let title = format!("{} killed after {} {count}", self.system.name(self.victim), self.kind.name);
        if deaths.len() > 1 || deaths.iter().any(|death| death.1 != self.victim) {
            return (deaths.len(), Err(format!("{title}: died: {deaths:?}")));
        }
        (deaths.len(), judge(&outcome, self.reference).map_err(|what| format!("{title}: {what}")))
    }
}

/// Enumerates all kinds of messages of `victim`; requests from the client, which are few, always one by one.
fn enumerate(victim: &str, kinds: &[Kind], strides: [u32; 3]) {
    let system = system("test-files");
    let reference = trial(&system, SEED, &[]);
    judge_reference(&reference);
    let [quick, full, soak] = strides;
    let stride = match depth() {
        Depth::Quick => quick,
        Depth::Full => full,
        Depth::Soak => soak,
    };
    let mut failures = Vec::new();
    for kind in kinds {
        let from_client = victim == "fs" && kind.trigger == trigger::RECEIVED;
        let stride = if from_client { 1 } else { stride };
        let victim = system.slot(victim).unwrap();
        Enumeration { system: &system, reference: &reference, victim, kind: *kind, stride }
            .run(&mut failures);
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn a_file_server_killed_after_any_message_answers_as_if_it_had_not_been() {
    enumerate("fs", &[RECEIVED, SENT, ANSWERED], [16, 5, 1]);
}

#[test]
fn a_driver_killed_after_any_message_of_the_file_server_is_not_noticed() {
    enumerate("block", &[RECEIVED, SENT], [32, 11, 1]);
}

/// The judge of this file is one that can find something.
#[test]
fn other_bytes_and_a_call_less_are_found() {
    let system = system("test-files");
    let (reference, other) = (trial(&system, SEED, &[]), trial(&system, SEED + 1, &[]));
    assert!(judge(&other, &reference).unwrap_err().contains("answered"));
    let answers = reference.answers.clone();
    let other = Outcome { answers, ..other };
    assert!(judge(&other, &reference).unwrap_err().contains("the tree differs"));
    let short = Outcome { answers: reference.answers[1..].to_vec(), ..trial(&system, SEED, &[]) };
    assert!(judge(&short, &reference).is_err());
}
