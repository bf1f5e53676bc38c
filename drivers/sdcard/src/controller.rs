//! The host controller: reset, clock, commands, and data by the processor's own hand (PIO).
//!
//! *Rule.* Every wait has a limit: its own, and that of the request which it serves. Whatever goes wrong comes back as
//! an [`Error`]; the caller decides about recovery.
//!
//! *Rule.* What no restart brings back is looked at once more before it is done: no command leaves that is not among [`COMMANDS`], and no
//! data leave before the controller has said, read back, to which block of the card the first of them goes. Otherwise this driver ends.
//!
//! *Why.* A card can be pulled at any instant, and the controller then simply says nothing more. And one wrong bit makes of CMD13, which
//! asks for the status, CMD15, behind which a card says nothing any more until its supply is switched off.
//!
//! # Resources
//! - *SD Host Controller Simplified Specification*, version 3.00: section 3.2 "SD Clock Control", 3.7 "SD Command Issue
//!   and Completion", 3.10 "Error Recovery".
//! - *Physical Layer Simplified Specification*, version 6.00: section 4.6.2 "Read, Write and Erase Timeout Conditions",
//!   6.4.1 "Power Up".

use crate::Error;
use crate::device::{
    BlockSizeCount, Capabilities, ClockReset, HostControl, Interrupt, PresentState, Sdhci, TransferCommand,
    Version,
};
use core::cell::Cell;
use core::hint::black_box;
use tock_registers::fields::FieldValue;
use tock_registers::interfaces::{Readable, Writeable};
use userlib::device::{Clock, Register, Registers};
use userlib::register;

/// Card clock during identification (Physical Layer, section 6.6.6: 100 to 400 kHz).
pub const IDENTIFICATION_HZ: u32 = 400_000;

/// Fastest card clock of the default speed mode (Physical Layer, section 4.3.4).
pub const DEFAULT_SPEED_HZ: u32 = 25_000_000;

/// A response comes within 64 card clocks, 160 µs at the slowest; the rest is for a controller that is slow to say so.
const COMMAND_LIMIT_NS: u64 = 10_000_000;

/// Longest that a card may be busy: 250 ms for a write, 500 ms for a write to SDXC, with as much again in reserve.
pub const BUSY_LIMIT_NS: u64 = 1_000_000_000;

/// One read of at most 128 blocks: 100 ms to the first block, and some 20 ms for 64 KiB on one bit at 25 MHz.
const READ_LIMIT_NS: u64 = 500_000_000;

/// The controller's own resets and clocks take microseconds.
const CONTROLLER_LIMIT_NS: u64 = 100_000_000;

/// How long to ask again and again before giving up the processor: longer than a command takes.
const SPIN_NS: u64 = 20_000;

/// Longest pause between two looks at the controller.
const PAUSE_MAX_NS: u64 = 1_000_000;

/// Successive writes to one register get lost when less than two card clocks lie between them, but for the data port;
/// found in the Arasan controller of the BCM2835 (the Linux driver `sdhci-iproc.c` documents it). Twice that is kept.
const CLOCKS_BETWEEN_WRITES: u64 = 4;

/// The commands that this driver has a use for, a bit each. Not among them: going inactive, erasing, locking and write protection.
const COMMANDS: u64 = {
    let used = [0, 2, 3, 6, 7, 8, 9, 12, 13, 16, 17, 18, 23, 24, 25, 41, 51, 55];
    let (mut bits, mut next) = (0, 0);
    while next < used.len() {
        bits |= 1 << used[next];
        next += 1;
    }
    bits
};

/// What answers a command (Physical Layer, section 4.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// Nothing.
    None,
    /// R1, R6, R7.
    Short,
    /// R1b: the card is busy afterwards.
    ShortBusy,
    /// R3, which carries no checksum and no index.
    Unchecked,
    /// R2.
    Long,
}

/// A command without data.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    /// Number of the command.
    pub index: u32,
    /// Its argument.
    pub argument: u32,
    /// What answers it.
    pub response: Response,
}

/// A host controller that nobody else touches.
pub struct Controller<D, C> {
    device: D,
    clock: C,
    /// Used if the controller does not know its base clock.
    base_hz: u32,
    /// The card's clock; 0 before it is set for the first time.
    card_hz: u32,
    /// When the last write took place.
    written_ns: Cell<u64>,
    /// When the request that is being served must be over.
    deadline_ns: u64,
}

