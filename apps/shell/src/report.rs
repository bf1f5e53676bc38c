//! How the answers of RS, of the kernel and of the file server look.

use crate::table::{Side, Table, seconds, size};
use abi::record::{Activity, Counters, DeathClass, DeathRecord, NO_SLOT, SlotState};
use abi::syscall::log::TEXT;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use protocols::files::{Entry, Facts, Kind, Space};
use protocols::reincarnation::{Row, Standing};

use Side::{Left, Right};

/// Bytes in front of a record in a log ring: kind, length, incarnation.
const RECORD_HEADER: usize = 6;

/// Name of a component.
pub fn name(row: &Row) -> String {
    let end = row.name.iter().position(|byte| *byte == 0).unwrap_or(row.name.len());
    printable(&row.name[..end])
}

/// Name of the component in a slot.
fn name_of(rows: &[Row], slot: u32) -> String {
    rows.iter().find(|row| row.slot == slot).map_or_else(|| slot.to_string(), name)
}

/// What a component is doing, or why it is doing nothing.
fn state(row: &Row, rows: &[Row], now_ns: u64) -> String {
    let standing = Standing::from_code(row.standing);
    match SlotState::from_code(row.state) {
        Some(SlotState::Running) => match Activity::from_code(row.activity) {
            Some(Activity::Queued | Activity::InService) if row.blocked_on != NO_SLOT => {
                format!("calls {}", name_of(rows, row.blocked_on))
            }
            Some(Activity::Receiving) => "receiving".into(),
            _ => "ready".into(),
        },
        Some(SlotState::Loading) => "loading".into(),
        _ => match standing {
            Some(standing) if standing.is_quarantine() => "quarantined".into(),
            Some(standing) if !standing.name().is_empty() => standing.name().into(),
            _ if row.next_start > now_ns => format!("in {} s", seconds(row.next_start - now_ns)),
            _ if row.incarnation == 0 => "not started".into(),
            _ => "dead".into(),
        },
    }
}

fn class(code: u32) -> &'static str {
    DeathClass::from_code(code).map_or("unknown", DeathClass::name)
}

/// Text with everything that a terminal might obey made visible.
pub fn printable(bytes: &[u8]) -> String {
    let shown = |character: char| if character.is_control() { '.' } else { character };
    String::from_utf8_lossy(bytes).chars().map(shown).collect()
}

fn last_death(row: &Row) -> String {
    if row.death_class == 0 {
        return "-".into();
    }
    let length = (row.death_text_length as usize).min(row.death_text.len());
    let text = printable(&row.death_text[..length]);
    let text = if text.is_empty() { text } else { format!(": {text}") };
    format!("{} at {:#x}{text}", class(row.death_class), row.death_pc)
}

/// `ps`.
pub fn ps(rows: &[Row], now_ns: u64) -> String {
    let mut table = Table::new(&[
        ("component", Left),
        ("inc", Right),
        ("state", Left),
        ("restarts", Right),
        ("memory", Right),
        ("cpu s", Right),
        ("heard s", Right),
        ("last death", Left),
    ]);
    for row in rows {
        let late = if row.heartbeat_pending == 0 { "" } else { "!" };
        table.row([
            name(row),
            row.incarnation.to_string(),
            state(row, rows, now_ns),
            row.incarnation.saturating_sub(1).to_string(),
            format!("{}/{}", size(row.memory_used), size(row.memory_size)),
            seconds(row.cpu),
            format!("{}{late}", seconds(row.silence)),
            last_death(row),
        ]);
    }
    table.text()
}

/// Bytes as hexadecimal digits, sixteen a line.
pub fn hex(bytes: &[u8]) -> String {
    let line =
        |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ") + "\n";
    bytes.chunks(16).map(line).collect()
}

/// What of a component makes news.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Seen {
    incarnation: u32,
    /// The incarnation that died last.
    dead: u32,
    runs: bool,
    standing: u32,
}

impl Seen {
    fn of(row: &Row) -> Self {
        let runs = row.state == SlotState::Running as u32;
        Self { incarnation: row.incarnation, dead: row.death_incarnation, runs, standing: row.standing }
    }
}

/// What has happened to components since `seen` was noted, a line each; notes what is now. A component that is seen for
/// the first time is no news.
pub fn news(seen: &mut BTreeMap<u32, Seen>, rows: &[Row], now_ns: u64) -> String {
    let mut text = String::new();
    for row in rows {
        let new = Seen::of(row);
        let Some(old) = seen.insert(row.slot, new).filter(|old| *old != new) else { continue };
        let died = if row.death_class == 0 || old.dead == new.dead {
            String::new()
        } else {
            format!(" incarnation {} died: {};", row.death_incarnation, last_death(row))
        };
        let next = match Standing::from_code(row.standing) {
            Some(standing) if standing.is_quarantine() => {
                format!("{}; `service release {}` starts it again", standing.name(), name(row))
            }
            _ if new.runs => format!("incarnation {} runs", row.incarnation),
            _ => state(row, rows, now_ns),
        };
        text += &format!("{}:{died} {next}\n", name(row));
    }
    text
}

