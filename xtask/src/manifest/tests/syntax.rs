//! Messages about what is written: keys, types, names.

use super::*;

#[test]
fn keys_and_types() {
    expect(&[
        (
            &[("stack = \"64K\"", "stak = \"64K\"\nstack = \"64K\"")],
            "36: component \"fs\" has no key `stak`\n  remedy: write `stack`, or another of the known keys: `boards`, \
             `image`, `spare`, `priority`, `memory`, `stack`, `heap`, `checkpoint`, `log`, `arena`, `store`, `loads`, `controls`, `rights`, `serves`, \
             `calls`, `notifies`, `irqs`, `devices`, `budget`, `parameters`, `policy`",
        ),
        (
            &[("heap = \"64K\"", "heap = 64")],
            "25: `heap` is the number 64, not a size\n  remedy: write `heap = \"64K\"`: a number with K (1024 bytes) or M (1024 K)",
        ),
        (
            &[("heap = \"64K\"", "heap = \"64k\"")],
            "25: `heap` is the text \"64k\", not a size\n  remedy: write `heap = \"64K\"`: a number with K (1024 bytes) or M (1024 K)",
        ),
        (
            &[("restart_bound_ms = 60", "restart_bound_us = 60000, restart_bound_ms = 60")],
            "39: the policy of component \"fs\" has no key `restart_bound_us`\n  remedy: write `restart_bound_ms`, or another \
             of the known keys: `heartbeat_ms`, `hang_ms`, `max_service_ms`, `restart_bound_ms`, `backoff_first_ms`, \
             `backoff_max_ms`, `intensity`, `intensity_window_ms`, `state_tries`, `group`",
        ),
        (
            &[("backoff_first_ms = 0.5", "backoff_first_ms = \"1s\"")],
            "39: `backoff_first_ms` is the text \"1s\", not a number of milliseconds\n  remedy: write `backoff_first_ms = 10`",
        ),
        (
            &[("image = \"sdcard\"\n", "")],
            "20: component \"block\" lacks `image`\n  remedy: add `image = \"block\"`",
        ),
        (
            &[("image = \"sdcard\"\n", "image = \"sdcard\"\nboards = [\"raspi3\"]\n")],
            "22: there is no board `raspi3`\n  remedy: write `raspi3b`, or another of the boards in bsp: `raspi3b`, `raspi4b`",
        ),
    ]);
    let empty: Vec<String> =
        read("real_card = false").err().unwrap().0.iter().map(ToString::to_string).collect();
    assert_eq!(
        empty,
        ["system/demo.toml:1: the manifest has no component\n  remedy: add `[component.root]`"]
    );
}

#[test]
fn parts_of_an_entry() {
    expect(&[
        (
            &[("\"reset\", \"inspect\"", "\"reset\", \"inspcet\"")],
            "9: there is no right `inspcet`\n  remedy: write `inspect`, or another of the rights: `inject`, `reset`, `event`, \
             `plan`, `inspect`, `blame`, `manual`",
        ),
        (
            &[("deadline_ms = 1000, ", "")],
            "38: the call of `block` lacks `deadline_ms`\n  remedy: add `deadline_ms = 1000`",
        ),
        (
            &[("labels = \"all\"", "labels = \"some\"")],
            "38: `labels` is the text \"some\"\n  remedy: write `labels = \"all\"` or a list of numbers",
        ),
        (
            &[("storm = 2000", "storm = 0")],
            "28: the interrupt `emmc` allows 0 interrupts in 10000000 ns\n  \
             remedy: write for example `{ storm = 2000, window_ms = 10 }`",
        ),
        (
            &[("us = 500, p", "us = 50000, p")],
            "48: a budget of 50000 us in 10000 us\n  remedy: write `us` greater than 0 and at most `period_us`",
        ),
        (
            &[("mask = 0x0F", "mask = 0")],
            "29: the mask 0x0 is no set of bits of a 32-bit register\n  remedy: write 0x1 to 0xFFFF_FFFF",
        ),
        (
            &[("[component.root]", "[component.root")],
            "3: not TOML: unclosed table, expected `]`\n  remedy: correct the syntax (https://toml.io)",
        ),
    ]);
}

