//! Blocks on an SD card behind an SDHCI 3 controller, without DMA.
//!
//! *Role.* Device logic: `card.rs` decodes what a card says, `controller.rs` moves commands and data, this file
//! identifies cards, transfers blocks, and recovers; `host.rs` finds the controller that has the card; `doubt.rs` decides whose
//! failure a failure is. `main.rs` is the process around it.
//!
//! *Rules.*
//! 1. Nothing is taken over from an earlier incarnation: the first request resets the controller and identifies the
//!    card anew, whatever either was in the middle of.
//! 2. A write is answered when the card has reported that it is done programming, and that nothing went wrong.
//! 3. An error of the line or the controller is repaired and the whole transfer repeated, [`ATTEMPTS`] times in all:
//!    first the lines are reset and the card's state is asked for, then the card is identified anew. An error that a
//!    repetition cannot mend is reported at once.
//! 4. A request ends within its time limit, however the card behaves.
//! 5. A card is known by its CID. Another card than the one that the client was told about gets no request.
//!
//! *Why.* All requests are absolute and may be repeated by the kernel after a death; so they may be repeated here. A card
//! cannot be trusted to answer, to be the same, or to be there at all.
//!
//! # Resources
//! - *SD Specifications, Part 1, Physical Layer Simplified Specification*, version 6.00: section 4.2 "Card
//!   Identification Mode", 4.3 "Data Transfer Mode", 4.7 "Commands".

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod card;
mod controller;
mod device;
pub mod doubt;
#[cfg(test)]
mod fake;
mod host;
#[cfg(test)]
mod tests;

pub use host::Host;

use card::{CardSpecificData, Configuration, OperationConditions, State, Status};
use controller::{BUSY_LIMIT_NS, Command, Controller, DEFAULT_SPEED_HZ, Response};
use core::hint::black_box;
use protocols::block::{BLOCK_SIZE, Info};
use userlib::device::{Clock, Registers};

/// Words in a block.
pub const BLOCK_WORDS: usize = BLOCK_SIZE / 4;

/// A block as the data port delivers it: the card's bytes in memory order.
pub type Block = [u32; BLOCK_WORDS];

/// How often a transfer is tried.
pub const ATTEMPTS: u32 = 3;

/// A time limit in nanoseconds for one request that lets every attempt of a slow but working card run its course: three
/// transfers with a second of busy card each, and two identifications.
pub const SERVICE_LIMIT_NS: u64 = 6_000_000_000;

/// Power-up of a card (section 4.2.3: one second).
const POWER_UP_LIMIT_NS: u64 = 1_000_000_000;

/// CMD8's argument: 2.7 to 3.6 volts, and the check pattern that the specification recommends (section 4.3.13).
const INTERFACE_CONDITION: u32 = 0x1AA;

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a block that was not written is data lost, unless somebody hears of it"]
pub enum Error {
    /// Caller's fault: no blocks.
    BadRequest,
    /// Caller's fault: beyond the end of the card.
    OutOfRange,
    /// The card refuses writes.
    WriteProtected,
    /// No card answers.
    NoCard,
    /// Another card than the client knows.
    CardChanged,
    /// A card of a kind that is not known: not SD, SDUC, or without 3.3 volts.
    Unsupported,
    /// The card did not answer a command.
    CommandTimeout,
    /// Data did not come, or were not taken.
    DataTimeout,
    /// The card or the controller stays busy.
    Busy,
    /// A wrong checksum.
    Crc,
    /// A wrong end of a response or a block.
    EndBit,
    /// A response to another command.
    Index,
    /// The command that ends a transfer failed.
    Stop,
    /// The card's status has these error bits (Physical Layer, section 4.10.1).
    Card(u32),
    /// The controller does not do what its specification says.
    Controller,
}

impl Error {
    /// Whether the same request may succeed when it is repeated.
    fn is_transient(self) -> bool {
        match self {
            Self::BadRequest
            | Self::OutOfRange
            | Self::WriteProtected
            | Self::NoCard
            | Self::CardChanged
            | Self::Unsupported => false,
            Self::CommandTimeout
            | Self::DataTimeout
            | Self::Busy
            | Self::Crc
            | Self::EndBit
            | Self::Index
            | Self::Stop
            | Self::Card(_)
            | Self::Controller => true,
        }
    }
}

