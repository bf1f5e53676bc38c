//! Deaths and power cuts at every point, over an honest medium: no block is accused, and what was flushed is there.

use super::medium::Medium;
use super::model::{Ask, Client, asks};
use super::{TOTAL, calm};
use crate::Geometry;
use proptest::prelude::*;
use protocols::block::Device;

/// How an incarnation ends.
#[derive(Clone, Copy, Debug)]
enum End {
    /// The layer dies.
    Death,
    /// The power fails.
    Cut,
}

/// One incarnation: it lives until the medium has done `writes` blocks.
fn live(medium: &mut Medium, client: &mut Client, asks: &[Ask], writes: Option<u64>) {
    medium.writes_left = writes;
    let mut layer = calm(medium);
    for ask in asks {
        client.ask(&mut layer, *ask, true);
    }
}

fn end(medium: &mut Medium, client: &mut Client, end: End, seed: &mut u64) {
    medium.writes_left = None;
    if let End::Cut = end {
        medium.cut_power(seed);
        client.lose();
    }
}

fn blocks() -> u64 {
    Geometry::of(TOTAL).unwrap().data
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Death), Just(End::Cut)]
}

proptest! {
    #[test]
    fn incarnations_follow_each_other(
        lives in proptest::collection::vec((asks(blocks(), 12), 0..200_u64, ends()), 1..8),
        mut seed: u64,
    ) {
        let (mut medium, mut client) = (Medium::formatted(TOTAL), Client::new(blocks()));
        for (asks, writes, how) in &lives {
            live(&mut medium, &mut client, asks, Some(*writes));
            end(&mut medium, &mut client, *how, &mut seed);
        }
        client.read_all(&mut calm(&mut medium), true);
        prop_assert_eq!(client.blocks_unread(), 0);
    }

    #[test]
    fn requests_that_fail_accuse_nobody(
        lives in proptest::collection::vec((asks(blocks(), 40), 2..30_u64, ends()), 1..4),
        mut seed: u64,
    ) {
        let (mut medium, mut client) = (Medium::formatted(TOTAL), Client::new(blocks()));
        for (asks, every, how) in &lives {
            medium.fails_every = Some(*every);
            live(&mut medium, &mut client, asks, None);
            medium.fails_every = None;
            end(&mut medium, &mut client, *how, &mut seed);
        }
        client.read_all(&mut calm(&mut medium), true);
        prop_assert_eq!(client.blocks_unread(), 0);
    }
}

/// The longest of these has some 250 blocks written; each is cut after every one of them, several times.
#[test]
fn power_fails_after_every_write() {
    let script = [
        Ask::Write { lba: 60, count: 8 },
        Ask::Write { lba: 62, count: 4 },
        Ask::Flush,
        Ask::Write { lba: 62, count: 2 },
        Ask::Write { lba: 400, count: 1 },
        Ask::Write { lba: 62, count: 2 },
        Ask::Write { lba: 62, count: 2 },
        Ask::Read { lba: 60, count: 8 },
        Ask::Flush,
        Ask::Write { lba: 0, count: 128 },
        Ask::Write { lba: 63, count: 1 },
        Ask::Flush,
    ];
    let mut seed = 1;
    for (how, rounds) in [(End::Cut, 3), (End::Death, 1)] {
        for round in 0..rounds {
            for writes in 0..250 {
                let (mut medium, mut client) = (Medium::formatted(TOTAL), Client::new(blocks()));
                live(&mut medium, &mut client, &script, Some(writes));
                end(&mut medium, &mut client, how, &mut seed);
                let mut layer = calm(&mut medium);
                client.read_all(&mut layer, true);
                // It goes on: nothing that the crash left is in the way.
                script.iter().for_each(|ask| client.ask(&mut layer, *ask, true));
                assert!(layer.flush().is_ok(), "{how:?} after {writes} writes, round {round}");
            }
        }
    }
}
