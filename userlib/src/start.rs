//! Start-up: from the registers that the kernel sets to the component's `main`.
//!
//! The assembly is in `start.s` beside this file.

use abi::SlotId;

core::arch::global_asm!(include_str!("start.s"));

/// What the kernel tells an incarnation about itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Start {
    /// Own slot.
    pub slot: SlotId,
    /// Number of this incarnation, from 1.
    pub incarnation: u32,
    /// An earlier incarnation has left a checkpoint: this is a restart with state.
    pub has_checkpoint: bool,
}

impl Start {
    /// From the registers at entry; for [`entry!`](crate::entry).
    #[doc(hidden)]
    pub const fn from_registers(slot: u64, incarnation: u64, flags: u64) -> Self {
        Self { slot: slot as SlotId, incarnation: incarnation as u32, has_checkpoint: flags & 1 != 0 }
    }
}

/// Makes `main`, a `fn(Start) -> !`, the entry of the component.
#[macro_export]
macro_rules! entry {
    ($main:path) => {
        #[doc(hidden)]
        #[unsafe(no_mangle)]
        extern "C" fn samsara_main(slot: u64, incarnation: u64, flags: u64) -> ! {
            let main: fn($crate::Start) -> ! = $main;
            main($crate::Start::from_registers(slot, incarnation, flags))
        }
    };
}
