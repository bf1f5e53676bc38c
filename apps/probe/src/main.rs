//! The process of the probe: one program in several roles, which the manifest chooses.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod account;
mod burn;
mod files;
mod list;

use probe_core::record::RECORD_MAX;
use probe_core::{Record, role};
use userlib::{Instant, Start, binding, log, sleep_until};

userlib::entry!(main);

fn main(_start: Start) -> ! {
    match binding!(parameter "role") {
        role::FILES => files::run(),
        role::LIST => list::run(),
        role::BURN => burn::compute(),
        role::ASK => burn::ask(),
        role::ACCOUNT => account::run(),
        role => panic!("there is no role {role}"),
    }
}

/// Puts a record on the evidence line.
fn say(record: Record) {
    let said = log::event(record.encode(&mut [0; RECORD_MAX]));
    assert!(said, "the evidence line refused a record");
}

/// Sleeps for so many microseconds.
fn pause(microseconds: u64) {
    sleep_until(Instant::now().plus_ns(microseconds * 1000));
}
