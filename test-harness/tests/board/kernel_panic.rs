//! A bug of the kernel is told with registers and return addresses, on the console and on the evidence line; then the board
//! is reset, and the system serves again. It never hangs in silence.
//!
//! A kernel without bugs is given one by the debugger: it lets the kernel run to one of its functions and changes registers
//! there. Nothing in the kernel takes part, and the kernel is the one that everybody runs.

use crate::common::debugger::{Debugger, PC, SP};
use crate::common::{Board, Setup, system};
use abi::PAGE_SIZE;
use abi::trace::{Event, KERNEL_REGISTER_NAMES, KERNEL_REGISTERS};
use object::{Object, ObjectSection, ObjectSymbol};
use std::time::Duration;
use test_harness::evidence::Item;
use test_harness::evidence::log::LogPrinter;
use test_harness::evidence::symbols::Images;
use test_harness::system::System;

/// What the shell shows when it waits for a line.
const PROMPT: &str = "samsara> ";

/// Not mapped in the kernel's half.
const NOWHERE: u64 = 0xFFFF_FFFF_0BAD_0000;

/// Ends of the (mangled) names of functions: the one that every event goes through, and where an index out of bounds leads.
const ENCODE: &str = "5trace6encode";
const BOUNDS: &str = "18panic_bounds_check";

/// By which the panic handler shows a register.
const LINE: &str = "6Report4line";

/// A function that runs at every boot, before the first event.
const CHECK_PAGE: &str = "5Table10check_page";

/// How long a board that has stopped is watched.
const STILL: Duration = Duration::from_secs(1);

/// Where the kernel's file image begins.
const KERNEL_BASE: u64 = 0xFFFF_FF80_0008_0000;

/// The kernel's ELF file.
struct KernelElf(Vec<u8>);

impl KernelElf {
    fn of(system: &System) -> Self {
        Self(std::fs::read(system.kernel_elf().unwrap()).unwrap())
    }

    fn file(&self) -> object::File<'_> {
        object::File::parse(&*self.0).unwrap()
    }

    /// The one symbol in whose name this is.
    fn symbol(&self, name: &str) -> u64 {
        let file = self.file();
        let found: Vec<u64> = file
            .symbols()
            .filter(|symbol| symbol.name().is_ok_and(|text| text.contains(name)))
            .map(|symbol| symbol.address())
            .collect();
        assert_eq!(found.len(), 1, "symbols with {name} in their name");
        found[0]
    }

    /// Address of a source location that the kernel's panics name: a pointer to the text, its length, line, column.
    fn location(&self) -> (u64, String) {
        let file = self.file();
        let data = |name: &str| {
            let section = file.section_by_name(name).unwrap();
            (section.address(), section.data().unwrap())
        };
        let (base, bytes) = data(".rodata");
        let word = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().unwrap()));
        let text = |at: usize| {
            let start = word(at)?.checked_sub(base)? as usize;
            let text = bytes.get(start..start.checked_add(word(at + 8)? as usize)?)?;
            let text = std::str::from_utf8(text).ok()?;
            text.ends_with(".rs").then(|| format!("{text}:{}", word(at + 16).unwrap_or(0) as u32))
        };
        let found = (0..bytes.len()).step_by(8).find_map(|at| Some((base + at as u64, text(at)?)));
        found.expect("a location in .rodata")
    }
}

/// The interactive system, waiting for a line, and a debugger that has let its kernel run to `function`.
fn stopped_at(function: &str) -> (Board, Debugger, KernelElf) {
    let system = system("shell");
    let elf = KernelElf::of(&system);
    let mut board = Board::boot(&system, &Setup { debugger: true, ..Setup::default() });
    board.until("the shell is to wait for a line", |board| board.text(0).contains(PROMPT));
    let mut debugger = board.attach();
    let address = elf.symbol(function);
    debugger.virtual_addresses();
    debugger.run_to(address);
    // A death is an event.
    board.type_bytes(b"kill block\r");
    debugger.wait_for_breakpoint(address);
    (board, debugger, elf)
}

/// What a board has told of a bug of its kernel.
struct Told {
    message: String,
    registers: Vec<u64>,
    /// As `./x log` shows it.
    log: String,
    console: String,
}

impl Told {
    fn register(&self, name: &str) -> u64 {
        let at = KERNEL_REGISTER_NAMES.chunks(3).position(|text| text.trim_ascii_end() == name.as_bytes());
        self.registers[at.unwrap()]
    }
}

