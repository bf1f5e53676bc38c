//! The LED's pin, as the device itself shows it: set through the driver, kept over the driver's death, and flashing as the
//! system's state is.
//!
//! Typed input is host I/O: these runs are judged by what must hold, not by their traces.

use crate::common::image::BootImage;
use crate::common::{Board, Setup, system};
use abi::rights::SlotRights;
use std::time::Duration;

/// What the shell shows when it waits for a line.
const PROMPT: &str = "samsara> ";

/// Registers of functions: six, ten pins each of three bits (BCM2835 ARM Peripherals, section 6.1).
const FUNCTION_REGISTERS: u64 = 6;
/// Operations of a rule that lets registers be read only (abi, `RegisterRule`).
const READ: u32 = 1;
/// Function of an output.
const OUTPUT: u32 = 0b001;

/// The pin, found by the rights of its driver: nothing here knows the board.
struct Pin {
    base: u64,
    /// Offset and mask of its level.
    level: (u64, u32),
    /// Offset and mask of its function.
    function: (u64, u32),
}

impl Pin {
    fn new(rights: &SlotRights) -> Self {
        let rules = &rights.rules[..rights.windows[0].rule_count as usize];
        let only = |fits: &dyn Fn(&abi::rights::RegisterRule) -> bool| {
            let rule = rules.iter().find(|rule| fits(rule)).expect("a rule of the pin");
            (u64::from(rule.offset), rule.mask)
        };
        Self {
            base: rights.windows[0].base,
            level: only(&|rule| rule.operations == READ),
            function: only(&|rule| u64::from(rule.offset) < 4 * FUNCTION_REGISTERS),
        }
    }

    fn word(&self, board: &mut Board, offset: u64) -> u32 {
        u32::from_le_bytes(board.memory(self.base + offset, 4).try_into().unwrap())
    }

    fn is_high(&self, board: &mut Board) -> bool {
        self.word(board, self.level.0) & self.level.1 != 0
    }

    /// The function registers.
    fn functions(&self, board: &mut Board) -> Vec<u32> {
        (0..FUNCTION_REGISTERS).map(|n| self.word(board, 4 * n)).collect()
    }
}

fn at_the_shell() -> (Board, Pin) {
    let system = system("shell");
    let pin = Pin::new(&BootImage::read(&system.kernel()).rights(system.slot("gpio").unwrap()));
    let mut board = Board::boot(&system, &Setup::default());
    board.until("the prompt", |board| board.text(0).contains(PROMPT));
    (board, pin)
}

#[test]
fn the_pin_follows_its_client_and_stays_over_the_drivers_death() {
    let (mut board, pin) = at_the_shell();
    let said = board.type_line("service stop led", PROMPT);
    assert!(!said.contains("not"), "{said}");
    let before = pin.functions(&mut board);
    let (offset, mask) = pin.function;
    assert_eq!(before[offset as usize / 4] & mask, OUTPUT << mask.trailing_zeros());
    for level in ["high", "low", "high"] {
        let number = u32::from(level == "high");
        board.type_line(&format!("ask gpio {number}"), &format!("\n{level}"));
        assert_eq!(pin.is_high(&mut board), level == "high");
    }
    board.type_line("fault gpio panic", "incarnation 2 runs");
    assert!(pin.is_high(&mut board), "the next incarnation has touched the level");
    board.type_line("ask gpio", "\nhigh");
    board.type_line("ask gpio 0", "\nlow");
    assert!(!pin.is_high(&mut board));
    assert_eq!(pin.functions(&mut board), before, "bits of other pins were changed");
    board.type_line("ask gpio 2", "is a pin");
    board.finish();
}

#[test]
fn the_led_flashes_and_shows_deaths() {
    let (mut board, pin) = at_the_shell();
    // The next patterns may have come in the same piece of evidence: what is looked at is counted, not what has come.
    let shows = |board: &mut Board, pattern: &str, from: usize| {
        let position = |board: &Board| board.logged("led").iter().skip(from).position(|line| line == pattern);
        board.until(&format!("the LED shows {pattern}"), |board| position(board).is_some());
        from + position(board).expect("until has seen it") + 1
    };
    let mut from = shows(&mut board, "shows 1 x 50 ms", 0);
    for level in [true, false, true] {
        let seen = (0..10_000).any(|_| {
            board.watch(Duration::from_millis(1));
            pin.is_high(&mut board) == level
        });
        assert!(seen, "the LED does not flash");
    }
    board.type_line("fault block panic", "incarnation 2 runs");
    from = shows(&mut board, "shows 1 x 250 ms", from);
    from = shows(&mut board, "shows 1 x 50 ms", from);
    // The LED's own driver dies under it: a delay for the client, and one death more.
    board.type_line("fault gpio exit", "incarnation 2 runs");
    shows(&mut board, "shows 1 x 250 ms", from);
    assert_eq!(board.deaths("led"), 0, "{}", board.story());
    board.finish();
}
