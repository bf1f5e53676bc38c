//! The live table: a line for each row as soon as it is settled, and below it one running line. Where the output is no
//! terminal there is no running line, and nothing is coloured.

use crate::oracle::kernel::Row;
use crate::oracle::{Counts, Oracle, Verdict};
use crate::plan::RowKind;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two updates of the running line.
const UPDATE: Duration = Duration::from_millis(100);

/// Prints the table.
#[derive(Debug)]
pub struct Table<W: Write> {
    output: W,
    is_terminal: bool,
    printed: usize,
    updated: Option<Instant>,
}

impl Table<io::Stdout> {
    /// A table on the standard output.
    pub fn on_stdout() -> Self {
        Self::new(io::stdout(), io::stdout().is_terminal())
    }
}

impl<W: Write> Table<W> {
    /// A table on `output`; `is_terminal`: with a running line and colours.
    pub fn new(output: W, is_terminal: bool) -> Self {
        Self { output, is_terminal, printed: 0, updated: None }
    }

    /// Prints the heads of the columns.
    ///
    /// # Errors
    /// Fails when the output does.
    pub fn begin(&mut self) -> io::Result<()> {
        let heads =
            ["component", "fault", "detected as", "detection", "outage", "incarnation", "data", "others"];
        writeln!(self.output, "{}", columns(heads))?;
        writeln!(self.output, "{}", "-".repeat(columns(heads).len()))
    }

    /// Prints the rows that have settled, and brings the running line up to date.
    ///
    /// # Errors
    /// Fails when the output does.
    pub fn update(&mut self, oracle: &Oracle) -> io::Result<()> {
        while oracle.is_settled_up_to(self.printed) {
            self.erase()?;
            let line = row_line(&oracle.rows()[self.printed], &|slot| oracle.name(slot));
            self.row(&oracle.rows()[self.printed], &line)?;
            self.printed += 1;
            self.updated = None;
        }
        let due = self.updated.is_none_or(|updated| updated.elapsed() >= UPDATE);
        if self.is_terminal && due {
            self.erase()?;
            write!(self.output, "{}", running_line(&oracle.counts()))?;
            self.output.flush()?;
            self.updated = Some(Instant::now());
        }
        Ok(())
    }

    /// Prints what is left: the remaining rows, the totals and the findings.
    ///
    /// # Errors
    /// Fails when the output does.
    pub fn end(&mut self, verdict: &Verdict, name: &dyn Fn(u8) -> String) -> io::Result<()> {
        self.erase()?;
        for row in verdict.rows.iter().skip(self.printed) {
            self.row(row, &row_line(row, name))?;
        }
        writeln!(self.output, "\n{}", running_line(&verdict.counts))?;
        for finding in &verdict.findings {
            self.coloured(31, &format!("FAILED {finding}"))?;
        }
        Ok(())
    }

    fn row(&mut self, row: &Row, line: &str) -> io::Result<()> {
        if is_good(row) { writeln!(self.output, "{line}") } else { self.coloured(31, line) }
    }

    fn coloured(&mut self, colour: u8, line: &str) -> io::Result<()> {
        if self.is_terminal {
            writeln!(self.output, "\x1b[{colour}m{line}\x1b[0m")
        } else {
            writeln!(self.output, "{line}")
        }
    }

    fn erase(&mut self) -> io::Result<()> {
        if self.is_terminal { write!(self.output, "\r\x1b[K") } else { Ok(()) }
    }
}

fn is_good(row: &Row) -> bool {
    row.data_intact == Some(true) && row.others_unchanged() && row.recovered.is_some()
}

fn columns(cells: [&str; 8]) -> String {
    let [target, fault, class, detect, outage, incarnation, data, others] = cells;
    format!(
        "{target:<16} {fault:<19} {class:<17} {detect:>10} {outage:>10} {incarnation:>13} {data:<7} {others}"
    )
}

