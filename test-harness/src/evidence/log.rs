//! The log as people read it: defmt frames with file and line, deaths with symbolised backtraces.

use super::frame::Clock;
use super::split::Item;
use super::symbols::Images;
use abi::syscall::log::{DEFMT, TEXT};
use abi::trace::{Event, Frame};
use std::collections::BTreeMap;

/// Turns what is on the evidence line into lines of text.
pub struct LogPrinter {
    images: Images,
    clock: Clock,
    names: BTreeMap<u8, String>,
    builds: BTreeMap<u8, [u8; 16]>,
}

impl LogPrinter {
    /// A printer that knows these images.
    pub fn new(images: Images) -> Self {
        Self { images, clock: Clock { frequency: 0 }, names: BTreeMap::new(), builds: BTreeMap::new() }
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
            Event::KernelPanic { text } => format!("KERNEL PANIC: {text}"),
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

    fn places(&mut self, slot: u8, address: u64, is_return: bool) -> Vec<String> {
        let build = self.builds.get(&slot).copied().unwrap_or_default();
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
    fn records_of_unknown_images_are_refused() {
        let log = |kind| Event::Log { slot: 1, incarnation: 1, build: 0x0403_0201, kind, data: b"hello" };
        let text = lines(&[log(0), log(2), log(9)]);
        assert!(text[0].contains("refused") && text[0].contains("01020304"), "{text:?}");
        assert!(text[1].ends_with("hello"));
        assert!(text[2].contains("unknown kind"));
    }
}
