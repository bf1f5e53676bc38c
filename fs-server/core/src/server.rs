//! The server: one request at a time, from its delivery to its answer.
//!
//! Rule: a deduplicated request is examined, then announced in the checkpoint, then carried out in a
//! way that doing it twice is doing it once, then its reply is stored. Why: see the table in the
//! crate's documentation; each row is one place where this process can die.

use core::cmp::Ordering;
use protocols::files::{
    Answer, Cookie, Entry, FILE_BYTES_MAX, LISTING_BYTES_MIN, Label, Mark, OpenFlags, Request, Space, Status,
    put_entry,
};
use rsext4::{
    DirectoryCursor, Ext4Result, FileName, FilePermissions, InodeInfo, InodeNumber, MutationContext,
    RenameOptions,
};

use crate::Fatal;
use crate::device::{BlockDevice, DeviceCounters, SECTOR_BYTES, Volume};
use crate::disk::{Disk, Mounted, Stop, WallClock, clear_tail, facts, kind};
use crate::path::names;
use crate::read_back;
use crate::record::{Call, Checkpoint, Found, OpenFile, Recalled, Record, Reply};
use crate::volume::{self, MountError};

const DIGEST: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC);
pub(crate) const OWNER: MutationContext = MutationContext::new(0, 0, 0, 0);
const FILE_PERMISSIONS: u16 = 0o644;
const DIRECTORY_PERMISSIONS: u16 = 0o755;
/// Room for the blocks that map a file in the smallest pieces, on top of its data.
const EXTENT_TREE_BYTES_MAX: u64 = FILE_BYTES_MAX / 32;
/// Directory entries fetched from rsext4 at a time.
const ENTRIES_AT_ONCE: usize = 32;
/// e2fsck's place for what it rescues; a card without it is not clean.
const RESCUE_DIRECTORY: &[u8] = b"lost+found";

/// Directory of the change, and the name to change in it.
struct Place<'a> {
    parent: InodeNumber,
    name: FileName<'a>,
}

/// A file server with a mounted file system, or one that was unmounted on request.
pub struct FileServer<D: BlockDevice, C: Checkpoint> {
    volume: Volume<D>,
    disk: Option<Disk<D>>,
    checkpoint: C,
    record: Record,
    /// An earlier incarnation may have been here and left no record.
    record_lost: bool,
    /// Damage was seen by two incarnations, of which this is the second.
    damage_is_certain: bool,
    arrival: Arrival,
}

/// What a mount found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// First sector of the file system on the card.
    pub first_sector: u64,
    /// Its length in sectors.
    pub sectors: u64,
    /// It was in use when its server or the board died: the journal was replayed.
    pub journal_replayed: bool,
    /// An earlier incarnation left a record of its work on this very file system.
    pub has_record: bool,
}

impl<D: BlockDevice, C: Checkpoint> FileServer<D, C> {
    /// Mounts the file system on `device`, recovering its journal, and takes up the work of the incarnation that left
    /// `checkpoint`. `clock` gives the time since 1970 for the time stamps of files.
    ///
    /// # Errors
    /// [`MountError::is_transient`] tells an error that calls for a restart from one that calls for a person.
    pub fn mount(mut device: D, mut checkpoint: C, clock: WallClock) -> Result<Self, MountError> {
        let found = volume::find(&mut device)?;
        let volume = Volume::new(device, found.first_sector, found.sectors);
        let kept = Record::load(&mut checkpoint).filter(|record| record.volume == found.uuid);
        let record_lost = kept.is_none();
        let record = kept.unwrap_or_else(|| Record::new(found.uuid));
        let disk = if record.unmounted { None } else { Some(Disk::mount(volume.clone(), clock)?) };
        if record_lost {
            record.commit(&mut checkpoint).map_err(|_| MountError::Checkpoint)?;
        }
        let arrival = Arrival {
            first_sector: found.first_sector,
            sectors: found.sectors,
            journal_replayed: found.needs_recovery && disk.is_some(),
            has_record: !record_lost,
        };
        Ok(Self { volume, disk, checkpoint, record, record_lost, damage_is_certain: false, arrival })
    }

