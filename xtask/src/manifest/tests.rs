//! Every message that a manifest can cause, and the table that a right one becomes.

use abi::image::ImageHeader;
use abi::rights::{NO_IMAGE, Rights};
use protocols::Service;
use zerocopy::FromZeros;

use super::board::Board;
use super::diagnostic::Diagnostics;
use super::place::{Need, place};
use super::{BoardError, System, rights};

const SERVICES: &[Service] = &[
    Service { name: "files", labels: 0b1111, idempotent: 0b0011, deduplicated: 0b1100 },
    Service { name: "block", labels: 0b11, idempotent: 0b11, deduplicated: 0 },
    Service { name: "console", labels: 0b1, idempotent: 0, deduplicated: 0 },
];

const GOOD: &str = r#"board = "raspi3b"

[component.root]
image = "root"
priority = 31
memory = "128K"
stack = "16K"
controls = ["rs"]
rights = ["reset", "inspect"]

[component.rs]
image = "reincarnation-server"
priority = 30
memory = "128K"
stack = "16K"
checkpoint = "4K"
controls = ["block", "fs", "client"]
policy = { heartbeat_ms = 5, hang_ms = 5, restart_bound_ms = 10 }

[component.block]
image = "sdcard"
priority = 20
memory = "256K"
stack = "16K"
heap = "64K"
arena = "64K"
serves = "block"
irqs = { emmc = { storm = 2000, window_ms = 10 } }
devices = { emmc = { mapped = true }, gpio = { rules = [{ offset = 0x0C, mask = 0x0F, read = true, write = true }] } }
policy = { heartbeat_ms = 2, hang_ms = 5, max_service_ms = 6, restart_bound_ms = 20, group = ["fs"] }

[component.fs]
image = "fs-server"
priority = 16
memory = "1M"
stack = "64K"
serves = "files"
calls = { block = { deadline_ms = 1000, labels = "all" } }
policy = { heartbeat_ms = 2, hang_ms = 5, max_service_ms = 8, restart_bound_ms = 60, backoff_first_ms = 0.5 }

[component.client]
image = "workload"
priority = 8
memory = "256K"
stack = "16K"
calls = { files = { deadline_ms = 2000, labels = [0, 2] } }
notifies = ["rs"]
budget = { us = 500, period_us = 10000 }
parameters = { files = 3 }
policy = { heartbeat_ms = 2, hang_ms = 5, restart_bound_ms = 10 }
"#;

fn board(name: &str) -> Result<Board, BoardError> {
    let board = Board::read("board.toml", include_str!("../../../bsp/raspi3b/board.toml")).map_err(BoardError::Defects)?;
    if name == board.name { Ok(board) } else { Err(BoardError::Unknown(vec![board.name])) }
}

fn read_as(file: &str, text: &str) -> Result<System, Diagnostics> {
    System::read(file, text, SERVICES, board)
}

fn read(text: &str) -> Result<System, Diagnostics> {
    read_as("system/demo.toml", text)
}

/// The good manifest with each `from` replaced by its `to`.
fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "`{from}` must be there once");
        text.replace(from, to)
    })
}

/// The defects of the changed manifest, without the file's name.
fn defects(changes: &[(&str, &str)]) -> Vec<String> {
    match read(&changed(changes)) {
        Ok(_) => Vec::new(),
        Err(found) => found.0.iter().map(|defect| defect.to_string().replace("system/demo.toml:", "")).collect(),
    }
}

/// Each change causes exactly this defect.
fn expect(cases: &[(&[(&str, &str)], &str)]) {
    for (changes, expected) in cases {
        assert_eq!(defects(changes), [*expected], "after {changes:?}");
    }
}

