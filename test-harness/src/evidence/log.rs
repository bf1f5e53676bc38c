//! The log as people read it: defmt frames with file and line, deaths with symbolised backtraces.

use super::frame::Clock;
use super::split::{Item, Splitter};
use super::symbols::Images;
use crate::system::System;
use abi::syscall::log::{DEFMT, TEXT};
use abi::trace::{Event, Frame, KERNEL_REGISTER_NAMES, KERNEL_REGISTERS};
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::path::Path;

/// Turns what is on the evidence line into lines of text.
pub struct LogPrinter {
    images: Images,
    clock: Clock,
    names: BTreeMap<u8, String>,
    builds: BTreeMap<u8, [u8; 16]>,
    /// The kernel that has found a bug in itself.
    kernel: [u8; 16],
    /// Its registers, as far as they have come.
    registers: Vec<(String, u64)>,
}

/// Registers in one line.
const REGISTERS_SHOWN: usize = 4;

impl LogPrinter {
    /// A printer that knows these images.
    pub fn new(images: Images) -> Self {
        Self {
            images,
            clock: Clock { frequency: 0 },
            names: BTreeMap::new(),
            builds: BTreeMap::new(),
            kernel: [0; 16],
            registers: Vec::new(),
        }
    }

    /// As [`Self::lines`], but only what the kernel tells of a bug in itself.
    pub fn panic_lines(&mut self, item: &Item) -> Vec<String> {
        let lines = self.lines(item);
        let Item::Frame(frame) = item else { return Vec::new() };
        let of_panic = matches!(
            frame.view().event,
            Event::KernelPanic { .. } | Event::KernelRegister { .. } | Event::KernelBacktrace { .. }
        );
        if of_panic { lines } else { Vec::new() }
    }

    /// The lines for the next item; often none.
    pub fn lines(&mut self, item: &Item) -> Vec<String> {
        match item {
            Item::Frame(recorded) => self.frame(&recorded.view()),
            Item::Text(bytes) => String::from_utf8_lossy(bytes)
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
            Item::Damaged(error, bytes) => vec![format!("{} bytes are no frame ({error:?})", bytes.len())],
        }
    }

    fn frame(&mut self, frame: &Frame) -> Vec<String> {
        let time = self.clock.duration(frame.time).as_secs_f64();
        let stamp = |text: String| format!("[{time:>12.6}] {text}");
        match frame.event {
            Event::Boot { board, frequency, slots } => {
                self.clock = Clock { frequency };
                let time = self.clock.duration(frame.time).as_secs_f64();
                vec![format!("[{time:>12.6}] {board}: the kernel is up, {slots} slots")]
            }
            Event::Slot { slot, name, build } => {
                self.names.insert(slot, name.to_owned());
                self.builds.insert(slot, build);
                Vec::new()
            }
            Event::Log { slot, incarnation, build, kind, data } => {
                let who = self.who(slot, incarnation);
                vec![stamp(format!("{who} {}", self.log(build, kind, data)))]
            }
            Event::Died { slot, incarnation, class, pc, esr, far, text, .. } => {
                let who = self.who(slot, incarnation);
                let message = if text.is_empty() { String::new() } else { format!(": {text}") };
                let mut lines = vec![stamp(format!("{who} died: {}{message}", class.name()))];
                lines.push(format!("    pc {pc:#x}, esr {esr:#x}, far {far:#x}"));
                lines.extend(self.places(slot, pc, false));
                lines
            }
            Event::Backtrace { slot, address } => self.places(slot, address, true),
            Event::KernelPanic { text, build } => {
                self.kernel = build;
                self.registers.clear();
                vec![stamp(format!("KERNEL PANIC: {text}"))]
            }
            Event::KernelRegister { register, value } => self.kernel_register(register, value),
            Event::KernelBacktrace { address } => self.places_in(self.kernel, address, true),
            ref event => self.note(event).into_iter().map(stamp).collect(),
        }
    }

    /// Events that need a line and nothing else.
    fn note(&self, event: &Event) -> Option<String> {
        Some(match *event {
            Event::Started { slot, incarnation } => format!("{} started", self.who(slot, incarnation)),
            Event::Injected { slot, incarnation, fault, in_service } => {
                let who = self.who(slot, incarnation);
                format!("{who} injected: {}, {in_service} requests in service", fault.name())
            }
            Event::Closed { slot } => {
                format!("{} is closed: calls are answered \"unavailable\"", self.name(slot))
            }
            Event::Opened { slot } => format!("{} is open again", self.name(slot)),
            Event::SecondCopy { slot, page } => {
                format!(
                    "{}: page {page} of the bundle is damaged, taken from the second copy",
                    self.name(slot)
                )
            }
            Event::Poisoned { slot, call } => {
                format!("{}: request {call:#x} killed its server twice and was taken away", self.name(slot))
            }
            Event::Reset { slot, power_off } => {
                let what = if power_off { "switched off" } else { "reset" };
                format!("the board is {what} because of {}", self.name(slot))
            }
            _ => return None,
        })
    }

    fn name(&self, slot: u8) -> String {
        self.names.get(&slot).cloned().unwrap_or_else(|| format!("slot {slot}"))
    }

    fn who(&self, slot: u8, incarnation: u32) -> String {
        format!("{}#{incarnation}", self.name(slot))
    }