impl<D: Registers, C: Clock> Controller<D, C> {
    /// Takes the controller, touching nothing.
    pub fn new(device: D, clock: C, base_hz: u32) -> Self {
        Self { device, clock, base_hz, card_hz: 0, written_ns: Cell::new(0), deadline_ns: u64::MAX }
    }

    /// Gives everything that follows at most `limit_ns` nanoseconds, all together.
    pub fn begin_request(&mut self, limit_ns: u64) {
        self.deadline_ns = self.clock.now_ns().saturating_add(limit_ns);
    }

    /// Whether the request's time is used up.
    pub fn is_out_of_time(&self) -> bool {
        self.clock.now_ns() >= self.deadline_ns
    }

    /// Waits for this long, or until the request's time is used up.
    pub fn sleep(&self, nanoseconds: u64) {
        let end_ns = self.limit(nanoseconds);
        while let Some(left_ns) = end_ns.checked_sub(self.clock.now_ns()).filter(|&left_ns| left_ns > 0) {
            self.clock.wait(left_ns);
        }
    }

    /// Brings a controller in any state, perhaps in the middle of a transfer of a driver that died, to the state after
    /// power-up, with the card's clock at identification speed.
    pub fn start(&mut self) -> Result<(), Error> {
        if register!(&self.device, Sdhci, version).read(Version::SPECIFICATION)
            < Version::SPECIFICATION::V3_00.value >> 16
        {
            return Err(Error::Controller);
        }
        self.card_hz = IDENTIFICATION_HZ;
        self.await_programming();
        self.reset(ClockReset::RESET_ALL::SET)?;
        self.put(
            register!(&self.device, Sdhci, host_control),
            HostControl::BUS_POWER::SET + HostControl::BUS_VOLTAGE::V3_3,
        );
        self.set_card_clock(IDENTIFICATION_HZ)?;
        self.put(register!(&self.device, Sdhci, signal_enable), FieldValue::none());
        self.put(
            register!(&self.device, Sdhci, interrupt_enable),
            Interrupt::COMMAND_COMPLETE::SET
                + Interrupt::TRANSFER_COMPLETE::SET
                + Interrupt::WRITE_READY::SET
                + Interrupt::READ_READY::SET
                + Interrupt::ERRORS::SET,
        );
        // Supply ramp-up and 74 clocks before the first command.
        self.sleep(1_000_000);
        Ok(())
    }

    /// Lets the card finish what a dead incarnation made it program: CMD0 ends any other state cleanly, but would break
    /// that off. Best effort, since a card that stays busy is reset all the same.
    fn await_programming(&self) {
        if register!(&self.device, Sdhci, clock_reset).is_set(ClockReset::CARD_ENABLE) {
            let _ = self.until(BUSY_LIMIT_NS / 2, || self.is_line_free().then_some(()).ok_or(Error::Busy));
        }
    }

    /// Sets the card's clock to at most `hertz`. The divisor is the specification's 10-bit one (section 2.2.14).
    pub fn set_card_clock(&mut self, hertz: u32) -> Result<(), Error> {
        let base_hz = self.base_clock_hz();
        let divisor = if base_hz <= hertz { 0 } else { base_hz.div_ceil(2 * hertz).min(1023) };
        let fields = ClockReset::INTERNAL_ENABLE::SET
            + ClockReset::DIVISOR_HIGH.val(divisor >> 8)
            + ClockReset::DIVISOR_LOW.val(divisor)
            + ClockReset::DATA_TIMEOUT::Longest;
        self.put(register!(&self.device, Sdhci, clock_reset), fields);
        self.until(CONTROLLER_LIMIT_NS, || {
            let stable = register!(&self.device, Sdhci, clock_reset).is_set(ClockReset::INTERNAL_STABLE);
            stable.then_some(()).ok_or(Error::Controller)
        })?;
        self.card_hz = if divisor == 0 { base_hz } else { base_hz / (2 * divisor) };
        self.put(register!(&self.device, Sdhci, clock_reset), fields + ClockReset::CARD_ENABLE::SET);
        Ok(())
    }

    /// The base clock as the controller tells it, else as the board does.
    fn base_clock_hz(&self) -> u32 {
        match register!(&self.device, Sdhci, capabilities).read(Capabilities::BASE_CLOCK_MHZ) {
            megahertz @ 10.. => megahertz * 1_000_000,
            _ => self.base_hz,
        }
    }

    /// Uses four data lines from now on.
    pub fn use_four_bits(&self) {
        self.put(
            register!(&self.device, Sdhci, host_control),
            HostControl::BUS_POWER::SET + HostControl::BUS_VOLTAGE::V3_3 + HostControl::FOUR_BITS::SET,
        );
    }

