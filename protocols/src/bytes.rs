//! The protocol of drivers of bytes: the random number generator speaks it, and what `x new driver --kind char` makes, each as a
//! service of its own name.
//!
//! *Rule.* Reading is idempotent: it takes nothing away, and a repeated request may get other bytes. A device whose bytes are
//! gone once they are read needs a protocol with positions, as `console` has.

use crate::Service;
use abi::Message;

/// Most bytes in one request.
pub const FILL_MAX: u32 = 64;

const FILL: u64 = 1;

/// Labels and marks.
pub const SERVICE: Service =
    Service { name: "bytes", labels: 1 << FILL, idempotent: 1 << FILL, deduplicated: 0 };

/// Label of a reply that says success.
pub const OK: u64 = 0;

/// Fills grant 0, which must be writable, with this many bytes, 1 to [`FILL_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill(pub u32);

/// Why a request was not carried out. The number is the label of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[must_use = "the grant holds no bytes"]
pub enum Error {
    /// Caller's fault: unknown label, length or grant out of range.
    BadRequest = 1,
    /// The device gave no byte in time.
    Timeout = 2,
}

impl Fill {
    /// The message that asks this.
    pub fn encode(self) -> Message {
        Message::new(FILL, &[self.0.into()])
    }

    /// What a message asks.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        match (message.label, message.words[0]) {
            (FILL, length) if (1..=u64::from(FILL_MAX)).contains(&length) => Ok(Self(length as u32)),
            _ => Err(Error::BadRequest),
        }
    }
}

/// The reply with this result.
pub fn reply(result: Result<(), Error>) -> Message {
    Message::new(result.map_or_else(|error| error as u64, |()| OK), &[])
}

/// What a reply says. Anything but success and a bad request counts as a device that does not answer.
pub fn done(reply: &Message) -> Result<(), Error> {
    match reply.label {
        OK => Ok(()),
        label if label == Error::BadRequest as u64 => Err(Error::BadRequest),
        _ => Err(Error::Timeout),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_message_is_a_request_in_range_or_an_error(label in 0..3_u64, length in 0..80_u64) {
            let valid = label == FILL && (1..=u64::from(FILL_MAX)).contains(&length);
            match Fill::decode(&Message::new(label, &[length])) {
                Ok(fill) => prop_assert!(valid && fill.encode() == Message::new(label, &[length])),
                Err(error) => prop_assert!(!valid && error == Error::BadRequest),
            }
        }
    }

    #[test]
    fn results_round_trip() {
        for result in [Ok(()), Err(Error::BadRequest), Err(Error::Timeout)] {
            assert_eq!(done(&reply(result)), result);
        }
    }
}
