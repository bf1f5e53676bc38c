//! The `echo` service: what tests and benchmarks ask of the fixture.
//!
//! *Role.* Every mark, every way of carrying data and every way of failing with a request in hand, without a device.
//!
//! *Rule.* A reply says which incarnation gave it and at which delivery, so that a test can tell what happened.

use crate::Service;
use abi::Message;

/// Most bytes of [`Request::Copy`].
pub const COPY_MAX: u32 = 4096;

const ECHO: u64 = 1;
const ECHO_ONCE: u64 = 2;
const COUNT: u64 = 3;
const COPY: u64 = 4;
const CRASH: u64 = 5;
const CRASH_ONCE: u64 = 6;
const HOLD: u64 = 7;
const CHECKSUM: u64 = 8;
const GARBLE: u64 = 9;

const ONCE: u64 = 1 << ECHO_ONCE | 1 << CRASH_ONCE;
const DEDUPLICATED: u64 = 1 << COUNT;
const IDEMPOTENT: u64 = 1 << ECHO | 1 << COPY | 1 << CRASH | 1 << HOLD | 1 << CHECKSUM | 1 << GARBLE;

/// Labels and marks.
pub const SERVICE: Service = Service {
    name: "echo",
    labels: ONCE | DEDUPLICATED | IDEMPOTENT,
    idempotent: IDEMPOTENT,
    deduplicated: DEDUPLICATED,
};

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Idempotent: gives the value back.
    Echo(u64),
    /// At most once: gives the value back.
    EchoOnce(u64),
    /// Deduplicated: adds one to a counter in the checkpoint and gives the new value.
    Count(Crash),
    /// Idempotent: copies so many bytes, at most [`COPY_MAX`], from grant 0 to grant 1.
    Copy(u32),
    /// Idempotent: panics, at each delivery.
    Crash,
    /// At most once: panics.
    CrashOnce,
    /// Idempotent: uses CPU for so many nanoseconds before it answers.
    Hold(u64),
    /// Idempotent: gives the sum of the fixture's data, which is [`Request::Garble`]d or as built.
    Checksum,
    /// Idempotent: overwrites the fixture's data.
    Garble,
}

/// Where [`Request::Count`] panics at its first delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Crash {
    /// Nowhere.
    Never = 0,
    /// Before the commit.
    BeforeCommit = 1,
    /// Between the commit and the reply.
    AfterCommit = 2,
}

/// What the fixture answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The request was understood and its grants could be copied.
    pub done: bool,
    /// Value that was asked for.
    pub value: u64,
    /// Incarnation that answers.
    pub incarnation: u32,
    /// How often the request was delivered before.
    pub attempt: u8,
}

impl Request {
    /// The message that asks this.
    pub fn encode(self) -> Message {
        match self {
            Self::Echo(value) => Message::new(ECHO, &[value]),
            Self::EchoOnce(value) => Message::new(ECHO_ONCE, &[value]),
            Self::Count(crash) => Message::new(COUNT, &[crash as u64]),
            Self::Copy(bytes) => Message::new(COPY, &[bytes.into()]),
            Self::Crash => Message::new(CRASH, &[]),
            Self::CrashOnce => Message::new(CRASH_ONCE, &[]),
            Self::Hold(ns) => Message::new(HOLD, &[ns]),
            Self::Checksum => Message::new(CHECKSUM, &[]),
            Self::Garble => Message::new(GARBLE, &[]),
        }
    }

    /// What a message asks; `None` for an unknown label or an argument out of range.
    pub fn decode(message: &Message) -> Option<Self> {
        let value = message.words[0];
        Some(match message.label {
            ECHO => Self::Echo(value),
            ECHO_ONCE => Self::EchoOnce(value),
            COUNT => Self::Count(Crash::from_code(value)?),
            COPY => Self::Copy(u32::try_from(value).ok().filter(|&bytes| bytes <= COPY_MAX)?),
            CRASH => Self::Crash,
            CRASH_ONCE => Self::CrashOnce,
            HOLD => Self::Hold(value),
            CHECKSUM => Self::Checksum,
            GARBLE => Self::Garble,
            _ => return None,
        })
    }
}

impl Crash {
    fn from_code(code: u64) -> Option<Self> {
        [Self::Never, Self::BeforeCommit, Self::AfterCommit].into_iter().find(|crash| *crash as u64 == code)
    }
}

impl Reply {
    /// The message that answers this.
    pub fn encode(&self) -> Message {
        Message::new(u64::from(!self.done), &[self.value, self.incarnation.into(), self.attempt.into()])
    }

    /// What a message answers.
    pub fn decode(message: &Message) -> Self {
        let [value, incarnation, attempt, ..] = message.words;
        Self { done: message.label == 0, value, incarnation: incarnation as u32, attempt: attempt as u8 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_and_replies_round_trip(value: u64, bytes in 0..=COPY_MAX, incarnation: u32, attempt: u8, done: bool) {
            use Request::{Checksum, Copy, Count, Crash as Panic, CrashOnce, Echo, EchoOnce, Garble, Hold};
            let counts = [Crash::Never, Crash::BeforeCommit, Crash::AfterCommit].map(Count);
            let others = [Echo(value), EchoOnce(value), Copy(bytes), Panic, CrashOnce, Hold(value), Checksum, Garble];
            for request in counts.into_iter().chain(others) {
                let message = request.encode();
                prop_assert_eq!(Request::decode(&message), Some(request));
                prop_assert!(SERVICE.labels & 1 << message.label != 0);
            }
            let reply = Reply { done, value, incarnation, attempt };
            prop_assert_eq!(Reply::decode(&reply.encode()), reply);
        }
    }

    #[test]
    fn what_is_out_of_range_is_refused_and_no_label_has_two_marks() {
        assert_eq!(Request::decode(&Message::new(COPY, &[u64::from(COPY_MAX) + 1])), None);
        assert_eq!(Request::decode(&Message::new(COUNT, &[3])), None);
        assert_eq!(Request::decode(&Message::new(0, &[])), None);
        assert_eq!(SERVICE.idempotent & SERVICE.deduplicated, 0);
    }
}
