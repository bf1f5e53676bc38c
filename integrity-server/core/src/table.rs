//! A block of the table, on the medium and in memory.
//!
//! On the medium: the checksum of the rest and of the block's place, how often it was written, and 63 pairs of checksums,
//! all little-endian words of 32 bits. Both checksums of a pair are acceptable. In memory each entry also says which of the
//! two are acceptable now: this incarnation knows what it has written.

use crate::checksum::other;
use crate::layout::{Block, ENTRIES, is_sealed, seal};
use core::ops::Range;
use protocols::block::BLOCK_SIZE;

const HEADER: usize = 8;
const PAIR: usize = 8;

const BOTH: u8 = 0b11;

const _: () = assert!(HEADER + ENTRIES as usize * PAIR == BLOCK_SIZE);

/// What is known of one block of the client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What the medium says, or will say when the table's block has been written.
    pair: [u32; 2],
    /// Which of the pair may be read now: bit 0 the first, bit 1 the second.
    accepted: u8,
    /// Of the checksum that was last known to be that of the block, three bytes, for which there is room: two that say the same in
    /// different ways are not wrong in the same way.
    known: [u8; 3],
}

const fn three_bytes(sum: u32) -> [u8; 3] {
    let [one, two, three, _] = sum.to_le_bytes();
    [one, two, three]
}

impl Entry {
    /// The entry of a block that surely has this checksum.
    pub const fn settled(sum: u32) -> Self {
        Self { pair: [sum, sum], accepted: BOTH, known: three_bytes(sum) }
    }

    /// The pair, for a report.
    pub const fn pair(self) -> [u32; 2] {
        self.pair
    }

    /// Whether a block with this checksum may be read now.
    pub fn accepts(self, sum: u32) -> bool {
        (0..2).any(|index| self.accepted & 1 << index != 0 && self.pair[index] == sum)
    }

    /// Whether the pair has this checksum: a power cut may leave it without any block being called bad.
    pub fn has(self, sum: u32) -> bool {
        self.pair.contains(&sum)
    }

    /// The one checksum that may be read now; `None` if there are two.
    pub fn exact(self) -> Option<u32> {
        match self {
            Self { pair: [old, new], .. } if old == new => Some(old),
            Self { pair: [old, _], accepted: 0b01, .. } => Some(old),
            Self { pair: [_, new], accepted: 0b10, .. } => Some(new),
            _ => None,
        }
    }

    /// From now on only this one of the pair may be read.
    pub fn narrow(&mut self, sum: u32) {
        let bit = |index: usize| u8::from(self.pair[index] == sum) << index;
        self.accepted = bit(0) | bit(1);
        self.known = three_bytes(sum);
    }

    /// From now on both may be read: a write has begun.
    pub const fn widen(&mut self) {
        self.accepted = BOTH;
    }

    /// A write of a block with checksum `new` is to begin: the pair is what is there and what will be. If two may be there,
    /// the medium kept neither.
    pub fn announce(&mut self, new: u32) {
        let exact = self.exact();
        let old = exact.unwrap_or(self.pair[1]);
        if exact.is_none() || self.pair[0] == self.pair[1] {
            self.known = three_bytes(old);
        }
        *self = Self { pair: [old, new], accepted: 0b01, known: self.known };
    }

    /// Whether [`Entry::settle`] would change what the medium says.
    pub fn can_settle(self) -> bool {
        self.pair[0] != self.pair[1] && self.exact().is_some()
    }

    /// What may be read now is durable: nothing else is acceptable any more. Without effect while there are two.
    pub fn settle(&mut self) {
        if let Some(sum) = self.exact() {
            *self = Self { pair: [sum, sum], accepted: BOTH, known: self.known };
        }
    }

    /// Whether an entry may have become this one since the medium was last told `told`: nothing was done, or it is settled, or, where
    /// that `may_be_announced`, a new checksum has come. What could have been found out by [`Entry::exact`] is found out otherwise.
    fn follows(self, told: [u32; 2], may_be_announced: bool) -> bool {
        let [old, new] = self.pair;
        let is_known = |sum: u32| three_bytes(sum) == self.known;
        let knows_as_much = match self.accepted {
            0b01 => is_known(old),
            0b10 => is_known(new),
            accepted => accepted == BOTH,
        };
        let was_open = told[0] != told[1];
        let is_settled = old == new && told.contains(&old) && (!was_open || is_known(old));
        let is_announced = may_be_announced && told.contains(&old);
        knows_as_much && (self.pair == told || is_settled || is_announced)
    }
}