#[test]
fn the_good_manifest_has_no_defect() {
    assert_eq!(defects(&[]), Vec::<String>::new());
    let system = read(GOOD).unwrap_or_else(|defects| panic!("{defects}"));
    assert_eq!(system.name, "demo");
    let names: Vec<&str> = system.components.iter().map(|component| component.name.value.as_str()).collect();
    assert_eq!(names, ["root", "rs", "block", "fs", "client"]);
    let images: Vec<&str> = system.images().into_iter().collect();
    assert_eq!(images, ["fs-server", "reincarnation-server", "root", "sdcard", "workload"]);
}

#[test]
fn keys_and_types() {
    expect(&[
        (
            &[("stack = \"64K\"", "stak = \"64K\"\nstack = \"64K\"")],
            "36: component \"fs\" has no key `stak`\n  remedy: write `stack`, or another of the known keys: `image`, \
             `spare`, `priority`, `memory`, `stack`, `heap`, `checkpoint`, `log`, `arena`, `controls`, `rights`, `serves`, \
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
            &[("board = \"raspi3b\"", "real_card = false")],
            "1: the manifest lacks `board`\n  remedy: add `board = \"raspi3b\"`",
        ),
        (
            &[("board = \"raspi3b\"", "board = \"raspi3\"")],
            "1: there is no board `raspi3`\n  remedy: write `raspi3b`, or another of the boards in bsp: `raspi3b`",
        ),
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
    let empty: Vec<String> = read("board = \"raspi3b\"").err().unwrap().0.iter().map(ToString::to_string).collect();
    assert_eq!(empty, ["system/demo.toml:1: the manifest has no component\n  remedy: add `[component.root]`"]);
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
            &[("[component.client]", "[component.seventeen-letters]"), ("\"client\"", "\"seventeen-letters\"")],
            "41: \"seventeen-letters\" is no name of a component\n  remedy: write 1 to 16 of the characters a-z, 0-9, -",
        ),
        (
            &[("serves = \"block\"", "serves = \"blocks\""), ("calls = { block = { deadline_ms = 1000, labels = \"all\" } }\n", "")],
            "27: there is no service `blocks`\n  remedy: write `block`, or another of the services of protocols::SERVICES: \
             `files`, `block`, `console`",
        ),
        (
            &[("serves = \"files\"", "serves = \"block\""), ("calls = { files = { deadline_ms = 2000, labels = [0, 2] } }\n", "")],
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
            text += &format!(
                "[component.s{n}]\nspare = true\npriority = 1\nmemory = \"64K\"\nstack = \"4K\"\n\
                 policy = {{ heartbeat_ms = 0, hang_ms = 0, restart_bound_ms = 1 }}\n"
            );
        }
        read(&text)
    };
    assert!(spare(27).is_ok());
    let found = spare(28).err().unwrap().to_string();
    assert!(found.ends_with("33 components, but a system has at most 32 slots\n  remedy: remove components"), "{found}");
}

#[test]
fn the_call_graph_and_deadlines() {
    expect(&[
        (
            &[("priority = 16", "priority = 20")],
            "38: \"fs\" (20) calls \"block\" (20), whose priority is not higher\n  \
             remedy: raise \"block\" above 20 or lower \"fs\"",
        ),
        (
            &[("serves = \"block\"", "serves = \"block\"\ncalls = { files = { deadline_ms = 100 } }")],
            "28: calls go in a circle: \"block\" (20) -> \"fs\" (16) -> \"block\" (20)\n  \
             remedy: remove one of these calls: let the lower component be notified instead",
        ),
        (
            &[("calls = { block", "calls = { files = { deadline_ms = 100 }, block")],
            "38: calls go in a circle: \"fs\" (16) -> \"fs\" (16)\n  \
             remedy: remove one of these calls: let the lower component be notified instead",
        ),
        (
            &[("deadline_ms = 1000", "deadline_ms = 25.999")],
            "38: \"fs\" waits 25.999 ms for `block`, but \"block\" may take 26 ms (max_service 6 + restart_bound 20)\n  \
             remedy: write `deadline_ms` of at least 26",
        ),
    ]);
    assert_eq!(defects(&[("deadline_ms = 1000", "deadline_ms = 26")]), Vec::<String>::new());
}

