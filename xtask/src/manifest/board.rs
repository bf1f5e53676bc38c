//! What the build knows of a board: memory ranges, devices and their hazards, interrupt lines (`bsp/<board>/board.toml`).
//!
//! Rule: whether a page of registers may be mapped into a component is decided from this data, never from a driver's
//! good intentions: one register that starts DMA makes its whole page the power over all memory.

use super::diagnostic::{Diagnostics, Source};
use super::model::{Rule, rules};
use super::reader::{Reader, parse};

const PAGE: u64 = abi::PAGE_SIZE as u64;

/// A range of physical addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// First address beyond.
    pub end: u64,
}

impl Range {
    /// The range of this many bytes from `base`.
    pub const fn sized(base: u64, size: u64) -> Self {
        Self { base, end: base + size }
    }

    /// Bytes.
    pub const fn size(self) -> u64 {
        self.end - self.base
    }

    /// Whether the two share an address.
    pub const fn overlaps(self, other: Self) -> bool {
        self.base < other.end && other.base < self.end
    }

    /// The pages that it touches.
    pub const fn pages(self) -> Self {
        Self { base: self.base / PAGE * PAGE, end: self.end.next_multiple_of(PAGE) }
    }
}

/// What a register can do beyond its own device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HazardKind {
    /// Starts a transfer by a bus master: whoever writes it owns all memory.
    Dma,
    /// Resets or switches off the board or other devices.
    Reset,
    /// Re-routes interrupts, pins or clocks of other devices.
    Route,
}

impl HazardKind {
    const NAMES: [(&'static str, Self); 3] =
        [("dma", Self::Dma), ("reset", Self::Reset), ("route", Self::Route)];

    fn text(self) -> &'static str {
        match self {
            Self::Dma => "starts DMA",
            Self::Reset => "resets",
            Self::Route => "re-routes",
        }
    }
}

/// Registers that must not be mapped into a component.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hazard {
    /// What they can do.
    pub kind: HazardKind,
    /// Offsets of the registers from the device's base.
    pub registers: Range,
    /// The bits that do it; a rule may allow the others.
    pub mask: u32,
    /// What in particular, for messages.
    pub what: String,
}

/// A device: a range of registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// Name that manifests use.
    pub name: String,
    /// Its registers.
    pub registers: Range,
    /// Why no component may have it: who holds it instead.
    pub reserved: Option<String>,
    /// Registers that reach beyond the device.
    pub hazards: Vec<Hazard>,
    /// What a driver needs of a device that cannot be mapped: a manifest takes it by `rules = "board"`.
    pub rules: Vec<Rule>,
}

/// An interrupt line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Name that manifests use.
    pub name: String,
    /// Number, as the board's interrupt controller counts.
    pub number: u32,
    /// Why no component may have it.
    pub reserved: Option<String>,
}

/// One board.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Board {
    /// Its name.
    pub name: String,
    /// The kernel's linker script, relative to the workspace's root.
    pub linker_script: String,
    /// Memory for the kernel and the boot image; the kernel is entered at its base.
    pub kernel: Range,
    /// Memory for the fault plan.
    pub plan: Range,
    /// Memory for banks, arenas, checkpoints and log rings.
    pub components: Range,
    /// Devices.
    pub devices: Vec<Device>,
    /// Interrupt lines.
    pub lines: Vec<Line>,
}

impl Board {
    /// Reads a `board.toml`; `file` is its name for messages.
    ///
    /// # Errors
    /// Everything in it that is wrong.
    pub fn read(file: &str, text: &str) -> Result<Self, Diagnostics> {
        let source = Source::new(file, text);
        let board = parse(&source, |reader| board(&reader)).flatten();
        if let Some(board) = &board {
            check(board, &source);
        }
        let board = source.finish(board)?;
        Ok(board.expect("a board that is absent was reported"))
    }

    /// The device with this name.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.iter().find(|device| device.name == name)
    }

    /// The interrupt line with this name.
    pub fn line(&self, name: &str) -> Option<&Line> {
        self.lines.iter().find(|line| line.name == name)
    }

    /// All devices with registers in the pages of `device`, itself included.
    pub fn page_residents(&self, device: &Device) -> impl Iterator<Item = &Device> {
        let pages = device.registers.pages();
        self.devices.iter().filter(move |other| other.registers.overlaps(pages))
    }
}

