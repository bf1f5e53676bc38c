//! A block of inodes: each in order by itself, and how many blocks they have together.

use super::Contradiction;
use super::directory::Directory;
use super::layout::{Layout, checksum, le16, le32};

// Offsets in an inode.
const MODE: usize = 0;
const SIZE: usize = 4;
const DELETED: usize = 20;
const LINKS: usize = 26;
const SECTORS: usize = 28;
const FLAGS: usize = 32;
const EXTENTS: usize = 40;
const GENERATION: usize = 100;
const ATTRIBUTES: usize = 104;
const SIZE_HIGH: usize = 108;
const SECTORS_HIGH: usize = 116;
const ATTRIBUTES_HIGH: usize = 118;
const CHECKSUM: usize = 124;
const EXTRA: usize = 128;
const CHECKSUM_HIGH: usize = 130;

/// The size of an inode without a second half.
const SHORT: usize = 128;

const USES_EXTENTS: u32 = 0x8_0000;
const HAS_INDEX: u32 = 0x1000;
/// Counts blocks, not sectors; keeps its data in itself.
const COUNTS_BLOCKS: u32 = 0x4_0000;
const INLINE_DATA: u32 = 0x1000_0000;

const EXTENT_MAGIC: u16 = 0xF30A;
/// Bytes of an extent, and of the head before them.
const EXTENT_BYTES: usize = 12;
/// Extents in the inode itself.
const ENTRIES_MAX: u16 = 4;
/// Longer ones are allocated and not written.
const WRITTEN_MAX: u16 = 32_768;

const DIRECTORY: u16 = 4;
/// FIFO, character device, directory, block device, file, symbolic link, socket: the upper four bits of the mode.
const KINDS: [u16; 7] = [1, 2, 4, 6, 8, 10, 12];

/// A number of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blocks {
    /// So many.
    Exactly(i64),
    /// Nobody has counted them, or they are shared.
    Unknown,
}

impl Blocks {
    pub(super) const fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Exactly(this), Self::Exactly(other)) => Self::Exactly(this + other),
            _ => Self::Unknown,
        }
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        match other {
            Self::Exactly(other) => self.plus(Self::Exactly(-other)),
            Self::Unknown => Self::Unknown,
        }
    }
}

/// A block of inodes.
#[derive(Clone, Copy)]
pub(super) struct Inodes<'a> {
    pub(super) layout: &'a Layout,
    /// Number of the first.
    pub(super) first: u32,
    pub(super) content: &'a [u8],
}

impl<'a> Inodes<'a> {
    fn all(self) -> impl Iterator<Item = (u32, Inode<'a>)> {
        let inode = move |bytes| Inode { bytes, layout: self.layout };
        (self.first..).zip(self.content.chunks_exact(self.layout.inode_bytes).map(inode))
    }

    /// Checks those that are in use, and counts the blocks of all.
    pub(super) fn check(self) -> Result<Blocks, Contradiction> {
        let mut sum = Blocks::Exactly(0);
        for (number, inode) in self.all() {
            if inode.is_in_use() {
                inode.check(number)?;
            }
            sum = sum.plus(inode.blocks());
        }
        Ok(sum)
    }

    /// Whether one of them is nobody's any more and does not say since when: the list of orphans has it, or nothing.
    pub(super) fn has_undated(self) -> bool {
        self.all()
            .any(|(_, inode)| !inode.is_in_use() && inode.kind() != 0 && le32(inode.bytes, DELETED) == 0)
    }

    /// The directories that hold their extents themselves and have no index, whose blocks are laid out in another way.
    pub(super) fn directories(self) -> impl Iterator<Item = Directory> {
        self.all().filter(|(_, inode)| inode.is_directory_of_entries()).map(|(number, inode)| Directory {
            inode: number,
            generation: le32(inode.bytes, GENERATION),
            links: le16(inode.bytes, LINKS),
            extents: inode.extents().map(|extent| (extent.place, extent.length)).collect(),
        })
    }
}

/// Some blocks of a file.
struct Extent {
    begin: u64,
    length: u64,
    place: u64,
}

struct Inode<'a> {
    bytes: &'a [u8],
    layout: &'a Layout,
}

