//! The judge of memory: what components can reach, and what must not have changed, in a copy of the board's memory.
//!
//! *Rule.* The copy is taken by the emulator and compared with the boot image. Nothing that the kernel says counts.
//!
//! | what | must be |
//! |---|---|
//! | code and constants of the kernel, the tables of rights, both bundles | as the build made them |
//! | what the translation tables of a component map | pages of its own bank that are no such tables, its arena, its device windows, the plan where it has the right; nothing writable is executable |
//! | code and constants of a component that is no target | as in its image |
//!
//! A component that is dead has the tables of its last incarnation, or none: they are held to the same.
//!
//! # Resources
//! - *Arm Architecture Reference Manual for A-profile* (DDI 0487), D8.3 (descriptor formats), D8.4 (access permissions).

use crate::boot_image::{BootImage, LOADED_AT};
use crate::system::System;
use abi::PAGE_SIZE;
use abi::layout::{
    ARENA_BASE, DEVICE_BASE, DEVICE_STRIDE, HEAP_END, IMAGE_BASE, PLAN_BASE, STACK_LIMIT, USER_END,
};
use abi::rights::Rights;
use anyhow::{Context, Result};
use object::{Object, ObjectSection};
use std::collections::BTreeSet;
use std::ops::Range;

const PAGE: u64 = PAGE_SIZE as u64;

/// Entries of a translation table.
const ENTRIES: u64 = 512;

const VALID: u64 = 1;
/// In the last level a page, above it a table.
const TABLE_OR_PAGE: u64 = 1 << 1;
const NOT_GLOBAL: u64 = 1 << 11;
const USER: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const PRIVILEGED_NO_EXECUTE: u64 = 1 << 53;
const USER_NO_EXECUTE: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_FFFF_FFFF_F000;

/// A copy of memory.
#[derive(Clone, Debug)]
pub struct Copy {
    /// Physical address of the first byte.
    pub base: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Copy {
    /// Bytes from `address` on; fewer, or none, where the copy ends before.
    fn at(&self, address: u64, length: usize) -> &[u8] {
        let Some(start) = address.checked_sub(self.base) else { return &[] };
        let start = (start as usize).min(self.bytes.len());
        &self.bytes[start..self.bytes.len().min(start.saturating_add(length))]
    }

    fn word(&self, address: u64) -> u64 {
        // What is not in the copy maps nothing; a table out there is found by its address.
        self.at(address, 8).try_into().map_or(0, u64::from_le_bytes)
    }
}

/// What a component may reach.
#[derive(Clone, Debug, Default)]
struct Domain {
    slot: u8,
    name: String,
    bank: Range<u64>,
    arena: Range<u64>,
    /// By handle; those that are not mapped are empty.
    windows: Vec<Range<u64>>,
    plan: Range<u64>,
    /// Pages of code.
    text_pages: u64,
    /// Code and constants, as the build made them.
    read_only: Vec<u8>,
}

/// What memory must be.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Physical addresses and bytes of what never changes.
    constants: Vec<(u64, Vec<u8>)>,
    domains: Vec<Domain>,
}

/// What is not judged in a trial.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exempt {
    /// Components whose own code may be what the fault has made of it.
    pub targets: Vec<u8>,
    /// The fault is in a copy of the bundle, from outside.
    pub constants: bool,
    /// The fault is in the kernel, which has a table of its own.
    pub all: bool,
}

impl Expected {
    /// Of a system that was built.
    ///
    /// # Errors
    /// The boot image or the kernel's ELF file cannot be read or understood.
    pub fn of(system: &System) -> Result<Self> {
        let image = BootImage::read(&system.kernel())?;
        let constants = image.constants(constant_bytes(system)?);
        let constants = constants.map(|(address, bytes)| (address, bytes.to_vec())).to_vec();
        let domains = (0..image.slot_count()).map(|slot| Domain::of(&image, system, slot));
        Ok(Self { constants, domains: domains.collect::<Result<_>>()? })
    }

    /// The physical memory that is needed to judge: from the kernel to the end of the last bank.
    pub fn range(&self) -> Range<u64> {
        let constants = self.constants.iter().map(|(address, bytes)| address + bytes.len() as u64);
        let banks = self.domains.iter().map(|domain| domain.bank.end);
        LOADED_AT..constants.chain(banks).max().unwrap_or(LOADED_AT)
    }

