//! Whether the unit tests notice a change: those of one package, built and run in the copy of the tree.
//!
//! *Role.* What `./x test` runs of a package without a board: all its test programs if it is made for the host, those of its library
//! otherwise. Random cases begin where those of `./x test --quick` do, so that the same change has the same fate every time.
//!
//! *Rule.* A test program of a change may go on for ever or take all memory that there is: it gets so much of both, and no more. What
//! it may take of the processor follows from what it takes without the change. That is counted in the processor's time, not by the clock:
//! what becomes of a mutant must not depend on what else the computer does.

use crate::tools::{HOST_PROFILE, Package, Toolchain};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How many times the processor's time of the unchanged tests those of a change may take.
const TIMES: u64 = 3;

/// What they may take in any case, in seconds of the processor's time.
const LEAST: u64 = 10;

/// By the clock, all programs of a package together: who waits for ever takes no processor's time.
const STANDSTILL: Duration = Duration::from_mins(15);

/// What a program is ended with that took all the time it may take (signal(7)).
const SIGXCPU: i32 = 24;

/// An hour, in seconds.
const HOUR: u64 = 3600;

/// Linux counts a process's time for others in these parts of a second (`USER_HZ`).
const TICKS: u64 = 100;

/// Between two looks at a test program.
const LOOK: Duration = Duration::from_millis(20);

/// Memory of a test program, in KiB.
const MEMORY_KIB: u64 = 4 << 20;

/// What tests find in their environment. The last keeps what an allocator reserves for each thread from counting as taken.
const ENVIRONMENT: [(&str, &str); 4] = [
    ("SAMSARA_TEST_DEPTH", "quick"),
    ("PROPTEST_CASES", "64"),
    ("PROPTEST_RNG_SEED", "1"),
    ("MALLOC_ARENA_MAX", "2"),
];

/// What the tests say of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They do not build: the compiler's first words.
    DoesNotBuild(String),
    /// One fails.
    Caught,
    /// They do not come to their end.
    TimedOut,
    /// All pass.
    Survived,
}

/// The unit tests of some packages.
#[derive(Debug)]
pub struct HostTests(BTreeMap<String, Tests>);

#[derive(Debug)]
struct Tests {
    /// Which of the package's targets, as cargo is told.
    which: &'static str,
    /// Files that they are compiled from.
    sources: BTreeSet<String>,
    /// Of each program, in seconds of the processor's time.
    limit: u64,
}

/// A test program.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Program {
    executable: PathBuf,
    /// Where cargo starts it.
    folder: PathBuf,
}

impl HostTests {
    /// Builds and runs those of the unchanged copy.
    ///
    /// # Errors
    /// One of them fails without any change, or they cannot be built.
    pub fn of_unchanged(tools: &Toolchain, names: &[&str]) -> Result<Self> {
        let packages = tools.packages()?;
        let mut tests = BTreeMap::new();
        for name in names {
            let package = packages.iter().find(|package| package.name == *name);
            let package = package.with_context(|| format!("there is no package {name}"))?;
            if let Some(which) = which(package) {
                tests.insert((*name).to_owned(), Tests::of_unchanged(tools, name, which)?);
            }
        }
        Ok(Self(tests))
    }

    /// Whether a test of the package is compiled from this file.
    pub fn compile(&self, package: &str, file: &str) -> bool {
        self.0.get(package).is_some_and(|tests| tests.sources.contains(file))
    }

    /// What the tests of the package say of what the copy is now.
    ///
    /// # Errors
    /// A test program could not be started.
    pub fn judge(&self, tools: &Toolchain, package: &str) -> Result<Verdict> {
        let tests = self.0.get(package).with_context(|| format!("{package} has no tests"))?;
        match build(tools, package, tests.which)? {
            Ok(programs) => run(&programs, tests.limit, STANDSTILL),
            Err(why) => Ok(Verdict::DoesNotBuild(why)),
        }
    }
}

/// Which tests a package has.
fn which(package: &Package) -> Option<&'static str> {
    match package {
        Package { for_host: true, .. } => Some("--tests"),
        Package { library_tested: true, .. } => Some("--lib"),
        _ => None,
    }
}

impl Tests {
    fn of_unchanged(tools: &Toolchain, name: &str, which: &'static str) -> Result<Self> {
        let programs = match build(tools, name, which)? {
            Ok(programs) => programs,
            Err(why) => bail!("the tests of {name} do not build without any change: {why}"),
        };
        let mut sources = BTreeSet::new();
        for program in &programs {
            let path = program.executable.with_extension("d");
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            sources.extend(sources_of(&text, tools.root()));
        }
        ensure!(!sources.is_empty(), "the tests of {name} are compiled from nothing");
        let before = time_of_children()?;
        let verdict = run(&programs, HOUR, Duration::from_secs(HOUR))?;
        ensure!(
            verdict == Verdict::Survived,
            "the tests of {name} fail without any change: `./x test --quick` says more"
        );
        Ok(Self { which, sources, limit: LEAST.max((time_of_children()? - before) * TIMES) })
    }
}

/// The processor's time of all programs that this one has waited for, in seconds, rounded up.
fn time_of_children() -> Result<u64> {
    let text = fs::read_to_string("/proc/self/stat").context("reading /proc/self/stat")?;
    seconds_of_children(&text).with_context(|| format!("/proc/self/stat is not understood: {text}"))
}