#[test]
fn priorities_and_sizes() {
    expect(&[
        (
            &[("priority = 8", "priority = 0")],
            "43: the priority of \"client\" is 0\n  remedy: write 1 (lowest) to 31",
        ),
        (
            &[("priority = 31", "priority = 32")],
            "5: the priority of \"root\" is 32\n  remedy: write 1 (lowest) to 31",
        ),
        (
            &[("stack = \"64K\"", "stack = \"1M\"")],
            "36: `stack` of \"fs\" is 1M\n  remedy: write at most `stack = \"1016K\"`",
        ),
        (
            &[("stack = \"64K\"", "stack = \"0\"")],
            "36: `stack` of \"fs\" is 0\n  remedy: write at least `stack = \"4K\"`",
        ),
        (
            &[("heap = \"64K\"", "heap = \"63K\"")],
            "25: `heap` of \"block\" is 63K\n  remedy: write a multiple of 4096 bytes, such as `heap = \"64K\"`",
        ),
        (
            &[("arena = \"64K\"", "arena = \"60K\"")],
            "26: `arena` of \"block\" is 60K\n  remedy: write a multiple of 8192 bytes, such as `arena = \"64K\"`",
        ),
        (
            &[("arena = \"64K\"", "arena = \"129M\"")],
            "26: `arena` of \"block\" is 129M\n  remedy: write at most `arena = \"128M\"`",
        ),
    ]);
}

#[test]
fn control() {
    expect(&[
        (
            &[("serves = \"files\"", "serves = \"files\"\ncontrols = [\"client\"]"), (", \"client\"]", "]")],
            "38: \"fs\" is to control \"client\"\n  remedy: remove `controls`: only \"root\" and \"rs\" control components",
        ),
    ]);
    let found = defects(&[("checkpoint = \"4K\"", "calls = { block = { deadline_ms = 100 } }")]);
    assert!(found.contains(
        &"16: \"rs\" calls `block`\n  remedy: remove the call: who restarts others must wait for none of them".into()
    ));
    expect(&[
        (
            &[("[\"block\", \"fs\", \"client\"]", "[\"root\", \"block\", \"fs\", \"client\"]")],
            "11: \"rs\" is to control \"root\"\n  remedy: remove it: the death of root resets the board",
        ),
        (
            &[("priority = 20", "priority = 30")],
            "22: \"rs\" controls \"block\", whose priority is not lower\n  \
             remedy: lower it below 30: a loop there must not stop its own detection",
        ),
        (
            &[(", \"client\"]", "]")],
            "41: nobody controls \"client\", so nobody starts it\n  remedy: add \"client\" to the `controls` of \"rs\"",
        ),
        (
            &[("controls = [\"rs\"]", "controls = [\"rs\", \"client\"]")],
            "41: both \"root\" and \"rs\" control \"client\"\n  remedy: remove it from one of the `controls`",
        ),
        (
            &[("group = [\"fs\"]", "group = [\"rs\"]")],
            "30: the group of \"block\" has a member that \"rs\" does not control\n  \
             remedy: name components with the same controller only",
        ),
    ]);
}