    /// Sends a command and returns the response, right-aligned; of a long one bits 127 to 8, without the checksum.
    pub fn command(&self, command: Command) -> Result<u128, Error> {
        let busy = command.response == Response::ShortBusy;
        self.issue(command, FieldValue::none(), busy)?;
        if busy {
            self.until_flag(Interrupt::TRANSFER_COMPLETE::SET, self.limit(BUSY_LIMIT_NS), Error::Busy)?;
        }
        Ok(self.response(command.response))
    }

    /// Sends CMD12, STOP_TRANSMISSION, which is allowed while data are under way.
    pub fn stop(&self) -> Result<u128, Error> {
        let command = Command { index: 12, argument: 0, response: Response::ShortBusy };
        self.issue(command, TransferCommand::TYPE::Abort, false)?;
        self.until_flag(Interrupt::TRANSFER_COMPLETE::SET, self.limit(BUSY_LIMIT_NS), Error::Busy)?;
        Ok(self.response(Response::Short))
    }

    /// Sends a command that makes the card send `words`, in blocks of `block_words`; `stop` has the controller send
    /// CMD12 after the last one. Returns the response to the command.
    pub fn read(
        &self,
        command: Command,
        stop: bool,
        block_words: usize,
        words: &mut [u32],
    ) -> Result<u128, Error> {
        let limit_ns = self.limit(READ_LIMIT_NS);
        self.set_blocks(block_words, words.len());
        let mode = transfer_mode(words.len() / block_words, stop) + TransferCommand::READ::SET;
        self.issue(command, mode, true)?;
        let response = self.response(command.response);
        for block in words.chunks_exact_mut(block_words) {
            self.until_flag(Interrupt::READ_READY::SET, limit_ns, Error::DataTimeout)?;
            // Before the data are taken: the flag for the next block may rise with the last word of this one.
            self.put(register!(&self.device, Sdhci, interrupt), Interrupt::READ_READY::SET);
            register!(&self.device, Sdhci, data).read_words(block);
        }
        self.until_flag(Interrupt::TRANSFER_COMPLETE::SET, limit_ns, Error::DataTimeout)?;
        Ok(response)
    }

    /// Sends a command that makes the card take `words`, in blocks of `block_words`; otherwise as [`Controller::read`].
    /// `is_right` says whether an argument names the place that is meant. The card may go on programming afterwards.
    ///
    /// # Panics
    /// The controller has got another argument. Nothing was written then.
    pub fn write(
        &self,
        command: Command,
        stop: bool,
        block_words: usize,
        words: &[u32],
        is_right: impl FnOnce(u32) -> bool,
    ) -> Result<u128, Error> {
        let limit_ns = self.limit(BUSY_LIMIT_NS);
        self.set_blocks(block_words, words.len());
        self.issue(command, transfer_mode(words.len() / block_words, stop), true)?;
        let response = self.response(command.response);
        assert!(is_right(register!(&self.device, Sdhci, argument).get()), "the card was told another block");
        for block in words.chunks_exact(block_words) {
            self.until_flag(Interrupt::WRITE_READY::SET, limit_ns, Error::DataTimeout)?;
            self.put(register!(&self.device, Sdhci, interrupt), Interrupt::WRITE_READY::SET);
            register!(&self.device, Sdhci, data).write_words(block);
        }
        self.until_flag(Interrupt::TRANSFER_COMPLETE::SET, limit_ns, Error::DataTimeout)?;
        Ok(response)
    }

    /// Ends whatever the controller does on the command and data lines; the first step of section 3.10.
    pub fn reset_lines(&self) -> Result<(), Error> {
        let now = register!(&self.device, Sdhci, clock_reset).get();
        let lines = ClockReset::RESET_COMMAND::SET + ClockReset::RESET_DATA::SET;
        self.put_word(register!(&self.device, Sdhci, clock_reset), now | lines.value);
        self.until_reset(lines)
    }

    fn reset(&self, what: FieldValue<u32, ClockReset::Register>) -> Result<(), Error> {
        self.put(register!(&self.device, Sdhci, clock_reset), what);
        self.until_reset(what)
    }

    fn until_reset(&self, what: FieldValue<u32, ClockReset::Register>) -> Result<(), Error> {
        self.until(CONTROLLER_LIMIT_NS, || {
            let resetting = register!(&self.device, Sdhci, clock_reset).any_matching_bits_set(what);
            (!resetting).then_some(()).ok_or(Error::Controller)
        })
    }

