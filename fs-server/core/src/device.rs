//! The block device below, as this crate needs it, and its adapter to rsext4.
//!
//! Rule: after the first error nothing reaches the device any more. Why: rsext4 answers a failed commit by
//! recording an abort on the disk, which would turn the passing death of a driver into a file system
//! marked as damaged; a server that stops at once leaves what any power loss leaves, and the
//! next mount recovers it.
//!
//! Rule: once the volume is mounted, whatever rsext4 writes passes the audit. Why: see [`crate::audit`].
//!
//! Rule: the superblock reaches its place after everything that was written before the same flush. Why: rsext4's
//! unmount writes committed blocks home newest first, and the newest is a superblock that says "nothing to
//! recover"; a death between it and the others would leave a journal that nobody replays.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::mem;
use core::ops::Range;

use crate::audit::{Audit, Contradiction};
use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};

/// Bytes in a sector, the unit of every transfer.
pub const SECTOR_BYTES: usize = 512;

/// First sector of the superblock, in every ext4.
pub(crate) const SUPERBLOCK_SECTOR: u64 = 2;

/// Adjacent writes are joined into one transfer of at most this many bytes.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// Why a transfer failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// No card is in the slot, or it was pulled out.
    NoCard,
    /// The card refuses to be written.
    WriteProtected,
    /// Anything else; the driver has tried what it can.
    Failed,
}

/// A device of 512-byte sectors.
pub trait BlockDevice {
    /// Size in sectors; 0 when there is no card.
    fn sectors(&self) -> u64;

    /// Reads `buffer.len() / SECTOR_BYTES` sectors from `first` on.
    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), DeviceError>;

    /// Writes `data.len() / SECTOR_BYTES` sectors from `first` on. When this returns, the device has taken
    /// the data: they survive the death of this process, and a loss of power only after [`Self::flush`].
    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError>;

    /// Returns when everything written before is on the medium.
    fn flush(&mut self) -> Result<(), DeviceError>;
}

/// Why nothing reaches the device any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The device failed.
    Device(DeviceError),
    /// What was to be written contradicts itself.
    Contradiction(&'static str),
}

impl From<DeviceError> for Failure {
    fn from(error: DeviceError) -> Self {
        Self::Device(error)
    }
}

impl From<Contradiction> for Failure {
    fn from(Contradiction(what): Contradiction) -> Self {
        Self::Contradiction(what)
    }
}

/// Transfers since the server was mounted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DeviceCounters {
    /// Read transfers.
    pub reads: u64,
    /// Sectors read.
    pub sectors_read: u64,
    /// Write transfers.
    pub writes: u64,
    /// Sectors written.
    pub sectors_written: u64,
    /// Flushes.
    pub flushes: u64,
    /// Writes that seemed to contradict themselves and were done all the same.
    pub contradictions: u64,
}

struct Port<D> {
    device: D,
    first_sector: u64,
    sectors: u64,
    failure: Option<Failure>,
    /// Looks at what is written, once the volume is mounted.
    audit: Option<Audit>,
    /// A contradiction ends the process, not the audit.
    audit_is_believed: bool,
    /// It was wrong about this volume: there is none any more.
    audit_is_refuted: bool,
    joined: Vec<u8>,
    joined_first: u64,
    /// The superblock's block, relative to the volume, while its write is held back.
    superblock: Option<(u64, Vec<u8>)>,
    /// Writes to these sectors, relative to the volume, are held back until [`Volume::release`].
    held_sectors: Range<u64>,
    /// Those writes, in their order.
    held: Vec<(u64, Vec<u8>)>,
    counters: DeviceCounters,
    /// Sectors of the journal, relative to the volume.
    journal: Vec<Range<u64>>,
    journal_sectors_written: u64,
}

impl<D: BlockDevice> Port<D> {
    fn fallible<T>(&mut self, transfer: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let result = transfer(self);
        self.failure = result.as_ref().err().copied();
        result
    }

    fn joined_end(&self) -> u64 {
        self.joined_first + (self.joined.len() / SECTOR_BYTES) as u64
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let count = (buffer.len() / SECTOR_BYTES) as u64;
        if first < self.joined_end() && self.joined_first < first + count {
            self.submit()?;
        }
        self.counters.reads += 1;
        self.counters.sectors_read += count;
        self.device.read(self.first_sector + first, buffer)?;
        for (held, data) in self.superblock.iter().chain(&self.held) {
            overlay(first, buffer, *held, data);
        }
        Ok(())
    }

