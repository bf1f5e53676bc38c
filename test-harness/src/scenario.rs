//! Scenarios: what a run does to the system, as data in `scenarios/*.toml`.
//!
//! *Rule.* A scenario names and bounds; what is drawn from it is the plan's, and nothing here depends on a seed.

use abi::plan::Fault;
use abi::syscall::trigger;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a run does to the system.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Name.
    pub name: String,
    /// Component that works on the files.
    pub client: String,
    /// Component that carries out the plan.
    pub injector: String,
    /// Component that drives the console.
    pub console: String,
    /// Components that are failed, each by every fault.
    pub targets: Vec<String>,
    /// The faults, by name.
    pub faults: Vec<String>,
    /// Time of the board before the first row, in milliseconds.
    pub start_ms: u64,
    /// Shortest and longest time between two rows, in microseconds.
    pub gap_us: [u64; 2],
    /// See [`injector_core::parameter::SETTLE`], in microseconds.
    pub settle_us: u64,
    /// See [`injector_core::parameter::TRIGGER_LIMIT`], in microseconds.
    pub trigger_limit_us: u64,
    /// See [`injector_core::parameter::PAUSE`], in microseconds.
    pub pause_us: u64,
    /// Time after the last row at which the client ends by itself, in milliseconds.
    pub end_margin_ms: u64,
    /// Longest time of the board from injection to recovery, in milliseconds.
    pub recovery_limit_ms: u64,
    /// Which triggers each component can have.
    #[serde(default)]
    pub triggers: BTreeMap<String, Vec<Trigger>>,
    /// Two components at once.
    #[serde(default)]
    pub pair: Vec<Pair>,
    /// A server with a request that it does not answer.
    #[serde(default)]
    pub stuck: Vec<Stuck>,
    /// The death of root.
    pub root: Option<RootDeath>,
}

/// What a fault waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Trigger {
    /// A request received.
    Received,
    /// A message sent.
    Sent,
}

impl Trigger {
    /// The number that the plan has for it.
    pub const fn code(self) -> u64 {
        match self {
            Self::Received => trigger::RECEIVED,
            Self::Sent => trigger::SENT,
        }
    }
}

/// Two components of which the second fails while the first restarts.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    /// First and second.
    pub targets: [String; 2],
    /// Faults to draw from; both suffer the same one.
    pub faults: Vec<String>,
    /// Shortest and longest time from the first to the second, in microseconds.
    pub delay_us: [u64; 2],
    /// Rows of this kind.
    pub count: u32,
}

/// A server that got a request and does not answer.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stuck {
    /// The server.
    pub target: String,
    /// What it does instead of answering.
    pub fault: String,
}

/// The death that resets the board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootDeath {
    /// The component whose death it is.
    pub target: String,
    /// How it dies.
    pub fault: String,
}

const DEMO: &str = include_str!("../scenarios/demo.toml");

impl Scenario {
    /// The demo.
    ///
    /// # Errors
    /// Fails when its file is wrong, which a test prevents.
    pub fn demo() -> Result<Self> {
        Self::parse(DEMO).context("in scenarios/demo.toml")
    }

    /// Reads a scenario.
    ///
    /// # Errors
    /// Says what is wrong with it, with its line where the syntax is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let scenario: Self = toml::from_str(text)?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> Result<()> {
        for name in self.all_faults() {
            fault(name)?;
        }
        let ranges = self.pair.iter().map(|pair| pair.delay_us).chain([self.gap_us]);
        for [first, last] in ranges {
            if first > last {
                bail!("a range must not end ({last}) before it begins ({first})");
            }
        }
        if self.pair.iter().any(|pair| pair.faults.is_empty()) {
            bail!("a pair needs faults to draw from");
        }
        Ok(())
    }

    fn all_faults(&self) -> impl Iterator<Item = &str> {
        let pairs = self.pair.iter().flat_map(|pair| &pair.faults);
        let stuck = self.stuck.iter().map(|stuck| &stuck.fault);
        let root = self.root.iter().map(|root| &root.fault);
        self.faults.iter().chain(pairs).chain(stuck).chain(root).map(String::as_str)
    }
}

/// The fault with this name.
///
/// # Errors
/// Says which faults there are.
pub fn fault(name: &str) -> Result<Fault> {
    let names = || Fault::ALL.map(Fault::name).join(", ");
    Fault::from_name(name).with_context(|| format!("no fault {name:?}: there is {}", names()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_fails_everything_but_root_in_every_way_that_ends_in_a_death() {
        let demo = Scenario::demo().unwrap();
        assert_eq!(demo.faults.len(), Fault::FAILURES.len());
        assert!(!demo.targets.contains(&"root".to_owned()));
        assert_eq!(demo.root.unwrap().target, "root");
    }

    #[test]
    fn mistakes_are_named() {
        let wrong = DEMO.replace("\"leak\",", "\"leek\",");
        assert!(Scenario::parse(&wrong).unwrap_err().to_string().contains("leek"));
        let wrong = DEMO.replace("[20000, 45000]", "[45000, 20000]");
        assert!(Scenario::parse(&wrong).is_err());
        assert!(Scenario::parse(&format!("surprise = 1\n{DEMO}")).is_err());
    }
}
