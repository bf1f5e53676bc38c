//! What the commands do.
//!
//! *Rule.* An error ends the command and never the shell; it names the thing and the remedy.

use crate::drivers::{Driver, fill};
use crate::programs;
use crate::supervisor::Supervisor;
use crate::terminal::Terminal;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use program::{Files, about};
use protocols::files::{Cookie, Entry, Kind, OpenFlags, entries};
use shell_core::command::{absolute, command, help, inside};
use shell_core::{Command, Verb, complete, parse, report, table};
use userlib::{Client, control, sys, time::now};

/// Descriptor of a file that is read.
const SOURCE: u8 = 0;
/// Descriptor of a file that is written.
const TARGET: u8 = 1;
/// Bytes moved at a time.
const CHUNK: usize = 8192;
/// Bytes of directory entries that are sorted and shown at a time.
const LISTED_BYTES: usize = 16 * 1024;
/// What Ctrl-C during a command prints.
const INTERRUPTED: &str = "^C";

/// The services that commands use.
pub struct Shell {
    pub terminal: Terminal,
    pub files: Files,
    pub supervisor: Supervisor,
    /// The random number generator, if the manifest has one.
    pub random: Option<Client>,
    /// What `ask` calls.
    pub drivers: Vec<Driver>,
}

type Done = Result<(), String>;

/// An entry of a directory: name, kind, inode.
type Found = (Vec<u8>, Kind, u32);

impl Shell {
    /// Runs a line. Errors are for the user.
    pub fn run(&mut self, line: &str) {
        let result = match parse::words(line) {
            Err(error) => Err(format!("{error}")),
            Ok(words) => match command(&words) {
                None => Ok(()),
                Some(Err(text)) => Err(text),
                Some(Ok(command)) => self.perform(command),
            },
        };
        if let Err(text) = result {
            self.terminal.print(&text);
            self.terminal.print("\n");
        }
    }

    fn perform(&mut self, command: Command) -> Done {
        match command {
            Command::Cat(paths) => paths.iter().try_for_each(|path| self.cat(&absolute(path))),
            Command::List(path) => self.list(&absolute(&path)),
            Command::Write(path, text) => self.write(&absolute(&path), &text, true),
            Command::Append(path, text) => self.write(&absolute(&path), &text, false),
            Command::Copy(from, to) => self.copy(&absolute(&from), &absolute(&to)),
            Command::Move(from, to) => self.rename(&absolute(&from), &absolute(&to)),
            Command::Remove(paths) => {
                paths.iter().try_for_each(|path| self.files.remove(&absolute(path)).map_err(about(path)))
            }
            Command::MakeDirectory(paths) => paths
                .iter()
                .try_for_each(|path| self.files.make_directory(&absolute(path)).map_err(about(path))),
            Command::Run(program, arguments) => self.run_program(&program, &arguments),
            Command::Sync => self.files.sync().map_err(about("sync")),
            question => {
                let text = self.answer(question)?;
                self.terminal.print(&text);
                Ok(())
            }
        }
    }

    /// Commands that only print.
    fn answer(&self, question: Command) -> Result<String, String> {
        Ok(match question {
            Command::Ps => report::ps(&self.supervisor.rows()?, now().ns()),
            Command::Services => report::services(&self.supervisor.rows()?, now().ns()),
            Command::Stat(paths) => paths.iter().map(|path| self.stat(path)).collect::<Result<_, _>>()?,
            Command::Space => report::space(&self.files.space().map_err(about("df"))?),
            Command::Log(component) => self.log(&component)?,
            Command::Memory => {
                let counters =
                    control::counters().map_err(|status| format!("mem: the kernel answers {status:?}"))?;
                report::memory(&self.supervisor.rows()?, &counters)
            }
            Command::Uptime => format!("{} s\n", table::seconds(now().ns())),
            Command::Random(bytes) => self.random(bytes)?,
            Command::Ask(name, numbers) => self.ask(&name, &numbers)?,
            Command::Kill(component) => self.kill(&component)?,
            Command::Fault(component, fault) => self.supervisor.fail(&component, fault)?,
            Command::Service(verb, component) => self.supervisor.control(verb, &component)?,
            Command::Help(of) => help(of),
            _ => String::new(),
        })
    }

