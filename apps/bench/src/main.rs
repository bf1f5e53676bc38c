//! The bench: what the kernel's operations cost, in guest instructions. `docs/performance.md` explains the method.
//!
//! *Role.* One program in five roles, chosen by the manifest's parameter `role`: the client that measures, the server that
//! it calls, a component of low priority that is notified, a victim that dies, and a controller in RS's place.
//!
//! *Rule.* Every figure is measured sixteen times, each time one instruction later against a clock that ticks every
//! sixteen; the host adds up. Between the stamps of a measurement lies nothing but the operation.
//!
//! *Why.* A figure can then be had to the instruction from a clock that is coarser, without a counter that components
//! have no right to.

#![no_std]
#![no_main]
#![deny(unsafe_code)]

mod client;
mod controller;
#[allow(unsafe_code, reason = "time stamps must surround the very instruction")]
mod measure;
mod server;

use defmt::info;
use measure::Block;
use protocols::bench::{Group, PHASES, Series};
use userlib::{Instant, Start, binding, log, recv_notifications};

userlib::entry!(main);

/// Measurements of each series. The first ones meet states that do not come again (nobody has waited yet).
const GROUPS: u8 = 4;

const CLIENT: u64 = 1;
const SERVER: u64 = 2;
const IDLER: u64 = 3;
const VICTIM: u64 = 4;
const CONTROLLER: u64 = 5;

fn main(start: Start) -> ! {
    let role = binding!(parameter ? "role");
    if role != Some(VICTIM) {
        info!("role {=u64}", role.unwrap_or(IDLER));
    }
    match role {
        Some(CLIENT) => client::run(start.slot),
        Some(SERVER) => server::run(),
        Some(VICTIM) => measure::fault(u64::from(start.incarnation - 1)),
        Some(CONTROLLER) => controller::run(),
        Some(IDLER) | None => idle(),
        Some(role) => panic!("there is no role {role}"),
    }
}

/// Receives and does nothing, for ever.
fn idle() -> ! {
    loop {
        recv_notifications(Instant::NEVER);
    }
}

/// Measures `series` in all phases; `sample` gets the shift and returns ticks.
fn group(series: Series, number: u8, mut sample: impl FnMut(u64) -> u32) {
    let mut ticks = [0; PHASES];
    for (shift, ticks) in ticks.iter_mut().enumerate() {
        *ticks = sample(shift as u64);
    }
    report(series, number, ticks);
}

fn report(series: Series, number: u8, ticks: [u32; PHASES]) {
    assert!(log::event(&Group { series, number, ticks }.encode()), "the bench needs the right `event`");
}

/// Registers that a measurement was to leave: status 0.
fn expect_done(block: &Block) {
    assert!(block.registers[0] == 0, "an operation that was measured failed with {}", block.registers[0]);
}
