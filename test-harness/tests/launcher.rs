//! The launcher on a real emulator, with guests of a few instructions that are written for one board.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use test_harness::target::{Emulator, Ending, Happening, Launch, Line, Machine, Mode};

/// Registers of the board that the guests use.
const PL011: u32 = 0x3F20_1000;
const PL011_CONTROL: u32 = PL011 + 0x30;
const MINI_UART: u32 = 0x3F21_5040;
const RNG: u32 = 0x3F10_4000;
const RESET_CONTROL: u32 = 0x3F10_001C;
const RESET_STATUS: u32 = 0x3F10_0020;

/// A word of memory that no reset clears.
const FLAG: u32 = 0x0100_0000;

/// A guest: instructions, built one after another.
#[derive(Default)]
struct Guest(Vec<u32>);

impl Guest {
    /// `movz`, `movk` to `x{register}`.
    fn load(mut self, register: u32, value: u32) -> Self {
        self.0.push(0xD280_0000 | (value & 0xFFFF) << 5 | register);
        self.0.push(0xF2A0_0000 | (value >> 16) << 5 | register);
        self
    }

    /// `str w1, [x0]`
    fn store(mut self, address: u32, value: u32) -> Self {
        self = self.load(0, address).load(1, value);
        self.0.push(0xB900_0001);
        self
    }

    /// `strb w1, [x0]`
    fn store_byte(mut self, address: u32) -> Self {
        self = self.load(0, address);
        self.0.push(0x3900_0001);
        self
    }

    fn print(mut self, address: u32, bytes: &[u8]) -> Self {
        for byte in bytes {
            self = self.store(address, u32::from(*byte));
        }
        self
    }

    /// Continues behind what `skipped` is if the word at `address` is 0.
    fn unless_zero(mut self, address: u32, skipped: Self) -> Self {
        self = self.load(0, address);
        self.0.push(0xB940_0001);
        // cbz w1, behind
        self.0.push(0x3400_0001 | (skipped.0.len() as u32 + 1) << 5);
        self.0.extend(skipped.0);
        self
    }

    fn power_off(self) -> Self {
        self.store(RESET_STATUS, 0x5A00_0555).reset()
    }

    fn reset(self) -> Self {
        self.store(RESET_CONTROL, 0x5A00_0020)
    }

    /// Loops for ever.
    fn stay(mut self) -> Self {
        self.0.push(0x1400_0000);
        self
    }

    fn write(&self, folder: &Path) -> PathBuf {
        let path = folder.join("guest.img");
        let bytes: Vec<u8> = self.0.iter().flat_map(|word| word.to_le_bytes()).collect();
        // A file of less than a page is placed elsewhere.
        std::fs::write(&path, [bytes, vec![0; 4096]].concat()).unwrap();
        path
    }
}

fn machine() -> Machine {
    Machine::named(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../qemu"), "raspi3b").unwrap()
}

struct Run {
    console: Vec<u8>,
    evidence: Vec<u8>,
    resets: u32,
    timed_out: bool,
    ending: Ending,
    errors: Vec<String>,
}

fn run(guest: &Guest, mode: Mode, limit: Duration) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let kernel = guest.write(folder.path());
    let machine = machine();
    let launch = Launch {
        machine: &machine,
        kernel: &kernel,
        card: None,
        plan: Some(b"a plan"),
        seed: 7,
        mode,
        extra: &[],
        folder: folder.path(),
    };
    let mut emulator = Emulator::launch(&launch).unwrap();
    let (mut console, mut evidence, mut timed_out) = (vec![], vec![], false);
    let end = Instant::now() + limit;
    loop {
        match emulator.next(end) {
            Happening::Bytes(Line::Console, bytes) => console.extend(bytes),
            Happening::Bytes(Line::Evidence, bytes) => evidence.extend(bytes),
            Happening::Reset(_) | Happening::Stopped(_) | Happening::Watched(_) => {}
            Happening::Closed => break,
            Happening::Nothing => {
                timed_out = true;
                break;
            }
        }
    }
    let id = emulator.id();
    let ending = emulator.end().unwrap();
    // What came over the other lines after the evidence line was closed.
    while let Happening::Bytes(line, bytes) = emulator.next(Instant::now() + Duration::from_millis(200)) {
        if line == Line::Console {
            console.extend(bytes);
        }
    }
    let (errors, resets) = (emulator.guest_errors().unwrap(), emulator.guest_resets());
    drop(emulator);
    assert!(!Path::new(&format!("/proc/{id}")).exists(), "the emulator is gone");
    Run { console, evidence, resets, timed_out, ending, errors }
}

const LIMIT: Duration = Duration::from_mins(2);

