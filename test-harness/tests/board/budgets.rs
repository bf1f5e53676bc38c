//! Figures that the project promises, measured on the systems as they were built.

use crate::common::{Board, Setup, follow, plan, system};
use abi::trace::Event;
use object::{Object, ObjectSection};
use test_harness::oracle::workload::{Follower, Promise};
use test_harness::target::card::{self, CARD_BYTES};

/// From power-on to the first receive of every component, with the card mounted, in nanoseconds of the board.
const BOOT_NS_MAX: u64 = 100_000_000;

/// From the death of a fixture of 64 KiB in a bank of 128 KiB to the first receive of the next one, in instructions.
const RESTART_INSTRUCTIONS_MAX: u64 = 100_000;

/// Nanoseconds of the board's time in which one instruction is executed (`qemu/`: `shift=0`).
const INSTRUCTION_NS: u64 = 1;

/// Bytes of the kernel's `.text` and `.rodata`.
const KERNEL_BYTES_MAX: u64 = 64 * 1024;

#[test]
fn booting_with_the_card_mounted_takes_at_most_100_ms() {
    let system = system("demo");
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.img");
    card::make(&card, CARD_BYTES).unwrap();
    let setup = Setup { card: Some(&card), plan: Some(plan(1, 0, &[])), ..Setup::default() };
    let mut board = Board::boot(&system, &setup);
    let ready = system.slots.iter().map(|slot| board.until_ready(&slot.name, 0).2);
    let boot_ns = ready.collect::<Vec<_>>().into_iter().max().unwrap();
    // A file server that could not mount would be ready, too: the client must be able to work on the card.
    let mut follower = Follower::new(1, Promise::Acknowledged);
    let (client, mut seen) = (board.slot("client"), 0);
    board.until("the client is to work", |board| {
        seen = follow(&mut follower, client, &board.events, seen);
        follower.acknowledged() > 3
    });
    assert_eq!(follower.findings(), []);
    println!("from power-on to all components ready: {boot_ns} ns of at most {BOOT_NS_MAX}");
    assert!(
        boot_ns <= BOOT_NS_MAX,
        "{boot_ns} ns from power-on to all components ready; {BOOT_NS_MAX} are allowed"
    );
    board.finish();
}

#[test]
fn a_restart_of_64_kib_takes_at_most_100_000_instructions() {
    let system = system("bench");
    let setup = Setup { plan: Some(plan(1, 0, &[])), ..Setup::default() };
    let mut board = Board::boot(&system, &setup);
    let fixture = board.slot("fixture");
    let is_death = |event: &Event| matches!(*event, Event::Died { slot, .. } if slot == fixture);
    let is_ready = |event: &Event| matches!(*event, Event::Ready { slot, .. } if slot == fixture);
    let (mut next, mut slowest, mut fastest) = (0, 0, u64::MAX);
    for _ in 0..8 {
        let (after_death, died) = board.until_event(next, "a fixture is to be killed", is_death);
        let (after_ready, ready) =
            board.until_event(after_death, "the next fixture is to be ready", is_ready);
        next = after_ready;
        slowest = slowest.max((ready - died) / INSTRUCTION_NS);
        fastest = fastest.min((ready - died) / INSTRUCTION_NS);
    }
    println!(
        "from death to the next first receive: {fastest} to {slowest} instructions of at most {RESTART_INSTRUCTIONS_MAX}"
    );
    assert!(
        slowest <= RESTART_INSTRUCTIONS_MAX,
        "{slowest} instructions from death to the next first receive; {RESTART_INSTRUCTIONS_MAX} are allowed"
    );
    board.finish();
}

#[test]
fn the_kernel_has_at_most_64_kib_of_code_and_constants() {
    let path = system("demo").folder.join("elf/kernel");
    let elf = std::fs::read(&path).unwrap();
    let file = object::File::parse(&*elf).unwrap();
    let size = |prefix: &str| -> u64 {
        let named =
            file.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(prefix)));
        named.map(|section| section.size()).sum()
    };
    let (text, rodata) = (size(".text"), size(".rodata"));
    assert!(text > 0, "{} has no code", path.display());
    println!(
        "the kernel's .text {text} and .rodata {rodata}: {} of at most {KERNEL_BYTES_MAX} bytes",
        text + rodata
    );
    assert!(
        text + rodata <= KERNEL_BYTES_MAX,
        "{} bytes of .text and .rodata; {KERNEL_BYTES_MAX} are allowed",
        text + rodata
    );
}
