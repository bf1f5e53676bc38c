//! The `block` service: numbered blocks of 512 bytes on a medium.
//!
//! *Role.* What a block driver serves and a file server calls.
//!
//! *Rule.* Every request is idempotent: it names absolute blocks, and doing it twice leaves what doing it once leaves.
//! Writes change only what they name. A write that was answered `Ok` is on the medium; one that was not may be there in
//! whole, in part (by whole blocks, in any order) or not at all.
//!
//! *Why.* A driver that dies with a request in service is replaced, and the kernel delivers the request again: with
//! absolute writes nobody has to remember anything for that.

mod device;

pub use device::{Device, Doubt, Doubting, Remote, Window, is_own_fault};

use crate::Service;
use abi::Message;

/// Size of a block in bytes.
pub const BLOCK_SIZE: usize = 512;

/// Most blocks in one request.
pub const BLOCKS_MAX: u32 = 128;

const INFO: u64 = 1;
const READ: u64 = 2;
const WRITE: u64 = 3;
const FLUSH: u64 = 4;
const ALL: u64 = 1 << INFO | 1 << READ | 1 << WRITE | 1 << FLUSH;

/// Labels and marks.
pub const SERVICE: Service = Service { name: "block", labels: ALL, idempotent: ALL, deduplicated: 0 };

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Tells about the medium and takes note of it: after a change of medium the other requests fail until this one.
    Info,
    /// Reads blocks into grant 0, which must be writable and at least as large.
    Read {
        /// First block.
        lba: u64,
        /// Number of blocks, 1 to [`BLOCKS_MAX`].
        count: u32,
    },
    /// Writes blocks from grant 0.
    Write {
        /// First block.
        lba: u64,
        /// Number of blocks, 1 to [`BLOCKS_MAX`].
        count: u32,
    },
    /// Answered when everything written before is on the medium.
    Flush,
}

/// The message of [`Request::Info`], not made by the code that makes all others: see [`is_own_fault`].
pub const PLAIN_REQUEST: Message = Message { label: INFO, words: [0; abi::message::WORDS] };

/// A medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Blocks on the medium.
    pub blocks: u64,
    /// Writes are refused by the medium.
    pub write_protected: bool,
    /// Number that tells this medium from another of its kind (an SD card's CID register).
    pub identity: u128,
}

/// Why a request was not carried out. The number is the label of the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
#[must_use = "a block that was not written is data lost, unless somebody hears of it"]
pub enum Error {
    /// Caller's fault: unknown label, count or grant out of range.
    BadRequest = 1,
    /// Caller's fault: beyond the end of the medium. Nothing was written.
    OutOfRange = 2,
    /// The medium refuses writes. Nothing was written.
    WriteProtected = 3,
    /// There is no medium.
    NoMedium = 4,
    /// Another medium than the one that [`Request::Info`] told about last. Nothing was written.
    MediumChanged = 5,
    /// The medium is of a kind that the driver does not know.
    Unsupported = 6,
    /// The device or the medium did not answer in time, after all repetitions.
    Timeout = 7,
    /// Data or answers arrived damaged, after all repetitions.
    Corrupt = 8,
    /// The medium or the controller reports a fault of its own, after all repetitions.
    Device = 9,
    /// What was read is not what was last written there, after all repetitions: nothing was delivered. Of a flush: the
    /// medium does not keep what it is told to keep.
    Integrity = 10,
}

/// Label of a reply that says success.
pub const OK: u64 = 0;

impl Error {
    /// Every error.
    pub const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::OutOfRange,
        Self::WriteProtected,
        Self::NoMedium,
        Self::MediumChanged,
        Self::Unsupported,
        Self::Timeout,
        Self::Corrupt,
        Self::Device,
        Self::Integrity,
    ];

    /// Whether a server that is damaged could say so without reason, to a client that has asked for something sensible. What a
    /// person does to a card is left out: a card that is not there would cost its driver a life at every request.
    pub const fn may_be_the_servers(self) -> bool {
        !matches!(self, Self::WriteProtected | Self::NoMedium | Self::MediumChanged | Self::Unsupported)
    }

    fn from_label(label: u64) -> Self {
        Self::ALL.into_iter().find(|error| *error as u64 == label).unwrap_or(Self::Device)
    }
}

