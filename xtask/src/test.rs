//! `./x test`: every test of the project, all through cargo's test runner, so that the last lines are its summaries.
//!
//! Host tests come in two runs of cargo: the libraries of packages that otherwise build only for the board, then the
//! default members with everything they have. Tests that need the emulator are integration tests of `test-harness`, a
//! default member; [`prepare`] is where what they need is built and named to them through the environment. So every
//! manifest is built for every board on every run, and a defect in one is a failed test.
//!
//! The second run is about the default board. One more run for each other board repeats the tests that boot one, in their
//! quick form: long enumerations are about code that is the same on all boards. A soak repeats them in full.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Args;

use crate::build::{boards, build_system};
use crate::tools::{HOST_PROFILE, Toolchain, run as run_tool};

/// Options of `./x test`.
#[derive(Args)]
pub struct Options {
    /// Fewer random cases, no long campaign: under three minutes.
    #[arg(long, conflicts_with = "soak")]
    quick: bool,
    /// Also the tests marked as long, many random cases; the output is kept in out/.
    #[arg(long)]
    soak: bool,
    /// Only the tests that boot a board, on this one.
    #[arg(long)]
    board: Option<String>,
    /// Only the tests of this package that run on the host: those of a driver's logic, for example. No board is built for.
    #[arg(long, conflicts_with_all = ["board", "soak"])]
    package: Option<String>,
    /// Only tests whose name contains this.
    filter: Option<String>,
}

/// How much to test. Tests read the word from SAMSARA_TEST_DEPTH.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Depth {
    Quick,
    Full,
    Soak,
}

impl Depth {
    fn word(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
            Self::Soak => "soak",
        }
    }

    /// Where random cases begin: the same ones every time, so that a change that fails is the change that broke something;
    /// a soak draws others, and its log says which.
    fn proptest_seed(self) -> Result<String> {
        if self != Self::Soak {
            return Ok("1".into());
        }
        let seed = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs().to_string();
        eprintln!("random cases: PROPTEST_RNG_SEED={seed}");
        Ok(seed)
    }

    /// Random cases of each property test.
    fn proptest_cases(self) -> &'static str {
        match self {
            Self::Quick => "64",
            Self::Full => "512",
            Self::Soak => "20000",
        }
    }
}

/// Runs the tests and fails if any did; the runs after a failed one are made all the same.
///
/// # Errors
/// Says how many of the runs failed; what failed in them is on the terminal.
pub fn run(tools: &Toolchain, options: &Options) -> Result<()> {
    let depth = match (options.quick, options.soak) {
        (true, _) => Depth::Quick,
        (_, true) => Depth::Soak,
        _ => Depth::Full,
    };
    if let Some(package) = &options.package {
        return package_tests(tools, package, options.filter.as_deref());
    }
    let default = crate::run::machine(tools, options.board.as_deref())?.name;
    let others: Vec<String> = match options.board {
        Some(_) => Vec::new(),
        None => boards(tools.root()).into_iter().filter(|board| *board != default).collect(),
    };
    for board in std::iter::once(&default).chain(&others) {
        prepare(tools, board)?;
    }
    crate::irq_off::build_plugin(tools)?;
    let environment = environment(tools, depth)?;
    let mut runs = match options.board {
        Some(_) => vec![board_tests(tools, &default, depth)],
        None => vec![library_tests(tools)?, member_tests(tools)],
    };
    let quick = if depth == Depth::Soak { depth } else { Depth::Quick };
    runs.extend(others.iter().map(|board| board_tests(tools, board, quick)));
    let mut log = if depth == Depth::Soak { Some(soak_log(tools)?) } else { None };
    let mut failed = 0;
    for command in &mut runs {
        command.args(&options.filter).arg("--");
        if depth == Depth::Soak {
            command.arg("--include-ignored");
        }
        let given: Vec<OsString> = command.get_envs().map(|(name, _)| name.to_owned()).collect();
        command
            .envs(environment.iter().filter(|(name, _)| !given.iter().any(|other| other == name)).cloned());
        let outcome = match &mut log {
            Some(log) => run_logged(command, log),
            None => run_tool(command),
        };
        failed += usize::from(outcome.is_err());
    }
    ensure!(failed == 0, "{failed} of {} test runs failed", runs.len());
    Ok(())
}

