//! What is on the card, before anything is mounted.
//!
//! Rule: every way in which a card can be unfit has its own error with its own remedy. Why: a missing or
//! foreign card must give a clear message and a system that goes on, never a restart loop.
//!
//! Rule: nothing is written here but one sector, the superblock's second, when its checksum is the only thing
//! wrong with the superblock. Why: the superblock lies on two sectors and is the one structure that must be
//! good before the journal can be replayed. All that changes in it lies in the first sector, but the
//! checksum at the end of the second; a write torn between the two leaves a good superblock, old or
//! new, with the other's checksum.
//!
//! # Resources
//! ext4 disk layout, <https://docs.kernel.org/filesystems/ext4/>: "Super Block", "Block Group Descriptors", "Index Nodes".

use core::fmt;

use protocols::files::Status;

use crate::device::{BlockDevice, DeviceError, SECTOR_BYTES, SUPERBLOCK_SECTOR};

/// Why there is no file system to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MountError {
    /// No card in the slot.
    NoCard,
    /// The card is write-protected.
    WriteProtected,
    /// The device failed; trying again may help.
    DeviceFailed,
    /// The card holds nothing but zeros where a file system would begin.
    Empty,
    /// The card holds something else than ext4.
    NotExt4,
    /// ext4 with features that rsext4 cannot write: superblock bits of the named set.
    Unsupported {
        /// Which set of features.
        set: FeatureSet,
        /// The bits that are the trouble.
        bits: u32,
    },
    /// ext4 without a journal, which could not survive a death.
    NoJournal,
    /// The structures on the card contradict each other; the text says where it was seen.
    Damaged(&'static str),
    /// The checkpoint of this process could not be stored.
    Checkpoint,
}

/// The superblock's feature sets that can make a card unfit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureSet {
    /// `s_feature_incompat`
    Incompatible,
    /// `s_feature_ro_compat`
    ReadOnlyCompatible,
}

impl MountError {
    /// What to answer to every request, when the server goes on without a file system.
    pub const fn status(self) -> Status {
        match self {
            Self::NoCard | Self::DeviceFailed | Self::Checkpoint => Status::NoCard,
            Self::WriteProtected => Status::WriteProtected,
            Self::Empty => Status::EmptyCard,
            Self::NotExt4 => Status::NotExt4,
            Self::Unsupported { .. } | Self::NoJournal => Status::UnsupportedFormat,
            Self::Damaged(_) => Status::Damaged,
        }
    }

    /// Whether a new incarnation may fare better, so that the process should exit. Otherwise the card
    /// itself is the trouble: the server should go on and answer with [`Self::status`].
    pub const fn is_transient(self) -> bool {
        matches!(self, Self::DeviceFailed | Self::Checkpoint)
    }
}

/// Mounts by `mount`, again while the device fails, at most `times` in all.
///
/// A server that dies of a failing device before it has served anybody looks like one that its checkpoint kills, and after some such
/// deaths in a row starts without it: what clients have open would be forgotten for what the device did.
///
/// # Errors
/// What the last `mount` said.
pub fn mount_again<T>(times: u32, mut mount: impl FnMut() -> Result<T, MountError>) -> Result<T, MountError> {
    for _ in 1..times {
        match mount() {
            Err(MountError::DeviceFailed) => {}
            end => return end,
        }
    }
    mount()
}

impl From<DeviceError> for MountError {
    fn from(error: DeviceError) -> Self {
        match error {
            DeviceError::NoCard => Self::NoCard,
            DeviceError::WriteProtected => Self::WriteProtected,
            DeviceError::Failed => Self::DeviceFailed,
        }
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCard => f.write_str("no SD card: insert one and restart the file service"),
            Self::WriteProtected => {
                f.write_str("the SD card is write-protected: slide its switch and restart the file service")
            }
            Self::DeviceFailed => f.write_str("the SD card cannot be read: clean its contacts or replace it"),
            Self::Empty => f.write_str("the SD card is empty: format it with mkfs.ext4 on another machine"),
            Self::NotExt4 => f.write_str(
                "the SD card holds no ext4 file system: format it with mkfs.ext4 on another machine (this erases the card)",
            ),
            Self::Unsupported { set, bits } => {
                let set = match set {
                    FeatureSet::Incompatible => "incompat",
                    FeatureSet::ReadOnlyCompatible => "ro_compat",
                };
                write!(
                    f,
                    "the SD card's ext4 uses unsupported features ({set} {bits:#x}): format it without them on another machine"
                )
            }
            Self::NoJournal => {
                f.write_str("the SD card's ext4 has no journal: add one with tune2fs -j on another machine")
            }
            Self::Damaged(place) => write!(
                f,
                "the SD card's file system is damaged ({place}): repair it with e2fsck -f on another machine"
            ),
            Self::Checkpoint => f.write_str("the checkpoint of the file service could not be stored"),
        }
    }
}

