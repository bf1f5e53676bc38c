//! Registers of the GPIO block: function, set, clear and level of each pin.
//!
//! # Resources
//! - *BCM2835 ARM Peripherals* (Broadcom, 2012), section 6.1: GPFSELn, GPSETn, GPCLRn, GPLEVn. The *BCM2711 ARM Peripherals*
//!   (2022), section 5.2, has the same ones for 58 pins instead of 54.

use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

/// Pins of the largest block.
pub const PINS: u32 = 58;

/// Pins in a function register, three bits each.
pub const FUNCTIONS: u32 = 10;

register_structs! {
    pub Block {
        (0x00 => pub function: [ReadWrite<u32>; 6]),
        (0x18 => _reserved0),
        (0x1C => pub set: [WriteOnly<u32>; 2]),
        (0x24 => _reserved1),
        (0x28 => pub clear: [WriteOnly<u32>; 2]),
        (0x30 => _reserved2),
        (0x34 => pub level: [ReadOnly<u32>; 2]),
        (0x3C => @END),
    }
}