    fn set_blocks(&self, block_words: usize, words: usize) {
        self.put(
            register!(&self.device, Sdhci, block_size_count),
            BlockSizeCount::SIZE.val(block_words as u32 * 4)
                + BlockSizeCount::COUNT.val((words / block_words) as u32),
        );
    }

    /// Sends a command as section 3.7.1.1 says, and waits for its response.
    ///
    /// # Panics
    /// It is none of [`COMMANDS`].
    fn issue(
        &self,
        command: Command,
        mode: FieldValue<u32, TransferCommand::Register>,
        uses_data_line: bool,
    ) -> Result<(), Error> {
        self.until(COMMAND_LIMIT_NS, || self.is_free(uses_data_line).then_some(()).ok_or(Error::Busy))?;
        self.put_word(register!(&self.device, Sdhci, interrupt), u32::MAX);
        self.put_word(register!(&self.device, Sdhci, argument), command.argument);
        let fields = response_fields(command.response) + TransferCommand::INDEX.val(command.index) + mode;
        // Of the word itself, as far as the compiler knows a value from anywhere: it may be another than it was meant to be.
        let word = black_box(fields.value);
        let index = TransferCommand::INDEX.read(word);
        assert!(COMMANDS >> index & 1 != 0, "CMD{index} is none that this driver sends");
        self.put_word(register!(&self.device, Sdhci, transfer_command), word);
        self.until_flag(Interrupt::COMMAND_COMPLETE::SET, self.limit(COMMAND_LIMIT_NS), Error::CommandTimeout)
    }

    fn response(&self, kind: Response) -> u128 {
        let low = u128::from(register!(&self.device, Sdhci, response0).get());
        if kind != Response::Long {
            return low;
        }
        let words = [
            register!(&self.device, Sdhci, response3).get(),
            register!(&self.device, Sdhci, response2).get(),
            register!(&self.device, Sdhci, response1).get(),
        ];
        // The controller leaves the checksum out, so that bit 8 of the card's register arrives as bit 0.
        (words.into_iter().fold(0, |high, word| high << 32 | u128::from(word)) << 32 | low) << 8
    }

    fn is_free(&self, data_line: bool) -> bool {
        let state = register!(&self.device, Sdhci, present_state).extract();
        !(state.is_set(PresentState::COMMAND_INHIBIT)
            || data_line && state.is_set(PresentState::DATA_INHIBIT))
    }

    /// Whether the card leaves data line 0 high, which it holds low while it programs.
    fn is_line_free(&self) -> bool {
        register!(&self.device, Sdhci, present_state).is_set(PresentState::DATA0_LEVEL)
    }

    fn limit(&self, nanoseconds: u64) -> u64 {
        self.clock.now_ns().saturating_add(nanoseconds).min(self.deadline_ns)
    }

    /// Asks until the answer is `Ok`, or time is up, when its error stands.
    fn until<T>(&self, nanoseconds: u64, mut ask: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
        let (begin_ns, limit_ns) = (self.clock.now_ns(), self.limit(nanoseconds));
        loop {
            let now_ns = self.clock.now_ns();
            match ask() {
                Err(_) if now_ns < limit_ns => self.pause(now_ns - begin_ns, limit_ns - now_ns),
                answer => return answer,
            }
        }
    }

    /// Waits for `flag` in the interrupt status until `limit_ns`; `late` is the error for when it does not come.
    fn until_flag(
        &self,
        flag: FieldValue<u32, Interrupt::Register>,
        limit_ns: u64,
        late: Error,
    ) -> Result<(), Error> {
        let begin_ns = self.clock.now_ns();
        loop {
            let now_ns = self.clock.now_ns();
            let status = register!(&self.device, Sdhci, interrupt).get();
            if let Some(error) = error_of(status) {
                return Err(error);
            }
            if flag.matches_all(status) {
                return Ok(());
            }
            if now_ns >= limit_ns {
                return Err(late);
            }
            self.pause(now_ns - begin_ns, limit_ns - now_ns);
        }
    }

    /// Commands are over in microseconds and get asked for at once; what takes longer takes the processor less and
    /// less often.
    fn pause(&self, waited_ns: u64, left_ns: u64) {
        if waited_ns >= SPIN_NS {
            self.clock.wait((waited_ns / 4).min(PAUSE_MAX_NS).min(left_ns));
        }
    }

