//! Raspberry Pi 3B (BCM2837): what the kernel itself must know of the board.
//!
//! Rule: nothing but addresses, registers and the order of writes; decisions are in `kernel-core`. Registers are reached
//! at `offset + physical address`, where the kernel has mapped the peripherals.
//!
//! Why: a board is then one folder, and no other code names one (tidy sees to it).
//!
//! # Resources
//! - BCM2835 ARM Peripherals (2012): 2.2 mini UART, 7.5 interrupt registers, 13 UART.
//! - BCM2836 ARM-local peripherals, QA7 rev 3.4: 4.10 core interrupt sources, 4.6 timer interrupts control.

#![no_std]

pub mod interrupts;

use bsp_bcm2835::ram::Layout;
pub use bsp_bcm2835::{device_tree, ram::Ranges, refusal, uart::PATIENCE};

/// Name of the board, as manifests and images spell it.
pub const NAME: &str = "raspi3b";

/// End of the RAM that belongs to the ARM on every board of this kind, whatever share the firmware keeps: 1 GiB less 76 MiB.
pub const RAM_LEAST_END: usize = 0x3B40_0000;

/// No RAM lies here or beyond.
pub const RAM_LIMIT: usize = 0x3F00_0000;

/// Physical ranges of device registers, in blocks of 2 MiB.
pub const DEVICE_RANGES: [(usize, usize); 2] = [(0x3F00_0000, 0x4000_0000), (0x4000_0000, 0x4020_0000)];

/// Physical address of the release address of core 1; those of cores 2 and 3 follow, 8 bytes each
/// (armstub8, "spin table").
pub const SPIN_TABLE: usize = 0xE0;

/// Cores besides the first.
pub const OTHER_CORES: usize = 3;

/// Part number in MIDR_EL1 of the board's cores: by this an image finds out whether it runs on its board.
pub const CPU_PART: u32 = refusal::BCM2837.part;

/// What an image for this board says on another one.
pub const REFUSAL: &[u8] =
    b"\r\nSamsara cannot start: this image is for the board raspi3b, and this is another one.\r\n\
    Build one for this board (./x build --board NAME) and write it to the card.\r\n";

const PLACES: bsp_bcm2835::Places = bsp_bcm2835::Places {
    power: 0x3F10_0000,
    gpio: refusal::BCM2837.gpio,
    console: refusal::BCM2837.console,
    mini_uart: 0x3F21_5000,
    mailbox: 0x3F00_B880,
    core_hz: 250_000_000,
};

/// Where memory is: all of it below the video core's share.
const LAYOUT: Layout = Layout { least_end: RAM_LEAST_END as u64, above: (0x4000_0000, 0x4000_0000) };

/// Asks the firmware for the RAM of this very board, and for its clocks. `tree` is the firmware's device tree, if there is one.
///
/// # Safety
/// 1. Physical addresses `DEVICE_RANGES` are mapped as device memory at `offset` plus themselves, for ever; the program lies
///    at `offset` plus its physical address.
/// 2. Nobody else uses the mailbox meanwhile.
pub unsafe fn ram(offset: usize, tree: Option<&[u8]>) -> Ranges {
    // SAFETY: 1. and 2. are this function's own conditions.
    unsafe { bsp_bcm2835::ram(offset, &PLACES, LAYOUT, tree) }
}

/// The devices that the kernel drives, after the kernel has mapped them.
pub type Board = bsp_bcm2835::Board<interrupts::Interrupts>;

/// Takes possession of the board's devices.
///
/// # Safety
/// 1. Physical addresses `DEVICE_RANGES` are mapped as device memory at `offset` plus themselves, for ever.
/// 2. Nobody else writes to the registers of the interrupt controllers, the power block, the mini UART and the pins'
///    functions while the value lives, except through another value made for a panic.
/// 3. `console` is used only while no component has run, or when none will run again.
pub unsafe fn board(offset: usize) -> Board {
    // SAFETY: 1. to 3. are this function's own conditions.
    unsafe { Board::at(offset, &PLACES, interrupts::Interrupts::new(offset)) }
}
