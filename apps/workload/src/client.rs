//! The client: works on files for as long as the plan says, and puts every acknowledgement on the evidence line first.
//!
//! *Rule.* Before an operation is asked for, the state that it starts from is in the checkpoint and the intent is on the
//! trace. After a restart the operation in flight is resolved by looking: it is there, or it is not, and then it is
//! asked for again. After a reset of the board, which takes the checkpoint with it, nothing is changed any more:
//! everything is listed and read, and the file system is unmounted.
//!
//! *Why.* The host knows from the seed what each operation does. It needs to be told only which ones were acknowledged,
//! and it must be told before anything can depend on it.

use crate::files::{Failed, Files};
use defmt::info;
use injector_core::{Plan, parameter};
use protocols::files::{Cookie, Kind, OpenFlags, Status as FileStatus, entries};
use protocols::progress;
use userlib::supplier::{self, Complaint};
use userlib::{Client as Service, Event, Instant, Start, checkpoint, log, plan, recv};
use workload_core::record::{
    Answer, CRC, DONE, Found, KERNEL_STATUS, RECORD_MAX, Record, answer, is_doubtful,
};
use workload_core::resolution::witnesses;
use workload_core::state::CHECKPOINT_MAX;
use workload_core::{
    Checkpoint, HELD_FILES, Operation, Path, ROOT, Resolution, State, TRANSFER_MAX, content, line, next,
    resolve,
};

/// Format of the checkpoint.
const VERSION: u16 = 1;

/// Descriptor for files that are opened for one operation only. File `n` that is kept open has descriptor `n + 1`.
const TEMPORARY: u8 = 0;

/// Bytes in one piece of a file that is read.
const PIECE: usize = 4096;

/// Bytes of one piece of a directory.
const LISTING: usize = 512;

/// Names in one piece of a directory.
const NAMES: usize = 64;

/// Before an operation that was not executed is asked for again.
const RETRY_NS: u64 = 1_000_000;

/// Reading and writing.
const ACCESS: OpenFlags = OpenFlags::READ.with(OpenFlags::WRITE);

type Text = heapless::String<{ workload_core::path::PATH_MAX }>;

/// The console, for a line about each operation.
pub struct Lines {
    /// Who writes them.
    pub service: Service,
    /// What becomes of a driver whose receipt is for something else.
    pub complaint: Complaint,
}

struct Client {
    files: Files,
    /// About the file server.
    complaint: Complaint,
    lines: Option<Lines>,
    seed: u64,
    pause: u64,
    state: State,
    open: [bool; HELD_FILES],
    data: [u8; TRANSFER_MAX as usize],
}

/// The client's life.
pub fn run(_start: Start, files: Service, complaint: Complaint, lines: Option<Lines>) -> ! {
    let Some((header, entries)) = plan::plan() else { rest() };
    let plan = Plan { header: *header, entries };
    let lines = lines.filter(|_| header.parameters[parameter::KIND] != parameter::FILES);
    let mut client = Client {
        files: Files::new(files),
        complaint,
        lines,
        seed: header.seed,
        pause: header.parameters[parameter::PAUSE],
        state: State::default(),
        open: [false; HELD_FILES],
        data: [0; TRANSFER_MAX as usize],
    };
    // The first receive says that this incarnation is ready; whatever it does from now on counts as work.
    client.glance();
    let mut buffer = [0; CHECKPOINT_MAX];
    let committed = checkpoint::load_value::<Checkpoint>(VERSION, &mut buffer);
    match committed.filter(|committed| committed.seed == header.seed) {
        Some(committed) => {
            info!("seed {=u64}: goes on from operation {=u32}", header.seed, committed.state.operation);
            client.resume(committed.state);
        }
        None if plan.is_later_boot(Instant::now().ns()) => client.verify(),
        None => client.say(&Record::Begin { seed: header.seed, operation: 0, fresh: true }),
    }
    let operations = header.parameters[parameter::OPERATIONS];
    while (header.end == 0 || Instant::now().ns() < header.end)
        && (operations == 0 || u64::from(client.state.operation) < operations)
    {
        client.work();
    }
    client.finish()
}

/// Without a plan there is nothing to do, but whoever asks is answered.
fn rest() -> ! {
    loop {
        attend(0, Instant::NEVER);
    }
}