    /// Everything in the copy that must not be; of each component the first thing only.
    pub fn judge(&self, copy: &Copy, exempt: &Exempt) -> Vec<String> {
        if exempt.all {
            return Vec::new();
        }
        let constants = self.constants.iter().filter(|_| !exempt.constants);
        let changed = constants.filter_map(|(address, bytes)| changed(copy, *address, bytes));
        let reached = self.domains.iter().filter_map(|domain| {
            domain
                .judge(copy, !exempt.targets.contains(&domain.slot))
                .map(|what| format!("{}: {what}", domain.name))
        });
        changed.chain(reached).collect()
    }
}

/// Bytes of the kernel that are constant: code and read-only data, which come first.
fn constant_bytes(system: &System) -> Result<usize> {
    let path = system.kernel_elf().context("the build has kept no ELF file of the kernel; build again")?;
    let elf = std::fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let file = object::File::parse(&*elf).with_context(|| format!("in {}", path.display()))?;
    let section = |name| {
        let section = file.section_by_name(name);
        section.with_context(|| format!("{}: no section {name}", path.display()))
    };
    let (text, rodata) = (section(".text")?, section(".rodata")?);
    Ok((rodata.address() + rodata.size() - text.address()) as usize)
}

fn changed(copy: &Copy, address: u64, bytes: &[u8]) -> Option<String> {
    let found = copy.at(address, bytes.len());
    if found == bytes {
        return None;
    }
    let same = found.iter().zip(bytes).take_while(|(found, expected)| found == expected).count();
    Some(format!("what never changes was changed at {:#x}", address + same as u64))
}

impl Domain {
    fn of(image: &BootImage, system: &System, slot: u8) -> Result<Self> {
        let rights = image.rights(slot)?;
        let (mut text_pages, mut read_only) = (0, Vec::new());
        // A spare slot has no image; what it runs is not known here.
        if let Ok(header) = image.image(slot) {
            text_pages = u64::from(header.text_pages);
            for page in 0..header.text_pages + header.rodata_pages {
                read_only.extend_from_slice(&image.bytes()[image.place(slot, 0, page)?]);
            }
        }
        let mapped =
            |window: &abi::rights::Window| pages_of(window.base, window.size * u64::from(window.mapped));
        let has_plan = Rights::from_bits_truncate(rights.flags).contains(Rights::PLAN);
        Ok(Self {
            slot,
            name: system.name(slot),
            bank: range(rights.bank_base, rights.bank_size),
            arena: range(rights.arena_base, rights.arena_size),
            windows: rights.windows.iter().map(mapped).collect(),
            plan: if has_plan { image.plan() } else { 0..0 },
            text_pages,
            read_only,
        })
    }

    /// The first thing that must not be.
    fn judge(&self, copy: &Copy, with_contents: bool) -> Option<String> {
        let entries = |table: u64| (0..ENTRIES).map(move |index| (index, copy.word(table + 8 * index)));
        let roots: Vec<_> = entries(self.bank.start).filter(|(_, entry)| entry & VALID != 0).collect();
        let mut tables = BTreeSet::from([self.bank.start]);
        tables.extend(roots.iter().map(|(_, entry)| entry & ADDRESS));
        if let Some(table) = tables.iter().find(|table| !self.bank.contains(table)) {
            return Some(format!("a table of its translations lies at {table:#x}, not in its bank"));
        }
        if let Some((_, entry)) = roots.iter().find(|(_, entry)| entry & TABLE_OR_PAGE == 0) {
            return Some(format!("a block is mapped (descriptor {entry:#x})"));
        }
        let mut mapped = BTreeSet::new();
        roots.iter().find_map(|(root, entry)| {
            entries(entry & ADDRESS).filter(|(_, leaf)| leaf & VALID != 0).find_map(|(index, leaf)| {
                let address = (root * ENTRIES + index) * PAGE;
                let is_first = mapped.insert(leaf & ADDRESS);
                self.judge_leaf(address, leaf, &tables)
                    .or_else(|| (!is_first).then(|| format!("{address:#x} is a page that is mapped already")))
                    .or_else(|| self.contents(copy, address, leaf).filter(|_| with_contents))
            })
        })
    }