    /// Writes what is in order and not to be held back.
    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), Failure> {
        if let Some(mut audit) = self.audit.take() {
            match self.judge(&mut audit, first, data) {
                Err(contradiction) if self.audit_is_believed => return Err(contradiction.into()),
                // What two incarnations find is the volume's own: it has something that the audit does not know.
                Err(_) => {
                    self.counters.contradictions += 1;
                    self.audit_is_refuted = true;
                }
                Ok(()) => self.audit = Some(audit),
            }
        }
        Ok(self.write_checked(first, data)?)
    }

    /// What the audit says of a write.
    fn judge(&mut self, audit: &mut Audit, first: u64, data: &[u8]) -> Result<(), Contradiction> {
        let journal = mem::take(&mut self.journal);
        let is_journal = |sector: u64| journal.iter().any(|range| range.contains(&sector));
        let judged = audit.write(first, data, is_journal, &mut |first, buffer| self.read(first, buffer));
        self.journal = journal;
        judged
    }

    fn write_checked(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        let index = |sector: u64| {
            let sectors = sector.saturating_sub(first).min((data.len() / SECTOR_BYTES) as u64);
            sectors as usize * SECTOR_BYTES
        };
        let (start, end) = (index(self.held_sectors.start), index(self.held_sectors.end));
        if start == end {
            return self.write_now(first, data);
        }
        self.held.push((first + (start / SECTOR_BYTES) as u64, data[start..end].to_vec()));
        if start > 0 {
            self.write_now(first, &data[..start])?;
        }
        if end < data.len() {
            self.write_now(first + (end / SECTOR_BYTES) as u64, &data[end..])?;
        }
        Ok(())
    }

    fn write_now(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        let sectors = first..first + (data.len() / SECTOR_BYTES) as u64;
        if sectors.contains(&SUPERBLOCK_SECTOR) {
            self.superblock = Some((first, data.to_vec()));
            return Ok(());
        }
        let journal = |range: &Range<u64>| range.contains(&first);
        if self.journal.iter().any(journal) {
            self.journal_sectors_written += sectors.end - first;
        }
        let fits = self.joined.len() + data.len() <= JOINED_BYTES_MAX;
        if self.joined_end() != first || !fits {
            self.submit()?;
            self.joined_first = first;
        }
        if self.joined.is_empty() && data.len() >= JOINED_BYTES_MAX {
            return self.put(first, data);
        }
        self.joined.extend_from_slice(data);
        Ok(())
    }

    fn submit(&mut self) -> Result<(), DeviceError> {
        if self.joined.is_empty() {
            return Ok(());
        }
        let joined = mem::take(&mut self.joined);
        let result = self.put(self.joined_first, &joined);
        self.joined = joined;
        self.joined.clear();
        result
    }

    fn put(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        self.counters.writes += 1;
        self.counters.sectors_written += (data.len() / SECTOR_BYTES) as u64;
        self.device.write(self.first_sector + first, data)
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.submit()?;
        self.counters.flushes += 1;
        self.device.flush()?;
        if let Some((first, data)) = self.superblock.take() {
            self.put(first, &data)?;
            self.counters.flushes += 1;
            self.device.flush()?;
        }
        Ok(())
    }
}

/// Copies to `buffer`, which begins at sector `first`, what it shares with `data`, which begins at `held`.
fn overlay(first: u64, buffer: &mut [u8], held: u64, data: &[u8]) {
    for (sector, part) in (held..).zip(data.chunks(SECTOR_BYTES)) {
        let Some(index) = sector.checked_sub(first) else {
            continue;
        };
        if let Some(target) = buffer.chunks_mut(SECTOR_BYTES).nth(index as usize) {
            target.copy_from_slice(part);
        }
    }
}

/// The part of the device that holds the file system, shared by the server and whichever mount is
/// current, so that a mount can be thrown away and made again.
pub(crate) struct Volume<D>(Rc<RefCell<Port<D>>>);

