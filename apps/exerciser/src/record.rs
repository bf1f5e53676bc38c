//! What the exerciser puts on the evidence line.

use serde::{Deserialize, Serialize};

/// Longest encoded record in bytes.
pub const RECORD_MAX: usize = 96;

/// What became of an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Verdict {
    /// It was done, and the answer is right.
    Done,
    /// It was not carried out, or its outcome is unknown and does not matter: it is asked for again. The status of the kernel.
    Again(u32),
    /// The client was told that it failed: the server's error.
    Refused(u32),
    /// The answer is none that a correct server gives.
    Wrong,
}

/// One record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record<'a> {
    /// An incarnation of the client begins.
    Begin {
        /// Seed of the workload.
        seed: u64,
        /// Number of the operation that it goes on with.
        operation: u32,
    },
    /// The operation is about to be asked for.
    Intent {
        /// Its number.
        operation: u32,
    },
    /// What came back of the operation's line.
    Back {
        /// Its number.
        operation: u32,
        /// The bytes.
        #[serde(borrow)]
        bytes: &'a [u8],
    },
    /// The operation was answered.
    Answered {
        /// Its number.
        operation: u32,
        /// What of it.
        verdict: Verdict,
    },
    /// The workload is over. The hashed part of the trace ends here.
    Finished,
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
    use crate::console::BACK_MAX;

    #[test]
    fn records_round_trip() {
        let bytes = [7; BACK_MAX];
        let records = [
            Record::Begin { seed: u64::MAX, operation: u32::MAX },
            Record::Intent { operation: 1 },
            Record::Back { operation: u32::MAX, bytes: &bytes },
            Record::Answered { operation: 1, verdict: Verdict::Again(3) },
            Record::Finished,
        ];
        for record in records {
            let mut out = [0; RECORD_MAX];
            assert_eq!(Record::decode(record.encode(&mut out).unwrap()), Some(record));
        }
    }
}
