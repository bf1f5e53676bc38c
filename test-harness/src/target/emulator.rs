//! Starting the emulator, listening to it, ending it.
//!
//! The emulator connects to sockets that are already listening, so that no byte is lost at the start; it starts stopped
//! and is let go when all lines are connected. Each line is read by a thread of its own and without bound, because a
//! serial line that nobody reads stops the guest.
//!
//! While the guest stands, its whole state but the card's can be kept, and it can be put back to it ([`Emulator::keep`],
//! [`Emulator::put_back`]).

use super::gdb::Gdb;
use super::line::Reader;
use super::machine::{Machine, SerialLine};
use super::process::{Guarded, describe};
use super::qmp::Qmp;
use crate::oracle::memory::Copy;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::ops::Range;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// Longest that the emulator may take to connect its lines, and to end when it was told to.
const PATIENCE: Duration = Duration::from_secs(30);

/// Name of the place for states of the guest, and of the one state.
const STATE: &str = "state";

/// Longest that keeping or putting back the guest's state may take.
const STATE_PATIENCE: Duration = Duration::from_mins(2);

/// Between two looks at what the emulator is doing.
const POLL: Duration = Duration::from_millis(1);

/// Most bytes of a kept state: a board has 1 GiB of memory at least, nearly all of it zeros, which take no room.
const STATE_MAX: u64 = 16 << 30;

/// Lets the emulator wait for a debugger, at a port of its choice, for this computer only.
const DEBUGGER: [&str; 2] = ["-gdb", "tcp:127.0.0.1:0"];

/// A serial line.
pub type Line = SerialLine;

/// How time passes in the guest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// By instructions executed: the run is a function of image, plan and seed.
    Deterministic,
    /// As outside.
    RealTime,
}

/// What to start.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The board.
    pub machine: &'a Machine,
    /// The boot image.
    pub kernel: &'a Path,
    /// The image of the card; `None`: no card in the slot.
    pub card: Option<&'a Path>,
    /// The fault plan's bytes.
    pub plan: Option<&'a [u8]>,
    /// Seed of the emulator's own generators.
    pub seed: u64,
    /// How time passes.
    pub mode: Mode,
    /// Further arguments.
    pub extra: &'a [String],
    /// Where the emulator's own messages and the guest errors go.
    pub folder: &'a Path,
}

/// What the emulator did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Happening {
    /// Bytes came over a line.
    Bytes(Line, Vec<u8>),
    /// The board was reset; true: by the guest.
    Reset(bool),
    /// The guest stands: true: since [`Gdb::interrupt`] has asked for it; false: at a breakpoint.
    Stopped(bool),
    /// The guest stands behind a read of this address, which is watched.
    Watched(u64),
    /// The evidence line is closed: the emulator has ended or is about to.
    Closed,
    /// Nothing happened until the deadline.
    Nothing,
}

/// How the emulator ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ending {
    /// The guest switched the board off.
    PoweredOff,
    /// The host told the emulator to end.
    Quit,
    /// The emulator itself failed: this says nothing about the guest.
    Died {
        /// Exit status or signal, and what it last said.
        reason: String,
    },
}

/// A running emulator. Dropping it kills it.
#[derive(Debug)]
pub struct Emulator {
    process: Guarded,
    qmp: Qmp,
    happenings: Receiver<Happening>,
    console: UnixStream,
    readers: [Reader; 2],
    messages: PathBuf,
    errors: PathBuf,
    told: Arc<Told>,
}

/// What the emulator has told of the guest over its control socket.
#[derive(Debug, Default)]
struct Told {
    /// The guest switched the board off.
    powered_off: AtomicBool,
    /// How often the guest has reset the board.
    resets: AtomicU32,
}