/// `cutime` and `cstime` (proc(5)): the words 14 and 15 behind the program's name, which may have spaces and brackets itself.
fn seconds_of_children(stat: &str) -> Option<u64> {
    let mut words = stat.rsplit_once(") ")?.1.split(' ').skip(13).map(|word| word.parse::<u64>().ok());
    Some((words.next()?? + words.next()??).div_ceil(TICKS))
}

/// The sources that a file of dependencies names, relative to the root.
fn sources_of(text: &str, root: &Path) -> BTreeSet<String> {
    let root = format!("{}/", root.display());
    let words = text.split_whitespace().map(|word| word.trim_end_matches(':'));
    words
        .filter(|word| word.ends_with(".rs"))
        .map(|word| word.strip_prefix(&root).unwrap_or(word).to_owned())
        .collect()
}

/// Builds test programs; or what the compiler says first.
fn build(tools: &Toolchain, package: &str, which: &str) -> Result<Result<Vec<Program>, String>> {
    let mut command = tools.host_cargo("test");
    command.args(["--profile", HOST_PROFILE, which, "--package", package]);
    command.args(["--quiet", "--no-run", "--message-format=json-render-diagnostics"]);
    let output = command.output().with_context(|| format!("starting {command:?}"))?;
    if output.status.success() {
        return Ok(Ok(programs(&String::from_utf8_lossy(&output.stdout))));
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().find(|line| line.starts_with("error")).unwrap_or("it does not say why");
    Ok(Err(first.to_owned()))
}

/// The test programs among cargo's messages.
fn programs(messages: &str) -> Vec<Program> {
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let program = |message: Value| {
        let executable = message["executable"].as_str().filter(|_| message["profile"]["test"] == true)?;
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
        Some(Program { executable: executable.into(), folder: folder.into() })
    };
    messages.filter_map(program).collect()
}

/// Runs test programs: each may take so many seconds of the processor's time, and all together must end within some time by the clock.
fn run(programs: &[Program], limit: u64, standstill: Duration) -> Result<Verdict> {
    let deadline = Instant::now() + standstill;
    let limits = format!("ulimit -v {MEMORY_KIB} && ulimit -S -t {limit} && exec \"$0\" --quiet");
    for program in programs {
        let mut command = Command::new("sh");
        command.args(["-c", &limits]);
        command.arg(&program.executable).current_dir(&program.folder).envs(ENVIRONMENT);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        match wait(&mut child, deadline)? {
            Some(status) if status.success() => {}
            Some(status) if status.signal() != Some(SIGXCPU) => return Ok(Verdict::Caught),
            _ => return Ok(Verdict::TimedOut),
        }
    }
    Ok(Verdict::Survived)
}

/// How it ended; `None`: it did not come to its end, and was ended.
fn wait(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait().context("waiting for a test program")? {
            return Ok(Some(status));
        }
        if Instant::now() > deadline {
            child.kill().context("ending a test program")?;
            child.wait().context("waiting for a test program")?;
            return Ok(None);
        }
        sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn tests_pass_fail_or_do_not_come_to_their_end() {
        let minute = Duration::from_mins(1);
        let fate = |names: &[&str]| {
            let program = |name: &&str| Program { executable: name.into(), folder: "/".into() };
            run(&names.iter().map(program).collect::<Vec<_>>(), 60, minute).unwrap()
        };
        assert_eq!(fate(&["true", "true"]), Verdict::Survived);
        assert_eq!(fate(&["true", "false"]), Verdict::Caught);
        let mut slow = Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(wait(&mut slow, Instant::now()).unwrap(), None);
        assert!(slow.try_wait().unwrap().is_some(), "it was ended");
    }

    #[test]
    fn who_takes_all_its_time_of_the_processor_is_ended() {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("endless");
        fs::write(&executable, "#!/bin/sh\nwhile :; do :; done\n").unwrap();
        fs::set_permissions(&executable, fs::Permissions::from_mode(0o755)).unwrap();
        let endless = Program { executable, folder: "/".into() };
        let before = time_of_children().unwrap();
        assert_eq!(run(&[endless], 1, STANDSTILL).unwrap(), Verdict::TimedOut);
        assert!(time_of_children().unwrap() > before, "its time is counted");
    }

    #[test]
    fn the_time_of_children_is_read_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 11 12 250 51 20 0 1 0 99 0 0";
        assert_eq!(seconds_of_children(stat), Some(4), "3.01 s, rounded up");
        assert_eq!(seconds_of_children("7 (a S 1"), None);
    }

    #[test]
    fn programs_and_their_sources_are_cargos() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","manifest_path":"/t/a/Cargo.toml","profile":{"test":false},"executable":null}"#,
            "\n",
            r#"{"reason":"compiler-artifact","manifest_path":"/t/a/Cargo.toml","profile":{"test":true},"executable":"/x/a-1"}"#,
            "\n",
            r#"{"reason":"build-finished","success":true}"#,
            "\n"
        );
        assert_eq!(programs(messages), [Program { executable: "/x/a-1".into(), folder: "/t/a".into() }]);
        let sources = sources_of("/x/a-1: a/src/lib.rs /t/a/src/b.rs\n\na/src/lib.rs:\n", Path::new("/t"));
        assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["a/src/b.rs", "a/src/lib.rs"]);
    }

    #[test]
    fn which_tests_there_are_depends_on_the_package() {
        let package = |for_host, library_tested| Package {
            name: "p".to_owned(),
            for_host,
            program: false,
            library_tested,
        };
        assert_eq!(which(&package(true, true)), Some("--tests"));
        assert_eq!(which(&package(false, true)), Some("--lib"));
        assert_eq!(which(&package(false, false)), None);
    }
}