#[test]
fn policies() {
    expect(&[
        (
            &[("parameters = { files = 3 }\npolicy = { heartbeat_ms = 2, hang_ms = 5, restart_bound_ms = 10 }\n", "")],
            "41: component \"client\" lacks `policy`\n  \
             remedy: add `policy = { heartbeat_ms = 2, hang_ms = 5, restart_bound_ms = 10 }`",
        ),
        (
            &[("hang_ms = 5, max_service_ms = 8", "max_service_ms = 8")],
            "39: the policy of component \"fs\" lacks `hang_ms`\n  remedy: add `hang_ms = 5`",
        ),
        (
            &[("hang_ms = 5, max_service_ms = 8", "hang_ms = 0, max_service_ms = 8")],
            "39: \"fs\" gets heartbeats but may use no CPU time\n  remedy: write `hang_ms` greater than 0",
        ),
        (
            &[("max_service_ms = 8, ", "")],
            "39: \"fs\" serves, but its policy has no `max_service_ms`\n  \
             remedy: add `max_service_ms = 6`: the longest that a request may be in service",
        ),
        (
            &[("backoff_first_ms = 0.5", "backoff_first_ms = 2000")],
            "39: the back-off of \"fs\" begins above its limit\n  remedy: raise `backoff_max_ms`",
        ),
        (
            &[("backoff_first_ms = 0.5", "intensity_window_ms = 0")],
            "39: the intensity of \"fs\" has no window\n  remedy: write `intensity_window_ms` greater than 0",
        ),
        (
            &[("backoff_first_ms = 0.5", "state_tries = 0")],
            "39: \"fs\" may never keep its state\n  remedy: write `state_tries` greater than 0",
        ),
    ]);
}

#[test]
fn rights_to_reset_and_inject() {
    expect(&[(
        &[("notifies = [\"rs\"]", "rights = [\"reset\"]")],
        "47: \"client\" may reset the board\n  remedy: leave `reset` to \"root\" and \"rs\"",
    )]);
    let inject = changed(&[("notifies = [\"rs\"]", "rights = [\"inject\"]")]);
    let found = |file: &str, text: &str| read_as(file, text).err().map(|defects| defects.to_string());
    for allowed in ["demo", "test", "test-storm", "bench", "campaign-1", "shell"] {
        assert_eq!(found(&format!("system/{allowed}.toml"), &inject), None);
    }
    assert_eq!(
        found("system/golden.toml", &inject).unwrap(),
        "system/golden.toml:47: \"client\" may inject faults, but the manifest is called `golden`\n  \
         remedy: remove `inject`, or name the manifest after its purpose: demo, test, bench, campaign, shell"
    );
    assert_eq!(
        found("system/demo.toml", &format!("real_card = true\n{inject}")).unwrap(),
        "system/demo.toml:48: \"client\" may inject faults on a real card\n  remedy: remove `inject` or `real_card`"
    );
    assert_eq!(
        found("system/demo.toml", &inject.replace("serves = \"files\"", "rights = [\"inject\"]\nserves = \"files\"")).unwrap(),
        "system/demo.toml:48: both \"fs\" and \"client\" may inject faults\n  remedy: leave `inject` to one component"
    );
}