    fn log(&mut self, build: u32, kind: u8, data: &[u8]) -> String {
        if u64::from(kind) == TEXT {
            return String::from_utf8_lossy(data).trim_end().to_owned();
        }
        if u64::from(kind) != DEFMT {
            return format!("a record of unknown kind {kind}, {} bytes", data.len());
        }
        let id = format!("{:08x}", build.swap_bytes());
        let line = match self.images.by_start(build) {
            Ok(image) => image.log_line(data).map_err(|error| format!("{error:#}")),
            Err(reason) => Err(format!("image {id} is unknown: {reason}")),
        };
        match line {
            Ok(line) => {
                let place = line.place.map_or_else(String::new, |place| format!("  ({place})"));
                format!("{:<5} {}{place}", line.level.to_uppercase(), line.message)
            }
            Err(reason) => format!("log record refused: {reason}"),
        }
    }

    /// Shows registers in rows, and behind the last one where the program counter and the link register were.
    fn kernel_register(&mut self, register: u8, value: u64) -> Vec<String> {
        let name = KERNEL_REGISTER_NAMES.as_chunks::<3>().0.get(usize::from(register));
        let name = name.map_or("?".into(), |name| String::from_utf8_lossy(name));
        self.registers.push((name.trim_end().to_owned(), value));
        let is_last = usize::from(register) + 1 == KERNEL_REGISTERS;
        if !is_last {
            return Vec::new();
        }
        let registers = std::mem::take(&mut self.registers);
        let rows = registers.chunks(REGISTERS_SHOWN).map(|row| {
            row.iter()
                .fold(String::from("   "), |line, (name, value)| line + &format!(" {name:>3} {value:016x}"))
        });
        let mut lines: Vec<String> = rows.collect();
        let named = |wanted: &str| registers.iter().find(|(name, _)| name == wanted).map(|(_, value)| *value);
        for (name, is_return) in [("pc", false), ("x30", true)] {
            if let Some(address) = named(name) {
                lines.push(format!("    {name}"));
                lines.extend(self.places_in(self.kernel, address, is_return));
            }
        }
        lines.push("    called from".to_owned());
        lines
    }

    fn places(&mut self, slot: u8, address: u64, is_return: bool) -> Vec<String> {
        let build = self.builds.get(&slot).copied().unwrap_or_default();
        self.places_in(build, address, is_return)
    }

    fn places_in(&mut self, build: [u8; 16], address: u64, is_return: bool) -> Vec<String> {
        let functions = match self.images.by_id(build) {
            Ok(image) => image.functions(address, is_return),
            Err(reason) => vec![format!("(no symbols: {reason})")],
        };
        match functions.split_first() {
            None => vec![format!("    {address:#x}")],
            Some((first, outer)) => {
                let mut lines = vec![format!("    {address:#x} {first}")];
                lines.extend(outer.iter().map(|function| format!("      inlined into {function}")));
                lines
            }
        }
    }
}

/// What kernels have told of bugs in themselves on a recorded line.
///
/// # Errors
/// The file cannot be read.
pub fn kernel_panics(system: &System, evidence: &Path) -> Result<Vec<String>> {
    let bytes = std::fs::read(evidence).with_context(|| format!("reading {}", evidence.display()))?;
    let mut printer = LogPrinter::new(Images::of(system));
    let (mut splitter, mut lines) = (Splitter::new(), Vec::new());
    splitter.push(&bytes, |item| lines.extend(printer.panic_lines(&item)));
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Recorded;
    use abi::record::DeathClass;

    fn lines(events: &[Event]) -> Vec<String> {
        let mut printer = LogPrinter::new(Images::none());
        let frames = events.iter().zip(1..).map(|(event, time)| Recorded::of(&Frame { time, event: *event }));
        frames.flat_map(|frame| printer.lines(&Item::Frame(frame))).collect()
    }

    #[test]
    fn a_death_is_told_with_its_message() {
        let text = lines(&[
            Event::Boot { board: "b", frequency: 1, slots: 2 },
            Event::Slot { slot: 1, name: "fs", build: [1; 16] },
            Event::Died {
                slot: 1,
                incarnation: 3,
                class: DeathClass::Panic,
                pc: 0x30_0000,
                esr: 0,
                far: 0,
                in_service: 1,
                text: "oops at main.rs:7",
            },
            Event::Backtrace { slot: 1, address: 0x30_0010 },
        ]);
        assert_eq!(text[1], "[    3.000000] fs#3 died: panic: oops at main.rs:7");
        assert!(text.iter().any(|line| line.contains("0x300010") && line.contains("no symbols")));
    }

    #[test]
    fn a_kernel_panic_is_told_with_registers_in_rows() {
        let mut events = vec![Event::KernelPanic { text: "oops at shell.rs:7", build: [3; 16] }];
        events.extend(
            (0..36).map(|register| Event::KernelRegister { register, value: 0x1000 + u64::from(register) }),
        );
        events.push(Event::KernelBacktrace { address: 0x2000 });
        let text = lines(&events);
        assert!(text[0].ends_with("KERNEL PANIC: oops at shell.rs:7"), "{text:?}");
        assert_eq!(
            text[1],
            "     x0 0000000000001000  x1 0000000000001001  x2 0000000000001002  x3 0000000000001003"
        );
        assert_eq!(
            text[9],
            "     pc 0000000000001020  ps 0000000000001021 esr 0000000000001022 far 0000000000001023"
        );
        assert!(text.iter().any(|line| line.contains("0x1020") && line.contains("no symbols")), "{text:?}");
        assert!(text.last().unwrap().contains("0x2000"), "{text:?}");
    }

    #[test]
    fn records_of_unknown_images_are_refused() {
        let log = |kind| Event::Log { slot: 1, incarnation: 1, build: 0x0403_0201, kind, data: b"hello" };
        let text = lines(&[log(0), log(2), log(9)]);
        assert!(text[0].contains("refused") && text[0].contains("01020304"), "{text:?}");
        assert!(text[1].ends_with("hello"));
        assert!(text[2].contains("unknown kind"));
    }
}
