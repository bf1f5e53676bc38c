//! `./x new`: makes what a new driver or program needs, and removes it again.
//!
//! *Rule.* Everything is worked out and checked before the first byte is written, and an error while writing takes back
//! what was written: the tree has the whole thing or nothing of it.
//!
//! One module for each thing that can be made; [`package`] is what they have in common, [`name`] says which names are free,
//! [`edit`] changes texts and [`tree`] files.

mod app;
mod driver;
mod edit;
mod name;
mod package;
mod tree;

use std::process::ExitCode;

use anyhow::Result;

use crate::tools::Toolchain;

/// What `x new` is told.
#[derive(clap::Args)]
pub struct Options {
    #[command(subcommand)]
    what: What,
}

/// What can be made.
#[derive(clap::Subcommand)]
enum What {
    /// A driver in three layers, with tests, in the workspace, in system/shell.toml and in the shell's `ask`.
    Driver(driver::Options),
    /// A program for the card, built with `userlib`, which `run NAME` at the shell starts.
    App(app::Options),
}

/// Makes it, or removes it.
///
/// # Errors
/// Nothing was changed; the error names the reason and the remedy.
pub fn run(tools: &Toolchain, options: &Options) -> Result<ExitCode> {
    match &options.what {
        What::Driver(options) => driver::run(tools.root(), options)?,
        What::App(options) => app::run(tools.root(), options)?,
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests;
