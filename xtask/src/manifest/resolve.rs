//! From names to slots: every name in a manifest is looked up here, once.

use abi::rights::{CALLS_MAX, slot_bit};
use abi::{SLOTS_MAX, SlotId};
use protocols::Service;

use super::diagnostic::{At, Source, suggest};
use super::model::{Component, Manifest};

/// Longest name of a component, in bytes: a field of the rights table.
const NAME_MAX: usize = 16;

/// What the names of one component stand for.
#[derive(Clone, Debug, Default)]
pub struct Links {
    /// Slots that it controls.
    pub controls: u32,
    /// Spare slots that it may put programs into.
    pub loads: u32,
    /// Slots that it may notify: those of the manifest and its callers.
    pub notifies: u32,
    /// Slots that are restarted with it.
    pub group: u32,
    /// What it serves.
    pub service: Option<Service>,
    /// For each call: slot of the server and labels.
    pub calls: Vec<(SlotId, u64)>,
}

impl Links {
    /// Slots of the servers that it calls, if it is a server itself: a client at the end of the chain gets no say about others.
    pub fn suppliers(&self) -> u32 {
        let calls = self.calls.iter().filter(|_| self.service.is_some());
        calls.fold(0, |set, &(server, _)| set | slot_bit(server))
    }
}

/// Looks up all names; defects go to `source`.
pub fn resolve(manifest: &Manifest, services: &[Service], source: &Source) -> Vec<Links> {
    let components = &manifest.components;
    check_names(components, source);
    let served: Vec<Option<Service>> = served(components, services, source);
    let mut links: Vec<Links> = Vec::new();
    for (slot, component) in components.iter().enumerate() {
        let set = |names: &[At<String>], what: &str| slots(components, slot, names, what, source);
        links.push(Links {
            controls: set(&component.controls, "control"),
            loads: set(&component.loads, "load programs into"),
            notifies: set(&component.notifies, "notify"),
            group: set(&component.group, "be restarted with"),
            service: served[slot],
            calls: calls(component, &served, services, source),
        });
    }
    check_stores(components, source);
    let edges: Vec<(usize, SlotId)> = calls_of(&links).collect();
    for (caller, server) in edges {
        links[usize::from(server)].notifies |= 1u32.checked_shl(caller as u32).unwrap_or(0);
    }
    links
}

/// Stores belong to spare slots, and programs go to slots with a store.
fn check_stores(components: &[Component], source: &Source) {
    for component in components {
        let name = &component.name.value;
        if component.store.value > 0 && component.image.is_some() {
            let message = format!("\"{name}\" has an image and a `store`");
            source.report(component.store.line, message, "remove one of them: a store is for a spare slot");
        }
        for target in &component.loads {
            let found = components.iter().find(|other| other.name.value == target.value);
            if found.is_some_and(|other| other.store.value == 0) {
                let message =
                    format!("\"{name}\" loads programs into \"{}\", which has no store", target.value);
                source.report(target.line, message, "add `store = \"256K\"` to that spare slot");
            }
        }
    }
}

/// All calls of the system: caller and server.
pub fn calls_of(links: &[Links]) -> impl Iterator<Item = (usize, SlotId)> {
    links
        .iter()
        .enumerate()
        .flat_map(|(caller, link)| link.calls.iter().map(move |(server, _)| (caller, *server)))
}

fn check_names(components: &[Component], source: &Source) {
    if let Some(extra) = components.get(SLOTS_MAX) {
        let message = format!("{} components, but a system has at most {SLOTS_MAX} slots", components.len());
        source.report(extra.name.line, message, "remove components");
    }
    if let Some(first) = components.first().filter(|first| first.name.value != "root") {
        let message = format!("the first component is \"{}\", not \"root\"", first.name.value);
        source.report(
            first.name.line,
            message,
            "put `[component.root]` first: it has slot 0, which the kernel starts",
        );
    }
    for Component { name, .. } in components {
        let text = &name.value;
        let plain =
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if text.is_empty() || text.len() > NAME_MAX || !plain {
            let message = format!("\"{text}\" is no name of a component");
            source.report(name.line, message, format!("write 1 to {NAME_MAX} of the characters a-z, 0-9, -"));
        }
    }
}

