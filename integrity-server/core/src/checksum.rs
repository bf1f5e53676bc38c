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

/// Checksum of `bytes` at block `lba`.
pub fn checksum(lba: u64, bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(&lba.to_le_bytes());
    digest.update(bytes);
    digest.finalize()
}

/// Whether checksums come out right here and now, from every entry of the table: a layer whose table or code was damaged calls every
/// block wrong, and must not call its medium a liar for that.
pub fn is_sound() -> bool {
    // Sixteen bytes are looked up at once, each in a table of its own: sixteen of each value.
    let bytes: [u8; SOUND_BYTES] = core::array::from_fn(|index| (index / 16) as u8);
    core::hint::black_box(checksum(0, core::hint::black_box(&bytes))) == SOUND
}

const SOUND_BYTES: usize = 16 * 256;

/// Checksum of eight zeros and sixteen bytes of each value.
const SOUND: u32 = checksum_of_all_bytes();

/// The same by the definition of a CRC, bit by bit, when this is compiled: with no table that could be damaged.
const fn checksum_of_all_bytes() -> u32 {
    let (mut sum, mut index) = (u32::MAX, 0);
    while index < 8 + SOUND_BYTES as u32 {
        sum ^= if index < 8 { 0 } else { (index - 8) / 16 };
        let mut bit = 0;
        while bit < 8 {
            // The polynomial, its highest power in the lowest bit.
            sum = sum >> 1 ^ if sum & 1 == 1 { 0x82F6_3B78 } else { 0 };
            bit += 1;
        }
        index += 1;
    }
    !sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocols::block::BLOCK_SIZE;

    #[test]
    fn it_is_crc_32c() {
        // RFC 3720, B.4: 32 bytes of zeros. Here the first eight are the number of block 0.
        assert_eq!(checksum(0, &[0; 24]), 0x8A91_36AA);
    }

    #[test]
    fn it_is_sound() {
        assert!(is_sound());
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