impl Device {
    /// The first hazard with a register in `pages`, and how to say it.
    pub fn hazard_in(&self, pages: Range) -> Option<String> {
        let inside = |hazard: &&Hazard| {
            let base = self.registers.base + hazard.registers.base;
            Range::sized(base, hazard.registers.size()).overlaps(pages)
        };
        let hazard = self.hazards.iter().find(inside)?;
        Some(format!(
            "{} at offset {:#x} {} {}",
            self.name,
            hazard.registers.base,
            hazard.kind.text(),
            hazard.what
        ))
    }

    /// Whether one of the bits of `mask` in the 32-bit register at `offset` starts DMA.
    pub fn starts_dma(&self, offset: u64, mask: u32) -> bool {
        let dma = |hazard: &Hazard| {
            hazard.kind == HazardKind::Dma
                && hazard.mask & mask != 0
                && hazard.registers.overlaps(Range::sized(offset, 4))
        };
        self.hazards.iter().any(dma)
    }
}

fn board(reader: &Reader<'_>) -> Option<Board> {
    reader.only("a board", &["name", "linker_script", "memory", "devices", "interrupts"]);
    let text = |key: &str, example: &str| {
        if !reader.has(key) {
            reader.missing("the board", key, example);
        }
        reader.text(key, example)
    };
    let name = text("name", "\"NAME\"");
    let linker_script = text("linker_script", "\"bsp/NAME/kernel.ld\"");
    let memory = memory(reader);
    let devices = reader
        .entries("devices", "{ … }")
        .iter()
        .filter_map(|(name, entry)| device(&name.value, entry))
        .collect();
    let lines = reader
        .entries("interrupts", "{ … }")
        .iter()
        .filter_map(|(name, entry)| line(&name.value, entry))
        .collect();
    let [kernel, plan, components] = memory?;
    let (name, linker_script) = (name?.value, linker_script?.value);
    Some(Board { name, linker_script, kernel, plan, components, devices, lines })
}

fn memory(reader: &Reader<'_>) -> Option<[Range; 3]> {
    let example = "{ base = 0x8_0000, end = 0x200_0000 }";
    let Some(memory) = reader.table("memory", "{ … }") else {
        reader.missing("the board", "memory", "{ … }");
        return None;
    };
    memory.only("`memory`", &["kernel", "plan", "components"]);
    let range = |key: &str| {
        let Some(table) = memory.table(key, example) else {
            memory.missing("`memory`", key, example);
            return None;
        };
        table.only(&format!("`{key}`"), &["base", "end"]);
        let (base, end) = (number(&table, key, "base")?, number(&table, key, "end")?);
        if base >= end || !base.is_multiple_of(PAGE) || !end.is_multiple_of(PAGE) {
            let message = format!("`{key}` is {base:#x} to {end:#x}, which is no range of whole pages");
            table.source().report(table.line, message, format!("write `{key} = {example}`"));
            return None;
        }
        Some(Range { base, end })
    };
    let ranges = ["kernel", "plan", "components"].map(range);
    Some([ranges[0]?, ranges[1]?, ranges[2]?])
}

fn number(reader: &Reader<'_>, what: &str, key: &str) -> Option<u64> {
    if !reader.has(key) {
        reader.missing(&format!("`{what}`"), key, "0x1000");
    }
    reader.integer(key, "0x1000").map(|at| at.value)
}

fn device(name: &str, entry: &Reader<'_>) -> Option<Device> {
    entry.only(&format!("device `{name}`"), &["base", "size", "reserved", "hazards", "rules"]);
    let (base, size) = (number(entry, name, "base"), number(entry, name, "size"));
    let hazards =
        entry.tables("hazards", "[{ … }]").iter().filter_map(|reader| hazard(name, reader)).collect();
    let reserved = entry.text("reserved", "\"the kernel\"").map(|at| at.value);
    Some(Device {
        name: name.into(),
        registers: Range::sized(base?, size?),
        reserved,
        hazards,
        rules: rules(name, entry),
    })
}

