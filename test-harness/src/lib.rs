//! The test harness: runs the system in an emulator, injects faults by plan, and judges the run from outside.
//!
//! *Role.* Used by `./x demo`, `./x run`, `./x log`, the emulator tests and `./x campaign`.
//!
//! *Rule.* What the guest says about itself is evidence only of what was acknowledged and when. What a file must contain
//! follows from the seed, what is on the card is read with the file system's own tools, and which incarnation lives is
//! taken from the kernel's records.
//!
//! *Why.* A system under test that also judges the test passes it.
//!
//! | module | what it does |
//! |---|---|
//! | [`target`] | starts and ends the emulator; nothing outlives the harness, everything has a time limit |
//! | [`boot_image`] | the boot image from outside |
//! | [`evidence`] | bytes of the evidence line to frames, times, hash; logs and backtraces |
//! | [`scenario`], [`plan`] | data and a seed to the fault plan |
//! | [`oracle`] | frames, console text and card image to findings |
//! | [`report`] | findings to a table and to JSON |
//! | [`trial`] | one run from start to verdict |
//! | [`fault`] | fault models: what is done to a component from outside |
//! | [`campaign`] | trials by the thousand, and the ledger of what became of each |

#![deny(unsafe_code)]

pub mod boot_image;
pub mod campaign;
pub mod evidence;
pub mod fault;
pub mod oracle;
pub mod plan;
pub mod report;
pub mod scenario;
pub mod system;
pub mod target;
pub mod trial;
