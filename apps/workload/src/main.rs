//! The process of the workload: one program, two parts, which the manifest chooses by what it lets the component call.
//!
//! | the manifest entry may call | part |
//! |---|---|
//! | `files` | the client ([`client`]), which works on files |
//! | `progress`, `reincarnation` | the monitor ([`monitor`]), which asks others how far they have come |
//!
//! *Rule.* Operations, contents and records are the library's, which the host shares; here they are only carried out.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod client;
mod files;
mod monitor;

use client::Lines;
use defmt::info;
use userlib::supplier::Complaint;
use userlib::{Instant, Start, binding, recv_notifications};

userlib::entry!(main);

fn main(start: Start) -> ! {
    if let Some(files) = binding!(call ?"files") {
        let rs = binding!(call ?"reincarnation");
        let complaint = binding!(server ?"files").map_or(Complaint::NONE, |slot| Complaint::new(rs, slot));
        let lines = binding!(call ?"console").zip(binding!(server ?"console"));
        let lines = lines.map(|(service, slot)| Lines { service, complaint: Complaint::new(rs, slot) });
        client::run(start, files, complaint, lines);
    }
    info!("monitors the progress of others");
    monitor::run(&[binding!(call ?"progress"), binding!(call ?"reincarnation")])
}

/// There is nothing to do: answers heartbeats for ever.
fn idle() -> ! {
    loop {
        recv_notifications(Instant::NEVER);
    }
}
