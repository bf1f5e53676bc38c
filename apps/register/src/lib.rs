//! Shared registers: what several clients do at the same time with the same few files, as a pure function of a seed.
//!
//! *Role.* Shared by the clients on the board and by the oracle on the host: the operations, the values and the records on
//! the evidence line are defined once.
//!
//! *Rule.* A register is a file that is written and read in whole. Every write has a value of its own, which names the
//! client and the operation, and every byte of the file follows from it. An operation whose outcome its client was not
//! told is never asked for again: the next attempt is another operation, with another value.
//!
//! *Why.* A value that is read then says which write it stems from, whatever became of that write; and whether one order
//! of all operations explains what everybody was told can be decided on the host.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod line;
pub mod record;
pub mod step;
pub mod value;

pub use record::{Answer, Record, answer};
pub use step::{Kind, Step, step};
pub use value::Value;

/// Registers.
pub const REGISTERS: usize = 3;

/// Their files, in the root of the card, where nobody must make a directory first.
pub const PATHS: [&str; REGISTERS] = ["/register-0", "/register-1", "/register-2"];

/// Bytes of a register that was written; before that its file is empty. Less than a sector: whatever cuts a write off, all
/// of it is there or nothing.
pub const BYTES: usize = 64;

/// Number of a client's first operation after a reset of the board: before it there were fewer, and none has it twice.
pub const AFTER_RESET: u32 = 1 << 31;

/// Most clients.
pub const CLIENTS_MAX: u8 = 16;

/// What a client commits before each operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Checkpoint {
    /// Seed that it belongs to: a checkpoint of another plan is not used.
    pub seed: u64,
    /// Number of the step that is to be done.
    pub step: u32,
    /// Number of the first operation that nobody has asked for yet.
    pub operation: u32,
    /// Clients that have said that they are finished: bit n is client n.
    pub finished: u32,
}

/// Most bytes of an encoded [`Checkpoint`].
pub const CHECKPOINT_MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_checkpoint_fits() {
        let checkpoint =
            Checkpoint { seed: u64::MAX, step: u32::MAX, operation: u32::MAX, finished: u32::MAX };
        let mut bytes = [0; CHECKPOINT_MAX];
        let encoded = postcard::to_slice(&checkpoint, &mut bytes).unwrap();
        assert_eq!(postcard::from_bytes::<Checkpoint>(encoded), Ok(checkpoint));
    }
}
