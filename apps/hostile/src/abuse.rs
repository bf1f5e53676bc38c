//! Components that harm: by what they use up, by a device that they do not quiet, by addresses that are not theirs.

use crate::{idle, number, raw, say};
use abi::layout::{
    ARENA_BASE, DEVICE_BASE, DEVICE_STRIDE, HEAP_BASE, IMAGE_BASE, PLAN_BASE, STACK_LIMIT, STACK_TOP,
    USER_END,
};
use userlib::{DeathClass, Instant, binding, log_text, sleep_until, sys};

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
            core::hint::spin_loop();
        },
        1 => {
            while sys::map(1).is_ok() {}
            userlib::exit(DeathClass::QuotaExceeded, "took all there was")
        }
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

/// An address of somebody else in each life: announces it, and reads or writes it.
pub fn wild_access(incarnation: u32) -> ! {
    // The first receive: who dies before it, again and again, ends in quarantine.
    crate::pause(0);
    // The manifest gives one device of 32 bytes in a page of its own.
    assert!(binding!(window ?"system-timer").is_some(), "the manifest gives a device");
    let addresses = [
        0,
        8,
        IMAGE_BASE - 8,
        STACK_LIMIT - 4096,
        STACK_TOP,
        HEAP_BASE,
        ARENA_BASE,
        PLAN_BASE - 8,
        DEVICE_BASE + 0x1000,
        DEVICE_BASE + DEVICE_STRIDE,
        USER_END,
        0x3F20_1000,
        0x0008_0000,
        0x0000_FFFF_FFFF_FFF8,
        0xFFFF_FF80_0008_0000,
        0xFFFF_FF80_3F20_1000,
        0xFFFF_FFFF_FFFF_FFF8,
    ];
    let turn = incarnation as usize - 1;
    if let Some(address) = addresses.get(turn / 2) {
        let writes = turn % 2 == 1;
        say(&[*address, u64::from(writes)]);
        if writes {
            raw::write(*address, 0xDEAD);
        } else {
            raw::read(*address);
        }
        panic!("{address:#x} was not refused");
    }
    if turn == 2 * addresses.len() {
        let bottom = descend(0);
        panic!("the stack has no end: {bottom}");
    }
    say(&[]);
    idle()
}

/// Goes down the stack until there is none.
fn descend(depth: u64) -> u64 {
    let frame = core::hint::black_box([depth; 32]);
    // The condition keeps the compiler from making a loop of it.
    let below = if core::hint::black_box(true) { descend(depth + 1) } else { 0 };
    below + core::hint::black_box(frame)[0]
}
