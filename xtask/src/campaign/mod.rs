//! `./x campaign`: fault-injection campaigns, and what became of them.
//!
//! Exit codes: 0 every trial was stood, or both ledgers agree; 1 the command could not be carried out, or a replay differs; others
//! are those of [`test_harness::campaign::outcome::Outcome::exit_code`].

mod ablation;
mod minimize;
mod planted;
mod results;
mod run;
mod source;
mod story;

use crate::tools::Toolchain;
use anyhow::Result;
use clap::Subcommand;
use std::path::PathBuf;
use std::process::ExitCode;

/// What `x campaign` is told.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Scenarios, fault models and workloads.
    List {
        /// As JSON.
        #[arg(long)]
        json: bool,
    },
    /// Runs trials and writes their ledger.
    Run(run::RunOptions),
    /// Goes on with a campaign that was interrupted.
    Resume(run::ResumeOptions),
    /// Runs one trial of a campaign again, and compares.
    Replay(run::ReplayOptions),
    /// Finds fewer faults of a trial with several, or of a batch, that still end so.
    Minimize(minimize::MinimizeOptions),
    /// Plants bugs, one after the other, and fails if one of them is not caught.
    Planted(planted::PlantedOptions),
    /// Builds mutants of the source that no unit test notices into the system, and tries each.
    Source(source::SourceOptions),
    /// Joins the ledgers of shards.
    Merge {
        /// Folders of the shards.
        #[arg(required = true)]
        folders: Vec<PathBuf>,
        /// Folder of the whole.
        #[arg(long)]
        out: PathBuf,
    },
    /// Sums a ledger up.
    Report {
        /// Folder of the campaign.
        folder: PathBuf,
    },
    /// Compares the ledgers of two campaigns, trial by trial.
    Compare {
        /// Folder of one.
        one: PathBuf,
        /// Folder of the other.
        other: PathBuf,
    },
}

/// Carries the command out.
///
/// # Errors
/// It could not be carried out.
pub fn run(tools: &Toolchain, options: &Options) -> Result<ExitCode> {
    match &options.command {
        Command::List { json } => results::list(*json),
        Command::Run(options) => run::run(tools, options),
        Command::Resume(options) => run::resume(tools, options),
        Command::Replay(options) => run::replay(tools, options),
        Command::Minimize(options) => minimize::run(tools, options),
        Command::Planted(options) => planted::run(tools, options),
        Command::Source(options) => source::run(tools, options),
        Command::Merge { folders, out } => results::merge(folders, out),
        Command::Report { folder } => results::report(folder),
        Command::Compare { one, other } => results::compare(one, other),
    }
}