impl From<Error> for protocols::block::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::BadRequest => Self::BadRequest,
            Error::OutOfRange => Self::OutOfRange,
            Error::WriteProtected => Self::WriteProtected,
            Error::NoCard => Self::NoMedium,
            Error::CardChanged => Self::MediumChanged,
            Error::Unsupported => Self::Unsupported,
            Error::CommandTimeout | Error::DataTimeout | Error::Busy => Self::Timeout,
            Error::Crc | Error::EndBit | Error::Index => Self::Corrupt,
            Error::Stop | Error::Card(_) | Error::Controller => Self::Device,
        }
    }
}

/// What the board and the manifest say about the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Base clock of the controller in hertz, for a controller that does not know it.
    pub base_clock_hz: u32,
    /// Longest time in nanoseconds for one request; [`SERVICE_LIMIT_NS`] is what real cards can need.
    pub service_limit_ns: u64,
}

/// An identified card in transfer state.
#[derive(Clone, Copy, Debug)]
struct Card {
    /// CID register.
    identity: u128,
    /// Relative card address, as the argument of a command.
    address: u32,
    data: CardSpecificData,
    /// Addresses are in blocks, not in bytes.
    counts_blocks: bool,
    /// The card knows CMD23.
    set_block_count: bool,
}

/// A card slot in service.
pub struct SdCard<D, C> {
    controller: Controller<D, C>,
    service_limit_ns: u64,
    card: Option<Card>,
    known: Option<u128>,
}

impl<D: Registers, C: Clock> SdCard<D, C> {
    /// Takes the slot, touching nothing. `known` is the identity that the last incarnation committed, if there is one:
    /// with it a card that was exchanged during the restart is found out.
    pub fn new(device: D, clock: C, settings: Settings, known: Option<u128>) -> Self {
        let controller = Controller::new(device, clock, settings.base_clock_hz);
        Self { controller, service_limit_ns: settings.service_limit_ns, card: None, known }
    }

    /// Tells about the card, which is the known one from now on.
    pub fn info(&mut self) -> Result<Info, Error> {
        self.controller.begin_request(self.service_limit_ns);
        let before = self.known.take();
        let result = self.attempt(|controller, card| {
            controller.status(card)?;
            Ok(Info {
                blocks: card.data.blocks,
                write_protected: card.data.write_protected,
                identity: card.identity,
            })
        });
        self.known = result.map_or(before, |info| Some(info.identity));
        result
    }

    /// The identity of the known card, to be committed when [`SdCard::info`] has changed it.
    pub fn known(&self) -> Option<u128> {
        self.known
    }

    /// Reads the blocks from `lba` on. On an error the contents of `blocks` are unspecified.
    pub fn read(&mut self, lba: u64, blocks: &mut [Block]) -> Result<(), Error> {
        self.controller.begin_request(self.service_limit_ns);
        self.attempt(|controller, card| controller.read_blocks(card, lba, blocks))
    }

    /// Writes the blocks from `lba` on; they are on the medium afterwards. On an error any of them may be.
    pub fn write(&mut self, lba: u64, blocks: &[Block]) -> Result<(), Error> {
        self.controller.begin_request(self.service_limit_ns);
        self.attempt(|controller, card| controller.write_blocks(card, lba, blocks))
    }

    /// Makes sure that the card is idle, which is when everything written is on the medium.
    pub fn flush(&mut self) -> Result<(), Error> {
        self.controller.begin_request(self.service_limit_ns);
        self.attempt(Controller::until_idle)
    }