impl<D> Clone for Volume<D> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<D: BlockDevice> Volume<D> {
    pub(crate) fn new(device: D, first_sector: u64, sectors: u64) -> Self {
        Self(Rc::new(RefCell::new(Port {
            device,
            first_sector,
            sectors,
            failure: None,
            audit: None,
            audit_is_believed: true,
            audit_is_refuted: false,
            joined: Vec::with_capacity(JOINED_BYTES_MAX),
            joined_first: 0,
            superblock: None,
            held_sectors: 0..0,
            held: Vec::new(),
            counters: DeviceCounters::default(),
            journal: Vec::new(),
            journal_sectors_written: 0,
        })))
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        self.0.borrow().failure
    }

    pub(crate) fn counters(&self) -> DeviceCounters {
        self.0.borrow().counters
    }

    /// Begins to count what is written to the journal, which lies in these sectors.
    pub(crate) fn watch_journal(&self, journal: Vec<Range<u64>>) {
        let mut port = self.0.borrow_mut();
        port.journal = journal;
        port.journal_sectors_written = 0;
    }

    /// From here on, what is written is looked at: the volume is mounted, and its journal is known.
    pub(crate) fn begin_audit(&self) -> Result<(), Failure> {
        self.0.borrow_mut().fallible(|port| {
            let Some(journal) = port.journal.first().map(|range| range.start) else {
                return Ok(());
            };
            if port.audit_is_refuted {
                return Ok(());
            }
            port.audit = Audit::new(journal, &mut |first, buffer| port.read(first, buffer))?;
            Ok(())
        })
    }

    /// Whether what contradicts itself is kept from the device. If not, it ends the audit, for as long as this process lives.
    pub(crate) fn believe_audit(&self, is_believed: bool) {
        self.0.borrow_mut().audit_is_believed = is_believed;
    }

    /// Number of transactions that the audit has seen. `None`: it does not look.
    pub(crate) fn commits(&self) -> Option<u64> {
        let port = self.0.borrow();
        port.audit.as_ref().filter(|_| port.audit_is_believed).map(Audit::commits)
    }

    /// It is a contradiction if this does not hold of what was committed.
    pub(crate) fn require(
        &self,
        what: &'static str,
        holds: impl FnOnce(&Audit) -> bool,
    ) -> Result<(), Failure> {
        self.0.borrow_mut().fallible(|port| match &port.audit {
            Some(audit) if port.audit_is_believed && !holds(audit) => Err(Failure::Contradiction(what)),
            _ => Ok(()),
        })
    }

    /// Whatever is written from here on is written.
    pub(crate) fn end_audit(&self) {
        self.0.borrow_mut().audit = None;
    }

    /// Where the journal is.
    #[cfg(test)]
    pub(crate) fn journal(&self) -> Vec<Range<u64>> {
        self.0.borrow().journal.clone()
    }

    pub(crate) fn journal_sectors_written(&self) -> u64 {
        self.0.borrow().journal_sectors_written
    }

    /// Forgets writes that were accepted and not yet handed to the device: the memory of a mount that
    /// is being thrown away.
    pub(crate) fn forget_joined(&self) {
        let mut port = self.0.borrow_mut();
        port.joined.clear();
        port.superblock = None;
        port.held_sectors = 0..0;
        port.held.clear();
    }

    /// Holds back what is written to these sectors until [`Self::release`]; it is read as if it were written.
    pub(crate) fn hold(&self, sectors: Range<u64>) {
        self.0.borrow_mut().held_sectors = sectors;
    }

    /// Hands to the device what was held back.
    pub(crate) fn release(&self) -> Result<(), Failure> {
        self.0.borrow_mut().fallible(|port| {
            port.held_sectors = 0..0;
            for (first, data) in mem::take(&mut port.held) {
                port.write_now(first, &data)?;
            }
            Ok(port.submit()?)
        })
    }
}

fn io_error(_: Failure) -> Ext4Error {
    Ext4Error::io()
}