/// Where the file system lies, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) first_sector: u64,
    pub(crate) sectors: u64,
    pub(crate) uuid: [u8; 16],
    /// The journal holds what is not in its place yet.
    pub(crate) needs_recovery: bool,
}

const SUPERBLOCK_BYTES: usize = 1024;
/// Of the beginning of the card, or of the partition: boot sector, superblock, and as much again.
const HEAD_BYTES: usize = 8 * SECTOR_BYTES;

const MAGIC: [u8; 2] = 0xEF53_u16.to_le_bytes();
const ERRORS_DETECTED: u8 = 2;
const HAS_JOURNAL: u8 = 4;
const NEEDS_RECOVERY: u32 = 4;
const METADATA_CSUM: u32 = 0x400;
/// Block numbers have 64 bits, and descriptors a second half.
const WIDE_BLOCK_NUMBERS: u32 = 0x80;
/// Blocks of 64 KiB.
const LOG_BLOCK_SIZE_MAX: u32 = 6;
/// Kind of a file, and a directory, in the first two bytes of an inode.
const MODE_KIND: u32 = 0xF000;
const MODE_DIRECTORY: u32 = 0x4000;

// Offsets in the superblock.
const INODES: usize = 0;
const BLOCKS: usize = 4;
const FIRST_DATA_BLOCK: usize = 20;
const LOG_BLOCK_SIZE: usize = 24;
const BLOCKS_PER_GROUP: usize = 32;
const INODES_PER_GROUP: usize = 40;
const MAGIC_AT: usize = 56;
const STATE: usize = 58;
const INODE_SIZE: usize = 88;
const COMPATIBLE: usize = 92;
const INCOMPATIBLE: usize = 96;
const READ_ONLY_COMPATIBLE: usize = 100;
const UUID: core::ops::Range<usize> = 104..120;
const JOURNAL_INODE: usize = 224;
const CHECKSUM: usize = 1020;

// Offsets in a group's descriptor.
const INODE_TABLE: usize = 8;
const INODE_TABLE_HIGH: usize = 40;

const CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
const LINUX_PARTITION: u8 = 0x83;

/// Looks for ext4 at the beginning of the card, then in its first Linux partition.
pub(crate) fn find(device: &mut impl BlockDevice) -> Result<Found, MountError> {
    let sectors = device.sectors();
    if sectors == 0 {
        return Err(MountError::NoCard);
    }
    if sectors < (HEAD_BYTES / SECTOR_BYTES) as u64 {
        return Err(MountError::NotExt4);
    }
    let mut head = [0; HEAD_BYTES];
    device.read(0, &mut head)?;
    if is_ext4(&head[SECTOR_BYTES * 2..]) {
        return judge(device, 0, sectors);
    }
    if let Some((first, count)) = linux_partition(&head) {
        if first.saturating_add(count) > sectors || count < SUPERBLOCK_SECTOR * 2 {
            return Err(MountError::Damaged("partition table"));
        }
        return judge(device, first, count);
    }
    if head.iter().all(|byte| *byte == 0) {
        return Err(MountError::Empty);
    }
    Err(MountError::NotExt4)
}

/// First sector and size of the first Linux partition of a master boot record.
fn linux_partition(head: &[u8]) -> Option<(u64, u64)> {
    if head[510..512] != [0x55, 0xAA] {
        return None;
    }
    (0..4)
        .map(|index| &head[446 + 16 * index..][..16])
        .find(|entry| entry[4] == LINUX_PARTITION)
        .map(|entry| (u64::from(le32(entry, 8)), u64::from(le32(entry, 12))))
}

fn judge(device: &mut impl BlockDevice, first_sector: u64, sectors: u64) -> Result<Found, MountError> {
    let mut superblock = [0; SUPERBLOCK_BYTES];
    device.read(first_sector + SUPERBLOCK_SECTOR, &mut superblock)?;
    if !is_ext4(&superblock) {
        return Err(MountError::NotExt4);
    }
    if superblock[STATE] & ERRORS_DETECTED != 0 {
        return Err(MountError::Damaged("errors were recorded in the superblock"));
    }
    if superblock[COMPATIBLE] & HAS_JOURNAL == 0 {
        return Err(MountError::NoJournal);
    }
    mend_checksum(device, &mut superblock, first_sector, sectors)?;
    check_root(device, &superblock, first_sector, sectors)?;
    let mut uuid = [0; 16];
    uuid.copy_from_slice(&superblock[UUID]);
    let needs_recovery = le32(&superblock, INCOMPATIBLE) & NEEDS_RECOVERY != 0;
    Ok(Found { first_sector, sectors, uuid, needs_recovery })
}

fn is_ext4(superblock: &[u8]) -> bool {
    superblock[MAGIC_AT..MAGIC_AT + 2] == MAGIC
}

