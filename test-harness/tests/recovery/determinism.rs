//! A run is a function of image, plan and seed, and of nothing else.

use super::support::{Boot, MS, Place, is_record, plan, run, step, system};
use abi::PAGE_SIZE;
use abi::image::{MAGIC, SystemHeader};
use abi::plan::Fault;
use abi::syscall::trigger;
use crc::{CRC_32_ISO_HDLC, Crc};
use probe_core::Record;
use std::process::{Child, Command, Stdio};
use test_harness::system::System;
use zerocopy::{FromBytes, IntoBytes};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The trace hash of a short run in which the file server is killed twice and its driver once.
fn hash(system: &System, seed: u64) -> String {
    let [block, fs, client] = ["block", "fs", "client"].map(|name| system.slot(name).unwrap());
    let entries = [
        step(121 * MS, Fault::Kill, fs, trigger::SENT, 20),
        step(123 * MS, Fault::Kill, block, trigger::NOW, 0),
        step(125 * MS, Fault::Panic, fs, trigger::RECEIVED, 3),
    ];
    let place = Place::new();
    let boot = Boot {
        system,
        card: Some(&place.card),
        plan: Some(plan(seed, 122 * MS, &entries)),
        seed,
        folder: place.folder.path(),
    };
    let evidence = run(&boot, |_, event| is_record(event, client, |record| record == Record::Finished));
    assert_eq!(evidence.deaths().len(), 3);
    evidence.hash()
}

/// A process that uses all the CPU that it gets, until it is dropped.
struct Busy(Child);

impl Busy {
    fn new() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "while :; do :; done"]).stdin(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        // It may have ended only because it was killed.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_on_a_busy_computer_too() {
    let system = system("test-files");
    let first = hash(&system, 1);
    assert_eq!(hash(&system, 1), first, "on a quiet computer");
    let busy = [Busy::new(), Busy::new()];
    assert_eq!(hash(&system, 1), first, "on a busy computer");
    drop(busy);
    assert_ne!(hash(&system, 2), first, "another seed");
}

/// The image with 1 added to the constant `name` of a component's manifest entry, wherever an image has it.
fn changed(image: &[u8], name: &str) -> Vec<u8> {
    let mut image = image.to_vec();
    let pages = || (0..image.len()).step_by(PAGE_SIZE);
    let base = pages().find(|at| image[*at..].starts_with(&MAGIC.to_le_bytes())).expect("a system's header");
    let (mut header, _) = SystemHeader::read_from_prefix(&image[base..]).unwrap();
    // A binding: kind, number, value, name; the value ends where the name begins.
    let pattern: Vec<u8> = name.bytes().chain([0]).collect();
    let found: Vec<_> =
        (base..image.len() - pattern.len()).filter(|at| image[*at..].starts_with(&pattern)).collect();
    for at in &found {
        let value = u64::read_from_bytes(&image[at - 8..*at]).unwrap() + 1;
        image[at - 8..*at].copy_from_slice(value.as_bytes());
    }
    let bundle = base + header.bundle_a as usize;
    for page in 0..header.page_count as usize {
        let at = bundle + page * PAGE_SIZE;
        let crc = CRC.checksum(&image[at..at + PAGE_SIZE]);
        let entry = base + header.page_crcs as usize + 4 * page;
        image[entry..entry + 4].copy_from_slice(&crc.to_le_bytes());
    }
    let tables = base + SystemHeader::SEALED..base + header.tables_end as usize;
    header.tables_crc = CRC.checksum(&image[tables]);
    image[base..base + size_of::<SystemHeader>()].copy_from_slice(header.as_bytes());
    assert!(!found.is_empty(), "no component has {name}");
    image
}

#[test]
fn one_changed_constant_in_a_component_gives_another_trace() {
    let system = system("test-files");
    let folder = tempfile::tempdir().unwrap();
    let image = std::fs::read(system.kernel()).unwrap();
    let copy = System { folder: folder.path().to_owned(), ..system.clone() };
    std::fs::write(copy.kernel(), &image).unwrap();
    assert_eq!(hash(&copy, 1), hash(&system, 1), "where the image lies does not matter");
    // The client's pause between two operations, one microsecond longer.
    std::fs::write(copy.kernel(), changed(&image, "?pause_us")).unwrap();
    assert_ne!(hash(&copy, 1), hash(&system, 1));
}
