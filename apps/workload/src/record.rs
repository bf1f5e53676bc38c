//! What the client puts on the evidence line.

use crate::operation::Operation;
use abi::{Outcome, Status};
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use protocols::files;
use serde::{Deserialize, Serialize};

/// Checksum of file contents in [`Found`]. The small table: this runs on the board, too.
pub const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// Longest encoded record in bytes.
pub const RECORD_MAX: usize = 192;

/// Added to the number of an [`abi::Status`] when a call failed in the kernel: below are statuses of the server.
pub const KERNEL_STATUS: u32 = 0x100;

/// [`Record::Acknowledged`] of a server that said "done".
pub const DONE: u32 = 0;

/// What an answer to an operation says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It was carried out (or refused, where the refusal was the aim).
    AsExpected,
    /// It was not carried out, and may be asked for again.
    NotExecuted,
    /// It was carried out or not.
    Unknown,
    /// The server's answer is wrong.
    Wrong,
}

/// What `status`, as in [`Record::Acknowledged`], says of `operation`.
pub fn answer(operation: &Operation, status: u32) -> Answer {
    let expected = match operation {
        Operation::UnlinkOpen { .. } => files::Status::Busy as u32,
        _ => DONE,
    };
    if status == expected {
        return Answer::AsExpected;
    }
    if status == files::Status::OutcomeUnknown as u32 {
        return Answer::Unknown;
    }
    let kernel = status.checked_sub(KERNEL_STATUS).and_then(|code| Status::from_code(code.into()));
    match kernel {
        Some(Status::Unavailable | Status::Expired) => Answer::NotExecuted,
        Some(status) if status.outcome() == Some(Outcome::Unknown) => Answer::Unknown,
        _ => Answer::Wrong,
    }
}

/// A status of the server, whatever it sent: none of the kernel's.
pub fn of_server(label: u64) -> u32 {
    label.min(u64::from(KERNEL_STATUS) - 1) as u32
}

/// Whether a refusal that must not be may be the server's own mistake, so that a fresh one may say something else. What has become of
/// the card is nobody's mistake, and the kernel makes none. That the card is full counts as a mistake, too: these clients take
/// little of it, and on one that others have filled they cost the file server a life each time.
pub fn is_doubtful(status: u32) -> bool {
    use files::Status::{EmptyCard, NoCard, NotExt4, Unmounted, UnsupportedFormat, WriteProtected};
    let told = files::Status::from_raw(status);
    let of_the_card =
        matches!(told, Some(EmptyCard | NoCard | NotExt4 | Unmounted | UnsupportedFormat | WriteProtected));
    status < KERNEL_STATUS && !of_the_card
}

/// What is under a name, as it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Found {
    /// Nothing.
    Nothing,
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Length in bytes.
        size: u64,
        /// [`CRC`] of all bytes that were read.
        checksum: u32,
    },
    /// Something is there and could not be read.
    Unreadable {
        /// As in [`Record::Acknowledged`].
        status: u32,
    },
}

/// One record. New variants go to the end: the encoding numbers them in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record<'a> {
    /// An incarnation of the client begins.
    Begin {
        /// Seed of the workload.
        seed: u64,
        /// Number of the operation that it begins or resolves.
        operation: u32,
        /// There was no checkpoint: the first life since the board was started.
        fresh: bool,
    },
    /// The operation is about to be asked for.
    Intent {
        /// Its number.
        operation: u32,
        /// [`crate::Operation::code`].
        code: u8,
    },
    /// The operation was answered.
    Acknowledged {
        /// Its number.
        operation: u32,
        /// Status of the server, [`DONE`] or another one; or [`KERNEL_STATUS`] plus the number of a status of the kernel.
        status: u32,
    },
    /// What a walk, or an incarnation that resolves an operation of its predecessor, found under a name.
    Entry {
        /// The name.
        #[serde(borrow)]
        path: &'a str,
        /// What is there.
        found: Found,
    },
    /// The walk is complete: every entry of every directory has been reported.
    EndOfWalk {
        /// Number of entries.
        entries: u32,
    },
    /// The operation that was in flight when the predecessor died, by what was found.
    Resolved {
        /// Its number.
        operation: u32,
        /// Whether it had been done.
        resolution: crate::Resolution,
    },
    /// The console driver acknowledged the line of this operation.
    Line {
        /// Number of the operation.
        operation: u32,
    },
    /// The workload is over; the file system was unmounted. The hashed part of the trace ends here.
    Finished {
        /// As in [`Record::Acknowledged`]: the answer to the unmount.
        status: u32,
    },
    /// The console driver did not acknowledge the line of this operation, or its receipt is for other bytes.
    LineRefused {
        /// Number of the operation.
        operation: u32,
    },
    /// The file server answered as no correct one does. The client has complained of it, and a fresh one is there.
    Complained {
        /// Number of the operation.
        operation: u32,
    },
}

impl<'a> Record<'a> {
    /// Encodes the record; `None` if it is longer than [`RECORD_MAX`].
    pub fn encode<'b>(&self, out: &'b mut [u8; RECORD_MAX]) -> Option<&'b [u8]> {
        postcard::to_slice(self, out).ok().map(|bytes| &*bytes)
    }

    /// Decodes a record; `None` if these bytes are none.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let kernel = |status: Status| KERNEL_STATUS + status as u32;
        let refused = Operation::UnlinkOpen { file: 0 };
        assert_eq!(answer(&Operation::Sync, DONE), Answer::AsExpected);
        assert_eq!(answer(&refused, DONE), Answer::Wrong, "an open file was removed");
        assert_eq!(answer(&refused, files::Status::Busy as u32), Answer::AsExpected);
        assert_eq!(answer(&Operation::Sync, files::Status::NoSpace as u32), Answer::Wrong);
        assert_eq!(answer(&Operation::Sync, kernel(Status::Expired)), Answer::NotExecuted);
        assert_eq!(answer(&Operation::Sync, kernel(Status::UnknownDied)), Answer::Unknown);
        assert_eq!(answer(&Operation::Sync, kernel(Status::BadHandle)), Answer::Wrong);
    }

    #[test]
    fn the_card_and_the_kernel_are_believed() {
        assert!(
            is_doubtful(files::Status::Damaged as u32) && is_doubtful(files::Status::InvalidArgument as u32)
        );
        assert!(is_doubtful(99), "no status at all");
        assert!(is_doubtful(files::Status::NoSpace as u32) && !is_doubtful(files::Status::NoCard as u32));
        assert!(is_doubtful(of_server(u64::from(KERNEL_STATUS) + 7)), "a server cannot speak for the kernel");
        assert_eq!(of_server(files::Status::Busy as u64), files::Status::Busy as u32);
        assert_ne!(of_server(1 << 32), DONE);
        assert!(!is_doubtful(KERNEL_STATUS + Status::Poisoned as u32));
    }

    #[test]
    fn records_round_trip_and_fit_a_log_record() {
        let found = Found::File { size: u64::MAX, checksum: u32::MAX };
        let path = "x".repeat(160);
        let entry = Record::Entry { path: &path, found };
        let mut bytes = [0; RECORD_MAX];
        let encoded = entry.encode(&mut bytes).unwrap();
        assert_eq!(Record::decode(encoded), Some(entry));
        assert!(RECORD_MAX as u64 <= abi::syscall::log::BYTES_MAX);
        let path = "x".repeat(RECORD_MAX);
        assert_eq!(Record::Entry { path: &path, found }.encode(&mut [0; RECORD_MAX]), None);
    }
}
