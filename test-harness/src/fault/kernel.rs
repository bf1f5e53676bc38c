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

#[cfg(test)]
mod tests {
    use super::super::slot_memory::SlotMemory;
    use super::super::{Action, Model, draw as draw_any};
    use super::*;
    use crate::campaign::profile::Profile;

    fn image(is_kernel: bool) -> TargetImage {
        // nop; cbz x0, +8; ret
        let words = vec![0xD503_201F, 0xB400_0040, 0xD65F_03C0];
        let (name, slot_memory) = ("k".to_owned(), SlotMemory::default());
        TargetImage {
            name,
            slot: 1,
            start: 0xFFFF_FF80_0008_0000,
            words,
            is_kernel,
            slot_memory,
            interrupts: 0,
        }
    }

    #[test]
    fn a_mistake_is_drawn_where_it_can_be_made_and_for_the_kernel_only() {
        let mut dice = Dice::new(1, 1);
        let change = draw(Mutation::Condition, &image(true), &mut dice).unwrap();
        assert_eq!(
            (change.address, change.from, change.to),
            (0xFFFF_FF80_0008_0004, 0xB400_0040, 0xB500_0040)
        );
        let profile = Profile::default();
        let mut any = |model, is_kernel| draw_any(model, &image(is_kernel), &profile, 0, &mut dice);
        assert!(matches!(any(Model::Kernel(Mutation::Condition), true), Some(Action::Kernel(_))));
        assert_eq!(any(Model::Kernel(Mutation::Condition), false), None);
        assert_eq!(any(Model::PowerCut, true), None);
    }
}
