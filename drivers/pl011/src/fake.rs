//! A PL011 on the host, in two makes, with a slot around it that a driver can die in.
//!
//! [`Make::Board`] has timing: characters take as long as the baud rate says, FIFOs fill up and overrun, interrupts
//! follow the levels (ARM DDI 0183, section 2.8), BUSY shows while there is output. [`Make::Emulator`] behaves as QEMU
//! 10.0.2's model: output leaves at once, each write of it raises the transmit interrupt, BUSY never shows, input waits
//! outside when the FIFO is full, the receive interrupt is raised only when the FIFO stops being empty, there is no
//! receive timeout, and input arrives even while the receiver is disabled.
//!
//! On request a write of the data register is lost, and time passes between two steps of the driver.
//!
//! What a driver must not do ends the test: reading an empty FIFO, writing a full or disabled one, changing the baud
//! rate of an enabled UART, touching an unknown register.

use crate::Process;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use userlib::device::{Clock, Registers};

const DEPTH: usize = 16;
pub const CHARACTER_NS: u64 = 86_805;
const ACCESS_NS: u64 = 50;
const RECEIVE: u32 = 1 << 4;
const TRANSMIT: u32 = 1 << 5;
const TIMEOUT: u32 = 1 << 6;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Make {
    Board,
    Emulator,
}

/// How a driver's life ended when the fuse burned down. Unwinds without the panic hook.
struct Death;

pub struct Machine {
    make: Make,
    uart: RefCell<Uart>,
    now_ns: Cell<u64>,
    /// Steps (register accesses, looks at the clock, commits, notifications) until the driver dies.
    fuse: Cell<Option<u64>>,
    pub steps: Cell<u64>,
    /// Time in nanoseconds for which others have the processor before each of the next steps.
    pub preemptions: RefCell<VecDeque<u64>>,
    /// What the driver writes is other than it means in these bits.
    pub garbled: Cell<u32>,
    /// Writes of the data register until one is lost.
    pub lost_write: Cell<Option<u64>>,
    pub checkpoint: RefCell<Option<Vec<u8>>>,
    pub notifications: Cell<u32>,
    /// Bytes taken from the FIFO since the last commit.
    pub uncommitted: Cell<usize>,
    /// The transmitter never takes a byte from its FIFO.
    pub stuck: Cell<bool>,
}

#[derive(Default)]
pub struct Uart {
    /// Input on its way: time of arrival in nanoseconds, and the character with its error bits.
    pub line: VecDeque<(u64, u32)>,
    receive: VecDeque<u32>,
    overrun: bool,
    transmit: VecDeque<u8>,
    shift_end_ns: u64,
    /// Time in nanoseconds from a write into an idle transmitter until BUSY shows.
    pub busy_delay_ns: u64,
    busy_from_ns: u64,
    /// What came out at the other end.
    pub sent: Vec<u8>,
    pub control: u32,
    pub line_control: u32,
    pub divisors: (u32, u32),
    latched: (u32, u32),
    levels: u32,
    pub mask: u32,
    raw: u32,
    last_arrival_ns: u64,
}

impl Machine {
    pub fn new(make: Make) -> Self {
        Self {
            make,
            uart: RefCell::default(),
            now_ns: Cell::new(1_000_000),
            fuse: Cell::new(None),
            steps: Cell::new(0),
            preemptions: RefCell::default(),
            garbled: Cell::new(0),
            lost_write: Cell::new(None),
            checkpoint: RefCell::default(),
            notifications: Cell::new(0),
            uncommitted: Cell::new(0),
            stuck: Cell::new(false),
        }
    }

    /// Runs a driver's life, which dies at the step number `fuse`; `None` if it did.
    pub fn live<T>(&self, fuse: Option<u64>, life: impl FnOnce() -> T) -> Option<T> {
        self.fuse.set(fuse);
        self.uncommitted.set(0);
        let result = catch_unwind(AssertUnwindSafe(life));
        self.fuse.set(None);
        match result {
            Ok(value) => Some(value),
            Err(cause) if cause.is::<Death>() => None,
            Err(cause) => resume_unwind(cause),
        }
    }

