//! The block device below, as this crate needs it, and its adapter to rsext4.
//!
//! Rule: after the first error nothing reaches the device any more. Why: rsext4 answers a failed commit by
//! recording an abort on the disk, which would turn the passing death of a driver into a file system
//! marked as damaged; a server that stops at once leaves what any power loss leaves, and the
//! next mount recovers it.

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};

/// Bytes in a sector, the unit of every transfer.
pub const SECTOR_BYTES: usize = 512;

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
}

struct Port<D> {
    device: D,
    first_sector: u64,
    sectors: u64,
    failure: Option<DeviceError>,
    joined: Vec<u8>,
    joined_first: u64,
    counters: DeviceCounters,
}

impl<D: BlockDevice> Port<D> {
    fn fallible<T>(
        &mut self,
        transfer: impl FnOnce(&mut Self) -> Result<T, DeviceError>,
    ) -> Result<T, DeviceError> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        let result = transfer(self);
        self.failure = result.as_ref().err().copied();
        result
    }

    fn submit(&mut self) -> Result<(), DeviceError> {
        if self.joined.is_empty() {
            return Ok(());
        }
        self.counters.writes += 1;
        self.counters.sectors_written += (self.joined.len() / SECTOR_BYTES) as u64;
        self.device.write(self.joined_first, &self.joined)?;
        self.joined.clear();
        Ok(())
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
        self.device.read(first, buffer)
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        let fits = self.joined.len() + data.len() <= JOINED_BYTES_MAX;
        if self.joined_end() != first || !fits {
            self.submit()?;
            self.joined_first = first;
        }
        if self.joined.is_empty() && data.len() >= JOINED_BYTES_MAX {
            self.counters.writes += 1;
            self.counters.sectors_written += (data.len() / SECTOR_BYTES) as u64;
            return self.device.write(first, data);
        }
        self.joined.extend_from_slice(data);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.submit()?;
        self.counters.flushes += 1;
        self.device.flush()
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
            joined: Vec::with_capacity(JOINED_BYTES_MAX),
            joined_first: 0,
            counters: DeviceCounters::default(),
        })))
    }

    pub(crate) fn failure(&self) -> Option<DeviceError> {
        self.0.borrow().failure
    }

    pub(crate) fn counters(&self) -> DeviceCounters {
        self.0.borrow().counters
    }

    /// Forgets writes that were accepted and not yet handed to the device: the memory of a mount that
    /// is being thrown away.
    pub(crate) fn forget_joined(&self) {
        self.0.borrow_mut().joined.clear();
    }
}

fn io_error(_: DeviceError) -> Ext4Error {
    Ext4Error::io()
}

impl<D: BlockDevice> BlockIo for Volume<D> {
    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let mut port = self.0.borrow_mut();
        let first = port.first_sector + sector.raw();
        port.fallible(|port| port.read(first, buffer))
            .map_err(io_error)
    }

    fn write(&mut self, buffer: &[u8], sector: SectorId, _count: u32) -> Ext4Result<()> {
        let mut port = self.0.borrow_mut();
        let first = port.first_sector + sector.raw();
        port.fallible(|port| port.write(first, buffer))
            .map_err(io_error)
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR_BYTES as u32, self.0.borrow().sectors)
    }

    /// No forced unit access: rsext4 then writes and flushes, which an SD card can do.
    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities {
            flush: true,
            ..DeviceCapabilities::default()
        }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        self.0.borrow_mut().fallible(Port::flush).map_err(io_error)
    }
}
