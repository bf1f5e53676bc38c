//! Bindings: numbers that a program asks for by name and that the build writes into its image.
//!
//! A record has 64 bytes: kind `u32`, number `u32`, value `u64`, name of 48 bytes padded with zeros. A name that begins
//! with '?' may be absent from the manifest: its number then stays [`ABSENT`].

use super::flatten::Flat;
use crate::manifest::System;
use crate::manifest::diagnostic::suggest;
use crate::manifest::model::Component;

/// Bytes of a record.
pub const RECORD: usize = 64;

/// The number of what the manifest does not give.
pub const ABSENT: u32 = u32::MAX;

/// What a name stands for. The discriminant is the record's kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A service: number is the call handle, value the deadline in ns.
    Call = 1,
    /// An interrupt line: number is the handle.
    Irq = 2,
    /// A device: number is the window, value 1 if it is mapped.
    Window = 3,
    /// A component that may be notified: number is the slot.
    Notify = 4,
    /// A number of the manifest: value.
    Parameter = 5,
    /// A component: number is the slot.
    Slot = 6,
    /// A service: number is the slot of who serves it.
    Server = 7,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Call, Self::Irq, Self::Window, Self::Notify, Self::Parameter, Self::Slot, Self::Server];

    /// What the program wants, and how to give it.
    fn texts(self, name: &str) -> (String, String) {
        match self {
            Self::Call => (
                format!("calls the service `{name}`"),
                format!("add `{name} = {{ deadline_ms = 1000 }}` to its `calls`"),
            ),
            Self::Irq => (
                format!("waits for the interrupt line `{name}`"),
                format!("add `{name} = {{ storm = 2000, window_ms = 10 }}` to its `irqs`"),
            ),
            Self::Window => (
                format!("uses the device `{name}`"),
                format!("add `{name} = {{ mapped = true }}` to its `devices`"),
            ),
            Self::Notify => (format!("notifies \"{name}\""), format!("add \"{name}\" to its `notifies`")),
            Self::Parameter => {
                (format!("reads the parameter `{name}`"), format!("add `{name} = 1` to its `parameters`"))
            }
            Self::Server => {
                (format!("asks who serves `{name}`"), format!("add `serves = \"{name}\"` to some component"))
            }
            Self::Slot => (format!("names the component \"{name}\""), format!("add `[component.{name}]`")),
        }
    }
}

/// One record of an image.
struct Record {
    kind: Option<Kind>,
    kind_number: u32,
    name: String,
    optional: bool,
}

fn read(bytes: &[u8]) -> Record {
    let kind_number = u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
    let text = abi::name_text(&bytes[16..]);
    Record {
        kind: Kind::ALL.into_iter().find(|kind| *kind as u32 == kind_number),
        kind_number,
        name: text.trim_start_matches('?').into(),
        optional: text.starts_with('?'),
    }
}

/// The stored pages of `flat` for the component in `slot`. Defects go to the system's source: what the program wants and
/// does not get, and what the manifest gives and the program never uses.
pub fn bind(flat: &Flat, system: &System, slot: usize) -> Vec<u8> {
    let (pages, used) = patch(flat, system, slot);
    report_unused(system, slot, &used);
    pages
}

/// As [`bind`], for a program that is to run in a spare slot. It need not use all that the slot gives: other programs do.
pub fn bind_program(flat: &Flat, system: &System, slot: usize) -> Vec<u8> {
    patch(flat, system, slot).0
}

fn patch(flat: &Flat, system: &System, slot: usize) -> (Vec<u8>, Vec<(Kind, String)>) {
    let mut pages = flat.pages.clone();
    let mut used: Vec<(Kind, String)> = Vec::new();
    for bytes in pages[flat.bindings.clone()].chunks_exact_mut(RECORD) {
        let record = read(bytes);
        let Some(kind) = record.kind.filter(|_| !record.name.is_empty()) else {
            let message =
                format!("it has a binding of kind {} named \"{}\"", record.kind_number, record.name);
            report(system, slot, &message, "kinds are 1 to 7, names have 1 to 47 bytes: see userlib");
            continue;
        };
        let found = look_up(kind, &record.name, system, slot);
        if found.is_none() && !record.optional {
            let (want, remedy) = kind.texts(&record.name);
            report(system, slot, &format!("it {want}, which the entry does not give"), &remedy);
        }
        let (number, value) = found.unwrap_or((ABSENT, 0));
        bytes[4..8].copy_from_slice(&number.to_le_bytes());
        bytes[8..16].copy_from_slice(&value.to_le_bytes());
        used.push((kind, record.name));
    }
    (pages, used)
}

fn report(system: &System, slot: usize, message: &str, remedy: &str) {
    let component = &system.components[slot];
    let image = component.image.as_ref().unwrap_or(&component.name);
    let message = format!("component \"{}\", image \"{}\": {message}", component.name.value, image.value);
    system.source.report(image.line, message, remedy);
}

