//! The contract between the kernel, the components and the host tools: one definition for all three.
//!
//! Rule: this crate holds data layouts, numbers and their meaning, and no behaviour beyond encoding them. Whatever two
//! sides must agree on stands here once, because a constant copied by hand is a defect that waits for its day.

#![no_std]
#![forbid(unsafe_code)]

pub mod image;
pub mod layout;
pub mod message;
pub mod plan;
pub mod program;
pub mod record;
pub mod rights;
pub mod status;
pub mod syscall;
pub mod trace;

pub use message::{CallId, Message};
pub use status::{Outcome, Status};

/// Most slots that a system can have: the kernel keeps sets of slots as 32-bit masks.
pub const SLOTS_MAX: usize = 32;

/// Number of a slot: the index of its entry in the rights table, in the order of the manifest.
pub type SlotId = u8;

/// Slot of the root task, which the kernel itself starts at boot.
pub const ROOT: SlotId = 0;

/// Size of a page in bytes: the translation granule.
pub const PAGE_SIZE: usize = 4096;

/// Copies `name` into a field of fixed size, cut at the field's length, padded with zeros.
pub const fn name_field<const N: usize>(name: &str) -> [u8; N] {
    let bytes = name.as_bytes();
    let mut field = [0; N];
    let mut i = 0;
    while i < N && i < bytes.len() {
        field[i] = bytes[i];
        i += 1;
    }
    field
}

/// The text in a zero-padded field; what is not UTF-8 reads as empty.
pub fn name_text(field: &[u8]) -> &str {
    let length = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    core::str::from_utf8(&field[..length]).unwrap_or("")
}
