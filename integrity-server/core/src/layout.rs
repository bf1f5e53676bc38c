//! Where things are on the medium, and the block that says so.

use crate::checksum::{certain, checksum};
use protocols::block::BLOCK_SIZE;

/// One block.
pub type Block = [u8; BLOCK_SIZE];

/// Checksum pairs in a block of the table.
pub const ENTRIES: u64 = 63;

/// The client sees a multiple of this many blocks: file systems have blocks of up to 4 KiB.
const UNIT: u64 = 8;

const MAGIC: &[u8; 8] = b"SAMINTEG";
const VERSION: u32 = 1;

/// How the blocks of a medium are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// Blocks of the medium.
    pub total: u64,
    /// Blocks that the client has, from 0 on.
    pub data: u64,
}

impl Geometry {
    /// The division of a medium of `total` blocks; `None` if it is too small for one.
    pub const fn of(total: u64) -> Option<Self> {
        let Some(usable) = total.checked_sub(2) else { return None };
        // Each block of the table is one more than the 63 that it is about.
        let data = (usable - usable.div_ceil(ENTRIES + 1)) / UNIT * UNIT;
        if data == 0 { None } else { Some(Self { total, data }) }
    }

    /// Blocks of the table.
    pub const fn table(self) -> u64 {
        self.data.div_ceil(ENTRIES)
    }

    /// The block of the medium that is block `index` of the table.
    pub const fn table_block(self, index: u64) -> u64 {
        self.data + 1 + index
    }

    /// The two copies of the superblock: before the table and at the end of the medium.
    pub const fn superblocks(self) -> [u64; 2] {
        [self.data, self.total - 1]
    }

    /// The superblock for block `lba`.
    pub fn superblock(self, lba: u64) -> Block {
        let mut block = [0; BLOCK_SIZE];
        block[4..8].copy_from_slice(&VERSION.to_le_bytes());
        block[8..16].copy_from_slice(MAGIC);
        block[16..24].copy_from_slice(&self.total.to_le_bytes());
        block[24..32].copy_from_slice(&self.data.to_le_bytes());
        seal(lba, &mut block);
        block
    }

    /// Whether `block`, read from `lba`, is the superblock of this geometry.
    pub fn is_superblock(self, lba: u64, block: &Block) -> bool {
        *block == self.superblock(lba)
    }
}

/// Fills in the checksum of a block of the layer's own, which is its first word.
pub(crate) fn seal(lba: u64, block: &mut Block) {
    let sum = certain(lba, &block[4..]);
    block[..4].copy_from_slice(&sum.to_le_bytes());
}

/// Whether the checksum of a block of the layer's own is right.
pub(crate) fn is_sealed(lba: u64, block: &Block) -> bool {
    let has = |sum: u32| block[..4] == sum.to_le_bytes();
    has(checksum(lba, &block[4..])) || has(certain(lba, &block[4..]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parts_do_not_overlap_and_little_is_wasted(total in 0..1_u64 << 40) {
            let Some(geometry) = Geometry::of(total) else {
                prop_assert!(total < 11);
                return Ok(());
            };
            let [first, last] = geometry.superblocks();
            prop_assert_eq!(first, geometry.data);
            prop_assert!(geometry.table() * ENTRIES >= geometry.data);
            prop_assert!(geometry.table_block(geometry.table() - 1) < last);
            prop_assert!(geometry.table_block(geometry.table()) + UNIT + 1 >= last);
            prop_assert!(geometry.data.is_multiple_of(UNIT));
        }
    }

    #[test]
    fn a_superblock_is_one_at_its_place_and_for_its_medium_only() {
        let geometry = Geometry::of(1000).unwrap();
        let [first, last] = geometry.superblocks();
        let block = geometry.superblock(first);
        assert!(geometry.is_superblock(first, &block));
        assert!(!geometry.is_superblock(last, &block));
        assert!(!Geometry::of(1001).unwrap().is_superblock(first, &block));
        assert!(!geometry.is_superblock(first, &[0; BLOCK_SIZE]));
    }
}