#[test]
fn devices_and_lines() {
    let map = |device: &str| format!("emmc = {{ mapped = true }}, {device} = {{ mapped = true }}, gpio");
    let mapped = |device: &str| defects(&[("emmc = { mapped = true }, gpio", &map(device))]);
    assert_eq!(mapped("sdhost"), Vec::<String>::new());
    assert_eq!(
        mapped("sdhots"),
        ["29: board raspi3b has no device `sdhots`\n  remedy: write `sdhost`, or another of the devices: ".to_owned()
            + &super::diagnostic::list(board("raspi3b").ok().unwrap().devices.iter().map(|device| device.name.as_str()))]
    );
    assert_eq!(
        mapped("power"),
        ["29: the device `power` is reserved: the kernel resets the board on root's behalf\n  remedy: remove it"]
    );
    let rules = "\n  remedy: write `rules` for the registers that are needed instead of `mapped`";
    assert_eq!(
        mapped("usb"),
        [format!("29: the device `usb` cannot be mapped: usb at offset 0x500 starts DMA of its channels, from and to any address{rules}")]
    );
    assert_eq!(
        mapped("arm-timer"),
        [
            format!("29: the device `arm-timer` cannot be mapped: interrupt-controller at offset 0x0 re-routes the interrupts of every device{rules}"),
            format!("29: the device `arm-timer` cannot be mapped: `interrupt-controller` lies in the same page and is not \"block\"'s{rules}"),
            format!("29: the device `arm-timer` cannot be mapped: doorbells at offset 0x0 re-routes signals to the video core{rules}"),
            format!("29: the device `arm-timer` cannot be mapped: `doorbells` lies in the same page and is not \"block\"'s{rules}"),
            format!("29: the device `arm-timer` cannot be mapped: mailbox at offset 0x20 starts DMA by the video core, to any address{rules}"),
            format!("29: the device `arm-timer` cannot be mapped: `mailbox` lies in the same page and is not \"block\"'s{rules}"),
            format!("29: the device `arm-timer` cannot be mapped: it begins at 0x3f00b400, within a page{rules}"),
        ]
    );
    expect(&[
        (
            &[("serves = \"files\"", "serves = \"files\"\ndevices = { emmc = { mapped = true } }")],
            "38: the device `emmc` belongs to \"block\" already\n  \
             remedy: give each device to one component; others call its driver",
        ),
        (
            &[("serves = \"files\"", "serves = \"files\"\nirqs = { emmc = { storm = 9, window_ms = 9 } }")],
            "38: the interrupt line `emmc` belongs to \"block\" already\n  remedy: give each line to one component",
        ),
        (
            &[("irqs = { emmc", "irqs = { aux")],
            "28: the interrupt line `aux` is reserved: the kernel's trace line (mini-UART) and both auxiliary SPIs share it\n  \
             remedy: remove it",
        ),
        (
            &[("irqs = { emmc", "irqs = { emcm")],
            "28: board raspi3b has no interrupt line `emcm`\n  remedy: write `emmc`, or another of the lines: \
             `system-timer-1`, `system-timer-3`, `usb`, `aux`, `i2c`, `spi0`, `sdhost`, `uart0`, `emmc`, `mailbox`",
        ),
        (
            &[("emmc = { mapped = true }", "emmc = { mapped = true, rules = [{ offset = 0, read = true }] }")],
            "29: the device `emmc` is mapped and has rules, which a mapping by-passes\n  remedy: remove `mapped` or `rules`",
        ),
        (
            &[("emmc = { mapped = true }", "emmc = {}")],
            "29: the device `emmc` is neither mapped nor has it rules\n  \
             remedy: write `{ mapped = true }` or `{ rules = [{ offset = 0x00, read = true }] }`",
        ),
        (
            &[("offset = 0x0C", "offset = 0x0E")],
            "29: the rule for offset 0xe of `gpio` names no register\n  remedy: write a multiple of 4 below 0x1000",
        ),
        (
            &[("offset = 0x0C", "offset = 0x1000")],
            "29: the rule for offset 0x1000 of `gpio` names no register\n  remedy: write a multiple of 4 below 0x1000",
        ),
        (
            &[(", read = true, write = true", "")],
            "29: the rule for offset 0xc of `gpio` allows nothing\n  remedy: add `read = true` or `write = true`",
        ),
        (
            &[("gpio = { rules = [{", "mailbox = { rules = [{ offset = 0x20, write = true }] }, gpio = { rules = [{")],
            "29: the rule for offset 0x20 of `mailbox` lets a component start DMA to any address\n  \
             remedy: remove it, and drive the device without DMA",
        ),
    ]);
    let read_only = "mailbox = { rules = [{ offset = 0x20, read = true }] }, gpio = { rules = [{";
    assert_eq!(defects(&[("gpio = { rules = [{", read_only)]), Vec::<String>::new());
}

