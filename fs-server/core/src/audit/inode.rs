//! A block of inodes: each in order by itself, and how many blocks they have together.

use alloc::vec::Vec;

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
/// Directories and files.
const HAVE_BLOCKS: [u16; 2] = [DIRECTORY, 8];
/// FIFO, character device, directory, block device, file, symbolic link, socket: the upper four bits of the mode.
const KINDS: [u16; 7] = [1, 2, 4, 6, 8, 10, 12];
/// The same as entries of directories have them.
const KINDS_OF_ENTRIES: [u8; 7] = [5, 3, 2, 4, 1, 7, 6];

/// A number of blocks or inodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// So many.
    Exactly(i64),
    /// Nobody has counted them, or they are shared.
    Unknown,
}

impl Count {
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

/// What inodes take, or what descriptors say is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) blocks: Count,
    pub(super) inodes: Count,
}

impl Sums {
    pub(super) const ZERO: Self = Self { blocks: Count::Exactly(0), inodes: Count::Exactly(0) };
    pub(super) const UNKNOWN: Self = Self { blocks: Count::Unknown, inodes: Count::Unknown };

    pub(super) const fn plus(self, other: Self) -> Self {
        Self { blocks: self.blocks.plus(other.blocks), inodes: self.inodes.plus(other.inodes) }
    }

    pub(super) const fn minus(self, other: Self) -> Self {
        Self { blocks: self.blocks.minus(other.blocks), inodes: self.inodes.minus(other.inodes) }
    }
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    /// Its kind, as entries of directories have it; `None`: it has no links.
    pub(super) kind: Option<u8>,
    /// Bytes.
    pub(super) size: u64,
}

/// What a block of inodes says.
pub(super) struct Survey {
    pub(super) sums: Sums,
    /// One of them has no links and does not say since when: an orphan, or a mistake.
    pub(super) has_undated: bool,
    /// One of them has links, and says that it was deleted: it is on the list of orphans, too, while it is made shorter, or a mistake.
    pub(super) has_dated: bool,
    pub(super) directories: Vec<Directory>,
    /// What each is, by its number.
    pub(super) briefs: Vec<(u32, Brief)>,
    /// First block and number of blocks of what they have, as far as they hold their extents themselves.
    pub(super) extents: Vec<(u64, u64)>,
}

impl Survey {
    /// Of a block that is not judged.
    pub(super) const UNKNOWN: Self = Self {
        sums: Sums::UNKNOWN,
        has_undated: false,
        has_dated: false,
        directories: Vec::new(),
        briefs: Vec::new(),
        extents: Vec::new(),
    };
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

    /// Checks those that are in use, and says what all say.
    pub(super) fn survey(self) -> Result<Survey, Contradiction> {
        for (number, inode) in self.all().filter(|(_, inode)| inode.is_in_use()) {
            inode.check(number)?;
        }
        let (used, unused): (Vec<_>, Vec<_>) = self.all().partition(|(_, inode)| inode.is_in_use());
        let is_dated = |inode: &Inode| le32(inode.bytes, DELETED) != 0;
        Ok(Survey {
            sums: self.sums(),
            has_undated: unused.iter().any(|(_, inode)| inode.kind() != 0 && !is_dated(inode)),
            has_dated: used.iter().any(|(_, inode)| is_dated(inode)),
            directories: self.directories().collect(),
            briefs: self.briefs().collect(),
            extents: used
                .iter()
                .filter(|(_, inode)| inode.is_flat())
                .flat_map(|(_, inode)| inode.places())
                .collect(),
        })
    }

    /// What each is, by its number.
    pub(super) fn briefs(self) -> impl Iterator<Item = (u32, Brief)> {
        self.all().map(|(number, inode)| (number, inode.brief()))
    }

    /// How many are in use, and how many blocks all have, as they count them themselves.
    pub(super) fn sums(self) -> Sums {
        let one =
            |inode: Inode| Sums { blocks: inode.blocks(), inodes: Count::Exactly(inode.is_in_use().into()) };
        self.all().fold(Sums::ZERO, |sums, (_, inode)| sums.plus(one(inode)))
    }

