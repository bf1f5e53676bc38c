//! Recovery on the emulated board: enumerations and sweeps that a demo draws only samples of.
//!
//! Every test builds its judgement on the evidence line and the card. What it needs is built by `./x test`, which also
//! says in SAMSARA_TEST_DEPTH how much of an enumeration to go through; `--soak` goes through all of it.

mod backoff;
mod detection;
mod determinism;
mod heartbeats;
mod messages;
mod overload;
mod restart;
mod support;
