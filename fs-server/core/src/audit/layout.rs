//! Where everything is, as the superblock and the descriptors say, and what they must say.

use alloc::vec;
use alloc::vec::Vec;

use super::{Contradiction, ReadSectors};
use crate::device::{DeviceError, SECTOR_BYTES, SUPERBLOCK_SECTOR};
use crate::volume::constants;

/// Bytes of the superblock, in every ext4.
pub(super) const SUPERBLOCK_BYTES: usize = 1024;

/// Groups whose bitmaps and inodes are looked at: of a card with blocks of 1 KiB the first 4 GiB. Of a larger one no sums are known.
const GROUPS_MAX: u64 = 512;

/// Features in which other rules hold: clusters of blocks, scattered descriptors, blocks without checksums.
const BIGALLOC: u32 = 0x200;
const META_BG: u32 = 0x10;
const METADATA_CSUM: u32 = 0x400;
const CSUM_SEED: u32 = 0x2000;
const WIDE_BLOCK_NUMBERS: u32 = 0x80;

/// Bits of a descriptor's flags: the bitmap is not in use yet.
const INODES_UNINITIALIZED: u16 = 1;
const BLOCKS_UNINITIALIZED: u16 = 2;
/// All of its inodes were written.
const INODES_ZEROED: u16 = 4;

const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// First inode of the list of orphans (`s_last_orphan`), which are deleted in several transactions; 0: there are none.
pub(super) fn first_orphan(superblock: &[u8]) -> u32 {
    le32(superblock, FIRST_ORPHAN)
}

/// The superblock among the sectors from `first` on, if it is there.
pub(super) fn superblock_in(first: u64, data: &[u8]) -> Result<Option<&[u8]>, Contradiction> {
    let end = SUPERBLOCK_SECTOR + (SUPERBLOCK_BYTES / SECTOR_BYTES) as u64;
    if first >= end || first + (data.len() / SECTOR_BYTES) as u64 <= SUPERBLOCK_SECTOR {
        return Ok(None);
    }
    let begin = SUPERBLOCK_SECTOR.checked_sub(first).map(|sectors| sectors as usize * SECTOR_BYTES);
    let whole = begin.and_then(|begin| data.get(begin..begin + SUPERBLOCK_BYTES));
    whole.map(Some).ok_or(Contradiction("a part of the superblock is written"))
}

/// ext4's checksum of `parts`, continued from `seed`.
pub(super) fn checksum(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut digest = CRC32C.digest_with_initial(seed.reverse_bits());
    parts.iter().for_each(|part| digest.update(part));
    !digest.finalize()
}

/// What a block is for, when its place says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The superblock is in it.
    Superblock,
    /// Descriptors from this group on.
    Descriptors { first_group: u32 },
    /// Which blocks of the group are in use.
    BlockBitmap { group: u32 },
    /// Which inodes of the group are in use.
    InodeBitmap { group: u32 },
    /// Inodes from this one on. `are_written`: those that nobody has used are zeros, and not what the card held before it was formatted
    /// (`lazy_itable_init`).
    Inodes { first_inode: u32, are_written: bool },
}

impl What {
    /// The group whose bitmap it is.
    pub(super) const fn group(self) -> u32 {
        match self {
            Self::BlockBitmap { group } | Self::InodeBitmap { group } => group,
            Self::Superblock | Self::Descriptors { .. } | Self::Inodes { .. } => u32::MAX,
        }
    }
}

/// Places of one group.
#[derive(Clone, Copy)]
struct Places {
    block_bitmap: u32,
    inode_bitmap: u32,
    inode_table: u32,
    inodes_are_written: bool,
}

impl Places {
    const fn are_those_of(&self, other: &Self) -> bool {
        self.block_bitmap == other.block_bitmap
            && self.inode_bitmap == other.inode_bitmap
            && self.inode_table == other.inode_table
    }
}

/// The geometry of a volume.
pub(super) struct Layout {
    pub(super) block_bytes: usize,
    pub(super) inode_bytes: usize,
    /// Blocks of the volume, from block 0 on.
    pub(super) blocks: u64,
    /// Where checksums begin.
    pub(super) seed: u32,
    pub(super) superblock: Vec<u8>,
    first_data_block: u32,
    blocks_per_group: u32,
    inodes_per_group: u32,
    descriptor_bytes: usize,
    groups: u32,
    places: Vec<Places>,
    /// First blocks of tables and bitmaps, in order, with their groups.
    index: Vec<(u32, What)>,
}

