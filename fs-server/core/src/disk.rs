//! One mount of the file system, with rsext4's errors sorted into the three kinds that matter here.
//!
//! Rule: a change is committed to the journal, and on the medium, before it is reported; a change that fails
//! is undone by throwing the mount away and making it again from the device. Why: between two requests
//! the caches then hold nothing that the device does not, so the death of this process loses nothing
//! acknowledged, and no error path of rsext4 has to be trusted to restore its caches.

use core::ops::Range;
use core::time::Duration;

use protocols::files::{Facts, Kind, Status};
use rsext4::{
    Clock, DirectoryEntryType, ErrorContext, Ext4, Ext4Error, Ext4ErrorKind, Ext4Result, Ext4Timestamp,
    FileExtentTarget, FileName, InodeFlags, InodeInfo, InodeNumber, MountOptions, MountServices,
    MountedServices, NoopObserver, RangeOperation, ZeroRangeOptions,
};

use crate::Fatal;
use crate::audit::Audit;
use crate::device::{BlockDevice, Failure, SECTOR_BYTES, Volume};
use crate::path::{Names, PARENT};
use crate::read_back;
use crate::volume::{FeatureSet, MountError};

/// Time since 1970, for the time stamps of files.
pub type WallClock = fn() -> Duration;

pub(crate) type Mounted<D> = Ext4<Volume<D>, MountedServices<(), NoopObserver>>;

/// Why a request came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Refused(Status),
    Fatal(Fatal),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Refused(status)
    }
}

impl From<Fatal> for Stop {
    fn from(fatal: Fatal) -> Self {
        Self::Fatal(fatal)
    }
}

/// ext4's reserved inode of the journal.
const JOURNAL_INODE: u32 = 8;
/// mkfs makes the journal in one piece, or a few on a card with small groups.
const JOURNAL_EXTENTS_MAX: usize = 64;
const NOT_MOUNTED: Stop = Stop::Fatal(Fatal::FileSystem("not mounted"));

struct FileClock(WallClock);

impl Clock for FileClock {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let now = (self.0)();
        Ok(Ext4Timestamp::new(now.as_secs().cast_signed(), now.subsec_nanos()))
    }
}

/// A directory on the way to a name.
pub(crate) type Trail = heapless::Vec<InodeNumber, { protocols::files::PATH_DEPTH_MAX + 1 }>;

pub(crate) struct Disk<D: BlockDevice> {
    volume: Volume<D>,
    clock: WallClock,
    /// Absent while it is being replaced, so that two mounts never share the heap.
    mounted: Option<Mounted<D>>,
    /// How much of the journal may fill, in sectors, before [`Disk::empty_journal`].
    journal_budget: u64,
}

impl<D: BlockDevice> Disk<D> {
    pub(crate) fn mount(volume: Volume<D>, clock: WallClock) -> Result<Self, MountError> {
        let (mounted, journal_budget) = mount(&volume, clock)?;
        Ok(Self { volume, clock, mounted: Some(mounted), journal_budget })
    }

    /// Runs an operation that changes nothing.
    pub(crate) fn look<T>(
        &mut self,
        operation: impl FnOnce(&mut Mounted<D>) -> Ext4Result<T>,
    ) -> Result<T, Stop> {
        let mounted = self.mounted.as_mut().ok_or(NOT_MOUNTED)?;
        operation(mounted).map_err(|error| self.stop(error))
    }

    /// Runs an operation that changes the file system, and puts the change on the medium. Not to have put anything there is a
    /// contradiction.
    pub(crate) fn change<T>(
        &mut self,
        operation: impl FnOnce(&mut Mounted<D>) -> Ext4Result<T>,
    ) -> Result<T, Stop> {
        let mut before = None;
        let volume = self.volume.clone();
        let value = self.settle(|disk| {
            before = volume.commits();
            operation(disk)
        })?;
        let has_grown = |audit: &Audit| before.is_none_or(|before| audit.commits() > before);
        self.require("a change was not committed", has_grown)?;
        Ok(value)
    }