impl Emulator {
    /// Starts the emulator and lets the guest run. The calling thread must outlive the emulator.
    ///
    /// # Errors
    /// Fails when the emulator cannot be started or does not connect; says what it said.
    pub fn launch(launch: &Launch) -> Result<Self> {
        let (mut emulator, _) = Self::start(launch, false)?;
        if let Err(error) = emulator.qmp.command("cont", &json!({})) {
            // An emulator that the guest's first instructions kill may not come to its answer: that is an ending, not a
            // failed launch, and [`Emulator::end`] tells of it.
            if emulator.process.wait_until(Instant::now() + Duration::from_secs(1))?.is_none() {
                return Err(error.context(tail(&emulator.messages)));
            }
        }
        Ok(emulator)
    }

    /// Starts the emulator with a debugger's stub in the caller's hands; the guest stands until [`Gdb::resume`].
    ///
    /// # Errors
    /// As [`Emulator::launch`].
    pub fn launch_stopped(launch: &Launch) -> Result<(Self, Gdb)> {
        let (emulator, gdb) = Self::start(launch, true)?;
        Ok((emulator, gdb.context("the emulator has no debugger's stub")?))
    }

    /// Starts the emulator for a debugger, which lets the guest run; returns the TCP port of this computer at which it is
    /// waited for. The emulator chooses one that is free.
    ///
    /// # Errors
    /// As [`Emulator::launch`].
    pub fn launch_for_debugger(launch: &Launch) -> Result<(Self, u16)> {
        let extra = [launch.extra, &DEBUGGER.map(str::to_owned)].concat();
        let (mut emulator, _) = Self::start(&Launch { extra: &extra, ..*launch }, false)?;
        let lines = emulator.qmp.command("query-chardev", &json!({}))?;
        let port = debugger_port(&lines).with_context(|| format!("no debugger's port among {lines}"))?;
        Ok((emulator, port))
    }

    /// Gives the debugger's stub, while the guest stands, to whoever connects to the TCP port of this computer that is returned.
    ///
    /// # Errors
    /// The emulator refuses.
    pub fn hand_over(&mut self) -> Result<u16> {
        self.qmp.command("human-monitor-command", &json!({ "command-line": "gdbserver tcp:127.0.0.1:0" }))?;
        let lines = self.qmp.command("query-chardev", &json!({}))?;
        debugger_port(&lines).with_context(|| format!("no debugger's port among {lines}"))
    }

    /// Starts the emulator, and no guest. `stub`: with a debugger's stub.
    fn start(launch: &Launch, stub: bool) -> Result<(Self, Option<Gdb>)> {
        launch.machine.check_emulator()?;
        fs::create_dir_all(launch.folder).with_context(|| format!("making {}", launch.folder.display()))?;
        let messages = launch.folder.join("emulator.txt");
        let errors = launch.folder.join("guest-errors.txt");
        File::create(&errors).with_context(|| format!("making {}", errors.display()))?;
        // Socket names have at most 107 bytes: not below a folder whose depth is somebody else's choice.
        let sockets = tempfile::Builder::new().prefix("samsara-").tempdir().context("making a folder")?;
        let listeners = Listeners::new(sockets.path())?;
        let mut command = command(launch, sockets.path(), &messages, &errors)?;
        if stub {
            let socket = sockets.path().join("debugger");
            command.arg("-chardev").arg(format!("socket,id=debugger,path={}", socket.display()));
            command.args(["-gdb", "chardev:debugger"]);
        }
        let mut process = Guarded::start(command)?;
        let deadline = Instant::now() + PATIENCE;
        let explain = |error: anyhow::Error| error.context(tail(&messages));
        let control = accept(&listeners.control, &mut process, deadline).map_err(explain)?;
        let console = accept(&listeners.console, &mut process, deadline).map_err(explain)?;
        let evidence = accept(&listeners.evidence, &mut process, deadline).map_err(explain)?;

        let debugger = if stub {
            Some(accept(&listeners.debugger, &mut process, deadline).map_err(explain)?)
        } else {
            None
        };

        let (sender, happenings) = channel();
        let gdb = debugger.map(|stream| Gdb::new(stream, sender.clone())).transpose()?;
        let writer = console.try_clone().context("duplicating the console's socket")?;
        let readers = [
            Reader::start(console, SerialLine::Console, sender.clone())?,
            Reader::start(evidence, SerialLine::Evidence, sender.clone())?,
        ];
        let told = Arc::new(Told::default());
        let seen = Arc::clone(&told);
        let qmp = Qmp::new(control, move |event, data| report_event(&sender, &seen, event, data))
            .map_err(explain)?;
        Ok((Self { process, qmp, happenings, console: writer, readers, messages, errors, told }, gdb))
    }

