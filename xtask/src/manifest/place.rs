//! Where each component's memory lies, and the proof that it suffices.
//!
//! A bank holds everything of a component: image, stack, heap and its own page tables. If the bank covers the most that
//! the component can ever map, then a restart cannot fail for lack of memory.

use abi::image::ImageHeader;
use abi::layout::{ARENA_BASE, DEVICE_BASE, DEVICE_STRIDE, HEAP_BASE, IMAGE_BASE, PLAN_BASE, STACK_TOP};
use abi::rights::Rights;

use super::System;
use super::board::Range;
use super::model::Component;
use super::reader::format_size;

const PAGE: u64 = abi::PAGE_SIZE as u64;

/// What one table of the last level translates. The tree has two levels: one root, and one table for each such range.
const TABLE_SPAN: u64 = 2 << 20;

/// Arenas are not cached, so they share no large block of the kernel's own mapping with cached memory.
const BLOCK: u64 = 2 << 20;

/// The ranges of one slot; empty where the component has none.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Placement {
    /// Bank.
    pub bank: Range,
    /// Checkpoint: two halves.
    pub checkpoint: Range,
    /// Log ring.
    pub log: Range,
    /// Arena.
    pub arena: Range,
    /// Store of a spare slot.
    pub store: Range,
}

/// The most that a component can use of its bank, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Need {
    /// Image, with its zeroed data.
    pub image: u64,
    /// Stack.
    pub stack: u64,
    /// Heap.
    pub heap: u64,
    /// Page tables.
    pub tables: u64,
}

impl Need {
    /// What `component` needs with this image (`None`: a spare slot, of which only the rest is known).
    pub fn of(component: &Component, image: Option<&ImageHeader>) -> Self {
        let image = image.map_or(0, |image| u64::from(image.stored_pages() + image.bss_pages) * PAGE);
        let (stack, heap) = (component.stack.value, component.heap.value);
        let mut mapped = vec![
            Range { base: STACK_TOP - stack, end: STACK_TOP },
            Range::sized(IMAGE_BASE, image),
            Range::sized(HEAP_BASE, heap),
            Range::sized(ARENA_BASE, component.arena.value / 2),
        ];
        if component.has(Rights::PLAN) {
            mapped.push(Range::sized(PLAN_BASE, 1));
        }
        let windows = component.devices.iter().enumerate().filter(|(_, device)| device.mapped);
        mapped.extend(
            windows.map(|(index, _)| Range::sized(DEVICE_BASE + index as u64 * DEVICE_STRIDE, DEVICE_STRIDE)),
        );
        let spans: std::collections::BTreeSet<u64> = mapped.iter().flat_map(|range| spans(*range)).collect();
        Self { image, stack, heap, tables: (1 + spans.len() as u64) * PAGE }
    }

    /// The sum.
    pub const fn total(self) -> u64 {
        self.image + self.stack + self.heap + self.tables
    }
}

/// The ranges of one table each that `range` touches.
fn spans(range: Range) -> std::ops::Range<u64> {
    range.base / TABLE_SPAN..range.end.div_ceil(TABLE_SPAN).max(range.base / TABLE_SPAN)
}

/// Lays out all slots; `images` holds the image of each. Defects go to the system's source.
pub fn place(system: &System, images: &[Option<ImageHeader>]) -> Vec<Placement> {
    for (component, image) in system.components.iter().zip(images) {
        check_bank(system, component, image.as_ref());
    }
    let mut cursor = system.board.components.base;
    let mut take = |size: u64| {
        let range = Range::sized(cursor, size.next_multiple_of(PAGE));
        cursor = range.end;
        if size == 0 { Range::default() } else { range }
    };
    let mut placements: Vec<Placement> = Vec::new();
    for component in &system.components {
        let bank = take(component.memory.value);
        let checkpoint = take(2 * component.checkpoint.value);
        let log = take(component.log.value);
        let store = take(component.store.value);
        placements.push(Placement { bank, checkpoint, log, arena: Range::default(), store });
    }
    cursor = cursor.next_multiple_of(BLOCK);
    for (component, placement) in system.components.iter().zip(&mut placements) {
        let size = component.arena.value;
        if size > 0 {
            placement.arena = Range::sized(cursor, size);
            cursor += size.next_multiple_of(PAGE);
        }
    }
    check_total(system, cursor);
    placements
}

fn check_bank(system: &System, component: &Component, image: Option<&ImageHeader>) {
    let need = Need::of(component, image);
    if need.total() <= component.memory.value {
        return;
    }
    let message = format!(
        "`memory` of \"{}\" is {}, but it needs {}: image {}, stack {}, heap {}, page tables {}",
        component.name.value,
        format_size(component.memory.value),
        format_size(need.total()),
        format_size(need.image),
        format_size(need.stack),
        format_size(need.heap),
        format_size(need.tables),
    );
    let remedy = format!("write `memory = \"{}\"` or more", format_size(need.total()));
    system.source.report(component.memory.line, message, remedy);
}

fn check_total(system: &System, end: u64) {
    let range = system.board.components;
    if end > range.end {
        let message = format!(
            "banks, checkpoints, logs, stores and arenas take {}, but board {} has {} for them",
            format_size(end - range.base),
            system.board.name,
            format_size(range.size()),
        );
        let line = system
            .components
            .iter()
            .max_by_key(|component| component.memory.value)
            .map_or(1, |c| c.memory.line);
        system.source.report(
            line,
            message,
            "reduce `memory`, `store` or `arena`, beginning with the largest",
        );
    }
}
