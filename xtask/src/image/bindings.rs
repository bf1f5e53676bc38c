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
}

impl Kind {
    const ALL: [Self; 6] = [Self::Call, Self::Irq, Self::Window, Self::Notify, Self::Parameter, Self::Slot];

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
            Self::Parameter => (
                format!("reads the parameter `{name}`"),
                format!("add `{name} = 1` to its `parameters`"),
            ),
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
    let mut pages = flat.pages.clone();
    let mut used: Vec<(Kind, String)> = Vec::new();
    for bytes in pages[flat.bindings.clone()].chunks_exact_mut(RECORD) {
        let record = read(bytes);
        let Some(kind) = record.kind.filter(|_| !record.name.is_empty()) else {
            let message = format!("it has a binding of kind {} named \"{}\"", record.kind_number, record.name);
            report(system, slot, &message, "kinds are 1 to 6, names have 1 to 47 bytes: see userlib");
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
    report_unused(system, slot, &used);
    pages
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
            let message = format!("image \"{image}\" never uses `{name}` of the `{list}` of \"{}\"", component.name.value);
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
    let devices = component.devices.iter().map(|entry| (entry.device.value.as_str(), entry.device.line)).collect();
    let parameters = component.parameters.iter().map(|(key, _)| (key.value.as_str(), key.line)).collect();
    [
        (Kind::Call, "calls", calls),
        (Kind::Irq, "irqs", irqs),
        (Kind::Window, "devices", devices),
        (Kind::Parameter, "parameters", parameters),
    ]
}

/// Whether the component's image depends on its entry at all. Used by tests of images without bindings.
#[cfg(test)]
pub fn record_bytes(kind: u32, name: &str) -> [u8; RECORD] {
    let mut bytes = [0; RECORD];
    bytes[..4].copy_from_slice(&kind.to_le_bytes());
    bytes[4..8].copy_from_slice(&7u32.to_le_bytes());
    bytes[16..].copy_from_slice(&abi::name_field::<48>(name));
    bytes
}
