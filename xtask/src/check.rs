//! `./x check`: formatting, clippy for the host and for the board, and tidy. All of them run, whatever fails first.
//!
//! Nothing is skipped: a lint that cannot run is a failure, because a skipped one would look like a clean one.

use anyhow::{Result, bail};
use clap::Args;

use crate::build::{boards, kernel_features};
use crate::tidy;
use crate::tools::{HOST_PROFILE, Package, Toolchain, run as run_tool};

/// Options of `./x check`.
#[derive(Args)]
pub struct Options {
    /// Only the house rules: no formatting, no clippy.
    #[arg(long)]
    tidy: bool,
}

/// Runs every check and fails if any did.
///
/// # Errors
/// Names the checks that failed; what they found is on the terminal.
pub fn run(tools: &Toolchain, options: &Options) -> Result<()> {
    let mut failed = Vec::new();
    let mut step = |name: &'static str, check: &dyn Fn() -> Result<()>| {
        eprintln!("== {name}");
        if let Err(error) = check() {
            eprintln!("{error:#}");
            failed.push(name);
        }
    };
    step("tidy", &|| tidy::check(tools));
    if !options.tidy {
        let packages = tools.packages()?;
        step("formatting", &|| formatting(tools));
        step("clippy, host", &|| clippy_host(tools));
        step("clippy, drivers' logic on the host", &|| clippy_libraries(tools, &packages));
        for board in boards(tools.root()) {
            step("clippy, board", &|| clippy_board(tools, &packages, &board));
        }
    }
    if !failed.is_empty() {
        bail!("check failed: {}", failed.join("; "));
    }
    eprintln!("check: all clean");
    Ok(())
}

fn formatting(tools: &Toolchain) -> Result<()> {
    run_tool(tools.host_cargo("fmt").args(["--all", "--check"]))
}

fn clippy_host(tools: &Toolchain) -> Result<()> {
    let mut command = tools.host_cargo("clippy");
    run_tool(command.args(["--profile", HOST_PROFILE, "--all-targets", "--", "-Dwarnings"]))
}

/// The libraries that run on the board and are tested on the host: here with their tests.
fn clippy_libraries(tools: &Toolchain, packages: &[Package]) -> Result<()> {
    let mut command = tools.host_cargo("clippy");
    command.args(["--profile", HOST_PROFILE, "--lib", "--tests"]);
    for package in packages.iter().filter(|package| !package.for_host && package.library_tested) {
        command.args(["--package", &package.name]);
    }
    run_tool(command.args(["--", "-Dwarnings"]))
}

/// What is built for a board, the board's own package and no other board's among it.
fn clippy_board(tools: &Toolchain, packages: &[Package], board: &str) -> Result<()> {
    let mut command = tools.target_cargo("clippy");
    for package in packages.iter().filter(|package| !package.for_host) {
        command.args(["--package", &package.name]);
    }
    command.args(["--features", &kernel_features(board)]);
    run_tool(command.args(["--", "-Dwarnings"]))
}