/// Number and value of a name, if the manifest gives it to this component.
fn look_up(kind: Kind, name: &str, system: &System, slot: usize) -> Option<(u32, u64)> {
    let component = &system.components[slot];
    let named = |name: &str| system.components.iter().position(|other| other.name.value == name);
    match kind {
        Kind::Call => {
            let index = component.calls.iter().position(|call| call.service.value == name)?;
            Some((index as u32, component.calls[index].deadline))
        }
        Kind::Irq => Some((component.irqs.iter().position(|irq| irq.line.value == name)? as u32, 0)),
        Kind::Window => {
            let index = component.devices.iter().position(|device| device.device.value == name)?;
            Some((index as u32, component.devices[index].mapped.into()))
        }
        Kind::Notify => {
            let other = named(name).filter(|&other| system.links[slot].notifies >> other & 1 == 1)?;
            Some((other as u32, 0))
        }
        Kind::Parameter => {
            component.parameters.iter().find(|(key, _)| key.value == name).map(|(_, value)| (0, *value))
        }
        Kind::Slot => named(name).map(|other| (other as u32, 0)),
        Kind::Server => {
            let serves =
                |other: &Component| other.serves.as_ref().is_some_and(|service| service.value == name);
            Some((system.components.iter().position(serves)? as u32, 0))
        }
    }
}

/// A right that the program never uses serves only whoever breaks into it.
fn report_unused(system: &System, slot: usize, used: &[(Kind, String)]) {
    let component = &system.components[slot];
    let names = |kind: Kind| -> Vec<&str> {
        used.iter().filter(|(other, _)| *other == kind).map(|(_, name)| name.as_str()).collect()
    };
    for (kind, list, given) in given(component) {
        let known = names(kind);
        for (name, line) in given.into_iter().filter(|(name, _)| !known.contains(name)) {
            let image = component.image.as_ref().map_or("", |image| image.value.as_str());
            let message = format!(
                "image \"{image}\" never uses `{name}` of the `{list}` of \"{}\"",
                component.name.value
            );
            let remedy = match &known[..] {
                [] => "remove it".into(),
                known => format!("remove it; or {}", suggest(name, known, "names that the image uses")),
            };
            system.source.report(line, message, remedy);
        }
    }
}

