//! Programs from the card in a spare slot: run, failed, ended, their memory given back; and files that are no programs.
//!
//! Typed input is host I/O: these runs are judged by what must hold, not by their traces.

use crate::common::{Board, Setup, system};
use abi::program::{HEADER_BYTES, ProgramHeader};
use crc::{CRC_32_ISO_HDLC, Crc};
use std::path::Path;
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};

/// What the shell shows when it waits for a line.
const PROMPT: &str = "samsara> ";

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// `b .`
const ENDLESS: [u8; 4] = 0x1400_0000_u32.to_le_bytes();

fn hello(system: &System) -> Vec<u8> {
    std::fs::read(system.folder.join("bin/hello")).unwrap()
}

/// Makes the checksums of the first page and of the header right again.
fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    let page = CRC.checksum(&file[HEADER_BYTES..2 * HEADER_BYTES]).to_le_bytes();
    file[size_of::<ProgramHeader>()..][..4].copy_from_slice(&page);
    let crc = CRC.checksum(&file[ProgramHeader::SEALED..HEADER_BYTES]).to_le_bytes();
    file[ProgramHeader::SEALED - 4..ProgramHeader::SEALED].copy_from_slice(&crc);
    file
}

/// The program with these bytes at its first instruction, which is where it is entered.
fn entered_at(file: &[u8], instruction: [u8; 4]) -> Vec<u8> {
    let mut changed = file.to_vec();
    changed[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&instruction);
    sealed(changed)
}

/// The program with so many pages of zeroed data stored behind its own.
fn padded(file: &[u8], pages: u32) -> Vec<u8> {
    let mut file = file.to_vec();
    let image = std::mem::offset_of!(ProgramHeader, image);
    let stored = (file.len() / HEADER_BYTES - 1) as u32;
    let data = image + std::mem::offset_of!(abi::image::ImageHeader, data_pages);
    let length = std::mem::offset_of!(ProgramHeader, file_bytes);
    for (field, add) in [(data, pages), (length, pages * HEADER_BYTES as u32)] {
        let value = u32::from_le_bytes(file[field..][..4].try_into().unwrap()) + add;
        file[field..][..4].copy_from_slice(&value.to_le_bytes());
    }
    let crc = CRC.checksum(&[0; HEADER_BYTES]).to_le_bytes();
    for page in stored..stored + pages {
        file[size_of::<ProgramHeader>() + 4 * page as usize..][..4].copy_from_slice(&crc);
    }
    file.resize(file.len() + pages as usize * HEADER_BYTES, 0);
    sealed(file)
}

/// A board at the shell, with these files in `/bin` of its card.
fn board(folder: &Path, system: &System, files: &[(&str, Vec<u8>)]) -> Board {
    let (card, bin) = (folder.join("card.img"), folder.join("bin"));
    card::make(&card, CARD_BYTES).unwrap();
    std::fs::create_dir(&bin).unwrap();
    for (name, bytes) in files {
        std::fs::write(bin.join(name), bytes).unwrap();
    }
    card::install(&card, &bin).unwrap();
    let mut board = Board::boot(system, &Setup { card: Some(&card), ..Setup::default() });
    board.until("the prompt", |board| board.text(0).contains(PROMPT));
    board
}

#[test]
fn a_program_runs_fails_is_ended_and_gives_its_memory_back() {
    let system = system("shell");
    let folder = tempfile::tempdir().unwrap();
    let hello = hello(&system);
    let files = [
        ("hello", hello.clone()),
        ("spin", entered_at(&hello, ENDLESS)),
        ("trap", entered_at(&hello, [0; 4])),
    ];
    let mut board = board(folder.path(), &system, &files);
    board.type_line("write hello.txt good morning", PROMPT);
    // RS's reports make the shell show its prompt again: each answer is waited for by its own words.
    board.type_line("run hello", "/hello.txt begins with \"good morning\\n\"");
    board.type_line("run hello nosuch", "hello: /nosuch: no such file");
    let given_back = |board: &mut Board, how: &str| {
        let listed = board.type_line("ps", "\napp2");
        let row = listed.lines().find(|line| line.starts_with("app1")).unwrap_or_default();
        assert!(row.contains(how) && row.contains(" 0B/512K"), "{listed}");
    };
    given_back(&mut board, "finished");

    // It fails, and comes back as often as the manifest says, from its fresh image.
    let before = board.deaths("app1");
    let said = board.type_line("run trap", "it is not started again");
    assert!(said.contains("trap has died") && said.contains("(CPU exception)"), "{said}");
    // The two lines are read one after the other: what is said on one may come before what the other has on it.
    board.until("four deaths of the program", |board| board.deaths("app1") - before >= 4);
    assert_eq!(board.deaths("app1") - before, 4, "the first time, and three more; {said}");

    // It would never end: Ctrl-C. Its start has taken the slot out of quarantine.
    board.type_line("run spin\r\u{3}", "^C: spin has ended; the slot app1 is free");
    given_back(&mut board, "stopped");
    for _ in 0..10 {
        board.type_line("run hello", "/hello.txt begins with \"good morning\\n\"");
        given_back(&mut board, "finished");
    }
    let others = board.all_deaths().into_iter().filter(|death| !death.contains("app1")).count();
    assert_eq!(others, 0, "{}", board.story());
    board.finish();
}

#[test]
fn files_that_are_no_programs_are_refused_with_the_reason() {
    let system = system("shell");
    let folder = tempfile::tempdir().unwrap();
    let hello = hello(&system);
    let flipped = |place: usize| {
        let mut file = hello.clone();
        file[place] ^= 0x10;
        file
    };
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut file = hello.clone();
        change(&mut file);
        sealed(file)
    };
    let image = std::mem::offset_of!(ProgramHeader, image);
    let entry = image + std::mem::offset_of!(abi::image::ImageHeader, entry);
    let bss = image + std::mem::offset_of!(abi::image::ImageHeader, bss_pages);
    let cases: [(&str, Vec<u8>, &str); 11] = [
        ("empty", Vec::new(), "is no program"),
        ("text", vec![b'x'; 20_000], "is no program"),
        ("short", hello[..hello.len() - 4096].to_vec(), "is cut short"),
        ("long", [&hello[..], &[0; 4096]].concat(), "has something behind its end"),
        ("header", flipped(900), "checksum of the header"),
        ("page", flipped(HEADER_BYTES + 5000), "checksum of a page"),
        ("version", changed(&|file| file[12] += 1), "another version"),
        ("entry", changed(&|file| file[entry + 3] ^= 0x40), "does not begin in its text"),
        ("huge", vec![b'x'; 2 << 20], "is no program"),
        ("large", padded(&hello, 80), "is larger than the store"),
        ("bss", changed(&|file| file[bss + 3] = 0x7F), "too large"),
    ];
    let files: Vec<(&str, Vec<u8>)> = cases.iter().map(|(name, file, _)| (*name, file.clone())).collect();
    let mut board = board(folder.path(), &system, &files);
    for (name, _, reason) in &cases {
        let said = board.type_line(&format!("run {name}"), reason);
        assert!(said.contains(&format!("/bin/{name}: ")), "{name}: {said}");
    }
    board.type_line("run nosuch", "/bin/nosuch: no such file");
    assert_eq!(board.all_deaths(), Vec::<String>::new());
    board.finish();
}
