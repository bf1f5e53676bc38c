//! The whole system in the emulator, hurt from outside: power cuts, damaged memory, cards and images, hostile programs.
//!
//! The systems are those that `./x test` has built; without them these tests fail and say what to run.

mod budgets;
mod bundle_copy;
mod cards;
mod common;
mod gpio;
mod integrity;
mod kernel_panic;
mod made;
mod memory_dump;
mod memory_size;
mod power_cut;
mod programs;
mod terminal;
mod unbreakable;
mod wild_calls;
