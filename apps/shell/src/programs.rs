//! Programs in files: from the card into a spare slot, and what becomes of them.
//!
//! *Rule.* Whatever is wrong with a file is found here, and said, before a slot is touched; the kernel finds it again, because it
//! does not believe the shell.

use crate::execute::Shell;
use abi::program::{ARGUMENTS_BYTES, Defect, HEADER_BYTES, NO_ARGUMENTS, ProgramHeader};
use abi::record::{DeathClass, SlotState};
use abi::syscall::slot_ctl;
use abi::{PAGE_SIZE, SlotId};
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc};
use program::about;
use protocols::files::OpenFlags;
use protocols::reincarnation::{Row, Standing};
use shell_core::{Verb, report};
use userlib::{Instant, Status, control, recv_notifications};
use zerocopy::{FromBytes, IntoBytes};

/// Descriptor of the program's file.
const FILE: u8 = 0;
/// Between two looks at a program that runs.
const PAUSE_NS: u64 = 20_000_000;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

type Done = Result<(), String>;

/// A program that was checked, with its arguments in it.
struct Program {
    header: Vec<u8>,
    pages: Vec<u8>,
}

/// Whether the shell may put programs into the slot of this row: the kernel says so.
pub fn is_spare(row: &Row) -> bool {
    matches!(control::store(row.slot as SlotId, 0, &[]), Ok(()) | Err(Status::WrongState))
}

impl Shell {
    /// Loads a program, starts it, and waits for its end or for Ctrl-C.
    pub fn run_program(&mut self, name: &str, arguments: &str) -> Done {
        let path =
            if name.contains('/') { shell_core::command::absolute(name) } else { format!("/bin/{name}") };
        let program = self.read_program(&path, arguments)?;
        let row = self.free_slot()?;
        let (slot, component) = (row.slot as SlotId, report::name(&row));
        load(slot, &program).map_err(|status| refused(&path, &component, status))?;
        let quarantined = row.standing >= Standing::TooManyFailures as u32;
        let verb = if quarantined { Verb::Release } else { Verb::Start };
        self.supervisor.control(verb, &component)?;
        self.wait_for(name, &component, row.deaths)
    }

    fn read_program(&mut self, path: &str, arguments: &str) -> Result<Program, String> {
        self.files.open(FILE, OpenFlags::READ, path).map_err(about(path))?;
        let size = self.files.stat(path).map_err(about(path))?.size;
        let read = self.read_pages(path, size);
        self.files.close(FILE).map_err(about(path))?;
        let mut program = read?;
        let header = program.check(size).map_err(|defect| format!("{path}: {}", defect.text()))?;
        program.set_arguments(&header, arguments).map_err(|text| format!("{path}: {text}"))?;
        Ok(program)
    }

    fn read_pages(&mut self, path: &str, size: u64) -> Result<Program, String> {
        let (least, most) =
            (HEADER_BYTES as u64, (abi::program::PAGES_MAX * PAGE_SIZE + HEADER_BYTES) as u64);
        if !(least..=most).contains(&size) {
            return Err(format!("{path}: {}", Defect::NoProgram.text()));
        }
        let mut bytes = vec![0; size as usize];
        let mut done = 0;
        while done < bytes.len() {
            let end = bytes.len().min(done + 2 * PAGE_SIZE);
            let count = self.files.read(FILE, done as u64, &mut bytes[done..end]).map_err(about(path))?;
            if count == 0 {
                return Err(format!("{path}: {}", Defect::Length.text()));
            }
            done += count;
        }
        let pages = bytes.split_off(HEADER_BYTES);
        Ok(Program { header: bytes, pages })
    }

    /// A spare slot in which nothing runs.
    fn free_slot(&self) -> Result<Row, String> {
        let rows = self.supervisor.rows()?;
        let idle = |row: &&Row| {
            !matches!(SlotState::from_code(row.state), Some(SlotState::Running | SlotState::Loading))
        };
        let free = rows.iter().filter(idle).find(|row| control::store(row.slot as SlotId, 0, &[]).is_ok());
        free.copied().ok_or_else(|| {
            "run: all spare slots are in use; `ps` shows them, `kill` ends a program".to_owned()
        })
    }

