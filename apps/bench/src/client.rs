//! The client: measures what it does itself and what the server tells it.

use crate::measure::{Block, Operation, run as measure};
use crate::{GROUPS, expect_done, group, report};
use protocols::bench::{ARM, CALL, COPY, COPY_BYTES, PHASES, Series, reply, request};
use userlib::abi::plan::Fault;
use userlib::{Instant, Peer, SlotId, Status, binding, recv_notifications, sleep_until};

/// The one service that the manifest lets the client call has the first handle.
const HANDLE: u64 = 0;

/// How far the deadlines of calls and receives lie ahead: finite, and never reached.
const DEADLINE_MS: u64 = 10_000;

/// Long enough for a component of lower priority to wait again.
const PAUSE_NS: u64 = 200_000;

/// Each is two instructions or more: longer than it takes until the timer's interrupt comes.
const COMPUTE_STEPS: u32 = 150_000;

/// Longer than RS waits before it writes down a death, and than the longest interrupt.
const CALM_NS: u64 = 3_000_000;

/// Restarts: one to warm up, then one in each phase.
const RESTARTS: u64 = 1 + PHASES as u64;

/// First word of a message in a block.
const WORD: usize = 3;

/// What the client knows of the others.
struct Bench {
    server: Peer,
    idler: Peer,
    fixture: SlotId,
    page: &'static [u8; COPY_BYTES],
}

/// What the client grants: bytes as built, none of them zero.
#[repr(align(4096))]
struct Page([u8; COPY_BYTES]);

static PAGE: Page = Page([0x5A; COPY_BYTES]);

pub fn run() -> ! {
    assert!(binding!(call ? "bench").is_some(), "the client calls the server");
    let bench = Bench {
        server: binding!(notify ? "server").expect("the client notifies the server"),
        idler: binding!(notify ? "idler").expect("the client notifies the idler"),
        fixture: binding!(slot ? "fixture").expect("the client kills the fixture"),
        page: &PAGE.0,
    };
    for number in 0..GROUPS {
        pause();
        group(Series::Stub, number, |shift| simple(Operation::Stub, shift));
        group(Series::Hundred, number, |shift| simple(Operation::Hundred, shift));
        group(Series::NullCall, number, |shift| simple(Operation::NullCall, shift));
        bench.calls(number);
        group(Series::NotifySwitch, number, |shift| bench.notify_server(shift));
        group(Series::NotifyNoSwitch, number, |shift| bench.notify_idler(shift));
        pause();
        if bench.has_timer() {
            group(Series::Interrupt, number, |shift| bench.interrupt(shift));
        }
        group(Series::Copy, number, |shift| bench.copy(shift));
    }
    (0..RESTARTS).for_each(|number| bench.restart(number));
    report(Series::Done, 0, [0; PHASES]);
    loop {
        recv_notifications(Instant::NEVER);
    }
}

fn simple(operation: Operation, shift: u64) -> u32 {
    let mut block = Block::new(&[], shift);
    measure(operation, &mut block);
    let expected = if operation == Operation::NullCall { Status::NoSuchCall as u64 } else { 0 };
    assert!(block.registers[0] == expected, "this system call was to be unknown");
    block.ticks()
}

/// Ticks from one stamp to another.
fn between(from: u64, to: u64) -> u32 {
    u32::try_from(to - from).expect("stamps in their order")
}

fn deadline() -> u64 {
    Instant::now().plus_ms(DEADLINE_MS).ticks()
}

/// Lets components of lower priority run, so that the next operation finds nobody else ready.
fn pause() {
    sleep_until(Instant::now().plus_ns(PAUSE_NS));
}

impl Bench {
    /// One call; all eight words are carried.
    fn call(&self, label: u64, shift: u64) -> Block {
        let limit = deadline();
        let mut block = Block::new(&[HANDLE, limit, label], shift);
        block.registers[WORD + request::DEADLINE] = limit;
        block.registers[WORD + request::SHIFT] = shift;
        for (word, value) in block.registers[WORD + 2..WORD + 8].iter_mut().zip(11..) {
            *word = value;
        }
        if label == COPY {
            let address = self.page.as_ptr().expose_provenance() as u64;
            [block.registers[11], block.registers[12]] = [address, COPY_BYTES as u64];
        }
        measure(Operation::Call, &mut block);
        expect_done(&block);
        block
    }

    fn calls(&self, number: u8) {
        let [mut call, mut service, mut reply_, mut trip] = [[0; PHASES]; 4];
        for shift in 0..PHASES {
            let block = self.call(CALL, shift as u64);
            let word = |index: usize| block.registers[WORD + index];
            let (arrived, leaving) = (word(reply::ARRIVED), word(reply::LEAVING));
            call[shift] = between(block.before, arrived);
            service[shift] = between(arrived, leaving);
            reply_[shift] = between(leaving, block.after);
            trip[shift] = block.ticks();
        }
        report(Series::Call, number, call);
        report(Series::Service, number, service);
        report(Series::Reply, number, reply_);
        report(Series::RoundTrip, number, trip);
    }

    /// When the server last ran with a notification.
    fn notified(&self) -> u64 {
        self.call(CALL, 0).registers[WORD + reply::NOTIFIED]
    }

    fn notify_server(&self, shift: u64) -> u32 {
        let mut block = Block::new(&[u64::from(self.server.slot()), 1], shift);
        measure(Operation::Notify, &mut block);
        expect_done(&block);
        between(block.before, self.notified())
    }

    fn notify_idler(&self, shift: u64) -> u32 {
        pause();
        let mut block = Block::new(&[u64::from(self.idler.slot()), 1], shift);
        measure(Operation::Notify, &mut block);
        expect_done(&block);
        block.ticks()
    }

    /// Whether the board has a timer with an interrupt; asking programs it once.
    fn has_timer(&self) -> bool {
        let programmed = self.call(ARM, 0).registers[WORD + reply::BEFORE];
        pause();
        programmed != 0
    }

    /// The client computes when the interrupt comes: the way from an idle CPU would be another one.
    fn interrupt(&self, shift: u64) -> u32 {
        let programmed = self.call(ARM, shift).registers[WORD + reply::BEFORE];
        // Not even the clock is read: the emulator takes an interrupt one instruction later next to such a read.
        for step in 0..COMPUTE_STEPS {
            core::hint::black_box(step);
        }
        between(programmed, self.notified())
    }

    fn copy(&self, shift: u64) -> u32 {
        let block = self.call(COPY, shift);
        between(block.registers[WORD + reply::BEFORE], block.registers[WORD + reply::AFTER])
    }

    /// Kills the fixture. RS and the fixture have higher priorities: the next incarnation waits when this goes on.
    fn restart(&self, number: u64) {
        sleep_until(Instant::now().plus_ns(CALM_NS));
        report(Series::Restart, number as u8, [0; PHASES]);
        sleep_until(Instant::now().plus_ns(CALM_NS));
        let arguments = [u64::from(self.fixture), Fault::Kill as u64, 0, 0];
        let mut block = Block::new(&arguments, number);
        measure(Operation::Inject, &mut block);
        expect_done(&block);
    }
}
