//! The protocol of drivers of registers: what `x new driver --kind bus` makes speaks it, each as a service of its own name.
//!
//! *Rule.* Both requests are idempotent: writes are absolute, so that doing one twice leaves what doing it once leaves.

use crate::Service;
use abi::Message;

const READ: u64 = 1;
const WRITE: u64 = 2;
const ALL: u64 = 1 << READ | 1 << WRITE;

/// Labels and marks.
pub const SERVICE: Service = Service { name: "registers", labels: ALL, idempotent: ALL, deduplicated: 0 };

/// Label of a reply that says success.
pub const OK: u64 = 0;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// The value of a register.
    Read {
        /// In bytes from the device's first register.
        offset: u32,
    },
    /// Sets a register.
    Write {
        /// In bytes from the device's first register.
        offset: u32,
        /// All its bits.
        value: u32,
    },
}

/// Why a request was not carried out. The number is the label of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[must_use = "the register was not reached"]
pub enum Error {
    /// Caller's fault: unknown label, or a number beyond 32 bits.
    BadRequest = 1,
    /// Caller's fault: the driver gives nobody a register at this offset.
    NoSuchRegister = 2,
    /// Caller's fault: the register can only be read.
    ReadOnly = 3,
    /// The device did not answer.
    Device = 4,
}

impl Error {
    /// Every error.
    pub const ALL: [Self; 4] = [Self::BadRequest, Self::NoSuchRegister, Self::ReadOnly, Self::Device];
}

impl Request {
    /// The message that asks this.
    pub fn encode(self) -> Message {
        match self {
            Self::Read { offset } => Message::new(READ, &[offset.into()]),
            Self::Write { offset, value } => Message::new(WRITE, &[offset.into(), value.into()]),
        }
    }

    /// What a message asks.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an unknown label or a number beyond 32 bits.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        let [offset, value, ..] = message.words;
        let offset = u32::try_from(offset).map_err(|_| Error::BadRequest)?;
        match (message.label, u32::try_from(value)) {
            (READ, _) => Ok(Self::Read { offset }),
            (WRITE, Ok(value)) => Ok(Self::Write { offset, value }),
            _ => Err(Error::BadRequest),
        }
    }
}

/// The reply with this result: the register's value, or the one that was written.
pub fn reply(result: Result<u32, Error>) -> Message {
    match result {
        Ok(value) => Message::new(OK, &[value.into()]),
        Err(error) => Message::new(error as u64, &[]),
    }
}

/// What a reply says. A label that is not known counts as a device that does not answer.
pub fn done(reply: &Message) -> Result<u32, Error> {
    if reply.label == OK {
        return Ok(reply.words[0] as u32);
    }
    Err(Error::ALL.into_iter().find(|error| *error as u64 == reply.label).unwrap_or(Error::Device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_and_replies_round_trip(offset: u32, value: u32) {
            for request in [Request::Read { offset }, Request::Write { offset, value }] {
                let message = request.encode();
                prop_assert_eq!(Request::decode(&message), Ok(request));
                prop_assert!(SERVICE.idempotent & 1 << message.label != 0);
            }
            prop_assert_eq!(done(&reply(Ok(value))), Ok(value));
        }

        #[test]
        fn a_number_beyond_32_bits_is_refused(label in 0..4_u64, high in 1..u64::MAX >> 32) {
            prop_assert_eq!(Request::decode(&Message::new(label, &[high << 32, 0])), Err(Error::BadRequest));
            prop_assert_eq!(Request::decode(&Message::new(WRITE, &[0, high << 32])), Err(Error::BadRequest));
        }
    }

    #[test]
    fn errors_round_trip_and_an_unknown_one_is_no_success() {
        for error in Error::ALL {
            assert_eq!(done(&reply(Err(error))), Err(error));
        }
        assert_eq!(done(&Message::new(77, &[])), Err(Error::Device));
    }
}
