//! The machine under test: an emulator process with its serial lines, its control socket and its card.
//!
//! *Rule.* Nothing outlives the harness, and every wait has a limit: an emulator that hangs is a result, too.

pub mod card;
mod emulator;
mod gdb;
mod line;
mod lock;
mod machine;
mod process;
mod qmp;
pub mod sections;
pub mod terminal;

pub use emulator::{Emulator, Ending, Happening, Launch, Line, Mode};
pub use gdb::{Gdb, Registers};
pub use lock::Lock;
pub use machine::Machine;
