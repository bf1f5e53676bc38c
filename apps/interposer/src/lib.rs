//! The interposer: stands between a client of blocks and their driver, and does what a driver or a medium does that is
//! broken.
//!
//! *Role.* Shared by the interposer on the board, by the harness, which writes its orders, and by the tests of what has to
//! find out lies.
//!
//! *Rule.* What it does is a function of its orders and the requests that it has seen. Without an order that is due it
//! passes everything on, and says nothing.
//!
//! *Why.* Faults of the medium are then data in memory before boot, like those of components (`abi::plan`), and a run can
//! be had again.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod lies;
pub mod orders;

pub use lies::{Done, Interposer, Waiter};
pub use orders::{Lie, Order, Orders};