    /// An inode that was changed is in use on the medium, and so long, if that is asked. The audit has seen it there.
    pub(crate) fn is_committed(&self, inode: InodeNumber, size: Option<u64>) -> Result<(), Stop> {
        let inode = inode.raw();
        self.require("what was committed of a file is not what was asked for", |audit| {
            audit.is_committed(inode, size)
        })
    }

    fn require(&self, what: &'static str, holds: impl FnOnce(&Audit) -> bool) -> Result<(), Stop> {
        self.volume.require(what, holds).map_err(|failure| Stop::Fatal(failure.into()))
    }

    /// Runs an operation that may change the file system, and puts everything on the medium.
    pub(crate) fn settle<T>(
        &mut self,
        operation: impl FnOnce(&mut Mounted<D>) -> Ext4Result<T>,
    ) -> Result<T, Stop> {
        if self.volume.journal_sectors_written() > self.journal_budget {
            self.empty_journal()?;
        }
        let mounted = self.mounted.as_mut().ok_or(NOT_MOUNTED)?;
        let done = operation(mounted).and_then(|value| {
            mounted.sync()?;
            Ok(value)
        });
        match done {
            Ok(value) => Ok(value),
            Err(error) => {
                let stop = self.stop(error);
                if matches!(stop, Stop::Refused(_)) {
                    self.roll_back()?;
                }
                Err(stop)
            }
        }
    }

    /// Cuts a file down to `size`. What is cut off in its last block is cleared after the new size is on the medium: a loss
    /// of power before that moment would otherwise leave a file of the old size without its old bytes. What a loss of power
    /// after it leaves behind the end is cleared when the file grows over it, see [`clear_tail`].
    pub(crate) fn shrink(&mut self, inode: InodeNumber, size: u64) -> Result<(), Stop> {
        let tail = self.look(|disk| block_of(disk, inode, size))?;
        self.volume.hold(tail.unwrap_or(0..0));
        self.change(|disk| {
            disk.truncate_inode(inode, size)?;
            read_back::has_size(disk, inode, size)
        })?;
        self.is_committed(inode, Some(size))?;
        self.volume.release().map_err(|failure| Stop::Fatal(failure.into()))
    }

    fn roll_back(&mut self) -> Result<(), Stop> {
        self.mounted = None;
        self.volume.forget_joined();
        self.mount_again()
    }

    /// Writes everything home and begins an empty journal. rsext4 does this by itself when the journal is
    /// full, but fails if that moment comes between two of its transactions; and it
    /// keeps all committed blocks in the heap until then.
    fn empty_journal(&mut self) -> Result<(), Stop> {
        self.unmount()?;
        self.mounted = None;
        self.mount_again()
    }

    fn mount_again(&mut self) -> Result<(), Stop> {
        let (mounted, budget) = mount(&self.volume, self.clock).map_err(Fatal::from)?;
        self.mounted = Some(mounted);
        self.journal_budget = budget;
        Ok(())
    }

    pub(crate) fn unmount(&mut self) -> Result<(), Stop> {
        self.look(Mounted::unmount)
    }

    fn stop(&self, error: Ext4Error) -> Stop {
        if let Some(failure) = self.volume.failure() {
            return Stop::Fatal(failure.into());
        }
        match status(error) {
            Some(status) => Stop::Refused(status),
            None => Stop::Fatal(Fatal::FileSystem(place(error))),
        }
    }

    pub(crate) fn root(&mut self) -> Result<InodeNumber, Stop> {
        self.look(|disk| Ok(disk.root_inode()))
    }

    pub(crate) fn inode(&mut self, number: InodeNumber) -> Result<InodeInfo, Stop> {
        self.look(|disk| disk.inode(number))
    }

    pub(crate) fn lookup(
        &mut self,
        parent: InodeNumber,
        name: FileName<'_>,
    ) -> Result<Option<InodeInfo>, Stop> {
        self.look(|disk| disk.lookup_child(parent, name))
    }

