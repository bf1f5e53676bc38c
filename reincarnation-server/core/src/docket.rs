//! Who is to be ended, and as what: the queue of kills.
//!
//! *Rule.* Nobody is ended for one wrong word in the set of the condemned: a slot there needs a class, too. Nobody is ended for one wrong
//! look: whoever is taken for hung is looked at once more and judged by other code ([`crate::watch::bears_out`]). What does not fit is a
//! mistake of this process's own.
//!
//! *Why.* A supervisor with one wrong instruction where it judges, or one wrong word where it remembers, would otherwise end everybody,
//! though nobody else has failed.

use abi::SlotId;
use abi::record::DeathClass;

/// A set of slots.
pub type Set = u32;

/// The set of this slot alone.
pub fn bit(slot: SlotId) -> Set {
    1 << slot
}

/// Lowest slot of a set.
pub fn first(set: Set) -> Option<SlotId> {
    (set != 0).then(|| set.trailing_zeros() as SlotId)
}

/// Suspicions in a row that were not borne out before the supervisor takes itself for wrong. One it is allowed: a value that was wrong once is
/// right the next time.
const WRONG: u8 = 2;

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// End it, as this class.
    Kill(SlotId, DeathClass),
    /// Look once more; then call [`Docket::heard`].
    Confirm(SlotId),
    /// It is condemned, and nobody knows as what.
    Unfounded(SlotId),
}

/// What a second look comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hearing {
    /// It is condemned, or left alone.
    Over,
    /// The supervisor has suspected somebody of this without reason, and not for the first time.
    Wrong(DeathClass),
}

/// The condemned and the suspected among `N` slots.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Docket<const N: usize> {
    condemned: Set,
    suspected: Set,
    class: [Option<DeathClass>; N],
    not_borne_out: u8,
}

impl<const N: usize> Docket<N> {
    /// Nobody.
    pub const fn new() -> Self {
        Self { condemned: 0, suspected: 0, class: [None; N], not_borne_out: 0 }
    }

    /// `slot` is to be ended as `class`.
    pub fn condemn(&mut self, slot: SlotId, class: DeathClass) {
        self.condemned |= bit(slot);
        self.class[usize::from(slot)] = Some(class);
    }

    /// `slot` is to be ended as `class` if a second look bears that out.
    pub fn suspect(&mut self, slot: SlotId, class: DeathClass) {
        if self.condemned & bit(slot) == 0 {
            self.suspected |= bit(slot);
            self.class[usize::from(slot)] = Some(class);
        }
    }

    /// `slot` is dead.
    pub fn forget(&mut self, slot: SlotId) {
        self.condemned &= !bit(slot);
        self.suspected &= !bit(slot);
        self.class[usize::from(slot)] = None;
    }

    /// The next one; it counts as done.
    pub fn next(&mut self) -> Option<Step> {
        if let Some(slot) = first(self.condemned) {
            self.condemned &= !bit(slot);
            let class = self.class.get_mut(usize::from(slot)).and_then(Option::take);
            return Some(class.map_or(Step::Unfounded(slot), |class| Step::Kill(slot, class)));
        }
        let slot = first(self.suspected)?;
        self.suspected &= !bit(slot);
        Some(Step::Confirm(slot))
    }

    /// Whether the second look at `slot` bears out the suspicion.
    pub fn heard(&mut self, slot: SlotId, is_borne_out: bool) -> Hearing {
        let Some(class) = self.class[usize::from(slot)].take() else {
            return Hearing::Over;
        };
        if is_borne_out {
            self.not_borne_out = 0;
            self.condemn(slot, class);
            return Hearing::Over;
        }
        self.not_borne_out += 1;
        if self.not_borne_out < WRONG {
            return Hearing::Over;
        }
        self.not_borne_out = 0;
        Hearing::Wrong(class)
    }

    /// What is said of `slot` is a mistake of the supervisor's own: [`Step::Unfounded`] comes of it.
    pub fn distrust(&mut self, slot: SlotId) {
        self.condemned |= bit(slot);
        self.class[usize::from(slot)] = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_ended_without_a_class() {
        let mut docket = Docket::<8>::new();
        docket.condemn(3, DeathClass::Killed);
        docket.condemned |= bit(1) | bit(9);
        assert_eq!(docket.next(), Some(Step::Unfounded(1)));
        assert_eq!(docket.next(), Some(Step::Kill(3, DeathClass::Killed)));
        assert_eq!(docket.next(), Some(Step::Unfounded(9)), "no slot of this supervisor");
        assert_eq!(docket.next(), None);
    }

    #[test]
    fn a_suspicion_is_heard_once_and_ends_nobody_by_itself() {
        let mut docket = Docket::<8>::new();
        docket.suspect(2, DeathClass::Hang);
        assert_eq!(docket.next(), Some(Step::Confirm(2)));
        assert_eq!(docket.next(), None);
        assert_eq!(docket.heard(2, true), Hearing::Over);
        assert_eq!(docket.next(), Some(Step::Kill(2, DeathClass::Hang)));
        assert_eq!(docket.heard(2, true), Hearing::Over);
        assert_eq!(docket.next(), None, "it is not ended twice");
    }

    #[test]
    fn who_is_condemned_is_not_suspected_of_less() {
        let mut docket = Docket::<8>::new();
        docket.condemn(2, DeathClass::Killed);
        docket.suspect(2, DeathClass::Hang);
        assert_eq!(docket.next(), Some(Step::Kill(2, DeathClass::Killed)));
        assert_eq!(docket.next(), None);
    }

    #[test]
    fn suspicions_without_reason_are_a_mistake_of_its_own() {
        let mut docket = Docket::<8>::new();
        docket.suspect(2, DeathClass::Hang);
        docket.suspect(5, DeathClass::HeartbeatMissed);
        assert_eq!(docket.heard(2, false), Hearing::Over, "it may have been over by then");
        assert_eq!(docket.heard(5, false), Hearing::Wrong(DeathClass::HeartbeatMissed));
        docket.suspect(2, DeathClass::Hang);
        assert_eq!(docket.heard(2, false), Hearing::Over, "it begins anew");
        docket.suspect(3, DeathClass::Hang);
        assert_eq!(docket.heard(3, true), Hearing::Over);
        docket.suspect(2, DeathClass::Hang);
        assert_eq!(docket.heard(2, false), Hearing::Over, "not in a row");
    }

    #[test]
    fn who_is_dead_is_neither_condemned_nor_suspected() {
        let mut docket = Docket::<8>::new();
        docket.condemn(2, DeathClass::Killed);
        docket.suspect(3, DeathClass::Hang);
        docket.forget(2);
        docket.forget(3);
        assert_eq!(docket.next(), None);
    }
}
