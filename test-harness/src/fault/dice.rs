//! Numbers drawn from a seed.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// A generator for one trial: what is drawn depends on the seed and the trial's number, and on nothing else.
#[derive(Clone, Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// The dice of a trial.
    pub fn new(seed: u64, trial: u64) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(trial);
        Self(generator)
    }

    /// 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number less than `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        // Of 2^64 values a remainder favours the first few by less than 2^-30 for any bound that occurs here.
        self.word() % bound
    }

    /// A number from the first to the last.
    pub fn within(&mut self, [first, last]: [u64; 2]) -> u64 {
        first + self.below(last - first + 1)
    }

    /// One of these, which are not none, by weight; the weights are not all 0.
    pub fn weighted<'a, T>(&mut self, items: impl Iterator<Item = (&'a T, u32)> + Clone) -> Option<&'a T> {
        let total: u64 = items.clone().map(|(_, weight)| u64::from(weight)).sum();
        let mut rest = self.below(total.max(1));
        for (item, weight) in items {
            match rest.checked_sub(weight.into()) {
                Some(less) => rest = less,
                None => return Some(item),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_count() {
        let items = [("a", 0), ("b", 3), ("c", 1)];
        let mut dice = Dice::new(1, 2);
        let mut drawn = [0; 3];
        for _ in 0..4000 {
            let chosen = dice.weighted(items.iter().map(|(name, weight)| (name, *weight))).unwrap();
            drawn[items.iter().position(|(name, _)| name == chosen).unwrap()] += 1;
        }
        assert_eq!(drawn[0], 0);
        assert!((2800..3200).contains(&drawn[1]), "{drawn:?}");
    }

    #[test]
    fn trials_are_independent() {
        let draw = |seed, trial| Dice::new(seed, trial).word();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }
}