    /// Follows names from the root; the last element of the trail is what they mean.
    pub(crate) fn walk(&mut self, names: &[&[u8]]) -> Result<(Trail, InodeInfo), Stop> {
        let root = self.root()?;
        let mut trail = Trail::new();
        let mut here = self.inode(root)?;
        trail.push(root).map_err(|_| Status::PathTooLong)?;
        for name in names {
            if !here.is_directory() {
                return Err(Status::NotDirectory.into());
            }
            if *name == PARENT {
                if trail.len() > 1 {
                    trail.pop();
                }
                here = self.inode(*trail.last().unwrap_or(&root))?;
                continue;
            }
            here = self.lookup(here.number, file_name(name)?)?.ok_or(Status::NotFound)?;
            trail.push(here.number).map_err(|_| Status::PathTooLong)?;
        }
        Ok((trail, here))
    }

    /// The directory that holds the last of `names`, and that name; `root` is the status for the root.
    pub(crate) fn place<'a>(
        &mut self,
        names: &Names<'a>,
        root: Status,
    ) -> Result<(Trail, FileName<'a>), Stop> {
        let (last, parents) = names.split_last().ok_or(root)?;
        if *last == PARENT {
            return Err(Status::BadName.into());
        }
        let (trail, parent) = self.walk(parents)?;
        if !parent.is_directory() {
            return Err(Status::NotDirectory.into());
        }
        Ok((trail, file_name(last)?))
    }
}

/// The sectors of the block with byte `offset` of a file, if that byte lies in it and is no hole.
fn block_of<D: BlockDevice>(
    mounted: &mut Mounted<D>,
    inode: InodeNumber,
    offset: u64,
) -> Ext4Result<Option<Range<u64>>> {
    let block_bytes = mounted.statfs().block_size;
    let map = mounted.inode_extents(inode, offset, 1, FileExtentTarget::Data, 1)?;
    Ok(map.extents.first().map(|extent| {
        let block = (extent.physical_start + (offset - extent.logical_start)) / block_bytes;
        let sectors = block_bytes / SECTOR_BYTES as u64;
        block * sectors..(block + 1) * sectors
    }))
}

/// Clears what lies behind the end of a file in its last block, before the file grows over it.
pub(crate) fn clear_tail<D: BlockDevice>(mounted: &mut Mounted<D>, file: &InodeInfo) -> Ext4Result<()> {
    let block_bytes = mounted.statfs().block_size;
    let tail = file.size.next_multiple_of(block_bytes) - file.size;
    if tail == 0 || !file.flags.contains(InodeFlags::EXTENTS) {
        return Ok(());
    }
    if block_of(mounted, file.number, file.size - 1)?.is_none() {
        return Ok(());
    }
    let clear = RangeOperation::Zero(ZeroRangeOptions::KEEP_SIZE);
    mounted.operate_inode_range(file.number, file.size, tail, clear)
}

/// Mounts, and says how many sectors of the journal may be filled.
fn mount<D: BlockDevice>(volume: &Volume<D>, clock: WallClock) -> Result<(Mounted<D>, u64), MountError> {
    let services = MountServices::new(FileClock(clock), (), NoopObserver);
    let options = MountOptions::read_write();
    volume.end_audit();
    let mut mounted =
        Ext4::mount(volume.clone(), services, options).map_err(|error| mount_error(volume, error))?;
    let budget = watch_journal(volume, &mut mounted).map_err(|error| mount_error(volume, error))?;
    volume.begin_audit().map_err(failure_of_mount)?;
    Ok((mounted, budget))
}

/// A third of the journal: rsext4 wants another third free for the largest transaction, and the last may be
/// that large.
fn watch_journal<D: BlockDevice>(volume: &Volume<D>, mounted: &mut Mounted<D>) -> Ext4Result<u64> {
    let inode = InodeNumber::new(JOURNAL_INODE)?;
    let map =
        mounted.inode_extents(inode, 0, i64::MAX as u64, FileExtentTarget::Data, JOURNAL_EXTENTS_MAX)?;
    if !map.complete {
        return Err(Ext4Error::unsupported().with_operation("journal in too many pieces"));
    }
    let sector = |byte: u64| byte / SECTOR_BYTES as u64;
    let ranges = map
        .extents
        .iter()
        .map(|extent| sector(extent.physical_start)..sector(extent.physical_start + extent.length))
        .collect();
    volume.watch_journal(ranges);
    Ok(map.extents.iter().map(|extent| sector(extent.length)).sum::<u64>() / 3)
}