/// Writes the right checksum when it is wrong and everything that never changes agrees with the backup.
fn mend_checksum(
    device: &mut impl BlockDevice,
    superblock: &mut [u8; SUPERBLOCK_BYTES],
    first_sector: u64,
    sectors: u64,
) -> Result<(), MountError> {
    let checksum = !CRC32C.checksum(&superblock[..CHECKSUM]);
    if le32(superblock, READ_ONLY_COMPATIBLE) & METADATA_CSUM == 0 || le32(superblock, CHECKSUM) == checksum {
        return Ok(());
    }
    if let Some(sector) = backup_sector(superblock).filter(|sector| sector + 2 <= sectors) {
        let mut backup = [0; SUPERBLOCK_BYTES];
        device.read(first_sector + sector, &mut backup)?;
        if constants(superblock) != constants(&backup) {
            return Err(MountError::Damaged("superblock checksum"));
        }
    }
    superblock[CHECKSUM..].copy_from_slice(&checksum.to_le_bytes());
    device.write(first_sector + SUPERBLOCK_SECTOR + 1, &superblock[SECTOR_BYTES..])?;
    Ok(device.flush()?)
}

/// The root's inode must be a directory: rsext4 would make a new, empty one in its place, and everything would be lost.
///
/// A journal that is still to be replayed does not matter: the inode lies in one sector, and it is a directory in every
/// state that it ever had there.
fn check_root(
    device: &mut impl BlockDevice,
    superblock: &[u8; SUPERBLOCK_BYTES],
    first_sector: u64,
    sectors: u64,
) -> Result<(), MountError> {
    let damaged = MountError::Damaged("root directory");
    let log_block_size = le32(superblock, LOG_BLOCK_SIZE);
    if log_block_size > LOG_BLOCK_SIZE_MAX {
        return Err(MountError::Damaged("block size"));
    }
    let block_bytes = 1024_u64 << log_block_size;
    let mut sector = [0; SECTOR_BYTES];
    let mut read = |place: u64| {
        let number = place / SECTOR_BYTES as u64;
        if number >= sectors {
            return Err(damaged);
        }
        device.read(first_sector + number, &mut sector)?;
        Ok(sector)
    };
    let descriptors = read((u64::from(le32(superblock, FIRST_DATA_BLOCK)) + 1) * block_bytes)?;
    let is_wide = le32(superblock, INCOMPATIBLE) & WIDE_BLOCK_NUMBERS != 0;
    let high = if is_wide { le32(&descriptors, INODE_TABLE_HIGH) } else { 0 };
    let table = u64::from(high) << 32 | u64::from(le32(&descriptors, INODE_TABLE));
    let inode_bytes = u64::from(le32(superblock, INODE_SIZE) & 0xffff);
    let place =
        table.checked_mul(block_bytes).and_then(|table| table.checked_add(inode_bytes)).ok_or(damaged)?;
    let within = (place % SECTOR_BYTES as u64) as usize;
    let mode = le32(&read(place)?, within.min(SECTOR_BYTES - 4));
    if mode & MODE_KIND == MODE_DIRECTORY { Ok(()) } else { Err(damaged) }
}

/// Where the copy in the second block group begins; `None` when there is one group only.
fn backup_sector(superblock: &[u8]) -> Option<u64> {
    let sectors_per_block = 2_u64.checked_shl(le32(superblock, LOG_BLOCK_SIZE))?;
    let block = u64::from(le32(superblock, FIRST_DATA_BLOCK)) + u64::from(le32(superblock, BLOCKS_PER_GROUP));
    (block < u64::from(le32(superblock, BLOCKS))).then(|| block.saturating_mul(sectors_per_block))
}

/// What mkfs decided: sizes, features but for the need of recovery, identity, place of the journal.
pub(crate) fn constants(superblock: &[u8]) -> ([u32; 11], &[u8]) {
    let words = [
        INODES,
        BLOCKS,
        FIRST_DATA_BLOCK,
        LOG_BLOCK_SIZE,
        BLOCKS_PER_GROUP,
        INODES_PER_GROUP,
        INODE_SIZE,
        COMPATIBLE,
        INCOMPATIBLE,
        READ_ONLY_COMPATIBLE,
        JOURNAL_INODE,
    ];
    let words = words.map(|at| match at {
        INODE_SIZE => le32(superblock, at) & 0xffff,
        INCOMPATIBLE => le32(superblock, at) & !NEEDS_RECOVERY,
        _ => le32(superblock, at),
    });
    (words, &superblock[UUID])
}

fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mounting_begins_again_while_the_device_fails_and_for_nothing_else() {
        let after = |failures: u32, then: Result<(), MountError>| {
            let mut begun = 0;
            let end = mount_again(4, || {
                begun += 1;
                if begun > failures { then } else { Err(MountError::DeviceFailed) }
            });
            (end, begun)
        };
        assert_eq!(after(0, Ok(())), (Ok(()), 1));
        assert_eq!(after(3, Ok(())), (Ok(()), 4));
        assert_eq!(after(4, Ok(())), (Err(MountError::DeviceFailed), 4));
        assert_eq!(after(1, Err(MountError::NoCard)), (Err(MountError::NoCard), 2));
    }
}