/// Lets the board go on until it has been reset and its shell answers; returns what was told of the bug meanwhile.
fn after_the_reset(board: &mut Board, debugger: Debugger) -> Told {
    let (from, console) = (board.events.len(), board.console.len());
    board.go_on(debugger);
    let is_boot = |event: &Event| matches!(event, Event::Boot { .. });
    let (booted, _) = board.until_event(from, "the board is to be reset", is_boot);
    board.until("the shell is to wait for a line again", |board| board.text(console).contains(PROMPT));
    let end = board.text(console).find(PROMPT).unwrap();
    let told = told(board, from, booted, board.text(console)[..end].to_owned());
    let answer = board.type_line("ps", PROMPT);
    assert!(answer.contains("shell"), "{answer}");
    told
}

fn told(board: &Board, from: usize, to: usize, console: String) -> Told {
    let mut printer = LogPrinter::new(Images::of(&board.system));
    // From the beginning, where the clock's rate is.
    let log =
        board.events[..to].iter().flat_map(|(_, frame)| printer.panic_lines(&Item::Frame(frame.clone())));
    let mut told = Told {
        message: String::new(),
        registers: Vec::new(),
        log: log.collect::<Vec<_>>().join("\n"),
        console,
    };
    for (_, frame) in &board.events[from..to] {
        match frame.view().event {
            Event::KernelPanic { text, .. } => text.clone_into(&mut told.message),
            Event::KernelRegister { register, value } => {
                assert_eq!(usize::from(register), told.registers.len());
                told.registers.push(value);
            }
            _ => {}
        }
    }
    told
}

/// The console has the same as the evidence line, without the host's help.
fn assert_on_console(told: &Told) {
    assert!(told.console.contains(&format!("kernel panic: {}", told.message)), "{}", told.console);
    assert_eq!(told.registers.len(), KERNEL_REGISTERS);
    for (name, value) in KERNEL_REGISTER_NAMES.chunks(3).zip(&told.registers) {
        let line = format!("{} {value:016x}\r\n", std::str::from_utf8(name).unwrap());
        assert!(told.console.contains(&line), "{line:?} is not in {}", told.console);
    }
    assert!(told.console.contains("\r\nat  ffffff80"), "no return address: {}", told.console);
}

/// Position of a line of the log with both texts; fails if there is none.
fn line_with(log: &str, function: &str, place: &str) -> usize {
    let found = log.lines().position(|line| line.contains(function) && line.contains(place));
    found.unwrap_or_else(|| panic!("no line with {function:?} and {place:?} in\n{log}"))
}

/// Position of the line of whom every event of a running system comes from, if the way there is in the log, too.
fn line_with_caller(log: &str) -> usize {
    let caller = line_with(log, "kernel::exception", "kernel/src/main.rs:");
    // In exceptions.s.
    let outermost = line_with(log, "save_component", "0xffffff80");
    assert!(caller < outermost && log.contains("called from"), "{log}");
    caller
}

#[test]
fn an_exception_in_the_kernel_is_told_and_the_board_reset() {
    let (mut board, mut debugger, _) = stopped_at(ENCODE);
    // The frame that is to be encoded is nowhere.
    debugger.set_register(0, NOWHERE);
    let told = after_the_reset(&mut board, debugger);
    assert_eq!(told.message, "exception 4 in the kernel");
    assert_on_console(&told);
    assert_eq!(told.register("far") & !0xFFF, NOWHERE, "{}", told.log);
    // Data abort at the same level, translation fault.
    assert_eq!((told.register("esr") >> 26, told.register("esr") & 0x3C), (0x25, 0x04), "{}", told.log);
    let own = line_with(&told.log, "abi::trace::encode", "abi/src/trace.rs:");
    assert!(own < line_with_caller(&told.log), "{}", told.log);
}

#[test]
fn a_panic_of_the_kernel_is_told_and_the_board_reset() {
    let (mut board, mut debugger, elf) = stopped_at(ENCODE);
    // As if an index there were out of bounds.
    let (location, place) = elf.location();
    for (register, value) in [(0, 7), (1, 3), (2, location), (PC, elf.symbol(BOUNDS))] {
        debugger.set_register(register, value);
    }
    let told = after_the_reset(&mut board, debugger);
    assert_eq!(told.message, format!("index out of bounds: the len is 3 but the index is 7 at {place}"));
    assert_on_console(&told);
    let handler = line_with(&told.log, "rust_begin_unwind", "kernel/src/panic.rs:");
    let cause = line_with(&told.log, "panic_bounds_check", "panicking.rs:");
    assert!(handler < cause && cause < line_with_caller(&told.log), "{}", told.log);
}

