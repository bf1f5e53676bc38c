//! Components that harm by what they use up, or by a device that they do not quiet; and a worker that is to notice nothing.

use crate::{idle, number, raw, say};
use abi::layout::DEVICE_BASE;
use userlib::{Instant, binding, log_text, sleep_until, sys};

/// When it begins, in nanoseconds since power-on.
const BEGIN_NS: u64 = 40_000_000;

/// Misbehaves in this way without end, if the plan's number 0 has the bit.
pub fn misbehave(kind: u64) -> ! {
    if number(0) & 1 << kind == 0 {
        idle();
    }
    sleep_until(Instant::from_ns(BEGIN_NS));
    match kind {
        0 => loop {
            raw::burn();
        },
        1 => loop {
            let _refused = sys::map(1);
        },
        2 => {
            let peer = binding!(notify ?"measured").expect("it may notify `measured`");
            loop {
                let _sent = peer.notify(1);
            }
        }
        3 => sys::undefined_instruction(),
        4 => loop {
            log_text!("and so on and so on and so on and so on");
        },
        // As kind 0, in a component that is watched.
        5 => loop {
            raw::burn();
        },
        _ => panic!("there is no kind {kind}"),
    }
}

/// Lets the UART raise its line, acknowledges the line and never quiets the UART: the line stays high.
pub fn deaf_driver() -> ! {
    assert!(binding!(window ?"uart0").is_some(), "the manifest gives a device");
    let line = binding!(irq ?"uart0").expect("it has the line");
    if number(2) == 0 {
        idle();
    }
    sleep_until(Instant::from_ns(BEGIN_NS));
    // UARTCR, UARTIMSC and UARTDR (DDI 0183, table 3-1): on, the transmit interrupt let through, one character sent.
    raw::write(DEVICE_BASE + 0x30, 0x301);
    raw::write(DEVICE_BASE + 0x38, 1 << 5);
    raw::write(DEVICE_BASE, u32::from(b'.'));
    loop {
        line.acknowledge();
        userlib::recv_notifications(Instant::NEVER);
    }
}

/// Steps of 1,000 instructions in one round of [`work`].
const STEPS: u32 = 10;
/// Between two reports.
const REPORT_NS: u64 = 10_000_000;

/// Computes all the time, if the plan says so; says how many rounds it has done, now and then.
pub fn work() -> ! {
    if number(3) == 0 {
        idle();
    }
    sleep_until(Instant::from_ns(BEGIN_NS));
    let mut due = Instant::now();
    for rounds in 0_u64.. {
        userlib::recv_notifications(Instant::from_ticks(0));
        if Instant::now() >= due {
            say(&[rounds]);
            due = due.plus_ns(REPORT_NS);
        }
        (0..STEPS).for_each(|_| raw::burn());
    }
    unreachable!("as many rounds as numbers")
}
