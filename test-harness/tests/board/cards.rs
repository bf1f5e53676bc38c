//! Cards that cannot be used, in front of the interactive system: each is named with its remedy, the shell works, and
//! nobody is restarted for what no restart can mend.
//!
//! Typed input is host I/O: these runs are judged by what must hold, not by their traces.

use crate::common::{Board, Setup, follow, plan, system};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use serde_json::json;
use std::fs::OpenOptions;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use test_harness::oracle::workload::{Follower, Promise};
use test_harness::target::card::{self, CARD_BYTES};

/// What the shell shows when it waits for a line.
const PROMPT: &str = "samsara> ";

/// Size of a small card in bytes.
const SMALL_BYTES: u64 = 1 << 20;

/// What the emulator says of a card of one sector, whose registers cannot tell so small a size.
const BEYOND_ONE_SECTOR: &str = "> card 512 [%512]";

/// Blocks of a card's file system in bytes, and the blocks that are damaged (ext4 with blocks of 1 KiB): the superblock
/// and the group descriptors.
const BLOCK: u64 = 1024;
const SUPERBLOCK: u64 = 1;
const DESCRIPTORS: u64 = 2;

/// Bytes that are written to a place of a card.
type Damage = (u64, Vec<u8>);

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// A file of `bytes` bytes that begins with `head`.
fn file(folder: &Path, bytes: u64, head: &[u8]) -> PathBuf {
    let path = folder.join("card.img");
    std::fs::write(&path, head).unwrap();
    OpenOptions::new().write(true).open(&path).unwrap().set_len(bytes).unwrap();
    path
}

/// A card with a file system, on which each place is overwritten.
fn damaged(folder: &Path, damages: &[Damage]) -> PathBuf {
    let path = folder.join("card.img");
    card::make(&path, CARD_BYTES).unwrap();
    let mut file = OpenOptions::new().write(true).open(&path).unwrap();
    for (place, bytes) in damages {
        file.seek(SeekFrom::Start(*place)).unwrap();
        file.write_all(bytes).unwrap();
    }
    path
}

fn garbage(bytes: usize) -> Vec<u8> {
    let mut garbage = vec![0; bytes];
    ChaCha8Rng::seed_from_u64(3).fill_bytes(&mut garbage);
    garbage
}

