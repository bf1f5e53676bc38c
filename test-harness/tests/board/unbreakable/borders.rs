//! Lines 11 to 13: other people's addresses, registers, and the end of the stack.

use super::{boot, deaths, until_words, words};
use crate::common::image::BootImage;
use crate::common::{Board, is_soak, system};
use abi::Status;
use abi::layout::{DEVICE_BASE, STACK_LIMIT, STACK_TOP};
use abi::record::DeathClass;
use abi::syscall::reg;

/// Bytes of the hostile driver's stack (`system/test-unbreakable-borders.toml`).
const STACK_BYTES: u64 = 16 * 1024;

/// Exception classes (DDI 0487, ESR_ELx.EC): data abort from a lower level.
const DATA_ABORT: u64 = 0x24;
/// Floating point that CPACR_EL1 keeps from it.
const FLOATING_POINT: u64 = 0x07;
/// A register that a control bit keeps from it.
const TRAPPED: u64 = 0x18;
/// A register that does not exist at EL0.
const UNDEFINED: u64 = 0x00;
/// In place of a class: the register may be read, and is zero.
const ZERO: u64 = u64::MAX;

/// The registers that `apps/hostile` looks at, in the order of its table, and what comes of it.
const PEEKS: [(&str, u64); 35] = [
    ("D0", FLOATING_POINT),
    ("D0, written", FLOATING_POINT),
    ("Q0, stored", FLOATING_POINT),
    ("FPCR", FLOATING_POINT),
    ("FPSR", FLOATING_POINT),
    ("TPIDRRO_EL0", ZERO),
    ("PMUSERENR_EL0", ZERO),
    ("PMCR_EL0", TRAPPED),
    ("PMCCNTR_EL0", TRAPPED),
    ("PMEVCNTR0_EL0", TRAPPED),
    ("MDCCSR_EL0", TRAPPED),
    ("DBGDTR_EL0", TRAPPED),
    ("DBGDTRRX_EL0", TRAPPED),
    ("CNTPCT_EL0", TRAPPED),
    ("CNTV_CTL_EL0", TRAPPED),
    ("CNTV_CVAL_EL0", TRAPPED),
    ("CNTP_CTL_EL0", TRAPPED),
    ("CNTP_CVAL_EL0", TRAPPED),
    ("DAIF", TRAPPED),
    ("CTR_EL0", TRAPPED),
    ("CurrentEL", UNDEFINED),
    ("SP_EL0", UNDEFINED),
    ("TPIDR_EL1", UNDEFINED),
    ("TTBR0_EL1", UNDEFINED),
    ("TTBR1_EL1", UNDEFINED),
    ("VBAR_EL1", UNDEFINED),
    ("ELR_EL1", UNDEFINED),
    ("SPSR_EL1", UNDEFINED),
    ("ESR_EL1", UNDEFINED),
    ("FAR_EL1", UNDEFINED),
    ("SCTLR_EL1", UNDEFINED),
    ("PAR_EL1", UNDEFINED),
    ("MDSCR_EL1", UNDEFINED),
    ("MIDR_EL1", UNDEFINED),
    ("CBAR_EL1", UNDEFINED),
];

/// Addresses that `wild` tries, each by reading and by writing.
const ADDRESSES: usize = 17;

/// Bytes of the mailbox's window, and the one register in it that the manifest gives.
const MAILBOX_BYTES: u64 = 0x40;
const READABLE: u64 = 0x18;

/// Boots the system; `wild` is told where a device of its own lies in physical memory.
fn boot_borders(rounds: u64) -> Board {
    let system = system("test-unbreakable-borders");
    let slot = system.slot("wild").unwrap();
    let device = BootImage::read(&system.kernel()).rights(slot).windows[0].base;
    boot("borders", [rounds, device, 0, 0])
}

/// Deaths of others than these; the keeper of secrets and those who look for what is nobody's die on purpose.
fn deaths_of_others(board: &Board, expected: &[&str]) -> Vec<String> {
    let mut others = board.all_deaths();
    others.retain(|death| !expected.iter().any(|name| death.contains(&format!(" {name}#"))));
    others
}

const DIE_ON_PURPOSE: [&str; 4] = ["wild", "secrets", "checked", "curious"];

