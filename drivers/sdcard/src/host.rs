//! The controllers of a board, one of which has the card.
//!
//! *Rule.* The card decides by answering: no bit of a controller says reliably whether a card is behind it (on some boards
//! card-detect is not wired). Until a card has answered, each request asks all controllers in turn; then only that one,
//! until its slot is empty.
//!
//! *Why.* The same image finds the card where the board has its slot and where an emulator puts it.

use crate::{Block, Error, SdCard};
use protocols::block::Info;
use userlib::device::{Clock, Registers};

/// The card slots that a driver has been given, in the order in which they are tried; at least one.
pub struct Host<'a, D, C> {
    slots: &'a mut [SdCard<D, C>],
    /// Whom a card answered last, or who is tried first.
    current: usize,
}

impl<'a, D: Registers, C: Clock> Host<'a, D, C> {
    /// Takes the slots, touching nothing. The time limit of each is its part of a request's: they are tried in turn.
    pub const fn new(slots: &'a mut [SdCard<D, C>]) -> Self {
        Self { slots, current: 0 }
    }

    /// As [`SdCard::info`].
    pub fn info(&mut self) -> Result<Info, Error> {
        self.ask(SdCard::info)
    }

    /// As [`SdCard::known`], of the slot that has the card.
    pub fn known(&self) -> Option<u128> {
        self.slots[self.current].known()
    }

    /// As [`SdCard::read`].
    pub fn read(&mut self, lba: u64, blocks: &mut [Block]) -> Result<(), Error> {
        self.ask(|slot| slot.read(lba, blocks))
    }

    /// As [`SdCard::write`].
    pub fn write(&mut self, lba: u64, blocks: &[Block]) -> Result<(), Error> {
        self.ask(|slot| slot.write(lba, blocks))
    }

    /// As [`SdCard::flush`].
    pub fn flush(&mut self) -> Result<(), Error> {
        self.ask(SdCard::flush)
    }

    /// Asks the slots in turn, the current one first, until one has a card. Of several errors the one that a card caused is
    /// the answer.
    fn ask<T>(&mut self, mut request: impl FnMut(&mut SdCard<D, C>) -> Result<T, Error>) -> Result<T, Error> {
        let mut answer = Err(Error::NoCard);
        for turn in 0..self.slots.len() {
            let index = (self.current + turn) % self.slots.len();
            match request(&mut self.slots[index]) {
                Err(Error::NoCard) => {}
                // A controller that is not there, or broken, is not the one with the card as long as another has one.
                Err(error @ Error::Controller) => answer = answer.or(Err(error)),
                result => {
                    self.current = index;
                    return result;
                }
            }
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{Card, Machine};
    use crate::{BLOCK_WORDS, SERVICE_LIMIT_NS, Settings};

    const SETTINGS: Settings =
        Settings { base_clock_hz: 200_000_000, service_limit_ns: SERVICE_LIMIT_NS / 2 };

    fn slots(machines: &[Machine]) -> Vec<SdCard<&Machine, &Machine>> {
        machines.iter().map(|machine| SdCard::new(machine, machine, SETTINGS, None)).collect()
    }

    #[test]
    fn the_controller_with_the_card_is_found_wherever_it_is_and_kept() {
        for place in 0..2 {
            let card = |index: usize| (index == place).then(|| Card::high(20));
            let machines = [Machine::new(card(0)), Machine::new(card(1))];
            let mut slots = slots(&machines);
            let mut host = Host::new(&mut slots);
            // Any request finds it: a restarted driver is not told about the card first.
            host.write(5, &[[7; BLOCK_WORDS]]).unwrap();
            assert_eq!(host.current, place);
            let info = host.info().unwrap();
            assert_eq!(host.known(), Some(info.identity));
            let other = machines[1 - place].now();
            let mut blocks = [[0; BLOCK_WORDS]];
            host.read(5, &mut blocks).unwrap();
            assert_eq!(blocks, [[7; BLOCK_WORDS]]);
            assert_eq!(machines[1 - place].now(), other, "the empty slot is left alone");
        }
    }

    #[test]
    fn no_card_anywhere_is_no_card_within_the_limit() {
        let machines = [Machine::new(None), Machine::new(None)];
        let mut slots = slots(&machines);
        let mut host = Host::new(&mut slots);
        assert_eq!(host.info(), Err(Error::NoCard));
        let spent: u64 = machines.iter().map(Machine::now).sum();
        assert!(spent < SERVICE_LIMIT_NS, "{spent} ns");
    }
}
