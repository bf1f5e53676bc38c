//! The console on a PL011 UART: bytes in both directions, across any number of deaths of its driver.
//!
//! *Role.* Device logic. [`Console`] holds the stream of input and the progress of the write in flight, keeps both in
//! the slot's checkpoint, and moves bytes between them and the FIFOs. `main.rs` is the process around it.
//!
//! *Rules.*
//! 1. Output: at most [`REPEAT_MAX`] bytes go to the FIFO, then the progress is committed, then the next ones. So a
//!    write that is delivered again goes on with at most that many bytes repeated and none lost.
//! 2. Input: what leaves the FIFO is committed, at most [`REPEAT_MAX`] bytes at a time, before anybody hears of it. It
//!    stays in the checkpoint until the reader asks for what comes after it.
//! 3. Interrupts are cleared first and the FIFO is drained until it is empty afterwards, never the other way round: a
//!    byte that arrived between the draining and the clearing would be announced by no interrupt, for ever where the
//!    interrupt is raised by the first byte only (emulated PL011s do so).
//! 4. A new incarnation rewrites every register that matters, but first lets the transmitter finish and drains the
//!    receiver, and it does not switch the FIFOs off, which would flush them: their bytes are acknowledged output and
//!    unread input.
//! 5. A byte counts as output only when the transmitter shows that it has one: by the transmit interrupt, cleared before
//!    each byte (emulated PL011s raise it at every write), or by BUSY (a board's, until the last byte has left). If
//!    neither shows, the byte did not get there: the write fails. Its client knows that, and writes it again, to a fresh
//!    driver; what stood before the byte is then out twice. On a board this finds only what is lost on the way to an
//!    idle transmitter: with other bytes in the FIFO, BUSY is theirs. And it finds nothing where half a character's time
//!    passes before the look is over, since the byte may then have left: it counts as taken.
//!
//! 6. Nobody can read back what was sent. So the bytes go out through the same instructions as a value that can be read back
//!    ([`Console::store`]), and a batch counts as output only if that value, written after it, is what is read: an
//!    incarnation that does not write what it means to ends there.
//!
//! *Why.* The line to the user is the one place where a restart could be seen; it should not be.
//!
//! # Resources
//! - ARM DDI 0183 (PL011), sections 2.4 "Operation", 2.8 "Interrupts", 3.3.8: "Program the control registers as follows".

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod device;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;

use abi::CallId;
use core::hint::black_box;
use core::mem::offset_of;
use device::{
    Block, Control, Data, FifoLevel, Flag, FractionalBaudRate, IntegerBaudRate, Interrupt, LineControl,
};
use heapless::Deque;
use protocols::console::{Error, REPEAT_MAX, Receipt, Reply};
use serde::{Deserialize, Serialize};
use tock_registers::interfaces::{Readable, Writeable};
use userlib::device::{Clock, Registers};
use userlib::register;

/// Most bytes of a committed state.
pub const STATE_MAX: usize = 320;

/// Longest time in nanoseconds in which a working transmitter takes at least one byte.
pub const STALL_LIMIT_NS: u64 = 50_000_000;

/// Bytes of input that are kept for the reader.
const INPUT_MAX: usize = 256;

/// Deepest FIFO of any revision (r1p5).
const FIFO_MAX: u64 = 32;

/// Time in nanoseconds after which a write surely shows in the flags, which cross from one clock to another: three
/// periods of a UARTCLK of 1.5 MHz. Beyond that, more than enough for what a processor reorders of reads of its own
/// clock and of the device.
const SETTLED_NS: u64 = 2_000;

/// Bits that a character takes on the line: start, eight data, stop.
const BITS_PER_CHARACTER: u64 = 10;

/// Distinguishes this layout of [`State`] from others in a checkpoint that an older image left.
const STATE_VERSION: u8 = 2;

/// The line's speed, and the clock that it is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// UARTCLK in hertz.
    pub clock_hz: u32,
    /// Bits per second.
    pub baud: u32,
    /// Output comes back as input, and goes out, too, where the UART lets it (UARTCR.LBE, section 3.3.8): for
    /// tests.
    pub loopback: bool,
}

impl Line {
    /// Time in nanoseconds that a character takes.
    fn character_ns(self) -> u64 {
        BITS_PER_CHARACTER * 1_000_000_000 / u64::from(self.baud)
    }
}

/// What the console needs from the process around it. [`Clock::wait`] returns early when the interrupt comes, and
/// unmasks its line before it waits.
pub trait Process: Clock {
    /// Commits `state` to the checkpoint, replacing the last one.
    fn commit(&self, state: &[u8]);

    /// Sets the notification bit of the reader, [`protocols::console::NOTIFY_INPUT`].
    fn notify_reader(&self);
}

