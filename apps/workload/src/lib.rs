//! The file workload: what the demo's client does, as a pure function of a seed.
//!
//! *Role.* Shared by the client on the board and by the oracle on the host: the operations, the contents of the files
//! and the records on the evidence line are defined once.
//!
//! *Rule.* [`State`] holds all that the next operation depends on. [`next`] draws operation `n` from (seed, n, state),
//! [`State::apply`] is its effect, [`content`] is every byte of every file. The client commits the state to its
//! checkpoint before each operation, so that any incarnation can take over; the host repeats the same steps and needs
//! to be told only which operations were acknowledged.
//!
//! *Why.* Nothing that the system says about its own files counts as proof: the host knows what must be there.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod content;
pub mod line;
pub mod operation;
pub mod path;
pub mod record;
pub mod resolution;
pub mod state;

pub use operation::{Operation, next};
pub use path::Path;
pub use record::{Found, Record};
pub use resolution::{Resolution, resolve};
pub use state::{Checkpoint, State};

/// Files that exist at the same time.
pub const FILES: usize = 12;

/// Directories, the workload's own root (number 0) included.
pub const DIRECTORIES: usize = 5;

/// Pieces of a file that stem from different operations.
pub const EXTENTS: usize = 8;

/// Longest file in bytes.
pub const SIZE_MAX: u32 = 20 * 1024;

/// Most bytes in one write or append: more than one block of any ext4 file system that `mkfs.ext4` makes for a card.
pub const TRANSFER_MAX: u32 = 5000;

/// Files below this number are kept open by the client for as long as they exist.
pub const HELD_FILES: usize = 3;

/// Where the workload works: nothing outside this directory is touched.
pub const ROOT: &str = "/work";

/// Every operation whose number is a multiple of this is a walk over the whole tree.
pub const WALK_PERIOD: u32 = 16;
