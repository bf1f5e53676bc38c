//! The machine under test: an emulator process with its serial lines, its control socket and its card.

pub mod card;
mod emulator;
mod machine;
mod process;
mod qmp;
pub mod terminal;

pub use emulator::{Emulator, Ending, Happening, Launch, Line, Mode};
pub use machine::Machine;
