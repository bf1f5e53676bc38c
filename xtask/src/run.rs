//! `./x run`: the board on this terminal, in real time.

use crate::build::build_system;
use crate::debugger;
use crate::tools::Toolchain;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use test_harness::evidence::Splitter;
use test_harness::evidence::log::LogPrinter;
use test_harness::evidence::symbols::Images;
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};
use test_harness::target::terminal::{HOW_TO_LEAVE, RawMode, Typed, read_keys};
use test_harness::target::{Emulator, Ending, Happening, Launch, Line, Lock, Machine, Mode};

/// The manifest that is run.
const MANIFEST: &str = "system/shell.toml";

/// Between two looks at the keyboard.
const TICK: Duration = Duration::from_millis(10);

/// What `x run` is told.
#[derive(clap::Args)]
pub struct Options {
    /// The emulated board; the default is the one whose file in qemu/ says so.
    #[arg(long)]
    board: Option<String>,
    /// The manifest.
    #[arg(long, default_value = MANIFEST)]
    manifest: PathBuf,
    /// The image of the card. It is made if it does not exist, and keeps what is written to it.
    #[arg(long, value_name = "FILE")]
    card: Option<PathBuf>,
    /// Waits for a debugger before the first instruction, and says what to type.
    #[arg(long)]
    gdb: bool,
}

/// The emulated board with this name, or the default one.
///
/// # Errors
/// There is no such board.
pub fn machine(tools: &Toolchain, board: Option<&str>) -> Result<Machine> {
    let folder = tools.root().join("qemu");
    match board {
        Some(name) => Machine::named(&folder, name),
        None => Machine::default_in(&folder),
    }
}

/// Builds, boots, and connects the terminal.
///
/// # Errors
/// The board could not be started.
pub fn run(tools: &Toolchain, options: &Options) -> Result<ExitCode> {
    let machine = machine(tools, options.board.as_deref())?;
    let folder = tools.root().join("out/run");
    // Held until the emulator has ended: two machines that write to one card destroy it.
    let claim = Claim::take(&folder, options.card.as_deref())?;
    let card = &claim.card;
    let built = build_system(tools, &options.manifest, &machine.name)?;
    let system = System::in_folder(&built.folder)?;
    let programs = system.folder.join("bin");
    if programs.is_dir()
        && let Err(error) = card::install(card, &programs)
    {
        // The board boots all the same: what it says of a card that it cannot use is its own affair.
        println!("no programs were put on the card: {error:#}");
    }
    let launch = Launch {
        machine: &machine,
        kernel: &system.kernel(),
        card: Some(card),
        plan: None,
        seed: u64::from(std::process::id()),
        mode: Mode::RealTime,
        extra: &[],
        folder: &folder,
    };
    println!("{}: {HOW_TO_LEAVE}; logs and deaths: ./x log --follow", machine.name);
    let mut emulator = if options.gdb {
        let (emulator, port) = Emulator::launch_for_debugger(&launch)?;
        print!("{}", debugger::prepare(&tools.path_remaps(), &system, &folder, port)?);
        emulator
    } else {
        Emulator::launch(&launch)?
    };
    let evidence = folder.join("evidence.bin");
    let mut evidence = File::create(&evidence).with_context(|| format!("making {}", evidence.display()))?;
    std::fs::write(folder.join("system.txt"), system.folder.display().to_string())
        .context("writing down what is run")?;
    let ending = {
        let raw = RawMode::enter()?;
        let (sender, keys) = channel();
        read_keys(sender);
        let mut panics = Panics::of(&system);
        converse(&mut emulator, &mut evidence, &keys, &mut panics)?;
        let ending = emulator.end()?;
        drop(raw);
        ending
    };
    println!();
    match ending {
        Ending::PoweredOff => println!("the board switched itself off"),
        Ending::Quit => println!("switched off; the card stays: {}", card.display()),
        Ending::Died { reason } => bail!("the emulator died: {reason}"),
    }
    Ok(ExitCode::SUCCESS)
}

/// The card and the folder of a run, which no other run has at the same time.
struct Claim {
    card: PathBuf,
    _card: Lock,
    _folder: Lock,
}

