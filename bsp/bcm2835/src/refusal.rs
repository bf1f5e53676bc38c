//! What an image says on a board that it was not made for.
//!
//! Rule: it runs before everything else, with the MMU off, at the address to which the image was loaded: no statics with
//! addresses in them, no locks (exclusive accesses need cacheable memory), nothing that could panic.
//!
//! Why: on another board the devices are elsewhere. Without this the image would die of its first access, in silence.

use crate::pins;
use crate::uart::BootConsole;

/// A board on which an image may find itself: known by its processor.
#[derive(Clone, Copy)]
pub struct Place {
    /// Part number in MIDR_EL1.
    pub part: u32,
    /// Physical address of the GPIO block.
    pub gpio: usize,
    /// Physical address of the PL011.
    pub console: usize,
}

/// BCM2837: Cortex-A53.
pub const BCM2837: Place = Place { part: 0xD03, gpio: 0x3F20_0000, console: 0x3F20_1000 };
/// BCM2711: Cortex-A72.
pub const BCM2711: Place = Place { part: 0xD08, gpio: 0xFE20_0000, console: 0xFE20_1000 };

/// Says on the console of the board whose processor has this part number that the image is for another one. Returns if the
/// board is not known: where nothing is known, nothing can be said.
///
/// # Safety
/// 1. The MMU is off, or maps device registers at their physical addresses.
/// 2. Nothing else runs.
pub unsafe fn refuse(part: u32, message: &[u8]) {
    let place = if part == BCM2837.part {
        BCM2837
    } else if part == BCM2711.part {
        BCM2711
    } else {
        return;
    };
    // SAFETY: 1. and 2. by the caller's promises, and by the processor this is the board that has them there.
    let mut console = unsafe {
        pins::give_console_to_pl011(place.gpio);
        BootConsole::new(place.console)
    };
    console.initialise();
    console.send(message);
}
