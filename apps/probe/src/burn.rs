//! Honest overload: uses all the CPU that it gets, and receives as often as it must.

use crate::{pause, say};
use probe_core::Record;
use protocols::echo::{Reply, Request};
use userlib::{Instant, NO_GRANTS, binding, recv_notifications, time::now};

/// Between two reports.
const REPORT_NS: u64 = 50_000_000;

/// Steps in one turn of the loop.
const STEPS: u32 = 32;

/// Says how many rounds there were, now and then.
struct Report {
    count: u32,
    failed: u32,
    due: Instant,
}

impl Report {
    fn new() -> Self {
        Self { count: 0, failed: 0, due: now() }
    }

    fn round(&mut self, failed: bool) {
        self.count += 1;
        self.failed += u32::from(failed);
        if now() >= self.due {
            say(Record::Rounds { count: self.count, failed: self.failed });
            self.due = now().plus_ns(REPORT_NS);
        }
    }
}

/// One turn of the loop: some hundred instructions without a branch, which an emulator executes quickly.
fn turn(mut value: u64, number: u64) -> u64 {
    for _ in 0..STEPS {
        value = value.rotate_left(7) ^ value.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
    value ^ number
}

/// Computes for `work` turns of a loop, receives what is there, and computes again.
pub fn compute() -> ! {
    let work = work();
    let mut report = Report::new();
    loop {
        recv_notifications(Instant::from_ticks(0));
        core::hint::black_box((0..work).fold(1, turn));
        report.round(false);
    }
}

/// Has the server of `echo` compute for `work` nanoseconds, and asks again after a pause.
pub fn ask() -> ! {
    let (echo, work) = (binding!(call ?"echo").expect("it calls `echo`"), work());
    let between = binding!(parameter ?"pause_us").unwrap_or(0);
    let mut report = Report::new();
    loop {
        pause(between);
        let reply = echo.call(&Request::Hold(work).encode(), NO_GRANTS);
        report.round(!reply.is_ok_and(|reply| Reply::decode(&reply).done));
    }
}

fn work() -> u64 {
    binding!(parameter ?"work").expect("a manifest says how much work there is")
}