impl Claim {
    /// Takes both; without a `card`, the one of the folder. A card that does not exist is made.
    fn take(folder: &Path, card: Option<&Path>) -> Result<Self> {
        let card = card.map_or_else(|| folder.join("card.img"), Path::to_owned);
        if !card.exists() {
            card::make(&card, CARD_BYTES)?;
            println!("made a new card: {}", card.display());
        }
        // The card first: it is what the person knows of.
        let lock = Lock::card(&card)?;
        let bytes = std::fs::metadata(&card).with_context(|| format!("reading {}", card.display()))?.len();
        if !bytes.is_power_of_two() {
            bail!(
                "{} has {bytes} bytes: the emulator takes cards of a power of two; resize it with truncate, or remove it \
                 and the next run makes a new one",
                card.display()
            );
        }
        Ok(Self { card, _card: lock, _folder: Lock::folder(folder)? })
    }
}

/// Finds on the evidence line what the kernel tells of a bug in itself.
struct Panics {
    splitter: Splitter,
    printer: LogPrinter,
}

impl Panics {
    fn of(system: &System) -> Self {
        Self { splitter: Splitter::new(), printer: LogPrinter::new(Images::of(system)) }
    }

    /// What is to be shown of these bytes, for a terminal in raw mode: functions and lines for the bare numbers that are on
    /// the console.
    fn text(&mut self, bytes: &[u8]) -> String {
        let mut lines = Vec::new();
        self.splitter.push(bytes, |item| lines.extend(self.printer.panic_lines(&item)));
        lines.iter().map(|line| format!("{line}\r\n")).collect()
    }
}

/// Passes bytes both ways until the machine or the person has had enough.
fn converse(
    emulator: &mut Emulator,
    evidence: &mut File,
    keys: &Receiver<Typed>,
    panics: &mut Panics,
) -> Result<()> {
    let mut output = io::stdout();
    loop {
        match emulator.next(Instant::now() + TICK) {
            Happening::Bytes(Line::Console, bytes) => {
                output.write_all(&bytes).and_then(|()| output.flush()).context("writing to the terminal")?;
            }
            Happening::Bytes(Line::Evidence, bytes) => {
                evidence.write_all(&bytes).context("writing the evidence")?;
                let text = panics.text(&bytes);
                output
                    .write_all(text.as_bytes())
                    .and_then(|()| output.flush())
                    .context("writing to the terminal")?;
            }
            Happening::Closed => return Ok(()),
            Happening::Reset(_) => {
                output
                    .write_all(b"\r\n(the board was reset)\r\n")
                    .and_then(|()| output.flush())
                    .context("writing to the terminal")?;
            }
            Happening::Nothing | Happening::Stopped(_) | Happening::Watched(_) => {}
        }
        match keys.try_recv() {
            Ok(Typed::Bytes(bytes)) => emulator.type_bytes(&bytes)?,
            Ok(Typed::Leave) => return Ok(()),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder for a run, and a card of the least size.
    fn scene() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let scene = tempfile::tempdir().unwrap();
        let (folder, card) = (scene.path().join("run"), scene.path().join("my.img"));
        std::fs::write(&card, [0; 512]).unwrap();
        (scene, folder, card)
    }

    fn refusal(folder: &Path, card: &Path) -> String {
        Claim::take(folder, Some(card)).err().unwrap().to_string()
    }

    #[test]
    fn a_second_run_gets_neither_the_card_nor_the_folder_of_the_first() {
        let (scene, folder, card) = scene();
        let first = Claim::take(&folder, Some(&card)).unwrap();
        let other = scene.path().join("other");
        let text = refusal(&other, &card);
        assert!(text.contains("my.img is in use by another run") && text.contains("--card FILE"), "{text}");
        let second = scene.path().join("second.img");
        std::fs::write(&second, [0; 512]).unwrap();
        assert!(refusal(&folder, &second).contains("run is in use by another run"));
        drop(first);
        Claim::take(&folder, Some(&card)).unwrap();
    }

    #[test]
    fn what_the_emulator_takes_for_no_card_is_refused_with_the_remedy() {
        let (scene, folder, card) = scene();
        std::fs::write(&card, [0; 513]).unwrap();
        assert!(refusal(&folder, &card).contains("513 bytes: the emulator takes cards of a power of two"));
        assert!(refusal(&folder, scene.path()).contains("is no file: "));
    }
}
