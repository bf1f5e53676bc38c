//! `./x log`: the evidence of the last run as text: log records with file and line, deaths with backtraces.

use crate::tools::Toolchain;
use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use test_harness::evidence::log::LogPrinter;
use test_harness::evidence::symbols::Images;
use test_harness::evidence::{Item, Splitter};
use test_harness::system::System;

/// Between two looks at a file that grows.
const TICK: Duration = Duration::from_millis(200);

/// What `x log` is told.
#[derive(clap::Args)]
pub struct Options {
    /// Goes on with what comes, until it is interrupted.
    #[arg(long)]
    follow: bool,
    /// The evidence; the default is that of the last `x run`.
    #[arg(long, value_name = "FILE")]
    evidence: Option<PathBuf>,
    /// The folder of the build that ran; the default is the one that `x run` wrote down beside the evidence.
    #[arg(long, value_name = "FOLDER")]
    system: Option<PathBuf>,
}

/// Prints the log.
///
/// # Errors
/// There is no evidence, or no build.
pub fn run(tools: &Toolchain, options: &Options) -> Result<ExitCode> {
    let default = tools.root().join("out/run/evidence.bin");
    let evidence = options.evidence.clone().unwrap_or(default);
    while options.follow && !evidence.exists() {
        std::thread::sleep(TICK);
    }
    let open = || {
        if !evidence.exists() {
            bail!("there is no {}: `./x run` and `./x demo` leave evidence", evidence.display());
        }
        let folder = options.system.clone().map_or_else(|| build_of(&evidence), Ok)?;
        let system = System::in_folder(&folder)
            .with_context(|| format!("{} is no build: name one by --system", folder.display()))?;
        Reading::open(&evidence, &system)
    };
    let mut reading = open()?;
    loop {
        if reading.is_outdated(&evidence) {
            reading = open()?;
        }
        let more = reading.print_more()?;
        if !options.follow && !more {
            return Ok(ExitCode::SUCCESS);
        }
        if !more {
            std::thread::sleep(TICK);
        }
    }
}

/// `x run` writes down beside the evidence what it runs; the demo's evidence lies within its build.
fn build_of(evidence: &Path) -> Result<PathBuf> {
    let beside = evidence.with_file_name("system.txt");
    match fs::read_to_string(&beside) {
        Ok(folder) => Ok(PathBuf::from(folder.trim())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let parent = evidence.parent().and_then(Path::parent);
            Ok(parent.context("no build beside the evidence: name it by --system")?.to_owned())
        }
        Err(error) => Err(error).with_context(|| format!("reading {}", beside.display())),
    }
}

struct Reading {
    file: File,
    position: u64,
    splitter: Splitter,
    printer: LogPrinter,
}

impl Reading {
    fn open(evidence: &Path, system: &System) -> Result<Self> {
        let file = File::open(evidence).with_context(|| format!("opening {}", evidence.display()))?;
        Ok(Self {
            file,
            position: 0,
            splitter: Splitter::new(),
            printer: LogPrinter::new(Images::of(system)),
        })
    }

    /// Whether the evidence is that of a new run, of what may be a new build: it has become shorter.
    fn is_outdated(&self, evidence: &Path) -> bool {
        fs::metadata(evidence).is_ok_and(|data| data.len() < self.position)
    }

    /// Prints what has been added; false if there was nothing.
    fn print_more(&mut self) -> Result<bool> {
        let mut buffer = vec![0; 64 * 1024];
        let length = self.file.read(&mut buffer).context("reading the evidence")?;
        self.position += length as u64;
        let printer = &mut self.printer;
        let mut lines = Vec::new();
        self.splitter.push(&buffer[..length], |item: Item| lines.extend(printer.lines(&item)));
        let mut output = std::io::stdout().lock();
        for line in lines {
            writeln!(output, "{line}").context("writing to the terminal")?;
        }
        Ok(length > 0)
    }
}