#[test]
fn too_many_of_a_kind() {
    let repeat = |count: usize, item: &dyn Fn(usize) -> String| (0..count).map(item).collect::<Vec<_>>().join(", ");
    let rules = repeat(16, &|n| format!("{{ offset = {}, read = true }}", 4 * n));
    let found = defects(&[("gpio = { rules = [", &format!("gpio = {{ rules = [{rules}, "))]);
    assert_eq!(
        found,
        ["29: \"block\" has 17 register rules\n  remedy: write at most 16, or map a page that is free of hazards"]
    );
    let devices = repeat(3, &|n| format!("{} = {{ mapped = true }}", ["sdhost", "spi0", "i2c0"][n]));
    let found = defects(&[("devices = { emmc", &format!("devices = {{ {devices}, emmc"))]);
    assert_eq!(found, ["29: \"block\" has 5 devices\n  remedy: name at most 4"]);
    let lines = ["usb", "i2c", "spi0", "sdhost"];
    let irqs = repeat(4, &|n| format!("{} = {{ storm = 1, window_ms = 1 }}", lines[n]));
    let found = defects(&[("irqs = { emmc", &format!("irqs = {{ {irqs}, emmc"))]);
    assert_eq!(found, ["28: \"block\" has 5 interrupt lines\n  remedy: name at most 4"]);
}

#[test]
fn all_defects_are_found_at_once() {
    let found = defects(&[("priority = 8", "priority = 0"), ("heap = \"64K\"", "heap = \"63K\""), ("offset = 0x0C", "offset = 1")]);
    let lines: Vec<&str> = found.iter().map(|text| text.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["25", "29", "43"]);
}

fn header(text: u32, bss: u32) -> ImageHeader {
    ImageHeader { text_pages: text, rodata_pages: 2, data_pages: 1, bss_pages: bss, ..ImageHeader::new_zeroed() }
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
    let system = read(&changed(&[("memory = \"1M\"", "memory = \"222M\"")])).ok().unwrap();
    place(&system, &[Some(header(4, 0)); 5]);
    let found = system.source.finish(()).unwrap_err().to_string();
    assert_eq!(
        found,
        "system/demo.toml:35: banks, checkpoints, logs and arenas take 228416K, but board raspi3b has 223M for them\n  \
         remedy: reduce `memory` or `arena`, beginning with the largest"
    );
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

#[test]
fn the_table_says_what_the_manifest_says() {
    let system = read(GOOD).ok().unwrap();
    let placements = place(&system, &[Some(header(4, 0)); 5]);
    let table = rights::table(&system, &placements, &[Some(0), Some(1), Some(2), Some(3), None]);
    let [root, rs, block, fs, client] = &table[..] else { panic!("{}", table.len()) };

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
    assert_eq!((block.irqs[0].line, block.irqs[0].storm_count, block.irqs[0].storm_window), (62, 2000, 10_000_000));
    assert_eq!((block.windows[0].base, block.windows[0].size, block.windows[0].mapped), (0x3F30_0000, 0x100, 1));
    let gpio = &block.windows[1];
    assert_eq!((gpio.base, gpio.mapped, gpio.first_rule, gpio.rule_count), (0x3F20_0000, 0, 0, 1));
    let rule = &block.rules[0];
    assert_eq!((rule.offset, rule.operations, rule.mask), (0x0C, 3, 0x0F));
    assert_eq!((block.arena_base, block.arena_size), (placements[2].arena.base, 65_536));
    assert_eq!((rs.checkpoint_size, rs.checkpoint_base), (4096, placements[1].checkpoint.base));
    assert_eq!((client.budget, client.budget_period), (500_000, 10_000_000));
    assert_eq!((block.bank_size, block.stack_size, block.heap_size, block.log_size), (256 << 10, 16 << 10, 64 << 10, 4096));
    assert_eq!((block.policy.group, block.policy.max_service), (0b1000, 6_000_000));
    assert_eq!((fs.policy.backoff_first, fs.policy.backoff_max, fs.policy.heartbeat_period), (500_000, 1_000_000_000, 2_000_000));
    assert_eq!((fs.policy.intensity, fs.policy.intensity_window, fs.policy.state_tries), (10, 10_000_000_000, 3));
    assert_eq!(root.policy.heartbeat_period, 0);
}
