//! `campaign.toml`: all that is needed to run a campaign again.

use super::scenario::CampaignScenario;
use crate::system::System;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// Name of the file.
pub const NAME: &str = "campaign.toml";

/// Name of the file with the scenario, where that is not of the stock.
pub const SCENARIO: &str = "scenario.toml";

/// What was, or is to be, run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// Name of the scenario.
    pub scenario: String,
    /// Seed of the campaign.
    pub seed: u64,
    /// Number of trials of all shards together.
    pub trials: u64,
    /// `[i, n]`: of these, the trials of which the remainder by n is i.
    pub shard: [u64; 2],
    /// The board.
    pub board: String,
    /// The emulator's version.
    pub emulator: String,
    /// The compiler's version.
    pub compiler: String,
    /// SHA-256 of the harness's sources: what a fault is, and how it is drawn. Empty: not recorded (before there was this field).
    #[serde(default)]
    pub harness_sha256: String,
    /// SHA-256 of the kernel.
    pub kernel_sha256: String,
    /// The scenario's text.
    pub text: String,
    /// Of a campaign with mutants of the source: where they come from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mutants: Option<Origin>,
    /// Build ids of the images, by component.
    pub images: BTreeMap<String, String>,
}

/// Where mutants of the source come from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Version of cargo-mutants.
    pub cargo_mutants: String,
    /// How many it lists for the targets.
    pub listed: u64,
    /// SHA-256 of its list.
    pub list_sha256: String,
}

impl Description {
    /// Of a campaign with what is built now.
    pub fn new(
        scenario: &CampaignScenario,
        text: &str,
        seed: u64,
        trials: u64,
        shard: (u64, u64),
        system: &System,
        versions: (String, String),
    ) -> Self {
        let image = |slot: &crate::system::Slot| Some((slot.name.clone(), slot.build_id.clone()?));
        Self {
            scenario: scenario.name.clone(),
            seed,
            trials,
            shard: [shard.0, shard.1],
            board: system.board.clone(),
            emulator: versions.0,
            compiler: versions.1,
            harness_sha256: env!("SAMSARA_HARNESS_SHA256").to_owned(),
            kernel_sha256: system.kernel_sha256.clone(),
            text: text.to_owned(),
            mutants: None,
            images: system.slots.iter().filter_map(image).collect(),
        }
    }

    /// Reads the description in a campaign's folder.
    ///
    /// # Errors
    /// There is none, or it is not understood.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join(NAME);
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!("reading {}: is {} a campaign's folder?", path.display(), folder.display())
        })?;
        toml::from_str(&text).with_context(|| format!("in {}", path.display()))
    }

    /// Writes it into a campaign's folder, which must not have one.
    ///
    /// # Errors
    /// There is one, or it cannot be written.
    pub fn write(&self, folder: &Path) -> Result<()> {
        let path = folder.join(NAME);
        ensure_free(folder)?;
        let text = toml::to_string(self).context("writing the description of the campaign")?;
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
        };
        if !self.is_of_stock() {
            write(&folder.join(SCENARIO), &self.text)?;
        }
        write(&path, &text)
    }

    fn is_of_stock(&self) -> bool {
        CampaignScenario::named(&self.scenario).is_ok_and(|(_, text)| text == self.text)
    }

    /// Whether the harness is the one that the campaign was begun with.
    pub fn has_same_harness(&self, now: &Self) -> bool {
        self.harness_sha256 == now.harness_sha256
    }

    /// Whether both say the same of scenario and seed, so that trials of one number are the same trial.
    ///
    /// # Errors
    /// Says in what they differ.
    pub fn check_comparable(&self, other: &Self) -> Result<()> {
        ensure!(
            self.text == other.text && self.seed == other.seed,
            "these are two campaigns: {}, seed {}, and {}, seed {}{}",
            self.scenario,
            self.seed,
            other.scenario,
            other.seed,
            if self.scenario == other.scenario { " (their scenarios differ)" } else { "" }
        );
        Ok(())
    }

    /// Whether trials run now are the same as then.
    ///
    /// # Errors
    /// Says what is another than it was: emulator, kernel, image.
    pub fn check_unchanged(&self, now: &Self) -> Result<()> {
        let same = |what: &str, then: &str, now: &str| -> Result<()> {
            ensure!(
                then == now,
                "{what} is another than the campaign's: {then} then, {now} now; its trials cannot be had again with it"
            );
            Ok(())
        };
        same("the emulator", &self.emulator, &now.emulator)?;
        same("the board", &self.board, &now.board)?;
        same("the kernel", &self.kernel_sha256, &now.kernel_sha256)?;
        if let (Some(then), Some(now)) = (&self.mutants, &now.mutants) {
            same("cargo-mutants", &then.cargo_mutants, &now.cargo_mutants)?;
            same("the list of mutants", &then.list_sha256, &now.list_sha256)?;
        }
        for (name, image) in &self.images {
            same(
                &format!("the image of {name}"),
                image,
                now.images.get(name).map_or("none", String::as_str),
            )?;
        }
        Ok(())
    }

    /// The command that runs it again, into a folder `DIR`. A scenario that is not of the stock lies beside it ([`SCENARIO`]).
    pub fn command(&self) -> String {
        let Self { scenario, trials, seed, board, .. } = self;
        if self.mutants.is_some() {
            return format!("./x campaign source --mutants {trials} --seed {seed} --board {board} --out DIR");
        }
        let file = if self.is_of_stock() { scenario.as_str() } else { SCENARIO };
        let shard = match self.shard {
            [_, 0 | 1] => String::new(),
            [first, step] => format!(" --shard {first}/{step}"),
        };
        format!("./x campaign run {file} --trials {trials} --seed {seed}{shard} --board {board} --out DIR")
    }

    /// Numbers of the trials.
    pub fn numbers(&self) -> impl Iterator<Item = u64> + Clone + Send + use<> {
        let [first, step] = self.shard;
        (first..self.trials).step_by(step.max(1) as usize)
    }
}

/// Whether a new campaign may go into this folder.
///
/// # Errors
/// There is one already: says which.
pub fn ensure_free(folder: &Path) -> Result<()> {
    if !folder.join(NAME).exists() {
        return Ok(());
    }
    let what = Description::read(folder).map_or_else(
        |_| "a campaign".to_owned(),
        |there| format!("the campaign {}, seed {}, {} trials", there.scenario, there.seed, there.trials),
    );
    bail!(
        "{} holds {what}: `./x campaign resume {0}` goes on with that; a new one takes another folder",
        folder.display()
    )
}
