//! A driver that gives clients bytes from a device: here, for each byte, the lowest byte of the system timer's counter at
//! that moment. They are times, not random numbers.
//!
//! *Role.* The logic between `device.rs` and the process, generic over [`Registers`], so that the tests run it on fake
//! registers. To be changed second: where a byte comes from, and how long to wait for one: with a limit, by
//! `userlib::device::Clock`, as `drivers/template` does.
//!
//! *Rule.* Nothing here relies on how the last incarnation left the device.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;

use device::Block;
use tock_registers::interfaces::{Readable, Writeable};
use userlib::device::Registers;
use userlib::register;

/// The device.
pub struct Device<D> {
    registers: D,
}

impl<D: Registers> Device<D> {
    /// Takes the device over: neither match of its own is armed or pending.
    pub fn start(registers: D) -> Self {
        register!(&registers, Block, compare1).set(0);
        register!(&registers, Block, compare3).set(0);
        // A 1 clears a match; those of 0 and 2 belong to the firmware.
        register!(&registers, Block, control).set(1 << 1 | 1 << 3);
        Self { registers }
    }

    /// Fills `bytes`.
    pub fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = register!(&self.registers, Block, counter_low).get().to_le_bytes()[0];
        }
    }

    /// Microseconds since power-on. The halves are read until the high one stood still.
    pub fn microseconds(&self) -> u64 {
        loop {
            let high = register!(&self.registers, Block, counter_high).get();
            let low = register!(&self.registers, Block, counter_low).get();
            if high == register!(&self.registers, Block, counter_high).get() {
                return u64::from(high) << 32 | u64::from(low);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A counter that each reading of its low half moves on.
    #[derive(Default)]
    struct Fake {
        counter: Cell<u64>,
        cleared: Cell<u32>,
    }

    impl Registers for Fake {
        fn read(&self, offset: usize) -> u32 {
            let counter = self.counter.get();
            match offset {
                0x04 => {
                    self.counter.set(counter + 1);
                    counter as u32
                }
                0x08 => (counter >> 32) as u32,
                _ => panic!("read of offset {offset:#x}"),
            }
        }
        fn write(&self, offset: usize, value: u32) {
            match offset {
                0x00 => self.cleared.set(value),
                0x10 | 0x18 => assert_eq!(self.cleared.get(), 0, "armed after its match was cleared"),
                _ => panic!("write of offset {offset:#x}"),
            }
        }
    }

    #[test]
    fn every_byte_is_read_from_the_device() {
        let fake = Fake::default();
        fake.counter.set(254);
        let mut bytes = [0; 4];
        let device = Device::start(&fake);
        device.fill(&mut bytes);
        assert_eq!((bytes, fake.cleared.get()), ([254, 255, 0, 1], 0b1010));
    }

    #[test]
    fn the_halves_of_the_counter_belong_together() {
        let fake = Fake::default();
        fake.counter.set(0xFFFF_FFFF);
        let device = Device::start(&fake);
        assert_eq!(device.microseconds(), 0x1_0000_0000);
    }
}
