//! The LED's process: looks at the components, shows the pattern, looks again.
//!
//! *Rule.* It only looks: the supervisor is asked for its list, and nobody waits for this component. A pin that does not
//! answer is tried again. It has no state worth keeping: its next incarnation begins as the first.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use embedded_hal::delay::DelayNs;
use led_core::{Pattern, Seen, show};
use protocols::reincarnation::{Reply, Request, Row};
use userlib::abi::SLOTS_MAX;
use userlib::{Client, Grant, Start, binding, log_text};
use userlib_hal::{Delay, Pin};
use zerocopy::{FromZeros, IntoBytes};

/// Before a pin that did not answer is tried again.
const RETRY_MS: u32 = 1000;

userlib::entry!(main);

fn main(_start: Start) -> ! {
    let supervisor = binding!(call "reincarnation");
    let mut pin = Pin::new(binding!(call "gpio"));
    let mut delay = Delay;
    let mut seen = Seen::default();
    let mut last = None;
    loop {
        let pattern = look(&supervisor, &mut seen);
        if last != Some(pattern) {
            let flashes = pattern.flashes();
            log_text!("shows {} x {} ms", flashes.count, flashes.lit_ms);
            last = Some(pattern);
        }
        if show(&mut pin, &mut delay, pattern.flashes()).is_err() {
            log_text!("the pin does not answer");
            delay.delay_ms(RETRY_MS);
        }
    }
}

/// What is to be shown. A supervisor that does not answer is itself not ready.
fn look(supervisor: &Client, seen: &mut Seen) -> Pattern {
    let mut rows = <[Row; SLOTS_MAX]>::new_zeroed();
    let reply = supervisor.call(&Request::List.encode(), [Grant::Write(rows.as_mut_bytes()), Grant::None]);
    match reply.map(|reply| Reply::decode(&reply)) {
        Ok(Reply::Written { count, .. }) => seen.pattern(&rows[..SLOTS_MAX.min(count as usize)]),
        _ => Pattern::Starting,
    }
}
