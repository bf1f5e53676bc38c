//! Lines 2 and 6: a server that is killed from outside again and again.

use super::{boot, until_words};
use crate::common::{Depth, depth};
use abi::Status;
use abi::trace::Event;

/// Slot of the server (`system/test-unbreakable-torment.toml`).
const ECHO: u8 = 3;

/// Work of one request, in nanoseconds.
const WORK_NS: u64 = 100_000_000;
/// Deadline of the client's call (`system/test-unbreakable-torment.toml`).
const DEADLINE_NS: u64 = 400_000_000;

/// Instructions of one tick of the board's clock; two stamps may be off by one each.
const TICK: u64 = 16;

/// Restarts at each end that are compared.
const COMPARED: usize = 200;

/// Where incarnation numbers get longer: varints by 7 bits, integers by bytes.
const LENGTHS: [u64; 6] = [1, 128, 256, 16_384, 65_536, 2_097_152];

/// One restart: its number from 1 on, when the server died, and for how long it was away, in instructions.
struct Restart {
    number: u64,
    died: u64,
    outage: u64,
}

impl Restart {
    /// How long the numbers are that are written down in it: that of the incarnation, and the time in ticks, a varint.
    fn lengths(&self) -> (usize, u32) {
        (
            LENGTHS.iter().filter(|length| self.number >= **length).count(),
            (self.died / TICK).max(1).ilog2() / 7,
        )
    }
}

#[test]
fn line_02_kills_from_outside_never_make_a_long_request_poison() {
    for kills in [20, 60] {
        let mut board = boot("torment", [kills, 10_000, ECHO.into(), WORK_NS]);
        assert_eq!(board.slot("echo"), ECHO);
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
    let cycles: u64 = match depth() {
        Depth::Quick => 1_000,
        Depth::Full => 10_000,
        Depth::Soak => 1_000_000,
    };
    let mut board = boot("torment", [cycles, 100, ECHO.into(), 0]);
    let (torment, echo, steady) = (board.slot("torment"), board.slot("echo"), board.slot("steady"));
    assert_eq!(echo, ECHO);
    let (mut counts, mut died, mut deaths) = (Vec::new(), None, 0);
    // From each death to the next life's first receive: instructions, by the way the board counts.
    let (mut restarts, mut with_request, mut answered) = (Vec::new(), 0, Vec::new());
    board.fold("the counts before and after", |time, event| {
        match *event {
            Event::Application { slot, data, .. } if slot == torment => counts.push(super::words_of(data)),
            Event::Application { slot, data, .. } if slot == steady => answered = super::words_of(data),
            Event::Died { slot, in_service, .. } if slot == echo => {
                died = Some(time);
                deaths += 1;
                with_request += u64::from(in_service);
            }
            Event::Died { .. } => panic!("{event:?}"),
            Event::Ready { slot, .. } if slot == echo => {
                let number = restarts.len() as u64 + 1;
                restarts.extend(died.take().map(|died| Restart { number, died, outage: time - died }));
            }
            _ => {}
        }
        counts.len() == 2
    });
    assert_eq!(counts[0], counts[1], "bank bytes, ASIDs, deadlines, queued, in service, lines, running");
    assert_eq!((deaths, restarts.len() as u64), (cycles, cycles));
    assert_eq!(answered, [cycles / 2, 0], "calls of a client meanwhile, and those answered wrongly");
    assert!(with_request > cycles / 200, "only {with_request} of {cycles} deaths had a request");
    let whole = assert_even(&restarts);
    println!(
        "{cycles} restarts, {with_request} with a request: medians of {} instructions at first, {} at last",
        whole[0], whole[1]
    );
    assert!(whole[1] <= whole[0] + whole[0] / 50, "{whole:?}: numbers of more bytes alone cost so much");
    board.finish();
}

/// Fails if the last restarts took longer than the first ones; returns the medians of the very first and the very last.
///
/// Numbers of incarnations and times take more bytes as they grow, in the frames on the evidence line and in RS's checkpoint: restarts
/// are compared with others whose numbers have the same lengths.
fn assert_even(restarts: &[Restart]) -> [u64; 2] {
    let median = |restarts: &[Restart]| {
        let mut sorted: Vec<_> = restarts.iter().map(|restart| restart.outage).collect();
        sorted.sort_unstable();
        sorted[sorted.len() / 2]
    };
    let (mut least, mut most) = (None, 0);
    for class in restarts.chunk_by(|one, next| one.lengths() == next.lengths()) {
        let count = COMPARED.min(class.len() / 2);
        if count == 0 {
            continue;
        }
        let (first, last) = (median(&class[..count]), median(&class[class.len() - count..]));
        println!(
            "restarts {} to {}: {first} instructions at first, {last} at last",
            class[0].number,
            class[class.len() - 1].number
        );
        assert!(first.abs_diff(last) <= 2 * TICK, "{first} instructions at first, {last} at last");
        least.get_or_insert(first);
        most = last;
    }
    [least.expect("there were restarts"), most]
}