impl Layout {
    /// Reads it. `None`: the volume has features in which other rules hold.
    pub(super) fn read(read: &mut ReadSectors) -> Result<Option<Self>, DeviceError> {
        let mut superblock = vec![0; SUPERBLOCK_BYTES];
        read(SUPERBLOCK_SECTOR, &mut superblock)?;
        let Some(mut layout) = Self::of_superblock(superblock) else {
            return Ok(None);
        };
        let sectors = layout.sectors_per_block();
        let mut content = vec![0; layout.block_bytes];
        while (layout.places.len() as u64) < u64::from(layout.groups).min(GROUPS_MAX) {
            let block =
                layout.first_descriptors() + (layout.places.len() / layout.descriptors_per_block()) as u64;
            read(block * sectors, &mut content)?;
            let places = layout.descriptors(&content).map(|descriptor| descriptor.places());
            let places: Option<Vec<Places>> = places.collect();
            let Some(places) = places else {
                return Ok(None);
            };
            let room = (u64::from(layout.groups).min(GROUPS_MAX)) as usize - layout.places.len();
            layout.places.extend(places.into_iter().take(room));
        }
        layout.make_index();
        Ok(Some(layout))
    }

    fn of_superblock(superblock: Vec<u8>) -> Option<Self> {
        let word = |at: usize| le32(&superblock, at);
        let [blocks, first_data_block, log_block_size] = [4, 20, 24].map(word);
        let [blocks_per_group, inodes_per_group, inodes] = [32, 40, 0].map(word);
        let [incompatible, read_only_compatible] = [96, 100].map(word);
        let is_known = read_only_compatible & (METADATA_CSUM | BIGALLOC) == METADATA_CSUM
            && incompatible & META_BG == 0
            && word(BLOCKS_HIGH) == 0
            && log_block_size <= 6
            && blocks > first_data_block
            && blocks_per_group > 0
            && blocks_per_group.is_multiple_of(8)
            && inodes_per_group > 0
            && inodes_per_group.is_multiple_of(8);
        let inode_bytes = usize::from(le16(&superblock, 88));
        let block_bytes = 1024 << log_block_size.min(6);
        let descriptor_bytes =
            if incompatible & WIDE_BLOCK_NUMBERS == 0 { 32 } else { usize::from(le16(&superblock, 254)) };
        if !is_known || !(128..=block_bytes).contains(&inode_bytes) || !matches!(descriptor_bytes, 32 | 64) {
            return None;
        }
        let has_seed = incompatible & CSUM_SEED != 0;
        let seed = if has_seed { word(CHECKSUM_SEED) } else { checksum(u32::MAX, &[&superblock[UUID]]) };
        let groups = (blocks - first_data_block).div_ceil(blocks_per_group);
        if u64::from(groups) * u64::from(inodes_per_group) != u64::from(inodes) {
            return None;
        }
        Some(Self {
            block_bytes,
            inode_bytes,
            blocks: blocks.into(),
            seed,
            superblock,
            first_data_block,
            blocks_per_group,
            inodes_per_group,
            descriptor_bytes,
            groups,
            places: Vec::new(),
            index: Vec::new(),
        })
    }

    fn make_index(&mut self) {
        let mut index = Vec::with_capacity(self.places.len() * 3);
        for (group, places) in (0..).zip(&self.places) {
            index.push((places.block_bitmap, What::BlockBitmap { group }));
            index.push((places.inode_bitmap, What::InodeBitmap { group }));
            index.push((
                places.inode_table,
                What::Inodes {
                    first_inode: group * self.inodes_per_group + 1,
                    are_written: places.inodes_are_written,
                },
            ));
        }
        index.sort_unstable_by_key(|(block, _)| *block);
        self.index = index;
    }

    /// Whether all groups are looked at.
    pub(super) const fn is_whole(&self) -> bool {
        self.groups as usize == self.places.len()
    }

    /// The first group that is not looked at.
    pub(super) const fn groups_known(&self) -> u32 {
        self.places.len() as u32
    }

