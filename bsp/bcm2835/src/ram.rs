//! How much memory there is, and who says so.
//!
//! The firmware's device tree says all of it. Without one (an emulator that is given none) the mailbox says what the ARM has
//! below the video core's share, and the board's revision what there is in all. Without either it is what every board of
//! this kind has.
//!
//! # Resources
//! - Raspberry Pi firmware, mailbox property interface: tag 0x0001_0005 (ARM memory), 0x0001_0002 (board revision).
//! - Raspberry Pi documentation, "New-style revision codes": bit 23 new style, bits 20 to 22 memory, 256 MiB shifted.

use crate::device_tree;
use crate::mailbox::Properties;

/// Ranges that are kept.
const RANGES_MAX: usize = 4;

/// Ranges of physical addresses, as (first, first beyond).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ranges {
    ranges: [(u64, u64); RANGES_MAX],
    count: usize,
}

impl Ranges {
    /// Nothing.
    pub const EMPTY: Self = Self { ranges: [(0, 0); RANGES_MAX], count: 0 };

    /// Adds a range unless it is empty or there are too many. One that goes on where the last ended becomes part of it.
    #[inline(never)]
    pub fn add(&mut self, base: u64, size: u64) {
        let end = base.saturating_add(size);
        if size == 0 {
            return;
        }
        match self.count.checked_sub(1).map(|last| &mut self.ranges[last]) {
            Some(last) if last.1 == base => last.1 = end,
            _ if self.count < RANGES_MAX => {
                self.ranges[self.count] = (base, end);
                self.count += 1;
            }
            _ => {}
        }
    }

    /// The ranges.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().take(self.count).copied()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes in all.
    pub fn bytes(&self) -> u64 {
        self.iter().map(|(base, end)| end - base).fold(0, u64::saturating_add)
    }

    /// Whether the bytes from `base` to `end` lie in one range.
    #[inline(never)]
    pub fn contains(&self, base: u64, end: u64) -> bool {
        self.iter().any(|range| range.0 <= base && end <= range.1)
    }
}

/// A board's address space, as far as memory is concerned.
#[derive(Clone, Copy)]
pub struct Layout {
    /// End of the memory that every board of this kind has.
    pub least_end: u64,
    /// Where memory goes on above the video core's share, and where registers begin; empty on a board with 1 GiB.
    pub above: (u64, u64),
}

/// The memory that is the ARM's. Of what the device tree says no more is taken than the layout has room for.
#[inline(never)]
pub fn find(layout: Layout, tree: Option<&[u8]>, properties: &mut impl Properties) -> Ranges {
    tree.and_then(device_tree::memory).or_else(|| told(layout, properties)).unwrap_or_else(|| {
        let mut least = Ranges::EMPTY;
        least.add(0, layout.least_end);
        least
    })
}

const ARM_MEMORY: u32 = 0x0001_0005;
const BOARD_REVISION: u32 = 0x0001_0002;
const NEW_STYLE: u32 = 1 << 23;

/// What the mailbox says. An answer that no such board could give is none.
fn told(layout: Layout, properties: &mut impl Properties) -> Option<Ranges> {
    let [base, size] = properties.get(ARM_MEMORY, 0)?;
    let mut ranges = Ranges::EMPTY;
    ranges.add(base.into(), size.into());
    if !ranges.contains(0, layout.least_end) {
        return None;
    }
    if let Some([revision, _]) = properties.get(BOARD_REVISION, 0).filter(|[value, _]| value & NEW_STYLE != 0)
    {
        let total = (256 << 20) << (revision >> 20 & 0b111);
        let (from, to) = layout.above;
        ranges.add(from, u64::min(total, to).saturating_sub(from));
        ranges.add(1 << 32, u64::saturating_sub(total, 1 << 32));
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Layout = Layout { least_end: 0x3B40_0000, above: (0x4000_0000, 0x4000_0000) };
    const LARGE: Layout = Layout { least_end: 0x3B40_0000, above: (0x4000_0000, 0xFC00_0000) };

    /// A mailbox that answers with these values, or not at all.
    struct Told(Option<[u32; 2]>, Option<u32>);

    impl Properties for Told {
        fn get(&mut self, tag: u32, _word: u32) -> Option<[u32; 2]> {
            if tag == ARM_MEMORY { self.0 } else { self.1.map(|revision| [revision, 0]) }
        }
    }

    fn found(layout: Layout, mut told: Told) -> Vec<(u64, u64)> {
        find(layout, None, &mut told).iter().collect()
    }

    #[test]
    fn the_mailbox_and_the_revision_say_what_there_is() {
        let low = Some([0, 0x3C00_0000]);
        assert_eq!(found(SMALL, Told(low, Some(0x00A0_2082))), [(0, 0x3C00_0000)], "Pi 3B");
        let two = [(0, 0x3C00_0000), (0x4000_0000, 0x8000_0000)];
        assert_eq!(found(LARGE, Told(low, Some(0x00B0_3115))), two, "Pi 4B with 2 GiB");
        let eight = [(0, 0x3C00_0000), (0x4000_0000, 0xFC00_0000), (1 << 32, 2 << 32)];
        assert_eq!(found(LARGE, Told(low, Some(0x00D0_3115))), eight, "Pi 4B with 8 GiB");
        assert_eq!(found(LARGE, Told(low, Some(0x0010))), [(0, 0x3C00_0000)], "a revision of the old style");
        assert_eq!(found(LARGE, Told(low, None)), [(0, 0x3C00_0000)]);
    }

    #[test]
    fn without_an_answer_it_is_what_every_board_has() {
        let least = [(0, 0x3B40_0000)];
        assert_eq!(found(LARGE, Told(None, Some(0x00B0_3115))), least);
        assert_eq!(found(LARGE, Told(Some([0, 4096]), Some(0x00B0_3115))), least, "an answer that cannot be");
        assert_eq!(found(LARGE, Told(Some([0x1000_0000, 0x3C00_0000]), None)), least);
    }

    #[test]
    fn ranges_join_are_counted_and_are_not_too_many() {
        let mut ranges = Ranges::EMPTY;
        ranges.add(0, 4096);
        ranges.add(4096, 4096);
        ranges.add(1 << 20, 0);
        assert_eq!((ranges.iter().count(), ranges.bytes()), (1, 8192));
        assert!(ranges.contains(4000, 8192) && !ranges.contains(4000, 8193));
        for index in 0..20 {
            ranges.add(index << 30 | 1 << 20, 1);
        }
        assert_eq!(ranges.iter().count(), RANGES_MAX);
        ranges.add(u64::MAX, u64::MAX);
    }
}