    /// What happens next, but not beyond `deadline`.
    pub fn next(&mut self, deadline: Instant) -> Happening {
        let wait = deadline.saturating_duration_since(Instant::now());
        match self.happenings.recv_timeout(wait) {
            Ok(happening) => happening,
            Err(RecvTimeoutError::Timeout) => Happening::Nothing,
            Err(RecvTimeoutError::Disconnected) => Happening::Closed,
        }
    }

    /// What came after the emulator had ended, up to the last byte of both lines.
    pub fn rest(&mut self) -> Vec<Happening> {
        // Each reader lets go of its end of the channel when its line is closed.
        let end = Instant::now() + PATIENCE;
        let mut rest = Vec::new();
        while let Ok(happening) = self.happenings.recv_timeout(end.saturating_duration_since(Instant::now()))
        {
            rest.push(happening);
        }
        rest
    }

    /// Everything that happened up to now, while the guest stands: what it has sent over its lines is in it to the last byte.
    pub fn settled(&mut self) -> Vec<Happening> {
        let mut happened = Vec::new();
        loop {
            let all_read = self.readers.iter().all(Reader::is_drained);
            happened.extend(self.happenings.try_iter());
            if all_read {
                return happened;
            }
            std::thread::sleep(POLL);
        }
    }

    /// Keeps the state of the guest, which stands, in `folder`. The card is not part of it.
    ///
    /// # Errors
    /// The emulator cannot keep this board's state, or is gone.
    pub fn keep(&mut self, folder: &Path) -> Result<()> {
        let path = folder.join("state.qcow2");
        let made = self.job(
            "blockdev-create",
            json!({
                "options": { "driver": "file", "filename": path, "size": 0 },
            }),
        );
        made.with_context(|| format!("making {}", path.display()))?;
        let file = json!({ "driver": "file", "filename": path });
        self.qmp.command(
            "blockdev-add",
            &json!({ "driver": "file", "node-name": "state-file", "filename": path }),
        )?;
        self.job(
            "blockdev-create",
            json!({
                "options": { "driver": "qcow2", "file": "state-file", "size": STATE_MAX },
            }),
        )?;
        self.qmp.command("blockdev-del", &json!({ "node-name": "state-file" }))?;
        self.qmp.command("blockdev-add", &json!({ "driver": "qcow2", "node-name": STATE, "file": file }))?;
        self.job("snapshot-save", json!({ "tag": STATE, "vmstate": STATE, "devices": [STATE] }))
    }

    /// Puts the guest, which stands, back to the state that was kept.
    ///
    /// # Errors
    /// The emulator is gone, or has lost the state.
    pub fn put_back(&mut self) -> Result<()> {
        self.job("snapshot-load", json!({ "tag": STATE, "vmstate": STATE, "devices": [STATE] }))
    }

    /// Carries out what takes the emulator a while.
    fn job(&mut self, name: &str, mut arguments: Value) -> Result<()> {
        arguments["job-id"] = json!(name);
        self.qmp.command(name, &arguments)?;
        let deadline = Instant::now() + STATE_PATIENCE;
        loop {
            let jobs = self.qmp.command("query-jobs", &json!({}))?;
            let job = jobs.as_array().and_then(|jobs| jobs.iter().find(|job| job["id"] == name));
            let job = job.with_context(|| format!("the emulator has forgotten {name}"))?;
            if job["status"] == "concluded" {
                let error = job["error"].as_str().map(str::to_owned);
                self.qmp.command("job-dismiss", &json!({ "id": name }))?;
                return error.map_or(Ok(()), |error| bail!("the emulator fails at {name}: {error}"));
            }
            if Instant::now() >= deadline {
                bail!("the emulator does not come to an end with {name}");
            }
            std::thread::sleep(POLL);
        }
    }