    pub fn uart(&self) -> std::cell::RefMut<'_, Uart> {
        self.uart.borrow_mut()
    }

    /// Sends bytes to the UART from the other end, one character time apart, from now on.
    pub fn type_in(&self, bytes: &[u8]) {
        let now = self.now_ns.get();
        let mut uart = self.uart.borrow_mut();
        let start = uart.line.back().map_or(now, |last| last.0.max(now));
        uart.line.extend(bytes.iter().zip(1..).map(|(&byte, i)| (start + i * CHARACTER_NS, u32::from(byte))));
    }

    /// Lets one character arrive at this very instant.
    pub fn arrive_now(&self, character: u32) {
        self.uart.borrow_mut().line.push_front((self.now_ns.get(), character));
        self.pass(0);
    }

    pub fn interrupt(&self) -> bool {
        self.pass(0);
        let uart = self.uart.borrow();
        uart.raw & uart.mask != 0
    }

    pub fn elapse(&self, nanoseconds: u64) {
        self.pass(nanoseconds);
    }

    /// Until everything typed has arrived and everything in the FIFO has left.
    pub fn settle(&self) {
        for _ in 0..10_000 {
            self.pass(CHARACTER_NS);
        }
    }

    fn step(&self) {
        self.steps.set(self.steps.get() + 1);
        match self.fuse.get() {
            Some(0) => resume_unwind(Box::new(Death)),
            left => self.fuse.set(left.map(|steps| steps - 1)),
        }
        let preempted_ns = self.preemptions.borrow_mut().pop_front();
        self.pass(preempted_ns.unwrap_or(0));
    }

    /// Whether this write of the data register is the one to be lost.
    fn loses_write(&self) -> bool {
        let left = self.lost_write.get();
        self.lost_write.set(left.and_then(|writes| writes.checked_sub(1)));
        left == Some(0)
    }

    fn pass(&self, nanoseconds: u64) {
        let now = self.now_ns.get() + nanoseconds;
        self.now_ns.set(now);
        let mut uart = self.uart.borrow_mut();
        uart.send(self.make, now, self.stuck.get());
        uart.accept(self.make, now);
    }
}

impl Uart {
    fn depth(&self) -> usize {
        if self.line_control & 1 << 4 != 0 { DEPTH } else { 1 }
    }

    /// Moves characters from the transmit FIFO to the line as time passes; the head of `transmit` is in the shift
    /// register until `shift_end_ns`.
    fn send(&mut self, make: Make, now: u64, stuck: bool) {
        while !self.transmit.is_empty() && !stuck && (make == Make::Emulator || self.shift_end_ns <= now) {
            let byte = self.transmit.pop_front().unwrap();
            assert_eq!(self.latched, (26, 3), "sent at another speed than 115200 baud of 48 MHz");
            self.sent.push(byte);
            self.shift_end_ns += CHARACTER_NS;
            // Level 1/8: the interrupt comes when the FIFO passes it on its way down.
            if self.transmit.len() == 2 {
                self.raw |= TRANSMIT;
            }
        }
    }

    fn accept(&mut self, make: Make, now: u64) {
        while let Some(&(arrival, character)) = self.line.front().filter(|next| next.0 <= now) {
            let full = self.receive.len() >= self.depth();
            if make == Make::Emulator && full {
                break;
            }
            self.line.pop_front();
            if make == Make::Board && self.control & 0x201 != 0x201 {
                continue;
            }
            self.last_arrival_ns = arrival;
            if full {
                self.overrun = true;
                continue;
            }
            let overrun = u32::from(std::mem::take(&mut self.overrun)) << 11;
            self.receive.push_back(character | overrun);
            if make == Make::Emulator && self.receive.len() == 1 {
                self.raw |= RECEIVE;
            }
        }
        if make == Make::Board {
            let level = if self.levels >> 3 & 7 == 2 { DEPTH / 2 } else { DEPTH / 8 };
            if self.receive.len() >= level {
                self.raw |= RECEIVE;
            }
            if !self.receive.is_empty() && now >= self.last_arrival_ns + 32 * CHARACTER_NS / 10 {
                self.raw |= TIMEOUT;
            }
        }
    }

