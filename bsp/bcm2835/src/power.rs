//! Reset and power-off through the power management block.
//!
//! The block's countdown is used for the reset alone and drives no watchdog: emulators reset the board at the very write
//! that starts it, whatever the countdown says, so that a watchdog armed here could never be tested, nor the system be
//! run there.
//!
//! # Resources
//! The block is not in the public data sheet; register facts from the Linux driver's interface `bcm2835-wdt`:
//! RSTC at +0x1C, RSTS at +0x20, WDOG at +0x24, password 0x5A in the top byte of every write.

use tock_registers::interfaces::Writeable;
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

register_structs! {
    Registers {
        (0x00 => _reserved),
        (0x1C => rstc: ReadWrite<u32>),
        (0x20 => rsts: ReadWrite<u32>),
        (0x24 => wdog: ReadWrite<u32>),
        (0x28 => @END),
    }
}

const PASSWORD: u32 = 0x5A00_0000;
const FULL_RESET: u32 = 0x20;
/// Tells the firmware to halt instead of booting again ("partition 63").
const HALT: u32 = 0x555;
/// Watchdog ticks of 16 us until the reset takes place.
const TICKS: u32 = 10;

/// The power management block.
pub struct Power {
    registers: &'static Registers,
}

impl Power {
    /// Finds the block at `address`.
    ///
    /// # Safety
    /// 1. The register page is mapped there as device memory, for ever.
    pub unsafe fn new(address: usize) -> Self {
        // SAFETY: 1. by the caller's promise.
        Self { registers: unsafe { crate::block(address) } }
    }

    /// Resets the board within 200 us; returns, but the caller has nothing left to do.
    pub fn reset(&mut self) {
        self.registers.wdog.set(PASSWORD | TICKS);
        self.registers.rstc.set(PASSWORD | FULL_RESET);
    }

    /// Halts the board, or ends the emulator with status 0.
    pub fn power_off(&mut self) {
        self.registers.rsts.set(PASSWORD | HALT);
        self.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn every_write_carries_the_password() {
        let fake = Fake::new();
        // SAFETY: 1. the address is that of memory which lives for ever.
        let mut power = unsafe { Power::new(fake.address()) };
        power.reset();
        assert_eq!((fake.get(0x1C), fake.get(0x20), fake.get(0x24)), (0x5A00_0020, 0, 0x5A00_000A));
        power.power_off();
        assert_eq!(fake.get(0x20), 0x5A00_0555);
    }
}