    /// Types `bytes` on the console.
    ///
    /// # Errors
    /// Fails when the emulator is gone.
    pub fn type_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.console.write_all(bytes).context("writing to the console")
    }

    /// The control socket, for what has no method here.
    pub fn control(&mut self) -> &mut Qmp {
        &mut self.qmp
    }

    /// Process id of the emulator.
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Copies physical memory, while the guest is stopped.
    ///
    /// # Errors
    /// Fails when the emulator refuses or is gone.
    pub fn memory(&mut self, address: u64, bytes: u64) -> Result<Vec<u8>> {
        let file = tempfile::NamedTempFile::new().context("making a file for memory")?;
        let arguments = json!({ "val": address, "size": bytes, "filename": file.path() });
        self.qmp.command("stop", &json!({}))?;
        let saved = self.qmp.command("pmemsave", &arguments);
        self.qmp.command("cont", &json!({}))?;
        saved?;
        fs::read(file.path()).context("reading the copy of memory")
    }

    /// Copies physical memory of a guest that stands, and leaves it standing.
    ///
    /// # Errors
    /// Fails when the emulator refuses or is gone.
    pub fn standing_memory(&mut self, range: &Range<u64>) -> Result<Copy> {
        let file = tempfile::NamedTempFile::new().context("making a file for memory")?;
        let size = range.end - range.start;
        let arguments = json!({ "val": range.start, "size": size, "filename": file.path() });
        self.qmp.command("pmemsave", &arguments)?;
        Ok(Copy { base: range.start, bytes: fs::read(file.path()).context("reading the copy of memory")? })
    }

    /// How often the guest has reset the board. Complete when [`Emulator::end`] or [`Emulator::wait`] has returned: the
    /// evidence line may be closed before a reset that preceded it has been told, over another socket.
    pub fn guest_resets(&self) -> u32 {
        self.told.resets.load(Ordering::Acquire)
    }

    /// Lines that the emulator wrote about errors of the guest: accesses that no correct program makes.
    ///
    /// # Errors
    /// Fails when the file cannot be read.
    pub fn guest_errors(&self) -> Result<Vec<String>> {
        let text = fs::read(&self.errors).with_context(|| format!("reading {}", self.errors.display()))?;
        Ok(String::from_utf8_lossy(&text).lines().map(str::to_owned).collect())
    }

    /// Ends the emulator if it has not ended, and says how it ended.
    ///
    /// # Errors
    /// Fails when the operating system refuses to tell.
    pub fn end(&mut self) -> Result<Ending> {
        if self.process.status()?.is_none() {
            // An emulator that hangs with its lock held does not answer; it is killed below.
            let _ = self.qmp.command("quit", &json!({}));
        }
        self.wait(Instant::now() + PATIENCE)
    }

    /// Waits until the emulator ends by itself; at `deadline` it is killed.
    ///
    /// # Errors
    /// Fails when the operating system refuses to tell.
    pub fn wait(&mut self, deadline: Instant) -> Result<Ending> {
        let Some(status) = self.process.wait_until(deadline)? else {
            self.process.kill();
            return Ok(Ending::Died {
                reason: format!("it did not end and was killed; {}", tail(&self.messages)),
            });
        };
        self.qmp.drain();
        Ok(match (status.success(), self.told.powered_off.load(Ordering::Acquire)) {
            (true, true) => Ending::PoweredOff,
            (true, false) => Ending::Quit,
            (false, _) => Ending::Died { reason: format!("{}; {}", describe(status), tail(&self.messages)) },
        })
    }
}

struct Listeners {
    control: UnixListener,
    console: UnixListener,
    evidence: UnixListener,
    debugger: UnixListener,
}