impl Inode<'_> {
    fn is_in_use(&self) -> bool {
        le16(self.bytes, LINKS) != 0
    }

    fn flags(&self) -> u32 {
        le32(self.bytes, FLAGS)
    }

    fn kind(&self) -> u16 {
        le16(self.bytes, MODE) >> 12
    }

    fn has_shared_blocks(&self) -> bool {
        le32(self.bytes, ATTRIBUTES) != 0 || le16(self.bytes, ATTRIBUTES_HIGH) != 0
    }

    /// Its blocks, as it counts them itself.
    fn blocks(&self) -> Blocks {
        if self.has_shared_blocks() || self.flags() & COUNTS_BLOCKS != 0 {
            return Blocks::Unknown;
        }
        let sectors = u64::from(le16(self.bytes, SECTORS_HIGH)) << 32 | u64::from(le32(self.bytes, SECTORS));
        Blocks::Exactly((sectors / self.layout.sectors_per_block()).cast_signed())
    }

    fn check(&self, number: u32) -> Result<(), Contradiction> {
        if !KINDS.contains(&self.kind()) {
            return Err(Contradiction("an inode is of no kind"));
        }
        let (expected, stored) = self.checksums(number);
        if expected != stored {
            return Err(Contradiction("an inode's checksum is wrong"));
        }
        if self.flags() & (USES_EXTENTS | INLINE_DATA) == USES_EXTENTS {
            self.check_extents()?;
        }
        Ok(())
    }

    /// The right checksum and the stored one, in as many bits as there is room for.
    fn checksums(&self, number: u32) -> (u32, u32) {
        let has_high =
            self.bytes.len() > SHORT && usize::from(le16(self.bytes, EXTRA)) + SHORT >= CHECKSUM_HIGH + 2;
        let high_end = if has_high { CHECKSUM_HIGH } else { self.bytes.len().min(CHECKSUM_HIGH) };
        let numbers = [number, le32(self.bytes, GENERATION)].map(u32::to_le_bytes);
        let tail: [&[u8]; 2] = if has_high {
            [&[0; 2], &self.bytes[CHECKSUM_HIGH + 2..]]
        } else {
            [&[], &self.bytes[high_end..]]
        };
        let [number, generation] = &numbers;
        let expected = checksum(
            self.layout.seed,
            &[
                number,
                generation,
                &self.bytes[..CHECKSUM],
                &[0; 2],
                &self.bytes[CHECKSUM + 2..high_end],
                tail[0],
                tail[1],
            ],
        );
        let low = u32::from(le16(self.bytes, CHECKSUM));
        if has_high {
            (expected, u32::from(le16(self.bytes, CHECKSUM_HIGH)) << 16 | low)
        } else {
            (expected & 0xFFFF, low)
        }
    }

    /// Whether it has extents, and all of them in itself.
    fn is_flat(&self) -> bool {
        self.flags() & (USES_EXTENTS | INLINE_DATA) == USES_EXTENTS && le16(self.bytes, EXTENTS + 6) == 0
    }

    fn is_directory_of_entries(&self) -> bool {
        self.is_in_use() && self.kind() == DIRECTORY && self.is_flat() && self.flags() & HAS_INDEX == 0
    }

    /// The extents of a flat one.
    fn extents(&self) -> impl Iterator<Item = Extent> {
        let entries = le16(self.bytes, EXTENTS + 2).min(ENTRIES_MAX);
        (1..=usize::from(entries)).map(|index| {
            let bytes = &self.bytes[EXTENTS + EXTENT_BYTES * index..][..EXTENT_BYTES];
            let length = le16(bytes, 4);
            let length = if length > WRITTEN_MAX { length - WRITTEN_MAX } else { length };
            let place = u64::from(le16(bytes, 6)) << 32 | u64::from(le32(bytes, 8));
            Extent { begin: le32(bytes, 0).into(), length: length.into(), place }
        })
    }

    /// The head of the tree, and, if there are no blocks of it, all extents.
    fn check_extents(&self) -> Result<(), Contradiction> {
        let [magic, entries, max] = [0, 2, 4].map(|at| le16(self.bytes, EXTENTS + at));
        if magic != EXTENT_MAGIC || max > ENTRIES_MAX || entries > max {
            return Err(Contradiction("an inode has no tree of extents"));
        }
        if !self.is_flat() {
            return Ok(());
        }
        let (mut next, mut sum) = (0, 0);
        for Extent { begin, length, place } in self.extents() {
            if length == 0 || begin < next || place == 0 || place + length > self.layout.blocks {
                return Err(Contradiction("extents overlap, are empty, or lie behind the end of the volume"));
            }
            next = begin + length;
            sum += length;
        }
        if self.blocks() != Blocks::Unknown && self.blocks() != Blocks::Exactly(sum.cast_signed()) {
            return Err(Contradiction("an inode counts other blocks than it has"));
        }
        let size = u64::from(le32(self.bytes, SIZE_HIGH)) << 32 | u64::from(le32(self.bytes, SIZE));
        if self.kind() == DIRECTORY && size != sum * self.layout.block_bytes as u64 {
            return Err(Contradiction("a directory is longer or shorter than its blocks"));
        }
        Ok(())
    }
}
