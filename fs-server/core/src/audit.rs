//! What is about to be committed is looked at once more, by other code than made it.
//!
//! *Role.* Sits between rsext4 and the device. It knows where the superblock, the descriptors, the bitmaps and the inodes are, follows the
//! journal as it is written, and compares what a transaction says in one place with what it says in another, before the block that
//! commits it.
//!
//! *Rule.* What contradicts itself does not reach the medium: the process ends, the next incarnation mounts what was committed last, and
//! the request is delivered again. What is not understood (other features, more groups than are kept) is not judged.
//!
//! *Why.* A file server with one wrong instruction does not die of it: it writes metadata that nobody can use, and says that all is well.
//! What is on the medium can be wrong then, and no restart mends that.
//!
//! *Method.* As in Recon (Fryer et al., "Recon: Verifying File System Consistency at Runtime", FAST 2012), as far as one transaction can be
//! judged without reading anything: what was there before is known only of what this mount has committed already.
//!
//! # Resources
//! ext4 disk layout, <https://docs.kernel.org/filesystems/ext4/>: "Super Block", "Block Group Descriptors", "Index Nodes", "Journal (jbd2)".

mod directory;
mod inode;
mod journal;
mod layout;
#[cfg(test)]
pub(crate) mod tests;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use crate::device::{DeviceError, SECTOR_BYTES};
use directory::Directory;
use inode::{Blocks, Inodes};
use journal::{Follower, Seen};
use layout::{Descriptor, Layout, What};

/// What contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction(pub(crate) &'static str);

/// Reads sectors of the volume.
pub(crate) type ReadSectors<'a> = dyn FnMut(u64, &mut [u8]) -> Result<(), DeviceError> + 'a;

/// A bitmap of the transaction that is being written.
struct Bitmap {
    what: What,
    checksum: u32,
    zeros: u32,
}

/// What the transaction that is being written says.
#[derive(Default)]
struct Transaction {
    bitmaps: Vec<Bitmap>,
    /// Blocks of descriptors: number, number of the first group, contents.
    descriptors: Vec<(u64, u32, Vec<u8>)>,
    /// Blocks of inodes: number, and how many blocks their inodes have.
    inodes: Vec<(u64, Blocks)>,
    /// One of them has no links and does not say since when: an orphan, or a mistake.
    has_undated: bool,
    /// Directories among these inodes, and blocks that may be theirs.
    directories: Vec<Directory>,
    others: Vec<(u64, Vec<u8>)>,
    /// Checksums of all blocks that have a fixed meaning.
    contents: Vec<(u64, u32)>,
}

/// Follows what is written to one mounted volume.
pub(crate) struct Audit {
    layout: Layout,
    journal: Follower,
    transaction: Transaction,
    first_orphan: u32,
    /// Free blocks of the groups in a block of descriptors, and blocks of the inodes in a block of inodes, as last committed.
    known: BTreeMap<u64, Blocks>,
    /// What was last committed of blocks with a fixed meaning: nothing else may be written there.
    committed: BTreeMap<u64, u32>,
}

impl Audit {
    /// Of the volume that `read` reads, whose journal begins at `journal`, a sector. `None`: it has features that this does not know.
    pub(crate) fn new(journal: u64, read: &mut ReadSectors) -> Result<Option<Self>, DeviceError> {
        let Some(layout) = Layout::read(read)? else {
            return Ok(None);
        };
        let Some(journal) = Follower::read(journal, &layout, read)? else {
            return Ok(None);
        };
        let first_orphan = layout::first_orphan(&layout.superblock);
        Ok(Some(Self {
            layout,
            first_orphan,
            journal,
            transaction: Transaction::default(),
            known: BTreeMap::new(),
            committed: BTreeMap::new(),
        }))
    }

    /// Takes note of a write of whole sectors from `first` on. `is_journal` says of a sector whether it belongs to the journal.
    pub(crate) fn write(
        &mut self,
        first: u64,
        data: &[u8],
        is_journal: impl Fn(u64) -> bool,
    ) -> Result<(), Contradiction> {
        if let Some(superblock) = layout::superblock_in(first, data)? {
            self.layout.check_superblock(superblock)?;
            self.first_orphan = layout::first_orphan(superblock);
        }
        let sectors = self.layout.sectors_per_block();
        if !first.is_multiple_of(sectors) || !data.len().is_multiple_of(self.layout.block_bytes) {
            return self.check_part(first, data, is_journal);
        }
        for (index, content) in (0_u64..).zip(data.chunks_exact(self.layout.block_bytes)) {
            let sector = first + index * sectors;
            if is_journal(sector) {
                self.journaled(sector, content)?;
            } else {
                self.checkpointed(sector / sectors, content)?;
            }
        }
        Ok(())
    }

    /// A write that is none of whole blocks: there is none of metadata but the superblock.
    fn check_part(
        &self,
        first: u64,
        data: &[u8],
        is_journal: impl Fn(u64) -> bool,
    ) -> Result<(), Contradiction> {
        let sectors = first..first + (data.len() / SECTOR_BYTES) as u64;
        let block = |sector: u64| self.layout.what(sector / self.layout.sectors_per_block());
        let is_metadata =
            |sector| !matches!(block(sector), None | Some(What::Superblock)) || is_journal(sector);
        if sectors.into_iter().any(is_metadata) {
            return Err(Contradiction("a part of a block of metadata is written"));
        }
        Ok(())
    }