impl<P: Process + ?Sized> Process for &P {
    fn commit(&self, state: &[u8]) {
        (**self).commit(state);
    }
    fn notify_reader(&self) {
        (**self).notify_reader();
    }
}

/// What outlives an incarnation.
#[derive(PartialEq, Serialize, Deserialize)]
struct State {
    version: u8,
    /// Unread and unacknowledged input.
    input: Deque<u8, INPUT_MAX>,
    /// Stream number of the first byte of `input`.
    first: u64,
    /// Stream number of the first byte that no reader was given.
    given: u64,
    /// Bytes that arrived damaged or at a full FIFO.
    lost: u64,
    /// The write in flight, or the last one.
    write: u64,
    /// How many bytes of it are with the device.
    written: u32,
    /// Which ones.
    receipt: Receipt,
}

impl State {
    /// An empty stream. Its numbers lie above those of every earlier incarnation, so that a reader that still has a
    /// position from before the checkpoint was dropped cannot take new bytes for old ones.
    fn new(incarnation: u32) -> Self {
        let first = u64::from(incarnation) << 32;
        Self {
            version: STATE_VERSION,
            input: Deque::new(),
            first,
            given: first,
            lost: 0,
            write: u64::MAX,
            written: 0,
            receipt: Receipt::EMPTY,
        }
    }

    fn restore(saved: &[u8]) -> Option<Self> {
        postcard::from_bytes(saved).ok().filter(Self::is_sound)
    }

    /// Whether an incarnation can have committed this, and positions can be counted on from here.
    fn is_sound(&self) -> bool {
        self.version == STATE_VERSION
            && self.first < 1 << 63
            && (self.first..=self.end()).contains(&self.given)
    }

    /// Stream number of the byte that will arrive next.
    fn end(&self) -> u64 {
        self.first + self.input.len() as u64
    }
}

/// What became of bytes that were to go into the transmit FIFO.
struct Transmitted {
    /// How many of them the transmitter took, from the first one on.
    taken: u32,
    /// The one after these was written and did not get there.
    lost: bool,
}

/// A PL011 in service.
pub struct Console<D, P> {
    device: D,
    process: P,
    line: Line,
    state: State,
    /// The reader was told [`Reply::Again`] and not notified since.
    reader_waits: bool,
    /// A write waits for the transmitter.
    writer_waits: bool,
}

impl<D: Registers, P: Process> Console<D, P> {
    /// Takes over the device from whoever had it, with the committed state of the last incarnation if there is one.
    /// Takes at most the time in which a full FIFO is sent.
    pub fn start(device: D, process: P, line: Line, incarnation: u32, saved: Option<&[u8]>) -> Self {
        let restored = saved.and_then(State::restore);
        let fresh = restored.is_none();
        let state = restored.unwrap_or_else(|| State::new(incarnation));
        let mut console = Self { device, process, line, state, reader_waits: true, writer_waits: false };
        if fresh {
            console.commit();
        }
        register!(&console.device, Block, interrupt_mask).set(0);
        console.finish_transmission();
        console.program();
        console.wake_reader();
        console.receive();
        console
    }

    /// Serves the device's interrupt.
    pub fn interrupt(&mut self) {
        self.receive();
    }

    /// Hands `bytes` to the device, from where an earlier delivery of the same call stopped.
    pub fn write(&mut self, call: CallId, bytes: &[u8]) -> Reply {
        if self.state.write != call.0 {
            (self.state.write, self.state.written, self.state.receipt) = (call.0, 0, Receipt::EMPTY);
        }
        let mut stalled_ns = self.process.now_ns() + STALL_LIMIT_NS;
        while let Some(rest) = bytes.get(self.state.written as usize..).filter(|rest| !rest.is_empty()) {
            // Before the look at the FIFO: a preemption after it must not count as the transmitter's.
            let look_ns = self.process.now_ns();
            let Transmitted { taken, lost } = self.transmit(&rest[..rest.len().min(REPEAT_MAX)]);
            if taken > 0 {
                // Twice: one wrong read is not worth a life.
                let is_understood = self.is_understood() || self.is_understood();
                assert!(is_understood, "what is written to the UART is not what arrives there");
                self.state.written += taken;
                self.commit();
                stalled_ns = self.process.now_ns() + STALL_LIMIT_NS;
            }
            if lost || look_ns >= stalled_ns {
                return Reply::Failed(Error::Device);
            }
            if taken == 0 {
                self.wait_for_transmitter();
            }
        }
        Reply::Written(self.state.receipt)
    }