    /// Carries out `operation`, repairing and repeating as rule 3 says. Leaves the card identified, or forgotten.
    fn attempt<T>(
        &mut self,
        mut operation: impl FnMut(&Controller<D, C>, &Card) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut attempts_left = ATTEMPTS;
        loop {
            attempts_left -= 1;
            let result = self.ready().and_then(|card| operation(&self.controller, &card));
            let Err(error) = result else { return result };
            let final_one = attempts_left == 0 || !error.is_transient() || self.controller.is_out_of_time();
            let first_one = attempts_left == ATTEMPTS - 1;
            let repaired = match self.card {
                Some(card) if first_one || final_one => self.controller.repair(&card).is_ok(),
                _ => false,
            };
            if !repaired {
                self.card = None;
            }
            if final_one {
                return result;
            }
        }
    }

    /// The card, identified if need be, if it is the known one.
    fn ready(&mut self) -> Result<Card, Error> {
        let card = match self.card {
            Some(card) => card,
            None => self.controller.identify()?,
        };
        self.card = Some(card);
        match self.known {
            Some(known) if known != card.identity => Err(Error::CardChanged),
            _ => Ok(card),
        }
    }
}

impl<D: Registers, C: Clock> Controller<D, C> {
    /// Resets everything and brings the card to transfer state (section 4.2.3 and figure 4-2).
    fn identify(&mut self) -> Result<Card, Error> {
        self.start()?;
        self.command(Command { index: 0, argument: 0, response: Response::None })?;
        let version_2 = self.send_interface_condition()?;
        let conditions = self.power_up(version_2)?;
        let identity = self.command(Command { index: 2, argument: 0, response: Response::Long })?;
        let address = self.short(3, 0)? & 0xFFFF_0000;
        let csd = self.command(Command { index: 9, argument: address, response: Response::Long })?;
        let data = CardSpecificData::parse(csd)?;
        self.command(Command { index: 7, argument: address, response: Response::ShortBusy })?;
        self.set_card_clock(DEFAULT_SPEED_HZ)?;
        let counts_blocks = conditions.counts_blocks();
        if !counts_blocks {
            self.checked(16, BLOCK_SIZE as u32)?;
        }
        let configuration = self.configuration(address)?;
        if configuration.four_bits {
            self.application(address, 6, 2)?;
            self.use_four_bits();
        }
        let card =
            Card { identity, address, data, counts_blocks, set_block_count: configuration.set_block_count };
        self.until_idle(&card)?;
        Ok(card)
    }

