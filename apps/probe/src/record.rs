//! What a probe puts on the evidence line.

use serde::{Deserialize, Serialize};

/// Longest encoded record in bytes.
pub const RECORD_MAX: usize = 112;

/// One record. New variants go to the end: the encoding numbers them in order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The file client has carried out its setup and waits.
    Prepared,
    /// A call of the file client is over.
    Answer {
        /// Index in [`crate::script::SETUP`] and, after that, [`crate::script::ACTIONS`].
        step: u8,
        /// Number of the [`abi::Status`]: 0 if there was a reply.
        status: u8,
        /// Label of the reply.
        label: u64,
        /// Its words.
        words: [u64; 8],
        /// CRC-32 (ISO-HDLC) of the bytes that the server wrote to the grant.
        checksum: u32,
    },
    /// The file client has nothing more to do.
    Finished,
    /// What RS says of a slot.
    Row {
        /// Slot.
        slot: u8,
        /// Number of the [`abi::record::SlotState`].
        state: u8,
        /// Current or last incarnation.
        incarnation: u32,
        /// It has received for the first time.
        ready: bool,
        /// Number of the [`protocols::reincarnation::Standing`].
        standing: u8,
        /// Deaths that the kernel has counted.
        deaths: u32,
        /// Failures that RS has counted.
        failures: u32,
        /// Incarnation of the last death.
        death_incarnation: u32,
        /// Number of the [`abi::record::DeathClass`] of the last death; 0: none.
        death_class: u8,
    },
    /// RS has said something of so many slots. `status`: number of the [`abi::Status`] of the call.
    EndOfRows {
        /// See above.
        count: u8,
        /// See above.
        status: u8,
    },
    /// So many rounds of computing or asking are over. `failed`: calls without a reply.
    Rounds {
        /// See above.
        count: u32,
        /// See above.
        failed: u32,
    },
    /// CPU time of the incarnation in a slot, and the time that it wanted the CPU in vain, in nanoseconds.
    Usage {
        /// Slot.
        slot: u8,
        /// CPU time.
        cpu: u64,
        /// Time without the CPU.
        starved: u64,
    },
    /// Time since power-on, and time in which no component wanted the CPU, in nanoseconds; after the slots' records.
    Idle {
        /// Time since power-on.
        now: u64,
        /// Time in which nobody wanted the CPU.
        idle: u64,
    },
}

impl Record {
    /// Encodes the record.
    pub fn encode(self, out: &mut [u8; RECORD_MAX]) -> &[u8] {
        // The longest record is a tag, two bytes, nine numbers of at most 10 bytes and one of at most 5: it fits.
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
        let record = Record::Answer {
            step: u8::MAX,
            status: u8::MAX,
            label: u64::MAX,
            words: [u64::MAX; 8],
            checksum: u32::MAX,
        };
        assert_eq!(Record::decode(record.encode(&mut [0; RECORD_MAX])), Some(record));
        assert_eq!(Record::decode(&[]), None);
    }
}
