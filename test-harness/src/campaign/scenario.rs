//! Scenarios of campaigns: what is drawn, and from which ranges, as data in `scenarios/campaign/*.toml`.
//!
//! *Rule.* A scenario names and bounds; a trial is drawn from it, a seed and a number ([`super::spec`]).

use super::work::{WORKLOADS, WorkKind};
use crate::fault::{KERNEL, Model};
use abi::syscall::trigger;
use anyhow::{Context, Result, bail, ensure};
use injector_core::GRACE;
use serde::de::Error;
use serde::{Deserialize, Deserializer};
use std::collections::BTreeMap;

/// The scenarios that come with Samsara: name and text.
pub const STOCK: [(&str, &str); 20] = [
    ("batch", include_str!("../../scenarios/campaign/batch.toml")),
    ("behaviour", include_str!("../../scenarios/campaign/behaviour.toml")),
    ("block", include_str!("../../scenarios/campaign/block.toml")),
    ("combinations", include_str!("../../scenarios/campaign/combinations.toml")),
    ("console", include_str!("../../scenarios/campaign/console.toml")),
    ("device", include_str!("../../scenarios/campaign/device.toml")),
    ("enumeration", include_str!("../../scenarios/campaign/enumeration.toml")),
    ("files", include_str!("../../scenarios/campaign/files.toml")),
    ("interrupts", include_str!("../../scenarios/campaign/interrupts.toml")),
    ("ipc", include_str!("../../scenarios/campaign/ipc.toml")),
    ("kernel", include_str!("../../scenarios/campaign/kernel.toml")),
    ("medium", include_str!("../../scenarios/campaign/medium.toml")),
    ("power", include_str!("../../scenarios/campaign/power.toml")),
    ("rate", include_str!("../../scenarios/campaign/rate.toml")),
    ("recovery", include_str!("../../scenarios/campaign/recovery.toml")),
    ("root", include_str!("../../scenarios/campaign/root.toml")),
    ("shared", include_str!("../../scenarios/campaign/shared.toml")),
    ("shared-clients", include_str!("../../scenarios/campaign/shared-clients.toml")),
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
    #[serde(deserialize_with = "pair")]
    pub window_ms: [u64; 2],
    /// Components that faults are put into, with their weights.
    pub targets: BTreeMap<String, u32>,
    /// Fault models, with their weights.
    pub models: BTreeMap<String, u32>,
    /// More than one fault in a trial.
    #[serde(default)]
    pub several: Option<Several>,
    /// The fault takes place while somebody is restarted.
    #[serde(default)]
    pub recovery: Option<Recovery>,
    /// Trials go through the messages of their targets one after the other.
    #[serde(default)]
    pub enumeration: Option<Enumeration>,
    /// What is switched off, to see what it buys.
    #[serde(default)]
    pub without: Vec<String>,
}

/// Two numbers, and no third.
fn pair<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u64; 2], D::Error> {
    let numbers = Vec::deserialize(deserializer)?;
    let count = numbers.len();
    let pair = numbers.try_into().ok();
    pair.ok_or_else(|| D::Error::custom(format!("{count} numbers, and must be two: [first, last]")))
}

/// Trials with more than one fault: a table of their own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Several {
    /// Fewest and most faults in a trial.
    #[serde(deserialize_with = "pair")]
    pub faults: [u64; 2],
    /// Time between one and the next, in microseconds: some tens fall into the restart of the one before.
    #[serde(deserialize_with = "pair")]
    pub gap_us: [u64; 2],
}

/// Trials whose fault takes place during a restart: in who restarts, in who waits for it, or in what the next incarnation is made
/// of. A table of their own, since the restart begins with a kill.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recovery {
    /// Components that are killed. What outlives a component (`state/checkpoint-…` and so on) is changed in the one that is killed.
    pub of: Vec<String>,
}

/// Trials whose fault waits for a message that is counted by the trial's number, and not drawn: message `first + every * K` of its
/// target in trial K, counted from the time that is drawn.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enumeration {
    /// Which messages are counted.
    pub of: Messages,
    /// Number of the message in trial 0; the first is 1.
    pub first: u32,
    /// Every how many.
    pub every: u32,
}

