//! Where memory lies, and the table that a right manifest becomes.

use abi::image::ImageHeader;
use abi::rights::{NO_IMAGE, Rights, SlotRights};
use zerocopy::FromZeros;

use super::super::board::Range;
use super::super::place::{Need, Placement, place};
use super::super::rights;
use super::*;

fn header(text: u32, bss: u32) -> ImageHeader {
    ImageHeader {
        text_pages: text,
        rodata_pages: 2,
        data_pages: 1,
        bss_pages: bss,
        ..ImageHeader::new_zeroed()
    }
}

#[test]
fn a_bank_covers_image_stack_heap_and_tables() {
    let system = read(GOOD).ok().unwrap();
    // Tables: the root; stack and image share the first 2 MiB; heap, arena and the two device windows have one each.
    let need = Need::of(&system.components[2], Some(&header(10, 3)));
    assert_eq!(need, Need { image: 16 << 12, stack: 16 << 10, heap: 64 << 10, tables: 5 << 12 });
    // An image beyond 2 MiB and the plan take further tables.
    let planned = changed(&[("notifies = [\"rs\"]", "rights = [\"plan\"]")]);
    let system = read(&planned).ok().unwrap();
    let need = Need::of(&system.components[4], Some(&header(300, 0)));
    assert_eq!((need.image, need.tables), (303 << 12, 4 << 12));
}

#[test]
fn a_bank_that_is_too_small_says_what_is_needed() {
    let system = read(&changed(&[("memory = \"1M\"", "memory = \"96K\"")])).ok().unwrap();
    let images = [Some(header(4, 0)); 5];
    place(&system, &images);
    let found = system.source.finish(()).unwrap_err().to_string();
    assert_eq!(
        found,
        "system/demo.toml:35: `memory` of \"fs\" is 96K, but it needs 100K: image 28K, stack 64K, heap 0, page tables 8K\n  \
         remedy: write `memory = \"100K\"` or more"
    );
}

#[test]
fn the_sum_of_all_memory_must_fit_the_board() {
    let system = read(&changed(&[("memory = \"1M\"", "memory = \"914M\"")])).ok().unwrap();
    place(&system, &[Some(header(4, 0)); 5]);
    let found = system.source.finish(()).unwrap_err().to_string();
    assert_eq!(
        found,
        "system/demo.toml:35: banks, checkpoints, logs, stores and arenas take 938844K, but board raspi3b has 915M for them\n  \
         remedy: reduce `memory`, `store` or `arena`, beginning with the largest"
    );
}

#[test]
fn what_does_not_fit_below_goes_above_and_arenas_stay_below() {
    let mut system = read(&changed(&[("memory = \"1M\"", "memory = \"914M\"")])).ok().unwrap();
    system.board.more = Range { base: 0x4000_0000, end: 0x8000_0000 };
    let placements = place(&system, &[Some(header(4, 0)); 5]);
    let above: Vec<bool> = placements.iter().map(|placement| placement.bank.base >= 0x4000_0000).collect();
    assert_eq!(above, [false, false, false, true, false]);
    assert!(placements[2].arena.end <= system.board.components.end);
    assert_eq!(placements[3].bank.size(), 914 << 20);
    system.source.finish(()).unwrap();
    system.board.more.end = 0x7000_0000;
    place(&system, &[Some(header(4, 0)); 5]);
    let found = system.source.finish(()).unwrap_err().to_string();
    assert!(found.contains("has 915M and 768M for them"), "{found}");
}

/// The largest sizes that are read, in every component that takes them: no sum overflows, and each is refused.
#[test]
fn the_largest_sizes_are_refused_and_do_not_overflow() {
    let largest = GOOD
        .replace("memory = \"128K\"", "memory = \"1048576M\"")
        .replace("memory = \"256K\"", "memory = \"1048576M\"");
    let spare = "\n[component.spare]\nspare = true\npriority = 5\nmemory = \"1048576M\"\nstack = \"16K\"\n\
        store = \"1048576M\"\nrights = [\"manual\"]\npolicy = { heartbeat_ms = 0, hang_ms = 0, restart_bound_ms = 10 }\n";
    let largest = largest.replace("\"fs\", \"client\"]", "\"fs\", \"client\", \"spare\"]") + spare;
    let system = read(&largest).unwrap_or_else(|defects| panic!("{defects}"));
    place(&system, &[Some(header(4, 0)); 6]);
    let found = system.source.finish(()).unwrap_err().to_string();
    assert!(found.contains("reduce `memory`, `store` or `arena`, beginning with the largest"), "{found}");

    for (key, size) in [("stack", "16K"), ("heap", "64K"), ("arena", "64K"), ("checkpoint", "4K")] {
        let text = GOOD.replacen(&format!("{key} = \"{size}\""), &format!("{key} = \"1048576M\""), 1);
        let found = read(&text).err().unwrap().to_string();
        assert!(found.contains(&format!("write at most `{key} = ")), "{found}");
    }
}

