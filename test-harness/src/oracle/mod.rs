//! The oracle: evidence in, findings out.
//!
//! *Rule.* Each judge looks at one thing and none of them trusts the component that it judges: [`kernel`] takes deaths,
//! incarnations and times from the kernel's records; [`workload`] repeats the client's operations from the seed and
//! compares every walk; [`registers`] looks for an order of all operations of several clients on the same files
//! ([`linearizability`]); [`console`] looks for every acknowledged line in what came over the console; [`card`] reads the
//! card image with the file system's own tools when the machine is off; [`account`] compares what the kernel holds with what the
//! build says; [`memory`] looks at what components can reach, and at what never changes.
//!
//! *Why separate.* A judge that can fail is worth something; each has tests in which it must.

pub mod account;
pub mod card;
pub mod console;
pub mod console_lines;
mod judge;
pub mod kernel;
pub mod linearizability;
pub mod memory;
pub mod registers;
pub mod tree;
pub mod workload;

pub use judge::{Counts, Oracle, Verdict};

use std::fmt;

/// What kind of failure a finding is. Its number is the exit code of the command; of several findings the first kind in
/// this order counts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Kind {
    /// The emulator failed: nothing is said about the system.
    Emulator = 10,
    /// The kernel panicked, or the board was reset although nobody killed root.
    Crash = 11,
    /// Something acknowledged is gone, something was done by halves, a component changed that should not have.
    Correctness = 12,
    /// Something did not come back, was not detected, or took too long.
    Liveness = 13,
    /// The guest touched what no correct program touches.
    GuestError = 14,
    /// The evidence itself is damaged or contradicts itself.
    Evidence = 15,
}

impl Kind {
    /// What people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Emulator => "emulator died",
            Self::Crash => "crash",
            Self::Correctness => "correctness",
            Self::Liveness => "liveness",
            Self::GuestError => "guest error",
            Self::Evidence => "evidence",
        }
    }
}

/// Something that must not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// What kind of failure.
    pub kind: Kind,
    /// When, in virtual nanoseconds since power-on; `None`: no particular time.
    pub time: Option<u64>,
    /// What.
    pub text: String,
}

impl Finding {
    /// A finding at a time.
    pub fn at(kind: Kind, time: u64, text: impl Into<String>) -> Self {
        Self { kind, time: Some(time), text: text.into() }
    }

    /// A finding about the whole run.
    pub fn overall(kind: Kind, text: impl Into<String>) -> Self {
        Self { kind, time: None, text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}", self.kind.name())?;
        if let Some(time) = self.time {
            write!(f, " at {:.6} s", std::time::Duration::from_nanos(time).as_secs_f64())?;
        }
        write!(f, ": {}", self.text)
    }
}
