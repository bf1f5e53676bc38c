//! Blocks of directories: a chain of entries from one end to the other, and the checksum of the directory that it is in.

use alloc::collections::BTreeSet;

use super::Contradiction;
use super::inode::Brief;
use super::layout::{Layout, checksum, le16, le32};

/// An entry without a name at the end of a block, which holds the checksum.
const TAIL_BYTES: usize = 12;
const TAIL_HEAD: [u8; 8] = [0, 0, 0, 0, TAIL_BYTES as u8, 0, 0, 0xDE];

/// Bytes of an entry before its name.
const HEAD_BYTES: usize = 8;

/// Kinds of files in an entry: 1 to 7, or 0 where nobody has said.
const KIND_MAX: u8 = 7;
const KIND_DIRECTORY: u8 = 2;

/// Links of a directory that has more than can be counted.
const UNCOUNTED: u16 = 1;

/// Larger blocks write the length of an entry in another way.
const BLOCK_BYTES_MAX: usize = 32 * 1024;

/// Most extents of a directory that its inode itself holds.
pub(super) const EXTENTS_MAX: usize = 4;

/// A directory whose inode is in the transaction.
pub(super) struct Directory {
    pub(super) inode: u32,
    pub(super) generation: u32,
    pub(super) links: u16,
    /// First block and number of blocks.
    pub(super) extents: heapless::Vec<(u64, u64), EXTENTS_MAX>,
}

impl Directory {
    /// Whether it has one block only.
    fn is_one_block(&self) -> bool {
        matches!(self.extents[..], [(_, 1)])
    }

    /// Whether the block is one of it.
    pub(super) fn has(&self, block: u64) -> bool {
        self.extents.iter().any(|&(first, count)| (first..first + count).contains(&block))
    }
}

/// Checks a block of `directory`, and adds the inodes that it names to `named`. `brief` says of an inode what it is, if that is known.
pub(super) fn check(
    layout: &Layout,
    content: &[u8],
    directory: &Directory,
    brief: impl Fn(u32) -> Option<Brief>,
    named: &mut BTreeSet<u32>,
) -> Result<(), Contradiction> {
    let broken = Contradiction("a directory's entries do not fit together");
    let (entries, tail) = content.split_at(content.len() - TAIL_BYTES);
    if layout.block_bytes > BLOCK_BYTES_MAX {
        return Ok(());
    }
    if !tail.starts_with(&TAIL_HEAD) {
        return Err(broken);
    }
    let (mut at, mut directories, mut has_kinds) = (0, 0, true);
    while at < entries.len() {
        let entry = entries.get(at..at + HEAD_BYTES).ok_or(broken)?;
        let (inode, length) = (le32(entry, 0), usize::from(le16(entry, 4)));
        let (name, kind) = (usize::from(entry[6]), entry[7]);
        let is_name = inode == 0
            || (inode <= layout.inodes() && name > 0 && HEAD_BYTES + name <= length && kind <= KIND_MAX);
        if length < HEAD_BYTES || !length.is_multiple_of(4) || !is_name {
            return Err(broken);
        }
        match brief(inode).filter(|_| inode != 0) {
            Some(Brief { kind: None, .. }) => {
                return Err(Contradiction("a name of an inode that is not in use"));
            }
            Some(Brief { kind: Some(other), .. }) if kind != 0 && kind != other => {
                return Err(Contradiction("a name says that its inode is of another kind"));
            }
            _ => {}
        }
        named.insert(inode);
        directories += u16::from(inode != 0 && kind == KIND_DIRECTORY);
        has_kinds &= inode == 0 || kind != 0;
        at += length;
    }
    if at != entries.len() {
        return Err(broken);
    }
    let numbers = [directory.inode, directory.generation].map(u32::to_le_bytes);
    if le32(tail, 8) != checksum(layout.seed, &[&numbers[0], &numbers[1], entries]) {
        return Err(Contradiction("the checksum of a directory's block is wrong"));
    }
    // Itself, its entry, and each directory in it: as many as there are entries of directories, "." and ".." among them.
    if has_kinds && directory.is_one_block() && directory.links != UNCOUNTED && directory.links != directories
    {
        return Err(Contradiction("a directory counts other links than it has"));
    }
    Ok(())
}
