//! Asks RS for its list, again and again, and says what it was answered.

use crate::{pause, say};
use probe_core::Record;
use protocols::reincarnation::{Reply, Request, Row};
use userlib::{Grant, binding};
use zerocopy::{FromZeros, IntoBytes};

/// Rows that there is room for.
const ROWS: usize = 16;

pub fn run() -> ! {
    let rs = binding!(call ?"reincarnation").expect("it calls `reincarnation`");
    let between = binding!(parameter ?"pause_us").unwrap_or(0);
    let mut buffer = <[Row; ROWS]>::new_zeroed();
    loop {
        pause(between);
        let reply = rs.call(&Request::List.encode(), [Grant::Write(buffer.as_mut_bytes()), Grant::None]);
        let status = reply.err().map_or(0, |error| error.0 as u8);
        let rows = match reply.as_ref().map(Reply::decode) {
            Ok(Reply::Written { count, .. }) => (count as usize).min(ROWS),
            _ => 0,
        };
        buffer[..rows].iter().map(record).for_each(say);
        say(Record::EndOfRows { count: rows as u8, status });
    }
}

fn record(row: &Row) -> Record {
    Record::Row {
        slot: row.slot as u8,
        state: row.state as u8,
        incarnation: row.incarnation,
        ready: row.ready != 0,
        standing: row.standing as u8,
        deaths: row.deaths,
        failures: row.failures,
        death_incarnation: row.death_incarnation,
        death_class: row.death_class as u8,
    }
}