impl Listeners {
    fn new(folder: &Path) -> Result<Self> {
        let listen = |name: &str| -> Result<UnixListener> {
            let path = folder.join(name);
            let listener =
                UnixListener::bind(&path).with_context(|| format!("listening on {}", path.display()))?;
            listener.set_nonblocking(true).context("making a socket non-blocking")?;
            Ok(listener)
        };
        Ok(Self {
            control: listen("control")?,
            console: listen("console")?,
            evidence: listen("evidence")?,
            debugger: listen("debugger")?,
        })
    }
}

fn command(launch: &Launch, sockets: &Path, messages: &Path, errors: &Path) -> Result<Command> {
    let machine = launch.machine;
    let mut command = Command::new(machine.program());
    command.args(&machine.arguments).args([
        "-display",
        "none",
        "-monitor",
        "none",
        "-nodefaults",
        "-no-user-config",
    ]);
    command.arg("-S").arg("-kernel").arg(launch.kernel);
    command.arg("-qmp").arg(format!("unix:{}", sockets.join("control").display()));
    for line in &machine.serial {
        let name = match line {
            SerialLine::Console => "console",
            SerialLine::Evidence => "evidence",
        };
        let socket = sockets.join(name);
        command.arg("-chardev").arg(format!("socket,id={name},path={}", socket.display()));
        command.arg("-serial").arg(format!("chardev:{name}"));
    }
    if let Some(card) = launch.card {
        // In an option, a comma in a name is written twice.
        let name = card.display().to_string().replace(',', ",,");
        command.arg("-drive").arg(format!("{},file={name}", machine.card));
    }
    if let Some(plan) = launch.plan {
        let path = launch.folder.join("plan.bin");
        fs::write(&path, plan).with_context(|| format!("writing {}", path.display()))?;
        let name = path.display().to_string().replace(',', ",,");
        let address = machine.plan_address;
        command.arg("-device").arg(format!("loader,file={name},addr={address:#x},force-raw=on"));
    }
    if launch.mode == Mode::Deterministic {
        command.args(&machine.deterministic);
    }
    command.arg("-seed").arg((launch.seed as u32).to_string());
    command.arg("-d").arg("guest_errors").arg("-D").arg(errors).args(launch.extra);
    let output = File::create(messages).with_context(|| format!("making {}", messages.display()))?;
    command.stdout(output.try_clone().context("duplicating a file")?).stderr(output);
    Ok(command)
}

/// The port of the line that the emulator calls `gdb`, which it shows as `disconnected:tcp:127.0.0.1:PORT,server=on`.
fn debugger_port(lines: &Value) -> Option<u16> {
    let line = lines.as_array()?.iter().find(|line| line["label"] == "gdb")?;
    let address = line["filename"].as_str()?.split(',').next()?;
    address.rsplit(':').next()?.parse().ok()
}

fn accept(listener: &UnixListener, process: &mut Guarded, deadline: Instant) -> Result<UnixStream> {
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).context("making a socket blocking")?;
                return Ok(stream);
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("accepting the emulator's connection"),
        }
        if let Some(status) = process.status()? {
            bail!("the emulator ended at once ({})", describe(status));
        }
        if Instant::now() >= deadline {
            bail!("the emulator did not connect within {} s", PATIENCE.as_secs());
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn report_event(sender: &Sender<Happening>, told: &Told, event: &str, data: &Value) {
    let by_guest = data["guest"].as_bool().unwrap_or(false);
    match event {
        "RESET" => {
            told.resets.fetch_add(u32::from(by_guest), Ordering::AcqRel);
            // Nobody listens any more if this fails.
            let _ = sender.send(Happening::Reset(by_guest));
        }
        "SHUTDOWN" if by_guest => told.powered_off.store(true, Ordering::Release),
        _ => {}
    }
}

/// The last lines that the emulator said.
fn tail(messages: &Path) -> String {
    let text = fs::read(messages).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    match &lines[lines.len().saturating_sub(3)..] {
        [] => "the emulator said nothing".to_owned(),
        last => format!("the emulator said: {}", last.join(" / ")),
    }
}