/// A block of the table in memory.
#[derive(Clone, Debug)]
pub struct TableBlock {
    /// Its number in the table.
    pub index: u64,
    /// The same with every bit inverted: a block that passes for another one would be written over it.
    pub inverse: u64,
    /// How often it was written, modulo 2³².
    pub generation: u32,
    /// One for each block that it is about.
    pub entries: [Entry; ENTRIES as usize],
    /// Their pairs as the medium was last told, or told them itself.
    pub told: [[u32; 2]; ENTRIES as usize],
    /// The medium surely says what [`Entry::pair`]s say.
    pub durable: bool,
    /// Moment of the last use, in uses of the cache.
    pub used: u64,
}

impl TableBlock {
    /// A block whose entries all have the checksum 0 and are to be filled in.
    pub const fn new(index: u64) -> Self {
        Self {
            index,
            inverse: !index,
            generation: 0,
            entries: [Entry::settled(0); ENTRIES as usize],
            told: [[0; 2]; ENTRIES as usize],
            durable: false,
            used: 0,
        }
    }

    /// Reads block `index` of the table, which is block `lba` of the medium; `None` if it is rotten.
    pub fn decode(index: u64, lba: u64, block: &Block) -> Option<Self> {
        if !is_sealed(lba, block) {
            return None;
        }
        let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
        let mut table = Self { generation: word(4), durable: true, ..Self::new(index) };
        for (at, entry) in (HEADER..).step_by(PAIR).zip(&mut table.entries) {
            *entry = Entry { pair: [word(at), word(at + 4)], accepted: BOTH, known: [0; 3] };
        }
        table.take_note(block);
        Some(table)
    }

    /// What is written to block `lba` of the medium.
    ///
    /// # Panics
    /// It does not say what this block does: whoever encodes is damaged, and must not write a table that nobody can read.
    pub fn encode(&self, lba: u64, block: &mut Block) {
        block[4..HEADER].copy_from_slice(&self.generation.to_le_bytes());
        for (bytes, entry) in block[HEADER..].chunks_exact_mut(PAIR).zip(&self.entries) {
            bytes[..4].copy_from_slice(&entry.pair[0].to_le_bytes());
            bytes[4..].copy_from_slice(&entry.pair[1].to_le_bytes());
        }
        seal(lba, block);
        let says_the_same = Self::decode(self.index, lba, block).is_some_and(|read| {
            let mut both = read.entries.iter().zip(&self.entries);
            read.generation == self.generation && both.all(|(read, own)| read.pair() == own.pair())
        });
        assert!(says_the_same, "a block of the table does not come out right");
    }

    fn take_note(&mut self, block: &Block) {
        let (words, _) = block[HEADER..].as_chunks::<4>();
        for (told, pair) in self.told.iter_mut().zip(words.as_chunks::<2>().0) {
            *told = pair.map(u32::from_le_bytes);
        }
    }

    /// [`TableBlock::encode`] of the next generation, for a write in which blocks of `announced` have new checksums.
    ///
    /// # Panics
    /// Something else has changed than may have: whoever changed it is damaged, and must not write it.
    pub fn encode_next(&mut self, announced: &Range<u64>, lba: u64, block: &mut Block) {
        self.assert_follows(announced);
        // Until the flush the medium may have the block before this one, or this one.
        self.durable = false;
        self.generation = self.generation.wrapping_add(1);
        self.encode(lba, block);
        self.take_note(block);
    }

    /// Looks whether this may have become of what the medium was last told.
    ///
    /// # Panics
    /// It may not: this process is the one that is wrong.
    #[inline(never)]
    pub fn assert_follows(&self, announced: &Range<u64>) {
        let own = self.index * ENTRIES..;
        for (lba, (entry, told)) in own.zip(self.entries.iter().zip(&self.told)) {
            let may_be_announced = announced.contains(&lba);
            assert!(entry.follows(*told, may_be_announced), "the table's entry of block {lba} has changed");
        }
    }

    /// Of these blocks, the first of which is `lba`, those that this is about: how many they are.
    ///
    /// # Panics
    /// A power cut after the write of one of them would leave a block that the medium says is a wrong one.
    #[inline(never)]
    pub fn assert_announced(&self, lba: u64, blocks: &[Block]) -> usize {
        let mut count = 0;
        for (own, told) in (self.index * ENTRIES..).zip(&self.told) {
            let block = own.checked_sub(lba).and_then(|index| blocks.get(index as usize));
            let Some(block) = block else { continue };
            assert!(self.durable && told.contains(&other(own, block)), "block {own} is not announced");
            count += 1;
        }
        count
    }