/// The first block of a file, as debugfs says.
fn first_block(image: &Path, inode: &str) -> u64 {
    let mut command = std::process::Command::new(card::tool("debugfs"));
    let output = command.arg("-R").arg(format!("bmap {inode} 0")).arg(image).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Where an inode lies on the card, in bytes, as debugfs says ("located at block B, offset 0xO").
fn inode_place(image: &Path, inode: &str) -> u64 {
    let mut command = std::process::Command::new(card::tool("debugfs"));
    let output = command.arg("-R").arg(format!("imap {inode}")).arg(image).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let after =
        |key: &str| text.split(key).nth(1).unwrap().split([',', '\n']).next().unwrap().trim().to_owned();
    let offset = u64::from_str_radix(after("offset").trim_start_matches("0x"), 16).unwrap();
    after("at block").parse::<u64>().unwrap() * BLOCK + offset
}

/// Boots the interactive system with this card and asks the shell; `told`: what `ls` and the file server's log must say.
fn assert_named(what: &str, card: Option<&Path>, told: &str) {
    let system = system("shell");
    let mut board = Board::boot(&system, &Setup { card, ..Setup::default() });
    board.until(&format!("{what}: the prompt"), |board| board.text(0).contains(PROMPT));
    let listing = board.type_line("ls /", PROMPT);
    assert!(listing.contains(told), "{what}: `ls` says {listing:?}; {:?}", board.logged("fs"));
    // The remedy is told to who asks.
    let log = board.type_line("log fs", PROMPT);
    assert!(log.contains("no file system: "), "{what}: `log fs` says {log:?}");
    let help = board.type_line("help", PROMPT);
    assert!(help.contains("ps") && help.contains("log"), "{what}: `help` says {help:?}");
    let processes = board.type_line("ps", PROMPT);
    for slot in &system.slots {
        assert!(processes.contains(&slot.name), "{what}: `ps` says {processes:?}");
    }
    assert!(!processes.contains("quarantined"), "{what}: `ps` says {processes:?}");
    assert_eq!(board.all_deaths(), Vec::<String>::new(), "{what}");
    board.finish_after(|error| error.ends_with(BEYOND_ONE_SECTOR));
}

#[test]
fn no_card_is_named() {
    assert_named("no card", None, "no SD card");
}

#[test]
fn cards_without_a_file_system_are_named() {
    let folder = folder();
    let mut fat = garbage(512);
    fat[..11].copy_from_slice(b"\xEB\x3C\x90mkfs.fat");
    fat[510..512].copy_from_slice(&[0x55, 0xAA]);
    fat[446..510].fill(0);
    let mut partition = vec![0; 512];
    partition[446 + 4] = 0x0C;
    partition[446 + 8..446 + 16].copy_from_slice(&[0, 8, 0, 0, 0, 8, 0, 0]);
    partition[510..512].copy_from_slice(&[0x55, 0xAA]);
    let ones = vec![0xFF; SMALL_BYTES as usize];
    let cards: [(&str, u64, &[u8], &str); 6] = [
        // The emulated card says that it has more sectors, and reads them as zeros. An empty file the emulator refuses.
        ("a card of one sector", 512, &[], "empty"),
        ("zeros", SMALL_BYTES, &[], "empty"),
        ("random bytes", SMALL_BYTES, &garbage(SMALL_BYTES as usize), "no ext4"),
        ("ones", SMALL_BYTES, &ones, "no ext4"),
        ("FAT without partitions", SMALL_BYTES, &fat, "no ext4"),
        ("a FAT partition", SMALL_BYTES, &partition, "no ext4"),
    ];
    for (what, bytes, head, told) in cards {
        assert_named(what, Some(&file(folder.path(), bytes, head)), told);
    }
}

#[test]
fn damaged_file_systems_are_named() {
    let folder = folder();
    let clean = damaged(folder.path(), &[]);
    let (journal, root) = (first_block(&clean, "<8>") * BLOCK, inode_place(&clean, "<2>"));
    let journal_inode = inode_place(&clean, "<8>");
    let superblock = SUPERBLOCK * BLOCK;
    let cards: [(&str, &[Damage]); 8] = [
        ("random bytes behind the superblock's magic number", &[(superblock + 64, garbage(900))]),
        ("a superblock with impossible sizes", &[(superblock, vec![0xFF; 48])]),
        ("zeros for group descriptors", &[(DESCRIPTORS * BLOCK, vec![0; BLOCK as usize])]),
        ("random group descriptors", &[(DESCRIPTORS * BLOCK, garbage(BLOCK as usize))]),
        ("a journal without superblock", &[(journal, vec![0; BLOCK as usize])]),
        ("random bytes for the journal's superblock", &[(journal, garbage(BLOCK as usize))]),
        ("a root directory without inode", &[(root, vec![0; 256])]),
        ("a journal without inode", &[(journal_inode, garbage(256))]),
    ];
    for (what, damages) in cards {
        assert_named(what, Some(&damaged(folder.path(), damages)), "damaged");
    }
}

/// Waits until the shell has told of a death and asks again.
fn until_news(board: &mut Board, news: &str) {
    board.until(news, |board| board.text(0).split_once(news).is_some_and(|(_, rest)| rest.contains(PROMPT)));
}

#[test]
fn a_card_that_is_taken_out_is_an_error_and_no_restart_loop() {
    let system = system("shell");
    let folder = folder();
    let card = damaged(folder.path(), &[]);
    let mut board = Board::boot(&system, &Setup { card: Some(&card), ..Setup::default() });
    board.until("the prompt", |board| board.text(0).contains(PROMPT));
    let written = board.type_line("write /kept words of before", PROMPT);
    assert!(board.type_line("cat /kept", PROMPT).contains("words of before"), "{written:?}");
    board.control("eject", &json!({ "device": "sd0", "force": true }));
    let refused = board.type_line("write /lost words of after", PROMPT);
    // The shell tells of the death, and then asks again.
    until_news(&mut board, "incarnation 2 runs");
    let listing = board.type_line("ls /", PROMPT);
    assert!(
        listing.contains("no SD card"),
        "`write` says {refused:?}, `ls` says {listing:?}; {}",
        board.story()
    );
    // What comes after success is doubted once: a fresh driver said the same. The file server ended once, as it must after an error
    // from below.
    assert_eq!(board.deaths("block"), 1, "{:?}", board.all_deaths());
    assert!(board.deaths("fs") <= 1, "{:?}", board.all_deaths());
    let ps = board.type_line("ps", PROMPT);
    assert!(!ps.contains("quarantined"), "{ps:?}");
    assert!(board.deaths("fs") <= 1, "{:?}", board.all_deaths());

    // The remedy that was named works.
    board.control("blockdev-change-medium", &json!({ "device": "sd0", "filename": card, "format": "raw" }));
    let restarted = board.type_line("service restart fs", PROMPT);
    until_news(&mut board, "incarnation 3 runs");
    let kept = board.type_line("cat /kept", PROMPT);
    assert!(kept.contains("words of before"), "{restarted:?} {kept:?}; {}", board.story());
    board.finish();
}

#[test]
fn a_card_that_is_taken_out_of_the_demo_is_reported_by_the_driver_in_time() {
    let system = system("demo");
    let folder = folder();
    let card = damaged(folder.path(), &[]);
    let setup = Setup { card: Some(&card), plan: Some(plan(1, 0, &[])), ..Setup::default() };
    let mut board = Board::boot(&system, &setup);
    let mut follower = Follower::new(1, Promise::Acknowledged);
    let client = board.slot("client");
    board.until("the client is to work", |board| {
        follower = Follower::new(1, Promise::Acknowledged);
        follow(&mut follower, client, &board.events, 0);
        follower.acknowledged() > 20
    });
    board.control("eject", &json!({ "device": "sd0", "force": true }));
    let no_card = |board: &Board| board.logged("fs").iter().any(|line| line.contains("no SD card"));
    board.until("the file server is to name the missing card", no_card);
    // Enough of the board's time for a loop of restarts to show itself.
    let from = board.events.len();
    board.until("some more events", |board| board.events.len() > from + 400);
    // In the middle of a transfer the first error may be any: the file server complains of it, once, and the next driver knows.
    assert!(board.deaths("block") <= 1, "{:?}", board.all_deaths());
    assert_eq!(board.deaths("fs"), 1, "{:?}", board.all_deaths());
    board.finish();
}