/// The tests of one package's library.
fn package_tests(tools: &Toolchain, name: &str, filter: Option<&str>) -> Result<()> {
    let packages = tools.packages()?;
    let known = || packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ");
    ensure!(
        packages.iter().any(|package| package.name == name),
        "there is no package {name}: these are {}",
        known()
    );
    let mut command = tools.host_cargo("test");
    command.args(["--profile", HOST_PROFILE, "--lib", "--package", name]).args(filter);
    run_tool(&mut command)
}

/// Builds every system for a board.
fn prepare(tools: &Toolchain, board: &str) -> Result<()> {
    for manifest in manifests(tools)? {
        eprintln!("== building {} for {board}", manifest.display());
        build_system(tools, &manifest, board)?;
    }
    Ok(())
}

/// What the tests find in their environment: the emulator in SAMSARA_QEMU, the systems in SAMSARA_OUT (as
/// `<board>/<manifest>/kernel8.img` and so on), how much to test in SAMSARA_TEST_DEPTH.
fn environment(tools: &Toolchain, depth: Depth) -> Result<Vec<(&'static str, OsString)>> {
    Ok(vec![
        ("SAMSARA_QEMU", tools.qemu()?.into()),
        ("SAMSARA_OUT", tools.root().join("out").into()),
        ("SAMSARA_TEST_DEPTH", depth.word().into()),
        ("PROPTEST_CASES", depth.proptest_cases().into()),
        ("PROPTEST_RNG_SEED", depth.proptest_seed()?.into()),
    ])
}

/// The manifests of `system/`, relative to the workspace's root and sorted.
fn manifests(tools: &Toolchain) -> Result<Vec<PathBuf>> {
    let folder = Path::new("system");
    let entries = fs::read_dir(tools.root().join(folder)).context("reading system/")?;
    let names: Vec<OsString> = entries.map(|entry| Ok(entry?.file_name())).collect::<Result<_>>()?;
    let manifests = names.iter().map(|name| folder.join(name));
    let mut manifests: Vec<PathBuf> =
        manifests.filter(|path| path.extension() == Some("toml".as_ref())).collect();
    manifests.sort();
    ensure!(!manifests.is_empty(), "no manifest in system/");
    Ok(manifests)
}

/// Tests of libraries whose packages have binaries that build only for the board: drivers, above all.
fn library_tests(tools: &Toolchain) -> Result<Command> {
    let mut command = tools.host_cargo("test");
    command.args(["--profile", HOST_PROFILE, "--no-fail-fast", "--lib"]);
    for package in tools.packages()?.iter().filter(|package| !package.for_host && package.library_tested) {
        command.args(["--package", &package.name]);
    }
    Ok(command)
}

/// The tests that boot a board, on this one.
fn board_tests(tools: &Toolchain, board: &str, depth: Depth) -> Command {
    let mut command = tools.host_cargo("test");
    command.args(["--profile", HOST_PROFILE, "--no-fail-fast", "--package", "test-harness"]);
    command.args(["--test", "board", "--test", "damaged_image", "--test", "recovery"]);
    command.env("SAMSARA_BOARD", board).env("SAMSARA_TEST_DEPTH", depth.word());
    command
}

fn member_tests(tools: &Toolchain) -> Command {
    let mut command = tools.host_cargo("test");
    command.args(["--profile", HOST_PROFILE, "--no-fail-fast"]);
    command
}

/// Opens `out/soak-<seconds since 1970>.log`.
fn soak_log(tools: &Toolchain) -> Result<File> {
    let folder = tools.root().join("out");
    fs::create_dir_all(&folder)?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let path = folder.join(format!("soak-{seconds}.log"));
    eprintln!("the output is also written to {}", path.display());
    File::create(&path).with_context(|| format!("creating {}", path.display()))
}

/// Runs `command` with its standard output on the terminal and in `log`; cargo's own progress stays on the terminal.
fn run_logged(command: &mut Command, log: &mut File) -> Result<()> {
    let mut child = command.stdout(Stdio::piped()).spawn().context("starting cargo")?;
    let mut output = child.stdout.take().context("cargo without output")?;
    let mut buffer = [0; 4096];
    loop {
        let length = output.read(&mut buffer)?;
        if length == 0 {
            break;
        }
        std::io::stdout().write_all(&buffer[..length])?;
        log.write_all(&buffer[..length])?;
    }
    let status = child.wait()?;
    ensure!(status.success(), "cargo test: {status}");
    Ok(())
}