/// Messages of a component.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Messages {
    /// Requests that it receives.
    Received,
    /// Messages that it sends: requests and answers.
    Sent,
}

impl Enumeration {
    /// What the fault of this trial waits for: a constant of [`trigger`], and how often. `None`: there is no such number.
    pub fn trigger(&self, trial: u64) -> Option<(u64, u32)> {
        let count = u64::from(self.every).checked_mul(trial)?.checked_add(self.first.into())?;
        let kind = match self.of {
            Messages::Received => trigger::RECEIVED,
            Messages::Sent => trigger::SENT,
        };
        Some((kind, u32::try_from(count).ok()?))
    }
}

/// What can be switched off.
pub const SWITCHES: [&str; 7] =
    ["back-off", "checkpoint", "complaints", "deduplication", "heartbeat", "integrity", "poison-limit"];

/// The component that lies about blocks.
const INTERPOSER: &str = "interposer";

/// Most faults in a trial.
const SEVERAL_MAX: u64 = 64;

/// The work that goes on while faults take place.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// Name, of [`WORKLOADS`].
    pub name: String,
    /// Component that does the work, or that comes to its end last; the others of `shared` are those with the same image.
    pub client: String,
    /// Component that carries out the plan.
    pub injector: String,
    /// Component that drives the console.
    pub console: String,
    /// Operations of each client, after which it comes to its end; then the client unmounts.
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
        self.check_medium()?;
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
        self.check_recovery()?;
        self.check_enumeration()?;
        let is_of_one = matches!(WorkKind::named(&self.workload.name), Some(WorkKind::One(_)));
        let resets = |(model, weight): &(Model, u32)| *weight > 0 && matches!(model, Model::PowerCut);
        ensure!(
            !is_of_one || !self.models().iter().any(resets) && !self.targets.contains_key("root"),
            "the workload {} does not outlast a reset of the board: no `power/…` and no target `root` with it",
            self.workload.name
        );
        if WorkKind::named(&self.workload.name).is_none() {
            bail!("no workload {:?}: there is {}", self.workload.name, WORKLOADS.join(", "));
        }
        Ok(())
    }

    /// What can take place during a restart.
    fn check_recovery(&self) -> Result<()> {
        let Some(Recovery { of }) = &self.recovery else { return Ok(()) };
        ensure!(
            self.several.is_none(),
            "`recovery` and `several` are two kinds of trials: one of them is too many"
        );
        ensure!(!of.is_empty(), "`recovery.of` names nobody");
        let is_target = |name: &String| self.targets.get(name).is_some_and(|weight| *weight > 0);
        if let Some(other) = of.iter().find(|name| !is_target(name)) {
            bail!("`recovery.of` names {other:?}, which is none of the `targets`");
        }
        let unfit = self.models().into_iter().find(|(model, weight)| *weight > 0 && !model.fits_recovery());
        if let Some((model, _)) = unfit {
            bail!(
                "`recovery` has models that wait for an instruction or for a read: text/…, state/…; {model} is none"
            );
        }
        Ok(())
    }

    /// What can wait for a message, and whose.
    fn check_enumeration(&self) -> Result<()> {
        let Some(enumeration) = &self.enumeration else { return Ok(()) };
        ensure!(
            self.several.is_none() && self.recovery.is_none(),
            "`enumeration` is of trials with one fault: `several` and `recovery` are others"
        );
        ensure!(
            enumeration.first > 0 && enumeration.every > 0,
            "`enumeration.first` and `enumeration.every` must be above 0"
        );
        let unfit = self.models().into_iter().find(|(model, _)| !matches!(model, Model::Behaviour(_)));
        if let Some((model, _)) = unfit {
            bail!("`enumeration` has models behaviour/… only, which wait for messages; {model} is none");
        }
        if let Some(name) = self.targets.keys().find(|name| is_called_by_nobody(name)) {
            bail!("`enumeration` has targets that get messages from clients: {name:?} does not");
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

    /// Who lies about blocks is the interposer, and it does nothing else on order.
    fn check_medium(&self) -> Result<()> {
        let medium = |model: &Model| matches!(model, Model::Medium(_));
        let mut drawn = self.models().into_iter().filter(|(_, weight)| *weight > 0);
        if drawn.any(|(model, _)| medium(&model)) {
            let others = self.targets.iter().find(|(name, weight)| **weight > 0 && *name != INTERPOSER);
            ensure!(
                others.is_none() && self.models().iter().all(|(model, weight)| *weight == 0 || medium(model)),
                "models `medium/…` are for the target `{INTERPOSER}` (manifest \"campaign-medium\"), and for no other together with it"
            );
        }
        Ok(())
    }

    /// Most steps of a trial's plan.
    pub fn steps(&self) -> usize {
        let several = self.several.as_ref().map_or(1, |several| several.faults[1] as usize);
        several.max(1 + usize::from(self.recovery.is_some()))
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

/// RS is called by nobody but its monitor, and calls nobody; root is called by nobody at all.
pub fn is_called_by_nobody(component: &str) -> bool {
    matches!(component, "rs" | "root")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = include_str!("../../scenarios/campaign/text.toml");

    fn message(text: &str) -> String {
        format!("{:#}", CampaignScenario::parse(text).unwrap_err())
    }

    #[test]
    fn a_range_has_two_ends_and_lies_are_the_interposers() {
        let three = message(&TEXT.replace("window_ms = [8, 13]", "window_ms = [8, 13, 20]"));
        assert!(three.contains("3 numbers"), "{three}");
        let lies = TEXT.replace("\"text/address\" = 1", "\"medium/rot\" = 1");
        assert!(message(&lies).contains("for the target `interposer`"), "{}", message(&lies));
    }

    #[test]
    fn the_stock_is_right_and_named_like_its_files() {
        for (name, text) in STOCK {
            assert_eq!(CampaignScenario::parse(text).unwrap().name, name);
        }
        assert!(CampaignScenario::named("nothing").unwrap_err().to_string().contains("batch, behaviour"));
    }

    #[test]
    fn messages_are_counted_by_the_number_of_the_trial() {
        let enumeration = Enumeration { of: Messages::Sent, first: 2, every: 3 };
        assert_eq!(
            [0, 1, 5].map(|trial| enumeration.trigger(trial)),
            [2, 5, 17].map(|count| Some((trigger::SENT, count)))
        );
        assert_eq!(enumeration.trigger(u64::MAX), None);
        assert_eq!(enumeration.trigger(1 << 32), None);
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
        assert!(
            top("without = [\"luck\"]")
                .contains("what can be switched off is back-off, checkpoint, complaints")
        );
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
        let recovery = "\n[recovery]\nof = [\"block\"]\n";
        assert!(
            message(&format!("{TEXT}{recovery}\n[several]\nfaults = [2, 3]\ngap_us = [0, 9]\n"))
                .contains("too many")
        );
        assert!(message(&format!("{TEXT}\n[recovery]\nof = []\n")).contains("names nobody"));
        assert!(message(&format!("{TEXT}\n[recovery]\nof = [\"root\"]\n")).contains("none of the `targets`"));
        let enumeration = "\n[enumeration]\nof = \"received\"\nfirst = 1\nevery = 2\n";
        assert!(message(&format!("{TEXT}{enumeration}")).contains("is none"));
        let (_, stock) = STOCK.iter().find(|(name, _)| *name == "enumeration").unwrap();
        assert!(message(&stock.replace("first = 1", "first = 0")).contains("above 0"));
        assert!(message(&stock.replace("\nfs = 1", "\nrs = 1")).contains("\"rs\" does not"));
        assert!(message(&stock.replace("\"received\"", "\"lost\"")).contains("unknown variant `lost`"));
        let kill = format!("{TEXT}\"behaviour/kill\" = 1\n{recovery}");
        assert!(message(&kill).contains("behaviour/kill is none"));
    }
}
