//! One pin of the board as an output: the LED.
//!
//! *Role.* The logic between `device.rs` and the process, generic over [`Registers`], so that the tests run it on fake
//! registers.
//!
//! *Rule.* Registers of this one pin are reached, and no bit of another one.
//!
//! *Why.* The function registers say which device a pin belongs to: who writes them whole can cut off the console or the
//! card. So the page is not mapped; the manifest gives the bits of this pin, and every write here stays within them.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;

use core::mem::offset_of;
use device::{Block, FUNCTIONS, PINS};
use userlib::device::Registers;

/// Function of a pin that is an output.
const OUTPUT: u32 = 0b001;

/// A pin that is an output.
pub struct Output<D> {
    registers: D,
    pin: u32,
}

impl<D: Registers> Output<D> {
    /// Makes `pin` an output. Its level stays as it was: after a death nobody sees a flicker.
    ///
    /// # Panics
    /// When no block has such a pin: the board's data is wrong.
    pub fn start(registers: D, pin: u32) -> Self {
        assert!(pin < PINS, "the board's data names pin {pin}; there are {PINS}");
        let shift = pin % FUNCTIONS * 3;
        let offset = offset_of!(Block, function) + (pin / FUNCTIONS) as usize * 4;
        registers.update(offset, 0b111 << shift, OUTPUT << shift);
        Self { registers, pin }
    }

    /// Sets the level.
    pub fn set(&self, high: bool) {
        let registers = if high { offset_of!(Block, set) } else { offset_of!(Block, clear) };
        self.registers.write(registers + self.word(), self.bit());
    }

    /// The level.
    pub fn is_high(&self) -> bool {
        self.registers.read(offset_of!(Block, level) + self.word()) & self.bit() != 0
    }

    fn word(&self) -> usize {
        (self.pin / 32) as usize * 4
    }

    fn bit(&self) -> u32 {
        1 << (self.pin % 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    /// The block as the manual describes it: functions remember, set and clear act on a latch that level shows.
    #[derive(Default)]
    struct Fake {
        functions: [Cell<u32>; 6],
        latch: Cell<u64>,
    }

    impl Registers for Fake {
        fn read(&self, offset: usize) -> u32 {
            match offset {
                0x00..0x18 => self.functions[offset / 4].get(),
                0x34 | 0x38 => (self.latch.get() >> ((offset - 0x34) * 8)) as u32,
                _ => panic!("read of offset {offset:#x}"),
            }
        }
        fn write(&self, offset: usize, value: u32) {
            let bits = |base: usize| u64::from(value) << ((offset - base) * 8);
            match offset {
                0x00..0x18 => self.functions[offset / 4].set(value),
                0x1C | 0x20 => self.latch.set(self.latch.get() | bits(0x1C)),
                0x28 | 0x2C => self.latch.set(self.latch.get() & !bits(0x28)),
                _ => panic!("write of offset {offset:#x}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_bit_of_another_pin_changes(pin in 0..PINS, functions: [u32; 6], latch: u64, high: bool) {
            let fake = Fake { functions: functions.map(|word| Cell::new(word & 0x3FFF_FFFF)), latch: Cell::new(latch) };
            let before = fake.functions.each_ref().map(Cell::get);
            let output = Output::start(&fake, pin);
            prop_assert_eq!(fake.latch.get(), latch, "the level changed at the start");
            for other in 0..60 {
                let function = |words: &[u32; 6]| words[other / 10] >> (other % 10 * 3) & 0b111;
                let expected = if other == pin as usize { OUTPUT } else { function(&before) };
                prop_assert_eq!(function(&fake.functions.each_ref().map(Cell::get)), expected);
            }
            output.set(high);
            prop_assert_eq!(output.is_high(), high);
            prop_assert_eq!((fake.latch.get() ^ latch) & !(1 << pin), 0);
        }
    }

    #[test]
    fn registers_are_where_the_manual_has_them() {
        let fake = Fake::default();
        let output = Output::start(&fake, 42);
        output.set(true);
        assert_eq!((fake.functions[4].get(), fake.latch.get()), (1 << 6, 1 << 42));
        output.set(false);
        assert_eq!((fake.latch.get(), output.is_high()), (0, false));
    }

    #[test]
    #[should_panic(expected = "names pin 58")]
    fn a_pin_that_no_block_has_is_refused() {
        Output::start(&Fake::default(), 58);
    }
}