/// Answers heartbeats, and questions about the number of operations done, until `deadline`.
fn attend(operations: u64, deadline: Instant) {
    loop {
        match recv(deadline) {
            Event::Timeout => return,
            Event::Notification(_) => {}
            Event::Request(request) => {
                let is_query = progress::is_query(&request.message);
                let count = progress::answer(operations);
                // Who asked may have died meanwhile.
                let _ = request.reply(&if is_query { count } else { progress::refusal() });
            }
        }
    }
}

impl Client {
    /// Puts a record on the evidence line; what cannot be said must not be done.
    #[expect(clippy::unused_self, reason = "who has a client may speak for it")]
    fn say(&self, record: &Record) {
        let mut buffer = [0; RECORD_MAX];
        let said = record.encode(&mut buffer).is_some_and(log::event);
        assert!(said, "the evidence line refused a record");
    }

    /// Answers heartbeats and questions until `deadline`.
    fn attend(&self, deadline: Instant) {
        attend(self.state.operation.into(), deadline);
    }

    /// Attends to what is there already.
    fn glance(&self) {
        self.attend(Instant::from_ticks(0));
    }

    /// Goes on from a checkpoint: the operation after its state may have been in flight.
    fn resume(&mut self, state: State) {
        self.state = state;
        self.say(&Record::Begin { seed: self.seed, operation: self.state.operation, fresh: false });
        for descriptor in 0..=HELD_FILES as u8 {
            self.files.close(descriptor);
        }
        let operation = next(self.seed, &self.state);
        self.settle(&operation);
    }

    /// The next operation, once.
    fn work(&mut self) {
        self.attend(Instant::now().plus_ns(self.pause));
        let operation = next(self.seed, &self.state);
        self.commit();
        let number = self.state.operation;
        self.say(&Record::Intent { operation: number, code: operation.code() });
        let status = self.carry_out(&operation).err().unwrap_or(DONE);
        self.say(&Record::Acknowledged { operation: number, status });
        match answer(&operation, status) {
            Answer::AsExpected => {
                self.state.apply(&operation);
                self.write_line(number, &operation);
            }
            Answer::NotExecuted => self.attend(Instant::now().plus_ns(RETRY_NS)),
            Answer::Unknown => self.settle(&operation),
            // What leaves nothing to be looked at is asked for again, of a fresh server.
            Answer::Wrong if self.complain(status) && witnesses(&self.state, &operation).is_empty() => {}
            Answer::Wrong => self.settle(&operation),
        }
    }

    /// Has the file server replaced, which has refused what no correct one refuses; false: it was not.
    fn complain(&self, status: Failed) -> bool {
        let is_heard = is_doubtful(status) && self.complaint.file();
        if is_heard {
            self.say(&Record::Complained { operation: self.state.operation });
            self.attend(Instant::now().plus_ns(RETRY_NS));
        }
        is_heard
    }

    fn commit(&self) {
        let mut buffer = [0; CHECKPOINT_MAX];
        let checkpoint = Checkpoint { seed: self.seed, state: self.state.clone() };
        let committed = checkpoint::commit_value(VERSION, &checkpoint, &mut buffer);
        assert!(committed.is_ok(), "the checkpoint was refused: {committed:?}");
    }

    /// Finds out by looking whether `operation` took place, and counts it if it did.
    fn settle(&mut self, operation: &Operation) {
        let mut found = heapless::Vec::<Found, 2>::new();
        for path in witnesses(&self.state, operation) {
            let there = self.look(&path.text());
            self.say(&Record::Entry { path: &path.text(), found: there });
            // There are as many places as witnesses.
            let _ = found.push(there);
        }
        let resolution = resolve(self.seed, &self.state, operation, &found);
        self.say(&Record::Resolved { operation: self.state.operation, resolution });
        if resolution == Resolution::Done {
            self.state.apply(operation);
        }
    }

