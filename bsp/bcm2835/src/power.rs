//! Reset, power-off and watchdog through the power management block.
//!
//! One countdown serves all three: a reset is a watchdog that nobody feeds. Emulators reset the board at the very write that
//! starts it, whatever the countdown says. So nothing here starts it by itself: [`Power::watch`] is an operation, for images
//! that are made for a real card.
//!
//! # Resources
//! The block is not in the public data sheets; register facts from the Linux driver's interface `bcm2835-wdt`:
//! RSTC at +0x1C, RSTS at +0x20, WDOG at +0x24, password 0x5A in the top byte of every write, 20 bits of 16 us ticks.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

register_structs! {
    /// Those of the block's registers that are used.
    Registers {
        (0x00 => _reserved),
        (0x1C => rstc: ReadWrite<u32>),
        (0x20 => rsts: ReadWrite<u32>),
        (0x24 => wdog: ReadWrite<u32>),
        (0x28 => @END),
    }
}

const PASSWORD: u32 = 0x5A00_0000;
/// RSTC: what happens at the end of the countdown, and the bits that say so.
const FULL_RESET: u32 = 0x20;
const ACTION: u32 = 0x30;
/// Everything of a register but the password.
const VALUE: u32 = 0x00FF_FFFF;
/// Tells the firmware to halt instead of booting again ("partition 63"), and the bits that name a partition.
const HALT: u32 = 0x555;
/// Ticks until a reset that was asked for takes place: 160 us.
const SOON: u32 = 10;
/// The countdown's width: 16.7 s.
const TICKS_MAX: u64 = 0xF_FFFF;
const NS_PER_TICK: u64 = 16_000;

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

    fn count_down(&mut self, ticks: u32) {
        self.registers.wdog.set(PASSWORD | ticks);
        let kept = self.registers.rstc.get() & VALUE & !ACTION;
        self.registers.rstc.set(PASSWORD | kept | FULL_RESET);
    }

    /// Resets the board within 200 us; returns, but the caller has nothing left to do.
    pub fn reset(&mut self) {
        self.count_down(SOON);
    }

    /// Halts the board, or ends the emulator with status 0.
    pub fn power_off(&mut self) {
        let kept = self.registers.rsts.get() & VALUE & !HALT;
        self.registers.rsts.set(PASSWORD | kept | HALT);
        self.reset();
    }

    /// The board is reset in `ns` nanoseconds unless this is called again: at least a tick of 16 us, at most the 16.7 s that
    /// the counter holds.
    pub fn watch(&mut self, ns: u64) {
        self.count_down((ns / NS_PER_TICK).clamp(1, TICKS_MAX) as u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    fn power(rstc: u32, rsts: u32) -> (Fake, Power) {
        let fake = Fake::new();
        fake.set(0x1C, rstc);
        fake.set(0x20, rsts);
        // SAFETY: 1. the address is that of memory which lives for ever.
        let power = unsafe { Power::new(fake.address()) };
        (fake, power)
    }

    /// WDOG, RSTC, RSTS.
    fn seen(fake: &Fake) -> [u32; 3] {
        [0x24, 0x1C, 0x20].map(|offset| fake.get(offset))
    }

    #[test]
    fn a_reset_keeps_what_it_does_not_mean() {
        let (fake, mut power) = power(0x0010_2012, 0x1000);
        power.reset();
        assert_eq!(seen(&fake), [0x5A00_000A, 0x5A10_2022, 0x1000]);
    }

    #[test]
    fn power_off_tells_the_firmware_not_to_boot_again() {
        let (fake, mut power) = power(0, 0x1000);
        power.power_off();
        assert_eq!(seen(&fake), [0x5A00_000A, 0x5A00_0020, 0x5A00_1555]);
    }

    #[test]
    fn the_watchdog_counts_ticks_of_16_us_within_its_20_bits() {
        let (fake, mut power) = power(0, 0);
        for (ns, ticks) in [(0, 1), (16_000_000, 1000), (u64::MAX, 0xF_FFFF)] {
            power.watch(ns);
            assert_eq!(seen(&fake), [PASSWORD | ticks, 0x5A00_0020, 0]);
        }
    }
}
