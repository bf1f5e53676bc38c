//! Lines 11 to 13: other people's addresses, registers, and the end of the stack.

use super::{boot, deaths, until_words};
use crate::common::is_soak;
use abi::layout::{STACK_LIMIT, STACK_TOP};
use abi::record::DeathClass;

/// Bytes of the hostile driver's stack (`system/test-unbreakable-borders.toml`).
const STACK_BYTES: u64 = 16 * 1024;

/// Exception classes (DDI 0487, ESR_ELx.EC): data abort from a lower level.
const DATA_ABORT: u64 = 0x24;

#[test]
fn line_11_and_13_a_driver_gets_nobody_elses_memory_and_its_stack_has_an_end() {
    let mut board = boot("borders", [0; 4]);
    // 17 addresses, each read and written, and one event at the end.
    let said = until_words(&mut board, "wild", 2 * 17 + 1);
    let deaths = deaths(&board, "wild");
    assert_eq!(deaths.len(), 2 * 17 + 1, "{}", board.story());
    for (tried, death) in said.iter().zip(&deaths).take(2 * 17) {
        let (address, writes) = (tried[0], tried[1]);
        // The page below the lowest stack belongs to the stack's guard.
        let guard = (STACK_LIMIT - 4096..STACK_LIMIT).contains(&address);
        let class = if guard { DeathClass::StackOverflow } else { DeathClass::MmuException };
        assert_eq!((death.class, death.far), (class, address), "{address:#x} {death:x?}");
        assert_eq!(death.esr >> 26, DATA_ABORT, "{address:#x} {death:x?}");
        assert_eq!(death.esr >> 6 & 1, writes, "{address:#x}: a write is recorded as one; {death:x?}");
    }
    let last = deaths[2 * 17];
    assert_eq!(last.class, DeathClass::StackOverflow, "{last:x?}");
    assert!((STACK_LIMIT..STACK_TOP - STACK_BYTES).contains(&last.far), "{last:x?}");
    // The keeper of secrets dies on purpose (line 12).
    let mut others = board.all_deaths();
    others.retain(|death| !death.contains("wild#") && !death.contains("secrets#"));
    assert_eq!(others, Vec::<String>::new());
    println!("{} accesses refused, each for its address; the stack ended at {:#x}", 2 * 17, last.far);
    board.finish();
}

#[test]
fn line_12_no_register_comes_from_another_component_or_from_the_kernel() {
    let rounds = if is_soak() { 400_000 } else { 4_000 };
    let mut board = boot("borders", [rounds, 0, 0, 0]);
    let said = until_words(&mut board, "seeker", 1);
    let [changed, foreign, preempted] = [said[0][0], said[0][1], said[0][2]];
    let secrets = deaths(&board, "secrets");
    println!("{rounds} rounds, {preempted} of them preempted, {} deaths of the keeper", secrets.len());
    assert_eq!((changed, foreign), (0, 0), "registers by bit: x0 to x30, TPIDR_EL0, NZCV");
    assert!(preempted > rounds / 100, "only {preempted} of {rounds} rounds were preempted");
    assert!(!secrets.is_empty() && secrets.iter().all(|death| death.class == DeathClass::CpuException));
    board.finish();
}
