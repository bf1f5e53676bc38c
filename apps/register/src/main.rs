//! The process of a client of shared registers.
//!
//! *Rule.* Steps, values and records are the library's, which the host shares; here they are only carried out. What the
//! manifest entry gives a client decides what it does besides: who may call `console` writes a line for each step, and who
//! may notify nobody unmounts when all others have said that they are finished.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod client;
mod files;

use client::{Client, Lines, Role};
use files::Files;
use userlib::supplier::Complaint;
use userlib::{Start, binding};

userlib::entry!(main);

fn main(_start: Start) -> ! {
    let files = Files::new(binding!(call "files"));
    let lines = binding!(call ?"console").zip(binding!(server ?"console"));
    let lines = lines.map(|(service, slot)| {
        let complaint = Complaint::new(binding!(call ?"reincarnation"), slot);
        Lines { service, complaint }
    });
    let role = match binding!(notify ?"client") {
        Some(last) => Role::TellsWhoIsLast(last),
        None => Role::IsLast { others: binding!(parameter ?"others").unwrap_or(0) as u32 },
    };
    Client::run(binding!(parameter "number") as u8, files, lines, role)
}
