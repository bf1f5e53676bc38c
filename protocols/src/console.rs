//! The `console` service: a line for text, both ways, byte for byte.
//!
//! *Role.* What a terminal driver serves. Line editing, echo and the translation of line ends are the client's.
//!
//! *Rule for output.* A write answered `Ok` has been handed to the device in whole. A write is *deduplicated*: when the
//! driver dies in the middle of one, its next incarnation goes on where the checkpoint says that the last one was, so
//! that no byte is lost and at most [`REPEAT_MAX`] bytes of that one write appear twice.
//!
//! *Rule for receipts.* The answer to a write carries a [`Receipt`] over the bytes that went into the device's register, in their
//! order, taken there. A client that compares it with its own bytes finds out that a driver has lost or changed some, and that a
//! driver says that it has written what it has not.
//!
//! *Rule for input.* The input is a stream of numbered bytes. A read names the number of the first byte that it wants,
//! which also says that all bytes before it need not be kept. So reads are *idempotent*, and the byte that was read
//! but not yet acknowledged outlives the driver. There is one reader.
//!
//! *Rule for waiting.* With no input a read answers [`Reply::Again`] at once, and the reader is notified with
//! [`NOTIFY_INPUT`] when there is some (once, and once more after each restart of the driver, so that no notification
//! can be lost with an incarnation).

use crate::Service;
use abi::Message;
use serde::{Deserialize, Serialize};

/// Most bytes in one write: 22 ms at 115200 baud, which bounds the time in service.
pub const WRITE_MAX: u32 = 256;

/// Most bytes of the write in flight that appear twice when the driver dies.
pub const REPEAT_MAX: usize = 16;

/// Most bytes that one read returns.
pub const READ_MAX: u32 = 256;

/// Notification bit for the reader: there is input.
pub const NOTIFY_INPUT: u64 = 1 << 0;

const WRITE: u64 = 1;
const READ: u64 = 2;
const ATTACH: u64 = 3;

/// Labels and marks.
pub const SERVICE: Service = Service {
    name: "console",
    labels: 1 << WRITE | 1 << READ | 1 << ATTACH,
    idempotent: 1 << READ | 1 << ATTACH,
    deduplicated: 1 << WRITE,
};

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Writes the bytes of grant 0.
    Write {
        /// Number of bytes, 1 to [`WRITE_MAX`].
        length: u32,
    },
    /// Reads into grant 0, which must be writable.
    Read {
        /// Number of the first byte wanted: where the last read ended. All bytes before it may be dropped.
        position: u64,
        /// Room in the grant in bytes, at most [`READ_MAX`]. With 0 the request only says what may be dropped.
        room: u32,
    },
    /// Asks where a new reader begins: at the first byte that no reader was ever given. A reader that was restarted thus
    /// does not see the command again of which it died.
    Attach,
}

/// What the driver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::Write`]: all bytes are with the device, and these are they.
    Written(Receipt),
    /// To [`Request::Read`]: bytes are in the grant.
    Input {
        /// Number of the first byte. Another one than asked for only if the stream does not have that byte: input was
        /// lost with a checkpoint, and the reader goes on from here.
        position: u64,
        /// Number of bytes; 0 only if the room was 0. There may be more to read at once.
        length: u32,
        /// Bytes that arrived damaged, or at a full device, since the stream began; they are not part of it.
        lost: u64,
    },
    /// To [`Request::Read`]: there is no input; a notification follows. The reader's position is this one.
    Again {
        /// Number of the next byte that will arrive.
        position: u64,
    },
    /// To [`Request::Attach`]: where to begin.
    Attached {
        /// Number of the first byte that was given to no reader.
        position: u64,
    },
    /// The request was not carried out.
    Failed(Error),
}

/// What a driver has given to its device: FNV-1a with 32 bits, from which no device driver need take a table (Fowler, Noll, Vo,
/// RFC 9923).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt(u32);

impl Receipt {
    /// Of no byte.
    pub const EMPTY: Self = Self(0x811C_9DC5);

    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        bytes.iter().fold(Self::EMPTY, |receipt, &byte| receipt.with(byte))
    }

    /// And of one more.
    #[must_use]
    pub const fn with(self, byte: u8) -> Self {
        Self((self.0 ^ byte as u32).wrapping_mul(0x0100_0193))
    }
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "output that failed was not seen by anybody"]
pub enum Error {
    /// Caller's fault: unknown label, length or grant out of range.
    BadRequest,
    /// The device takes no more bytes, or one did not get there. A part of the write may be out.
    Device,
}

