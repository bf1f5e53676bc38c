//! The machine is gone between two instructions, and started again with the same card.
//!
//! *Role.* The emulator ends while the guest stands at a virtual instant that was drawn, so what the card holds is a function
//! of the trial. The next start finds no checkpoint and no queue; the client of the workload reads everything back.

/// Virtual nanoseconds from which on a plan of the next start lies in the past: so the client knows that it has lived before.
pub const IN_THE_PAST: u64 = 1;
