//! The workload `mixed`: one client that works on files, with a line on the console for each operation.

use super::{Leftovers, Traces, Work};
use crate::oracle::workload::{Follower, Promise};
use crate::oracle::{Kind, card};
use anyhow::Result;
use std::path::Path;
use workload_core::Record;

/// Follows it.
#[derive(Clone, Debug)]
pub struct Mixed {
    client: u8,
    follower: Follower,
}

impl Mixed {
    /// Of the client in this slot, which works with this seed.
    pub fn new(client: u8, seed: u64) -> Self {
        Self { client, follower: Follower::new(seed, Promise::Acknowledged) }
    }

    fn on_card(&self, image: &Path) -> Result<Vec<String>> {
        let mut findings = super::on_card(image, self.follower.is_unmounted())?;
        match card::read(image) {
            Ok(contents) => {
                let differences = card::compare(&contents, &self.follower.possible_trees());
                findings.extend(differences.iter().map(ToString::to_string));
            }
            // A file system that its own tools do not understand is a result, not a failure of the harness.
            Err(error) => findings.push(format!("card: {error:#}")),
        }
        Ok(findings)
    }
}

impl Work for Mixed {
    fn boxed_clone(&self) -> Box<dyn Work> {
        Box::new(self.clone())
    }

    fn is_client(&self, slot: u8) -> bool {
        slot == self.client
    }

    fn said(&mut self, time: u64, _slot: u8, data: &[u8]) -> bool {
        let record = Record::decode(data);
        if let Some(record) = &record {
            self.follower.record(time, record);
        }
        record.is_some()
    }

    fn died(&mut self, _slot: u8) {
        self.follower.died();
    }

    fn reset(&mut self) {
        self.follower.reset();
    }

    fn acknowledged(&self) -> u32 {
        self.follower.acknowledged()
    }

    fn repeated(&self) -> u32 {
        self.follower.repeated()
    }

    fn refused(&self) -> u32 {
        self.follower.refused()
    }

    fn is_finished(&self) -> bool {
        self.follower.is_finished()
    }

    fn complaints(&self) -> (Vec<String>, bool) {
        let findings = self.follower.findings();
        let wrong = findings.iter().filter(|finding| finding.kind == Kind::Correctness).count();
        // Each refusal is a finding, too.
        let is_wrong = wrong > self.follower.refused() as usize;
        (findings.iter().map(ToString::to_string).collect(), is_wrong)
    }

    fn leftovers(&self, traces: &Traces) -> Result<Leftovers> {
        let mut left = super::on_console(traces, self.follower.lines());
        if self.is_finished() {
            left.wrong.extend(self.on_card(traces.card)?);
        }
        Ok(left)
    }
}
