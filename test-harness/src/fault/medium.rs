//! Lies of a driver or a medium, told by the interposing component of `system/campaign-medium.toml`.
//!
//! *Role.* What is ordered is data behind the plan (apps/interposer/src/orders.rs); the interposer carries it out, and puts each lie on
//! the evidence line before it can be seen, which is the activation.
//!
//! *Rule.* A lie is told about the n-th request that fits, then about every k-th, a few times in all: so also a medium that is away,
//! or busy, comes back. One that never does can be recovered by nobody.

use super::Dice;
use interposer_core::{Lie, Order};
use protocols::block::Error;

/// Latest first request that a lie is told about.
const SKIP_MAX: u64 = 15;

/// Widest distance of the requests that a lie is told about.
const EVERY_MAX: u64 = 4;

/// Most requests that are lied about.
const TIMES_MAX: u64 = 6;

/// Requests during which a card that was taken out is away.
const AWAY: [u64; 2] = [1, 40];

/// Longest delay, in nanoseconds: below what makes the interposer itself pass for hung.
const DELAY_NS: [u64; 2] = [100_000, 3_000_000];

/// What the medium does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Medium {
    /// As this lie says.
    Tells(Lie),
    /// The card is out for some requests.
    Removed,
}

impl Medium {
    /// All of them.
    pub fn all() -> impl Iterator<Item = Self> {
        Lie::ALL.into_iter().map(Self::Tells).chain([Self::Removed])
    }

    /// What it is called in scenarios and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tells(Lie::Error) => "error",
            Self::Tells(Lie::Torn) => "torn",
            Self::Tells(Lie::Short) => "short",
            Self::Tells(Lie::Lost) => "lost",
            Self::Tells(Lie::Misdirected) => "misdirected",
            Self::Tells(Lie::HeldBack) => "reordered",
            Self::Tells(Lie::Rot) => "rot",
            Self::Tells(Lie::Stale) => "stale",
            Self::Tells(Lie::Delay) => "slow",
            Self::Tells(Lie::Busy) => "busy",
            Self::Removed => "removed",
        }
    }

    /// An order from `at` nanoseconds on, for the interposer in `slot`.
    pub fn draw(self, slot: u8, at: u64, dice: &mut Dice) -> Order {
        let lie = match self {
            Self::Tells(lie) => lie,
            Self::Removed => Lie::Error,
        };
        let order = Order {
            at,
            skip: dice.below(SKIP_MAX + 1) as u32,
            every: dice.within([1, EVERY_MAX]) as u32,
            count: dice.within([1, TIMES_MAX]) as u32,
            argument: self.argument(dice),
            ..Order::new(slot.into(), lie)
        };
        match self {
            Self::Removed => Order { every: 1, count: dice.within(AWAY) as u32, ..order },
            // It is never answered, nor is anything after it: the next incarnation of the interposer does not lie again.
            Self::Tells(Lie::Busy) => Order { count: 1, ..order },
            Self::Tells(_) => order,
        }
    }

    fn argument(self, dice: &mut Dice) -> u64 {
        match self {
            Self::Removed => Error::NoMedium as u64,
            Self::Tells(Lie::Error) => {
                let errors = Error::ALL.into_iter().filter(|error| error.may_be_the_servers());
                let errors: Vec<_> = errors.collect();
                errors[dice.below(errors.len() as u64) as usize] as u64
            }
            Self::Tells(Lie::Short) => dice.below(8),
            // In blocks, forwards or backwards.
            Self::Tells(Lie::Misdirected) => {
                let distance = dice.within([1, 64]);
                if dice.below(2) == 0 { distance } else { distance.wrapping_neg() }
            }
            Self::Tells(Lie::HeldBack) => dice.within([1, 3]),
            Self::Tells(Lie::Delay) => dice.within(DELAY_NS),
            Self::Tells(Lie::Torn | Lie::Rot | Lie::Lost | Lie::Stale | Lie::Busy) => dice.word(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_lie_is_told_a_bounded_number_of_times() {
        for medium in Medium::all() {
            for trial in 0..100 {
                let order = medium.draw(9, 5, &mut Dice::new(1, trial));
                assert!(order.count > 0 && order.slot == 9 && order.at == 5, "{medium:?}: {order:?}");
            }
        }
    }
}