/// The service that each component serves.
fn served(components: &[Component], services: &[Service], source: &Source) -> Vec<Option<Service>> {
    let mut served: Vec<Option<Service>> = Vec::new();
    for component in components {
        let found = component.serves.as_ref().and_then(|name| {
            let service = service(name, services, source)?;
            if let Some(other) = served.iter().position(|other| *other == Some(service)) {
                let other = &components[other].name.value;
                let message = format!("the service `{}` is served by \"{other}\" already", service.name);
                source.report(
                    name.line,
                    message,
                    "let one component serve it: clients know a service by its name",
                );
            }
            Some(service)
        });
        served.push(found);
    }
    served
}

fn service(name: &At<String>, services: &[Service], source: &Source) -> Option<Service> {
    let found = services.iter().find(|service| service.name == name.value);
    if found.is_none() {
        let known: Vec<&str> = services.iter().map(|service| service.name).collect();
        let message = format!("there is no service `{}`", name.value);
        source.report(name.line, message, suggest(&name.value, &known, "services of protocols::SERVICES"));
    }
    found.copied()
}

fn calls(
    component: &Component,
    served: &[Option<Service>],
    services: &[Service],
    source: &Source,
) -> Vec<(SlotId, u64)> {
    if let Some(extra) = component.calls.get(CALLS_MAX) {
        let message = format!("\"{}\" calls {} services", component.name.value, component.calls.len());
        source.report(extra.service.line, message, format!("name at most {CALLS_MAX}"));
    }
    let mut calls = Vec::new();
    for call in &component.calls {
        let Some(service) = service(&call.service, services, source) else {
            continue;
        };
        let Some(server) = served.iter().position(|other| *other == Some(service)) else {
            let message =
                format!("\"{}\" calls `{}`, which no component serves", component.name.value, service.name);
            let remedy = format!("add a component with `serves = \"{}\"`, or remove the call", service.name);
            source.report(call.service.line, message, remedy);
            continue;
        };
        let labels =
            call.labels.as_ref().map_or(service.labels, |labels| label_set(labels, &service, source));
        calls.push((server as SlotId, labels));
    }
    calls
}

fn label_set(labels: &[At<u64>], service: &Service, source: &Source) -> u64 {
    let mut set = 0;
    for label in labels {
        let bit = 1u64.checked_shl(u32::try_from(label.value).unwrap_or(u32::MAX)).unwrap_or(0);
        if service.labels & bit == 0 {
            let message = format!("the service `{}` has no label {}", service.name, label.value);
            let known: Vec<String> =
                (0..64).filter(|n| service.labels >> n & 1 == 1).map(|n| n.to_string()).collect();
            source.report(label.line, message, format!("write some of the labels {}", known.join(", ")));
        }
        set |= bit;
    }
    set
}

/// The set of the named components, none of which may be `own`.
fn slots(components: &[Component], own: usize, names: &[At<String>], what: &str, source: &Source) -> u32 {
    let mut set = 0;
    for name in names {
        let Some(slot) = components.iter().position(|component| component.name.value == name.value) else {
            let known: Vec<&str> = components.iter().map(|component| component.name.value.as_str()).collect();
            let message = format!("there is no component \"{}\"", name.value);
            source.report(name.line, message, suggest(&name.value, &known, "components"));
            continue;
        };
        if slot == own {
            let message = format!("\"{}\" is to {what} itself", name.value);
            source.report(name.line, message, "remove its own name from the list");
        }
        set |= 1u32.checked_shl(slot as u32).unwrap_or(0);
    }
    set
}
