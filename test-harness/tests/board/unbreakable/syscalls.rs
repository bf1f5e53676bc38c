//! Line 10: system calls at random, hostile pointers and lengths among them, from a component with ordinary rights and from
//! one with all; what others have in memory is looked at from outside.
//!
//! The fuzzer itself (`apps/fuzzer`) fails if an answer is not one that the call may give. Here physical memory is compared
//! with that of a run in which it makes no calls: everything that belongs to nobody who runs because of the calls, and, with
//! what the build made, the kernel's code, its tables and the bundles.

use crate::common::image::BootImage;
use crate::common::{Board, Depth, Setup, depth, plan_with, system};
use crate::memory_dump::assert_fresh;
use crate::wild_calls::{ORDINARY, SUPERVISOR, run};
use abi::rights::SlotRights;
use abi::trace::Event;
use object::{Object, ObjectSection};
use std::ops::Range;
use test_harness::system::System;

/// Bytes behind everything that the build has placed, which must stay as they are, too.
const BEHIND: u64 = 1 << 20;

/// Where the kernel sees physical memory.
const LINEAR: u64 = 0xFFFF_FF80_0000_0000;

/// Physical memory of a slot.
fn memory_of(rights: &SlotRights) -> [Range<u64>; 5] {
    let range = |base: u64, size: u64| base..base + size;
    [
        range(rights.bank_base, rights.bank_size),
        range(rights.arena_base, rights.arena_size),
        range(rights.checkpoint_base, 2 * rights.checkpoint_size),
        range(rights.log_base, rights.log_size),
        range(rights.store_base, rights.store_size),
    ]
}

/// The memory of components: from the first that the build has placed until behind the last.
fn all_memory(system: &System, image: &BootImage) -> Range<u64> {
    let ranges = || system.slots.iter().flat_map(|slot| memory_of(&image.rights(slot.slot)));
    let placed = || ranges().filter(|range| !range.is_empty());
    placed().map(|range| range.start).min().unwrap()..placed().map(|range| range.end).max().unwrap() + BEHIND
}

/// Bytes of the kernel's image that are constant: code and read-only data, which come first.
fn constant_bytes(system: &System) -> usize {
    let elf = std::fs::read(system.kernel_elf().unwrap()).unwrap();
    let file = object::File::parse(&*elf).unwrap();
    let [text, rodata] = [".text", ".rodata"].map(|name| file.section_by_name(name).unwrap());
    assert!(text.address() < rodata.address());
    (rodata.address() + rodata.size() - text.address()) as usize
}

/// Fails if anything constant differs from what the build made.
fn assert_constant(board: &mut Board, image: &BootImage) -> usize {
    let kernel = constant_bytes(&board.system);
    let mut compared = 0;
    for (address, expected) in image.constants(kernel) {
        let found = board.memory(address, expected.len() as u64);
        let differs = found.iter().zip(expected).position(|(found, expected)| found != expected);
        assert_eq!(
            differs.map(|at| LINEAR + address + at as u64),
            None,
            "the kernel's constants have changed"
        );
        compared += expected.len();
    }
    compared
}

/// Memory of the components in a run without calls, when `idle` are at rest.
fn undisturbed(manifest: &str, idle: &[&str], memory: &Range<u64>) -> Vec<u8> {
    let setup = Setup { plan: Some(plan_with(1, 0, &[], 0)), ..Setup::default() };
    let mut board = Board::boot(&system(manifest), &setup);
    for component in idle {
        board.until_ready(component, 0);
    }
    board.memory(memory.start, memory.end - memory.start)
}

/// Has `fuzzer` make so many calls, and compares the memory of everybody but the `active`.
fn compare(manifest: &str, fuzzer: (&str, u32), active: &[&str], idle: &[&str], calls: u32) {
    let system = system(manifest);
    let image = BootImage::read(&system.kernel());
    let memory = all_memory(&system, &image);
    let before = undisturbed(manifest, idle, &memory);
    let (mut board, report) = run(manifest, fuzzer.0, fuzzer.1, 1, calls);
    let after = board.memory(memory.start, memory.end - memory.start);
    let constant = assert_constant(&mut board, &image);

    let own: Vec<_> = active.iter().flat_map(|name| memory_of(&image.rights(board.slot(name)))).collect();
    let owner = |address: u64| {
        let has = |slot: &&test_harness::system::Slot| {
            memory_of(&image.rights(slot.slot)).iter().any(|range| range.contains(&address))
        };
        system.slots.iter().find(has).map_or("nobody", |slot| &slot.name)
    };
    let (mut compared, mut telling) = (0, 0);
    for (address, (old, new)) in (memory.start..).zip(before.iter().zip(&after)) {
        if own.iter().any(|range| range.contains(&address)) {
            continue;
        }
        assert_eq!(old, new, "{address:#x}, memory of {}, was written", owner(address));
        compared += 1;
        // Zeros, and memory of nobody, would say little.
        telling += u64::from(*old != 0 && owner(address) != "nobody");
    }
    let others: Vec<_> = active.iter().filter(|name| **name != "prey").collect();
    for component in &others {
        assert_fresh(&mut board, &image, component, false);
    }
    println!(
        "{} random calls of {}: {} carried out, {} refused; {compared} bytes of others, {telling} of them telling, and {constant} of the kernel's as before; code of {} as built",
        report.all,
        fuzzer.0,
        report.done,
        report.refused,
        others.len()
    );
    assert!(
        report.all == calls && report.done > calls / 20 && report.refused > calls / 2,
        "too tame or too wild"
    );
    assert!(compared > 1 << 20 && telling > 8192 * idle.len() as u64, "there was nothing to compare");
    // The idle ones are alive, and nobody died but the fuzzer and what it controls.
    for component in idle {
        assert_eq!(board.deaths(component), 0, "{:?}", board.all_deaths());
    }
    let strangers = |event: &Event| matches!(*event, Event::Died { slot, .. } if ![fuzzer.0, "prey"].contains(&&*system.name(slot)));
    assert_eq!(board.all().filter(|(_, event)| strangers(event)).count(), 0, "{:?}", board.all_deaths());
    board.finish_after(|error| error.starts_with("bcm2835_systmr"));
}

/// Calls of each of the two.
fn calls() -> u32 {
    match depth() {
        Depth::Quick => 50_000,
        Depth::Full => 500_000,
        Depth::Soak => 50_000_000,
    }
}

#[test]
fn line_10_no_call_of_an_ordinary_component_writes_to_what_is_not_its_own() {
    let active = ["root", "rs", "injector", "echo", "server", "witness", "wild"];
    compare("test-wild", ("wild", ORDINARY), &active, &["neighbour-1", "neighbour-2"], calls());
}

#[test]
fn line_10_no_call_of_a_supervisor_writes_to_what_it_does_not_start() {
    compare("test-wild-control", ("rs", SUPERVISOR), &["rs", "prey"], &["root", "bystander"], calls());
}
