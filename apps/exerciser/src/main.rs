//! The process of the exerciser: asks one service for one thing after the other, and says what it was answered.
//!
//! *Rule.* Before an operation is asked for, what its answer depends on is in the checkpoint and the intent on the trace. A new
//! incarnation asks for the operation of its predecessor again: all requests may be repeated, but for a count, of which the ledger says
//! that it may have counted.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

mod client;
mod services;

use client::Client;
use exerciser_core::Kind;
use injector_core::parameter;
use services::{Blocks, Echo, Lines};
use userlib::supplier::{Complaint, blocks};
use userlib::{Instant, Start, binding, plan, recv_notifications};

userlib::entry!(main);

fn main(_start: Start) -> ! {
    let Some((header, _)) = plan::plan() else { rest() };
    let mut client = Client::new(header);
    let rs = binding!(call "reincarnation");
    match Kind::from_number(header.parameters[parameter::KIND]) {
        Some(Kind::Ipc) => client.run(&mut Echo::new(binding!(call "echo"))),
        Some(Kind::Block) => {
            let complaint = Complaint::new(Some(rs), binding!(server "block"));
            client.run(&mut Blocks::new(blocks(binding!(call "block"), complaint)));
        }
        Some(Kind::Console) => {
            let complaint = Complaint::new(Some(rs), binding!(server "console"));
            client.run(&mut Lines::new(binding!(call "console"), complaint));
        }
        None => {}
    }
    client.finish()
}

/// Without a plan there is nothing to do.
fn rest() -> ! {
    loop {
        recv_notifications(Instant::NEVER);
    }
}
