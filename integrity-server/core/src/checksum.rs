//! The checksum of a block at its place.
//!
//! CRC-32C (Castagnoli), over the block's number, little-endian in eight bytes, and then its bytes. The number is in it so
//! that a block that was written to, or read from, another place does not fit. The polynomial, because over these 4,160
//! bits it finds every error of up to five bits and every burst of up to 32, where the other CRC-32 finds four; any other error
//! passes with a probability of 2⁻³². It is no signature: who wants to deceive can.
//!
//! # Resources
//! - P. Koopman, *32-Bit Cyclic Redundancy Codes for Internet Applications* (DSN 2002), table 1: 0x8F6E37A0.

use crc::{CRC_32_ISCSI, Crc, Table};

const CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// The same by other code and other constants.
const OTHER: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// Checksum of `bytes` at block `lba`.
pub fn checksum(lba: u64, bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&lba.to_le_bytes());
    digest.update(bytes);
    digest.finalize()
}

/// The same by other code.
#[inline(never)]
pub(crate) fn other(lba: u64, bytes: &[u8]) -> u32 {
    let mut digest = OTHER.digest();
    digest.update(&lba.to_le_bytes());
    digest.update(bytes);
    digest.finalize()
}

/// As [`checksum()`], computed twice by code and constants that have nothing in common: for what the layer writes of
/// its own, and before a block is called wrong. A layer whose own code or constants were damaged would otherwise call every block
/// wrong, and its medium a liar, or write a table that nobody after it can read.
///
/// # Panics
/// The two differ: this process is the one that is wrong, and must not go on.
pub fn certain(lba: u64, bytes: &[u8]) -> u32 {
    let sum = checksum(lba, bytes);
    assert_eq!(sum, other(lba, bytes), "checksums do not come out right");
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use protocols::block::BLOCK_SIZE;

    #[test]
    fn it_is_crc_32c() {
        // RFC 3720, B.4: 32 bytes of zeros. Here the first eight are the number of block 0.
        assert_eq!(checksum(0, &[0; 24]), 0x8A91_36AA);
    }

    proptest! {
        #[test]
        fn both_ways_give_the_same(lba: u64, bytes in proptest::collection::vec(any::<u8>(), 0..=BLOCK_SIZE)) {
            prop_assert_eq!(certain(lba, &bytes), checksum(lba, &bytes));
        }
    }

    #[test]
    fn the_place_and_every_bit_count() {
        let block = [0; BLOCK_SIZE];
        let sum = checksum(5, &block);
        for other in (0..64).map(|bit| 5 ^ 1 << bit) {
            assert_ne!(checksum(other, &block), sum);
        }
        for bit in 0..BLOCK_SIZE * 8 {
            let mut flipped = block;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(checksum(5, &flipped), sum);
        }
    }
}
