//! Programs in files: from the card into a spare slot, and what becomes of them.
//!
//! *Rule.* Whatever is wrong with a file is found here, and said, before the program can be started; the kernel finds it again,
//! because it does not believe the shell.

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

/// Whether the shell may put programs into the slot of this row: the kernel says so.
pub fn is_spare(row: &Row) -> bool {
    matches!(control::store(row.slot as SlotId, 0, &[]), Ok(()) | Err(Status::WrongState))
}

impl Shell {
    /// Loads a program, starts it, and waits for its end or for Ctrl-C.
    pub fn run_program(&mut self, name: &str, arguments: &str) -> Done {
        let path =
            if name.contains('/') { shell_core::command::absolute(name) } else { format!("/bin/{name}") };
        self.files.open(FILE, OpenFlags::READ, &path).map_err(about(&path))?;
        let loaded = self.load(&path, arguments);
        self.files.close(FILE).map_err(about(&path))?;
        let row = loaded?;
        let component = report::name(&row);
        let quarantined = row.standing >= Standing::TooManyFailures as u32;
        let verb = if quarantined { Verb::Release } else { Verb::Start };
        self.supervisor.control(verb, &component)?;
        self.wait_for(name, &component, row.deaths)
    }

    /// Puts the open file into the store of a free slot, page by page: a program may be larger than the shell.
    fn load(&mut self, path: &str, arguments: &str) -> Result<Row, String> {
        let wrong = |defect: Defect| format!("{path}: {}", defect.text());
        let mut front = self.read_part(path, 0)?.ok_or_else(|| wrong(Defect::NoProgram))?;
        let size = self.files.stat(path).map_err(about(path))?.size;
        let (mut header, _) =
            ProgramHeader::read_from_prefix(&front).map_err(|_| wrong(Defect::NoProgram))?;
        header.check(CRC.checksum(&front[ProgramHeader::SEALED..]), size).map_err(wrong)?;
        check_arguments(&header, arguments).map_err(|text| format!("{path}: {text}"))?;
        let row = self.free_slot()?;
        let slot = row.slot as SlotId;
        let store = |offset: usize, part: &[u8]| {
            control::store(slot, offset as u64, part).map_err(|status| refused(path, &row, status))
        };
        for (index, crc) in (0..header.image.stored_pages() as usize)
            .zip(front[size_of::<ProgramHeader>()..].chunks_exact_mut(4))
        {
            let offset = HEADER_BYTES + index * PAGE_SIZE;
            let mut page = self.read_part(path, offset)?.ok_or_else(|| wrong(Defect::Length))?;
            if CRC.checksum(&page).to_le_bytes() != *crc {
                return Err(wrong(Defect::PageDamaged));
            }
            if header.arguments != NO_ARGUMENTS && header.arguments as usize / PAGE_SIZE == index {
                put_arguments(&mut page[header.arguments as usize % PAGE_SIZE..], arguments);
                crc.copy_from_slice(&CRC.checksum(&page).to_le_bytes());
            }
            store(offset, &page)?;
        }
        header.crc = CRC.checksum(&front[ProgramHeader::SEALED..]);
        front[..size_of::<ProgramHeader>()].copy_from_slice(header.as_bytes());
        store(0, &front)?;
        control::control(slot, slot_ctl::SEAL).map_err(|status| refused(path, &row, status))?;
        Ok(row)
    }

    /// A page of the open file; `None` if it has no whole one there.
    fn read_part(&mut self, path: &str, offset: usize) -> Result<Option<Vec<u8>>, String> {
        let mut part = vec![0; PAGE_SIZE];
        let count = self.files.read(FILE, offset as u64, &mut part).map_err(about(path))?;
        Ok((count == PAGE_SIZE).then_some(part))
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

/// Whether the program takes these arguments.
fn check_arguments(header: &ProgramHeader, arguments: &str) -> Result<(), String> {
    let room = ARGUMENTS_BYTES - 4;
    if header.arguments == NO_ARGUMENTS && !arguments.is_empty() {
        return Err("takes no arguments; run it without".to_owned());
    }
    if arguments.len() > room {
        return Err(format!("{} bytes of arguments, and a program takes {room}", arguments.len()));
    }
    Ok(())
}

/// Writes arguments into their area, which they fit into.
fn put_arguments(area: &mut [u8], arguments: &str) {
    area[..4].copy_from_slice(&(arguments.len() as u32).to_le_bytes());
    area[4..4 + arguments.len()].copy_from_slice(arguments.as_bytes());
}

fn refused(path: &str, row: &Row, status: Status) -> String {
    let reason = match status {
        Status::BadArgument | Status::QuotaExceeded => {
            "is larger than the store of the slot: make it smaller, or `store` in the manifest larger"
        }
        Status::Corrupt => "was refused by the kernel as damaged: copy it to the card again",
        Status::WrongState => "found its slot taken: try again",
        _ => "was refused: the manifest does not give the shell this slot (`loads`)",
    };
    format!("{path}: {reason} ({}, {status:?})", report::name(row))
}