    /// Whether the medium has to be told something that is known here.
    pub fn is_unsettled(&self) -> bool {
        !self.durable || self.entries.iter().any(|entry| entry.can_settle())
    }

    /// First of the client's blocks that it is about.
    pub const fn first(&self) -> u64 {
        self.index * ENTRIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_goes_from_one_checksum_to_the_next() {
        let mut entry = Entry::settled(1);
        assert!(!entry.can_settle());
        entry.announce(2);
        assert!(entry.accepts(1) && !entry.accepts(2), "announced, not yet written");
        entry.widen();
        assert!(entry.accepts(1) && entry.accepts(2) && entry.exact().is_none() && !entry.can_settle());
        entry.narrow(2);
        assert!(!entry.accepts(1) && entry.accepts(2) && entry.has(1) && entry.can_settle());
        entry.settle();
        assert_eq!(entry, Entry::settled(2));
    }

    #[test]
    fn a_block_comes_back_with_both_checksums_acceptable() {
        let mut table = TableBlock::new(3);
        table.generation = 9;
        table.entries[0].announce(1);
        table.entries[62].announce(2);
        let mut block = [0xFF; BLOCK_SIZE];
        table.encode(77, &mut block);
        let read = TableBlock::decode(3, 77, &block).unwrap();
        assert_eq!((read.index, read.generation, read.first()), (3, 9, 189));
        assert_eq!(read.entries[62].pair(), [0, 2]);
        assert!(read.entries[62].accepts(0) && read.entries[62].accepts(2) && !read.is_unsettled());
        assert!(TableBlock::decode(3, 78, &block).is_none(), "another place");
        for bit in 0..BLOCK_SIZE * 8 {
            let mut rotten = block;
            rotten[bit / 8] ^= 1 << (bit % 8);
            assert!(TableBlock::decode(3, 77, &rotten).is_none());
        }
        assert!(TableBlock::decode(0, 0, &[0; BLOCK_SIZE]).is_none(), "never written");
    }

    /// A block whose entries 0 and 5 were announced and written, as the medium knows it.
    fn written() -> TableBlock {
        let mut block = [0; BLOCK_SIZE];
        let mut table = TableBlock::new(3);
        for (entry, sum) in [(0, 11), (5, 55)] {
            table.entries[entry].announce(sum);
        }
        table.encode_next(&(189..195), 77, &mut block);
        for (entry, sum) in [(0, 11), (5, 55)] {
            table.entries[entry].widen();
            table.entries[entry].narrow(sum);
        }
        table
    }

    #[test]
    fn what_may_change_is_written() {
        let mut table = written();
        table.entries[0].settle();
        table.entries[5].announce(66);
        let mut block = [0; BLOCK_SIZE];
        table.encode_next(&(194..195), 77, &mut block);
        let read = TableBlock::decode(3, 77, &block).unwrap();
        assert_eq!(
            [read.entries[0].pair(), read.entries[5].pair(), read.entries[6].pair()],
            [[11; 2], [55, 66], [0; 2]]
        );
        assert_eq!((read.generation, table.durable), (2, false));
    }

    #[test]
    fn whatever_else_has_changed_is_not_written() {
        let spoils: [fn(&mut TableBlock); 6] = [
            |table| table.entries[7].announce(77),
            |table| table.entries[7].pair = [7, 7],
            |table| table.entries[5].pair[1] ^= 1 << 31,
            // The one of the two that is not there is settled.
            |table| table.entries[5].pair = [0, 0],
            |table| table.entries[0].accepted = 0b01,
            |table| table.told[62] = [1; 2],
        ];
        for spoil in spoils {
            let mut table = written();
            spoil(&mut table);
            let attempt =
                std::panic::catch_unwind(move || table.encode_next(&(189..190), 77, &mut [0; BLOCK_SIZE]));
            assert!(attempt.is_err());
        }
    }

    #[test]
    fn only_announced_blocks_may_be_written() {
        let mut table = TableBlock::new(1);
        let blocks = [[1; BLOCK_SIZE], [2; BLOCK_SIZE]];
        table.entries[62].announce(other(125, &blocks[0]));
        table.encode_next(&(125..126), 77, &mut [0; BLOCK_SIZE]);
        table.durable = true;
        assert_eq!(table.assert_announced(125, &blocks), 1, "the second is in the next block of the table");
        assert_eq!(table.assert_announced(126, &blocks), 0);
        assert!(std::panic::catch_unwind(|| table.assert_announced(124, &blocks)).is_err());
        table.durable = false;
        assert!(std::panic::catch_unwind(|| table.assert_announced(125, &blocks)).is_err());
    }
}
