//! The `gpio` service: one pin of the board, as an output.
//!
//! *Rule.* Both requests are idempotent: a level is set and not changed, so that a request that outlived its server may be
//! carried out again. That is why there is no "toggle": a client that wants one reads first, and nobody else writes.

use crate::Service;
use abi::Message;

const SET: u64 = 1;
const GET: u64 = 2;
const ALL: u64 = 1 << SET | 1 << GET;

/// Labels and marks.
pub const SERVICE: Service = Service { name: "gpio", labels: ALL, idempotent: ALL, deduplicated: 0 };

/// Label of a reply that says success.
pub const OK: u64 = 0;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Makes the level high, or low.
    Set(bool),
    /// The level.
    Get,
}

/// Why a request was not carried out. The number is the label of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[must_use = "the level is as before"]
pub enum Error {
    /// Caller's fault: unknown label, or a level that is neither 0 nor 1.
    BadRequest = 1,
}

impl Request {
    /// The message that asks this.
    pub fn encode(self) -> Message {
        match self {
            Self::Set(high) => Message::new(SET, &[high.into()]),
            Self::Get => Message::new(GET, &[]),
        }
    }

    /// What a message asks.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an unknown label or level.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        match (message.label, message.words[0]) {
            (SET, level @ (0 | 1)) => Ok(Self::Set(level == 1)),
            (GET, _) => Ok(Self::Get),
            _ => Err(Error::BadRequest),
        }
    }
}

/// The reply with this result: the level.
pub fn reply(result: Result<bool, Error>) -> Message {
    match result {
        Ok(high) => Message::new(OK, &[high.into()]),
        Err(error) => Message::new(error as u64, &[]),
    }
}

/// What a reply says.
pub fn done(reply: &Message) -> Result<bool, Error> {
    if reply.label == OK { Ok(reply.words[0] != 0) } else { Err(Error::BadRequest) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn requests_and_replies_round_trip() {
        for request in [Request::Set(false), Request::Set(true), Request::Get] {
            let message = request.encode();
            assert_eq!(Request::decode(&message), Ok(request));
            assert!(SERVICE.idempotent & 1 << message.label != 0);
        }
        for result in [Ok(false), Ok(true), Err(Error::BadRequest)] {
            assert_eq!(done(&reply(result)), result);
        }
    }

    proptest! {
        #[test]
        fn what_is_no_request_is_an_error(label in 3..u64::MAX, level in 2..u64::MAX) {
            prop_assert_eq!(Request::decode(&Message::new(label, &[0])), Err(Error::BadRequest));
            prop_assert_eq!(Request::decode(&Message::new(SET, &[level])), Err(Error::BadRequest));
        }
    }
}
