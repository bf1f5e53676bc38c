//! `./x run`: the board on this terminal, in real time.

use crate::build::build_system;
use crate::tools::Toolchain;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::{Duration, Instant};
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};
use test_harness::target::terminal::{HOW_TO_LEAVE, RawMode, Typed, read_keys};
use test_harness::target::{Emulator, Ending, Happening, Launch, Line, Machine, Mode};

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
    let built = build_system(tools, &options.manifest, &machine.name)?;
    let system = System::in_folder(&built.folder)?;
    let folder = tools.root().join("out/run");
    let card = options.card.clone().unwrap_or_else(|| folder.join("card.img"));
    if !card.exists() {
        card::make(&card, CARD_BYTES)?;
        println!("made a new card: {}", card.display());
    }
    let bytes = std::fs::metadata(&card).with_context(|| format!("reading {}", card.display()))?.len();
    if !bytes.is_power_of_two() {
        bail!(
            "{} has {bytes} bytes: the emulator takes cards of a power of two; resize it with truncate, or remove it \
             and the next run makes a new one",
            card.display()
        );
    }
    let programs = system.folder.join("bin");
    if programs.is_dir()
        && let Err(error) = card::install(&card, &programs)
    {
        // The board boots all the same: what it says of a card that it cannot use is its own affair.
        println!("no programs were put on the card: {error:#}");
    }
    let launch = Launch {
        machine: &machine,
        kernel: &system.kernel(),
        card: Some(&card),
        plan: None,
        seed: u64::from(std::process::id()),
        mode: Mode::RealTime,
        extra: &[],
        folder: &folder,
    };
    println!("{}: {HOW_TO_LEAVE}; logs and deaths: ./x log --follow", machine.name);
    let mut emulator = Emulator::launch(&launch)?;
    let evidence = folder.join("evidence.bin");
    let mut evidence = File::create(&evidence).with_context(|| format!("making {}", evidence.display()))?;
    std::fs::write(folder.join("system.txt"), system.folder.display().to_string())
        .context("writing down what is run")?;
    let ending = {
        let raw = RawMode::enter()?;
        let (sender, keys) = channel();
        read_keys(sender);
        converse(&mut emulator, &mut evidence, &keys)?;
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

/// Passes bytes both ways until the machine or the person has had enough.
fn converse(emulator: &mut Emulator, evidence: &mut File, keys: &Receiver<Typed>) -> Result<()> {
    let mut output = io::stdout();
    loop {
        match emulator.next(Instant::now() + TICK) {
            Happening::Bytes(Line::Console, bytes) => {
                output.write_all(&bytes).and_then(|()| output.flush()).context("writing to the terminal")?;
            }
            Happening::Bytes(Line::Evidence, bytes) => {
                evidence.write_all(&bytes).context("writing the evidence")?;
            }
            Happening::Closed => return Ok(()),
            Happening::Reset(_) => {
                output
                    .write_all(b"\r\n(the board was reset)\r\n")
                    .and_then(|()| output.flush())
                    .context("writing to the terminal")?;
            }
            Happening::Nothing => {}
        }
        match keys.try_recv() {
            Ok(Typed::Bytes(bytes)) => emulator.type_bytes(&bytes)?,
            Ok(Typed::Leave) => return Ok(()),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
    }
}
