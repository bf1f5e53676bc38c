//! Wrong values in what outlives a component: its checkpoint, its log ring, the bundle's copies of its image.
//!
//! *Role.* What a flipped bit in memory leaves behind where no incarnation looks: the kernel reads it for the next one, or when the
//! log is read or grows.
//!
//! *Rule.* The memory is the kernel's, and is changed where the kernel sees it. The fault is activated when the kernel reads the
//! changed word, which the emulator's stub watches; one that is written over before is none.

use super::Dice;
use crate::boot_image::BootImage;
use abi::PAGE_SIZE;
use anyhow::Result;
use std::ops::Range;

/// Bytes that are changed and watched.
pub const WORD: u64 = 8;

/// Words of a page.
const WORDS_OF_PAGE: u64 = PAGE_SIZE as u64 / WORD;

/// What of a slot outlives its incarnations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part {
    /// Either half of the checkpoint.
    Checkpoint,
    /// The log ring.
    Log,
    /// Either copy of the image.
    Bundle,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Checkpoint, Self::Log, Self::Bundle];

    /// Its name in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Log => "log",
            Self::Bundle => "bundle",
        }
    }
}

/// Where the parts lie: physical addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct SlotMemory {
    /// The two halves; empty without a checkpoint.
    checkpoint: Vec<Range<u64>>,
    log: Vec<Range<u64>>,
    /// Pages of both copies.
    bundle: Vec<Range<u64>>,
}

impl SlotMemory {
    /// Of a slot.
    ///
    /// # Errors
    /// The boot image has no such slot.
    pub fn read(image: &BootImage, slot: u8) -> Result<Self> {
        let rights = image.rights(slot)?;
        let half = |half: u64| {
            let start = rights.checkpoint_base + half * rights.checkpoint_size;
            start..start + rights.checkpoint_size
        };
        let pages = image.image(slot)?.stored_pages();
        let copies = [0, 1].into_iter().flat_map(|copy| (0..pages).map(move |page| (copy, page)));
        let bundle = copies.map(|(copy, page)| {
            let start = image.address(slot, copy, page)?;
            Ok(start..start + PAGE_SIZE as u64)
        });
        let log = rights.log_base..rights.log_base + rights.log_size;
        Ok(Self {
            checkpoint: [half(0), half(1)].into_iter().filter(|half| !half.is_empty()).collect(),
            log: std::iter::once(log).filter(|log| !log.is_empty()).collect(),
            bundle: bundle.collect::<Result<_>>()?,
        })
    }

    fn ranges(&self, part: Part) -> &[Range<u64>] {
        match part {
            Part::Checkpoint => &self.checkpoint,
            Part::Log => &self.log,
            Part::Bundle => &self.bundle,
        }
    }

    /// Draws a place; `None`: the slot has nothing of the kind.
    pub fn draw(&self, part: Part, mask: u64, dice: &mut Dice) -> Option<SlotFault> {
        let ranges = self.ranges(part);
        let range = ranges.get(dice.below(ranges.len().max(1) as u64) as usize)?.clone();
        Some(SlotFault { part, range, turn: dice.below(WORDS_OF_PAGE * WORDS_OF_PAGE), mask })
    }
}

/// One word that is changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotFault {
    /// What it is part of.
    pub part: Part,
    /// Physical addresses of the half, the ring, or the page.
    pub range: Range<u64>,
    /// Which of the words that are in use: the remainder by their number.
    turn: u64,
    /// Bits that are turned round.
    pub mask: u64,
}

impl SlotFault {
    /// Physical address of the word that is changed, where the range holds these bytes: one up to the last byte that is not zero. What
    /// is behind is not in use, or would say nothing.
    pub fn place(&self, bytes: &[u8]) -> Option<u64> {
        let used = bytes.iter().rposition(|&byte| byte != 0)? as u64 + 1;
        Some(self.range.start + self.turn % used.div_ceil(WORD) * WORD)
    }

    /// For people.
    pub fn describe(&self) -> String {
        format!(
            "a word of the {} in {:#x}..{:#x} ^= {:#x}",
            self.part.name(),
            self.range.start,
            self.range.end,
            self.mask
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn memory() -> SlotMemory {
        SlotMemory { checkpoint: vec![0x1000..0x1100, 0x1100..0x1200], ..SlotMemory::default() }
    }

    #[test]
    fn a_slot_without_a_part_has_no_fault_in_it() {
        let mut dice = Dice::new(1, 1);
        assert_eq!(memory().draw(Part::Log, 1, &mut dice), None);
        assert_eq!(
            memory().draw(Part::Checkpoint, 1, &mut dice).unwrap().place(&[0; 256]),
            None,
            "nothing is in use"
        );
    }

    proptest! {
        #[test]
        fn the_word_is_one_that_is_in_use(seed: u64, used in 1..256_usize) {
            let fault = memory().draw(Part::Checkpoint, 1, &mut Dice::new(seed, 0)).unwrap();
            let mut bytes = [0; 256];
            bytes[used - 1] = 1;
            let place = fault.place(&bytes).unwrap();
            prop_assert!(fault.range.contains(&place) && place.is_multiple_of(WORD));
            prop_assert!(place - fault.range.start < used as u64);
        }
    }
}
