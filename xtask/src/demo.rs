//! `./x demo`: boots the board in the emulator, fails every component in every way, and judges the outcome from outside.
//!
//! Exit codes: 0 everything came back with its data intact; 1 the run could not take place; others are
//! [`test_harness::oracle::Kind`].

use crate::build::build_system;
use crate::json_file;
use crate::tools::Toolchain;
use anyhow::Result;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use test_harness::evidence::log;
use test_harness::oracle::Verdict;
use test_harness::plan::draw;
use test_harness::report::json;
use test_harness::report::table::Table;
use test_harness::scenario::Scenario;
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};
use test_harness::target::{Lock, Machine};
use test_harness::trial::{self, Trial};

/// The manifest that the demo runs.
const MANIFEST: &str = "system/demo.toml";

/// What `x demo` is told.
#[derive(clap::Args)]
pub struct Options {
    /// Seed of order, instants and contents: the same seed gives the same trace, bit for bit.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Writes the result as JSON to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The emulated board; the default is the one whose file in qemu/ says so.
    #[arg(long)]
    board: Option<String>,
    /// Longest time of this computer, in seconds.
    #[arg(long, default_value_t = 900)]
    limit: u64,
}

/// Builds, runs, judges.
///
/// # Errors
/// The demo could not be run.
pub fn run(tools: &Toolchain, options: &Options) -> Result<ExitCode> {
    json_file::check(options.json.as_deref())?;
    let machine = crate::run::machine(tools, options.board.as_deref())?;
    let built = build_system(tools, MANIFEST.as_ref(), &machine.name)?;
    let system = System::in_folder(&built.folder)?;
    let folder = built.folder.join("run");
    let card = folder.join("card.img");
    let _folder = Lock::folder(&folder)?;
    card::make(&card, CARD_BYTES)?;
    let _card = Lock::card(&card)?;
    let (verdict, elapsed) = trial(&machine, &system, options, &folder, &card)?;
    for line in log::kernel_panics(&system, &folder.join("evidence.bin"))? {
        println!("{line}");
    }
    // First what the run has shown: a file that cannot be written must not lose it.
    summary(&machine, &verdict, options, elapsed);
    let text = serde_json::to_string_pretty(&json::result(&system, options.seed, &verdict))?;
    json_file::write(options.json.as_deref(), &text)?;
    Ok(verdict.failure().map_or(ExitCode::SUCCESS, |kind| ExitCode::from(kind as u8)))
}

fn trial(
    machine: &Machine,
    system: &System,
    options: &Options,
    folder: &std::path::Path,
    card: &std::path::Path,
) -> Result<(Verdict, Duration)> {
    let scenario = Scenario::demo()?;
    let plan = draw(&scenario, system, options.seed)?;
    println!("{}: {} rows of faults, seed {}", machine.name, plan.rows.len(), options.seed);
    let limit = Duration::from_secs(options.limit);
    let trial = Trial {
        machine,
        system,
        scenario: &scenario,
        plan: &plan,
        seed: options.seed,
        card,
        folder,
        limit,
        extra: &[],
    };
    let mut table = Table::on_stdout();
    table.begin()?;
    let begun = Instant::now();
    let verdict = trial::run(&trial, &mut |oracle: &_| Ok(table.update(oracle)?))?;
    table.end(&verdict, &|slot| system.name(slot))?;
    Ok((verdict, begun.elapsed()))
}

fn summary(machine: &Machine, verdict: &Verdict, options: &Options, elapsed: Duration) {
    if let Some(ns) = verdict.boot_ns {
        println!("from power-on to all components ready: {:.1} ms of the board's time", ns as f64 / 1e6);
    }
    println!("e2fsck -fn: {}", if verdict.fsck_clean { "clean" } else { "NOT CLEAN" });
    println!("trace hash {}", verdict.trace_hash);
    println!("the same again: ./x demo --board {} --seed {}", machine.name, options.seed);
    match verdict.failure() {
        None => {
            println!("ok: everything came back with its data intact, after {:.0} s", elapsed.as_secs_f64());
        }
        Some(kind) => println!("FAILED: {} (exit code {})", kind.name(), kind as u8),
    }
}
