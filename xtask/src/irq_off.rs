//! The row `irq_off_max` of `./x bench`: the longest section of the kernel in which no interrupt can be taken.
//!
//! *Rule.* The emulator is watched from outside, while it runs the very systems of the other rows, and the demo with all its
//! deaths and restarts; `test-harness/plugin` says what a section is. *Why.* No component can measure it: it is asleep or
//! stopped while it lasts.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use test_harness::evidence::symbols::Images;
use test_harness::plan::draw;
use test_harness::scenario::Scenario;
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};
use test_harness::target::sections::{Section, Watch};
use test_harness::target::{Lock, Machine};
use test_harness::trial::{self, Trial};

use crate::tools::{HOST_PROFILE, Toolchain, run as run_tool};

/// The demo's seed.
const SEED: u64 = 1;

/// Sections and functions that are named.
const NAMED: usize = 4;

/// Builds the emulator's plugin.
///
/// # Errors
/// Cargo fails.
pub fn build_plugin(tools: &Toolchain) -> Result<()> {
    let mut command = tools.host_cargo("build");
    run_tool(command.args(["--quiet", "--profile", HOST_PROFILE, "--package", "sections"]))
}

/// The longest sections of the demo, and its trace hash.
///
/// # Errors
/// The demo could not be run, or failed.
pub fn of_demo(
    machine: &Machine,
    system: &System,
    plugin: &Path,
    limit: Duration,
) -> Result<(Vec<Section>, String)> {
    let folder = system.folder.join("bench");
    let _folder = Lock::folder(&folder)?;
    let card = folder.join("card.img");
    card::make(&card, CARD_BYTES)?;
    let _card = Lock::card(&card)?;
    let scenario = Scenario::demo()?;
    let plan = draw(&scenario, system, SEED)?;
    let watch = Watch::new(plugin, &folder);
    let trial = Trial {
        machine,
        system,
        scenario: &scenario,
        plan: &plan,
        seed: SEED,
        card: &card,
        folder: &folder,
        limit,
        extra: &watch.arguments(),
    };
    let verdict = trial::run(&trial, &mut |_: &_| Ok(()))?;
    ensure!(verdict.failure().is_none(), "the demo failed while it was watched: {:?}", verdict.failure());
    Ok((watch.sections()?, verdict.trace_hash.clone()))
}

/// The longest sections in words: their lengths, where they begin and end, and what takes most of them.
pub fn describe(system: &System, sections: &[Section]) -> Vec<String> {
    let mut images = Images::of(system);
    let mut function = |address: u64| -> String {
        let build = system.kernel_build_id.as_deref().and_then(test_harness::evidence::symbols::parse_id);
        let image = images.by_id(build.unwrap_or_default());
        let names = image.map_or_else(|_| Vec::new(), |image| image.functions(address, false));
        let outermost = names.last().cloned().unwrap_or_else(|| format!("{address:#x}"));
        outermost.split(" at ").next().unwrap_or_default().to_owned()
    };
    let mut lines = Vec::new();
    for section in sections.iter().take(NAMED) {
        let mut parts: BTreeMap<String, u64> = BTreeMap::new();
        for (&address, count) in &section.counts {
            *parts.entry(function(address)).or_default() += count;
        }
        let mut parts: Vec<(String, u64)> = parts.into_iter().collect();
        parts.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), name.clone()));
        let parts: Vec<String> =
            parts.iter().take(NAMED).map(|(name, count)| format!("{name} {count}")).collect();
        let (first, last) = (function(section.first), function(section.last));
        lines.push(format!("{} from {first} to {last}: {}", section.length(), parts.join(", ")));
    }
    lines
}