    /// Kills a component, which comes back; a program in a spare slot is stopped instead, and its slot is free.
    fn kill(&self, component: &str) -> Result<String, String> {
        let row = self.supervisor.find(component)?;
        if programs::is_spare(&row) {
            self.supervisor.control(Verb::Stop, component)?;
            return Ok(format!("{component}: the program has ended; the slot is free\n"));
        }
        self.supervisor.fail(component, abi::plan::Fault::Kill)
    }

    fn stat(&self, path: &str) -> Result<String, String> {
        let facts = self.files.stat(&absolute(path)).map_err(about(path))?;
        Ok(report::facts(path, &facts))
    }

    fn random(&self, count: u32) -> Result<String, String> {
        let client = self.random.ok_or("random: the manifest gives the shell no random number generator")?;
        fill(&client, count).map_err(|why| format!("random: {why}"))
    }

    fn ask(&self, name: &str, numbers: &[u64]) -> Result<String, String> {
        let known = || self.drivers.iter().map(|driver| driver.name).collect::<Vec<_>>().join(", ");
        let driver = self.drivers.iter().find(|driver| driver.name == name);
        driver
            .ok_or_else(|| format!("ask: {name} is no driver that can be asked; these are: {}", known()))?
            .ask(numbers)
    }

    fn log(&self, component: &str) -> Result<String, String> {
        let row = self.supervisor.find(component)?;
        let mut text = report::log(&self.supervisor.log(&row)?);
        if row.death_class == 0 {
            text += "has not died yet\n";
        } else {
            text += &report::death(&self.supervisor.death(&row)?, sys::frequency());
        }
        Ok(text)
    }

    fn cat(&mut self, path: &str) -> Done {
        self.files.open(SOURCE, OpenFlags::READ, path).map_err(about(path))?;
        let result = self.show(path);
        self.files.close(SOURCE).map_err(about(path))?;
        result
    }

    /// Shows the file that is open.
    fn show(&mut self, path: &str) -> Done {
        let mut buffer = vec![0; CHUNK / 8];
        let (mut offset, mut last) = (0, b'\n');
        loop {
            let count = self.files.read(SOURCE, offset, &mut buffer).map_err(about(path))?;
            let Some(end) = buffer[..count].last() else { break };
            last = *end;
            for byte in &mut buffer[..count] {
                if byte.is_ascii_control() && !matches!(byte, b'\n' | b'\t') {
                    *byte = b'.';
                }
            }
            self.terminal.print_bytes(&buffer[..count]);
            offset += count as u64;
            if self.terminal.interrupted() {
                return Err(INTERRUPTED.to_owned());
            }
        }
        if last != b'\n' {
            self.terminal.print("\n");
        }
        Ok(())
    }

