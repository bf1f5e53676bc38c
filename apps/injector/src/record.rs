//! What the injector puts on the evidence line.

use crate::account::Account;
use serde::{Deserialize, Serialize};

/// Longest encoded record in bytes: that of an account of all slots.
pub const RECORD_MAX: usize = 16 + Account::ENCODED_MAX;

/// One record. New variants go to the end: the encoding numbers them in order.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The plan is whole.
    Begin {
        /// Number of entries.
        entries: u32,
        /// The plan's first step lies in the past and there is no checkpoint: the board was reset, nothing will be
        /// injected.
        later_boot: bool,
    },
    /// An entry is about to be carried out.
    Step {
        /// Its index in the plan.
        entry: u32,
        /// Its trigger did not come in time: now it is injected without.
        overdue: bool,
    },
    /// The kernel did not carry it out; it is tried again.
    Refused {
        /// Its index in the plan.
        entry: u32,
        /// Number of the [`abi::Status`].
        status: u32,
    },
    /// All entries have been carried out and their targets are ready again.
    Finished,
    /// The workload has not come to its end [`crate::GRACE`] after the plan's end; the clock runs.
    Deadline,
    /// What the kernel holds for whom: before each entry that is not joined, and when all of them are over.
    Account(Account),
}

impl Record {
    /// Encodes the record.
    pub fn encode(self, out: &mut [u8; RECORD_MAX]) -> &[u8] {
        // The longest record is a tag and an account: it fits.
        postcard::to_slice(&self, out).map_or(&[], |bytes| &*bytes)
    }

    /// Decodes a record; `None` if these bytes are none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_record_round_trips() {
        let record = Record::Refused { entry: u32::MAX, status: u32::MAX };
        assert_eq!(Record::decode(record.encode(&mut [0; RECORD_MAX])), Some(record));
        let full = Record::Account(Account {
            asids: u8::MAX,
            callers: u8::MAX,
            calls: u8::MAX,
            running: u32::MAX,
            pages: [u16::MAX; abi::SLOTS_MAX],
        });
        assert_eq!(Record::decode(full.encode(&mut [0; RECORD_MAX])), Some(full));
        assert_eq!(Record::decode(&[]), None);
    }
}
