//! The probe: a component for tests in the emulator, which does one simple thing and says on the evidence line what came
//! of it.
//!
//! *Role.* Shared by the probe on the board and by the tests on the host: the script of the file client, and the records.
//!
//! *Rule.* A probe judges nothing and hides nothing: every answer goes on the evidence line as it came, register by
//! register. What is right is the host's to know.
//!
//! | parameter `role` | what the probe does |
//! |---|---|
//! | [`role::FILES`] | carries out [`script::SETUP`], waits for the time in the plan, carries out [`script::ACTIONS`] |
//! | [`role::LIST`] | asks RS for its list, again and again |
//! | [`role::BURN`] | computes, receives, computes |
//! | [`role::ASK`] | has a server of `echo` compute |
//! | [`role::ACCOUNT`] | reads the kernel's accounts, again and again |

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod record;
pub mod script;

pub use record::Record;

/// Values of the parameter `role`.
pub mod role {
    /// Works on files.
    pub const FILES: u64 = 1;
    /// Asks RS for its list.
    pub const LIST: u64 = 2;
    /// Uses CPU.
    pub const BURN: u64 = 3;
    /// Asks a server to use CPU.
    pub const ASK: u64 = 4;
    /// Reads the kernel's accounts.
    pub const ACCOUNT: u64 = 5;
}

/// Index of [`abi::plan::PlanHeader::parameters`]: when the file client begins [`script::ACTIONS`], in nanoseconds. The
/// injector uses the others.
pub const BEGIN: usize = 3;
