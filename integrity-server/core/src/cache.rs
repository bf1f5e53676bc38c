//! The blocks of the table that are in memory, a bounded number of them, and what is remembered of those that were.

use crate::table::TableBlock;
use alloc::vec::Vec;
use core::ops::Range;

/// Generations that are remembered.
const REMEMBERED: usize = 256;

/// Blocks of the table, the least recently used of which makes room.
pub(crate) struct Cache {
    blocks: Vec<TableBlock>,
    capacity: usize,
    uses: u64,
    /// Index and generation of blocks that were written and are not here any more, the oldest first.
    remembered: Vec<(u64, u32)>,
}

impl Cache {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { blocks: Vec::with_capacity(capacity), capacity, uses: 0, remembered: Vec::new() }
    }

    pub(crate) fn clear(&mut self) {
        self.blocks.clear();
        self.remembered.clear();
    }

    /// # Panics
    /// What is here under this number is another block: this process's memory is the one that is wrong.
    pub(crate) fn get(&mut self, index: u64) -> Option<&mut TableBlock> {
        self.uses += 1;
        let block = self.blocks.iter_mut().find(|block| block.index == index)?;
        assert_eq!(block.inverse, !index, "a block of the table has become another one");
        block.used = self.uses;
        Some(block)
    }

    pub(crate) fn has(&self, index: u64) -> bool {
        self.blocks.iter().any(|block| block.index == index)
    }

    pub(crate) fn all(&mut self) -> impl Iterator<Item = &mut TableBlock> {
        self.blocks.iter_mut()
    }

    /// The block that goes if there is no room for one more. Those in `kept` stay: they are needed together.
    pub(crate) fn next_to_go(&self, kept: &Range<u64>) -> Option<&TableBlock> {
        if self.blocks.len() < self.capacity {
            return None;
        }
        self.blocks.iter().filter(|block| !kept.contains(&block.index)).min_by_key(|block| block.used)
    }

    /// Lets a block go.
    pub(crate) fn remove(&mut self, index: u64) {
        let Some(at) = self.blocks.iter().position(|block| block.index == index) else { return };
        let block = self.blocks.swap_remove(at);
        self.remembered.retain(|&(other, _)| other != index);
        if self.remembered.len() == REMEMBERED {
            self.remembered.remove(0);
        }
        self.remembered.push((index, block.generation));
    }

    /// Whether a block that was read is older than one that was here.
    pub(crate) fn is_stale(&self, block: &TableBlock) -> bool {
        self.remembered
            .iter()
            .any(|&(index, generation)| index == block.index && generation != block.generation)
    }

    /// Takes a block in. There must be room.
    pub(crate) fn insert(&mut self, mut block: TableBlock) {
        self.uses += 1;
        block.used = self.uses;
        self.blocks.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_block_goes_and_an_older_one_does_not_come_back() {
        let mut cache = Cache::new(2);
        cache.insert(TableBlock { generation: 4, ..TableBlock::new(1) });
        assert!(cache.next_to_go(&(0..0)).is_none());
        cache.insert(TableBlock::new(2));
        assert_eq!(cache.next_to_go(&(0..0)).unwrap().index, 1);
        assert_eq!(cache.next_to_go(&(0..2)).unwrap().index, 2);
        cache.get(1).unwrap();
        assert_eq!(cache.next_to_go(&(0..0)).unwrap().index, 2);
        cache.remove(1);
        assert!(!cache.has(1) && cache.has(2));
        assert!(cache.is_stale(&TableBlock { generation: 3, ..TableBlock::new(1) }));
        assert!(!cache.is_stale(&TableBlock { generation: 4, ..TableBlock::new(1) }));
        assert!(!cache.is_stale(&TableBlock::new(7)));
    }
}