    /// Carries out one request. `input` are the bytes of grants 0 and 1 that
    /// [`Request::input_lengths`] asks for; `output` has room for [`Request::output_length`], of which
    /// [`Answer::output_bytes`] are to be copied back.
    ///
    /// # Errors
    /// [`Fatal`]: no reply may be sent, the process must exit.
    pub fn handle(
        &mut self,
        call: &Call,
        request: &Request,
        input: [&[u8]; 2],
        output: &mut [u8],
    ) -> Result<Reply, Fatal> {
        let lengths = [input[0].len(), input[1].len()];
        if lengths != request.input_lengths() || output.len() < request.output_length() {
            return Ok(Err(Status::Malformed));
        }
        if !self.record.admit(call.sender) {
            return Ok(Err(Status::Malformed));
        }
        // A request that comes again may be what the last incarnation died of: a card may have what the audit does not know.
        self.volume.believe_audit(call.attempt == 0);
        let outcome = match request.label().mark() {
            Mark::Deduplicated => self.deduplicate(call, request, input),
            Mark::Idempotent => self.perform(call, request, input[0], output),
        };
        match outcome.map_err(|stop| self.doubted(call, stop)) {
            Ok(answer) => Ok(Ok(answer)),
            Err(Stop::Refused(status)) => Ok(Err(status)),
            Err(Stop::Fatal(fatal)) => Err(fatal),
        }
    }

    /// A card that seems damaged may be in order, and this process the one that is wrong. So it gives the request to a fresh
    /// incarnation, the first time; who has it from a predecessor that died with it is that.
    fn doubted(&mut self, call: &Call, stop: Stop) -> Stop {
        if stop != Stop::Refused(Status::Damaged) {
            return stop;
        }
        if call.attempt == 0 && !self.damage_is_certain {
            return Stop::Fatal(Fatal::Doubt);
        }
        self.damage_is_certain = true;
        stop
    }

    /// What the mount found.
    pub const fn arrival(&self) -> Arrival {
        self.arrival
    }

    /// Transfers since the mount.
    pub fn device_counters(&self) -> DeviceCounters {
        self.volume.counters()
    }

    fn disk(&mut self) -> Result<&mut Disk<D>, Stop> {
        self.disk.as_mut().ok_or(Status::Unmounted.into())
    }

    fn commit(&mut self) -> Result<(), Fatal> {
        Ok(self.record.commit(&mut self.checkpoint)?)
    }

    fn perform(
        &mut self,
        call: &Call,
        request: &Request,
        input: &[u8],
        output: &mut [u8],
    ) -> Result<Answer, Stop> {
        match *request {
            Request::Open { descriptor, flags, .. } => self.open(call, descriptor, flags, input),
            Request::Read { descriptor, offset, bytes } => {
                self.read(call, descriptor, offset, &mut output[..bytes])
            }
            Request::Write { descriptor, offset, .. } => {
                let file = self.file(call, descriptor, OpenFlags::WRITE)?;
                self.write(inode_number(file.inode)?, offset, input)
            }
            Request::Truncate { descriptor, size } => {
                let file = self.file(call, descriptor, OpenFlags::WRITE)?;
                self.truncate(inode_number(file.inode)?, size)
            }
            Request::Fsync { descriptor } => {
                self.file(call, descriptor, OpenFlags::default())?;
                self.sync()
            }
            Request::Sync => self.sync(),
            Request::ReadDirectory { cookie, bytes, .. } => {
                self.read_directory(input, cookie, &mut output[..bytes])
            }
            Request::Stat { .. } => {
                let info = self.disk()?.walk(&names(input)?)?.1;
                Ok(Answer::Facts(facts(&info)))
            }
            Request::DescriptorStat { descriptor } => {
                let file = self.file(call, descriptor, OpenFlags::default())?;
                let info = self.disk()?.inode(inode_number(file.inode)?)?;
                Ok(Answer::Facts(facts(&info)))
            }
            Request::FileSystemStat => self.space(),
            Request::Close { descriptor } => self.close(call, descriptor),
            Request::Unmount => self.unmount(),
            _ => Err(Status::Malformed.into()),
        }
    }

