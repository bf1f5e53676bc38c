//! A driver that gives clients registers of a device: here the system timer's.
//!
//! *Role.* The logic between `device.rs` and the process, generic over [`Registers`], so that the tests run it on fake
//! registers. To be changed second: what may be read and written, and what a write must never do.
//!
//! *Rule.* Only what is named here is reached. Writes are absolute, so that a repeated request changes nothing.
//!
//! *Why.* A client must not do through the driver what the driver's own right would allow.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;

use device::Block;
use protocols::registers::Error;
use tock_registers::interfaces::{Readable, Writeable};
use userlib::device::Registers;
use userlib::register;

/// The device.
pub struct Device<D> {
    registers: D,
}

impl<D: Registers> Device<D> {
    /// Takes the device over: matches that the last incarnation left are forgotten.
    pub fn start(registers: D) -> Self {
        // A 1 clears a match; those of 0 and 2 belong to the firmware.
        register!(&registers, Block, control).set(1 << 1 | 1 << 3);
        Self { registers }
    }

    /// The value of the register at `offset` bytes.
    ///
    /// # Errors
    /// [`Error::NoSuchRegister`] for any other than the status, the counter and the instants 1 and 3.
    pub fn read(&self, offset: u32) -> Result<u32, Error> {
        match offset {
            0x00 => Ok(register!(&self.registers, Block, control).get()),
            0x04 => Ok(register!(&self.registers, Block, counter_low).get()),
            0x08 => Ok(register!(&self.registers, Block, counter_high).get()),
            0x10 => Ok(register!(&self.registers, Block, compare1).get()),
            0x18 => Ok(register!(&self.registers, Block, compare3).get()),
            _ => Err(Error::NoSuchRegister),
        }
    }

    /// Sets the register at `offset` bytes.
    ///
    /// # Errors
    /// [`Error::ReadOnly`] for a register that can only be read, [`Error::NoSuchRegister`] for one that is not there.
    pub fn write(&self, offset: u32, value: u32) -> Result<(), Error> {
        match offset {
            0x10 => register!(&self.registers, Block, compare1).set(value),
            0x18 => register!(&self.registers, Block, compare3).set(value),
            _ => return Err(self.read(offset).err().unwrap_or(Error::ReadOnly)),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// Eight words that remember; the first clears what is written as 1.
    #[derive(Default)]
    struct Fake([Cell<u32>; 8]);

    impl Registers for Fake {
        fn read(&self, offset: usize) -> u32 {
            self.0[offset / 4].get()
        }
        fn write(&self, offset: usize, value: u32) {
            assert!(matches!(offset, 0x00 | 0x10 | 0x18), "write of offset {offset:#x}");
            let word = &self.0[offset / 4];
            word.set(if offset == 0 { word.get() & !value } else { value });
        }
    }

    #[test]
    fn a_start_forgets_its_own_matches_only() {
        let fake = Fake::default();
        fake.0[0].set(0b1111);
        let device = Device::start(&fake);
        assert_eq!(device.read(0), Ok(0b0101));
    }

    #[test]
    fn only_what_is_named_is_reached() {
        let fake = Fake::default();
        let device = Device::start(&fake);
        fake.0[1].set(7);
        assert_eq!(device.read(0x04), Ok(7));
        assert_eq!((device.write(0x10, 9), device.read(0x10)), (Ok(()), Ok(9)));
        assert_eq!((device.write(0x18, 8), device.read(0x18)), (Ok(()), Ok(8)));
        assert_eq!(device.read(0x08), Ok(0));
        for offset in [0x00, 0x04, 0x08] {
            assert_eq!(device.write(offset, 1), Err(Error::ReadOnly));
        }
        for offset in [0x02, 0x0C, 0x14, 0x1C, 0x20, u32::MAX] {
            assert_eq!(device.read(offset), Err(Error::NoSuchRegister));
            assert_eq!(device.write(offset, 1), Err(Error::NoSuchRegister));
        }
    }
}
