//! The workload `shared`: several clients that work on the same files at the same time. One of them, the scenario's `client`, writes a
//! line on the console for each of its steps, and unmounts when the others have come to their end.

use super::{Leftovers, Traces, Work};
use crate::oracle::registers::Registers;
use crate::oracle::{Finding, Kind, card};
use crate::system::System;
use anyhow::{Result, ensure};
use register_core::{PATHS, Record};
use std::path::Path;

/// Image of the clients.
const IMAGE: &str = "register";

/// Follows it.
#[derive(Clone, Debug)]
pub struct Shared(Registers);

impl Shared {
    /// Of all components with the image of such clients, the one in slot `client` among them; they work with this seed.
    ///
    /// # Errors
    /// The one in slot `client` is none.
    pub fn new(system: &System, client: u8, seed: u64) -> Result<Self> {
        let clients = system.slots.iter().filter(|slot| slot.image.as_deref() == Some(IMAGE));
        let registers = Registers::new(seed, clients.map(|slot| slot.slot), client);
        ensure!(
            registers.is_client(client),
            "the workload `shared` is that of the image `{IMAGE}`, which {} of the system {} does not have",
            system.name(client),
            system.manifest
        );
        Ok(Self(registers))
    }

    fn on_card(&self, image: &Path) -> Result<Vec<String>> {
        let mut findings = super::on_card(image, self.0.is_unmounted())?;
        match card::read_files(image, PATHS) {
            Ok((strays, found)) => {
                findings.extend(strays.iter().map(|name| format!("card: /{name}: nobody made it")));
                findings.extend(self.0.violations_of_card(&found).iter().map(ToString::to_string));
            }
            // A file system that its own tools do not understand is a result, not a failure of the harness.
            Err(error) => findings.push(format!("card: {error:#}")),
        }
        Ok(findings)
    }
}

impl Work for Shared {
    fn boxed_clone(&self) -> Box<dyn Work> {
        Box::new(self.clone())
    }

    fn is_client(&self, slot: u8) -> bool {
        self.0.is_client(slot)
    }

    fn said(&mut self, time: u64, slot: u8, data: &[u8]) -> bool {
        let record = Record::decode(data);
        if let Some(record) = &record {
            self.0.record(time, slot, record);
        }
        record.is_some()
    }

    fn died(&mut self, slot: u8) {
        self.0.died(slot);
    }

    fn reset(&mut self) {
        self.0.reset();
    }

    fn acknowledged(&self) -> u32 {
        self.0.acknowledged()
    }

    fn repeated(&self) -> u32 {
        self.0.repeated()
    }

    fn refused(&self) -> u32 {
        self.0.refusals().len() as u32
    }

    fn is_finished(&self) -> bool {
        self.0.is_over()
    }

    fn complaints(&self) -> (Vec<String>, bool) {
        // Counterexamples first: of the rest there may be many.
        let wrong: Vec<Finding> = [self.0.violations(), self.0.findings().to_vec()].concat();
        let is_wrong = wrong.iter().any(|finding| finding.kind == Kind::Correctness);
        let all = wrong.iter().chain(self.0.refusals());
        (all.map(ToString::to_string).collect(), is_wrong)
    }

    fn leftovers(&self, traces: &Traces) -> Result<Leftovers> {
        let mut left = super::on_console(traces, self.0.lines());
        if self.is_finished() {
            left.wrong.extend(self.on_card(traces.card)?);
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_known_by_their_image() {
        let mut system = System::for_tests();
        let refusal = Shared::new(&system, 6, 1).unwrap_err().to_string();
        assert!(refusal.contains("which client of the system demo does not have"), "{refusal}");
        for slot in [4, 6] {
            system.slots[slot].image = Some(IMAGE.to_owned());
        }
        let work = Shared::new(&system, 6, 1).unwrap();
        assert_eq!((0..8).filter(|slot| work.is_client(*slot)).collect::<Vec<_>>(), [4, 6]);
    }
}
