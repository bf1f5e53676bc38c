//! Reads the kernel's accounts, again and again.

use crate::{pause, say};
use probe_core::Record;
use userlib::{SlotId, binding, control, sys, time::ns_from_ticks};

pub fn run() -> ! {
    let between = binding!(parameter ?"pause_us").unwrap_or(0);
    loop {
        pause(between);
        account();
    }
}

fn account() {
    let ns = |ticks: u64| ns_from_ticks(ticks, sys::frequency());
    let slots = (0..).map_while(|slot: SlotId| Some((slot, control::slot_info(slot).ok()?)));
    for (slot, info) in slots {
        say(Record::Usage { slot, cpu: ns(info.cpu), starved: ns(info.starved) });
    }
    let counters = control::counters().expect("the manifest gives the right `inspect`");
    say(Record::Idle { now: ns(counters.now), idle: ns(counters.idle) });
}
