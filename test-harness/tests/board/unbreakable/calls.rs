//! Lines 1, 3, 4 and 5: poison among many requests, deadlines in the middle of a copy, answers to calls that are over.

use super::{answer_to, boot, deaths, until_words};
use crate::common::is_soak;
use abi::Status;
use abi::record::DeathClass;
use abi::trace::Event;

/// What is in a window that nobody wrote to (`apps/hostile`).
const UNTOUCHED: u64 = 0x7361_6D73_6172_6121;

/// Slot of the first of the twenty clients, behind root, RS and the server.
const FIRST_CLIENT: u64 = 3;

#[test]
fn line_01_one_of_twenty_requests_is_poison_and_the_other_nineteen_are_answered() {
    let all: Vec<u64> = (0..20).collect();
    let places = if is_soak() { &all[..] } else { &[0, 10, 19] };
    for place in places {
        let poison = FIRST_CLIENT + place;
        let mut board = boot("crowd", [poison, 0, 0, 0]);
        assert_eq!(u64::from(board.slot("client-1")), FIRST_CLIENT);
        for number in 1..=20 {
            let said = until_words(&mut board, &format!("client-{number}"), 1);
            let slot = FIRST_CLIENT + number - 1;
            let expected =
                if slot == poison { [Status::Poisoned as u64, 0, 1] } else { [0, answer_to(slot), 1] };
            assert_eq!(said, [expected.to_vec()], "client {number}, poison at {place}");
        }
        let deaths = deaths(&board, "echo");
        let served: Vec<_> = deaths.iter().map(|death| (death.class, u64::from(death.in_service))).collect();
        // It had all that came before the poison; then, alone, the poison.
        assert_eq!(served.first(), Some(&(DeathClass::Panic, place + 1)), "{}", board.story());
        assert_eq!(served[1..], [(DeathClass::Panic, 1)], "{}", board.story());
        let poisoned = |event: &Event| matches!(event, Event::Poisoned { .. });
        assert_eq!(board.all().filter(|(_, event)| poisoned(event)).count(), 1);
        assert_eq!(board.all_deaths().len(), 2, "{:?}", board.all_deaths());
        board.finish();
    }
}

#[test]
fn line_03_deadlines_in_the_middle_of_large_copies_cost_the_server_nothing() {
    let calls: u64 = if is_soak() { 100_000 } else { 5_000 };
    let mut board = boot("grants", [calls, calls, 0, 0]);
    let said = until_words(&mut board, "generous", 1);
    let [whole, expired, other] = [said[0][0], said[0][1], said[0][2]];
    println!("{calls} calls: {whole} answered, {expired} expired in service, {other} otherwise");
    assert_eq!((whole + expired + other, other), (calls, 0), "the last other one: {:?}", &said[0][3..]);
    assert!(whole > calls / 20 && expired > calls / 20, "the deadlines hit one side of the copies only");
    assert_eq!(board.all_deaths(), Vec::<String>::new());
    board.finish();
}

#[test]
fn line_04_an_answer_to_a_call_that_timed_out_is_not_one_to_the_next_call() {
    let rounds: u64 = if is_soak() { 100_000 } else { 2_000 };
    let mut board = boot("late", [0, 0, 0, rounds]);
    let said = until_words(&mut board, "hasty", rounds as usize + 1);
    for (round, told) in (0..rounds).zip(&said) {
        let expected = [round, Status::UnknownExpired as u64, 0, answer_to(2 * round + 1), UNTOUCHED];
        assert_eq!(told[..], expected);
    }
    let stale = Status::Stale as u64;
    let server = until_words(&mut board, "echo", rounds as usize);
    assert!(server.iter().all(|told| told[..] == [stale, stale, 0]), "{:?}", server.first());
    assert_eq!(board.all_deaths(), Vec::<String>::new());
    println!("{rounds} answers to calls that had timed out: all stale");
    board.finish();
}

#[test]
fn line_05_an_answer_to_an_earlier_life_does_not_reach_the_next_one() {
    let lives: u64 = if is_soak() { 20_000 } else { 500 };
    let mut board = boot("late", [lives, 1_000, 5, 0]);
    assert_eq!(board.slot("mortal"), 5);
    // The counts before and after.
    until_words(&mut board, "torment", 2);
    let said = super::words(&board, "mortal");
    assert!(said.len() as u64 >= lives / 2, "{} answers in {lives} lives", said.len());
    for told in &said {
        assert_eq!(told[..], [told[0], 0, answer_to(told[0]), UNTOUCHED]);
        assert_eq!(told[0] % 2, 0, "only every second life is answered");
    }
    let stale = Status::Stale as u64;
    let server = super::words(&board, "echo");
    assert!(server.iter().all(|told| told[..] == [stale, stale, 0]), "{:?}", server.first());
    assert!(server.len() as u64 + 1 >= lives / 2, "{} answers to dead ones", server.len());
    assert_eq!(deaths(&board, "mortal").len() as u64, lives);
    println!("{} lives answered, {} answers to dead ones: all stale", said.len(), server.len());
    board.finish();
}