    /// Waits until the program has ended, and tells how.
    fn wait_for(&mut self, name: &str, component: &str, mut deaths: u32) -> Done {
        loop {
            let row = self.supervisor.find(component)?;
            let over = row.standing != Standing::Supervised as u32;
            if row.deaths > deaths {
                self.tell(name, &row, row.deaths - deaths, over);
                deaths = row.deaths;
            }
            if over && SlotState::from_code(row.state) != Some(SlotState::Running) {
                return Ok(());
            }
            if self.terminal.interrupted() {
                self.supervisor.control(Verb::Stop, component)?;
                return Err(format!("^C: {name} has ended; the slot {component} is free"));
            }
            let kept =
                recv_notifications(Instant::from_ns(userlib::time::now().ns() + PAUSE_NS)).unwrap_or(0);
            self.terminal.kept.set(self.terminal.kept.get() | kept);
        }
    }

    /// Says how the last of so many incarnations of a program ended, unless all was well.
    fn tell(&self, name: &str, row: &Row, deaths: u32, over: bool) {
        let text = core::str::from_utf8(&row.death_text[..row.death_text_length as usize]).unwrap_or("");
        let class = DeathClass::from_code(row.death_class);
        let line = match class {
            Some(DeathClass::Exit) if text == "ended" => return,
            Some(DeathClass::Exit) => format!("{name}: {text}\n"),
            class => {
                let what = class.map_or("died", DeathClass::name);
                let then = if over { "it is not started again" } else { "it is started again" };
                let colon = if text.is_empty() { "" } else { ": " };
                let often = if deaths > 1 { format!(" {deaths} times") } else { String::new() };
                format!("{name} has died{often} ({what}{colon}{text}); {then}\n")
            }
        };
        self.terminal.print(&line);
    }
}

impl Program {
    /// Proves header and pages.
    fn check(&self, file_bytes: u64) -> Result<ProgramHeader, Defect> {
        let (header, crcs) = ProgramHeader::read_from_prefix(&self.header).map_err(|_| Defect::NoProgram)?;
        header.check(CRC.checksum(&self.header[ProgramHeader::SEALED..]), file_bytes)?;
        let expected =
            crcs.chunks_exact(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        let whole = self.pages.chunks(PAGE_SIZE).zip(expected).all(|(page, crc)| CRC.checksum(page) == crc);
        if whole { Ok(header) } else { Err(Defect::PageDamaged) }
    }

    /// Puts arguments into the program, and makes its checksums right again.
    fn set_arguments(&mut self, header: &ProgramHeader, arguments: &str) -> Result<(), String> {
        let room = ARGUMENTS_BYTES - 4;
        if header.arguments == NO_ARGUMENTS {
            let none = arguments.is_empty();
            return none.then_some(()).ok_or_else(|| "takes no arguments; run it without".to_owned());
        }
        if arguments.len() > room {
            return Err(format!("{} bytes of arguments, and a program takes {room}", arguments.len()));
        }
        let start = header.arguments as usize;
        self.pages[start..start + 4].copy_from_slice(&(arguments.len() as u32).to_le_bytes());
        self.pages[start + 4..start + 4 + arguments.len()].copy_from_slice(arguments.as_bytes());
        let page = start / PAGE_SIZE;
        let crc = CRC.checksum(&self.pages[page * PAGE_SIZE..(page + 1) * PAGE_SIZE]);
        let at = size_of::<ProgramHeader>() + 4 * page;
        self.header[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        let mut header = *header;
        header.crc = CRC.checksum(&self.header[ProgramHeader::SEALED..]);
        self.header[..size_of::<ProgramHeader>()].copy_from_slice(header.as_bytes());
        Ok(())
    }
}

/// Puts a program into the store of a slot.
fn load(slot: SlotId, program: &Program) -> Result<(), Status> {
    for (index, page) in program.pages.chunks(PAGE_SIZE).enumerate() {
        control::store(slot, (HEADER_BYTES + index * PAGE_SIZE) as u64, page)?;
    }
    control::store(slot, 0, &program.header)?;
    control::control(slot, slot_ctl::SEAL)
}

fn refused(path: &str, component: &str, status: Status) -> String {
    let reason = match status {
        Status::BadArgument | Status::QuotaExceeded => {
            "is larger than the store of the slot: make it smaller, or `store` in the manifest larger"
        }
        Status::Corrupt => "was refused by the kernel as damaged: copy it to the card again",
        Status::WrongState => "found its slot taken: try again",
        _ => "was refused: the manifest does not give the shell this slot (`loads`)",
    };
    format!("{path}: {reason} ({component}, {status:?})")
}
