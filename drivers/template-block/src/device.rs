//! Registers of the system timer: a counter of microseconds, and four instants to compare it with.
//!
//! To be changed first: the registers of your device, each with its offset, and where that is documented.
//!
//! # Resources
//! - *BCM2835 ARM Peripherals* (Broadcom, 2012), section 12.1.

use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

register_structs! {
    pub Block {
        (0x00 => pub control: ReadWrite<u32>),
        (0x04 => pub counter_low: ReadOnly<u32>),
        (0x08 => pub counter_high: ReadOnly<u32>),
        (0x0C => _reserved0),
        (0x10 => pub compare1: ReadWrite<u32>),
        (0x14 => _reserved1),
        (0x18 => pub compare3: ReadWrite<u32>),
        (0x1C => _reserved2),
        (0x20 => @END),
    }
}