    /// As if it had too many groups: none of them is looked at.
    #[cfg(test)]
    pub(super) fn forget_groups(&mut self) {
        self.places.clear();
        self.index.clear();
    }

    /// Inodes of the volume.
    pub(super) const fn inodes(&self) -> u32 {
        self.groups * self.inodes_per_group
    }

    pub(super) const fn sectors_per_block(&self) -> u64 {
        (self.block_bytes / SECTOR_BYTES) as u64
    }

    fn descriptors_per_block(&self) -> usize {
        self.block_bytes / self.descriptor_bytes
    }

    const fn first_descriptors(&self) -> u64 {
        self.first_data_block as u64 + 1
    }

    /// Blocks of a group's table of inodes.
    fn table_blocks(&self) -> u64 {
        (u64::from(self.inodes_per_group) * self.inode_bytes as u64).div_ceil(self.block_bytes as u64)
    }

    /// Where in its block the superblock begins.
    pub(super) const fn superblock_offset(&self) -> usize {
        (SUPERBLOCK_SECTOR as usize * SECTOR_BYTES) % self.block_bytes
    }

    /// What a block is for; `None`: its place does not say so.
    pub(super) fn what(&self, block: u64) -> Option<What> {
        let first = self.first_descriptors();
        let descriptors = u64::from(self.groups).div_ceil(self.descriptors_per_block() as u64);
        if block == first - 1 {
            return Some(What::Superblock);
        }
        if (first..first + descriptors).contains(&block) {
            let first_group = (block - first) as u32 * self.descriptors_per_block() as u32;
            return Some(What::Descriptors { first_group });
        }
        let after = self.index.partition_point(|(begin, _)| u64::from(*begin) <= block);
        let (begin, what) = *self.index.get(after.checked_sub(1)?)?;
        let offset = block - u64::from(begin);
        match what {
            What::Inodes { first_inode, are_written } if offset < self.table_blocks() => {
                let per_block = (self.block_bytes / self.inode_bytes) as u32;
                Some(What::Inodes { first_inode: first_inode + offset as u32 * per_block, are_written })
            }
            What::BlockBitmap { .. } | What::InodeBitmap { .. } if offset == 0 => Some(what),
            _ => None,
        }
    }

    /// A superblock that is to be written: itself, of this volume, and unchanged in what never changes.
    pub(super) fn check_superblock(&self, superblock: &[u8]) -> Result<(), Contradiction> {
        if constants(superblock) != constants(&self.superblock) || superblock[MAGIC] != self.superblock[MAGIC]
        {
            return Err(Contradiction("the superblock is another one"));
        }
        if le32(superblock, CHECKSUM) != checksum(u32::MAX, &[&superblock[..CHECKSUM]]) {
            return Err(Contradiction("the superblock's checksum is wrong"));
        }
        Ok(())
    }

    /// The descriptors in a block.
    pub(super) fn descriptors<'a>(&self, content: &'a [u8]) -> impl Iterator<Item = Descriptor<'a>> {
        content.chunks_exact(self.descriptor_bytes).map(Descriptor)
    }

    /// The descriptor with this index in its block.
    pub(super) fn descriptor<'a>(&self, content: &'a [u8], index: u32) -> Option<Descriptor<'a>> {
        self.descriptors(content).nth(index as usize)
    }

    /// Descriptors that are to be written, from this group on: their checksums, and the places, which never change.
    pub(super) fn check_descriptors(&self, first_group: u32, content: &[u8]) -> Result<(), Contradiction> {
        let groups = first_group..self.groups;
        for (group, descriptor) in groups.zip(self.descriptors(content)) {
            let known = self.places.get(group as usize);
            if known
                .is_some_and(|known| !descriptor.places().is_some_and(|places| places.are_those_of(known)))
            {
                return Err(Contradiction("a descriptor says that its group has moved"));
            }
            if descriptor.stored_checksum() != descriptor.checksum(self.seed, group) {
                return Err(Contradiction("a descriptor's checksum is wrong"));
            }
        }
        Ok(())
    }

    /// Checksum of a bitmap, and how many of its bits are zero.
    pub(super) fn bitmap(&self, what: What, content: &[u8]) -> (u32, u32) {
        let begin = |group: u32| u64::from(group) * u64::from(self.blocks_per_group);
        let (bits, all) = match what {
            What::BlockBitmap { group } => {
                let blocks = self.blocks - u64::from(self.first_data_block) - begin(group);
                (self.blocks_per_group, blocks.min(self.blocks_per_group.into()) as u32)
            }
            _ => (self.inodes_per_group, self.inodes_per_group),
        };
        let bytes = &content[..(bits as usize / 8).min(content.len())];
        let ones: u32 = bytes.iter().map(|byte| byte.count_ones()).sum();
        // What lies behind the end of the volume is marked as in use.
        let beyond = bits - all;
        (checksum(self.seed, &[bytes]), (bits - beyond).saturating_sub(ones.saturating_sub(beyond)))
    }
}