    fn put<'a, K>(
        &'a self,
        register: Register<'a, D, K>,
        fields: FieldValue<u32, <Register<'a, D, K> as Writeable>::R>,
    ) where
        Register<'a, D, K>: Writeable<T = u32>,
    {
        self.put_word(register, fields.into());
    }

    /// Writes a register, at the distance from the last write that [`CLOCKS_BETWEEN_WRITES`] demands.
    fn put_word<'a, K>(&'a self, register: Register<'a, D, K>, value: u32)
    where
        Register<'a, D, K>: Writeable<T = u32>,
    {
        let distance_ns = (CLOCKS_BETWEEN_WRITES * 1_000_000_000).div_ceil(u64::from(self.card_hz.max(1)));
        while self.clock.now_ns() - self.written_ns.get() < distance_ns {
            core::hint::spin_loop();
        }
        register.set(value);
        self.written_ns.set(self.clock.now_ns());
    }
}

fn response_fields(response: Response) -> FieldValue<u32, TransferCommand::Register> {
    let checked = TransferCommand::CRC_CHECK::SET + TransferCommand::INDEX_CHECK::SET;
    match response {
        Response::None => TransferCommand::RESPONSE::None,
        Response::Short => TransferCommand::RESPONSE::Short + checked,
        Response::ShortBusy => TransferCommand::RESPONSE::ShortBusy + checked,
        Response::Unchecked => TransferCommand::RESPONSE::Short,
        Response::Long => TransferCommand::RESPONSE::Long + TransferCommand::CRC_CHECK::SET,
    }
}

/// One block needs no count; more are counted, and stopped by the controller if the card was not told their number.
fn transfer_mode(blocks: usize, stop: bool) -> FieldValue<u32, TransferCommand::Register> {
    let mode = TransferCommand::DATA::SET;
    if blocks == 1 {
        return mode;
    }
    let mode = mode + TransferCommand::MULTIPLE_BLOCKS::SET + TransferCommand::BLOCK_COUNT_ENABLE::SET;
    if stop { mode + TransferCommand::AUTO_COMMAND::Stop } else { mode }
}

/// Decodes the error interrupts (section 2.2.18).
fn error_of(status: u32) -> Option<Error> {
    let is = |flag: FieldValue<u32, Interrupt::Register>| flag.matches_all(status);
    if !Interrupt::ERRORS::SET.any_matching_bits_set(status) {
        None
    } else if is(Interrupt::COMMAND_TIMEOUT::SET) && !is(Interrupt::COMMAND_CRC::SET) {
        Some(Error::CommandTimeout)
    } else if is(Interrupt::COMMAND_CRC::SET) || is(Interrupt::DATA_CRC::SET) {
        // With a timeout as well, two cards speak at once on the command line.
        Some(Error::Crc)
    } else if is(Interrupt::COMMAND_END_BIT::SET) || is(Interrupt::DATA_END_BIT::SET) {
        Some(Error::EndBit)
    } else if is(Interrupt::COMMAND_INDEX::SET) {
        Some(Error::Index)
    } else if is(Interrupt::AUTO_COMMAND::SET) {
        Some(Error::Stop)
    } else if Interrupt::ERRORS::SET.mask() & status & !Interrupt::ERROR::SET.value
        != Interrupt::DATA_TIMEOUT::SET.value
    {
        Some(Error::Controller)
    } else if is(Interrupt::TRANSFER_COMPLETE::SET) {
        // Together they mean that the transfer is complete.
        None
    } else {
        Some(Error::DataTimeout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_error_bit_is_an_error(status: u32) {
            let errors = status & !0x7FFF;
            let complete = errors & !(1 << 15) == 1 << 20 && status & 2 != 0;
            prop_assert_eq!(error_of(status).is_some(), errors != 0 && !complete);
        }
    }

    #[test]
    fn errors_are_told_apart() {
        let error = |bit: u32| error_of(1 << 15 | 1 << bit);
        assert_eq!(error(16), Some(Error::CommandTimeout));
        assert_eq!(error(17), Some(Error::Crc));
        assert_eq!(error(18), Some(Error::EndBit));
        assert_eq!(error(19), Some(Error::Index));
        assert_eq!(error(20), Some(Error::DataTimeout));
        assert_eq!(error(21), Some(Error::Crc));
        assert_eq!(error(22), Some(Error::EndBit));
        assert_eq!(error(24), Some(Error::Stop));
        assert_eq!(error(25), Some(Error::Controller));
        assert_eq!(error_of(1 << 15 | 3 << 16), Some(Error::Crc));
        assert_eq!(error_of(1 << 15 | 1 << 20 | 2), None);
        assert_eq!(error_of(0x33), None);
    }
}