#[test]
fn an_overflow_of_the_kernels_stack_is_told_with_every_register() {
    let (mut board, mut debugger, elf) = stopped_at(ENCODE);
    let guard = elf.symbol("__guard_page");
    let expected: Vec<u64> = (0..29).map(|number| 0x5EC2_E700_0000_0100 + number).collect();
    for (number, value) in expected.iter().enumerate() {
        debugger.set_register(number, *value);
    }
    debugger.set_register(SP, guard + PAGE_SIZE as u64 + 32);
    let told = after_the_reset(&mut board, debugger);
    assert_eq!(told.message, "the kernel's stack has overflowed");
    assert_on_console(&told);
    let in_guard = |address: u64| (guard..guard + PAGE_SIZE as u64).contains(&address);
    assert!(in_guard(told.register("far")), "{}", told.log);
    assert_eq!(told.registers[..29], expected, "{}", told.log);
    line_with(&told.log, "abi::trace::encode", "abi/src/trace.rs:");
    line_with_caller(&told.log);
}

#[test]
fn a_bug_in_the_panic_handler_is_told_and_the_board_reset() {
    let (mut board, mut debugger, elf) = stopped_at(ENCODE);
    // No processor has this instruction. The panic handler encodes events, too.
    debugger.write(elf.symbol(ENCODE), &[0; 4]);
    let told = after_the_reset(&mut board, debugger);
    let at = told.console.find("kernel panic: exception 4 in the kernel\r\n");
    let again = told.console.find("kernel panic while telling of one\r\npc  ffffff80");
    assert!(at.is_some() && at < again, "{}", told.console);
}

#[test]
fn a_panic_handler_that_cannot_even_tell_of_its_own_bug_resets_the_board() {
    let (mut board, mut debugger, elf) = stopped_at(ENCODE);
    debugger.write(elf.symbol(ENCODE), &[0; 4]);
    debugger.write(elf.symbol(LINE), &[0; 4]);
    let told = after_the_reset(&mut board, debugger);
    assert_eq!(told.console.matches("kernel panic").count(), 2, "{}", told.console);
}

/// Boots an image in whose kernel `function` begins with an instruction that no processor has, until the console has said
/// all of `texts`, and watches for a while whether the board is reset.
fn boot_with_undefined(function: &str, texts: &[&str]) -> Board {
    let system = system("shell");
    let address = KernelElf::of(&system).symbol(function);
    let mut bytes = std::fs::read(system.kernel()).unwrap();
    let at = (address - KERNEL_BASE) as usize;
    bytes[at..at + 4].fill(0);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kernel8.img");
    std::fs::write(&path, bytes).unwrap();
    let mut board = Board::boot(&system, &Setup { kernel: Some(path), ..Setup::default() });
    board.until(&format!("the console is to say {texts:?}"), |board| {
        let console = board.text(0);
        texts.iter().all(|text| console.contains(text))
    });
    let said = board.console.len();
    // A loop of resets takes a few milliseconds a turn.
    board.watch(STILL);
    assert!(!board.text(said).contains("Samsara"), "the board was reset: {}", board.text(0));
    board
}

#[test]
fn an_exception_before_the_first_component_is_told_and_the_board_stands_still() {
    let remedy = "Build the image (./x build) and write it to the card again.";
    let address = KernelElf::of(&system("shell")).symbol(CHECK_PAGE);
    let pc = format!("\r\npc  {address:016x}\r\n");
    let board = boot_with_undefined(
        CHECK_PAGE,
        &["Samsara cannot start: exception 4 in the kernel", remedy, &pc, "\r\nat  ffffff80"],
    );
    let told = told(&board, 0, board.events.len(), board.text(0));
    line_with(&told.log, "check_page", "kernel/src/table.rs:");
    line_with(&told.log, "kernel_main", "kernel/src/boot.rs:");
}

#[test]
fn a_bug_in_the_panic_handler_before_the_first_component_is_told() {
    boot_with_undefined(
        ENCODE,
        &[
            "Samsara cannot start: exception 4 in the kernel",
            "kernel panic while telling of one\r\npc  ffffff80",
        ],
    );
}