    fn deduplicate(&mut self, call: &Call, request: &Request, input: [&[u8]; 2]) -> Result<Answer, Stop> {
        self.disk()?;
        let digest = digest(request, input);
        let found = match self.record.recall(call, digest, request.label()) {
            Recalled::Finished(reply) => return Ok(reply?),
            Recalled::Altered => return Err(Status::Malformed.into()),
            Recalled::Begun(found) => found,
            Recalled::Nothing if call.attempt > 0 && self.record_lost => {
                return Err(Status::OutcomeUnknown.into());
            }
            Recalled::Nothing => {
                let found = self.examine(call, request, input)?;
                self.record.begin(call, digest, found);
                self.commit()?;
                found
            }
        };
        // Before it is committed: the next incarnation would repeat what is, and not look.
        let reply = match self.carry_out(call, request, input, found).map_err(|stop| self.doubted(call, stop))
        {
            Ok(answer) => Ok(answer),
            Err(Stop::Refused(status)) => Err(status),
            Err(fatal) => return Err(fatal),
        };
        self.record.finish(&reply);
        self.commit()?;
        Ok(reply?)
    }

    /// Refuses what cannot be done, without a trace; otherwise says what the request met.
    fn examine(&mut self, call: &Call, request: &Request, input: [&[u8]; 2]) -> Result<Found, Stop> {
        match *request {
            Request::CreateExclusive { descriptor, .. } => {
                self.record.can_open(call.sender, descriptor)?;
                self.examine_free(input[0])
            }
            Request::MakeDirectory { .. } => self.examine_free(input[0]),
            Request::Append { descriptor, .. } => {
                let file = self.file(call, descriptor, OpenFlags::WRITE)?;
                let info = self.disk()?.inode(inode_number(file.inode)?)?;
                Ok(Found::Length { inode: file.inode, size: info.size })
            }
            Request::Unlink { .. } => self.examine_unlink(input[0]),
            Request::RemoveDirectory { .. } => self.examine_remove_directory(input[0]),
            Request::Rename { .. } => self.examine_rename(input[0], input[1]),
            _ => Err(Status::Malformed.into()),
        }
    }

    /// Does what is left to do. Called again after a death with the same `found`, it must end the same.
    fn carry_out(
        &mut self,
        call: &Call,
        request: &Request,
        input: [&[u8]; 2],
        found: Found,
    ) -> Result<Answer, Stop> {
        match (*request, found) {
            (Request::CreateExclusive { descriptor, .. }, Found::Free) => {
                let info = self.make_file(input[0])?;
                let access = OpenFlags::READ.with(OpenFlags::WRITE);
                self.record.open(call, descriptor, access, info.number.raw())?;
                Ok(Answer::Opened { inode: info.number.raw(), size: info.size })
            }
            (Request::MakeDirectory { .. }, Found::Free) => self.make_directory(input[0]),
            (Request::Append { .. }, Found::Length { inode, size }) => {
                self.append(inode_number(inode)?, size, input[0])
            }
            (Request::Unlink { .. } | Request::RemoveDirectory { .. }, Found::Named { inode }) => {
                self.remove(input[0], inode_number(inode)?)
            }
            (Request::Rename { .. }, Found::Named { inode }) => {
                self.rename(input[0], input[1], inode_number(inode)?)
            }
            _ => Err(Status::OutcomeUnknown.into()),
        }
    }

    fn file(&self, call: &Call, descriptor: u8, access: OpenFlags) -> Result<OpenFile, Stop> {
        if self.disk.is_none() {
            return Err(Status::Unmounted.into());
        }
        let file = self.record.file(call.sender, descriptor).ok_or(Status::BadDescriptor)?;
        if !file.allows(access) {
            return Err(Status::NotPermitted.into());
        }
        Ok(*file)
    }

