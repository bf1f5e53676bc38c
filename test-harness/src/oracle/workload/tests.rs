//! The judge must pass a faultless client, and must fail every kind of loss.

use super::*;
use crate::oracle::tree::walk;
use proptest::prelude::*;
use workload_core::resolution::witnesses;

/// A client on a file system without faults, which reports as the real one does.
struct Client {
    seed: u64,
    state: State,
    time: u64,
    follower: Follower,
}

impl Client {
    fn new(seed: u64) -> Self {
        let mut client = Self {
            seed,
            state: State::default(),
            time: 0,
            follower: Follower::new(seed, Promise::Acknowledged),
        };
        client.say(&Record::Begin { seed, operation: 0, fresh: true });
        client
    }

    fn say(&mut self, record: &Record) {
        self.time += 1;
        self.follower.record(self.time, record);
    }

    fn next(&self) -> Operation {
        next(self.seed, &self.state)
    }

    fn tree(&self) -> Tree {
        tree::of_state(self.seed, &self.state)
    }

    fn intent(&mut self) {
        let code = self.next().code();
        self.say(&Record::Intent { operation: self.state.operation, code });
    }

    fn report(&mut self, tree: &Tree) {
        let entries = walk(tree);
        for (path, found) in &entries {
            self.say(&Record::Entry { path, found: *found });
        }
        self.say(&Record::EndOfWalk { entries: entries.len() as u32 });
    }

    fn acknowledge(&mut self) {
        let (operation, number) = (self.next(), self.state.operation);
        let status = match operation {
            Operation::UnlinkOpen { .. } => files::Status::Busy as u32,
            _ => DONE,
        };
        self.say(&Record::Acknowledged { operation: number, status });
        self.state.apply(&operation);
        self.say(&Record::Line { operation: number });
    }

    fn step(&mut self) {
        self.intent();
        if self.next() == Operation::Walk {
            let tree = self.tree();
            self.report(&tree);
        }
        self.acknowledge();
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
    }

    /// Goes on until an operation of this name is next.
    fn run_until(&mut self, name: &str) {
        while self.next().name() != name {
            self.step();
        }
    }

    /// Dies and comes back while its next operation, in the card's eyes, is `done` or not.
    fn die(&mut self, done: bool) {
        self.follower.died();
        let (operation, number) = (self.next(), self.state.operation);
        let mut after = self.state.clone();
        after.apply(&operation);
        let there = if done { &after } else { &self.state };
        let found: Vec<_> = witnesses(&self.state, &operation)
            .into_iter()
            .map(|path| workload_core::content::expected(self.seed, there, path))
            .collect();
        let resolution = resolve(self.seed, &self.state, &operation, &found);
        self.say(&Record::Begin { seed: self.seed, operation: number, fresh: false });
        for found in found {
            self.say(&Record::Entry { path: "/work", found });
        }
        self.say(&Record::Resolved { operation: number, resolution });
        if resolution == Resolution::Done {
            self.state = after;
        }
    }

    /// Comes back after a reset and finds `tree`.
    fn reset(&mut self, tree: &Tree) {
        self.follower.reset();
        self.say(&Record::Begin { seed: self.seed, operation: 0, fresh: true });
        self.report(tree);
    }