type Given<'a> = (Kind, &'static str, Vec<(&'a str, usize)>);

fn given(component: &Component) -> [Given<'_>; 4] {
    let calls = component.calls.iter().map(|call| (call.service.value.as_str(), call.service.line)).collect();
    let irqs = component.irqs.iter().map(|irq| (irq.line.value.as_str(), irq.line.line)).collect();
    let devices =
        component.devices.iter().map(|entry| (entry.device.value.as_str(), entry.device.line)).collect();
    let parameters = component.parameters.iter().map(|(key, _)| (key.value.as_str(), key.line)).collect();
    [
        (Kind::Call, "calls", calls),
        (Kind::Irq, "irqs", irqs),
        (Kind::Window, "devices", devices),
        (Kind::Parameter, "parameters", parameters),
    ]
}

/// A record as a program declares it.
#[cfg(test)]
pub fn record_bytes(kind: u32, name: &str) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&ABSENT.to_le_bytes());
    bytes[16..].copy_from_slice(&abi::name_field::<48>(name));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::PAGE;
    use crate::manifest::tests::{GOOD, changed, read};
    use abi::image::ImageHeader;
    use zerocopy::FromZeros;

    const BLOCK: usize = 2;
    const FS: usize = 3;
    const CLIENT: usize = 4;

    /// An image of two pages with records in the middle of the second.
    fn image(records: &[(u32, &str)]) -> Flat {
        let bytes: Vec<u8> = records.iter().flat_map(|(kind, name)| record_bytes(*kind, name)).collect();
        let mut pages = vec![0xEE; 2 * PAGE];
        let bindings = PAGE + 128..PAGE + 128 + bytes.len();
        pages[bindings.clone()].copy_from_slice(&bytes);
        Flat { header: ImageHeader::new_zeroed(), pages, bindings, arguments: None }
    }

    /// Number and value of each record, and the defects, without the file's name.
    fn bound(text: &str, slot: usize, records: &[(u32, &str)]) -> (Vec<(u32, u64)>, Vec<String>) {
        let system = read(text).unwrap_or_else(|defects| panic!("{defects}"));
        let flat = image(records);
        let pages = bind(&flat, &system, slot);
        let numbers = pages[flat.bindings].chunks_exact(RECORD).map(|bytes| {
            let number = u32::from_le_bytes(bytes[4..8].try_into().unwrap());
            (number, u64::from_le_bytes(bytes[8..16].try_into().unwrap()))
        });
        let numbers = numbers.collect();
        let defects = system.source.finish(()).err().map_or(Vec::new(), |found| found.0);
        (numbers, defects.iter().map(|defect| defect.to_string().replace("system/demo.toml:", "")).collect())
    }

    #[test]
    fn names_become_numbers() {
        let wanted =
            [(1, "files"), (5, "files"), (4, "rs"), (6, "block"), (4, "?fs"), (1, "?block"), (6, "?nobody")];
        let (numbers, defects) = bound(GOOD, CLIENT, &wanted);
        let none = (ABSENT, 0);
        assert_eq!(numbers, [(0, 2_000_000_000), (0, 3), (1, 0), (2, 0), none, none, none]);
        assert_eq!(defects, Vec::<String>::new());
        // A driver: the second device is not mapped; a server may notify its caller.
        let wanted = [(3, "gpio"), (3, "emmc"), (2, "emmc"), (4, "fs")];
        let (numbers, defects) = bound(GOOD, BLOCK, &wanted);
        assert_eq!(numbers, [(1, 0), (0, 1), (0, 0), (3, 0)]);
        assert_eq!(defects, Vec::<String>::new());
    }

    #[test]
    fn nothing_but_the_records_is_changed() {
        let system = read(GOOD).ok().unwrap();
        let flat = image(&[(1, "files"), (5, "files")]);
        let pages = bind(&flat, &system, CLIENT);
        let changed: Vec<usize> = (0..pages.len()).filter(|&at| pages[at] != flat.pages[at]).collect();
        let offsets: Vec<usize> = changed.iter().map(|at| at - flat.bindings.start).collect();
        assert!(offsets.iter().all(|at| (4..16).contains(&(at % RECORD))), "{offsets:?}");
        assert!(!offsets.is_empty());
    }

    #[test]
    fn what_the_entry_does_not_give_is_named_with_its_remedy() {
        let cases = [
            (
                (1, "console"),
                "calls the service `console`",
                "add `console = { deadline_ms = 1000 }` to its `calls`",
            ),
            (
                (2, "uart0"),
                "waits for the interrupt line `uart0`",
                "add `uart0 = { storm = 2000, window_ms = 10 }` to its `irqs`",
            ),
            ((3, "uart0"), "uses the device `uart0`", "add `uart0 = { mapped = true }` to its `devices`"),
            ((4, "rs"), "notifies \"rs\"", "add \"rs\" to its `notifies`"),
            ((5, "pause"), "reads the parameter `pause`", "add `pause = 1` to its `parameters`"),
            ((6, "shell"), "names the component \"shell\"", "add `[component.shell]`"),
        ];
        for (record, want, remedy) in cases {
            let (numbers, defects) = bound(GOOD, FS, &[(1, "block"), record]);
            assert_eq!(numbers[1], (ABSENT, 0));
            let expected = format!(
                "33: component \"fs\", image \"fs-server\": it {want}, which the entry does not give\n  remedy: {remedy}"
            );
            assert_eq!(defects, [expected]);
        }
    }

    #[test]
    fn a_damaged_record_is_refused() {
        for (record, kind, name) in
            [((8, "x"), 8, "x"), ((0, "x"), 0, "x"), ((1, ""), 1, ""), ((1, "?"), 1, "")]
        {
            let (_, defects) = bound(GOOD, FS, &[(1, "block"), record]);
            let expected = format!(
                "33: component \"fs\", image \"fs-server\": it has a binding of kind {kind} named \"{name}\"\n  \
                 remedy: kinds are 1 to 7, names have 1 to 47 bytes: see userlib"
            );
            assert_eq!(defects, [expected]);
        }
    }

    #[test]
    fn rights_that_the_program_never_uses_are_refused() {
        let (_, defects) = bound(GOOD, CLIENT, &[(5, "fills")]);
        assert_eq!(
            defects,
            [
                "42: component \"client\", image \"workload\": it reads the parameter `fills`, which the entry does not give\n  \
                 remedy: add `fills = 1` to its `parameters`",
                "46: image \"workload\" never uses `files` of the `calls` of \"client\"\n  remedy: remove it",
                "49: image \"workload\" never uses `files` of the `parameters` of \"client\"\n  \
                 remedy: remove it; or write `fills`, or another of the names that the image uses: `fills`",
            ]
        );
        let (_, defects) = bound(GOOD, BLOCK, &[(3, "?emmc")]);
        assert_eq!(
            defects,
            [
                "28: image \"sdcard\" never uses `emmc` of the `irqs` of \"block\"\n  remedy: remove it",
                "29: image \"sdcard\" never uses `gpio` of the `devices` of \"block\"\n  \
                 remedy: remove it; or write one of the names that the image uses: `emmc`",
            ]
        );
    }

    #[test]
    fn handles_count_in_the_order_of_the_entry() {
        let text = changed(&[
            ("calls = { files = {", "calls = { block = { deadline_ms = 26 }, files = {"),
            ("parameters = { files = 3 }\n", ""),
        ]);
        let (numbers, defects) = bound(&text, CLIENT, &[(1, "files"), (1, "block")]);
        assert_eq!(numbers, [(1, 2_000_000_000), (0, 26_000_000)]);
        assert_eq!(defects, Vec::<String>::new());
    }
}
