//! Many mistakes in code at once, as MINIX 3 was tested (Herder et al., DSN 2009): a table of its own, never called faults survived.

use super::model::Change;
use super::text::Mutation;
use super::{Dice, TargetImage};
use crate::campaign::profile::Profile;
use std::collections::BTreeMap;

/// Mutations in a batch.
pub const MUTATIONS: usize = 100;

/// Draws a batch: different instructions among those that are executed, each with a mutation of any kind. `None`: the target executes
/// too few.
pub fn draw(image: &TargetImage, profile: &Profile, dice: &mut Dice) -> Option<Vec<Change>> {
    let places: Vec<_> = profile.executed().collect();
    let mut changes = BTreeMap::new();
    for _ in 0..MUTATIONS * MUTATIONS {
        let address = *places.get(dice.below(places.len().max(1) as u64) as usize)?;
        let mutation = Mutation::ALL[dice.below(Mutation::ALL.len() as u64) as usize];
        let from = image.word(address)?;
        if let Some(to) = mutation.apply(from, dice) {
            changes.entry(address).or_insert(Change { address, from, to });
        }
        if changes.len() == MUTATIONS {
            return Some(changes.into_values().collect());
        }
    }
    None
}