#[test]
fn ranges_are_disjoint_within_the_board_and_pages() {
    let system = read(GOOD).ok().unwrap();
    let placements = place(&system, &[Some(header(4, 0)); 5]);
    let mut ranges: Vec<_> = placements
        .iter()
        .flat_map(|placement| [placement.bank, placement.checkpoint, placement.log, placement.arena])
        .filter(|range| range.size() > 0)
        .collect();
    assert_eq!(ranges.len(), 5 + 1 + 5 + 1);
    ranges.sort_by_key(|range| range.base);
    assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].base));
    assert!(ranges.iter().all(|range| range.base % 4096 == 0 && range.end % 4096 == 0));
    assert!(ranges[0].base >= system.board.components.base && ranges[11].end <= system.board.components.end);
    assert_eq!(placements[1].checkpoint.size(), 2 << 12);
    assert_eq!(placements[2].arena.base % (2 << 20), 0);
}

/// Placements and rights table of the good manifest; the client has no image.
fn table() -> (Vec<Placement>, [SlotRights; 5]) {
    let system = read(GOOD).ok().unwrap();
    let placements = place(&system, &[Some(header(4, 0)); 5]);
    let table = rights::table(&system, &placements, &[Some(0), Some(1), Some(2), Some(3), None]);
    (placements, table.try_into().unwrap())
}

#[test]
fn the_table_says_who_may_do_what_to_whom() {
    let (_, [root, rs, block, fs, client]) = table();

    assert_eq!((abi::name_text(&root.name), root.priority, root.image), ("root", 31, 0));
    assert_eq!(root.flags, (Rights::RESET | Rights::INSPECT).bits());
    assert_eq!((root.controls, rs.controls, client.controls), (0b10, 0b11100, 0));
    // A server may notify its callers without being told so.
    assert_eq!((block.notifies, fs.notifies, client.notifies), (0b01000, 0b10000, 0b00010));
    assert_eq!((block.serves, fs.serves, client.serves), (1, 1, 0));
    assert_eq!((fs.idempotent, fs.deduplicated, client.idempotent), (0b0011, 0b1100, 0));
    assert_eq!((client.calls[0].used, client.calls[0].server, client.calls[0].labels), (1, 3, 0b0101));
    assert_eq!((fs.calls[0].used, fs.calls[0].server, fs.calls[0].labels), (1, 2, 0b11));
    assert_eq!((fs.calls[1].used, client.image), (0, NO_IMAGE));
}

#[test]
fn the_table_says_which_devices_memory_and_policy_each_has() {
    let (placements, [root, rs, block, fs, client]) = table();
    assert_eq!(
        (block.irqs[0].line, block.irqs[0].storm_count, block.irqs[0].storm_window),
        (62, 2000, 10_000_000)
    );
    assert_eq!(
        (block.windows[0].base, block.windows[0].size, block.windows[0].mapped),
        (0x3F30_0000, 0x100, 1)
    );
    let gpio = &block.windows[1];
    assert_eq!((gpio.base, gpio.mapped, gpio.first_rule, gpio.rule_count), (0x3F20_0000, 0, 0, 1));
    let rule = &block.rules[0];
    assert_eq!((rule.offset, rule.operations, rule.mask), (0x0C, 3, 0x0F));
    assert_eq!((block.arena_base, block.arena_size), (placements[2].arena.base, 65_536));
    assert_eq!((rs.checkpoint_size, rs.checkpoint_base), (4096, placements[1].checkpoint.base));
    assert_eq!((client.budget, client.budget_period), (500_000, 10_000_000));
    assert_eq!(
        (block.bank_size, block.stack_size, block.heap_size, block.log_size),
        (256 << 10, 16 << 10, 64 << 10, 4096)
    );
    assert_eq!((block.policy.group, block.policy.max_service), (0b1000, 6_000_000));
    let suppliers = [block.policy.suppliers, fs.policy.suppliers, client.policy.suppliers];
    assert_eq!(suppliers, [0, 0b0100, 0], "a client at the end of the chain has none");
    assert_eq!(
        (fs.policy.backoff_first, fs.policy.backoff_max, fs.policy.heartbeat_period),
        (500_000, 1_000_000_000, 2_000_000)
    );
    assert_eq!(
        (fs.policy.intensity, fs.policy.intensity_window, fs.policy.state_tries),
        (10, 10_000_000_000, 3)
    );
    assert_eq!(root.policy.heartbeat_period, 0);
}