/// `services`.
pub fn services(rows: &[Row], now_ns: u64) -> String {
    let mut table = Table::new(&[
        ("component", Left),
        ("priority", Right),
        ("state", Left),
        ("queued", Right),
        ("in service", Right),
        ("failures", Right),
        ("standing", Left),
    ]);
    for row in rows {
        table.row([
            name(row),
            row.priority.to_string(),
            state(row, rows, now_ns),
            row.queued.to_string(),
            row.in_service.to_string(),
            row.failures.to_string(),
            standing(row).into(),
        ]);
    }
    table.text()
}

fn standing(row: &Row) -> &'static str {
    match Standing::from_code(row.standing) {
        Some(Standing::Supervised) => "supervised",
        Some(Standing::Unsupervised) => "not supervised by rs",
        Some(standing) => standing.name(),
        None => "unknown",
    }
}

/// `mem`.
pub fn memory(rows: &[Row], counters: &Counters) -> String {
    let mut table = Table::new(&[("component", Left), ("used", Right), ("bank", Right)]);
    for row in rows {
        table.row([name(row), size(row.memory_used), size(row.memory_size)]);
    }
    let ns = |ticks: u64| (u128::from(ticks) * 1_000_000_000 / u128::from(counters.frequency.max(1))) as u64;
    format!(
        "{}all banks: {} in use; the board has {}\nkernel: {} system calls, {} switches, {} interrupts, {} requests, {} deaths; idle {} of {} s\n",
        table.text(),
        size(counters.bank_bytes),
        size(counters.ram_bytes),
        counters.syscalls,
        counters.switches,
        counters.interrupts,
        counters.requests,
        counters.deaths,
        seconds(ns(counters.idle)),
        seconds(ns(counters.now)),
    )
}

/// The records of a log ring.
pub fn log(mut ring: &[u8]) -> String {
    let mut text = String::new();
    while let Some((header, rest)) = ring.split_at_checked(RECORD_HEADER) {
        let Some((data, rest)) = rest.split_at_checked(header[1].into()) else {
            break;
        };
        let incarnation = u32::from_le_bytes([header[2], header[3], header[4], header[5]]);
        text += &if u64::from(header[0]) == TEXT {
            format!("[{incarnation}] {}\n", printable(data))
        } else {
            format!("[{incarnation}] (a record of {} bytes: on the host, ./x log decodes it)\n", data.len())
        };
        ring = rest;
    }
    text
}

/// A death record. `ticks` a second.
pub fn death(record: &DeathRecord, frequency: u64) -> String {
    let ns = (u128::from(record.time) * 1_000_000_000 / u128::from(frequency.max(1))) as u64;
    let length = (record.text_length as usize).min(record.text.len());
    let mut text = format!(
        "last death: incarnation {}, {} at {} s\n  pc {:#x}  sp {:#x}  esr {:#x}  far {:#x}\n",
        record.incarnation,
        class(record.class),
        seconds(ns),
        record.pc,
        record.sp,
        record.esr,
        record.far,
    );
    if length > 0 {
        text += &format!("  {}\n", printable(&record.text[..length]));
    }
    if record.in_service > 0 {
        text += &format!("  requests in service: {}, label {}\n", record.in_service, record.request_label);
    }
    let frames: Vec<String> =
        record.backtrace.iter().take_while(|frame| **frame != 0).map(|frame| format!("{frame:#x}")).collect();
    if !frames.is_empty() {
        text += &format!("  backtrace: {}\n", frames.join(" "));
    }
    text
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "file",
        Kind::Directory => "directory",
        Kind::Other => "other",
    }
}

/// One line of `ls`.
pub fn entry(entry: &Entry<'_>, size_bytes: Option<u64>) -> String {
    let slash = if entry.kind == Kind::Directory { "/" } else { "" };
    let length = size_bytes.map_or_else(|| "?".into(), |bytes| bytes.to_string());
    format!("{:<9} {length:>10}  {}{slash}\n", kind(entry.kind), printable(entry.name))
}

/// `stat`.
pub fn facts(path: &str, facts: &Facts) -> String {
    format!(
        "{path}: {}, {} bytes, inode {}, links {}, {} on the card, mode {:04o}, modified {} s\n",
        kind(facts.kind),
        facts.size,
        facts.inode,
        facts.links,
        size(facts.sectors.saturating_mul(512)),
        facts.permissions & 0o7777,
        facts.modified_s,
    )
}

