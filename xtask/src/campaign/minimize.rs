//! Fewer faults that still end so.

use super::run::Setting;
use crate::tools::Toolchain;
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::process::ExitCode;
use test_harness::campaign::ledger;
use test_harness::campaign::minimize::minimize;

/// What `x campaign minimize` is told.
#[derive(clap::Args)]
pub struct MinimizeOptions {
    /// Folder of the campaign.
    folder: PathBuf,
    /// Number of the trial.
    #[arg(long)]
    trial: u64,
}

/// Runs parts of a trial, from resets, until nothing can be left out; says what is left, and writes it down.
///
/// # Errors
/// The trial is none of the campaign's or no failure, does not end as the ledger says, or could not take place.
pub fn run(tools: &Toolchain, options: &MinimizeOptions) -> Result<ExitCode> {
    let (folder, trial) = (&options.folder, options.trial);
    let lines = ledger::read(folder)?;
    let recorded = lines.iter().find(|line| line.trial == trial);
    let recorded =
        recorded.with_context(|| format!("the ledger in {} has no trial {trial}", folder.display()))?;
    ensure!(
        !recorded.outcome.is_success(),
        "trial {trial} is {}: there is no failure to find the faults of",
        recorded.outcome.name()
    );
    let (setting, _) = Setting::of_folder(tools, folder)?;
    let scratch = tempfile::tempdir().context("making a folder")?;
    let campaign = setting.campaign(scratch.path())?;
    let spec = campaign.spec(trial)?;
    let run = |part: &[usize]| campaign.run_spec(&spec.with_pieces(part), scratch.path(), false);
    let all: Vec<usize> = (0..spec.pieces()).collect();
    let whole = run(&all)?.line;
    if whole.outcome != recorded.outcome {
        bail!(
            "trial {trial} ends as {} now; the ledger says {}",
            whole.outcome.name(),
            recorded.outcome.name()
        );
    }
    let found = minimize(all.len(), |part| {
        let outcome = run(part)?.line.outcome;
        println!("  {} of {}: {}", part.len(), all.len(), outcome.name());
        Ok(outcome == recorded.outcome)
    })?;
    let least = run(&found)?.line;
    println!("{} of {} are enough for {}: {}", found.len(), all.len(), least.outcome.name(), least.fault);
    let path = folder.join(format!("minimal-{trial}.json"));
    let text =
        serde_json::to_string_pretty(&serde_json::json!({ "trial": trial, "pieces": found, "line": least }))?;
    std::fs::write(&path, text + "\n").with_context(|| format!("writing {}", path.display()))?;
    Ok(ExitCode::SUCCESS)
}
