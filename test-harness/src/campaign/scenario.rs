//! Scenarios of campaigns: what is drawn, and from which ranges, as data in `scenarios/campaign/*.toml`.
//!
//! *Rule.* A scenario names and bounds; a trial is drawn from it, a seed and a number ([`super::spec`]).

use crate::fault::{KERNEL, Model};
use anyhow::{Context, Result, bail, ensure};
use injector_core::GRACE;
use serde::Deserialize;
use std::collections::BTreeMap;

/// The scenarios that come with Samsara: name and text.
pub const STOCK: [(&str, &str); 11] = [
    ("batch", include_str!("../../scenarios/campaign/batch.toml")),
    ("behaviour", include_str!("../../scenarios/campaign/behaviour.toml")),
    ("combinations", include_str!("../../scenarios/campaign/combinations.toml")),
    ("device", include_str!("../../scenarios/campaign/device.toml")),
    ("kernel", include_str!("../../scenarios/campaign/kernel.toml")),
    ("medium", include_str!("../../scenarios/campaign/medium.toml")),
    ("power", include_str!("../../scenarios/campaign/power.toml")),
    ("rate", include_str!("../../scenarios/campaign/rate.toml")),
    ("root", include_str!("../../scenarios/campaign/root.toml")),
    ("state", include_str!("../../scenarios/campaign/state.toml")),
    ("text", include_str!("../../scenarios/campaign/text.toml")),
];

/// Longest that a workload may be planned to take, in milliseconds of the board.
const END_MAX_MS: u64 = 60_000;

/// Earliest time of a fault, in milliseconds of the board: boot and mounting take about four.
const FIRST_MIN_MS: u64 = 8;

/// What a campaign does.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignScenario {
    /// Name.
    pub name: String,
    /// What it is for, in one line.
    pub about: String,
    /// Name of the system's manifest.
    pub manifest: String,
    /// The card carries checksums for an integrity layer.
    #[serde(default)]
    pub checked_card: bool,
    /// The work that goes on meanwhile.
    pub workload: Workload,
    /// First and last time at which a fault takes place, in milliseconds of the board.
    pub window_ms: [u64; 2],
    /// Components that faults are put into, with their weights.
    pub targets: BTreeMap<String, u32>,
    /// Fault models, with their weights.
    pub models: BTreeMap<String, u32>,
    /// More than one fault in a trial.
    #[serde(default)]
    pub several: Option<Several>,
    /// What is switched off, to see what it buys.
    #[serde(default)]
    pub without: Vec<String>,
}

/// Trials with more than one fault: a table of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Several {
    /// Fewest and most faults in a trial.
    pub faults: [u64; 2],
    /// Time between one and the next, in microseconds: some tens fall into the restart of the one before.
    pub gap_us: [u64; 2],
}

/// What can be switched off.
pub const SWITCHES: [&str; 4] = ["back-off", "complaints", "heartbeat", "integrity"];

/// Most faults in a trial.
const SEVERAL_MAX: u64 = 64;

/// The work that goes on while faults take place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Name: `mixed`, files and lines on the console.
    pub name: String,
    /// Component that does the work.
    pub client: String,
    /// Component that carries out the plan.
    pub injector: String,
    /// Component that drives the console.
    pub console: String,
    /// Operations, after which the client unmounts.
    pub operations: u32,
    /// Pause between two operations, in microseconds.
    pub pause_us: u64,
    /// Time of the board at which the client unmounts at the latest, in milliseconds.
    pub end_ms: u64,
}

impl Workload {
    /// When the injector has spoken at the latest in a system that lives, in nanoseconds of the board.
    pub const fn end_ns(&self) -> u64 {
        self.end_ms * 1_000_000 + GRACE + SLACK_NS
    }
}

/// From the injector's deadline until it has spoken, in nanoseconds: others may have the CPU.
const SLACK_NS: u64 = 50_000_000;

/// Names of the workloads.
pub const WORKLOADS: [&str; 1] = ["mixed"];

