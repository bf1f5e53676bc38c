//! The rights table: a checked and placed system as the kernel's records.

use abi::name_field;
use abi::rights::{
    CALLS_MAX, CallRight, IRQS_MAX, IrqRight, NO_IMAGE, Policy, RULES_MAX, RegisterRule, Rights, SlotRights,
    WINDOWS_MAX, Window,
};
use zerocopy::FromZeros;

use super::System;
use super::board::Board;
use super::model::Component;
use super::place::Placement;
use super::resolve::Links;

/// The record of each slot; `images` holds the index of each slot's image.
pub fn table(system: &System, placements: &[Placement], images: &[Option<u32>]) -> Vec<SlotRights> {
    let record = |slot: usize| {
        record(&system.components[slot], &system.links[slot], &placements[slot], images[slot], &system.board)
    };
    (0..system.components.len()).map(record).collect()
}

fn record(
    component: &Component,
    links: &Links,
    placement: &Placement,
    image: Option<u32>,
    board: &Board,
) -> SlotRights {
    let (windows, rules) = windows(component, board);
    SlotRights {
        name: name_field(&component.name.value),
        image: image.unwrap_or(NO_IMAGE),
        flags: component.rights.iter().fold(Rights::empty(), |all, right| all | right.value).bits(),
        controls: links.controls,
        loads: links.loads,
        reserved: 0,
        notifies: links.notifies,
        priority: component.priority.value as u32,
        serves: links.service.is_some().into(),
        idempotent: links.service.map_or(0, |service| service.idempotent),
        deduplicated: links.service.map_or(0, |service| service.deduplicated),
        bank_base: placement.bank.base,
        bank_size: placement.bank.size(),
        arena_base: placement.arena.base,
        arena_size: placement.arena.size(),
        checkpoint_base: placement.checkpoint.base,
        checkpoint_size: component.checkpoint.value,
        log_base: placement.log.base,
        log_size: placement.log.size(),
        store_base: placement.store.base,
        store_size: component.store.value,
        stack_size: component.stack.value,
        heap_size: component.heap.value,
        budget: component.budget.0,
        budget_period: component.budget.1,
        calls: calls(links),
        irqs: irqs(component, board),
        windows,
        rules,
        policy: Policy { group: links.group, suppliers: links.suppliers(), ..component.policy },
    }
}

fn calls(links: &Links) -> [CallRight; CALLS_MAX] {
    let mut rights = [CallRight::new_zeroed(); CALLS_MAX];
    for (right, &(server, labels)) in rights.iter_mut().zip(&links.calls) {
        *right = CallRight { used: 1, server: server.into(), labels };
    }
    rights
}

fn irqs(component: &Component, board: &Board) -> [IrqRight; IRQS_MAX] {
    let mut rights = [IrqRight::new_zeroed(); IRQS_MAX];
    for (right, irq) in rights.iter_mut().zip(&component.irqs) {
        let line = board.line(&irq.line.value).expect("the line was checked").number;
        *right = IrqRight { used: 1, line, storm_count: irq.storm, reserved: 0, storm_window: irq.window };
    }
    rights
}

fn windows(component: &Component, board: &Board) -> ([Window; WINDOWS_MAX], [RegisterRule; RULES_MAX]) {
    let mut windows = [Window::new_zeroed(); WINDOWS_MAX];
    let mut rules = [RegisterRule::new_zeroed(); RULES_MAX];
    let mut next = 0;
    for (window, entry) in windows.iter_mut().zip(&component.devices) {
        let registers = board.device(&entry.device.value).expect("the device was checked").registers;
        *window = Window {
            base: registers.base,
            size: registers.size(),
            mapped: entry.mapped.into(),
            first_rule: next as u32,
            rule_count: entry.rules.len() as u32,
            reserved: 0,
        };
        for rule in &entry.rules {
            rules[next] = RegisterRule {
                offset: rule.offset as u32,
                operations: u32::from(rule.read) | u32::from(rule.write) << 1,
                mask: rule.mask,
                zero: rule.zero,
            };
            next += 1;
        }
    }
    (windows, rules)
}