const WRITTEN: u64 = 0;
const INPUT: u64 = 1;
const AGAIN: u64 = 2;
const ATTACHED: u64 = 3;
const BAD_REQUEST: u64 = 4;
const DEVICE: u64 = 5;

impl Request {
    /// The message that asks this.
    pub fn encode(self) -> Message {
        match self {
            Self::Write { length } => Message::new(WRITE, &[length.into()]),
            Self::Read { position, room } => Message::new(READ, &[position, room.into()]),
            Self::Attach => Message::new(ATTACH, &[]),
        }
    }

    /// What a message asks.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an unknown label or a length out of range.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        let [first, second, ..] = message.words;
        match message.label {
            WRITE if (1..=u64::from(WRITE_MAX)).contains(&first) => Ok(Self::Write { length: first as u32 }),
            READ if second <= u64::from(READ_MAX) => Ok(Self::Read { position: first, room: second as u32 }),
            ATTACH => Ok(Self::Attach),
            _ => Err(Error::BadRequest),
        }
    }
}

impl Reply {
    /// The message that answers this.
    pub fn encode(self) -> Message {
        match self {
            Self::Written(receipt) => Message::new(WRITTEN, &[receipt.0.into()]),
            Self::Input { position, length, lost } => Message::new(INPUT, &[position, length.into(), lost]),
            Self::Again { position } => Message::new(AGAIN, &[position]),
            Self::Attached { position } => Message::new(ATTACHED, &[position]),
            Self::Failed(Error::BadRequest) => Message::new(BAD_REQUEST, &[]),
            Self::Failed(Error::Device) => Message::new(DEVICE, &[]),
        }
    }

    /// What a message answers. What no driver of this version says counts as a fault of the device.
    pub fn decode(message: &Message) -> Self {
        let [position, length, lost, ..] = message.words;
        match (message.label, u32::try_from(length)) {
            (WRITTEN, _) => Self::Written(Receipt(position as u32)),
            (INPUT, Ok(length)) if length <= READ_MAX => Self::Input { position, length, lost },
            (AGAIN, _) => Self::Again { position },
            (ATTACHED, _) => Self::Attached { position },
            (BAD_REQUEST, _) => Self::Failed(Error::BadRequest),
            _ => Self::Failed(Error::Device),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_round_trip(length in 1..=WRITE_MAX, position: u64, room in 0..=READ_MAX) {
            for request in [Request::Write { length }, Request::Read { position, room }, Request::Attach] {
                let message = request.encode();
                prop_assert_eq!(Request::decode(&message), Ok(request));
                prop_assert!(SERVICE.labels & 1 << message.label != 0);
            }
        }

        #[test]
        fn replies_round_trip(position: u64, length in 0..=READ_MAX, lost: u64) {
            for reply in [
                Reply::Written(Receipt(lost as u32)),
                Reply::Input { position, length, lost },
                Reply::Again { position },
                Reply::Attached { position },
                Reply::Failed(Error::BadRequest),
                Reply::Failed(Error::Device),
            ] {
                prop_assert_eq!(Reply::decode(&reply.encode()), reply);
            }
        }

        #[test]
        fn lengths_out_of_range_are_refused(label in 0..6_u64, words: [u64; 8]) {
            match Request::decode(&Message { label, words }) {
                Ok(Request::Write { length }) => prop_assert!(u64::from(length) == words[0] && length <= WRITE_MAX),
                Ok(Request::Read { room, .. }) => prop_assert!(u64::from(room) == words[1] && room <= READ_MAX),
                Ok(Request::Attach) => prop_assert_eq!(label, ATTACH),
                Err(error) => prop_assert_eq!(error, Error::BadRequest),
            }
        }
    }

    #[test]
    fn a_receipt_is_the_published_hash() {
        // RFC 9923, appendix C.
        assert_eq!(Receipt::of(b""), Receipt(0x811C_9DC5));
        assert_eq!(Receipt::of(b"a"), Receipt(0xE40C_292C));
        assert_eq!(Receipt::of(b"foobar"), Receipt(0xBF9C_F968));
    }

    #[test]
    fn writes_are_recognised_and_everything_else_repeated() {
        let label = |request: Request| 1 << request.encode().label;
        assert_eq!(SERVICE.deduplicated, label(Request::Write { length: 1 }));
        assert_eq!(
            SERVICE.idempotent,
            label(Request::Attach) | label(Request::Read { position: 0, room: 0 })
        );
        assert_eq!(SERVICE.labels, SERVICE.idempotent | SERVICE.deduplicated);
    }
}