#[test]
fn line_11_and_13_a_driver_gets_nobody_elses_memory_and_its_stack_has_an_end() {
    let mut board = boot_borders(0);
    let said = until_words(&mut board, "wild", 2 * ADDRESSES + 1);
    let deaths = deaths(&board, "wild");
    assert_eq!(deaths.len(), 2 * ADDRESSES + 1, "{}", board.story());
    for (tried, death) in said.iter().zip(&deaths).take(2 * ADDRESSES) {
        let (address, writes) = (tried[0], tried[1]);
        // The page below the lowest stack belongs to the stack's guard.
        let guard = (STACK_LIMIT - 4096..STACK_LIMIT).contains(&address);
        let class = if guard { DeathClass::StackOverflow } else { DeathClass::MmuException };
        assert_eq!((death.class, death.far), (class, address), "{address:#x} {death:x?}");
        assert_eq!(death.esr >> 26, DATA_ABORT, "{address:#x} {death:x?}");
        assert_eq!(death.esr >> 6 & 1, writes, "{address:#x}: a write is recorded as one; {death:x?}");
    }
    let last = deaths[2 * ADDRESSES];
    assert_eq!(last.class, DeathClass::StackOverflow, "{last:x?}");
    assert!((STACK_LIMIT..STACK_TOP - STACK_BYTES).contains(&last.far), "{last:x?}");
    assert_eq!(deaths_of_others(&board, &DIE_ON_PURPOSE), Vec::<String>::new());
    println!("{} accesses refused, each for its address; the stack ended at {:#x}", 2 * ADDRESSES, last.far);
    board.finish();
}

#[test]
fn line_11_the_call_for_registers_reaches_those_of_the_manifest_only() {
    let mut board = boot_borders(0);
    // Offsets, each with two operations; the end.
    let count = 2 * (0x44 + 9 + 7) + 1;
    let said = until_words(&mut board, "checked", count);
    let mut done = 0;
    for told in &said[..count - 1] {
        let [offset, operation, one, many] = told[..] else { panic!("{told:x?}") };
        let allowed = offset == READABLE && operation == reg::READ;
        let expected = match offset {
            _ if allowed => Status::Ok,
            0..MAILBOX_BYTES => Status::Denied,
            _ => Status::BadArgument,
        } as u64;
        assert_eq!((one, many), (expected, expected), "offset {offset:#x}, operation {operation}");
        done += u32::from(allowed);
    }
    assert_eq!(done, 1, "the one register that it may read");
    // The window is not mapped; both lives ended where they reached for it.
    let deaths = deaths(&board, "checked");
    let reasons: Vec<_> = deaths.iter().map(|death| (death.class, death.far, death.esr >> 26)).collect();
    let at = |offset| (DeathClass::MmuException, DEVICE_BASE + offset, DATA_ABORT);
    assert_eq!(reasons, [at(0), at(0x20)]);
    assert_eq!(deaths_of_others(&board, &DIE_ON_PURPOSE), Vec::<String>::new());
    println!("{} calls for registers refused, {done} carried out", count - 2);
    board.finish();
}

#[test]
fn line_12_no_register_comes_from_another_component_or_from_the_kernel() {
    let rounds = if is_soak() { 400_000 } else { 4_000 };
    let mut board = boot_borders(rounds);
    let said = until_words(&mut board, "seeker", 1);
    let [changed, foreign, preempted] = [said[0][0], said[0][1], said[0][2]];
    let secrets = deaths(&board, "secrets");
    println!("{rounds} rounds, {preempted} of them preempted, {} deaths of the keeper", secrets.len());
    assert_eq!((changed, foreign), (0, 0), "registers by bit: x0 to x30, TPIDR_EL0, NZCV");
    assert!(preempted > rounds / 100, "only {preempted} of {rounds} rounds were preempted");
    // A new incarnation begins with nothing of the old one's.
    let begun = words(&board, "secrets");
    assert!(begun.len() > secrets.len(), "{begun:?}");
    assert!(begun.iter().all(|told| told[1] == 0), "registers that are not zero at the start: {begun:x?}");
    assert!(!secrets.is_empty() && secrets.iter().all(|death| death.class == DeathClass::CpuException));
    board.finish();
}

#[test]
fn line_12_registers_that_are_nobodys_are_refused_or_empty() {
    let mut board = boot_borders(0);
    let said =
        until_words(&mut board, "curious", PEEKS.iter().filter(|(_, found)| *found == ZERO).count() + 1);
    let deaths = deaths(&board, "curious");
    assert_eq!(deaths.len(), PEEKS.len(), "{}", board.story());
    let mut answers = said.iter();
    for ((name, expected), death) in PEEKS.iter().zip(&deaths) {
        match *expected {
            ZERO => {
                assert_eq!(death.class, DeathClass::Exit, "{name} may be read: {death:x?}");
                assert_eq!(answers.next().unwrap()[1], 0, "{name}");
            }
            class => {
                assert_eq!(death.class, DeathClass::CpuException, "{name} was read: {said:x?}");
                // What an emulator lacks is undefined instead of trapped.
                let found = death.esr >> 26;
                assert!(found == class || found == UNDEFINED && class == TRAPPED, "{name}: {death:x?}");
            }
        }
    }
    println!("{} registers: {} refused, the others zero", PEEKS.len(), PEEKS.len() + 1 - said.len());
    board.finish();
}