/// One descriptor.
pub(super) struct Descriptor<'a>(&'a [u8]);

impl Descriptor<'_> {
    /// A number of which the upper half lies elsewhere, in wide descriptors.
    fn halves(&self, low: usize, high: usize) -> u32 {
        let high = if self.0.len() > high { le16(self.0, high) } else { 0 };
        u32::from(high) << 16 | u32::from(le16(self.0, low))
    }

    /// `None`: farther than 32 bits reach.
    fn places(&self) -> Option<Places> {
        let place = |low: usize, high: usize| {
            let is_near = self.0.len() <= high || le32(self.0, high) == 0;
            is_near.then(|| le32(self.0, low))
        };
        Some(Places {
            block_bitmap: place(0, 32)?,
            inode_bitmap: place(4, 36)?,
            inode_table: place(8, 40)?,
            inodes_are_written: le16(self.0, 18) & INODES_ZEROED != 0,
        })
    }

    /// Free blocks of the group.
    pub(super) fn free_blocks(&self) -> i64 {
        self.halves(12, 44).into()
    }

    /// Free inodes of the group.
    pub(super) fn free_inodes(&self) -> i64 {
        self.halves(14, 46).into()
    }

    fn stored_checksum(&self) -> u16 {
        le16(self.0, DESCRIPTOR_CHECKSUM)
    }

    fn checksum(&self, seed: u32, group: u32) -> u16 {
        let (before, after) = (&self.0[..DESCRIPTOR_CHECKSUM], &self.0[DESCRIPTOR_CHECKSUM + 2..]);
        checksum(seed, &[&group.to_le_bytes(), before, &[0; 2], after]) as u16
    }

    /// Whether it says of a bitmap of its group what `before` does.
    pub(super) fn agrees(&self, before: &Self, what: What) -> bool {
        let says = |descriptor: &Self| match what {
            What::BlockBitmap { .. } => (descriptor.halves(24, 56), descriptor.free_blocks()),
            _ => (descriptor.halves(26, 58), descriptor.free_inodes()),
        };
        says(self) == says(before)
    }

    /// A bitmap of the group, by its checksum and its zeros.
    pub(super) fn check_bitmap(&self, what: What, checksum: u32, zeros: u32) -> Result<(), Contradiction> {
        let (flag, low, high, free) = match what {
            What::BlockBitmap { .. } => (BLOCKS_UNINITIALIZED, 24, 56, self.halves(12, 44)),
            _ => (INODES_UNINITIALIZED, 26, 58, self.halves(14, 46)),
        };
        if le16(self.0, 18) & flag != 0 {
            return Ok(());
        }
        let mask = if self.0.len() > high { u32::MAX } else { 0xFFFF };
        if self.halves(low, high) != checksum & mask {
            return Err(Contradiction("a bitmap's checksum is wrong"));
        }
        if free != zeros {
            return Err(Contradiction(
                "a descriptor counts other free blocks or inodes than the bitmap shows",
            ));
        }
        Ok(())
    }
}

// Offsets in the superblock.
const UUID: core::ops::Range<usize> = 104..120;
const MAGIC: core::ops::Range<usize> = 56..58;
const FIRST_ORPHAN: usize = 232;
const BLOCKS_HIGH: usize = 336;
const CHECKSUM_SEED: usize = 624;
const CHECKSUM: usize = 1020;

/// Offset in a descriptor.
const DESCRIPTOR_CHECKSUM: usize = 30;

pub(super) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at + 2)) << 16 | u32::from(le16(bytes, at))
}

pub(super) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}