    /// What is wrong with one mapping.
    fn judge_leaf(&self, address: u64, leaf: u64, tables: &BTreeSet<u64>) -> Option<String> {
        let physical = leaf & ADDRESS;
        let page = address.checked_sub(IMAGE_BASE).map(|offset| offset / PAGE);
        let (own, read_only, is_code) = match address {
            STACK_LIMIT..HEAP_END => {
                let is_own = self.bank.contains(&physical) && !tables.contains(&physical);
                let is_constant = page.is_some_and(|page| page < self.constant_pages());
                (is_own, is_constant, page.is_some_and(|page| page < self.text_pages))
            }
            ARENA_BASE..PLAN_BASE => (self.arena.contains(&physical), false, false),
            PLAN_BASE..DEVICE_BASE => (self.plan.contains(&physical), true, false),
            DEVICE_BASE..USER_END => {
                let window = self.windows.get(((address - DEVICE_BASE) / DEVICE_STRIDE) as usize);
                (window.is_some_and(|window| window.contains(&physical)), false, false)
            }
            _ => (false, false, false),
        };
        let may_execute = leaf & USER_NO_EXECUTE == 0;
        let says = |what: &str| Some(format!("{address:#x} is {what} (descriptor {leaf:#x})"));
        if !own {
            return says(&format!("the physical page {physical:#x}, which is not its own"));
        }
        if read_only && leaf & READ_ONLY == 0 {
            return says("writable");
        }
        // Of a spare slot it is not known where its code ends.
        if may_execute && !is_code && !(self.read_only.is_empty() && leaf & READ_ONLY != 0) {
            return says("executable");
        }
        if leaf & PRIVILEGED_NO_EXECUTE == 0 || leaf & USER == 0 || leaf & TABLE_OR_PAGE == 0 {
            return says("the kernel's, or no page");
        }
        if leaf & NOT_GLOBAL == 0 {
            return says("everybody's");
        }
        None
    }

    fn constant_pages(&self) -> u64 {
        self.read_only.len() as u64 / PAGE
    }

    /// What is wrong with the contents of a page of code or constants.
    fn contents(&self, copy: &Copy, address: u64, leaf: u64) -> Option<String> {
        let start = address.checked_sub(IMAGE_BASE)? as usize;
        let expected = self.read_only.get(start..start + PAGE_SIZE)?;
        let found = copy.at(leaf & ADDRESS, PAGE_SIZE);
        (found != expected).then(|| format!("its code or constants in the page of {address:#x} were changed"))
    }
}

const fn range(base: u64, size: u64) -> Range<u64> {
    base..base + size
}