    fn journaled(&mut self, sector: u64, content: &[u8]) -> Result<(), Contradiction> {
        match self.journal.take(sector, content)? {
            Seen::Other => Ok(()),
            Seen::Payload { home, is_escaped: false } => self.changed(home, content),
            Seen::Payload { home, is_escaped: true } => {
                let mut content = content.to_vec();
                content[..journal::MAGIC_BYTES.len()].copy_from_slice(&journal::MAGIC_BYTES);
                self.changed(home, &content)
            }
            Seen::Commit => {
                let transaction = core::mem::take(&mut self.transaction);
                self.check(&transaction)?;
                self.committed.extend(transaction.contents);
                Ok(())
            }
        }
    }

    /// A block that was committed is written to its place (jbd2 calls that a checkpoint). The superblock goes there uncommitted, too.
    fn checkpointed(&self, block: u64, content: &[u8]) -> Result<(), Contradiction> {
        if matches!(self.layout.what(block), None | Some(What::Superblock)) {
            return Ok(());
        }
        if self.committed.get(&block) == Some(&layout::checksum(0, &[content])) {
            return Ok(());
        }
        Err(Contradiction("a block of metadata is written that was not committed"))
    }

    /// The transaction changes this block.
    fn changed(&mut self, block: u64, content: &[u8]) -> Result<(), Contradiction> {
        let Some(what) = self.layout.what(block) else {
            self.transaction.others.push((block, content.to_vec()));
            return Ok(());
        };
        match what {
            What::Superblock => {
                let offset = self.layout.superblock_offset();
                let superblock = content.get(offset..offset + layout::SUPERBLOCK_BYTES);
                let Some(superblock) = superblock else { return Ok(()) };
                self.layout.check_superblock(superblock)?;
                self.first_orphan = layout::first_orphan(superblock);
                return Ok(());
            }
            What::Descriptors { first_group } => {
                self.layout.check_descriptors(first_group, content)?;
                self.transaction.descriptors.push((block, first_group, content.to_vec()));
            }
            What::BlockBitmap { .. } | What::InodeBitmap { .. } => {
                let (checksum, zeros) = self.layout.bitmap(what, content);
                self.transaction.bitmaps.push(Bitmap { what, checksum, zeros });
            }
            What::Inodes { are_written: false, .. } => self.transaction.inodes.push((block, Blocks::Unknown)),
            What::Inodes { first_inode, .. } => {
                let inodes = Inodes { layout: &self.layout, first: first_inode, content };
                self.transaction.inodes.push((block, inodes.check()?));
                self.transaction.has_undated |= inodes.has_undated();
                self.transaction.directories.extend(inodes.directories());
            }
        }
        self.transaction.contents.push((block, layout::checksum(0, &[content])));
        Ok(())
    }

    /// What a transaction says in one place against what it says in another.
    fn check(&mut self, transaction: &Transaction) -> Result<(), Contradiction> {
        for bitmap in &transaction.bitmaps {
            let group = bitmap.what.group();
            let found = transaction.descriptors.iter().find_map(|(_, first, content)| {
                let index = group.checked_sub(*first)?;
                self.layout.descriptor(content, index)
            });
            // Without its descriptor it should be unchanged: rsext4 writes one, too, in which it has only looked for room.
            if let Some(descriptor) = found {
                descriptor.check_bitmap(bitmap.what, bitmap.checksum, bitmap.zeros)?;
            }
        }
        for (block, content) in &transaction.others {
            if let Some(directory) = transaction.directories.iter().find(|directory| directory.has(*block)) {
                directory::check(&self.layout, content, directory)?;
            }
        }
        if transaction.has_undated && self.first_orphan == 0 {
            return Err(Contradiction("an inode was deleted and is still of a kind, and no orphan"));
        }
        self.check_sums(transaction)
    }

    /// Inodes must have gained what the bitmaps have lost.
    fn check_sums(&mut self, transaction: &Transaction) -> Result<(), Contradiction> {
        let mut freed = Blocks::Exactly(0);
        for (block, _, content) in &transaction.descriptors {
            let free =
                self.layout.descriptors(content).map(|descriptor: Descriptor| descriptor.free_blocks());
            freed = freed.plus(self.grown(*block, Blocks::Exactly(free.sum())));
        }
        // Of groups that are not looked at, nobody knows what their inodes take.
        let mut taken = if self.layout.is_whole() { Blocks::Exactly(0) } else { Blocks::Unknown };
        for (block, blocks) in &transaction.inodes {
            taken = taken.plus(self.grown(*block, *blocks));
        }
        match (freed, taken) {
            (Blocks::Exactly(freed), Blocks::Exactly(taken)) if freed + taken != 0 => {
                Err(Contradiction("as many blocks are not freed as inodes lose, or taken as they gain"))
            }
            _ => Ok(()),
        }
    }

    /// By how much a sum has grown since the last commit; not known the first time.
    fn grown(&mut self, block: u64, now: Blocks) -> Blocks {
        let before = self.known.insert(block, now).unwrap_or(Blocks::Unknown);
        now.minus(before)
    }
}
