//! The injector: carries out the fault plan that lies in memory before boot.
//!
//! *Role.* Shared by the injector on the board and by the harness on the host: how a plan is read, when its steps are
//! due, and what the injector says of them on the evidence line.
//!
//! *Rule.* A step is carried out when its time has come, the targets of the step before have been replaced and are ready
//! since [`parameter::SETTLE`], and its own target is ready. A *joined* step belongs to the step before it: it does not
//! wait for that step's targets, only for its own. A step with the trigger `ALARM` is joined, too, and armed at once: it
//! takes place when its time has come, whoever has the CPU then. A fault armed with a trigger that does not come within
//! [`parameter::TRIGGER_LIMIT`] is injected at once instead.
//!
//! *Why.* Instants drawn from a seed hit components in any state, also one that is not alive; a fault that hits nothing
//! proves nothing. Waiting in the guest instead of leaving wide gaps keeps the plan short and the trace a function of it.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod account;
pub mod plan;
pub mod record;
pub mod schedule;

pub use account::Account;
pub use plan::{Plan, PlanError};
pub use record::Record;
pub use schedule::{Action, Progress, Schedule, Target, is_joined};

/// Meaning of [`abi::plan::PlanHeader::parameters`], by index; times in nanoseconds.
pub mod parameter {
    /// Between the moment at which all targets of a step are ready again and the next step.
    pub const SETTLE: usize = 0;
    /// Longest that an armed fault waits for its trigger.
    pub const TRIGGER_LIMIT: usize = 1;
    /// Pause of the workload between two operations.
    pub const PAUSE: usize = 2;
    /// Operations after which the workload stops making changes and unmounts; 0: only the plan's end counts.
    pub const OPERATIONS: usize = 4;
    /// What the workload does, for clients that can do several things: [`FILES`], [`SHARED`], or a number of `exerciser_core::Kind`.
    pub const KIND: usize = 5;
    /// [`KIND`] of the client of files: it writes no lines to the console.
    pub const FILES: u64 = 4;
    /// [`KIND`] of several clients of the same files, which do nothing else and do not look at it.
    pub const SHARED: u64 = 5;
}

/// [`abi::plan::PlanEntry::count`] of an entry without a trigger that is joined to the entry before it. Its delay after
/// the actual injection of that entry is the difference of the two times in the plan.
pub const JOINED: u32 = 1;

/// Longest that the workload may take after the plan's end to come to its own, in nanoseconds. Only workloads that are
/// limited by [`parameter::OPERATIONS`] are held to it.
pub const GRACE: u64 = 500_000_000;

/// How often an account is begun anew because somebody else ran; then it is left out.
pub const ACCOUNTS_MAX: u32 = 8;

/// Between two looks at a target that is not ready, in nanoseconds.
pub const POLL: u64 = 100_000;
