//! Whole sessions of rsext4 pass; with one bit of them another one they do not.

use std::cell::RefCell;
use std::ops::Range;
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::string::ToString;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use std::vec::Vec;
use std::{format, fs, vec};

use proptest::prelude::*;
use rsext4::{FileName, FilePermissions};

use super::inode::Inodes;
use super::layout::{Layout, What, checksum, le16};
use super::*;
use crate::device::{BlockDevice, SECTOR_BYTES, Volume};
use crate::disk::Disk;
use crate::server::OWNER;

const BLOCK: usize = 1024;
const SECTORS: u64 = 2;
pub(crate) const FEATURES: &str = "none,has_journal,ext_attr,filetype,extent,flex_bg,64bit,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

type Writes = Vec<(u64, Vec<u8>)>;
/// Changes an inode.
type Change = fn(&mut [u8]);

#[derive(Clone, Default)]
pub(crate) struct Card(Rc<RefCell<(Vec<u8>, Writes)>>);

impl BlockDevice for Card {
    fn sectors(&self) -> u64 {
        (self.0.borrow().0.len() / SECTOR_BYTES) as u64
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let begin = first as usize * SECTOR_BYTES;
        buffer.copy_from_slice(&self.0.borrow().0[begin..begin + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        let (image, writes) = &mut *self.0.borrow_mut();
        let begin = first as usize * SECTOR_BYTES;
        image[begin..begin + data.len()].copy_from_slice(data);
        writes.push((first, data.to_vec()));
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// A card with this on it.
pub(crate) fn card(image: Vec<u8>) -> Card {
    Card(Rc::new(RefCell::new((image, Vec::new()))))
}

pub(crate) fn mkfs(inode_bytes: u32, features: &str) -> Vec<u8> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let file = std::env::temp_dir().join(format!("fs-audit-{}-{number}", std::process::id()));
    let status = Command::new("mkfs.ext4")
        .args(["-q", "-F", "-b", "1024", "-J", "size=1", "-m", "0", "-I"])
        .args([&inode_bytes.to_string(), "-O", features, "-E", "lazy_itable_init=0,lazy_journal_init=0"])
        .arg(&file)
        .arg("12000")
        .stdout(Stdio::null())
        .status()
        .expect("mkfs.ext4 runs");
    assert!(status.success());
    let image = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    image
}

/// What was written to a mounted card, and what the card was before.
struct Session {
    image: Vec<u8>,
    journal: Vec<Range<u64>>,
    writes: Writes,
}

impl Session {
    /// Directories, files, a long one, removals, and everything written to its place.
    fn run(image: Vec<u8>) -> Self {
        let card = card(image);
        let volume = Volume::new(card.clone(), 0, card.sectors());
        let mut disk = Disk::mount(volume.clone(), || Duration::from_hours(500_000)).unwrap();
        let image = card.0.borrow().0.clone();
        card.0.borrow_mut().1.clear();
        let root = disk.root().unwrap();
        let permissions = FilePermissions::new(0o644).unwrap();
        let name = |name: &'static str| FileName::new(name.as_bytes()).unwrap();
        let folder = disk
            .change(|disk| disk.create_directory(OWNER, root, name("folder"), permissions))
            .unwrap()
            .number;
        for (index, file) in ["one", "two", "three"].map(name).into_iter().enumerate() {
            let made = disk
                .change(|disk| disk.create_regular_file(OWNER, folder, file, permissions))
                .unwrap()
                .number;
            let data = vec![index as u8 + 1; 700 + 3000 * index];
            disk.change(|disk| disk.write_inode(made, 0, &data)).unwrap();
        }
        disk.change(|disk| {
            let outcome = disk.unlink(folder, name("two"))?;
            disk.reap_unlinked_inode(outcome.inode)
        })
        .unwrap();
        disk.unmount().unwrap();
        let journal = volume.journal();
        let writes = card.0.borrow().1.clone();
        Self { image, journal, writes }
    }

    fn audit(&self) -> Option<Audit> {
        Audit::new(self.journal[0].start, &mut |first, buffer| self.read(first, buffer)).unwrap()
    }

    /// What was there before.
    fn read(&self, first: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let begin = first as usize * SECTOR_BYTES;
        let there = self.image.get(begin..begin + buffer.len()).ok_or(DeviceError::Failed)?;
        buffer.copy_from_slice(there);
        Ok(())
    }

    /// What the audit says of these writes.
    fn judge(&self, writes: &[(u64, Vec<u8>)]) -> Result<(), Contradiction> {
        let mut audit = self.audit().expect("features that it knows");
        writes.iter().try_for_each(|(first, data)| self.take(&mut audit, *first, data))
    }

    fn take(&self, audit: &mut Audit, first: u64, data: &[u8]) -> Result<(), Contradiction> {
        let is_journal = |sector: u64| self.journal.iter().any(|range| range.contains(&sector));
        audit.write(first, data, is_journal, &mut |first, buffer| self.read(first, buffer))
    }

    /// The blocks in the journal that have a fixed meaning or are directories': write, offset in it, number, meaning.
    fn payloads(&self) -> Vec<(usize, usize, u64, Option<What>)> {
        let mut audit = self.audit().unwrap();
        let mut found = Vec::new();
        for (index, (first, data)) in self.writes.iter().enumerate() {
            for (block, content) in (0_u64..).zip(data.chunks_exact(BLOCK)) {
                let sector = first + block * SECTORS;
                let in_journal = self.journal.iter().any(|range| range.contains(&sector));
                if !in_journal {
                    continue;
                }
                if let Seen::Payload { home, .. } = audit.journal.take(sector, content).unwrap() {
                    found.push((index, block as usize * BLOCK, home, audit.layout.what(home)));
                }
            }
        }
        found
    }

    fn layout(&self) -> Layout {
        self.audit().unwrap().layout
    }

    /// What the audit says if one bit of a write is another one.
    fn judge_flipped(&self, write: usize, byte: usize, bit: u32) -> Result<(), Contradiction> {
        let mut writes = self.writes.clone();
        writes[write].1[byte] ^= 1 << bit;
        self.judge(&writes)
    }
}

fn session() -> Session {
    Session::run(mkfs(256, FEATURES))
}

#[test]
fn what_rsext4_writes_is_in_order() {
    for (inode_bytes, features) in [(256, FEATURES), (128, &FEATURES.replace(",64bit", "")[..])] {
        let session = Session::run(mkfs(inode_bytes, features));
        assert_eq!(session.judge(&session.writes), Ok(()), "{features}");
        let whats: Vec<_> = session.payloads().into_iter().filter_map(|(.., what)| what).collect();
        for what in [
            |what: &What| matches!(what, What::BlockBitmap { .. }),
            |what: &What| matches!(what, What::InodeBitmap { .. }),
            |what: &What| matches!(what, What::Descriptors { .. }),
            |what: &What| matches!(what, What::Inodes { .. }),
        ] {
            assert!(whats.iter().filter(|found| what(found)).count() > 2, "{whats:?}");
        }
    }
}

#[test]
fn a_volume_with_other_rules_is_not_judged() {
    let plain = FEATURES.replace(",metadata_csum", "");
    let session = Session::run(mkfs(256, &plain));
    assert!(session.audit().is_none());
}

#[test]
fn a_bit_of_metadata_that_is_another_one_is_found() {
    let session = session();
    let layout = session.layout();
    for (write, offset, _, what) in session.payloads() {
        let content = &session.writes[write].1[offset..][..BLOCK];
        let bytes: Vec<usize> = match what {
            Some(What::BlockBitmap { .. }) => (0..BLOCK).collect(),
            Some(What::InodeBitmap { .. }) => (0..layout.inodes() as usize / 2 / 8).collect(),
            Some(What::Descriptors { .. }) => (0..2 * 64).collect(),
            Some(What::Superblock) => (0..1024).collect(),
            Some(What::Inodes { .. }) => {
                let used = |at: &usize| le16(content, at / 256 * 256 + 26) != 0;
                (0..BLOCK).filter(used).collect()
            }
            // Of directories: nothing else has no place of its own here.
            None => (0..BLOCK).collect(),
        };
        for byte in bytes.into_iter().step_by(3) {
            let judged = session.judge_flipped(write, offset + byte, byte as u32 % 8);
            assert!(judged.is_err(), "byte {byte} of {what:?} in write {write}");
        }
    }
}

/// Changes the bytes of a payload in every transaction from the first on that has one for which `is_it` holds.
fn judge_changed(
    session: &Session,
    is_it: impl Fn(&What) -> bool,
    change: impl Fn(&Layout, &What, &mut [u8]),
) -> Result<(), Contradiction> {
    let (mut writes, layout) = (session.writes.clone(), session.layout());
    for (write, offset, _, what) in session.payloads() {
        if let Some(what) = what.filter(&is_it) {
            change(&layout, &what, &mut writes[write].1[offset..][..BLOCK]);
        }
    }
    session.judge(&writes)
}

#[test]
fn what_is_wrong_with_the_right_checksum_is_found() {
    let session = session();
    let reseal = |layout: &Layout, number: u32, bytes: &mut [u8]| {
        for at in [124, 130] {
            bytes[at..at + 2].fill(0);
        }
        let numbers = [number.to_le_bytes(), [bytes[100], bytes[101], bytes[102], bytes[103]]];
        let sum = checksum(layout.seed, &[&numbers[0], &numbers[1], bytes]).to_le_bytes();
        bytes[124..126].copy_from_slice(&sum[..2]);
        bytes[130..132].copy_from_slice(&sum[2..]);
    };
    let is_inodes = |what: &What| matches!(what, What::Inodes { .. });
    let cases: [(&str, Change); 13] = [
        ("an inode is longer than its place", |inode| inode[129] |= 0x80),
        ("a directory counts other links than it has", |inode| inode[26] += u8::from(inode[1] >> 4 == 4)),
        ("an inode was deleted and is still of a kind, and no orphan", |inode| inode[26] = 0),
        ("an inode is of no kind", |inode| inode[1] &= 0x0F),
        ("an inode counts other blocks than it has", |inode| inode[28] ^= 2),
        ("an inode has no tree of extents", |inode| inode[40] ^= 1),
        ("extents overlap, are empty, or lie behind the end of the volume", |inode| inode[40 + 12 + 4] = 0),
        ("an inode is in use and was deleted, and is no orphan", |inode| inode[20] = 1),
        ("an inode has extents and does not say so", |inode| inode[34] &= !8),
        ("two files have the same block", |inode| inode[60..62].copy_from_slice(&5000_u16.to_le_bytes())),
        ("a file has blocks that are the file system's own", |inode| inode[60..62].copy_from_slice(&[2, 0])),
        ("a name says that its inode is of another kind", |inode| {
            // A file becomes a FIFO, without blocks.
            if inode[1] >> 4 == 8 {
                inode[1] = inode[1] & 0x0F | 0x10;
            }
        }),
        ("a name of an inode that is not in use", |inode| (inode[20], inode[26]) = (1, 0)),
    ];
    for (expected, change) in cases {
        let judged = judge_changed(&session, is_inodes, |layout, what, content| {
            let What::Inodes { first_inode, .. } = *what else { return };
            for (number, inode) in (first_inode..).zip(content.chunks_exact_mut(256)) {
                // Regular files and directories with blocks.
                if le16(inode, 26) != 0 && inode[28] != 0 && number > 10 {
                    change(inode);
                    reseal(layout, number, inode);
                }
            }
        });
        assert_eq!(judged, Err(Contradiction(expected)));
    }
}

/// Takes a bit of a bitmap of group 0 that is free, with all checksums and counts right, and says what the audit says.
fn judge_taken(what: What) -> Result<(), Contradiction> {
    let session = session();
    let layout = session.layout();
    let mut writes = session.writes.clone();
    let payloads = session.payloads();
    // The last such bitmap, and the descriptors in the same transaction.
    let (write, offset, ..) = *payloads.iter().rfind(|(.., found)| *found == Some(what)).unwrap();
    let bitmap = &mut writes[write].1[offset..][..BLOCK];
    let (bits, count_at, low_at) = match what {
        What::BlockBitmap { .. } => (BLOCK * 8, 12, 24),
        _ => (layout.inodes() as usize / 2, 14, 26),
    };
    let free = (0..bits).rfind(|bit| bitmap[bit / 8] >> (bit % 8) & 1 == 0).unwrap();
    bitmap[free / 8] |= 1 << (free % 8);
    let sum = layout.bitmap(what, bitmap).0.to_le_bytes();
    let last = |payload: &&(usize, usize, u64, Option<What>)| {
        matches!(payload.3, Some(What::Descriptors { .. })) && payload.0.abs_diff(write) < 3
    };
    let (write, offset, ..) = *payloads.iter().rfind(last).unwrap();
    let descriptor = &mut writes[write].1[offset..][..64];
    descriptor[low_at..low_at + 2].copy_from_slice(&sum[..2]);
    descriptor[low_at + 32..low_at + 34].copy_from_slice(&sum[2..]);
    let count = le16(descriptor, count_at) - 1;
    descriptor[count_at..count_at + 2].copy_from_slice(&count.to_le_bytes());
    descriptor[30..32].fill(0);
    let seal = checksum(layout.seed, &[&0_u32.to_le_bytes(), descriptor]) as u16;
    descriptor[30..32].copy_from_slice(&seal.to_le_bytes());
    session.judge(&writes)
}

#[test]
fn a_block_or_an_inode_that_nobody_has_is_found_though_all_checksums_and_counts_are_right() {
    let expected = Contradiction("as many blocks are not freed as inodes lose, or taken as they gain");
    assert_eq!(judge_taken(What::BlockBitmap { group: 0 }), Err(expected));
    let expected = Contradiction("as many inodes are not taken as there are new ones, or freed as are gone");
    assert_eq!(judge_taken(What::InodeBitmap { group: 0 }), Err(expected));
}

#[test]
fn inodes_that_are_not_written_at_all_are_found() {
    let session = session();
    // As the first transaction leaves them in which one is new: what the medium had before.
    let new = |(write, offset, home, what): &(usize, usize, u64, Option<What>)| {
        let now = &session.writes[*write].1[*offset..][..BLOCK];
        let before = &session.image[*home as usize * BLOCK..][..BLOCK];
        let used = |bytes: &[u8]| bytes.chunks(256).filter(|inode| le16(inode, 26) != 0).count();
        matches!(what, Some(What::Inodes { .. })) && used(now) > used(before)
    };
    let payloads = session.payloads();
    let (write, offset, home, _) = *payloads.iter().find(|payload| new(payload)).unwrap();
    let mut writes = session.writes.clone();
    let before = &session.image[home as usize * BLOCK..][..BLOCK];
    writes[write].1[offset..][..BLOCK].copy_from_slice(before);
    assert_eq!(session.judge(&writes), Err(Contradiction("a name of an inode that is not in use")));
}

#[test]
fn groups_that_are_not_looked_at_are_not_judged() {
    let session = session();
    let mut audit = session.audit().unwrap();
    audit.layout.forget_groups();
    let judged = session.writes.iter().try_for_each(|(first, data)| session.take(&mut audit, *first, data));
    assert_eq!(judged, Ok(()));
}

#[test]
fn blocks_of_a_deleted_inode_are_counted_only_if_they_are_its_own() {
    let layout = session().layout();
    let mut content = [0; BLOCK];
    let sums = |content: &[u8]| Inodes { layout: &layout, first: 13, content }.sums().blocks;
    content[28] = 4;
    assert_eq!(sums(&content), Count::Exactly(2), "on its way to be freed");
    // The time when e2fsck cleared it.
    content[20..24].copy_from_slice(&1_700_000_000_u32.to_le_bytes());
    assert_eq!(sums(&content), Count::Unknown);
    content[26] = 1;
    assert_eq!(sums(&content), Count::Exactly(2), "in use");
}

#[test]
fn an_inode_without_a_name_is_found() {
    let session = session();
    let mut audit = session.audit().unwrap();
    // No block of a directory reaches the transaction that makes the first inode.
    let judged = session.writes.iter().try_for_each(|(first, data)| {
        audit.transaction.others.clear();
        session.take(&mut audit, *first, data)
    });
    assert_eq!(judged, Err(Contradiction("an inode is new, and has no name")));
}

#[test]
fn a_journal_with_other_features_is_none() {
    let session = session();
    let at = session.journal[0].start;
    let mut superblock = session.image[at as usize * SECTOR_BYTES..][..BLOCK].to_vec();
    let mut audit = session.audit().unwrap();
    superblock[27] += 1;
    assert_eq!(session.take(&mut audit, at, &superblock), Ok(()), "its sequence");
    superblock[41] ^= 0x20;
    let expected = Contradiction("the journal's superblock is another one");
    assert_eq!(session.take(&mut audit, at, &superblock), Err(expected));
}

#[test]
fn a_bitmap_that_is_written_elsewhere_is_missed() {
    const ELSEWHERE: u32 = 11_000;
    let session = session();
    assert_eq!(session.layout().what(ELSEWHERE.into()), None);
    for is_it in [
        |what: &What| matches!(what, What::BlockBitmap { .. }),
        |what: &What| matches!(what, What::InodeBitmap { .. }),
    ] {
        let mut writes = session.writes.clone();
        for (.., home, _) in
            session.payloads().into_iter().filter(|(.., what)| what.as_ref().is_some_and(is_it))
        {
            // In the tags of all descriptors of the journal.
            let tag = (home as u32).to_be_bytes();
            let blocks = writes.iter_mut().flat_map(|(_, data)| data.chunks_exact_mut(BLOCK));
            let tags = blocks
                .filter(|block| block.starts_with(&[&journal::MAGIC_BYTES[..], &[0, 0, 0, 1]].concat()));
            let words = tags.flat_map(|block| block[12..].chunks_exact_mut(4));
            words
                .filter(|word| **word == tag)
                .for_each(|word| word.copy_from_slice(&ELSEWHERE.to_be_bytes()));
        }
        let expected = Contradiction("a bitmap should have changed, and is not written");
        assert_eq!(session.judge(&writes), Err(expected));
    }
}

#[test]
fn metadata_that_was_not_committed_is_not_written_to_its_place() {
    let session = session();
    let (.., home, _) =
        *session.payloads().iter().find(|(.., what)| matches!(what, Some(What::Inodes { .. }))).unwrap();
    let mut audit = session.audit().unwrap();
    session.writes.iter().try_for_each(|(first, data)| session.take(&mut audit, *first, data)).unwrap();
    let there = session.writes.iter().rfind(|(first, _)| *first == home * SECTORS).map(|(_, data)| data);
    if let Some(there) = there {
        assert_eq!(session.take(&mut audit, home * SECTORS, &there[..BLOCK]), Ok(()));
    }
    let expected = Contradiction("a block of metadata is written that was not committed");
    assert_eq!(session.take(&mut audit, home * SECTORS, &[7; BLOCK]), Err(expected));
}

#[test]
fn a_superblock_of_another_volume_is_not_written() {
    let session = session();
    let mut audit = session.audit().unwrap();
    let mut superblock = session.image[1024..2048].to_vec();
    assert_eq!(session.take(&mut audit, 2, &superblock), Ok(()));
    superblock[104] ^= 1;
    assert_eq!(session.take(&mut audit, 2, &superblock), Err(Contradiction("the superblock is another one")));
    superblock[104] ^= 1;
    superblock[48] ^= 1;
    let expected = Contradiction("the superblock's checksum is wrong");
    assert_eq!(session.take(&mut audit, 2, &superblock), Err(expected));
}

proptest! {
    /// Bytes of a real session are others, the headers of the journal among them: the audit may say what it likes, and goes on.
    #[test]
    fn nothing_that_is_written_is_too_much_for_it(
        splices in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<[u8; 8]>()), 1..12),
        tags in proptest::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        SESSION.with(|session| {
            let mut writes = session.writes.clone();
            for (write, place, bytes) in splices {
                let count = writes.len();
                let data = &mut writes[write.index(count)].1;
                let at = place.index(data.len() / 8) * 8;
                data[at..at + 8].copy_from_slice(&bytes);
            }
            // The farthest block that a tag can name.
            for tag in tags {
                let count = writes.len();
                let data = &mut writes[tag.index(count)].1;
                if data.starts_with(&journal::MAGIC_BYTES) {
                    data[12..16].fill(0xFF);
                    data[20..24].fill(0xFF);
                }
            }
            let mut audit = session.audit().unwrap();
            for (first, data) in &writes {
                let _ = session.take(&mut audit, *first, data);
            }
        });
    }
}

#[test]
fn no_inode_and_no_block_is_too_much_for_it() {
    let layout = session().layout();
    for byte in [0, 0xFF] {
        let content = [byte; BLOCK];
        let survey = Inodes { layout: &layout, first: 1, content: &content }.survey();
        assert!(survey.map_or(true, |survey| survey.directories.is_empty()));
    }
    for block in [0, 1, u64::from(u32::MAX), u64::MAX] {
        let _ = layout.what(block);
    }
}

#[test]
fn a_part_of_metadata_is_not_written_and_one_of_a_file_is() {
    let session = session();
    let mut audit = session.audit().unwrap();
    let first =
        session.payloads().iter().find(|(.., what)| matches!(what, Some(What::Inodes { .. }))).unwrap().2
            * SECTORS;
    let part = Err(Contradiction("a part of a block of metadata is written"));
    assert_eq!(session.take(&mut audit, first + 1, &[0; SECTOR_BYTES]), part);
    assert_eq!(session.take(&mut audit, first - 1, &[0; 2 * SECTOR_BYTES]), part);
    assert_eq!(session.take(&mut audit, session.journal[0].start + 1, &[0; SECTOR_BYTES]), part);
    assert_eq!(session.take(&mut audit, 20_001, &[0; SECTOR_BYTES]), Ok(()));
    let part = Err(Contradiction("a part of the superblock is written"));
    assert_eq!(session.take(&mut audit, 3, &[0; SECTOR_BYTES]), part);
}

#[test]
fn a_block_that_begins_like_one_of_the_journal_is_judged_as_it_will_be() {
    let session = session();
    let mut audit = session.audit().unwrap();
    let mut descriptor = [0; BLOCK];
    descriptor[..4].copy_from_slice(&journal::MAGIC_BYTES);
    descriptor[7] = 1;
    // One tag: block 1000, escaped, the last one.
    descriptor[14..16].copy_from_slice(&1000_u16.to_be_bytes());
    descriptor[19] = 1 | 8;
    let at = session.journal[0].start + 40;
    assert_eq!(session.take(&mut audit, at, &descriptor), Ok(()));
    let mut follower = session.audit().unwrap().journal;
    assert_eq!(follower.take(at, &descriptor), Ok(Seen::Other));
    assert_eq!(follower.take(at + 2, &[0; BLOCK]), Ok(Seen::Payload { home: 1000, is_escaped: true }));
}

std::thread_local! {
    static SESSION: Session = session();
}
