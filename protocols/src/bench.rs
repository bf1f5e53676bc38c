//! The `bench` service and the bench's results: what the measuring client asks of the measuring server, and how samples
//! travel to the host.
//!
//! *Role.* One definition for the component that measures and for the host command that adds up and judges.
//!
//! *Rule.* The guest reports raw differences of the clock; sums, subtractions and checks are the host's.

use crate::Service;
use abi::message::WORDS;

/// Nothing: only the way there and back is measured.
pub const CALL: u64 = 1;
/// Copies [`COPY_BYTES`] from grant 0 and measures that.
pub const COPY: u64 = 2;
/// Programs the timer of the board; its interrupt is measured. Word 1 is the shift of the time stamp. On a board whose timer
/// has no interrupt nothing is programmed, and the time in the reply is 0.
pub const ARM: u64 = 3;

/// Bytes of [`COPY`].
pub const COPY_BYTES: usize = 4096;

const LABELS: u64 = 1 << CALL | 1 << COPY | 1 << ARM;

/// Labels and marks: nothing is delivered twice, because a measurement that was interrupted by a death is worthless.
pub const SERVICE: Service = Service { name: "bench", labels: LABELS, idempotent: 0, deduplicated: 0 };

/// Words of a request.
pub mod request {
    /// Deadline of the server's next receive.
    pub const DEADLINE: usize = 0;
    /// No-operations between waking and the time stamp.
    pub const SHIFT: usize = 1;
}

/// Words of a reply: values of the clock.
pub mod reply {
    /// The server ran with the request.
    pub const ARRIVED: usize = 0;
    /// Before the copy, or the time for which the timer is programmed.
    pub const BEFORE: usize = 1;
    /// After the copy.
    pub const AFTER: usize = 2;
    /// The server ran with the last notification or interrupt.
    pub const NOTIFIED: usize = 3;
    /// Just before the reply. The last word, because the stamp is taken when all others are in place.
    pub const LEAVING: usize = super::WORDS - 1;
}

/// What a group of samples is of.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Series {
    /// The stub: one no-operation in the place of the system call.
    Stub = 0,
    /// A hundred no-operations: a length that is known beforehand.
    Hundred = 1,
    /// An unknown system call.
    NullCall = 2,
    /// From the client's call until the server runs.
    Call = 3,
    /// What the server does between receiving and replying.
    Service = 4,
    /// From the server's reply until the client runs.
    Reply = 5,
    /// From the client's call until the client runs.
    RoundTrip = 6,
    /// From notifying until the waiting component of higher priority runs.
    NotifySwitch = 7,
    /// Notifying a waiting component of lower priority.
    NotifyNoSwitch = 8,
    /// From an undefined instruction until the controller runs with the notification.
    Fault = 9,
    /// From the time for which the timer was programmed until the driver runs.
    Interrupt = 10,
    /// Copying [`COPY_BYTES`].
    Copy = 11,
    /// A restart begins; the samples are without meaning.
    Restart = 12,
    /// The bench has done its work; the samples are without meaning.
    Done = 13,
}

impl Series {
    /// All series, in the order of their numbers.
    pub const ALL: [Self; 14] = [
        Self::Stub,
        Self::Hundred,
        Self::NullCall,
        Self::Call,
        Self::Service,
        Self::Reply,
        Self::RoundTrip,
        Self::NotifySwitch,
        Self::NotifyNoSwitch,
        Self::Fault,
        Self::Interrupt,
        Self::Copy,
        Self::Restart,
        Self::Done,
    ];
}

/// Samples of a group: one for each phase of a clock that ticks every sixteenth instruction.
pub const PHASES: usize = 16;

/// Bytes of an encoded group.
pub const GROUP_BYTES: usize = 2 + 4 * PHASES;

/// The samples of one series in all phases, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Group {
    /// What was measured.
    pub series: Series,
    /// Which repetition it is, from 0.
    pub number: u8,
    /// Ticks, by phase.
    pub ticks: [u32; PHASES],
}

impl Group {
    /// Encodes the group for an event.
    pub fn encode(&self) -> [u8; GROUP_BYTES] {
        let mut bytes = [0; GROUP_BYTES];
        (bytes[0], bytes[1]) = (self.series as u8, self.number);
        for (to, ticks) in bytes[2..].chunks_exact_mut(4).zip(self.ticks) {
            to.copy_from_slice(&ticks.to_le_bytes());
        }
        bytes
    }

    /// Decodes the data of an event; `None` if it is no group.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; GROUP_BYTES] = bytes.try_into().ok()?;
        let series = *Series::ALL.get(usize::from(bytes[0]))?;
        let mut ticks = [0; PHASES];
        for (to, from) in ticks.iter_mut().zip(bytes[2..].chunks_exact(4)) {
            *to = u32::from_le_bytes(from.try_into().ok()?);
        }
        Some(Self { series, number: bytes[1], ticks })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn series_are_listed_by_number() {
        assert!(Series::ALL.iter().enumerate().all(|(number, series)| *series as usize == number));
    }

    proptest! {
        #[test]
        fn groups_round_trip(series in 0..Series::ALL.len(), number: u8, ticks: [u32; PHASES]) {
            let group = Group { series: Series::ALL[series], number, ticks };
            prop_assert_eq!(Group::decode(&group.encode()), Some(group));
            prop_assert_eq!(Group::decode(&group.encode()[1..]), None);
        }
    }
}
