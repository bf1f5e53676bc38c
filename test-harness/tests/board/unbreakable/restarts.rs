//! Lines 2 and 6: a server that is killed from outside again and again.

use super::{boot, deaths, until_words};
use crate::common::is_soak;
use abi::Status;
use abi::trace::Event;

/// Work of one request, in nanoseconds.
const WORK_NS: u64 = 100_000_000;
/// Deadline of the client's call (`system/test-unbreakable-torment.toml`).
const DEADLINE_NS: u64 = 400_000_000;

/// Time from each death of `echo` to its next life's first receive: instructions, by the way the board counts.
fn outages(board: &crate::common::Board) -> Vec<u64> {
    let wanted = board.slot("echo");
    let (mut died, mut outages) = (None, Vec::new());
    for (time, event) in board.all() {
        match event {
            Event::Died { slot, .. } if slot == wanted => died = Some(time),
            Event::Ready { slot, .. } if slot == wanted => {
                outages.extend(died.take().map(|died| time - died));
            }
            _ => {}
        }
    }
    outages
}

#[test]
fn line_02_kills_from_outside_never_make_a_long_request_poison() {
    for kills in [20, 60] {
        let mut board = boot("torment", [kills, 10_000, 3, WORK_NS]);
        assert_eq!(board.slot("echo"), 3);
        let said = until_words(&mut board, "patient", 2);
        for told in &said {
            let (status, value, took) = (told[0], told[1], told[2]);
            println!("{kills} kills: status {status} after {took} ns");
            match status {
                0 => assert_eq!(value, WORK_NS),
                status => {
                    assert_eq!(status, Status::UnknownExpired as u64);
                    assert!((DEADLINE_NS..DEADLINE_NS + 10_000_000).contains(&took), "{took} ns");
                }
            }
        }
        // 20 kills end in time for the answer, 60 do not.
        assert_eq!(said[0][0] == 0, kills == 20, "{said:?}");
        assert!(!board.all().any(|(_, event)| matches!(event, Event::Poisoned { .. })));
        board.finish();
    }
}

#[test]
fn line_06_the_last_of_many_restarts_leaves_and_costs_what_the_first_did() {
    let cycles: u64 = if is_soak() { 1_000_000 } else { 10_000 };
    let mut board = boot("torment", [cycles, 100, 3, 0]);
    let counts = until_words(&mut board, "torment", 2);
    assert_eq!(counts[0], counts[1], "bank bytes, ASIDs, deadlines, queued, in service, lines, running");
    assert_eq!(deaths(&board, "echo").len() as u64, cycles);
    let outages = outages(&board);
    // The first ones find the emulated board as it was after boot: a dozen of each end are compared.
    let (first, last) = (&outages[..12], &outages[outages.len() - 12..]);
    println!("{cycles} cycles, instructions of the first {first:?}, of the last {last:?}");
    let [least, most] = [first.iter().min().unwrap(), first.iter().max().unwrap()];
    let slack = least / 100;
    for cost in last {
        assert!(
            (least - slack..=most + slack).contains(cost),
            "{cost} instructions, {least} to {most} before"
        );
    }
    board.finish();
}
