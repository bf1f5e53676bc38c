//! The emulator is killed from outside, at any moment, and boots again with the same card.
//!
//! The client's acknowledgements up to that moment are known from the evidence line: what the emulator had written is
//! read to its end. After the last boot the client only lists and reads, the oracle compares, and the card is looked at
//! with the file system's own tools.

use crate::common::{Board, Setup, follow, is_soak, kill, plan, system};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use test_harness::oracle::card as card_oracle;
use test_harness::oracle::workload::{Follower, Promise};
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};

/// Events before which the client has hardly begun.
const FIRST: u64 = 90;

/// The same for a boot in which the client only lists and reads: from the start of the components to the walk.
const AGAIN_FIRST: u64 = 14;
const AGAIN_EVENTS: u64 = 20;

/// Kills, and events among which the moment of the kill is drawn.
fn extent() -> (u64, u64) {
    if is_soak() { (100, 2000) } else { (6, 700) }
}

/// What a run of cuts came to.
#[derive(Default)]
struct Outcome {
    acknowledged: u32,
    /// Cuts that left a journal to be recovered.
    journals: u32,
    /// Cuts in the middle of an operation.
    halved: u32,
}

#[test]
fn what_was_acknowledged_survives_a_cut_at_any_moment() {
    let system = system("demo");
    let (cuts, events) = extent();
    let mut random = ChaCha8Rng::seed_from_u64(0x6375_7473);
    let mut outcome = Outcome::default();
    for seed in 1..=cuts {
        let after = FIRST + random.next_u64() % events;
        // Every other time the next boot is cut, too, while it mounts or walks.
        let again = (seed % 2 == 0).then(|| AGAIN_FIRST + random.next_u64() % AGAIN_EVENTS);
        cut(&system, seed, after, again, &mut outcome);
    }
    println!(
        "{cuts} cuts: {} operations acknowledged, {} journals recovered, {} operations cut in the middle",
        outcome.acknowledged, outcome.journals, outcome.halved
    );
    assert!(outcome.journals > 0, "no cut left a journal: the test looks at nothing");
    assert!(u64::from(outcome.acknowledged) > cuts * 5);
}

/// Cuts the power after a number of events, then boots again, or cuts the next boot after `again` events and boots then.
fn cut(system: &System, seed: u64, after: u64, again: Option<u64>, outcome: &mut Outcome) {
    let what = format!("seed {seed}, cut after {after} events, then after {again:?}");
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.img");
    card::make(&card, CARD_BYTES).unwrap();
    let client = system.slot("client").unwrap();
    let mut follower = Follower::new(seed, Promise::Acknowledged);
    let mut run = |entries: &[_], events: u64| {
        let setup = Setup { card: Some(&card), plan: Some(plan(seed, 0, entries)), ..Setup::default() };
        let mut board = Board::boot(system, &setup);
        board.until("events", |board| board.events.len() as u64 >= events);
        let events = board.cut_power();
        follow(&mut follower, client, &events, 0);
        follower.reset();
    };
    run(&[], after);
    // A step in the past tells the client that this is not the first boot.
    let later = [kill(client, 0)];
    if let Some(events) = again {
        run(&later, events);
    }
    outcome.journals += u32::from(needs_recovery(&card));
    outcome.acknowledged += follower.acknowledged();
    outcome.halved += u32::from(follower.possible_trees().len() > 1);
    assert!(follower.acknowledged() > 0, "{what}: the client had not begun");

    let setup = Setup { card: Some(&card), plan: Some(plan(seed, 0, &later)), ..Setup::default() };
    let mut board = Board::boot(system, &setup);
    let mut seen = 0;
    board.until(&what, |board| {
        seen = follow(&mut follower, client, &board.events, seen);
        follower.is_finished()
    });
    assert_eq!(board.all_deaths(), Vec::<String>::new(), "{what}");
    board.finish();
    assert_eq!(follower.findings(), [], "{what}");
    assert!(follower.walks().last().is_some_and(|walk| walk.intact), "{what}: no walk after the cut");
    let checked = card_oracle::check(&card).unwrap();
    assert!(checked.clean, "{what}: {}", checked.output);
    let contents = card_oracle::read(&card).unwrap();
    assert_eq!(card_oracle::compare(&contents, &follower.possible_trees()), [], "{what}");
}

/// Whether the superblock says that the journal must be replayed (ext4 disk layout, "Super Block": incompat bit 2).
fn needs_recovery(card: &Path) -> bool {
    let mut file = std::fs::File::open(card).unwrap();
    file.seek(SeekFrom::Start(1024 + 96)).unwrap();
    let mut incompatible = [0; 4];
    file.read_exact(&mut incompatible).unwrap();
    u32::from_le_bytes(incompatible) & 4 != 0
}