    fn kinds(&self) -> Vec<Kind> {
        self.follower.findings().iter().map(|finding| finding.kind).collect()
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_faultless_client_passes(seed: u64, steps in 1..300_usize) {
        let mut client = Client::new(seed);
        client.run(steps);
        client.say(&Record::Finished { status: DONE });
        prop_assert_eq!(client.follower.findings(), &[]);
        prop_assert!(client.follower.is_finished());
        prop_assert_eq!(client.follower.lines().len(), steps);
        prop_assert_eq!(client.follower.walks().len(), (steps - 1) / 16);
    }

    #[test]
    fn deaths_of_the_client_are_followed(seed: u64, deaths in proptest::collection::vec((0..20_usize, any::<bool>(), any::<bool>()), 1..8)) {
        let mut client = Client::new(seed);
        for (steps, intended, done) in deaths {
            client.run(steps);
            if intended {
                client.intent();
            }
            client.die(intended && done);
        }
        client.run(40);
        prop_assert_eq!(client.follower.findings(), &[]);
    }

    #[test]
    fn a_reset_may_take_or_leave_the_operation_in_flight(seed: u64, steps in 1..200_usize, done: bool) {
        let mut client = Client::new(seed);
        client.run(steps);
        client.intent();
        if done {
            let operation = client.next();
            client.state.apply(&operation);
        }
        let tree = client.tree();
        client.reset(&tree);
        client.say(&Record::Finished { status: DONE });
        prop_assert_eq!(client.follower.findings(), &[]);
        prop_assert_eq!(client.follower.possible_trees(), vec![tree]);
    }

    #[test]
    fn a_lost_byte_is_found(seed: u64, pick: usize, flip in 1..=255_u8) {
        let mut client = Client::new(seed);
        client.run(100);
        client.run_until("walk");
        client.intent();
        let mut tree = client.tree();
        let mut files: Vec<_> = tree.values_mut().filter_map(|node| match node {
            Node::File(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        }).collect();
        prop_assume!(!files.is_empty());
        let index = pick % files.len();
        let bytes: &mut Vec<u8> = files[index];
        let at = pick % bytes.len();
        bytes[at] ^= flip;
        client.report(&tree);
        prop_assert_eq!(client.kinds(), [Kind::Correctness]);
        prop_assert!(client.follower.lost_bytes() > 0);
        prop_assert!(!client.follower.walks().last().unwrap().intact);
    }
}

#[test]
fn a_wrong_size_is_found() {
    let mut client = Client::new(2);
    client.run(100);
    client.run_until("walk");
    client.intent();
    let mut tree = client.tree();
    for node in tree.values_mut() {
        if let Node::File(bytes) = node {
            bytes.push(0);
            break;
        }
    }
    client.report(&tree);
    assert_eq!(client.kinds(), [Kind::Correctness]);
}

#[test]
fn a_missing_acknowledgement_is_found() {
    let mut client = Client::new(3);
    client.run(20);
    client.intent();
    let operation = client.next();
    client.state.apply(&operation);
    client.intent();
    assert!(client.kinds().contains(&Kind::Evidence));
}

#[test]
fn an_acknowledged_operation_that_a_reset_lost_is_found() {
    for seed in 0..20 {
        let mut client = Client::new(seed);
        client.run(40);
        client.run_until("append");
        let before = client.tree();
        client.step();
        client.reset(&before);
        assert_eq!(client.kinds(), [Kind::Correctness], "seed {seed}");
        assert!(client.follower.lost_bytes() > 0);
    }
}

#[test]
fn what_was_not_synced_may_be_lost_if_only_that_was_promised() {
    let mut client = Client::new(4);
    client.follower.promise = Promise::Synced;
    client.run(40);
    client.run_until("fsync");
    client.step();
    let synced = client.tree();
    client.run_until("append");
    client.step();
    client.reset(&synced);
    assert_eq!(client.kinds(), []);

    let mut client = Client::new(4);
    client.follower.promise = Promise::Synced;
    client.run(40);
    client.run_until("append");
    let unsynced = client.tree();
    client.run_until("fsync");
    client.step();
    client.reset(&unsynced);
    let kinds = client.kinds();
    assert!(
        !kinds.is_empty() && kinds.iter().all(|kind| *kind == Kind::Correctness),
        "synced and lost: {kinds:?}"
    );
}

#[test]
fn a_torn_operation_is_found() {
    let mut client = Client::new(5);
    client.run(30);
    client.run_until("append");
    client.intent();
    client.follower.died();
    let (operation, number) = (client.next(), client.state.operation);
    let path = witnesses(&client.state, &operation)[0];
    let Found::File { size, checksum } = workload_core::content::expected(5, &client.state, path) else {
        panic!("a file")
    };
    client.say(&Record::Begin { seed: 5, operation: number, fresh: false });
    client.say(&Record::Entry { path: "/work", found: Found::File { size: size + 1, checksum } });
    client.say(&Record::Resolved { operation: number, resolution: Resolution::Torn });
    assert_eq!(client.kinds(), [Kind::Correctness]);
}

#[test]
fn a_client_that_lies_about_a_resolution_is_found() {
    let mut client = Client::new(5);
    client.run(30);
    client.run_until("append");
    client.intent();
    client.follower.died();
    let (operation, number) = (client.next(), client.state.operation);
    let path = witnesses(&client.state, &operation)[0];
    let found = workload_core::content::expected(5, &client.state, path);
    client.say(&Record::Begin { seed: 5, operation: number, fresh: false });
    client.say(&Record::Entry { path: "/work", found });
    client.say(&Record::Resolved { operation: number, resolution: Resolution::Done });
    assert_eq!(client.kinds(), [Kind::Evidence]);
}

#[test]
fn an_acknowledged_operation_that_the_next_incarnation_does_not_find_is_lost() {
    let mut client = Client::new(6);
    client.run(30);
    client.run_until("create");
    let before = client.state.clone();
    client.step();
    client.follower.died();
    client.say(&Record::Begin { seed: 6, operation: before.operation, fresh: false });
    client.say(&Record::Entry { path: "/work", found: Found::Nothing });
    client.say(&Record::Resolved { operation: before.operation, resolution: Resolution::NotDone });
    assert_eq!(client.kinds(), [Kind::Correctness]);
}

#[test]
fn a_stray_file_is_found() {
    let mut client = Client::new(7);
    client.run(20);
    client.run_until("walk");
    client.intent();
    let mut tree = client.tree();
    tree.insert("/work/stray".to_owned(), Node::File(vec![]));
    client.report(&tree);
    assert_eq!(client.kinds(), [Kind::Correctness]);
}

#[test]
fn a_refusal_that_is_complained_of_counts_if_a_fresh_server_refuses_too() {
    let wrong = |client: &Client| Record::Acknowledged {
        operation: client.state.operation,
        status: files::Status::Damaged as u32,
    };
    let refused = || {
        let mut client = Client::new(11);
        client.intent();
        client.say(&wrong(&client));
        client.say(&Record::Complained { operation: 0 });
        assert!(client.follower.findings().is_empty() && client.follower.refused() == 0);
        client.say(&Record::Entry { path: workload_core::ROOT, found: Found::Nothing });
        client.say(&Record::Resolved { operation: 0, resolution: Resolution::NotDone });
        client.intent();
        client
    };
    let mut mended = refused();
    mended.acknowledge();
    mended.say(&Record::Finished { status: DONE });
    assert_eq!((mended.follower.refused(), mended.follower.repeated()), (0, 1));
    assert!(mended.follower.findings().is_empty(), "{:?}", mended.follower.findings());
    let mut refused_again = refused();
    refused_again.say(&wrong(&refused_again));
    assert_eq!((refused_again.follower.refused(), refused_again.follower.findings().len()), (2, 2));
    let mut given_up = refused();
    given_up.say(&Record::Finished { status: DONE });
    assert_eq!(given_up.follower.refused(), 1);
}

#[test]
fn of_what_leaves_no_trace_only_a_fresh_answer_mends_a_refusal() {
    let refused = || {
        let mut client = Client::new(11);
        while !matches!(client.next(), Operation::Sync | Operation::Fsync { .. }) {
            client.intent();
            if matches!(client.next(), Operation::Walk) {
                let tree = client.tree();
                client.report(&tree);
            }
            client.acknowledge();
        }
        let operation = client.state.operation;
        client.intent();
        client.say(&Record::Acknowledged { operation, status: files::Status::Damaged as u32 });
        client.say(&Record::Complained { operation });
        client
    };
    let mut asked_again = refused();
    asked_again.intent();
    asked_again.acknowledge();
    assert_eq!((asked_again.follower.refused(), asked_again.follower.findings().len()), (0, 0));
    let mut resolved = refused();
    let (seed, operation) = (resolved.seed, resolved.state.operation);
    resolved.follower.died();
    resolved.say(&Record::Begin { seed, operation, fresh: false });
    resolved.say(&Record::Resolved { operation, resolution: Resolution::Done });
    assert_eq!((resolved.follower.refused(), resolved.follower.findings().len()), (1, 1));
}

#[test]
fn a_wrong_answer_and_a_lost_checkpoint_are_found() {
    let mut client = Client::new(8);
    client.run(10);
    client.intent();
    client.say(&Record::Acknowledged { operation: 10, status: files::Status::NoSpace as u32 });
    assert_eq!(client.kinds(), [Kind::Correctness]);

    let mut client = Client::new(8);
    client.run(10);
    client.follower.died();
    client.say(&Record::Begin { seed: 8, operation: 0, fresh: true });
    assert_eq!(client.kinds(), [Kind::Correctness]);
}

#[test]
fn calls_that_were_not_executed_are_asked_for_again() {
    let mut client = Client::new(9);
    client.run(10);
    client.intent();
    client.say(&Record::Acknowledged { operation: 10, status: KERNEL_STATUS + Status::Expired as u32 });
    client.run(10);
    assert_eq!(client.kinds(), []);
    assert_eq!(client.follower.repeated(), 1);
}

#[test]
fn an_unmount_that_fails_is_found() {
    let mut client = Client::new(9);
    client.run(10);
    client.say(&Record::Finished { status: files::Status::Damaged as u32 });
    assert_eq!(client.kinds(), [Kind::Correctness]);
}
