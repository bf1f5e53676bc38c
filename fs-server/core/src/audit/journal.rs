//! Follows the journal as it is written: which block of it will go where.
//!
//! jbd2 writes a descriptor, which names blocks, then their contents in that order, as often as it takes, and then the block that commits
//! them. All numbers are big-endian.

use alloc::collections::VecDeque;
use alloc::vec;
use core::ops::Range;

use super::layout::Layout;
use super::{Contradiction, ReadSectors};
use crate::device::DeviceError;

const MAGIC: u32 = 0xC03B_3998;
pub(super) const MAGIC_BYTES: [u8; 4] = MAGIC.to_be_bytes();

// Kinds of blocks.
const DESCRIPTOR: u32 = 1;
const COMMIT: u32 = 2;
const SUPERBLOCKS: [u32; 2] = [3, 4];
const REVOKE: u32 = 5;

// Features.
const WIDE_BLOCK_NUMBERS: u32 = 2;
const CHECKSUMS_2: u32 = 8;
const CHECKSUMS_3: u32 = 0x10;

// Flags of a tag. Escaped: the block begins with the magic number, which the journal has zeros for.
const ESCAPED: u32 = 1;
const SAME_UUID: u32 = 2;
const LAST: u32 = 8;

const HEADER_BYTES: usize = 12;
const UUID_BYTES: usize = 16;
/// Of the journal's superblock: what never changes. Sequence, start and error lie between.
const CONSTANTS: [Range<usize>; 2] = [0..24, 36..80];
const CONSTANT_BYTES: usize = 24 + 44;

/// What a block of the journal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// What this block of the volume is to be.
    Payload {
        /// Its number.
        home: u64,
        /// It begins with the journal's magic number, and has zeros there.
        is_escaped: bool,
    },
    /// The transaction ends, and counts from here on.
    Commit,
    /// Nothing that has to do with the volume.
    Other,
}

/// Follows one journal.
pub(super) struct Follower {
    superblock_sector: u64,
    constants: [u8; CONSTANT_BYTES],
    /// How a tag is laid out.
    tag_bytes: usize,
    flags_are_wide: bool,
    has_checksums: bool,
    high_at: Option<usize>,
    /// Tags of the last descriptor whose blocks have not been written yet: the block's number, and whether it is escaped.
    tags: VecDeque<(u64, bool)>,
    /// Number of the transaction, from its first descriptor on.
    sequence: Option<u32>,
}

impl Follower {
    /// Of the journal that begins at this sector. `None`: it is none that this knows.
    pub(super) fn read(
        sector: u64,
        layout: &Layout,
        read: &mut ReadSectors,
    ) -> Result<Option<Self>, DeviceError> {
        let mut superblock = vec![0; layout.block_bytes];
        read(sector, &mut superblock)?;
        if be32(&superblock, 0) != MAGIC || !SUPERBLOCKS.contains(&be32(&superblock, 4)) {
            return Ok(None);
        }
        let features = if be32(&superblock, 4) == SUPERBLOCKS[1] { be32(&superblock, 40) } else { 0 };
        let is_wide = features & WIDE_BLOCK_NUMBERS != 0;
        let (tag_bytes, high_at) = match (features & CHECKSUMS_3 != 0, features & CHECKSUMS_2 != 0) {
            (true, _) => (16, Some(8)),
            (false, has_checksum) => {
                let wide = if is_wide { 4 } else { 0 };
                (8 + wide + if has_checksum { 2 } else { 0 }, is_wide.then_some(8))
            }
        };
        Ok(Some(Self {
            superblock_sector: sector,
            constants: constants(&superblock),
            tag_bytes,
            flags_are_wide: features & CHECKSUMS_3 != 0,
            has_checksums: features & (CHECKSUMS_2 | CHECKSUMS_3) != 0,
            high_at: high_at.filter(|_| is_wide),
            tags: VecDeque::new(),
            sequence: None,
        }))
    }

    /// Takes note of a block that is written to the journal.
    pub(super) fn take(&mut self, sector: u64, content: &[u8]) -> Result<Seen, Contradiction> {
        if sector == self.superblock_sector {
            let is_same = constants(content) == self.constants;
            return is_same
                .then_some(Seen::Other)
                .ok_or(Contradiction("the journal's superblock is another one"));
        }
        if let Some((home, is_escaped)) = self.tags.pop_front() {
            return Ok(Seen::Payload { home, is_escaped });
        }
        if be32(content, 0) != MAGIC {
            return Err(Contradiction("a block of the journal has no tag"));
        }
        let sequence = be32(content, 8);
        if self.sequence.is_some_and(|known| known != sequence) {
            return Err(Contradiction("a transaction changes its number"));
        }
        match be32(content, 4) {
            DESCRIPTOR => {
                self.sequence = Some(sequence);
                self.take_tags(content)?;
                Ok(Seen::Other)
            }
            REVOKE => {
                self.sequence = Some(sequence);
                Ok(Seen::Other)
            }
            COMMIT => {
                self.sequence = None;
                Ok(Seen::Commit)
            }
            _ => Err(Contradiction("a block of the journal is of no kind")),
        }
    }

    fn take_tags(&mut self, descriptor: &[u8]) -> Result<(), Contradiction> {
        let endless = Contradiction("a descriptor of the journal has no end");
        let end = descriptor.len() - if self.has_checksums { 4 } else { 0 };
        let mut at = HEADER_BYTES;
        loop {
            let tag = descriptor[..end].get(at..at + self.tag_bytes).ok_or(endless)?;
            let flags = if self.flags_are_wide { be32(tag, 4) } else { be32(tag, 4) & 0xFFFF };
            let high = self.high_at.map_or(0, |at| be32(tag, at));
            self.tags.push_back((u64::from(high) << 32 | u64::from(be32(tag, 0)), flags & ESCAPED != 0));
            at += self.tag_bytes + if flags & SAME_UUID == 0 { UUID_BYTES } else { 0 };
            if flags & LAST != 0 {
                return Ok(());
            }
        }
    }
}

fn constants(superblock: &[u8]) -> [u8; CONSTANT_BYTES] {
    let bytes = CONSTANTS.into_iter().flat_map(|range| &superblock[range]);
    let mut constants = [0; CONSTANT_BYTES];
    constants.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    constants
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