    fn place<'a>(&mut self, path: &'a [u8], root: Status) -> Result<Place<'a>, Stop> {
        let (trail, name) = self.disk()?.place(&names(path)?, root)?;
        let parent = *trail.last().ok_or(Status::PathTooLong)?;
        Ok(Place { parent, name })
    }

    fn open(&mut self, call: &Call, descriptor: u8, flags: OpenFlags, path: &[u8]) -> Result<Answer, Stop> {
        if let Some(file) = self.record.file(call.sender, descriptor)
            && file.was_opened_by(call)
        {
            let inode = inode_number(file.inode)?;
            return Ok(opened(&self.disk()?.inode(inode)?));
        }
        self.disk()?;
        self.record.can_open(call.sender, descriptor)?;
        let place = self.place(path, Status::IsDirectory)?;
        let mut info = match self.disk()?.lookup(place.parent, place.name)? {
            Some(info) => info,
            None if flags.contains(OpenFlags::CREATE) => self.make_file(path)?,
            None => return Err(Status::NotFound.into()),
        };
        require_file(&info)?;
        if flags.contains(OpenFlags::TRUNCATE) && info.size > 0 {
            self.truncate(info.number, 0)?;
            info.size = 0;
        }
        self.record.open(call, descriptor, flags, info.number.raw())?;
        self.commit()?;
        Ok(opened(&info))
    }

    fn close(&mut self, call: &Call, descriptor: u8) -> Result<Answer, Stop> {
        self.disk()?;
        if self.record.close(call.sender, descriptor) {
            self.commit()?;
        }
        Ok(Answer::Done)
    }

    fn read(&mut self, call: &Call, descriptor: u8, offset: u64, output: &mut [u8]) -> Result<Answer, Stop> {
        let file = self.file(call, descriptor, OpenFlags::READ)?;
        let inode = inode_number(file.inode)?;
        let bytes = self.disk()?.look(|disk| disk.read_inode(inode, offset, output))?;
        Ok(Answer::Moved { offset, bytes })
    }

    fn write(&mut self, inode: InodeNumber, offset: u64, data: &[u8]) -> Result<Answer, Stop> {
        require_size(offset, data.len() as u64)?;
        let before = self.disk()?.inode(inode)?;
        // No byte makes no file longer, wherever it would be: nothing is changed, so nothing would be committed.
        if data.is_empty() {
            return Ok(Answer::Moved { offset, bytes: 0 });
        }
        let size = before.size.max(offset + data.len() as u64);
        let written = self.disk()?.change(|disk| {
            if offset > before.size {
                clear_tail(disk, &before)?;
            }
            disk.write_inode(inode, offset, data)?;
            read_back::has_size(disk, inode, size)?;
            read_back::has_bytes(disk, inode, offset, data)
        });
        if written == Err(Stop::Refused(Status::NoSpace)) {
            self.give_back(&before)?;
        }
        written?;
        self.disk()?.is_committed(inode, Some(size))?;
        Ok(Answer::Moved { offset, bytes: data.len() })
    }

    /// Frees blocks that a write reserved before the card was full, in transactions that were committed.
    fn give_back(&mut self, before: &InodeInfo) -> Result<(), Stop> {
        let after = self.disk()?.inode(before.number)?;
        if after.blocks == before.blocks && after.size == before.size {
            return Ok(());
        }
        let size = before.size;
        let longer = after.size.max(size + 1);
        self.disk()?.change(|disk| {
            disk.truncate_inode(before.number, longer)?;
            disk.truncate_inode(before.number, size)
        })
    }

    fn append(&mut self, inode: InodeNumber, size: u64, data: &[u8]) -> Result<Answer, Stop> {
        if data.is_empty() {
            return Ok(Answer::Moved { offset: size, bytes: 0 });
        }
        let end = require_size(size, data.len() as u64)?;
        if self.disk()?.inode(inode)?.size == end {
            return Ok(Answer::Moved { offset: size, bytes: data.len() });
        }
        self.write(inode, size, data)
    }

    fn truncate(&mut self, inode: InodeNumber, size: u64) -> Result<Answer, Stop> {
        require_size(0, size)?;
        let disk = self.disk()?;
        let before = disk.inode(inode)?;
        require_releasable(&before)?;
        match size.cmp(&before.size) {
            Ordering::Less => disk.shrink(inode, size)?,
            // Nothing is changed, so nothing would be committed.
            Ordering::Equal => disk.settle(|_| Ok(()))?,
            Ordering::Greater => {
                disk.change(|disk| {
                    disk.truncate_inode(inode, size)?;
                    read_back::has_size(disk, inode, size)
                })?;
                disk.is_committed(inode, Some(size))?;
            }
        }
        Ok(Answer::Done)
    }

    fn sync(&mut self) -> Result<Answer, Stop> {
        self.disk()?.settle(|_| Ok(()))?;
        Ok(Answer::Done)
    }

    fn space(&mut self) -> Result<Answer, Stop> {
        let stats = self.disk()?.look(|disk| Ok(disk.statfs()))?;
        Ok(Answer::Space(Space {
            block_bytes: stats.block_size,
            blocks: stats.total_blocks,
            blocks_free: stats.free_blocks,
            inodes: stats.total_inodes.into(),
            inodes_free: stats.free_inodes.into(),
        }))
    }

    fn unmount(&mut self) -> Result<Answer, Stop> {
        if let Some(disk) = &mut self.disk {
            disk.unmount()?;
            self.disk = None;
        }
        if !self.record.unmounted {
            self.record.unmounted = true;
            self.record.close_all();
            self.commit()?;
        }
        Ok(Answer::Done)
    }

    fn read_directory(&mut self, path: &[u8], cookie: Cookie, output: &mut [u8]) -> Result<Answer, Stop> {
        if output.len() < LISTING_BYTES_MIN {
            return Err(Status::InvalidArgument.into());
        }
        let mut cursor = cursor(cookie)?;
        let disk = self.disk()?;
        let directory = disk.walk(&names(path)?)?.1;
        if !directory.is_directory() {
            return Err(Status::NotDirectory.into());
        }
        let mut reader = disk.look(|disk| disk.open_directory_reader(directory.number))?;
        let (mut filled, mut count) = (0, 0);
        loop {
            let entries = disk
                .look(|disk| disk.read_directory_with_reader(&mut reader, cursor, ENTRIES_AT_ONCE))
                .map_err(|stop| stale(stop, cookie))?;
            let end = entries.is_empty();
            for entry in &entries {
                if entry.name != b"." && entry.name != b".." {
                    let entry =
                        Entry { inode: entry.inode.raw(), kind: kind(entry.file_type), name: &entry.name };
                    let Some(bytes) = put_entry(&mut output[filled..], &entry) else {
                        return Ok(listed(cursor, filled, count, false));
                    };
                    filled += bytes;
                    count += 1;
                }
                cursor = entry.next_cursor;
            }
            if end || cursor == DirectoryCursor::End {
                return Ok(listed(DirectoryCursor::End, filled, count, true));
            }
        }
    }

    fn examine_free(&mut self, path: &[u8]) -> Result<Found, Stop> {
        let place = self.place(path, Status::Exists)?;
        match self.disk()?.lookup(place.parent, place.name)? {
            Some(_) => Err(Status::Exists.into()),
            None => Ok(Found::Free),
        }
    }

    fn examine_unlink(&mut self, path: &[u8]) -> Result<Found, Stop> {
        let place = self.place(path, Status::IsDirectory)?;
        let info = self.disk()?.lookup(place.parent, place.name)?.ok_or(Status::NotFound)?;
        if info.is_directory() {
            return Err(Status::IsDirectory.into());
        }
        self.require_closed(&info)?;
        require_releasable(&info)?;
        Ok(Found::Named { inode: info.number.raw() })
    }

    fn examine_remove_directory(&mut self, path: &[u8]) -> Result<Found, Stop> {
        let place = self.place(path, Status::Busy)?;
        let info = self.disk()?.lookup(place.parent, place.name)?.ok_or(Status::NotFound)?;
        if !info.is_directory() {
            return Err(Status::NotDirectory.into());
        }
        self.require_ordinary(&place)?;
        self.require_empty(&info)?;
        Ok(Found::Named { inode: info.number.raw() })
    }

    fn examine_rename(&mut self, old: &[u8], new: &[u8]) -> Result<Found, Stop> {
        let from = self.place(old, Status::Busy)?;
        let (to_trail, to_name) = self.disk()?.place(&names(new)?, Status::Busy)?;
        let to = Place { parent: *to_trail.last().ok_or(Status::PathTooLong)?, name: to_name };
        let source = self.disk()?.lookup(from.parent, from.name)?.ok_or(Status::NotFound)?;
        self.require_ordinary(&from)?;
        self.require_ordinary(&to)?;
        if source.is_directory() && to_trail.contains(&source.number) {
            return Err(Status::InvalidArgument.into());
        }
        if let Some(target) = self.disk()?.lookup(to.parent, to.name)?
            && target.number != source.number
        {
            match (source.is_directory(), target.is_directory()) {
                (true, false) => return Err(Status::NotDirectory.into()),
                (false, true) => return Err(Status::IsDirectory.into()),
                (true, true) => self.require_empty(&target)?,
                (false, false) => {
                    self.require_closed(&target)?;
                    require_releasable(&target)?;
                }
            }
        }
        Ok(Found::Named { inode: source.number.raw() })
    }

    fn require_closed(&self, info: &InodeInfo) -> Result<(), Stop> {
        if self.record.is_open(info.number.raw()) {
            return Err(Status::Busy.into());
        }
        Ok(())
    }

    fn require_ordinary(&mut self, place: &Place<'_>) -> Result<(), Stop> {
        let root = self.disk()?.root()?;
        if place.parent == root && place.name.as_bytes() == RESCUE_DIRECTORY {
            return Err(Status::Busy.into());
        }
        Ok(())
    }

    fn require_empty(&mut self, directory: &InodeInfo) -> Result<(), Stop> {
        let inode = directory.number;
        let entries = self.disk()?.look(|disk| disk.read_directory(inode, DirectoryCursor::Start, 3))?;
        if entries.iter().any(|entry| entry.name != b"." && entry.name != b"..") {
            return Err(Status::NotEmpty.into());
        }
        Ok(())
    }

    /// The file of this name, made unless it is there.
    fn make_file(&mut self, path: &[u8]) -> Result<InodeInfo, Stop> {
        let Place { parent, name } = self.place(path, Status::IsDirectory)?;
        let disk = self.disk()?;
        if let Some(info) = disk.lookup(parent, name)? {
            return Ok(info);
        }
        let made = disk.change(|disk| {
            let permissions = FilePermissions::new(FILE_PERMISSIONS)?;
            let made = disk.create_regular_file(OWNER, parent, name, permissions)?;
            read_back::is_named(disk, parent, name, Some(made.number))?;
            Ok(made)
        })?;
        disk.is_committed(made.number, Some(0))?;
        Ok(made)
    }

    fn make_directory(&mut self, path: &[u8]) -> Result<Answer, Stop> {
        let Place { parent, name } = self.place(path, Status::Exists)?;
        let disk = self.disk()?;
        if disk.lookup(parent, name)?.is_none() {
            let made = disk.change(|disk| {
                let permissions = FilePermissions::new(DIRECTORY_PERMISSIONS)?;
                let made = disk.create_directory(OWNER, parent, name, permissions)?;
                read_back::is_named(disk, parent, name, Some(made.number))?;
                Ok(made.number)
            })?;
            disk.is_committed(made, None)?;
        }
        Ok(Answer::Done)
    }

    /// Removes the name, if it still means `inode`, and the inode with its last name.
    fn remove(&mut self, path: &[u8], inode: InodeNumber) -> Result<Answer, Stop> {
        let Some(Place { parent, name }) = gone(self.place(path, Status::Busy))? else {
            return Ok(Answer::Done);
        };
        let disk = self.disk()?;
        let Some(info) = disk.lookup(parent, name)?.filter(|info| info.number == inode) else {
            return Ok(Answer::Done);
        };
        disk.change(|disk| {
            let outcome = if info.is_directory() {
                disk.remove_empty_directory(parent, name)?
            } else {
                disk.unlink(parent, name)?
            };
            if outcome.requires_reap() {
                disk.reap_unlinked_inode(outcome.inode)?;
            }
            read_back::is_named(disk, parent, name, None)
        })?;
        Ok(Answer::Done)
    }

    /// Moves the name, if the old one still means `inode`.
    fn rename(&mut self, old: &[u8], new: &[u8], inode: InodeNumber) -> Result<Answer, Stop> {
        let Some(from) = gone(self.place(old, Status::Busy))? else {
            return Ok(Answer::Done);
        };
        let source = self.disk()?.lookup(from.parent, from.name)?;
        if source.is_none_or(|info| info.number != inode) {
            return Ok(Answer::Done);
        }
        let to = self.place(new, Status::Busy)?;
        let disk = self.disk()?;
        let target = disk.lookup(to.parent, to.name)?;
        if target.is_some_and(|info| info.number == inode) {
            return Ok(Answer::Done);
        }
        let moved = disk.change(|disk| move_name(disk, &from, &to, inode));
        if moved == Err(Stop::Refused(Status::Damaged)) && target.is_none() {
            disk.change(|disk| {
                make_room(disk, &to)?;
                move_name(disk, &from, &to, inode)
            })?;
        } else {
            moved?;
        }
        Ok(Answer::Done)
    }
}