    /// Calls `use_entry` with every entry of a directory, until it says `false`.
    fn walk(&self, path: &str, mut use_entry: impl FnMut(&Entry<'_>) -> bool) -> Done {
        let mut buffer = vec![0; CHUNK];
        let mut next = Some(Cookie::START);
        while let Some(cookie) = next {
            let (bytes, more) = self.files.list(path, cookie, &mut buffer).map_err(about(path))?;
            if !entries(&buffer[..bytes]).all(|entry| use_entry(&entry)) {
                return Ok(());
            }
            next = more;
        }
        Ok(())
    }

    fn list(&mut self, path: &str) -> Done {
        let facts = self.files.stat(path).map_err(about(path))?;
        if facts.kind != Kind::Directory {
            self.terminal.print(&report::facts(path, &facts));
            return Ok(());
        }
        // Sorted as a whole if it fits, else in parts: the directory may be larger than this heap.
        let mut buffer = vec![0; LISTED_BYTES / 4];
        let mut found: Vec<Found> = Vec::new();
        let (mut held, mut next) = (0, Some(Cookie::START));
        while let Some(cookie) = next {
            let (bytes, more) = self.files.list(path, cookie, &mut buffer).map_err(about(path))?;
            for entry in entries(&buffer[..bytes]).filter(|entry| !matches!(entry.name, b"." | b"..")) {
                held += size_of::<Found>() + entry.name.len();
                found.push((entry.name.to_vec(), entry.kind, entry.inode));
            }
            if held > LISTED_BYTES || more.is_none() {
                self.print_entries(path, &mut found)?;
                held = 0;
            }
            next = more;
        }
        Ok(())
    }

    /// Prints directory entries in the order of their names, and forgets them.
    fn print_entries(&mut self, path: &str, found: &mut Vec<Found>) -> Done {
        found.sort_by(|one, other| one.0.cmp(&other.0));
        for (name, kind, inode) in found.drain(..) {
            let full = core::str::from_utf8(&name).ok().map(|name| inside(path, name));
            let bytes = full.and_then(|full| self.files.stat(&full).ok()).map(|facts| facts.size);
            self.terminal.print(&report::entry(&Entry { inode, kind, name: &name }, bytes));
            if self.terminal.interrupted() {
                return Err(INTERRUPTED.to_owned());
            }
        }
        Ok(())
    }

    fn write(&self, path: &str, text: &str, replace: bool) -> Done {
        let access = OpenFlags::WRITE.with(OpenFlags::CREATE);
        let flags = if replace { access.with(OpenFlags::TRUNCATE) } else { access };
        self.files.open(TARGET, flags, path).map_err(about(path))?;
        let line = format!("{text}\n");
        let result = if replace {
            self.files.write(TARGET, 0, line.as_bytes())
        } else {
            self.files.append(TARGET, line.as_bytes())
        };
        let closed = self.files.close(TARGET);
        result.and(closed).map_err(about(path))
    }

    /// `to`, or the place in it if it is a directory.
    fn destination(&self, from: &str, to: &str) -> String {
        match self.files.stat(to) {
            Ok(facts) if facts.kind == Kind::Directory => inside(to, from),
            _ => to.to_owned(),
        }
    }

    fn copy(&mut self, from: &str, to: &str) -> Done {
        let to = &self.destination(from, to);
        let inode = self.files.open(SOURCE, OpenFlags::READ, from).map_err(about(from))?;
        let result = if self.files.stat(to).is_ok_and(|facts| facts.inode == inode) {
            Err(format!("{to}: is the same file as {from}; name another one"))
        } else {
            self.copy_open(from, to)
        };
        self.files.close(SOURCE).map_err(about(from))?;
        result
    }

    /// Copies the file that is open.
    fn copy_open(&mut self, from: &str, to: &str) -> Done {
        let flags = OpenFlags::WRITE.with(OpenFlags::CREATE).with(OpenFlags::TRUNCATE);
        self.files.open(TARGET, flags, to).map_err(about(to))?;
        let mut buffer = vec![0; CHUNK];
        let mut offset = 0;
        let result = loop {
            let count = match self.files.read(SOURCE, offset, &mut buffer) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(failed) => break Err(about(from)(failed)),
            };
            if let Err(failed) = self.files.write(TARGET, offset, &buffer[..count]) {
                break Err(about(to)(failed));
            }
            offset += count as u64;
            if self.terminal.interrupted() {
                break Err(format!("{INTERRUPTED}: {to} has {offset} bytes"));
            }
        };
        self.files.close(TARGET).map_err(about(to))?;
        result
    }

    fn rename(&self, from: &str, to: &str) -> Done {
        let to = self.destination(from, to);
        self.files.rename(from, &to).map_err(|failed| format!("{from} to {to}: {}", failed.text()))
    }

    /// For completion: names in a directory that begin with `start`, directories with a slash, files with a blank; at most
    /// [`complete::NAMES_MAX`] and one more. None if it cannot be read.
    pub fn names_in(&self, directory: &str, start: &str) -> Vec<String> {
        let mut names = Vec::new();
        let walked = self.walk(&absolute(directory), |entry| {
            let end = if entry.kind == Kind::Directory { '/' } else { ' ' };
            if let Some(name) = complete::completable(entry.name).filter(|name| name.starts_with(start)) {
                names.push(format!("{name}{end}"));
            }
            names.len() <= complete::NAMES_MAX
        });
        if walked.is_err() {
            names.clear();
        }
        names
    }

    /// For completion: the names of all components.
    pub fn component_names(&self) -> Vec<String> {
        let rows = self.supervisor.rows().unwrap_or_default();
        rows.iter().map(|row| format!("{} ", report::name(row))).collect()
    }
}
