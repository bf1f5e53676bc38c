//! The board that the kernel is built for, chosen by a feature that the build sets.
//!
//! Rule: this is the one place where one board is chosen among several. Every board has the same items, with the same
//! meaning; what differs is known to its own folder.
//!
//! Why: a kernel binary is for one board. With a choice at run time every access to a device would go through a pointer.

#![no_std]

#[cfg(all(target_os = "none", not(any(feature = "raspi3b", feature = "raspi4b"))))]
compile_error!("choose a board: --features bsp/NAME");

#[cfg(feature = "raspi3b")]
pub use bsp_raspi3b::*;
#[cfg(feature = "raspi4b")]
pub use bsp_raspi4b::*;