    /// What is under a name. A server that is away is waited for.
    fn look(&mut self, path: &str) -> Found {
        let mut may_complain = true;
        loop {
            let looked = match self.files.kind(path) {
                Ok(Kind::Directory) => Ok(Found::Directory),
                Ok(_) => self.read_file(path),
                Err(status) if status == FileStatus::NotFound as u32 => Ok(Found::Nothing),
                Err(status) => Err(status),
            };
            match looked {
                Ok(found) => return found,
                // Looking changes nothing: whatever the kernel says of the call, it may be repeated.
                Err(status) if status >= KERNEL_STATUS => self.attend(Instant::now().plus_ns(RETRY_NS)),
                Err(status) if core::mem::take(&mut may_complain) && self.complain(status) => {}
                Err(status) => return Found::Unreadable { status },
            }
        }
    }

    /// Reads a whole file.
    fn read_file(&mut self, path: &str) -> Result<Found, Failed> {
        self.files.open(TEMPORARY, OpenFlags::READ, path)?;
        let mut digest = CRC.digest();
        let mut size = 0;
        let read = loop {
            match self.files.read(TEMPORARY, size, &mut self.data[..PIECE]) {
                Ok(0) => break Ok(()),
                Ok(bytes) => {
                    digest.update(&self.data[..bytes]);
                    size += bytes as u64;
                }
                Err(status) => break Err(status),
            }
            self.glance();
        };
        self.files.close(TEMPORARY);
        read.map(|()| Found::File { size, checksum: digest.finalize() })
    }

    fn carry_out(&mut self, operation: &Operation) -> Result<(), Failed> {
        let number = self.state.operation;
        match *operation {
            Operation::MakeDirectory { directory } => {
                self.files.make_directory(&Path::Directory(directory).text())
            }
            Operation::RemoveDirectory { directory } => {
                self.files.remove_directory(&Path::Directory(directory).text())
            }
            Operation::Create { file, directory } => self.create(file, &Path::File(directory, number).text()),
            Operation::Write { file, offset, bytes } => {
                let length = self.fill(bytes);
                self.with_open(file, |client, descriptor| {
                    client.files.write(descriptor, offset.into(), &client.data[..length])
                })
            }
            Operation::Append { file, bytes } => {
                let length = self.fill(bytes);
                let end = self.state.file(file).map_or(0, |file| u64::from(file.size));
                self.with_open(file, |client, descriptor| {
                    client.files.append(descriptor, end, &client.data[..length])
                })
            }
            Operation::Truncate { file, size } => {
                self.with_open(file, |client, descriptor| client.files.truncate(descriptor, size.into()))
            }
            Operation::Fsync { file } => {
                self.with_open(file, |client, descriptor| client.files.fsync(descriptor))
            }
            Operation::Rename { file, directory } => self.rename(file, &Path::File(directory, number).text()),
            Operation::Replace { file, replaced } => self.rename(file, &self.path(replaced)),
            Operation::Unlink { file } => {
                self.release(file);
                self.files.unlink(&self.path(file))
            }
            Operation::UnlinkOpen { file } => {
                let path = self.path(file);
                self.with_open(file, |client, _| client.files.unlink(&path))
            }
            Operation::Sync => self.files.sync(),
            Operation::Walk => {
                self.walk();
                Ok(())
            }
        }
    }

    fn path(&self, file: u8) -> Text {
        self.state.file(file).map_or_else(Text::new, |file| file.path().text())
    }

    /// The bytes that this operation writes.
    fn fill(&mut self, bytes: u32) -> usize {
        let length = (bytes as usize).min(self.data.len());
        content::written(self.seed, self.state.operation, 0, &mut self.data[..length]);
        length
    }

    fn create(&mut self, file: u8, path: &str) -> Result<(), Failed> {
        let descriptor = descriptor_of(file);
        self.files.create(descriptor, path)?;
        match self.open.get_mut(usize::from(file)) {
            Some(open) => *open = true,
            None => self.files.close(descriptor),
        }
        Ok(())
    }

    /// Does something with an open file, which stays open if it is one of those that do.
    fn with_open(
        &mut self,
        file: u8,
        act: impl FnOnce(&Self, u8) -> Result<(), Failed>,
    ) -> Result<(), Failed> {
        let descriptor = descriptor_of(file);
        let held = usize::from(file);
        if !self.open.get(held).is_some_and(|open| *open) {
            self.files.open(descriptor, ACCESS, &self.path(file))?;
            if let Some(open) = self.open.get_mut(held) {
                *open = true;
            }
        }
        let done = act(self, descriptor);
        if held >= HELD_FILES {
            self.files.close(descriptor);
        }
        done
    }

