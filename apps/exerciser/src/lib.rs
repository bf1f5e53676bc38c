//! The exerciser's work, one service at a time, as pure functions of a seed.
//!
//! *Role.* Shared by the client on the board and by its judge on the host ([`Kind`] says which service): what operation `n` asks, what
//! its answer must be, and the records on the evidence line.
//!
//! *Rule.* [`Ledger`] is all that an answer depends on besides seed and number. The client commits it before each operation, so that
//! its next incarnation asks for the same operation again.
//!
//! *Why.* The workload of files needs all servers at once. A fault in one of them is found sooner, and told apart better, by a client
//! that talks to that one and knows every answer.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod block;
pub mod console;
pub mod ipc;
pub mod record;

pub use record::{Record, Verdict};

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

/// The service that is worked with, by its number in the plan (`injector_core::parameter::KIND`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// `echo`: messages, windows, and a counter that must count each request once.
    Ipc = 1,
    /// `block`: blocks are written, and read again.
    Block = 2,
    /// `console`, whose output comes back as its input (the PL011's loopback).
    Console = 3,
}

impl Kind {
    /// The one with this number.
    pub fn from_number(number: u64) -> Option<Self> {
        [Self::Ipc, Self::Block, Self::Console].into_iter().find(|kind| *kind as u64 == number)
    }
}

/// What the client knows of earlier operations.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    /// Operations that are over.
    pub operation: u32,
    /// What the counter of `echo` says, if no request of unknown outcome has counted…
    pub least: u64,
    /// … and if all have.
    pub most: u64,
    /// Blocks that a failed write has left in an unknown state: bit n is block n of the range.
    pub unsure: u64,
}

/// What chance an operation has: a stream of its own for each.
fn dice(seed: u64, operation: u32) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(operation.into());
    generator
}

/// Fills `bytes` with what follows from seed and operation.
pub fn fill(seed: u64, operation: u32, bytes: &mut [u8]) {
    dice(seed, operation).fill_bytes(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_their_numbers() {
        for kind in [Kind::Ipc, Kind::Block, Kind::Console] {
            assert_eq!(Kind::from_number(kind as u64), Some(kind));
        }
        assert_eq!((Kind::from_number(0), Kind::from_number(4)), (None, None));
    }

    #[test]
    fn operations_and_seeds_give_other_bytes() {
        let bytes = |seed, operation| {
            let mut bytes = [0; 20];
            fill(seed, operation, &mut bytes);
            bytes
        };
        assert_eq!(bytes(1, 2), bytes(1, 2));
        assert_ne!(bytes(1, 2), bytes(1, 3));
        assert_ne!(bytes(1, 2), bytes(2, 2));
        assert_ne!(bytes(1, 2)[..8], bytes(1, 2)[8..16]);
    }
}
