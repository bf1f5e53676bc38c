//! Servers of `echo` that do what a correct one does not: hold many requests, answer those that are over, copy too late.

use crate::{Aligned, answer_to, number, pause, say};
use protocols::echo::{Reply, Request as Asked};
use protocols::progress;
use userlib::{Event, Instant, Message, Request, recv};

/// Most requests in hand.
const HELD_MAX: usize = 20;

/// A server that has nothing new for so long answers what it holds.
const SILENCE_NS: u64 = 5_000_000;

fn reply_to(request: &Request) -> Message {
    let (done, value) = match Asked::decode(&request.message) {
        Some(Asked::Echo(value)) => (true, answer_to(value)),
        _ => (false, 0),
    };
    Reply { done, value, incarnation: 0, attempt: request.meta.attempt }.encode()
}

/// Takes requests until nothing new comes, and answers them then; panics of one that asks for it while it holds the
/// others. A request that was delivered before is answered at once.
pub fn gather() -> ! {
    let mut held: [Option<Request>; HELD_MAX] = [const { None }; HELD_MAX];
    loop {
        let until = if held[0].is_some() { Instant::now().plus_ns(SILENCE_NS) } else { Instant::NEVER };
        match recv(until) {
            Event::Request(request) => {
                assert!(Asked::decode(&request.message) != Some(Asked::Crash), "asked to crash");
                let free = held.iter_mut().find(|place| place.is_none());
                match free {
                    Some(place) if request.meta.attempt == 0 => *place = Some(request),
                    _ => answer(request),
                }
            }
            Event::Notification(_) => {}
            Event::Timeout => held.iter_mut().filter_map(Option::take).for_each(answer),
        }
    }
}

fn answer(request: Request) {
    let reply = reply_to(&request);
    // Whoever has given up meanwhile needs no answer.
    let _given_up = request.reply(&reply);
}

/// Answers each request only when the next one is there: first the old one, then the new one. Says what the kernel
/// said to a copy from and to the old one, to its answer, and to the answer of the new one.
pub fn late() -> ! {
    let mut old: Option<Request> = None;
    loop {
        let Event::Request(request) = recv(Instant::NEVER) else { continue };
        let Some(over) = old.take() else {
            old = Some(request);
            continue;
        };
        let reply = reply_to(&over);
        let code = |result: Result<(), userlib::Status>| result.err().map_or(0, |status| status as u64);
        let written = code(over.copy_out(0, 0, &[0x5A; 8]));
        let stale = code(over.reply(&reply));
        let reply = reply_to(&request);
        let fresh = code(request.reply(&reply));
        say(&[written, stale, fresh]);
    }
}

/// Copies a window of 64 KiB about when the caller's deadline comes: some instants before it, or after it.
pub fn slow_copy() -> ! {
    let mut buffer = Aligned([0; 4096]);
    let buffer = &mut buffer.0;
    let mut round: u64 = 0;
    loop {
        let Event::Request(request) = recv(Instant::NEVER) else { continue };
        // From 0.9 to 1.1 ms, in steps that have no common factor with the length of a copy.
        pause(900 + round * 37 % 200);
        round += 1;
        let length = request.grant_length(0);
        let mut at = 0;
        while at < length && request.copy_in(0, at, buffer).is_ok() {
            at += buffer.len();
        }
        let reply = Reply { done: at == length, value: at as u64, incarnation: 0, attempt: 0 };
        let _given_up = request.reply(&reply.encode());
        // Counted here, because clients see only what they were answered.
        if round.is_multiple_of(number(1)) {
            say(&[round]);
        }
    }
}

/// Answers one request of `progress` at a time, each after it has waited for its device, so to say, for 50 us.
pub fn doze() -> ! {
    for count in 0.. {
        let request = loop {
            if let Event::Request(request) = recv(Instant::NEVER) {
                break request;
            }
        };
        pause(50);
        let _given_up = request.reply(&progress::answer(count));
    }
    unreachable!("as many requests as numbers")
}
