//! How much memory there is: found at boot, told, and used above the first GiB where the board has it.

use crate::common::image::BootImage;
use crate::common::{Board, Setup, system};
use abi::trace::Event;
use test_harness::target::card::{self, CARD_BYTES};

/// What the shell shows when it waits for a line.
const PROMPT: &str = "samsara> ";

const GIB: u64 = 1 << 30;

/// What the kernel has found.
fn ram(board: &Board) -> u64 {
    let found = board.all().find_map(|(_, event)| match event {
        Event::Boot { ram, .. } => Some(ram),
        _ => None,
    });
    found.expect("the frame of the boot")
}

#[test]
fn components_live_above_the_first_gib_where_the_board_has_more() {
    let system = system("test-large");
    let image = BootImage::read(&system.kernel());
    let end = |name: &str| {
        let rights = image.rights(system.slot(name).unwrap());
        rights.bank_base + rights.bank_size
    };
    let folder = tempfile::tempdir().unwrap();
    let card = folder.path().join("card.img");
    card::make(&card, CARD_BYTES).unwrap();
    let mut board = Board::boot(&system, &Setup { card: Some(&card), ..Setup::default() });
    board.until("the prompt", |board| board.text(0).contains(PROMPT));
    // The emulated boards have 1 GiB and 2 GiB, less the video core's share: this one has the ballast.
    let is_large = system.slot("ballast").is_ok();
    let expected = if is_large { GIB..2 * GIB } else { GIB * 9 / 10..GIB };
    assert!(expected.contains(&ram(&board)), "{} bytes found", ram(&board));
    for component in ["block", "console", "fs", "shell"] {
        assert_eq!(end(component) > GIB, is_large, "{component} ends at {:#x}", end(component));
    }
    board.type_line("write note from above", PROMPT);
    board.type_line("kill fs", "incarnation 2 runs");
    board.type_line("fault block panic", "incarnation 2 runs");
    board.type_line("cat note", "\nfrom above");
    board.type_line("mem", "the board has ");
    board.finish();
}

#[test]
fn the_watchdog_of_a_real_card_is_armed_by_root() {
    let system = system("test-watchdog");
    let mut board = Board::boot(&system, &Setup::default());
    // The emulated board resets at the write that arms it, without a frame that says so and with nobody dead; and since no
    // code of a correct system goes on behind such a write, what the emulator then does to its clock is not looked at.
    // Of the reset the emulator tells on another line than that on which root speaks: one may come before the other.
    let has_spoken =
        |board: &Board| board.all().any(|(_, event)| matches!(event, Event::Log { slot: 0, .. }));
    board.until("root's word, and the watchdog's reset", |board| board.resets > 0 && has_spoken(board));
    let dead = board.all().any(|(_, event)| matches!(event, Event::Died { .. } | Event::Reset { .. }));
    assert!(!dead, "{}", board.story());
}
