//! What the clients put on the evidence line.

use crate::{BYTES, Kind};
use abi::{Outcome, Status};
use protocols::files;
use serde::{Deserialize, Serialize};
use workload_core::record::{DONE, KERNEL_STATUS};

/// Longest encoded record in bytes.
pub const RECORD_MAX: usize = 96;

/// What the answer to an operation says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// It was carried out.
    Done,
    /// It was not carried out.
    NotExecuted,
    /// It was carried out or not, or will be.
    Unknown,
    /// The server says that it cannot be done. It is a promise of no protocol that nothing was done of it.
    Refused,
}

/// What `status`, as in [`Record::Returned`], says.
pub fn answer(status: u32) -> Answer {
    let kernel = status.checked_sub(KERNEL_STATUS).and_then(|code| Status::from_code(code.into()));
    match kernel {
        None if status == DONE => Answer::Done,
        None if status == files::Status::OutcomeUnknown as u32 => Answer::Unknown,
        Some(Status::Unavailable | Status::Expired) => Answer::NotExecuted,
        Some(status) if status.outcome() == Some(Outcome::Unknown) => Answer::Unknown,
        _ => Answer::Refused,
    }
}

/// One record. New variants go to the end: the encoding numbers them in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record<'a> {
    /// An incarnation of a client begins.
    Begin {
        /// Seed of the workload.
        seed: u64,
        /// Number of the client.
        client: u8,
        /// Number of its next step.
        step: u32,
        /// Number of its next operation.
        operation: u32,
        /// There was no checkpoint: the first life since the board was started.
        fresh: bool,
    },
    /// The operation is about to be asked for.
    Invoked {
        /// Its number: none is asked for twice.
        operation: u32,
        /// Number of the register.
        register: u8,
        /// What is done with it. A write writes the [`crate::Value`] of register, client and operation.
        kind: Kind,
    },
    /// The operation was answered.
    Returned {
        /// Its number.
        operation: u32,
        /// [`DONE`] or another status of the server; or [`KERNEL_STATUS`] plus the number of a status of the kernel.
        status: u32,
        /// What was read, as it was read.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// The console driver acknowledged the line of this step.
    Line {
        /// Number of the step.
        step: u32,
    },
    /// The console driver did not acknowledge the line of this step, or its receipt is for other bytes.
    LineRefused {
        /// Number of the step.
        step: u32,
    },
    /// The client asks for nothing any more.
    Finished,
    /// The workload is over. The hashed part of the trace ends here.
    Unmounted {
        /// As in [`Record::Returned`]: the answer to the unmount.
        status: u32,
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

const _: () = assert!(RECORD_MAX >= BYTES + 16 && RECORD_MAX as u64 <= abi::syscall::log::BYTES_MAX);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_apart() {
        let kernel = |status: Status| KERNEL_STATUS + status as u32;
        assert_eq!(answer(DONE), Answer::Done);
        assert_eq!(answer(files::Status::OutcomeUnknown as u32), Answer::Unknown);
        assert_eq!(answer(files::Status::NoSpace as u32), Answer::Refused);
        assert_eq!(answer(files::Status::BadDescriptor as u32), Answer::Refused);
        assert_eq!(answer(kernel(Status::Expired)), Answer::NotExecuted);
        assert_eq!(answer(kernel(Status::Unavailable)), Answer::NotExecuted);
        assert_eq!(answer(kernel(Status::UnknownDied)), Answer::Unknown);
        assert_eq!(answer(kernel(Status::Poisoned)), Answer::Unknown);
        assert_eq!(answer(kernel(Status::BadHandle)), Answer::Refused);
    }

    #[test]
    fn records_round_trip() {
        let longest = Record::Returned { operation: u32::MAX, status: u32::MAX, bytes: &[255; BYTES + 1] };
        let mut bytes = [0; RECORD_MAX];
        let encoded = longest.encode(&mut bytes).unwrap();
        assert_eq!(Record::decode(encoded), Some(longest));
        assert_eq!(Record::decode(&[]), None);
    }
}