/// The pages of a range.
const fn pages_of(base: u64, size: u64) -> Range<u64> {
    if size == 0 { 0..0 } else { base / PAGE * PAGE..(base + size).div_ceil(PAGE) * PAGE }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BANK: u64 = 0x10_0000;
    const PAGES: u64 = 16;
    const PAGE_OF_USER: u64 = USER | PRIVILEGED_NO_EXECUTE | NOT_GLOBAL | TABLE_OR_PAGE | VALID;
    const CODE: u64 = PAGE_OF_USER | READ_ONLY;
    const DATA: u64 = PAGE_OF_USER | USER_NO_EXECUTE;

    /// A component with a page of code and one of data, in a copy of its bank.
    struct Board {
        expected: Expected,
        copy: Copy,
    }

    impl Board {
        fn new() -> Self {
            let domain = Domain {
                slot: 3,
                name: "fs".to_owned(),
                bank: range(BANK, PAGES * PAGE),
                arena: range(0x20_0000, 2 * PAGE),
                windows: vec![pages_of(0x3F20_1000, 0x90)],
                text_pages: 1,
                read_only: vec![7; PAGE_SIZE],
                ..Domain::default()
            };
            let constants = vec![(BANK + PAGES * PAGE, vec![9; 100])];
            let mut bytes = vec![0; (PAGES * PAGE) as usize];
            bytes.extend([9; 100]);
            let mut board = Self {
                expected: Expected { constants, domains: vec![domain] },
                copy: Copy { base: BANK, bytes },
            };
            board.table(IMAGE_BASE, 1);
            board.map(IMAGE_BASE, BANK + 2 * PAGE, CODE);
            board.map(IMAGE_BASE + PAGE, BANK + 3 * PAGE, DATA);
            board.copy.bytes[2 * PAGE_SIZE..3 * PAGE_SIZE].fill(7);
            board
        }

        fn put(&mut self, address: u64, word: u64) {
            let at = (address - BANK) as usize;
            self.copy.bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }

        fn table(&mut self, address: u64, page: u64) {
            self.put(BANK + 8 * (address / PAGE / ENTRIES), (BANK + page * PAGE) | 3);
        }

        fn map(&mut self, address: u64, physical: u64, how: u64) {
            let table = self.copy.word(BANK + 8 * (address / PAGE / ENTRIES)) & ADDRESS;
            self.put(table + 8 * (address / PAGE % ENTRIES), physical | how);
        }

        fn found(&self) -> String {
            self.expected.judge(&self.copy, &Exempt::default()).join("; ")
        }
    }

    #[test]
    fn what_belongs_there_may_be_there() {
        let mut board = Board::new();
        board.table(DEVICE_BASE, 4);
        board.map(DEVICE_BASE, 0x3F20_1000, DATA);
        board.table(ARENA_BASE, 5);
        board.map(ARENA_BASE, 0x20_1000, DATA);
        assert_eq!(board.found(), "");
        assert_eq!(board.expected.range(), LOADED_AT..BANK + PAGES * PAGE + 100);
    }

    #[test]
    fn what_is_not_its_own_is_named() {
        let cases = [
            (IMAGE_BASE + PAGE, BANK + PAGES * PAGE, DATA, "not its own"),
            (IMAGE_BASE + PAGE, BANK + PAGE, DATA, "not its own"),
            (IMAGE_BASE + PAGE, BANK, DATA, "not its own"),
            (IMAGE_BASE + PAGE, BANK + 3 * PAGE, DATA & !USER_NO_EXECUTE, "executable"),
            (IMAGE_BASE + PAGE, BANK + 3 * PAGE, DATA & !PRIVILEGED_NO_EXECUTE, "the kernel's"),
            (IMAGE_BASE, BANK + 2 * PAGE, CODE & !READ_ONLY, "writable"),
            (IMAGE_BASE + PAGE, BANK + 3 * PAGE, DATA & !NOT_GLOBAL, "everybody's"),
            (IMAGE_BASE + PAGE, BANK + 2 * PAGE, DATA, "mapped already"),
            (STACK_LIMIT - PAGE, BANK + 3 * PAGE, DATA, "not its own"),
        ];
        for (address, physical, how, what) in cases {
            let mut board = Board::new();
            board.map(address, physical, how);
            let found = board.found();
            assert!(found.starts_with("fs: 0x") && found.contains(what), "{found}, not {what}");
        }
        for (address, physical) in [(DEVICE_BASE, 0x3F20_2000), (ARENA_BASE, BANK), (PLAN_BASE, 0x200_0000)] {
            let mut board = Board::new();
            board.table(address, 4);
            board.map(address, physical, DATA | READ_ONLY);
            assert!(board.found().contains("not its own"), "{address:#x}: {}", board.found());
        }
        let mut board = Board::new();
        board.put(BANK, (BANK + PAGES * PAGE) | 3);
        assert!(board.found().contains("a table of its translations"), "{}", board.found());
    }

    #[test]
    fn what_was_changed_is_named_unless_it_is_the_fault() {
        let mut board = Board::new();
        board.copy.bytes[2 * PAGE_SIZE + 5] ^= 1;
        assert_eq!(board.found(), "fs: its code or constants in the page of 0x300000 were changed");
        let own = Exempt { targets: vec![3], ..Exempt::default() };
        assert_eq!(board.expected.judge(&board.copy, &own), [""; 0]);
        *board.copy.bytes.last_mut().unwrap() = 0;
        assert_eq!(board.expected.judge(&board.copy, &own), ["what never changes was changed at 0x110063"]);
        let bundle = Exempt { constants: true, ..own };
        assert_eq!(board.expected.judge(&board.copy, &bundle), [""; 0]);
        assert_eq!(board.expected.judge(&board.copy, &Exempt { all: true, ..Exempt::default() }), [""; 0]);
        board.copy.bytes.truncate(PAGE_SIZE);
        assert!(
            board.found().contains("was changed at 0x110000"),
            "a copy that is cut short: {}",
            board.found()
        );
    }
}
