//! Registers of the BCM2835 hardware random number generator.
//!
//! # Resources
//! - The block is not in *BCM2835 ARM Peripherals*; register facts as in NetBSD, `sys/arch/arm/broadcom/bcm2835_rng.c`.
//! - Accesses are 32 bits wide only; anything else is an error of the bus.

use tock_registers::registers::{ReadOnly, ReadWrite};
use tock_registers::{register_bitfields, register_structs};

register_bitfields! {
    u32,

    pub Control [
        /// The generator runs.
        ENABLE OFFSET(0) NUMBITS(1) [],
    ],

    pub Status [
        /// Written: how many numbers are thrown away after the start, while the oscillators settle. Counts up to zero.
        WARM_UP OFFSET(0) NUMBITS(20) [],
        /// Numbers ready to be read.
        READY OFFSET(24) NUMBITS(8) [],
    ],
}

register_structs! {
    pub Block {
        (0x00 => pub control: ReadWrite<u32, Control::Register>),
        (0x04 => pub status: ReadWrite<u32, Status::Register>),
        (0x08 => pub data: ReadOnly<u32>),
        (0x0C => _reserved),
        (0x10 => @END),
    }
}
