//! Every message that a manifest can cause, and the table that a right one becomes.

mod hardware;
mod memory;
mod proofs;
mod syntax;

use protocols::Service;

use super::System;
use super::board::Board;
use super::diagnostic::Diagnostics;

const SERVICES: &[Service] = &[
    Service { name: "files", labels: 0b1111, idempotent: 0b0011, deduplicated: 0b1100 },
    Service { name: "block", labels: 0b11, idempotent: 0b11, deduplicated: 0 },
    Service { name: "console", labels: 0b1, idempotent: 0, deduplicated: 0 },
];

pub const GOOD: &str = r#"# A small system.

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

pub fn board() -> Board {
    Board::read("board.toml", include_str!("../../../../bsp/raspi3b/board.toml")).ok().unwrap()
}

fn read_as(file: &str, text: &str) -> Result<System, Diagnostics> {
    System::read(file, text, SERVICES, board(), &["raspi3b".to_owned(), "raspi4b".to_owned()])
}

pub fn read(text: &str) -> Result<System, Diagnostics> {
    read_as("system/demo.toml", text)
}

/// The good manifest with each `from` replaced by its `to`.
pub fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(GOOD.to_owned(), |text, (from, to)| {
        assert_eq!(text.matches(from).count(), 1, "`{from}` must be there once");
        text.replace(from, to)
    })
}

/// The defects of the changed manifest, without the file's name.
fn defects(changes: &[(&str, &str)]) -> Vec<String> {
    match read(&changed(changes)) {
        Ok(_) => Vec::new(),
        Err(found) => {
            found.0.iter().map(|defect| defect.to_string().replace("system/demo.toml:", "")).collect()
        }
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
