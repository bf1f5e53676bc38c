//! Which instructions of a target are executed while the client works, and what they access.
//!
//! *Role.* Most of an image is never executed by a given workload; a fault there would say nothing. Faults are drawn from what
//! this run of the target executed, so nearly every trial is activated. Which faults are activated is decided in the trial
//! nevertheless, by the probe.
//!
//! *How.* At the end of the window every instruction of the target is covered by a probe, and each one that is reached is put
//! back: what is found is executed after every instant that a trial may draw. The run is a function of image and scenario, as
//! every run is: its workload has a seed of its own ([`SEED`]), so that campaigns with several seeds draw from the same
//! instructions, and a profile that was kept ([`Kept`]) need not be made again.

use crate::fault::RegistersOfComponent;
use crate::fault::state::{Region, address};
use crate::fault::text::decode;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Seed of the workload that is followed.
pub const SEED: u64 = 1;

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

    /// What of this was not executed there.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let own = self.instructions.iter().filter(|(at, _)| !other.instructions.contains_key(at));
        Self { instructions: own.map(|(at, access)| (*at, *access)).collect() }
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

/// A file that a profile is kept in.
#[derive(Debug)]
pub struct Kept(PathBuf);

impl Kept {
    /// In `folder`, of what is a function of these and of all that is booted: what a target executes depends on its own image, and on
    /// those that it talks to.
    ///
    /// # Errors
    /// The boot image cannot be read.
    pub fn new(folder: &Path, boot_image: &Path, parts: &[&str]) -> Result<Self> {
        let image = std::fs::read(boot_image).with_context(|| format!("reading {}", boot_image.display()))?;
        let mut digest = Sha256::new();
        for part in parts.iter().map(|part| part.as_bytes()).chain([&image[..]]) {
            digest.update((part.len() as u64).to_le_bytes());
            digest.update(part);
        }
        Ok(Self(folder.join(format!("{}.json", crate::evidence::hex(&digest.finalize())))))
    }

    /// The profile, if there is one that can be read.
    pub fn load(&self) -> Option<Profile> {
        serde_json::from_slice(&std::fs::read(&self.0).ok()?).ok()
    }

    /// Keeps a profile. Whoever reads at the same time finds all of it or nothing.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn store(&self, profile: &Profile) -> Result<()> {
        let folder = self.0.parent().context("a file has a folder")?;
        let keep = || -> Result<()> {
            std::fs::create_dir_all(folder)?;
            let file = tempfile::NamedTempFile::new_in(folder)?;
            serde_json::to_writer(&file, profile)?;
            file.persist(&self.0)?;
            Ok(())
        };
        keep().with_context(|| format!("keeping {}", self.0.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_a_restart_executes_is_the_rest() {
        let of = |at: &[u64]| Profile { instructions: at.iter().map(|&at| (at, None)).collect() };
        assert_eq!(of(&[0, 4, 8]).without(&of(&[4, 12])), of(&[0, 8]));
    }

    #[test]
    fn what_was_kept_is_found_by_all_that_it_depends_on() {
        let folder = tempfile::tempdir().unwrap();
        let mut profile = Profile::default();
        profile.instructions.insert(0x30_0000, Some(Region::Stack));
        profile.instructions.insert(0x30_0004, None);
        let image = folder.path().join("image");
        std::fs::write(&image, "one").unwrap();
        let new = |parts: &[&str]| Kept::new(folder.path(), &image, parts).unwrap();
        let kept = new(&["board", "block"]);
        assert_eq!(kept.load(), None);
        kept.store(&profile).unwrap();
        assert_eq!(kept.load(), Some(profile));
        assert_eq!(new(&["boardb", "lock"]).load(), None);
        std::fs::write(&image, "two").unwrap();
        assert_eq!(new(&["board", "block"]).load(), None, "another component of the same kernel");
        std::fs::write(&kept.0, "{").unwrap();
        assert_eq!(kept.load(), None, "a damaged file is none");
    }
}
