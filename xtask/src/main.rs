//! The build's commands, as `./x COMMAND` runs them: reads the command line and dispatches, one module per command.
//!
//! A command lives in its own module and gets the tools from [`tools::Toolchain`]: no other module starts a compiler or
//! chooses its flags, so that what CI builds, what a developer builds and what is measured are the same bytes.
#![forbid(unsafe_code)]

mod baselines;
mod bench;
mod build;
mod campaign;
mod check;
mod debugger;
mod demo;
mod image;
mod irq_off;
mod json_file;
mod log;
mod manifest;
mod new;
mod patched;
mod run;
mod test;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and runs Samsara.
#[derive(Parser)]
#[command(name = "x", bin_name = "./x", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

// Every command also has a line in the list at the head of `x`; tidy compares the two.
#[derive(Subcommand)]
enum Command {
    /// What operations, a restart and a boot cost, in guest instructions.
    Bench(bench::Options),
    /// Builds the system of a manifest into out/.
    Build(build::Options),
    /// Fault-injection campaigns: thousands of trials, each of which can be had again.
    Campaign(campaign::Options),
    /// Formatting, lints of host and target code, and the house rules.
    Check(check::Options),
    /// Fails every component in every way, and judges the outcome from outside.
    Demo(demo::Options),
    /// The log of the last run: records with file and line, deaths with backtraces.
    Log(log::Options),
    /// Makes a new driver or a new program from a template, or removes it.
    New(new::Options),
    /// Boots the interactive system on this terminal, in real time.
    Run(run::Options),
    /// Every test: host, emulator.
    Test(test::Options),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tools::Toolchain::from_env().and_then(|tools| match arguments.command {
        Command::Bench(options) => bench::run(&tools, &options).map(succeeded),
        Command::Build(options) => build::run(&tools, &options).map(succeeded),
        Command::Campaign(options) => campaign::run(&tools, &options),
        Command::Check(options) => check::run(&tools, &options).map(succeeded),
        Command::Demo(options) => demo::run(&tools, &options),
        Command::Log(options) => log::run(&tools, &options),
        Command::New(options) => new::run(&tools, &options),
        Command::Run(options) => run::run(&tools, &options),
        Command::Test(options) => test::run(&tools, &options).map(succeeded),
    });
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The code of a command that either succeeds or fails.
const fn succeeded((): ()) -> ExitCode {
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_of_a_command_shows_what_is_typed() {
        for command in ["bench", "build", "campaign", "check", "demo", "log", "run", "test"] {
            let help = Arguments::try_parse_from(["target/host/xtask", command, "--help"])
                .err()
                .unwrap()
                .to_string();
            assert!(help.contains(&format!("Usage: ./x {command}")), "{help}");
        }
    }
}