impl CampaignScenario {
    /// A scenario that comes with Samsara, or, if `name` ends in `.toml`, one from a file. Returns its text, too.
    ///
    /// # Errors
    /// There is none of that name, or it is wrong: says what and where.
    pub fn named(name: &str) -> Result<(Self, String)> {
        let text = if name.ends_with(".toml") {
            std::fs::read_to_string(name).with_context(|| format!("reading {name}"))?
        } else {
            let names = || STOCK.map(|(name, _)| name).join(", ");
            let found = STOCK.iter().find(|(stock, _)| *stock == name);
            let found = found.with_context(|| {
                format!("no scenario {name:?}: there is {}, or a path that ends in .toml", names())
            })?;
            found.1.to_owned()
        };
        Ok((Self::parse(&text).with_context(|| format!("in the scenario {name}"))?, text))
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// Says what is wrong, with its line where the syntax is wrong or a key unknown.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        for model in self.models.keys() {
            Model::named(model)?;
        }
        let drawable = |weights: &BTreeMap<String, u32>| weights.values().any(|&weight| weight > 0);
        ensure!(drawable(&self.models), "`models` names none with a weight above 0");
        ensure!(drawable(&self.targets), "`targets` names none with a weight above 0");
        self.check_kernel()?;
        let [first, last] = self.window_ms;
        ensure!(first <= last, "`window_ms` must not end ({last}) before it begins ({first})");
        ensure!(
            first >= FIRST_MIN_MS,
            "`window_ms` begins at {first}: before {FIRST_MIN_MS} nothing is mounted and nobody is served"
        );
        let end = self.workload.end_ms;
        ensure!(last < end, "`window_ms` ends at {last}, the workload at {end}: nothing would be seen");
        ensure!(end <= END_MAX_MS, "`end_ms` is {end}, and must not be above {END_MAX_MS}");
        ensure!(self.workload.operations > 0, "`operations` must be above 0");
        if let Some(unknown) = self.without.iter().find(|name| !SWITCHES.contains(&name.as_str())) {
            bail!("`without` names {unknown:?}: what can be switched off is {}", SWITCHES.join(", "));
        }
        if let Some(Several { faults: [fewest, most], gap_us: [least, longest] }) = self.several {
            ensure!(
                (2..=SEVERAL_MAX).contains(&fewest) && (fewest..=SEVERAL_MAX).contains(&most),
                "`several.faults` is [{fewest}, {most}], and must be a range within 2 to {SEVERAL_MAX}"
            );
            ensure!(least <= longest, "`several.gap_us` must not end ({longest}) before it begins ({least})");
            ensure!(
                self.window_ms[1] * 1000 + most * longest < end * 1000,
                "`several` may go on until {} ms, the workload ends at {end}",
                self.window_ms[1] + most * longest / 1000
            );
        }
        if !WORKLOADS.contains(&self.workload.name.as_str()) {
            bail!("no workload {:?}: there is {}", self.workload.name, WORKLOADS.join(", "));
        }
        Ok(())
    }

    /// What the kernel is a target of, and nobody else.
    fn check_kernel(&self) -> Result<()> {
        let models = self.models();
        let models = |of_kernel: bool| {
            let is_drawn = |(model, weight): &(Model, u32)| {
                *weight > 0 && matches!(model, Model::Kernel(_)) == of_kernel
            };
            models.iter().any(is_drawn)
        };
        let targets = |kernel: bool| {
            self.targets.iter().any(|(name, weight)| *weight > 0 && (name == KERNEL) == kernel)
        };
        ensure!(
            models(true) == targets(true),
            "models `kernel/…` and the target `kernel` need each other: one of them is missing"
        );
        ensure!(
            models(false) == targets(false),
            "targets other than `kernel` and models other than `kernel/…` need each other: one of them is missing"
        );
        Ok(())
    }

    /// Most steps of a trial's plan.
    pub fn steps(&self) -> usize {
        self.several.as_ref().map_or(1, |several| several.faults[1] as usize)
    }

    /// First time at which a fault takes place, in nanoseconds of the board.
    pub const fn first_ns(&self) -> u64 {
        self.window_ms[0] * 1_000_000
    }

    /// Last time at which a fault takes place, in nanoseconds of the board.
    pub const fn last_ns(&self) -> u64 {
        self.window_ms[1] * 1_000_000
    }

    /// The models with their weights.
    pub fn models(&self) -> Vec<(Model, u32)> {
        let named = |(name, weight): (&String, &u32)| Some((Model::named(name).ok()?, *weight));
        self.models.iter().filter_map(named).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = STOCK[10].1;

    fn message(text: &str) -> String {
        format!("{:#}", CampaignScenario::parse(text).unwrap_err())
    }

    #[test]
    fn the_stock_is_right_and_named_like_its_files() {
        for (name, text) in STOCK {
            assert_eq!(CampaignScenario::parse(text).unwrap().name, name);
        }
        assert!(CampaignScenario::named("nothing").unwrap_err().to_string().contains("batch, behaviour"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(message(&format!("{TEXT}\n[more]\n")).contains("unknown field `more`"));
        assert!(
            message(&TEXT.replace("text/condition", "text/typo")).contains("no fault model \"text/typo\"")
        );
        let window = TEXT.lines().find(|line| line.starts_with("window_ms")).unwrap();
        assert!(message(&TEXT.replace(window, "window_ms = [9, 8]")).contains("before it begins"));
        assert!(message(&TEXT.replace(window, "window_ms = [3, 9]")).contains("nobody is served"));
        assert!(message(&TEXT.replace(window, "window_ms = [9, 99999]")).contains("nothing would be seen"));
        assert!(message(&TEXT.replace("\"mixed\"", "\"idle\"")).contains("no workload \"idle\""));
        let top = |key: &str| message(&TEXT.replace(window, &format!("{window}\n{key}")));
        assert!(top("without = [\"luck\"]").contains("what can be switched off is back-off, complaints"));
        assert!(message(&TEXT.replace("fs = 1", "kernel = 1")).contains("need each other"));
        assert!(
            message(&TEXT.replace("\"text/address\" = 1", "\"kernel/address\" = 1"))
                .contains("need each other")
        );
        let several = |faults: &str, gap: &str| {
            message(&format!("{TEXT}\n[several]\nfaults = {faults}\ngap_us = {gap}\n"))
        };
        assert!(several("[1, 3]", "[0, 9]").contains("must be a range within 2 to 64"));
        assert!(several("[2, 3]", "[9, 0]").contains("before it begins"));
        assert!(several("[2, 60]", "[0, 9000]").contains("may go on until 553 ms"));
    }
}
