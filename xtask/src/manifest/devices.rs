//! Who may touch which registers: one owner for each device and line, no page mapped that holds somebody else's
//! registers or one that reaches beyond its device.

use abi::layout::DEVICE_STRIDE;
use abi::rights::{IRQS_MAX, RULES_MAX, WINDOWS_MAX};

use super::board::{Board, Device};
use super::diagnostic::{Source, suggest};
use super::model::{Component, DeviceUse, Rule};

/// Checks devices and interrupt lines; defects go to `source`.
pub fn check(components: &[Component], board: &Board, source: &Source) {
    for (slot, component) in components.iter().enumerate() {
        let name = &component.name.value;
        if let Some(extra) = component.irqs.get(IRQS_MAX) {
            let message = format!("\"{name}\" has {} interrupt lines", component.irqs.len());
            source.report(extra.line.line, message, format!("name at most {IRQS_MAX}"));
        }
        if let Some(extra) = component.devices.get(WINDOWS_MAX) {
            let message = format!("\"{name}\" has {} devices", component.devices.len());
            source.report(extra.device.line, message, format!("name at most {WINDOWS_MAX}"));
        }
        let rules: Vec<&Rule> = component.devices.iter().flat_map(|device| &device.rules).collect();
        if let Some(extra) = rules.get(RULES_MAX) {
            let message = format!("\"{name}\" has {} register rules", rules.len());
            source.report(
                extra.line,
                message,
                format!("write at most {RULES_MAX}, or map a page that is free of hazards"),
            );
        }
        for irq in &component.irqs {
            check_line(&components[..slot], &irq.line.value, irq.line.line, board, source);
        }
        for device in &component.devices {
            check_device(&components[..slot], component, device, board, source);
        }
    }
}

fn check_line(earlier: &[Component], name: &str, line: usize, board: &Board, source: &Source) {
    let Some(found) = board.line(name) else {
        let known: Vec<&str> = board.lines.iter().map(|line| line.name.as_str()).collect();
        let message = format!("board {} has no interrupt line `{name}`", board.name);
        source.report(line, message, suggest(name, &known, "lines"));
        return;
    };
    if let Some(reserved) = &found.reserved {
        let message = format!("the interrupt line `{name}` is reserved: {reserved}");
        source.report(line, message, "remove it");
    }
    let owner = earlier.iter().find(|other| other.irqs.iter().any(|irq| irq.line.value == name));
    if let Some(owner) = owner {
        let message = format!("the interrupt line `{name}` belongs to \"{}\" already", owner.name.value);
        source.report(line, message, "give each line to one component");
    }
}

fn check_device(
    earlier: &[Component],
    component: &Component,
    entry: &DeviceUse,
    board: &Board,
    source: &Source,
) {
    let (name, line) = (entry.device.value.as_str(), entry.device.line);
    let Some(device) = board.device(name) else {
        let known: Vec<&str> = board.devices.iter().map(|device| device.name.as_str()).collect();
        let message = format!("board {} has no device `{name}`", board.name);
        source.report(line, message, suggest(name, &known, "devices"));
        return;
    };
    if let Some(reserved) = &device.reserved {
        source.report(line, format!("the device `{name}` is reserved: {reserved}"), "remove it");
        return;
    }
    let owner = earlier.iter().find(|other| other.devices.iter().any(|entry| entry.device.value == name));
    if let Some(owner) = owner {
        let message = format!("the device `{name}` belongs to \"{}\" already", owner.name.value);
        source.report(line, message, "give each device to one component; others call its driver");
    }
    match (entry.mapped, entry.rules.is_empty()) {
        (true, true) => check_mapping(component, device, line, board, source),
        (false, false) => entry.rules.iter().for_each(|rule| check_rule(device, rule, source)),
        (true, false) => {
            let message = format!("the device `{name}` is mapped and has rules, which a mapping by-passes");
            source.report(line, message, "remove `mapped` or `rules`");
        }
        (false, true) => {
            let message = format!("the device `{name}` is neither mapped nor has it rules");
            let remedy = "write `{ mapped = true }` or `{ rules = [{ offset = 0x00, read = true }] }`";
            source.report(line, message, remedy);
        }
    }
}

fn check_mapping(component: &Component, device: &Device, line: usize, board: &Board, source: &Source) {
    let pages = device.registers.pages();
    let remedy = "write `rules` for the registers that are needed instead of `mapped`";
    let refuse = |reason: String| {
        source.report(line, format!("the device `{}` cannot be mapped: {reason}", device.name), remedy);
    };
    for other in board.page_residents(device) {
        if let Some(hazard) = other.hazard_in(pages) {
            refuse(hazard);
        }
        let owned = component.devices.iter().any(|entry| entry.device.value == other.name);
        if !owned {
            refuse(format!(
                "`{}` lies in the same page and is not \"{}\"'s",
                other.name, component.name.value
            ));
        }
    }
    if device.registers.base != pages.base {
        refuse(format!("it begins at {:#x}, within a page", device.registers.base));
    }
    if pages.size() > DEVICE_STRIDE {
        refuse(format!("its {:#x} bytes exceed a window of {DEVICE_STRIDE:#x}", pages.size()));
    }
}

fn check_rule(device: &Device, rule: &Rule, source: &Source) {
    let what = format!("the rule for offset {:#x} of `{}`", rule.offset, device.name);
    let report = |message: &str, remedy: &str| source.report(rule.line, format!("{what} {message}"), remedy);
    if !rule.offset.is_multiple_of(4) || rule.offset.saturating_add(4) > device.registers.size() {
        let size = device.registers.size();
        report("names no register", &format!("write a multiple of 4 below {size:#x}"));
        return;
    }
    if !rule.read && !rule.write {
        report("allows nothing", "add `read = true` or `write = true`");
    }
    // The kernel checks which bits are written, not which memory a transfer would reach.
    if device.starts_dma(rule.offset, rule.mask) && rule.write {
        report(
            "lets a component start DMA to any address",
            "leave those bits out of its mask, and drive the device without DMA",
        );
    }
}
