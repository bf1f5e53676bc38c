//! The demo's result as JSON. The schema is a promise: fields are added, never changed.
//!
//! `{"board","seed","trace_hash","kernel_sha256","reboots","fsck_clean","ok","rows":[{"targets":[…],"fault","class",
//! "incarnations_before":{…},"incarnations_after":{…},"detect_ns","outage_ns","requests_in_service","data_intact",
//! "others_unchanged"}]}`
//!
//! Times are virtual nanoseconds, `null` if it did not come to that. `reboots` counts resets of the board that nobody
//! asked for. The row of root, whose death takes the board with it, has every component as a target, root first; its
//! incarnations begin again at 1.

use crate::oracle::Verdict;
use crate::oracle::kernel::Row;
use crate::plan::RowKind;
use crate::system::System;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// The whole result.
pub fn result(system: &System, seed: u64, verdict: &Verdict) -> Value {
    let rows: Vec<_> = verdict.rows.iter().map(|row| self::row(system, row)).collect();
    json!({
        "board": system.board,
        "seed": seed,
        "trace_hash": verdict.trace_hash,
        "kernel_sha256": system.kernel_sha256,
        "reboots": verdict.counts.reboots,
        "fsck_clean": verdict.fsck_clean,
        "ok": verdict.ok(),
        "rows": rows,
    })
}

fn row(system: &System, row: &Row) -> Value {
    json!({
        "targets": targets(system, row),
        "fault": row.planned.fault.name(),
        "class": row.class(),
        "incarnations_before": incarnations(system, &row.before),
        "incarnations_after": incarnations(system, &row.after),
        "detect_ns": row.detect_ns(),
        "outage_ns": row.outage_ns(),
        "requests_in_service": row.requests_in_service(),
        "data_intact": row.data_intact == Some(true),
        "others_unchanged": row.others_unchanged(),
    })
}

fn targets(system: &System, row: &Row) -> Vec<String> {
    let mut slots = row.planned.slots.clone();
    if row.planned.kind == RowKind::Root {
        slots.extend(row.before.keys().filter(|slot| !row.planned.slots.contains(slot)));
    }
    slots.into_iter().map(|slot| system.name(slot)).collect()
}

fn incarnations(system: &System, numbers: &BTreeMap<u8, u32>) -> Value {
    let entries = numbers.iter().map(|(slot, number)| (system.name(*slot), json!(number)));
    Value::Object(entries.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::Counts;
    use crate::oracle::kernel::Fate;
    use crate::plan::PlannedRow;
    use abi::plan::Fault;

    #[test]
    fn the_schema_is_kept() {
        let planned =
            PlannedRow { kind: RowKind::Single, entries: 0..1, slots: vec![3], fault: Fault::Panic };
        let fate =
            Fate { injected: Some((100, 2)), died: Some((130, "panic", 2)), ready: Some(160), deaths: 1 };
        let row = Row {
            planned,
            opened: 90,
            closed: Some(200),
            before: BTreeMap::from([(0, 1), (3, 1)]),
            after: BTreeMap::from([(0, 1), (3, 2)]),
            fates: vec![fate],
            recovered: Some(160),
            reset_ticks: 0,
            data_intact: Some(true),
        };
        let mut reset = Row { before: BTreeMap::from([(0, 1), (3, 2)]), ..row.clone() };
        reset.planned = PlannedRow { kind: RowKind::Root, slots: vec![0], ..reset.planned };
        reset.recovered = None;
        let verdict = Verdict {
            rows: vec![row, reset],
            findings: vec![],
            trace_hash: "ab".to_owned(),
            fsck_clean: true,
            counts: Counts::default(),
            boot_ns: None,
        };
        let value = result(&System::for_tests(), 7, &verdict);
        let expected = json!({
            "targets": ["block"], "fault": "panic", "class": "panic",
            "incarnations_before": {"root": 1, "block": 1}, "incarnations_after": {"root": 1, "block": 2},
            "detect_ns": 30, "outage_ns": 60, "requests_in_service": 2, "data_intact": true, "others_unchanged": true,
        });
        assert_eq!(value["rows"][0], expected);
        assert_eq!(value["rows"][1]["targets"], json!(["root", "block"]));
        assert_eq!(value["rows"][1]["outage_ns"], Value::Null);
        let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(
            keys,
            ["board", "fsck_clean", "kernel_sha256", "ok", "reboots", "rows", "seed", "trace_hash"]
        );
        assert_eq!(value["ok"], json!(true));
    }
}