/// `df`.
pub fn space(space: &Space) -> String {
    let bytes = |blocks: u64| size(blocks.saturating_mul(space.block_bytes));
    let used = space.blocks.saturating_sub(space.blocks_free);
    let percent = u128::from(used) * 100 / u128::from(space.blocks.max(1));
    format!(
        "size {}  used {} ({percent}%)  free {}  blocks of {} bytes  inodes {} of {} free\n",
        bytes(space.blocks),
        bytes(used),
        bytes(space.blocks_free),
        space.block_bytes,
        space.inodes_free,
        space.inodes,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use zerocopy::{FromBytes, FromZeros};

    fn row(name: &str, slot: u32) -> Row {
        let mut row = Row::new_zeroed();
        row.name[..name.len()].copy_from_slice(name.as_bytes());
        row.slot = slot;
        row.incarnation = 1;
        row.state = SlotState::Running as u32;
        row.activity = Activity::Receiving as u32;
        row.blocked_on = NO_SLOT;
        row
    }

    #[test]
    fn ps_says_how_a_component_died_and_what_it_waits_for() {
        let mut fs = row("fs", 4);
        (fs.activity, fs.blocked_on, fs.incarnation) = (Activity::InService as u32, 2, 3);
        (fs.death_class, fs.death_pc, fs.death_text_length) = (DeathClass::Panic as u32, 0x40_1000, 4);
        fs.death_text[..4].copy_from_slice(b"oh\x1b!");
        let text = ps(&[row("block", 2), fs], 0);
        assert!(text.contains("calls block") && text.contains("panic at 0x401000: oh.!"), "{text}");
    }

    #[test]
    fn a_pause_and_a_quarantine_are_told_apart() {
        let mut dead = row("fs", 4);
        (dead.state, dead.next_start) = (SlotState::Dead as u32, 2_500_000_000);
        assert_eq!(state(&dead, &[], 1_000_000_000), "in 1.500 s");
        dead.standing = Standing::TooManyFailures as u32;
        assert_eq!(state(&dead, &[], 0), "quarantined");
        assert!(services(&[dead], 0).contains("too many failures"));
    }

    #[test]
    fn bytes_are_shown_sixteen_a_line() {
        assert_eq!(hex(&[0, 255]), "00 ff\n");
        assert_eq!(hex(&[7; 17]).lines().map(str::len).collect::<Vec<_>>(), [47, 2]);
    }

    #[test]
    fn a_death_is_news_once_and_says_what_became_of_it() {
        let mut seen = BTreeMap::new();
        let mut fs = row("fs", 4);
        assert_eq!(news(&mut seen, &[row("block", 2), fs], 0), "", "what is found at first is no news");
        assert_eq!(news(&mut seen, &[row("block", 2), fs], 0), "");
        (fs.incarnation, fs.deaths, fs.death_incarnation) = (2, 1, 1);
        (fs.death_class, fs.death_pc, fs.death_text_length) = (DeathClass::Panic as u32, 0x40_1000, 4);
        fs.death_text[..4].copy_from_slice(b"oh\x1b!");
        let line = "fs: incarnation 1 died: panic at 0x401000: oh.!; incarnation 2 runs\n";
        assert_eq!(news(&mut seen, &[row("block", 2), fs], 0), line);
        assert_eq!(news(&mut seen, &[row("block", 2), fs], 0), "", "no news twice");
        (fs.deaths, fs.death_incarnation, fs.state) = (2, 2, SlotState::Dead as u32);
        fs.standing = Standing::TooManyFailures as u32;
        let text = news(&mut seen, &[fs], 0);
        assert!(text.contains("incarnation 2 died") && text.contains("`service release fs`"), "{text}");
        (fs.incarnation, fs.state) = (3, SlotState::Running as u32);
        fs.standing = Standing::Supervised as u32;
        assert_eq!(news(&mut seen, &[fs], 0), "fs: incarnation 3 runs\n");
    }

    #[test]
    fn log_records_are_text_or_named() {
        let ring = [2, 2, 1, 0, 0, 0, b'h', b'i', 0, 3, 2, 0, 0, 0, 9, 9, 9, 2, 200, 0];
        assert_eq!(log(&ring), "[1] hi\n[2] (a record of 3 bytes: on the host, ./x log decodes it)\n");
    }

    proptest! {
        #[test]
        fn nothing_that_a_component_says_panics_or_reaches_the_terminal_raw(bytes in proptest::collection::vec(any::<u8>(), 3 * size_of::<Row>())) {
            let rows = [
                Row::read_from_prefix(&bytes).unwrap().0,
                Row::read_from_suffix(&bytes).unwrap().1,
            ];
            let mut text = ps(&rows, 5) + &services(&rows, 5) + &log(&bytes);
            text += &death(&DeathRecord::read_from_prefix(&bytes).unwrap().0, 0);
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