    /// Closes a file that is kept open.
    fn release(&mut self, file: u8) {
        if let Some(open) = self.open.get_mut(usize::from(file))
            && core::mem::take(open)
        {
            self.files.close(descriptor_of(file));
        }
    }

    fn rename(&mut self, file: u8, to: &str) -> Result<(), Failed> {
        self.release(file);
        self.files.rename(&self.path(file), to)
    }

    /// Says what is under every name, the root's own included.
    fn walk(&mut self) {
        let mut entries = 0;
        let mut directories = heapless::Vec::<Text, NAMES>::new();
        let root = self.look(ROOT);
        if root != Found::Nothing {
            self.say(&Record::Entry { path: ROOT, found: root });
            entries += 1;
        }
        if root == Found::Directory {
            // The first of many places.
            let _ = directories.push(text(ROOT, ""));
        }
        while let Some(directory) = directories.pop() {
            entries += self.walk_directory(&directory, &mut directories);
        }
        self.say(&Record::EndOfWalk { entries });
    }

    /// Says what is in one directory; its own directories are added to `directories`.
    fn walk_directory(&mut self, path: &str, directories: &mut heapless::Vec<Text, NAMES>) -> u32 {
        let mut count = 0;
        let mut cookie = Some(Cookie::START);
        while let Some(at) = cookie {
            let mut listing = [0; LISTING];
            let (length, following) = match self.files.list(path, at, &mut listing) {
                Ok(listed) => listed,
                Err(status) if status >= KERNEL_STATUS => {
                    self.attend(Instant::now().plus_ns(RETRY_NS));
                    continue;
                }
                Err(status) => {
                    self.say(&Record::Entry { path, found: Found::Unreadable { status } });
                    return count + 1;
                }
            };
            for entry in entries(&listing[..length]).filter(|entry| !matches!(entry.name, b"." | b"..")) {
                let path = text(path, core::str::from_utf8(entry.name).unwrap_or("?"));
                let found = self.look(&path);
                self.say(&Record::Entry { path: &path, found });
                count += 1;
                if found == Found::Directory {
                    // More directories than places would be a tree that is not this workload's: it differs anyhow.
                    let _ = directories.push(path);
                }
                self.glance();
            }
            cookie = following;
        }
        count
    }

    /// The line about an operation that was acknowledged.
    fn write_line(&self, number: u32, operation: &Operation) {
        let Some(lines) = &self.lines else { return };
        let text = line::line(number, operation);
        for _ in 0..line::ATTEMPTS {
            if supplier::write(lines.service, text.as_bytes()) {
                return self.say(&Record::Line { operation: number });
            }
            self.say(&Record::LineRefused { operation: number });
            lines.complaint.file();
            self.attend(Instant::now().plus_ns(RETRY_NS));
        }
    }

    /// After a reset of the board: says what is there, and ends.
    fn verify(&mut self) -> ! {
        self.say(&Record::Begin { seed: self.seed, operation: 0, fresh: true });
        self.walk();
        self.finish()
    }

    /// Unmounts, says so, and attends to others for ever.
    fn finish(&mut self) -> ! {
        for descriptor in 0..=HELD_FILES as u8 {
            self.files.close(descriptor);
        }
        let status = loop {
            match self.files.unmount().err().unwrap_or(DONE) {
                // To unmount twice is to unmount once.
                status if status >= KERNEL_STATUS => self.attend(Instant::now().plus_ns(RETRY_NS)),
                status => break status,
            }
        };
        self.say(&Record::Finished { status });
        loop {
            self.attend(Instant::NEVER);
        }
    }
}

/// Files beyond those that are kept open share one descriptor.
fn descriptor_of(file: u8) -> u8 {
    if usize::from(file) < HELD_FILES { file + 1 } else { TEMPORARY }
}

/// `folder/name`, or `folder`; what is too long is cut, and then differs from every name that there must be.
fn text(folder: &str, name: &str) -> Text {
    let separator = if name.is_empty() { "" } else { "/" };
    let characters = [folder, separator, name].into_iter().flat_map(str::chars);
    let mut text = Text::new();
    for character in characters {
        if text.push(character).is_err() {
            break;
        }
    }
    text
}