    fn read_data(&mut self, make: Make, now: u64) -> u32 {
        let character = self.receive.pop_front().expect("the receive FIFO is empty");
        if self.receive.is_empty() {
            self.raw &= !(RECEIVE | TIMEOUT);
        } else if make == Make::Board && self.receive.len() < DEPTH / 2 {
            self.raw &= !RECEIVE;
        }
        self.last_arrival_ns = self.last_arrival_ns.max(now);
        character
    }

    fn write_data(&mut self, make: Make, now: u64, byte: u8) {
        assert_eq!(self.control & 0x101, 0x101, "written while the transmitter is disabled");
        assert!(self.transmit.len() < self.depth(), "the transmit FIFO is full");
        if self.transmit.is_empty() {
            self.shift_end_ns = now + CHARACTER_NS;
            self.busy_from_ns = now + self.busy_delay_ns;
        }
        self.transmit.push_back(byte);
        match make {
            Make::Emulator => self.raw |= TRANSMIT,
            Make::Board if self.transmit.len() > 2 => self.raw &= !TRANSMIT,
            Make::Board => {}
        }
    }

    fn write_line_control(&mut self, value: u32) {
        if (self.line_control ^ value) & 1 << 4 != 0 {
            self.receive.clear();
            self.transmit.clear();
        }
        self.line_control = value;
        self.latched = self.divisors;
    }

    fn flags(&self, make: Make, now: u64) -> u32 {
        let busy = make == Make::Board && !self.transmit.is_empty() && now >= self.busy_from_ns;
        let busy = u32::from(busy) << 3;
        let receive_empty = u32::from(self.receive.is_empty()) << 4;
        let transmit_full = u32::from(self.transmit.len() >= self.depth()) << 5;
        busy | receive_empty | transmit_full
    }
}

impl Registers for Machine {
    fn read(&self, offset: usize) -> u32 {
        self.step();
        self.pass(ACCESS_NS);
        let mut uart = self.uart.borrow_mut();
        match offset {
            0x00 => {
                self.uncommitted.set(self.uncommitted.get() + 1);
                uart.read_data(self.make, self.now_ns.get())
            }
            0x18 => uart.flags(self.make, self.now_ns.get()),
            0x34 => uart.levels,
            0x3C => uart.raw,
            _ => panic!("read of offset {offset:#x}"),
        }
    }

    fn write(&self, offset: usize, value: u32) {
        self.step();
        self.pass(ACCESS_NS);
        let value = value ^ self.garbled.get();
        let mut uart = self.uart.borrow_mut();
        match offset {
            0x00 if self.loses_write() => {}
            0x00 => uart.write_data(self.make, self.now_ns.get(), value as u8),
            0x24 | 0x28 | 0x2C => {
                assert_eq!(uart.control & 1, 0, "offset {offset:#x} written while the UART is enabled");
                match offset {
                    0x24 => uart.divisors.0 = value,
                    0x28 => uart.divisors.1 = value,
                    _ => uart.write_line_control(value),
                }
            }
            0x30 => {
                assert!(
                    uart.control & 1 == 0 || value & 1 == 1 || uart.transmit.is_empty(),
                    "output cut off"
                );
                uart.control = value;
            }
            0x34 => uart.levels = value,
            0x38 => uart.mask = value,
            0x44 => uart.raw &= !value,
            _ => panic!("write of offset {offset:#x}"),
        }
        drop(uart);
        self.pass(0);
    }
}

impl Clock for Machine {
    fn now_ns(&self) -> u64 {
        self.step();
        self.now_ns.get()
    }

    fn wait(&self, limit_ns: u64) {
        self.step();
        let end = self.now_ns.get() + limit_ns;
        while !self.interrupt() && self.now_ns.get() < end {
            self.pass((end - self.now_ns.get()).min(1_000));
        }
    }
}

impl Process for Machine {
    fn commit(&self, state: &[u8]) {
        self.step();
        assert!(state.len() <= crate::STATE_MAX);
        *self.checkpoint.borrow_mut() = Some(state.to_vec());
        self.uncommitted.set(0);
    }

    fn notify_reader(&self) {
        self.step();
        self.notifications.set(self.notifications.get() + 1);
    }
}
