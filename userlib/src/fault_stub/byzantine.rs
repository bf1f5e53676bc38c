//! Components that go on and do wrong: too much, nonsense, lies, what only others may do.
//!
//! *Rule.* What they do depends on nothing but their number of the round, so that a trial can be had again. They go on receiving
//! notifications: a heartbeat is answered by all of them.

use crate::client::{Client, NO_GRANTS};
use crate::control;
use crate::server::{Event, Request, recv, recv_notifications};
use crate::sys;
use crate::time::Instant;
use abi::message::bits::PEER;
use abi::rights::CALLS_MAX;
use abi::syscall::reply;
use abi::{Message, SLOTS_MAX, SlotId};
use protocols::reincarnation;

/// How long one of the calls waits for its answer, in nanoseconds.
const PATIENCE_NS: u64 = 100_000;

/// Numbers of calls that are guessed in one round.
const GUESSES: u64 = 64;

/// Numbers that look like any (Marsaglia, *Xorshift RNGs*, 2003).
struct Noise(u64);

impl Noise {
    const fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Half of the labels are small, as real ones are.
    fn message(&mut self) -> Message {
        let label = self.next();
        let label = if label & 1 == 0 { label >> 1 & 31 } else { label };
        Message { label, words: [(); 8].map(|()| self.next() >> (self.0 & 63)) }
    }
}

/// Notifies and calls everybody, and takes no request.
pub(super) fn flood() -> ! {
    let mut noise = Noise::new();
    loop {
        for slot in 0..SLOTS_MAX as u32 {
            let _refused = sys::notify(slot, PEER);
        }
        call_everybody(&noise.message());
        let _heartbeat = recv_notifications(Instant::from_ticks(0));
    }
}

/// Answers with whatever comes.
pub(super) fn garbage() -> ! {
    let mut noise = Noise::new();
    answer(|_| noise.message())
}

/// Says that it has done what it was asked for: 0 is that in every protocol of this system.
pub(super) fn plausible() -> ! {
    answer(|request| Message { label: 0, words: request.message.words })
}

/// Answers others' calls, controls others' slots, resets the board.
pub(super) fn forge() -> ! {
    let mut noise = Noise::new();
    loop {
        for call in 0..GUESSES {
            let message = noise.message();
            let _refused = sys::reply(reply::ANSWER, call, &message);
            let _refused = sys::reply(reply::BLAME, noise.next(), &message);
        }
        for slot in 0..SLOTS_MAX as SlotId {
            let _refused = control::kill(slot, abi::record::DeathClass::Killed);
            let _refused = control::start(slot);
            let _refused = sys::slot_ctl(slot.into(), noise.next() & 7);
            let _refused = sys::inject(slot.into(), 1, 0, 0);
            let _refused = sys::store(slot.into(), 0, &[0; 64]);
        }
        let _refused = sys::reset(noise.next() & 1);
        call_everybody(&noise.message());
        let _heartbeat = recv_notifications(Instant::from_ticks(0));
    }
}

/// Complains of everybody. Who is no reincarnation server gets a request that it does not know, or another one.
pub(super) fn accuse() -> ! {
    loop {
        for slot in 0..SLOTS_MAX as SlotId {
            call_everybody(&reincarnation::Request::Complain(slot).encode());
        }
        let _heartbeat = recv_notifications(Instant::from_ticks(0));
    }
}

fn call_everybody(message: &Message) {
    for handle in 0..CALLS_MAX as u32 {
        let _whatever =
            Client::new(handle, 0).call_until(message, NO_GRANTS, Instant::now().plus_ns(PATIENCE_NS));
    }
}

fn answer(mut with: impl FnMut(&Request) -> Message) -> ! {
    loop {
        if let Event::Request(request) = recv(Instant::NEVER) {
            let message = with(&request);
            let _gone = request.reply(&message);
        }
    }
}