fn hazard(device: &str, reader: &Reader<'_>) -> Option<Hazard> {
    reader.only(&format!("a hazard of `{device}`"), &["kind", "offset", "size", "mask", "what"]);
    let kind_name = reader.text("kind", "\"dma\"")?;
    let kind = HazardKind::NAMES.into_iter().find(|(name, _)| *name == kind_name.value);
    if kind.is_none() {
        let message = format!("`{}` is no kind of hazard", kind_name.value);
        reader.source().report(kind_name.line, message, "write \"dma\", \"reset\" or \"route\"");
    }
    let (offset, size) = (number(reader, device, "offset"), number(reader, device, "size"));
    let what = reader.text("what", "\"a transfer\"").map_or_else(String::new, |at| at.value);
    let mask = reader.integer("mask", "0xFFFF_FFFF").map_or(u32::MAX, |at| at.value as u32);
    Some(Hazard { kind: kind?.1, registers: Range::sized(offset?, size?), mask, what })
}

fn line(name: &str, entry: &Reader<'_>) -> Option<Line> {
    entry.only(&format!("interrupt `{name}`"), &["line", "reserved"]);
    let number = u32::try_from(number(entry, name, "line")?).ok()?;
    Some(Line {
        name: name.into(),
        number,
        reserved: entry.text("reserved", "\"the kernel\"").map(|at| at.value),
    })
}