fn move_name<D: BlockDevice>(
    disk: &mut Mounted<D>,
    from: &Place<'_>,
    to: &Place<'_>,
    inode: InodeNumber,
) -> Ext4Result<()> {
    let options = RenameOptions::REPLACE;
    let outcome = disk.rename(from.parent, from.name, to.parent, to.name, options)?;
    if let Some(replaced) = outcome.replaced
        && replaced.requires_reap()
    {
        disk.reap_unlinked_inode(replaced.inode)?;
    }
    read_back::is_named(disk, from.parent, from.name, None)?;
    read_back::is_named(disk, to.parent, to.name, Some(inode))
}

/// Makes room for a name by making and removing a file of that name. rsext4 0.9.2 looks for the old name where it
/// was before the new one was entered, and reports damage when entering the new name split the block
/// that holds both; with room there is no split.
fn make_room<D: BlockDevice>(disk: &mut Mounted<D>, place: &Place<'_>) -> Ext4Result<()> {
    let permissions = FilePermissions::new(FILE_PERMISSIONS)?;
    disk.create_regular_file(OWNER, place.parent, place.name, permissions)?;
    let outcome = disk.unlink(place.parent, place.name)?;
    disk.reap_unlinked_inode(outcome.inode)
}

/// A path was followed when the request was examined; when it leads nowhere now (it ran through what was to
/// be removed or moved), an earlier delivery did the work.
fn gone<T>(place: Result<T, Stop>) -> Result<Option<T>, Stop> {
    match place {
        Ok(place) => Ok(Some(place)),
        Err(Stop::Refused(Status::NotFound)) => Ok(None),
        Err(stop) => Err(stop),
    }
}

