//! Faults in the kernel's own code: what nothing above it is there to stand.
//!
//! *Role.* The trusted part is what everybody rests on; how often a wrong instruction in it is harmless, is found by the kernel itself (a
//! panic, which resets the board), or spreads, is told in a table of its own and never counts as a fault survived.
//!
//! *How.* The emulator's stub has a breakpoint at the instruction from the fault's time on. When it is reached, the instruction becomes
//! another one, and the kernel goes on with it; the component that works at that moment is not asked.

use super::text::Mutation;
use super::{Change, Dice, TargetImage};

/// Instructions that are tried until one can have the mistake.
const ATTEMPTS: u32 = 10_000;

/// Draws an instruction from all that the kernel has, and what it becomes. Much of it runs at boot or in a panic only: such trials are not
/// activated.
pub fn draw(mutation: Mutation, image: &TargetImage, dice: &mut Dice) -> Option<Change> {
    (0..ATTEMPTS).find_map(|_| {
        let index = dice.below(image.words.len().max(1) as u64);
        let from = *image.words.get(index as usize)?;
        let to = mutation.apply(from, dice)?;
        Some(Change { address: image.start + 4 * index, from, to })
    })
}