    /// CMD8: whether the card is of version 2 or later. No answer means version 1, or no card.
    fn send_interface_condition(&self) -> Result<bool, Error> {
        match self.short(8, INTERFACE_CONDITION) {
            Ok(echo) if echo & 0xFFF == INTERFACE_CONDITION => Ok(true),
            Ok(_) => Err(Error::Unsupported),
            Err(Error::CommandTimeout) => self.reset_lines().map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// ACMD41 until the card has powered up. A slot in which nothing answers the first one is empty.
    fn power_up(&self, version_2: bool) -> Result<OperationConditions, Error> {
        let capacity = if version_2 { OperationConditions::HOST_CAPACITY } else { 0 };
        self.short(55, 0).map_err(
            |error| {
                if error == Error::CommandTimeout { Error::NoCard } else { error }
            },
        )?;
        let mut waited_ns = 0;
        loop {
            let command = Command {
                index: 41,
                argument: capacity | OperationConditions::VOLTAGES,
                response: Response::Unchecked,
            };
            let conditions = OperationConditions(self.command(command)? as u32);
            if conditions.0 & OperationConditions::VOLTAGES == 0 {
                return Err(Error::Unsupported);
            }
            if conditions.is_ready() {
                return Ok(conditions);
            }
            if waited_ns >= POWER_UP_LIMIT_NS || self.is_out_of_time() {
                return Err(Error::Busy);
            }
            self.sleep(1_000_000);
            waited_ns += 1_000_000;
            self.short(55, 0)?;
        }
    }

    /// ACMD51: the SD Configuration Register, over the data line.
    fn configuration(&self, address: u32) -> Result<Configuration, Error> {
        let mut words = [0; 2];
        self.checked(55, address)?;
        let command = Command { index: 51, argument: 0, response: Response::Short };
        let status = self.read(command, false, 2, &mut words)?;
        Status(status as u32).check()?;
        Ok(Configuration::parse(words))
    }

    fn read_blocks(&self, card: &Card, lba: u64, blocks: &mut [Block]) -> Result<(), Error> {
        let address = card.data_address(lba, blocks.len())?;
        let multiple = blocks.len() > 1;
        let counted = self.announce(card, blocks.len())?;
        let command =
            Command { index: if multiple { 18 } else { 17 }, argument: address, response: Response::Short };
        let status = self.read(command, !counted, BLOCK_WORDS, blocks.as_flattened_mut())?;
        Status(status as u32).check().map(drop)
    }

    fn write_blocks(&self, card: &Card, lba: u64, blocks: &[Block]) -> Result<(), Error> {
        let address = card.data_address(lba, blocks.len())?;
        if card.data.write_protected {
            return Err(Error::WriteProtected);
        }
        let multiple = blocks.len() > 1;
        let counted = self.announce(card, blocks.len())?;
        let command =
            Command { index: if multiple { 25 } else { 24 }, argument: address, response: Response::Short };
        // Worked out anew: a block that goes to a wrong place destroys another one.
        let is_right = |argument| card.data_address(black_box(lba), black_box(blocks.len())) == Ok(argument);
        let status = self.write(command, !counted, BLOCK_WORDS, blocks.as_flattened(), is_right)?;
        Status(status as u32).check()?;
        self.until_idle(card)
    }

    /// CMD23 before a transfer of several blocks, if the card knows it: the card then ends the transfer by itself.
    fn announce(&self, card: &Card, blocks: usize) -> Result<bool, Error> {
        if blocks > 1 && card.set_block_count {
            self.checked(23, blocks as u32)?;
        }
        Ok(card.set_block_count)
    }

    /// CMD13 until the card is ready for the next transfer; what went wrong while it was programming shows here.
    fn until_idle(&self, card: &Card) -> Result<(), Error> {
        let mut pause_ns = 20_000;
        let mut waited_ns = 0;
        while !self.status(card)?.check()?.is_ready() {
            if waited_ns >= BUSY_LIMIT_NS || self.is_out_of_time() {
                return Err(Error::Busy);
            }
            self.sleep(pause_ns);
            waited_ns += pause_ns;
            pause_ns = (pause_ns * 2).min(1_000_000);
        }
        Ok(())
    }

    fn status(&self, card: &Card) -> Result<Status, Error> {
        self.short(13, card.address).map(Status)
    }

    /// Brings controller and card back to where the next transfer can start, without forgetting the card.
    fn repair(&self, card: &Card) -> Result<(), Error> {
        self.reset_lines()?;
        if matches!(self.status(card)?.state(), State::SendingData | State::ReceivingData) {
            self.stop()?;
        }
        self.until_idle(card)
    }

    /// A command with a short response, which it returns.
    fn short(&self, index: u32, argument: u32) -> Result<u32, Error> {
        self.command(Command { index, argument, response: Response::Short }).map(|response| response as u32)
    }

    /// A command whose response is the card's status, without errors.
    fn checked(&self, index: u32, argument: u32) -> Result<Status, Error> {
        Status(self.short(index, argument)?).check()
    }

    /// An application command: CMD55 and then the command itself.
    fn application(&self, address: u32, index: u32, argument: u32) -> Result<Status, Error> {
        self.checked(55, address)?;
        self.checked(index, argument)
    }
}

impl Card {
    /// The argument of a transfer of `count` blocks from `lba` on.
    fn data_address(&self, lba: u64, count: usize) -> Result<u32, Error> {
        if count == 0 {
            return Err(Error::BadRequest);
        }
        let end = lba.checked_add(count as u64).ok_or(Error::OutOfRange)?;
        if end > self.data.blocks {
            return Err(Error::OutOfRange);
        }
        let address = if self.counts_blocks { lba } else { lba * BLOCK_SIZE as u64 };
        u32::try_from(address).map_err(|_| Error::OutOfRange)
    }
}
