//! The block driver's service as the device under the file system.
//!
//! Rule: no retry here. The kernel delivers a request again when the driver dies; an error that reaches this point is
//! one that the driver could not mend.

use fs_core::{BlockDevice, DeviceError, SECTOR_BYTES};
use protocols::block::{BLOCK_SIZE, BLOCKS_MAX, Error, Info, Request, done};
use userlib::{CallError, Client, Grant, NO_GRANTS};

const _: () = assert!(SECTOR_BYTES == BLOCK_SIZE, "sectors of the file system are blocks of the driver");

/// The card behind the block service.
pub struct Card {
    driver: Client,
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
    pub fn find(driver: Client) -> Result<Self, CallError> {
        let reply = driver.call(&Request::Info.encode(), NO_GRANTS)?;
        let sectors = Info::decode(&reply).map_or(0, |info| info.blocks);
        Ok(Self { driver, sectors })
    }

    fn transfer(&self, request: Request, window: Grant<'_>) -> Result<(), DeviceError> {
        let reply =
            self.driver.call(&request.encode(), [window, Grant::None]).map_err(|_| DeviceError::Failed)?;
        done(&reply).map_err(refused)
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
            let count = (part.len() / BLOCK_SIZE) as u32;
            self.transfer(Request::Read { lba, count }, Grant::Write(part))?;
        }
        Ok(())
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        for (lba, part) in (first..).step_by(BLOCKS_MAX as usize).zip(data.chunks(BYTES_MAX)) {
            let count = (part.len() / BLOCK_SIZE) as u32;
            self.transfer(Request::Write { lba, count }, Grant::Read(part))?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        self.transfer(Request::Flush, Grant::None)
    }
}