fn inode_number(raw: u32) -> Result<InodeNumber, Stop> {
    InodeNumber::new(raw).map_err(|_| Status::BadDescriptor.into())
}

fn require_file(info: &InodeInfo) -> Result<(), Status> {
    match kind(info.file_type()) {
        protocols::files::Kind::File => Ok(()),
        protocols::files::Kind::Directory => Err(Status::IsDirectory),
        protocols::files::Kind::Other => Err(Status::Unsupported),
    }
}

/// The end of `bytes` at `offset`, if a file may be that long.
fn require_size(offset: u64, bytes: u64) -> Result<u64, Status> {
    offset.checked_add(bytes).filter(|end| *end <= FILE_BYTES_MAX).ok_or(Status::FileTooLarge)
}

/// A file with more blocks than this server would give it needs more memory to release than there is.
fn require_releasable(info: &InodeInfo) -> Result<(), Status> {
    if info.blocks > (FILE_BYTES_MAX + EXTENT_TREE_BYTES_MAX) / SECTOR_BYTES as u64 {
        return Err(Status::FileTooLarge);
    }
    Ok(())
}

fn opened(info: &InodeInfo) -> Answer {
    Answer::Opened { inode: info.number.raw(), size: info.size }
}

fn listed(cursor: DirectoryCursor, bytes: usize, count: usize, end: bool) -> Answer {
    Answer::Listed { next: cookie(cursor), bytes, count, end }
}