    /// The directories that hold their extents themselves and have no index, whose blocks are laid out in another way.
    fn directories(self) -> impl Iterator<Item = Directory> {
        self.all().filter(|(_, inode)| inode.is_directory_of_entries()).map(|(number, inode)| Directory {
            inode: number,
            generation: le32(inode.bytes, GENERATION),
            links: le16(inode.bytes, LINKS),
            extents: inode.places().collect(),
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

    fn size(&self) -> u64 {
        u64::from(le32(self.bytes, SIZE_HIGH)) << 32 | u64::from(le32(self.bytes, SIZE))
    }

    fn brief(&self) -> Brief {
        let index = KINDS.iter().position(|kind| *kind == self.kind());
        let kind = index.map(|index| KINDS_OF_ENTRIES[index]).filter(|_| self.is_in_use());
        Brief { kind, size: self.size() }
    }

    fn has_shared_blocks(&self) -> bool {
        le32(self.bytes, ATTRIBUTES) != 0 || le16(self.bytes, ATTRIBUTES_HIGH) != 0
    }

    /// Its blocks, as it counts them itself.
    fn blocks(&self) -> Count {
        if self.has_shared_blocks() || self.flags() & COUNTS_BLOCKS != 0 {
            return Count::Unknown;
        }
        let sectors = u64::from(le16(self.bytes, SECTORS_HIGH)) << 32 | u64::from(le32(self.bytes, SECTORS));
        // What e2fsck or debugfs has deleted keeps its number, and has the time in place of the next orphan's.
        if !self.is_in_use() && sectors != 0 && le32(self.bytes, DELETED) > self.layout.inodes() {
            return Count::Unknown;
        }
        Count::Exactly((sectors / self.layout.sectors_per_block()).cast_signed())
    }

    fn check(&self, number: u32) -> Result<(), Contradiction> {
        if !KINDS.contains(&self.kind()) {
            return Err(Contradiction("an inode is of no kind"));
        }
        let (expected, stored) = self.checksums(number);
        if expected != stored {
            return Err(Contradiction("an inode's checksum is wrong"));
        }
        if self.bytes.len() > SHORT && usize::from(le16(self.bytes, EXTRA)) + SHORT > self.bytes.len() {
            return Err(Contradiction("an inode is longer than its place"));
        }
        if self.flags() & (USES_EXTENTS | INLINE_DATA) == USES_EXTENTS {
            self.check_extents()?;
        }
        if self.flags() & (USES_EXTENTS | INLINE_DATA) == 0 && self.looks_like_extents() {
            return Err(Contradiction("an inode has extents and does not say so"));
        }
        Ok(())
    }

    /// Of a directory or a file: others have their device's number or their target there. As numbers of blocks it would be two
    /// that happen to be just these.
    fn looks_like_extents(&self) -> bool {
        let [magic, entries, max] = [0, 2, 4].map(|at| le16(self.bytes, EXTENTS + at));
        HAVE_BLOCKS.contains(&self.kind()) && magic == EXTENT_MAGIC && max == ENTRIES_MAX && entries <= max
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

    /// First block and number of blocks of each extent of a flat one.
    fn places(&self) -> impl Iterator<Item = (u64, u64)> {
        self.extents().map(|extent| (extent.place, extent.length))
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
            if [place, place + length - 1].iter().any(|block| self.layout.what(*block).is_some()) {
                return Err(Contradiction("a file has blocks that are the file system's own"));
            }
            sum += length;
        }
        if self.blocks() != Count::Unknown && self.blocks() != Count::Exactly(sum.cast_signed()) {
            return Err(Contradiction("an inode counts other blocks than it has"));
        }
        if self.kind() == DIRECTORY && self.size() != sum * self.layout.block_bytes as u64 {
            return Err(Contradiction("a directory is longer or shorter than its blocks"));
        }
        Ok(())
    }
}
