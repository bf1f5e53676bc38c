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
//! judged by itself and by what descriptors and inodes said before it: that is read from the medium when the first transaction changes them.
//!
//! # Resources
//! ext4 disk layout, <https://docs.kernel.org/filesystems/ext4/>: "Super Block", "Block Group Descriptors", "Index Nodes", "Journal (jbd2)".

mod directory;
mod inode;
mod journal;
mod layout;
#[cfg(test)]
pub(crate) mod tests;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;

use crate::device::{DeviceError, SECTOR_BYTES};
use inode::{Brief, Count, Inodes, Sums, Survey};
use journal::{Follower, Seen};
use layout::{Layout, What};

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
    /// Blocks of inodes, by number. Who writes one twice means the last.
    inodes: BTreeMap<u64, Survey>,
    /// Blocks that may be directories', by number.
    others: BTreeMap<u64, Vec<u8>>,
    /// Checksums of all blocks that have a fixed meaning.
    contents: Vec<(u64, u32)>,
}

/// Follows what is written to one mounted volume.
pub(crate) struct Audit {
    layout: Layout,
    journal: Follower,
    transaction: Transaction,
    first_orphan: u32,
    /// There were no orphans when this began: what the medium says of inodes can be counted.
    inodes_count: bool,
    /// Blocks of descriptors, and what the inodes of blocks of inodes take, as last committed.
    descriptors: BTreeMap<u64, Vec<u8>>,
    known: BTreeMap<u64, Sums>,
    /// What was last committed of blocks with a fixed meaning: nothing else may be written there.
    committed: BTreeMap<u64, u32>,
    /// What the inodes are in those blocks.
    briefs: BTreeMap<u32, Brief>,
    commits: u64,
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
            inodes_count: first_orphan == 0,
            journal,
            transaction: Transaction::default(),
            descriptors: BTreeMap::new(),
            known: BTreeMap::new(),
            committed: BTreeMap::new(),
            briefs: BTreeMap::new(),
            commits: 0,
        }))
    }

    /// Number of transactions that were committed.
    pub(crate) const fn commits(&self) -> u64 {
        self.commits
    }

    /// Whether an inode is in use, and so long, if that is asked, as it was last committed; yes, if that is not known.
    pub(crate) fn is_committed(&self, inode: u32, size: Option<u64>) -> bool {
        self.briefs
            .get(&inode)
            .is_none_or(|brief| brief.kind.is_some() && size.is_none_or(|size| brief.size == size))
    }

    /// Takes note of a write of whole sectors from `first` on. `is_journal` says of a sector whether it belongs to the journal.
    pub(crate) fn write(
        &mut self,
        first: u64,
        data: &[u8],
        is_journal: impl Fn(u64) -> bool,
        read: &mut ReadSectors,
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
                self.journaled(sector, content, read)?;
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

    fn journaled(
        &mut self,
        sector: u64,
        content: &[u8],
        read: &mut ReadSectors,
    ) -> Result<(), Contradiction> {
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
                self.check(&transaction, read)?;
                self.committed.extend(transaction.contents);
                self.briefs.extend(transaction.inodes.into_values().flat_map(|survey| survey.briefs));
                self.commits += 1;
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
            self.transaction.others.insert(block, content.to_vec());
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
            What::Inodes { are_written: false, .. } => {
                self.transaction.inodes.insert(block, Survey::UNKNOWN);
            }
            What::Inodes { first_inode, .. } => {
                let survey = Inodes { layout: &self.layout, first: first_inode, content }.survey()?;
                self.transaction.inodes.insert(block, survey);
            }
        }
        self.transaction.contents.push((block, layout::checksum(0, &[content])));
        Ok(())
    }

    /// What a transaction says in one place against what it says in another.
    fn check(&mut self, transaction: &Transaction, read: &mut ReadSectors) -> Result<(), Contradiction> {
        self.check_bitmaps(transaction)?;
        let any = |says: fn(&Survey) -> bool| transaction.inodes.values().any(says);
        if any(|survey| survey.has_undated) && self.first_orphan == 0 {
            return Err(Contradiction("an inode was deleted and is still of a kind, and no orphan"));
        }
        if any(|survey| survey.has_dated) && self.first_orphan == 0 {
            return Err(Contradiction("an inode is in use and was deleted, and is no orphan"));
        }
        for block in transaction.inodes.keys() {
            self.read_inodes(*block, read);
        }
        self.check_directories(transaction)?;
        check_extents(transaction)?;
        self.check_sums(transaction, read)
    }

    /// What the medium says of a block of inodes, if this mount has not committed it yet.
    fn read_inodes(&mut self, block: u64, read: &mut ReadSectors) {
        if self.known.contains_key(&block) {
            return;
        }
        let mut sums = Sums::UNKNOWN;
        if let (Some(What::Inodes { first_inode, are_written: true }), Some(content)) =
            (self.layout.what(block), self.on_medium(block, read))
        {
            let inodes = Inodes { layout: &self.layout, first: first_inode, content: &content };
            sums = inodes.sums();
            self.briefs.extend(inodes.briefs());
        }
        if !self.inodes_count {
            sums.inodes = Count::Unknown;
        }
        self.known.insert(block, sums);
    }

    fn check_bitmaps(&self, transaction: &Transaction) -> Result<(), Contradiction> {
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
        Ok(())
    }

    fn check_directories(&self, transaction: &Transaction) -> Result<(), Contradiction> {
        let surveys = || transaction.inodes.values();
        let briefs = || surveys().flat_map(|survey| &survey.briefs);
        let brief = |inode| {
            let changed = briefs().find(|(number, _)| *number == inode).map(|(_, brief)| *brief);
            changed.or_else(|| self.briefs.get(&inode).copied())
        };
        let (mut named, mut are_all_known) = (BTreeSet::new(), true);
        for (block, content) in &transaction.others {
            let mut directories = surveys().flat_map(|survey| &survey.directories);
            match directories.find(|directory| directory.has(*block)) {
                Some(directory) => directory::check(&self.layout, content, directory, brief, &mut named)?,
                None => are_all_known = false,
            }
        }
        let is_new = |number: &u32, brief: &Brief| {
            let before = self.briefs.get(number);
            brief.kind.is_some() && before.is_some_and(|before| before.kind.is_none())
        };
        if are_all_known && briefs().any(|(number, brief)| is_new(number, brief) && !named.contains(number)) {
            return Err(Contradiction("an inode is new, and has no name"));
        }
        Ok(())
    }

    /// Inodes must have gained what the bitmaps have lost.
    fn check_sums(&mut self, transaction: &Transaction, read: &mut ReadSectors) -> Result<(), Contradiction> {
        let mut freed = Sums::ZERO;
        for descriptors in &transaction.descriptors {
            freed = freed.plus(self.freed(descriptors, transaction, read)?);
        }
        // Of groups that are not looked at, nobody knows what their inodes take.
        let mut taken = if self.layout.is_whole() { Sums::ZERO } else { Sums::UNKNOWN };
        for (block, survey) in &transaction.inodes {
            let mut now = survey.sums;
            // An orphan is nobody's, and its inode is not free: whether one is among these is not known.
            if self.first_orphan != 0 {
                now.inodes = Count::Unknown;
            }
            let before = self.known.insert(*block, now).unwrap_or(Sums::UNKNOWN);
            taken = taken.plus(now.minus(before));
        }
        let is_wrong = |sum: Count| !matches!(sum, Count::Exactly(0) | Count::Unknown);
        let sums = freed.plus(taken);
        if is_wrong(sums.blocks) {
            return Err(Contradiction("as many blocks are not freed as inodes lose, or taken as they gain"));
        }
        if is_wrong(sums.inodes) {
            return Err(Contradiction(
                "as many inodes are not taken as there are new ones, or freed as are gone",
            ));
        }
        Ok(())
    }

    /// What a block of descriptors says to have become free since the last commit. Where it says something else of a bitmap, that must be
    /// in the transaction.
    fn freed(
        &mut self,
        (block, first_group, content): &(u64, u32, Vec<u8>),
        transaction: &Transaction,
        read: &mut ReadSectors,
    ) -> Result<Sums, Contradiction> {
        let before = self.descriptors.insert(*block, content.clone());
        let Some(before) = before.or_else(|| self.on_medium(*block, read)) else {
            return Ok(Sums::UNKNOWN);
        };
        let pairs = self.layout.descriptors(content).zip(self.layout.descriptors(&before));
        for (group, (now, before)) in (*first_group..self.layout.groups_known()).zip(pairs) {
            for what in [What::BlockBitmap { group }, What::InodeBitmap { group }] {
                let is_there = transaction.bitmaps.iter().any(|bitmap| bitmap.what == what);
                if !is_there && !now.agrees(&before, what) {
                    return Err(Contradiction("a bitmap should have changed, and is not written"));
                }
            }
        }
        let mut freed = self.free(content).minus(self.free(&before));
        if !self.inodes_count {
            freed.inodes = Count::Unknown;
        }
        Ok(freed)
    }

    /// A block that this mount has not committed yet, if it can be read. It is at its place: a mount ends when all of the journal is.
    fn on_medium(&self, block: u64, read: &mut ReadSectors) -> Option<Vec<u8>> {
        let mut content = vec![0; self.layout.block_bytes];
        read(block * self.layout.sectors_per_block(), &mut content).ok()?;
        Some(content)
    }

    /// What is free in the groups of a block of descriptors.
    fn free(&self, content: &[u8]) -> Sums {
        self.layout.descriptors(content).fold(Sums::ZERO, |sums, descriptor| {
            let blocks = Count::Exactly(descriptor.free_blocks());
            sums.plus(Sums { blocks, inodes: Count::Exactly(descriptor.free_inodes()) })
        })
    }
}

/// No two files have the same block.
fn check_extents(transaction: &Transaction) -> Result<(), Contradiction> {
    let mut extents: Vec<_> =
        transaction.inodes.values().flat_map(|survey| survey.extents.iter().copied()).collect();
    extents.sort_unstable();
    let overlap = |pair: &[(u64, u64)]| pair[0].0 + pair[0].1 > pair[1].0;
    if extents.windows(2).any(overlap) {
        return Err(Contradiction("two files have the same block"));
    }
    Ok(())
}
