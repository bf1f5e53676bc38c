//! Which device the pins of the serial console belong to.
//!
//! Pins 14 and 15 are on the header. The firmware gives them to the mini UART and connects the PL011 to the Bluetooth chip
//! by pins 32 and 33, so that the console would talk to a radio: [`give_console_to_pl011`] swaps that.
//!
//! # Resources
//! BCM2835 ARM Peripherals, 6.1 (GPFSELn) and 6.2 (alternative functions: TXD0 and RXD0 are ALT0 of 14 and 15, ALT3 of 32
//! and 33).

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

register_structs! {
    Registers {
        (0x00 => function: [ReadWrite<u32>; 6]),
        (0x18 => @END),
    }
}

const INPUT: u32 = 0b000;
const ALT0: u32 = 0b100;

/// Connects the PL011 with the pins of the header.
///
/// # Safety
/// 1. `gpio` is the address of the GPIO block, mapped as device memory.
/// 2. Nobody else writes to its function registers meanwhile.
pub unsafe fn give_console_to_pl011(gpio: usize) {
    // SAFETY: 1. by the caller's promise.
    let registers: &Registers = unsafe { crate::block(gpio) };
    // First away from the radio: an input that two pins drive would read both.
    for (pin, function) in [(32, INPUT), (33, INPUT), (14, ALT0), (15, ALT0)] {
        select(registers, pin, function);
    }
}

/// Three bits a pin, ten pins a register.
fn select(registers: &Registers, pin: usize, function: u32) {
    let register = &registers.function[pin / 10];
    let shift = pin % 10 * 3;
    register.set(register.get() & !(0b111 << shift) | function << shift);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Fake;

    #[test]
    fn the_console_gets_the_header_and_no_other_pin_changes() {
        let fake = Fake::new();
        for register in 0..6 {
            fake.set(register * 4, 0x3FFF_FFFF);
        }
        // SAFETY: 1. the address is that of memory which lives for ever; 2. this test is its only user.
        unsafe { give_console_to_pl011(fake.address()) };
        let function = |pin: usize| fake.get(pin / 10 * 4) >> (pin % 10 * 3) & 0b111;
        for pin in 0..60 {
            let expected = match pin {
                14 | 15 => 0b100,
                32 | 33 => 0b000,
                _ => 0b111,
            };
            assert_eq!(function(pin), expected, "pin {pin}");
        }
    }
}
