//! Fault models: what a trial does to its target, and how it is done from outside.
//!
//! *Role.* A model draws a fault from a seed ([`draw`]); [`Carrier`] carries it out while the guest stands at the kernel's
//! `fault_point` (kernel/src/arch/aarch64/fault_point.rs), through the emulator's debugger stub.
//!
//! *Rule.* A fault is data that is complete before the guest's first instruction. It is *activated* when the target was about to
//! execute the instruction that it changes, or that reads the value that it changes: the harness knows that from the probe,
//! not from the target. Faults that the guest carries out by itself are activated when the kernel says so on the trace.
//!
//! | model | file | source |
//! |---|---|---|
//! | `text/…` | [`text`] | mistakes in code |
//! | `state/…` | [`state`] | wrong values in registers and memory, at the instruction that reads them |
//! | `state/checkpoint-…`, `state/log-…`, `state/bundle-…` | [`slot_memory`] | wrong values in what outlives a component |
//! | `device/…` | [`device`] | registers of a device that read wrong, writes that get lost |
//! | `device/irq-…` | [`interrupt`] | interrupts that do not come, come twice, or do not go away |
//! | `behaviour/…` | [`behaviour`] | a component that fails by its own instructions |
//! | `medium/…` | [`medium`] | what a driver or a medium says of blocks |
//! | `batch/text` | [`batch`] | a hundred mistakes in code at once |
//! | `kernel/…` | [`kernel`] | mistakes in the kernel's own code |
//! | `power/cut` | [`power`] | the machine is gone between two instructions |

mod batch;
pub mod behaviour;
mod carrier;
pub mod device;
mod dice;
pub mod image;
pub mod interrupt;
mod kernel;
pub mod medium;
mod model;
pub mod power;
pub mod slot_memory;
pub mod state;
pub mod text;

pub use batch::MUTATIONS;
pub use carrier::{Carrier, Carriers, Effect, KERNEL_OFFSET, PROBE, RegistersOfComponent, Stop};
pub use dice::Dice;
pub use image::{KERNEL, TargetImage};
pub use model::{Action, Change, Model, draw};