fn failure_of_mount(failure: Failure) -> MountError {
    match failure {
        Failure::Device(error) => error.into(),
        Failure::Contradiction(what) => MountError::Damaged(what),
    }
}

fn mount_error<D: BlockDevice>(volume: &Volume<D>, error: Ext4Error) -> MountError {
    if let Some(failure) = volume.failure() {
        return failure_of_mount(failure);
    }
    match (error.kind(), error.context()) {
        (Ext4ErrorKind::UnsupportedFeature, Some(ErrorContext::Feature { set, bits })) => {
            let set = match set {
                rsext4::FeatureSet::Incompatible => FeatureSet::Incompatible,
                rsext4::FeatureSet::ReadOnlyCompatible => FeatureSet::ReadOnlyCompatible,
            };
            MountError::Unsupported { set, bits }
        }
        _ => MountError::Damaged(place(error)),
    }
}

fn file_name(name: &[u8]) -> Result<FileName<'_>, Status> {
    FileName::new(name).map_err(|_| Status::BadName)
}

/// What a client is told; `None` when the mount itself is not to be trusted any more.
fn status(error: Ext4Error) -> Option<Status> {
    Some(match error.kind() {
        Ext4ErrorKind::NotFound => Status::NotFound,
        Ext4ErrorKind::AlreadyExists => Status::Exists,
        Ext4ErrorKind::NotDirectory => Status::NotDirectory,
        Ext4ErrorKind::IsDirectory => Status::IsDirectory,
        Ext4ErrorKind::NotEmpty => Status::NotEmpty,
        Ext4ErrorKind::NoSpace | Ext4ErrorKind::QuotaExceeded => Status::NoSpace,
        Ext4ErrorKind::TooManyLinks => Status::TooManyLinks,
        Ext4ErrorKind::FileTooLarge | Ext4ErrorKind::Overflow => Status::FileTooLarge,
        Ext4ErrorKind::InvalidInput => Status::InvalidArgument,
        Ext4ErrorKind::Unsupported
        | Ext4ErrorKind::UnsupportedFeature
        | Ext4ErrorKind::PermissionDenied
        | Ext4ErrorKind::UnsupportedCapability => Status::Unsupported,
        Ext4ErrorKind::Corrupted
        | Ext4ErrorKind::ChecksumMismatch
        | Ext4ErrorKind::BadSuperblock
        | Ext4ErrorKind::InvalidMagic => Status::Damaged,
        Ext4ErrorKind::Io
        | Ext4ErrorKind::ReadOnly
        | Ext4ErrorKind::NoMemory
        | Ext4ErrorKind::JournalAborted
        | Ext4ErrorKind::Busy
        | Ext4ErrorKind::BadFileDescriptor
        | Ext4ErrorKind::Timeout => return None,
    })
}

fn place(error: Ext4Error) -> &'static str {
    match (error.context(), error.kind()) {
        (Some(ErrorContext::Operation { op }), _) => op,
        (Some(ErrorContext::Capability { name }), _) => name,
        (_, Ext4ErrorKind::ChecksumMismatch) => "checksum mismatch",
        (_, Ext4ErrorKind::BadSuperblock) => "superblock",
        (_, Ext4ErrorKind::Io) => "superblock, group descriptors or root directory",
        (_, Ext4ErrorKind::JournalAborted) => "journal",
        _ => "metadata",
    }
}

pub(crate) fn kind(file_type: DirectoryEntryType) -> Kind {
    match file_type {
        DirectoryEntryType::RegularFile => Kind::File,
        DirectoryEntryType::Directory => Kind::Directory,
        _ => Kind::Other,
    }
}

pub(crate) fn facts(info: &InodeInfo) -> Facts {
    Facts {
        inode: info.number.raw(),
        kind: kind(info.file_type()),
        size: info.size,
        links: info.links,
        sectors: info.blocks,
        modified_s: info.mtime.into(),
        permissions: info.mode & 0o7777,
    }
}
