//! The server: says when it ran, copies when asked to, and is the driver of the board's timer.

use crate::expect_done;
use crate::measure::{Block, Operation, copy, run as measure};
use protocols::bench::{ARM, COPY, COPY_BYTES, reply, request};
use userlib::abi::syscall::received;
use userlib::device::Registers;
use userlib::{Instant, Irq, Window, binding};

/// First word of a message in a block.
const WORD: usize = 3;

/// The board's timer (BCM2835 ARM Peripherals, section 12.1): a counter of microseconds and four compare registers, of
/// which the ARM may use 1 and 3.
mod timer {
    /// Status: the bit of a channel is set when it has matched, and cleared by writing a one.
    pub const CS: usize = 0x00;
    /// Low half of the counter.
    pub const CLO: usize = 0x04;
    /// Compare register 1.
    pub const C1: usize = 0x10;
    /// Channel 1 in the status.
    pub const MATCH_1: u32 = 1 << 1;
}

/// How far ahead the timer is programmed: the client is waiting by then.
const AHEAD_US: u32 = 100;

/// The board's timer.
struct Timer {
    registers: Window,
    line: Irq,
}

impl Timer {
    /// Programs the timer and returns for when, in ticks of the CPU's clock. Even microseconds are whole ticks.
    fn arm(&self) -> u64 {
        let at = (self.registers.read(timer::CLO) + AHEAD_US) & !1;
        self.registers.write(timer::C1, at);
        Instant::from_ns(u64::from(at) * 1000).ticks()
    }

    fn disarm(&self) {
        self.registers.write(timer::CS, timer::MATCH_1);
        self.line.acknowledge();
    }
}

pub fn run() -> ! {
    let registers = binding!(window ? "system-timer").expect("the server drives the timer");
    // On some boards the timer has no line.
    let timer = binding!(irq ? "system-timer-1").map(|line| Timer { registers, line });
    // A line is masked until its driver says that it is ready.
    if let Some(timer) = &timer {
        timer.disarm();
    }
    let mut page = [0; COPY_BYTES];
    let mut notified = 0;
    let mut block = Block::new(&[Instant::NEVER.ticks(), 0], 0);
    measure(Operation::Recv, &mut block);
    loop {
        if block.registers[0] == received::REQUEST {
            block = answer(&block, timer.as_ref(), notified, &mut page);
            continue;
        }
        if block.registers[0] == received::NOTIFICATION {
            notified = block.after;
            if let Some(timer) = timer.as_ref().filter(|timer| block.registers[1] & timer.line.bit() != 0) {
                timer.disarm();
            }
        }
        block = Block::new(&[Instant::now().plus_ms(10_000).ticks(), 0], 0);
        measure(Operation::Recv, &mut block);
    }
}

/// Answers the request in `block` and returns what is received next.
fn answer(asked: &Block, timer: Option<&Timer>, notified: u64, page: &mut [u8; COPY_BYTES]) -> Block {
    let (call, label) = (asked.registers[1], asked.registers[2]);
    let [deadline, shift] = [request::DEADLINE, request::SHIFT].map(|word| asked.registers[WORD + word]);
    let mut next = Block::new(&[deadline, call], shift);
    next.registers[WORD + reply::ARRIVED] = asked.after;
    next.registers[WORD + reply::NOTIFIED] = notified;
    let mut operation = Operation::ReplyRecv;
    match label {
        COPY => {
            let copied = copy(call, page);
            expect_done(&copied);
            next.registers[WORD + reply::BEFORE] = copied.before;
            next.registers[WORD + reply::AFTER] = copied.after;
        }
        ARM => {
            if let Some(timer) = timer {
                next.registers[WORD + reply::BEFORE] = timer.arm();
                operation = Operation::ReplyRecvShifted;
            }
        }
        _ => {}
    }
    measure(operation, &mut next);
    next
}
