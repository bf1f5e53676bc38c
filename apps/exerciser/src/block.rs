//! Blocks: some are written again and again, and read again.

use crate::{Ledger, dice, fill};
use protocols::block::BLOCK_SIZE;
use rand_core::RngCore;

/// First block of the range that is worked in: beyond what a table of partitions could be in.
pub const FIRST: u64 = 4096;

/// Blocks of the range.
pub const BLOCKS: u64 = 32;

/// A block.
pub type Block = [u8; BLOCK_SIZE];

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Writes this block of the range.
    Write(u64),
    /// Reads it, and compares.
    Read(u64),
    /// Has all that was written put on the medium.
    Flush,
}

/// What operation `operation` does.
pub fn action(seed: u64, operation: u32) -> Action {
    let chance = dice(seed, operation).next_u64();
    let block = chance % BLOCKS;
    match chance >> 32 & 7 {
        0 => Action::Flush,
        1..=3 => Action::Read(block),
        _ => Action::Write(block),
    }
}

/// What operation `operation` writes.
pub fn written(seed: u64, operation: u32) -> Block {
    let mut block = [0; BLOCK_SIZE];
    fill(seed, operation, &mut block);
    block
}

/// The last of the operations before `operation` that wrote this block.
pub fn writer(seed: u64, operation: u32, block: u64) -> Option<u32> {
    (0..operation).rev().find(|&earlier| action(seed, earlier) == Action::Write(block))
}

/// What must be in a block of the range before `operation`; `None`: nobody knows.
pub fn expected(seed: u64, ledger: &Ledger, block: u64) -> Option<Block> {
    let is_sure = ledger.unsure >> block & 1 == 0;
    writer(seed, ledger.operation, block).filter(|_| is_sure).map(|writer| written(seed, writer))
}

impl Ledger {
    /// Whether the write of this block was carried out is not known; or it surely was.
    pub const fn is_unsure(&mut self, block: u64, unsure: bool) {
        self.unsure = self.unsure & !(1 << block) | (unsure as u64) << block;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_block_has_what_was_written_last() {
        let mut blocks = BTreeMap::new();
        let mut reads = 0;
        for operation in 0..500 {
            let ledger = Ledger { operation, ..Ledger::default() };
            match action(3, operation) {
                Action::Write(block) => drop(blocks.insert(block, written(3, operation))),
                Action::Read(block) => {
                    assert_eq!(expected(3, &ledger, block), blocks.get(&block).copied());
                    reads += u32::from(blocks.contains_key(&block));
                }
                Action::Flush => {}
            }
        }
        assert_eq!(blocks.len() as u64, BLOCKS);
        assert!(reads > 100, "{reads}");
    }

    #[test]
    fn of_an_unsure_block_nothing_is_expected() {
        let mut ledger = Ledger { operation: 500, ..Ledger::default() };
        ledger.is_unsure(7, true);
        assert!(expected(3, &ledger, 7).is_none() && expected(3, &ledger, 8).is_some());
        ledger.is_unsure(7, false);
        assert!(expected(3, &ledger, 7).is_some());
    }
}