fn check(board: &Board, source: &Source) {
    let ranges = [("kernel", board.kernel), ("plan", board.plan), ("components", board.components)];
    for (index, (name, range)) in ranges.iter().enumerate() {
        for (other, second) in &ranges[..index] {
            if range.overlaps(*second) {
                source.report(
                    1,
                    format!("the memory ranges `{other}` and `{name}` overlap"),
                    "move one of them",
                );
            }
        }
    }
    for (index, device) in board.devices.iter().enumerate() {
        let clash = board.devices[..index].iter().find(|other| other.registers.overlaps(device.registers));
        if let Some(other) = clash {
            let message = format!("the registers of `{}` and `{}` overlap", other.name, device.name);
            source.report(1, message, "correct base or size of one of them");
        }
        if let Some(hazard) =
            device.hazards.iter().find(|hazard| hazard.registers.end > device.registers.size())
        {
            let message = format!(
                "a hazard of `{}` ends at {:#x}, behind the device",
                device.name, hazard.registers.end
            );
            source.report(1, message, "correct its offset and size");
        }
    }
    for (index, line) in board.lines.iter().enumerate() {
        if let Some(other) = board.lines[..index].iter().find(|other| other.number == line.number) {
            let message = format!("the interrupts `{}` and `{}` have one number", other.name, line.name);
            source.report(1, message, "give the shared line one name");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMORY: &str = "name = \"b\"\nlinker_script = \"k.ld\"\n[memory]\nkernel = { base = 0x80000, end = 0x200_0000 }\n\
        plan = { base = 0x200_0000, end = 0x201_0000 }\ncomponents = { base = 0x210_0000, end = 0x1000_0000 }\n";

    fn defects(text: &str) -> Vec<String> {
        Board::read("board.toml", text).unwrap_err().0.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_board_in_the_tree_is_read() {
        let text = include_str!("../../../bsp/raspi3b/board.toml");
        let board = Board::read("board.toml", text).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((board.kernel.base, board.plan.size()), (0x8_0000, 0x1_0000));
        assert_eq!(board.line("uart0").map(|line| line.number), Some(57));
        let residents = |name: &str| -> Vec<&str> {
            board.page_residents(board.device(name).unwrap()).map(|device| device.name.as_str()).collect()
        };
        assert_eq!(residents("uart0"), ["uart0"]);
        assert_eq!(residents("emmc"), ["emmc"]);
        assert_eq!(residents("mailbox"), ["interrupt-controller", "arm-timer", "doorbells", "mailbox"]);
    }

    #[test]
    fn a_controller_that_could_do_dma_has_rules_without_the_bit_that_starts_it() {
        let text = include_str!("../../../bsp/raspi4b/board.toml");
        let board = Board::read("board.toml", text).unwrap_or_else(|error| panic!("{error}"));
        let device = board.device("emmc2").unwrap();
        assert!(device.hazard_in(device.registers.pages()).is_some(), "it cannot be mapped");
        assert!(device.rules.iter().all(|rule| !device.starts_dma(rule.offset, rule.mask)));
        assert!(device.starts_dma(0x0C, 1) && !device.starts_dma(0x0C, !1));
        assert!(device.rules.len() <= abi::rights::RULES_MAX);
    }

    #[test]
    fn no_register_of_the_usb_controller_that_starts_dma_can_be_written() {
        for text in
            [include_str!("../../../bsp/raspi3b/board.toml"), include_str!("../../../bsp/raspi4b/board.toml")]
        {
            let board = Board::read("board.toml", text).unwrap_or_else(|error| panic!("{error}"));
            let device = board.device("usb").unwrap();
            let endpoints = (0..16).flat_map(|n| [0x900, 0x914, 0xB00, 0xB14].map(|first| first + 0x20 * n));
            let channels = (0..16).map(|n| 0x514 + 0x20 * n);
            for offset in endpoints.chain(channels) {
                assert!(device.starts_dma(offset, u32::MAX), "{}: {offset:#x}", board.name);
            }
            assert!([0x4FC, 0x700, 0x8FC, 0xD00].iter().all(|&offset| !device.starts_dma(offset, u32::MAX)));
        }
    }

    #[test]
    fn hazards_count_only_in_the_pages_that_they_lie_in() {
        let text = format!(
            "{MEMORY}[devices.d]\nbase = 0x3F00_0000\nsize = 0x3000\n\
             hazards = [{{ kind = \"dma\", offset = 0x1008, size = 4, what = \"anything\" }}]"
        );
        let board = Board::read("board.toml", &text).unwrap();
        let device = board.device("d").unwrap();
        assert_eq!(device.hazard_in(Range::sized(0x3F00_0000, 0x1000)), None);
        let found = device.hazard_in(Range::sized(0x3F00_1000, 0x1000));
        assert_eq!(found.as_deref(), Some("d at offset 0x1008 starts DMA anything"));
        assert_eq!(
            [0x1004, 0x1008, 0x100C].map(|offset| device.starts_dma(offset, u32::MAX)),
            [false, true, false]
        );
    }

    #[test]
    fn defects_name_line_and_remedy() {
        assert_eq!(
            defects("name = \"b\""),
            [
                "board.toml:1: the board lacks `linker_script`\n  remedy: add `linker_script = \"bsp/NAME/kernel.ld\"`",
                "board.toml:1: the board lacks `memory`\n  remedy: add `memory = { … }`",
            ]
        );
        let text = format!("{MEMORY}[devices.a]\nbase = 0\nsize = 8\n[devices.b]\nbase = 4\nsize = 8");
        assert_eq!(
            defects(&text),
            [
                "board.toml:1: the registers of `a` and `b` overlap\n  remedy: correct base or size of one of them"
            ]
        );
        let text = MEMORY.replace("0x201_0000", "0x201_0001");
        assert_eq!(
            defects(&text),
            ["board.toml:5: `plan` is 0x2000000 to 0x2010001, which is no range of whole pages\n  \
              remedy: write `plan = { base = 0x8_0000, end = 0x200_0000 }`"]
        );
        let text = MEMORY.replace("0x210_0000", "0x200_0000");
        assert_eq!(
            defects(&text),
            ["board.toml:1: the memory ranges `plan` and `components` overlap\n  remedy: move one of them"]
        );
        let text = format!(
            "{MEMORY}[devices.a]\nbase = 0\nsize = 8\nhazards = [{{ kind = \"fire\", offset = 0, size = 4 }}]"
        );
        assert_eq!(
            defects(&text),
            ["board.toml:10: `fire` is no kind of hazard\n  remedy: write \"dma\", \"reset\" or \"route\""]
        );
        let text = format!(
            "{MEMORY}[devices.a]\nbase = 0\nsize = 8\nhazards = [{{ kind = \"dma\", offset = 8, size = 4 }}]"
        );
        assert_eq!(
            defects(&text),
            [
                "board.toml:1: a hazard of `a` ends at 0xc, behind the device\n  remedy: correct its offset and size"
            ]
        );
        let text = format!("{MEMORY}[interrupts.a]\nline = 3\n[interrupts.b]\nline = 3");
        assert_eq!(
            defects(&text),
            [
                "board.toml:1: the interrupts `a` and `b` have one number\n  remedy: give the shared line one name"
            ]
        );
    }
}