    /// Gives input from `position` on, at most `room` bytes, to `deliver`, which says whether it arrived.
    pub fn read(&mut self, position: u64, room: u32, deliver: impl FnOnce(&[u8]) -> bool) -> Reply {
        self.reader_waits = false;
        self.drop_before(position);
        self.receive();
        let (position, lost) = (self.state.first, self.state.lost);
        if room > 0 && self.state.input.is_empty() {
            self.reader_waits = true;
            return Reply::Again { position };
        }
        // Up to where the ring wraps: the next read gets the rest. Not `make_contiguous`, which in heapless 0.9.3 gets
        // the length wrong when more is free than stands behind the wrap.
        let (input, _) = self.state.input.as_slices();
        let length = input.len().min(room as usize);
        if !deliver(&input[..length]) {
            return Reply::Failed(Error::BadRequest);
        }
        let given = position + length as u64;
        if given > self.state.given {
            self.state.given = given;
            self.commit();
        }
        Reply::Input { position, length: length as u32, lost }
    }

    /// Says where a new reader begins.
    pub fn attach(&self) -> Reply {
        Reply::Attached { position: self.state.given }
    }

    /// Waits until acknowledged output has left; gives up when the device does not get on.
    fn finish_transmission(&mut self) {
        let character_ns = self.line.character_ns();
        let limit_ns = self.process.now_ns() + 2 * FIFO_MAX * character_ns;
        while register!(&self.device, Block, flag).is_set(Flag::BUSY) && self.process.now_ns() < limit_ns {
            self.take_input();
            self.process.wait(character_ns);
        }
        self.take_input();
    }

    /// Writes all registers that matter, in the order of section 3.3.8. The line control register must come after the
    /// divisors, which take effect with it (section 3.3.6).
    fn program(&mut self) {
        let device = &self.device;
        let divisor = divisor(self.line);
        register!(device, Block, control).set(0);
        register!(device, Block, integer_baud_rate).write(IntegerBaudRate::DIVISOR.val(divisor >> 6));
        register!(device, Block, fractional_baud_rate).write(FractionalBaudRate::DIVISOR.val(divisor & 0x3F));
        register!(device, Block, line_control)
            .write(LineControl::WORD_LENGTH::EightBits + LineControl::FIFO_ENABLE::SET);
        register!(device, Block, fifo_level)
            .write(FifoLevel::TRANSMIT::OneEighth + FifoLevel::RECEIVE::OneHalf);
        register!(device, Block, interrupt_clear).write(Interrupt::ALL::SET);
        register!(device, Block, control).write(
            Control::UART_ENABLE::SET
                + Control::LOOPBACK.val(self.line.loopback.into())
                + Control::TRANSMIT_ENABLE::SET
                + Control::RECEIVE_ENABLE::SET,
        );
    }

    /// Clears the receive interrupts, then takes what the FIFO holds, then wakes the reader if there is something.
    fn receive(&mut self) {
        register!(&self.device, Block, interrupt_clear)
            .write(Interrupt::RECEIVE::SET + Interrupt::RECEIVE_TIMEOUT::SET);
        self.take_input();
        self.mask_interrupts();
        if self.reader_waits && !self.state.input.is_empty() {
            self.wake_reader();
        }
    }

    /// Moves input from the FIFO to the committed state until one is empty or the other full.
    fn take_input(&mut self) {
        while self.take_batch() > 0 {
            self.commit();
        }
    }

    /// Takes at most [`REPEAT_MAX`] characters out of the FIFO; says how many.
    fn take_batch(&mut self) -> usize {
        let mut taken = 0;
        while taken < REPEAT_MAX
            && !self.state.input.is_full()
            && !register!(&self.device, Block, flag).is_set(Flag::RECEIVE_EMPTY)
        {
            let character = register!(&self.device, Block, data).extract();
            let damaged = character.any_matching_bits_set(
                Data::FRAMING_ERROR::SET + Data::PARITY_ERROR::SET + Data::BREAK_ERROR::SET,
            );
            self.state.lost += u64::from(character.is_set(Data::OVERRUN_ERROR)) + u64::from(damaged);
            if !damaged {
                // Cannot fail: the loop's condition says that there is room.
                let _ = self.state.input.push_back(character.read(Data::DATA) as u8);
            }
            taken += 1;
        }
        taken
    }