#[test]
fn both_lines_arrive_and_power_off_is_told_apart() {
    for mode in [Mode::Deterministic, Mode::RealTime] {
        let guest = Guest::default()
            .store(PL011_CONTROL, 0x301)
            .print(PL011, b"hello")
            .print(MINI_UART, &[0, 1, 2, 255])
            .power_off()
            .stay();
        let run = run(&guest, mode, LIMIT);
        assert_eq!((run.console.as_slice(), run.evidence.as_slice()), (&b"hello"[..], &[0, 1, 2, 255][..]));
        assert_eq!((run.ending, run.resets, run.timed_out), (Ending::PoweredOff, 0, false));
        assert_eq!(run.errors, Vec::<String>::new());
    }
}

#[test]
fn a_reset_by_the_guest_is_counted_and_memory_stays() {
    let second = Guest::default().print(MINI_UART, b"2").power_off().stay();
    let guest =
        Guest::default().unless_zero(FLAG, second).print(MINI_UART, b"1").store(FLAG, 1).reset().stay();
    let run = run(&guest, Mode::Deterministic, LIMIT);
    assert_eq!((run.evidence.as_slice(), run.resets, run.ending), (&b"12"[..], 1, Ending::PoweredOff));
}

#[test]
fn a_guest_that_never_ends_runs_into_its_limit() {
    let run =
        run(&Guest::default().print(MINI_UART, b"x").stay(), Mode::Deterministic, Duration::from_secs(3));
    assert_eq!((run.evidence.as_slice(), run.timed_out, run.ending), (&b"x"[..], true, Ending::Quit));
}

#[test]
fn an_emulator_that_dies_is_not_a_guest_that_fails() {
    // The random number generator's model takes words only, and aborts.
    let run =
        run(&Guest::default().print(MINI_UART, b"x").store_byte(RNG).stay(), Mode::Deterministic, LIMIT);
    let Ending::Died { reason } = run.ending else { panic!("{:?}", run.ending) };
    assert!(reason.contains("killed by signal 6"), "{reason}");
}

#[test]
fn guest_errors_are_seen() {
    // A byte for a line that is not enabled.
    let run = run(&Guest::default().print(PL011, b"x").power_off().stay(), Mode::Deterministic, LIMIT);
    assert!(!run.errors.is_empty());
}

#[test]
fn the_plan_lies_in_memory_before_the_first_instruction() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = Guest::default().stay().write(folder.path());
    let machine = machine();
    let plan = b"bytes of a plan";
    let launch = Launch {
        machine: &machine,
        kernel: &kernel,
        card: None,
        plan: Some(plan),
        seed: 7,
        mode: Mode::Deterministic,
        extra: &[],
        folder: folder.path(),
    };
    let mut emulator = Emulator::launch(&launch).unwrap();
    assert_eq!(emulator.memory(machine.plan_address, plan.len() as u64).unwrap(), plan);
    assert_eq!(emulator.end().unwrap(), Ending::Quit);
}

/// Sends a packet of GDB's remote protocol and returns the answer with its frame.
fn packet(stream: &mut TcpStream, text: &str) -> String {
    let sum = text.bytes().fold(0_u8, u8::wrapping_add);
    stream.write_all(format!("${text}#{sum:02x}").as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.contains(&b'#') {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    String::from_utf8(answer).unwrap()
}

#[test]
fn a_guest_waits_for_its_debugger() {
    let folder = tempfile::tempdir().unwrap();
    let kernel = Guest::default().print(MINI_UART, b"x").power_off().stay().write(folder.path());
    let machine = machine();
    let launch = Launch {
        machine: &machine,
        kernel: &kernel,
        card: None,
        plan: None,
        seed: 7,
        mode: Mode::RealTime,
        extra: &[],
        folder: folder.path(),
    };
    let (mut emulator, port) = Emulator::launch_for_debugger(&launch).unwrap();
    let (mut other, other_port) = Emulator::launch_for_debugger(&launch).unwrap();
    assert_ne!(port, other_port);
    assert_eq!(emulator.next(Instant::now() + Duration::from_secs(1)), Happening::Nothing);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    // Why does it stand still: by a signal. Then let it go on.
    assert!(packet(&mut stream, "?").contains("$T05"));
    stream.write_all(b"$c#63").unwrap();
    let said = emulator.next(Instant::now() + LIMIT);
    assert_eq!(said, Happening::Bytes(Line::Evidence, b"x".to_vec()));
    assert_eq!(emulator.wait(Instant::now() + LIMIT).unwrap(), Ending::PoweredOff);
    assert_eq!(other.end().unwrap(), Ending::Quit);
}

#[test]
fn a_program_that_cannot_be_started_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine { arguments: vec!["-M".to_owned(), "toaster".to_owned()], ..machine() };
    let kernel = Guest::default().stay().write(folder.path());
    let launch = Launch {
        machine: &machine,
        kernel: &kernel,
        card: None,
        plan: None,
        seed: 7,
        mode: Mode::RealTime,
        extra: &[],
        folder: folder.path(),
    };
    let error = format!("{:#}", Emulator::launch(&launch).unwrap_err());
    assert!(error.contains("toaster"), "what the emulator said: {error}");
}