impl Request {
    /// The message that asks this.
    pub fn encode(self) -> Message {
        match self {
            Self::Info => Message::new(INFO, &[]),
            Self::Read { lba, count } => Message::new(READ, &[lba, count.into()]),
            Self::Write { lba, count } => Message::new(WRITE, &[lba, count.into()]),
            Self::Flush => Message::new(FLUSH, &[]),
        }
    }

    /// What a message asks. Only the medium knows whether the blocks exist.
    ///
    /// # Errors
    /// [`Error::BadRequest`] for an unknown label or a count out of range.
    pub fn decode(message: &Message) -> Result<Self, Error> {
        let [lba, blocks, ..] = message.words;
        let count = u32::try_from(blocks).ok().filter(|count| (1..=BLOCKS_MAX).contains(count));
        match (message.label, count) {
            (INFO, _) => Ok(Self::Info),
            (FLUSH, _) => Ok(Self::Flush),
            (READ, Some(count)) => Ok(Self::Read { lba, count }),
            (WRITE, Some(count)) => Ok(Self::Write { lba, count }),
            _ => Err(Error::BadRequest),
        }
    }
}

impl Info {
    /// The reply that tells this.
    pub fn encode(&self) -> Message {
        Message::new(
            OK,
            &[self.blocks, self.write_protected.into(), self.identity as u64, (self.identity >> 64) as u64],
        )
    }

    /// What the reply to [`Request::Info`] tells.
    pub fn decode(reply: &Message) -> Result<Self, Error> {
        done(reply)?;
        let [blocks, write_protected, low, high, ..] = reply.words;
        Ok(Self {
            blocks,
            write_protected: write_protected != 0,
            identity: u128::from(high) << 64 | u128::from(low),
        })
    }
}

/// The reply to a request that has no result but success or failure.
pub fn reply(result: Result<(), Error>) -> Message {
    Message::new(result.map_or_else(|error| error as u64, |()| OK), &[])
}

/// What a reply to [`Request::Read`], [`Request::Write`] or [`Request::Flush`] says.
pub fn done(reply: &Message) -> Result<(), Error> {
    if reply.label == OK { Ok(()) } else { Err(Error::from_label(reply.label)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_round_trip(lba: u64, count in 1..=BLOCKS_MAX) {
            for request in [Request::Info, Request::Read { lba, count }, Request::Write { lba, count }, Request::Flush] {
                let message = request.encode();
                prop_assert_eq!(Request::decode(&message), Ok(request));
                prop_assert!(SERVICE.labels & 1 << message.label != 0);
                prop_assert!(SERVICE.idempotent & 1 << message.label != 0);
            }
        }

        #[test]
        fn any_message_is_a_request_in_range_or_an_error(label in 0..8_u64, words: [u64; 8]) {
            match Request::decode(&Message { label, words }) {
                Ok(Request::Read { count, .. } | Request::Write { count, .. }) =>
                    prop_assert!(u64::from(count) == words[1] && (1..=BLOCKS_MAX).contains(&count)),
                Ok(Request::Info) => prop_assert_eq!(label, INFO),
                Ok(Request::Flush) => prop_assert_eq!(label, FLUSH),
                Err(error) => prop_assert_eq!(error, Error::BadRequest),
            }
        }

        #[test]
        fn info_round_trips(blocks: u64, write_protected: bool, identity: u128) {
            let info = Info { blocks, write_protected, identity };
            prop_assert_eq!(Info::decode(&info.encode()), Ok(info));
        }
    }

    #[test]
    fn errors_round_trip_and_an_unknown_one_is_no_success() {
        for error in Error::ALL {
            assert_eq!(done(&reply(Err(error))), Err(error));
            assert_eq!(Info::decode(&reply(Err(error))), Err(error));
        }
        assert_eq!(done(&reply(Ok(()))), Ok(()));
        assert_eq!(done(&Message::new(77, &[])), Err(Error::Device));
    }
}