    /// Puts a batch of at most [`REPEAT_MAX`] bytes into the transmit FIFO while it has room and they get there.
    fn transmit(&mut self, bytes: &[u8]) -> Transmitted {
        let mut taken = 0;
        for &byte in bytes {
            // Of who has lost the end of a batch everything behind it would go out.
            assert!(black_box(taken) < REPEAT_MAX as u32, "more is sent than a batch has");
            // Before the look at the FIFO: if that is full, the interrupt to wait for is still to come.
            register!(&self.device, Block, interrupt_clear).write(Interrupt::TRANSMIT::SET);
            if register!(&self.device, Block, flag).is_set(Flag::TRANSMIT_FULL) {
                break;
            }
            // For each byte, not for each batch: a batch takes an emulator longer than half a character.
            let before_ns = self.process.now_ns();
            self.store(offset_of!(Block, data), Data::DATA.val(byte.into()).value);
            if self.is_lost(before_ns) {
                return Transmitted { taken, lost: true };
            }
            self.state.receipt = self.state.receipt.with(byte);
            taken += 1;
        }
        Transmitted { taken, lost: false }
    }

    /// Writes a register. A function of its own, so that all that goes through it does so through the same instructions.
    #[inline(never)]
    fn store(&self, offset: usize, value: u32) {
        self.device.write(offset, value);
    }

    /// Whether what is written arrives. The level at which the transmit interrupt comes is of no importance: it serves to be written
    /// and read.
    fn is_understood(&self) -> bool {
        let level = register!(&self.device, Block, fifo_level).read(FifoLevel::TRANSMIT);
        let other = if level == 0 { FifoLevel::TRANSMIT::OneQuarter } else { FifoLevel::TRANSMIT::OneEighth };
        let levels = other + FifoLevel::RECEIVE::OneHalf;
        self.store(black_box(offset_of!(Block, fifo_level)), levels.value);
        levels.matches_all(register!(&self.device, Block, fifo_level).get())
    }

    /// Whether the byte that was written just now, and not before `before_ns`, surely did not get there: nothing shows
    /// at an instant when all writes do and no byte can have left. Half a character's time, where a whole one would do,
    /// allows for a line that is faster than was said.
    fn is_lost(&self, before_ns: u64) -> bool {
        if self.shows_output() {
            return false;
        }
        let after_ns = self.process.now_ns();
        loop {
            let look_ns = self.process.now_ns();
            if self.shows_output() || self.process.now_ns() > before_ns + self.line.character_ns() / 2 {
                return false;
            }
            if look_ns >= after_ns + SETTLED_NS {
                return true;
            }
        }
    }

    /// Whether the transmitter shows that it has got something since its interrupt was cleared, or has not sent it yet.
    fn shows_output(&self) -> bool {
        register!(&self.device, Block, interrupt_status).is_set(Interrupt::TRANSMIT)
            || register!(&self.device, Block, flag).is_set(Flag::BUSY)
    }

    /// Waits for the transmit interrupt, no longer than until the FIFO must have room, and serves the receiver, which
    /// would overflow meanwhile.
    fn wait_for_transmitter(&mut self) {
        self.writer_waits = true;
        self.mask_interrupts();
        self.process.wait(STALL_LIMIT_NS / 32);
        self.writer_waits = false;
        self.receive();
    }

    /// Drops input that the reader has. A position that the stream does not have drops nothing. It need not be
    /// committed: the next incarnation drops the same bytes when the reader asks again.
    fn drop_before(&mut self, position: u64) {
        if !(self.state.first + 1..=self.state.end()).contains(&position) {
            return;
        }
        while self.state.first < position && self.state.input.pop_front().is_some() {
            self.state.first += 1;
        }
        self.state.given = self.state.given.max(self.state.first);
    }

    /// Lets only those interrupts through that something can be done about: a full buffer would make the receiver's
    /// interrupt a storm.
    fn mask_interrupts(&self) {
        let receive = u32::from(!self.state.input.is_full());
        register!(&self.device, Block, interrupt_mask).write(
            Interrupt::RECEIVE.val(receive)
                + Interrupt::RECEIVE_TIMEOUT.val(receive)
                + Interrupt::TRANSMIT.val(self.writer_waits.into()),
        );
    }

    fn wake_reader(&mut self) {
        self.reader_waits = false;
        self.process.notify_reader();
    }

    fn commit(&self) {
        let mut buffer = [0; STATE_MAX];
        let state =
            postcard::to_slice(&self.state, &mut buffer).expect("STATE_MAX is the size of the largest state");
        // A state that comes back as another one, or not at all, is a mistake of this incarnation's, and the next one would begin the
        // write in flight anew: what was committed last is better.
        let restored = State::restore(state);
        assert!(
            restored.as_ref() == Some(&self.state),
            "the state to be committed does not come back as it is"
        );
        self.process.commit(state);
    }
}

/// The baud rate divisor in 64ths, rounded: UARTCLK / (16 × baud rate), section 3.3.6.
fn divisor(line: Line) -> u32 {
    let (clock_hz, baud) = (u64::from(line.clock_hz), u64::from(line.baud));
    ((clock_hz * 4 + baud / 2) / baud) as u32
}
