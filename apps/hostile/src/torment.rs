//! Kills a component from outside again and again, and reads the kernel's counts before and after.

use crate::{idle, number, pause, say};
use abi::plan::Fault;
use userlib::{Instant, SlotId, control, sleep_until};

/// When it begins, in nanoseconds since power-on: everybody is at rest.
const BEGIN_NS: u64 = 50_000_000;
/// More than a restart takes, in microseconds.
const RESTART_US: u64 = 200;

/// Kills the slot of plan number 2 as often as number 0 says, so many microseconds (number 1) after it was ready.
pub fn run() -> ! {
    let (count, pause_us, victim) = (number(0), number(1), number(2) as SlotId);
    if victim == 0 {
        idle();
    }
    sleep_until(Instant::from_ns(BEGIN_NS));
    tell_counts();
    for _ in 0..count {
        wait_until_ready(victim);
        pause(pause_us);
        let killed = control::inject(victim, Fault::Kill, control::trigger::NOW, 0);
        assert!(killed.is_ok(), "a component that is ready cannot be killed: {killed:?}");
        // Longer than a restart: to look would lengthen it.
        pause(RESTART_US);
    }
    wait_until_ready(victim);
    // Whatever its last life began is over.
    pause(20_000);
    tell_counts();
    idle()
}

fn wait_until_ready(victim: SlotId) {
    while control::slot_info(victim).is_ok_and(|info| info.ready == 0 || info.state != 2) {
        pause(20);
    }
}

fn tell_counts() {
    let counts = control::counters().expect("the manifest gives the right `inspect`");
    say(&[
        counts.bank_bytes,
        counts.asids.into(),
        counts.deadlines.into(),
        counts.queued.into(),
        counts.in_service.into(),
        counts.irqs_enabled.into(),
        counts.running.into(),
    ]);
}
