//! The logic of the file server: requests of the `files` protocol in, answers out, ext4 on a block device.
//!
//! Role: everything that the process does, except receiving, copying grants and replying.
//!
//! Rule: when an answer is given, what it acknowledges is on the medium, and the checkpoint holds what the
//! next incarnation needs. Why: this process may die between any two instructions, and the block driver
//! under it may too; the device, the checkpoint and the request (delivered again) are all that is left, and they are
//! enough:
//!
//! | dies | device | checkpoint | what the next incarnation does |
//! |---|---|---|---|
//! | before the intent | unchanged | old | carries the request out as new |
//! | after the intent, before the journal commit | unchanged after recovery | intent | sees the old state, carries it out |
//! | after the journal commit | changed after recovery | intent | sees the new state, answers |
//! | after the reply was stored | changed | reply | gives that reply |
//!
//! Every change is one transaction of the journal, apart from shrinking or removing very large files, which
//! ext4's orphan list carries to its end at the next mount. Data of a new block are written before
//! the transaction that makes them visible; overwritten data go to their place directly, so a death in the middle of
//! an overwrite leaves old and new sectors mixed until the request, which is delivered again, has written them all.
//! A loss of power is like a death, except that the checkpoint is lost too and nobody repeats the request.
//!
//! Errors come in three kinds. A refusal is an answer. A change that fails half-way (a full card) is undone by
//! mounting again from the device. An error of the device or of the checkpoint is [`Fatal`], and so is what this process is about to commit
//! and contradicts itself (`audit`) or was not asked for (`read_back`): the process must exit, and the next incarnation mounts afresh; nothing
//! is written after such an error.
//!
//! # The card
//! `mkfs.ext4 -b 1024 -I 256 -J size=1 -m 0 -O none,has_journal,ext_attr,filetype,extent,flex_bg,64bit,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum -E lazy_itable_init=0,lazy_journal_init=0 CARD`
//!
//! Blocks of 1 KiB and the smallest journal keep memory low: committed blocks stay in the heap until they are
//! written home, and the journal's size is the bound. No `dir_index`: rsext4 handles indexed directories, but that is its
//! youngest part, and a workaround for it is needed in rename; linear directories are searched block by block.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod audit;
mod device;
mod disk;
mod path;
mod read_back;
mod record;
mod server;
mod volume;

pub use device::{BlockDevice, DeviceCounters, DeviceError, SECTOR_BYTES};
pub use disk::WallClock;
pub use record::{CHECKPOINT_BYTES_MAX, Call, Checkpoint, CheckpointError, OPEN_FILES_MAX, Reply, Sender};
pub use server::FileServer;
pub use volume::{FeatureSet, MountError, mount_again};

/// Why the process must exit and a new incarnation mount afresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fatal {
    /// The block device failed.
    Device(DeviceError),
    /// The checkpoint could not be stored.
    Checkpoint,
    /// rsext4 reports a state in which it cannot go on; the text says where.
    FileSystem(&'static str),
    /// What was to be written contradicts itself: this process is wrong.
    Contradiction(&'static str),
    /// The card seems damaged, or this process is the one that is wrong: a fresh one is to look.
    Doubt,
}

impl From<CheckpointError> for Fatal {
    fn from(_: CheckpointError) -> Self {
        Self::Checkpoint
    }
}

impl From<device::Failure> for Fatal {
    fn from(failure: device::Failure) -> Self {
        match failure {
            device::Failure::Device(error) => Self::Device(error),
            device::Failure::Contradiction(what) => Self::Contradiction(what),
        }
    }
}

impl From<MountError> for Fatal {
    fn from(error: MountError) -> Self {
        match error {
            MountError::NoCard => Self::Device(DeviceError::NoCard),
            MountError::WriteProtected => Self::Device(DeviceError::WriteProtected),
            MountError::DeviceFailed => Self::Device(DeviceError::Failed),
            MountError::Checkpoint => Self::Checkpoint,
            MountError::Damaged(place) => Self::FileSystem(place),
            _ => Self::FileSystem("the card was changed"),
        }
    }
}

impl core::fmt::Display for Fatal {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Device(DeviceError::NoCard) => f.write_str("the SD card was removed"),
            Self::Device(DeviceError::WriteProtected) => f.write_str("the SD card became write-protected"),
            Self::Device(DeviceError::Failed) => f.write_str("the block device failed"),
            Self::Checkpoint => f.write_str("the checkpoint could not be stored"),
            Self::Doubt => f.write_str("the file system seems damaged, and a fresh server is to look"),
            Self::Contradiction(what) => write!(f, "what was to be written contradicts itself: {what}"),
            Self::FileSystem(place) => write!(f, "the file system cannot go on: {place}"),
        }
    }
}
