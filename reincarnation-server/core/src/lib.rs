//! The policy of reincarnation: who is healthy, who has to die, who is started again, and when.
//!
//! *Role.* The reincarnation server (RS) drives a [`Supervisor`] over the components of the manifest; root drives one over
//! RS alone. The supervisor is told what the kernel says and answers with one [`Action`] at a time.
//!
//! *Rule.* What was decided is committed before it is done ([`Action::Commit`] comes before every other action), and what
//! is to be done follows from the committed history and the states of the slots, never from where the supervisor was in
//! some sequence.
//!
//! *Why.* RS may die between any two actions. Its next incarnation finds the same history and the same slots, and so goes
//! on with the same actions; what was done already is done no second time.
//!
//! Times are values or differences of `CNTVCT_EL0`, in ticks.

#![no_std]
#![forbid(unsafe_code)]

mod docket;
mod history;
mod policy;
mod supervisor;
mod watch;

pub use history::{Cause, Death, History, RECENT_MAX, Standing};
pub use policy::Policy;
pub use supervisor::{Action, Command, Found, Refusal, Report, ReportKind, Supervisor, checkpoint_max};
pub use watch::{Verdict, judge};

/// A value of `CNTVCT_EL0`, or a difference of two.
pub type Ticks = u64;