#[test]
fn a_spare_slot_has_no_image_and_is_not_started_at_boot() {
    expect(&[
        (
            &[("image = \"workload\"\n", "spare = true\n")],
            "42: component \"client\" is `spare` without the right `manual`\n  \
             remedy: add `rights = [\"manual\"]`: at boot there is no program that could be started",
        ),
        (
            &[("image = \"workload\"\n", "spare = true\nimage = \"workload\"\nrights = [\"manual\"]\n")],
            "43: component \"client\" is `spare` and has an `image`\n  \
             remedy: remove one of them: a spare slot gets its programs from the card",
        ),
    ]);
    let spare = ("image = \"workload\"\n", "spare = true\nrights = [\"event\", \"manual\"]\n");
    assert_eq!(defects(&[spare]), Vec::<String>::new());
}

#[test]
fn names() {
    expect(&[
        (
            &[("controls = [\"block\"", "controls = [\"bloc\", \"block\"")],
            "17: there is no component \"bloc\"\n  remedy: write `block`, or another of the components: `root`, `rs`, `block`, \
             `fs`, `client`",
        ),
        (
            &[("notifies = [\"rs\"]", "notifies = [\"client\"]")],
            "47: \"client\" is to notify itself\n  remedy: remove its own name from the list",
        ),
        (
            &[("[component.client]", "[component.Client]"), ("\"client\"", "\"Client\"")],
            "41: \"Client\" is no name of a component\n  remedy: write 1 to 16 of the characters a-z, 0-9, -",
        ),
        (
            &[
                ("[component.client]", "[component.seventeen-letters]"),
                ("\"client\"", "\"seventeen-letters\""),
            ],
            "41: \"seventeen-letters\" is no name of a component\n  remedy: write 1 to 16 of the characters a-z, 0-9, -",
        ),
    ]);
}

#[test]
fn services_and_labels() {
    expect(&[
        (
            &[
                ("serves = \"block\"", "serves = \"blocks\""),
                ("calls = { block = { deadline_ms = 1000, labels = \"all\" } }\n", ""),
            ],
            "27: there is no service `blocks`\n  remedy: write `block`, or another of the services of protocols::SERVICES: \
             `files`, `block`, `console`",
        ),
        (
            &[
                ("serves = \"files\"", "serves = \"block\""),
                ("calls = { files = { deadline_ms = 2000, labels = [0, 2] } }\n", ""),
            ],
            "37: the service `block` is served by \"block\" already\n  \
             remedy: let one component serve it: clients know a service by its name",
        ),
        (
            &[("calls = { files", "calls = { console = { deadline_ms = 9 }, files")],
            "46: \"client\" calls `console`, which no component serves\n  \
             remedy: add a component with `serves = \"console\"`, or remove the call",
        ),
        (
            &[("labels = [0, 2]", "labels = [0, 4]")],
            "46: the service `files` has no label 4\n  remedy: write some of the labels 0, 1, 2, 3",
        ),
        (
            &[("labels = [0, 2]", "labels = [0, 64]")],
            "46: the service `files` has no label 64\n  remedy: write some of the labels 0, 1, 2, 3",
        ),
    ]);
}

#[test]
fn the_first_component_is_root() {
    let first = GOOD.replace("[component.root]", "[component.boot]");
    let found: Vec<String> = read(&first).err().unwrap().0.iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        ["system/demo.toml:3: the first component is \"boot\", not \"root\"\n  \
          remedy: put `[component.root]` first: it has slot 0, which the kernel starts"]
    );
}

#[test]
fn at_most_32_slots() {
    let spare = |count: usize| {
        let names: Vec<String> = (0..count).map(|n| format!("\"s{n}\"")).collect();
        let mut text = GOOD.replace("\"client\"]", &format!("\"client\", {}]", names.join(", ")));
        for n in 0..count {
            let entry = "spare = true\nrights = [\"manual\"]\npriority = 1\nmemory = \"64K\"\nstack = \"4K\"\n\
                         policy = { heartbeat_ms = 0, hang_ms = 0, restart_bound_ms = 1 }\n";
            text.extend([&format!("[component.s{n}]\n"), entry]);
        }
        read(&text)
    };
    assert!(spare(27).is_ok());
    let found = spare(28).err().unwrap().to_string();
    assert!(
        found.ends_with("33 components, but a system has at most 32 slots\n  remedy: remove components"),
        "{found}"
    );
}

#[test]
fn all_defects_are_found_at_once() {
    let found = defects(&[
        ("priority = 8", "priority = 0"),
        ("heap = \"64K\"", "heap = \"63K\""),
        ("offset = 0x0C", "offset = 1"),
    ]);
    let lines: Vec<&str> = found.iter().map(|text| text.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["25", "29", "43"]);
}