const LINEAR: u64 = 1;
const HASHED: u64 = 2;
const END: u64 = 3;

fn cookie(cursor: DirectoryCursor) -> Cookie {
    Cookie(match cursor {
        DirectoryCursor::Start => [0, 0],
        DirectoryCursor::Linear { offset } => [LINEAR, offset],
        DirectoryCursor::HTree { major, minor, collision } => {
            [HASHED | u64::from(collision) << 32, u64::from(major) << 32 | u64::from(minor)]
        }
        DirectoryCursor::End => [END, 0],
    })
}

fn cursor(cookie: Cookie) -> Result<DirectoryCursor, Status> {
    let [form, place] = cookie.0;
    match form & 0xffff_ffff {
        0 if cookie == Cookie::START => Ok(DirectoryCursor::Start),
        LINEAR => Ok(DirectoryCursor::Linear { offset: place }),
        HASHED => Ok(DirectoryCursor::HTree {
            major: (place >> 32) as u32,
            minor: place as u32,
            collision: (form >> 32) as u32,
        }),
        END => Ok(DirectoryCursor::End),
        _ => Err(Status::InvalidArgument),
    }
}

/// With a cookie of the client's, what rsext4 calls invalid or damaged is the cookie.
fn stale(stop: Stop, given: Cookie) -> Stop {
    match stop {
        Stop::Refused(Status::InvalidArgument | Status::Damaged) if given != Cookie::START => {
            Stop::Refused(Status::StaleCookie)
        }
        other => other,
    }
}

fn digest(request: &Request, input: [&[u8]; 2]) -> u32 {
    let mut digest = DIGEST.digest();
    digest.update(&(request.label() as u32).to_le_bytes());
    for register in request.registers() {
        digest.update(&register.to_le_bytes());
    }
    if request.label() != Label::Append {
        digest.update(input[0]);
        digest.update(input[1]);
    }
    digest.finalize()
}
