//! Which instructions of a target are executed while the client works, and what they access.
//!
//! *Role.* Most of an image is never executed by a given workload; a fault there would say nothing. Faults are drawn from what
//! this run of the target executed, so nearly every trial is activated. Which faults are activated is decided in the trial
//! nevertheless, by the probe.
//!
//! *How.* At the beginning of the window every instruction of the target is covered by a probe; each one that is reached is put
//! back. The run is a function of image, scenario and seed, as every run is.

use crate::fault::RegistersOfComponent;
use crate::fault::state::{Region, address};
use crate::fault::text::decode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was executed.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Profile {
    /// Addresses of instructions; with the region that a load or store went to when it was first executed.
    instructions: BTreeMap<u64, Option<Region>>,
}

impl Profile {
    /// Takes note of an instruction about to be executed with these registers.
    pub fn add(&mut self, at: u64, word: u32, registers: &RegistersOfComponent) {
        let access = decode(word).and_then(|instruction| address(&instruction, registers));
        self.instructions.insert(at, access.map(Region::of));
    }

    /// Addresses of all that was executed, in their order.
    pub fn executed(&self) -> impl Iterator<Item = u64> {
        self.instructions.keys().copied()
    }

    /// Addresses of the loads and stores that went to a region.
    pub fn accesses(&self, region: Region) -> impl Iterator<Item = u64> {
        self.instructions.iter().filter(move |(_, access)| **access == Some(region)).map(|(at, _)| *at)
    }

    /// How many instructions were executed.
    pub fn len(&self) -> usize {
        self.instructions.len()
    }

    /// Whether nothing was executed.
    pub fn is_empty(&self) -> bool {
        self.instructions.is_empty()
    }
}