fn row_line(row: &Row, name: &dyn Fn(u8) -> String) -> String {
    let is_root = row.planned.kind == RowKind::Root;
    let pair = |slot: &u8| {
        let number = |numbers: &std::collections::BTreeMap<u8, u32>| {
            numbers.get(slot).map_or_else(|| "-".to_owned(), u32::to_string)
        };
        format!("{}>{}", number(&row.before), number(&row.after))
    };
    let incarnations: Vec<_> = row.planned.slots.iter().map(pair).collect();
    let data = match row.data_intact {
        Some(true) => "intact",
        Some(false) => "LOST",
        None => "unknown",
    };
    let others = match (is_root, row.others_unchanged()) {
        (true, _) => "restarted with it",
        (false, true) => "untouched",
        (false, false) => "CHANGED",
    };
    let stuck = if row.planned.kind == RowKind::Stuck { " in a call" } else { "" };
    columns([
        &row.target_names(name),
        &format!("{}{stuck}", row.planned.fault.name()),
        &row.class(),
        &row.detect_ns().map_or_else(|| "never".to_owned(), time_text),
        &row.outage_ns().map_or_else(|| "for ever".to_owned(), time_text),
        &incarnations.join(" "),
        data,
        others,
    ])
}

/// A time with three significant digits and a unit.
fn time_text(ns: u64) -> String {
    let (value, unit) = match ns {
        0..1_000 => return format!("{ns} ns"),
        1_000..1_000_000 => (ns as f64 / 1e3, "us"),
        1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
        _ => (ns as f64 / 1e9, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$} {unit}")
}

fn running_line(counts: &Counts) -> String {
    format!(
        "deaths {} · acknowledged bytes lost {} · reboots {} · {} operations acknowledged · {} of {} rows · board time {:.3} s",
        counts.deaths,
        counts.lost_bytes,
        counts.reboots,
        counts.operations,
        counts.rows.0,
        counts.rows.1,
        Duration::from_nanos(counts.time).as_secs_f64()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::kernel::Fate;
    use crate::plan::PlannedRow;
    use abi::plan::Fault;
    use std::collections::BTreeMap;

    fn row(data_intact: Option<bool>) -> Row {
        Row {
            planned: PlannedRow { kind: RowKind::Single, entries: 0..1, slots: vec![3], fault: Fault::Mute },
            opened: 90,
            closed: Some(200),
            before: BTreeMap::from([(3, 1)]),
            after: BTreeMap::from([(3, 2)]),
            fates: vec![Fate {
                injected: Some((100, 2)),
                died: Some((5_120_100, "hang", 8)),
                ready: Some(9_000_000),
                deaths: 1,
            }],
            recovered: Some(9_000_000),
            reset_ticks: 0,
            data_intact,
        }
    }

    fn printed(verdict: &Verdict, is_terminal: bool) -> String {
        let mut table = Table::new(Vec::new(), is_terminal);
        table.begin().unwrap();
        table.end(verdict, &|_| "block".to_owned()).unwrap();
        String::from_utf8(table.output).unwrap()
    }

    fn verdict(rows: Vec<Row>) -> Verdict {
        let (findings, counts) = (vec![], Counts::default());
        Verdict { rows, findings, trace_hash: String::new(), fsck_clean: true, counts, boot_ns: None }
    }

    #[test]
    fn a_row_reads_as_a_sentence() {
        let text = printed(&verdict(vec![row(Some(true))]), false);
        let line = text.lines().nth(2).unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        assert_eq!(
            words,
            ["block", "mute", "hang", "5.12", "ms", "9.00", "ms", "1>2", "intact", "untouched"]
        );
        assert!(!text.contains('\x1b'), "no escapes without a terminal");
        assert!(text.contains("deaths 0 · acknowledged bytes lost 0 · reboots 0"));
    }

    #[test]
    fn a_bad_row_stands_out() {
        let text = printed(&verdict(vec![row(Some(false))]), true);
        assert!(text.contains("\x1b[31m") && text.contains("LOST"));
    }

    #[test]
    fn times_have_three_digits() {
        let texts = [0, 999, 1_234, 56_789, 123_456, 1_500_000, 2_000_000_000].map(time_text);
        assert_eq!(texts, ["0 ns", "999 ns", "1.23 us", "56.8 us", "123 us", "1.50 ms", "2.00 s"]);
    }
}
