//! The block driver's service as the device under the file system.
//!
//! Rule: no retry here. The kernel delivers a request again when the driver dies; an error that a living driver gives is doubted
//! once ([`userlib::supplier`]); one that reaches this point is one that a fresh driver could not mend either.

extern crate alloc;

use alloc::boxed::Box;
use fs_core::{BlockDevice, DeviceError, SECTOR_BYTES};
use protocols::block::{BLOCK_SIZE, BLOCKS_MAX, Device, Error, Request};
use userlib::supplier::{Complaint, blocks};
use userlib::{CallError, Client, NO_GRANTS};

const _: () = assert!(SECTOR_BYTES == BLOCK_SIZE, "sectors of the file system are blocks of the driver");

/// The card behind the block service.
pub struct Card {
    driver: Box<dyn Device>,
    sectors: u64,
}

fn refused(error: Error) -> DeviceError {
    match error {
        Error::NoMedium | Error::MediumChanged => DeviceError::NoCard,
        Error::WriteProtected => DeviceError::WriteProtected,
        _ => DeviceError::Failed,
    }
}

impl Card {
    /// Asks the driver about the card. An empty slot is a card without sectors.
    ///
    /// # Errors
    /// The call failed: the driver is quarantined, or did not answer in time.
    pub fn find(driver: Client, complaint: Complaint) -> Result<Self, CallError> {
        let mut device = Box::new(blocks(driver, complaint));
        let sectors = if let Ok(info) = device.info() {
            info.blocks
        } else {
            // Whether there is a driver at all says the call.
            driver.call(&Request::Info.encode(), NO_GRANTS)?;
            0
        };
        Ok(Self { driver: device, sectors })
    }
}

/// Longest transfer of one request in bytes.
const BYTES_MAX: usize = BLOCKS_MAX as usize * BLOCK_SIZE;

impl BlockDevice for Card {
    fn sectors(&self) -> u64 {
        self.sectors
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        for (lba, part) in (first..).step_by(BLOCKS_MAX as usize).zip(buffer.chunks_mut(BYTES_MAX)) {
            self.driver.read(lba, part).map_err(refused)?;
        }
        Ok(())
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        for (lba, part) in (first..).step_by(BLOCKS_MAX as usize).zip(data.chunks(BYTES_MAX)) {
            self.driver.write(lba, part).map_err(refused)?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.driver.flush().map_err(refused)
    }
}
