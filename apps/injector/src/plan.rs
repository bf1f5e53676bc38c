//! The plan as bytes: reading it, and writing it on the host.

use abi::plan::{ENTRIES_MAX, Fault, MAGIC, PlanEntry, PlanHeader};
use abi::syscall::trigger;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use zerocopy::{FromBytes, IntoBytes};

const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// The checksum covers everything from here on.
const CHECKED_FROM: usize = 12;

/// A plan that was found to be whole.
#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The header.
    pub header: PlanHeader,
    /// The steps.
    pub entries: &'a [PlanEntry],
}

/// Why there is no plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PlanError {
    /// The magic number is not there: nobody put a plan into memory.
    Absent,
    /// More entries than [`ENTRIES_MAX`], or than the range holds.
    Length,
    /// The checksum is wrong.
    Checksum,
    /// The entry with this index has an unknown fault or trigger.
    Entry(usize),
}

impl<'a> Plan<'a> {
    /// Reads the plan at the start of `range`.
    ///
    /// # Errors
    /// Says what is wrong with it; see [`PlanError`].
    pub fn read(range: &'a [u8]) -> Result<Self, PlanError> {
        let (header, rest) = PlanHeader::read_from_prefix(range).map_err(|_| PlanError::Length)?;
        if header.magic != MAGIC {
            return Err(PlanError::Absent);
        }
        let count = header.count as usize;
        if count > ENTRIES_MAX {
            return Err(PlanError::Length);
        }
        let (entries, _) =
            <[PlanEntry]>::ref_from_prefix_with_elems(rest, count).map_err(|_| PlanError::Length)?;
        if checksum(&header, entries) != header.crc {
            return Err(PlanError::Checksum);
        }
        Self::new(header, entries)
    }

    /// A plan whose checksum was found right.
    ///
    /// # Errors
    /// [`PlanError::Entry`] if an entry cannot be understood.
    pub fn new(header: PlanHeader, entries: &'a [PlanEntry]) -> Result<Self, PlanError> {
        let is_known = |entry: &PlanEntry| {
            Fault::from_code(entry.fault).is_some() && trigger::is_known(entry.trigger.into())
        };
        match entries.iter().position(|entry| !is_known(entry)) {
            Some(index) => Err(PlanError::Entry(index)),
            None => Ok(Self { header, entries }),
        }
    }

    /// Whether a component that starts at `now` (virtual nanoseconds) and has no checkpoint lives after a reset of the
    /// board: the plan's first step lies in the past, and nothing was injected in this life of the board.
    pub fn is_later_boot(&self, now: u64) -> bool {
        self.entries.first().is_some_and(|entry| now > entry.at)
    }
}

/// The header with its count and checksum filled in for these entries.
pub fn sealed(header: PlanHeader, entries: &[PlanEntry]) -> PlanHeader {
    let counted = PlanHeader { magic: MAGIC, count: entries.len() as u32, ..header };
    PlanHeader { crc: checksum(&counted, entries), ..counted }
}

fn checksum(header: &PlanHeader, entries: &[PlanEntry]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&header.as_bytes()[CHECKED_FROM..]);
    digest.update(entries.as_bytes());
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(entries: &[PlanEntry]) -> Vec<u8> {
        let header =
            PlanHeader { magic: 0, crc: 0, count: 0, seed: 7, end: 9, parameters: [1, 2, 3, 4, 5, 6] };
        let mut bytes = sealed(header, entries).as_bytes().to_vec();
        bytes.extend_from_slice(entries.as_bytes());
        bytes
    }

    /// The records need an alignment of 8, as the range on the board has.
    fn read(bytes: &[u8]) -> Result<usize, PlanError> {
        let mut words = vec![0_u64; bytes.len().div_ceil(8)];
        words.as_mut_bytes()[..bytes.len()].copy_from_slice(bytes);
        Plan::read(words.as_bytes()).map(|plan| plan.entries.len())
    }

    const ENTRY: PlanEntry = PlanEntry { at: 1, fault: 1, slot: 2, trigger: 0, count: 0 };

    #[test]
    fn the_checksum_begins_behind_its_field() {
        assert_eq!(core::mem::offset_of!(PlanHeader, count), CHECKED_FROM);
    }

    #[test]
    fn errors_are_told_apart() {
        let header = size_of::<PlanHeader>();
        assert_eq!(read(&vec![0; header]), Err(PlanError::Absent));
        assert_eq!(read(&vec![0; header - 8]), Err(PlanError::Length));
        assert_eq!(read(&bytes(&[ENTRY])), Ok(1));
        assert_eq!(read(&bytes(&[ENTRY])[..header]), Err(PlanError::Length));
        assert_eq!(
            read(&bytes(&[ENTRY, PlanEntry { fault: Fault::ALL.len() as u32 + 1, ..ENTRY }])),
            Err(PlanError::Entry(1))
        );
        assert_eq!(read(&bytes(&[PlanEntry { trigger: 5, ..ENTRY }])), Err(PlanError::Entry(0)));
        assert_eq!(read(&bytes(&vec![ENTRY; ENTRIES_MAX + 1])), Err(PlanError::Length));
    }

    proptest! {
        #[test]
        fn a_flipped_bit_is_found(at in 0..88_usize, bit in 0..8_u8) {
            let mut damaged = bytes(&[ENTRY]);
            let at = at % damaged.len();
            damaged[at] ^= 1 << bit;
            prop_assert!(read(&damaged).is_err());
        }
    }
}