impl<D: BlockDevice> BlockIo for Volume<D> {
    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        self.0.borrow_mut().fallible(|port| Ok(port.read(sector.raw(), buffer)?)).map_err(io_error)
    }

    fn write(&mut self, buffer: &[u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        self.0.borrow_mut().fallible(|port| port.write(sector.raw(), buffer)).map_err(io_error)
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR_BYTES as u32, self.0.borrow().sectors)
    }

    /// No forced unit access: rsext4 then writes and flushes, which an SD card can do.
    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities { flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        self.0.borrow_mut().fallible(|port| Ok(port.flush()?)).map_err(io_error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[derive(Debug, PartialEq, Eq)]
    enum Seen {
        Write(u64, usize),
        Flush,
    }

    #[derive(Default)]
    struct Fake {
        seen: Vec<Seen>,
        broken: bool,
    }

    impl BlockDevice for &mut Fake {
        fn sectors(&self) -> u64 {
            1000
        }

        fn read(&mut self, _first: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
            buffer.fill(0);
            Ok(())
        }

        fn write(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
            if self.broken {
                return Err(DeviceError::Failed);
            }
            self.seen.push(Seen::Write(first, data.len() / SECTOR_BYTES));
            Ok(())
        }

        fn flush(&mut self) -> Result<(), DeviceError> {
            self.seen.push(Seen::Flush);
            Ok(())
        }
    }

    fn write(volume: &mut Volume<&mut Fake>, first: u64, sectors: usize) {
        let data = vec![first as u8; sectors * SECTOR_BYTES];
        BlockIo::write(volume, &data, SectorId::new(first), sectors as u32).unwrap();
    }

    #[test]
    fn adjacent_writes_are_one_transfer_and_a_flush_ends_it() {
        let mut fake = Fake::default();
        let mut volume = Volume::new(&mut fake, 100, 900);
        for first in [10, 12, 14] {
            write(&mut volume, first, 2);
        }
        write(&mut volume, 30, 2);
        BlockIo::flush(&mut volume).unwrap();
        drop(volume);
        assert_eq!(fake.seen, [Seen::Write(110, 6), Seen::Write(130, 2), Seen::Flush]);
    }

    #[test]
    fn the_superblock_comes_last_and_is_read_as_written() {
        let mut fake = Fake::default();
        let mut volume = Volume::new(&mut fake, 0, 1000);
        write(&mut volume, 2, 2);
        write(&mut volume, 50, 2);
        let mut buffer = vec![0; 4 * SECTOR_BYTES];
        BlockIo::read(&mut volume, &mut buffer, SectorId::new(1), 4).unwrap();
        assert_eq!(buffer[SECTOR_BYTES - 1..=SECTOR_BYTES], [0, 2]);
        assert_eq!(buffer[3 * SECTOR_BYTES - 1..=3 * SECTOR_BYTES], [2, 0]);
        BlockIo::flush(&mut volume).unwrap();
        drop(volume);
        assert_eq!(fake.seen, [Seen::Write(50, 2), Seen::Flush, Seen::Write(2, 2), Seen::Flush]);
    }

    #[test]
    fn what_is_held_is_read_and_written_when_it_is_released() {
        let mut fake = Fake::default();
        let mut volume = Volume::new(&mut fake, 0, 1000);
        volume.hold(50..52);
        write(&mut volume, 48, 6);
        let mut buffer = vec![0; 2 * SECTOR_BYTES];
        BlockIo::read(&mut volume, &mut buffer, SectorId::new(49), 2).unwrap();
        assert_eq!(buffer[SECTOR_BYTES - 1..=SECTOR_BYTES], [0, 48]);
        BlockIo::flush(&mut volume).unwrap();
        volume.release().unwrap();
        write(&mut volume, 50, 1);
        BlockIo::flush(&mut volume).unwrap();
        drop(volume);
        let (before, after) = (Seen::Write(48, 2), Seen::Write(52, 2));
        assert_eq!(
            fake.seen,
            [before, after, Seen::Flush, Seen::Write(50, 2), Seen::Write(50, 1), Seen::Flush]
        );
    }

    #[test]
    fn what_is_read_was_written_before() {
        let mut fake = Fake::default();
        let mut volume = Volume::new(&mut fake, 0, 1000);
        write(&mut volume, 50, 2);
        let mut buffer = vec![0; SECTOR_BYTES];
        BlockIo::read(&mut volume, &mut buffer, SectorId::new(51), 1).unwrap();
        drop(volume);
        assert_eq!(fake.seen, [Seen::Write(50, 2)]);
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut fake = Fake { broken: true, ..Fake::default() };
        let mut volume = Volume::new(&mut fake, 0, 1000);
        write(&mut volume, 50, 2);
        assert!(BlockIo::flush(&mut volume).is_err());
        assert_eq!(volume.failure(), Some(Failure::Device(DeviceError::Failed)));
        assert!(BlockIo::flush(&mut volume).is_err());
        assert!(BlockIo::write(&mut volume, &[0; 512], SectorId::new(9), 1).is_err());
        drop(volume);
        assert_eq!(fake.seen, []);
    }
}
