//! Whose failure it is when the card does not do as it should: the card's, or the driver's own.
//!
//! *Rule.* An incarnation that has done a thing before and cannot do it any more doubts itself: it dies, and the request is
//! delivered to a fresh incarnation. If that one fails with it, too, it is the card, and the answer is an error; the place is
//! taken note of, so that the next failure there costs nobody a life.
//!
//! *Why.* A driver whose code or memory was damaged may still answer, with an error for everything. Nobody would replace it: its
//! clients would be replaced instead, one after another, and to no avail.

use serde::{Deserialize, Serialize};

/// Places that are remembered.
const PLACES: usize = 4;

/// What a request does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// Reads.
    Read,
    /// Writes, or waits until what was written is on the medium.
    Write,
}

/// A failure that a fresh incarnation has met, too.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
struct Place {
    kind: Kind,
    lba: u64,
}

/// Where the card is known to fail: outlives the incarnation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Confirmed {
    places: [Option<Place>; PLACES],
    next: u8,
}

/// What to do about a failure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Answer with the error.
    Answer,
    /// Answer with the error, and commit what is confirmed: it is the card.
    Confirm,
    /// Die: it may be the driver.
    Die,
}

/// What an incarnation knows of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Doubt {
    confirmed: Confirmed,
    has_read: bool,
    has_written: bool,
}

impl Doubt {
    /// Of an incarnation that has done nothing yet.
    pub fn new(confirmed: Confirmed) -> Self {
        Self { confirmed, ..Self::default() }
    }

    /// What is to be committed.
    pub fn confirmed(&self) -> Confirmed {
        self.confirmed
    }

    /// A request went well.
    pub fn done(&mut self, kind: Kind) {
        match kind {
            Kind::Read => self.has_read = true,
            Kind::Write => self.has_written = true,
        }
    }

    /// A request failed although card and driver should have been able to do it. `again`: an earlier incarnation died with it.
    pub fn failed(&mut self, kind: Kind, lba: u64, again: bool) -> Verdict {
        let place = Some(Place { kind, lba });
        if self.confirmed.places.contains(&place) {
            return Verdict::Answer;
        }
        let has_worked = match kind {
            Kind::Read => self.has_read,
            Kind::Write => self.has_written,
        };
        if has_worked && !again {
            return Verdict::Die;
        }
        if !again {
            return Verdict::Answer;
        }
        self.confirmed.places[usize::from(self.confirmed.next) % PLACES] = place;
        self.confirmed.next = (self.confirmed.next + 1) % PLACES as u8;
        Verdict::Confirm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_never_worked_answers() {
        assert_eq!(Doubt::default().failed(Kind::Read, 5, false), Verdict::Answer);
        let mut doubt = Doubt::default();
        doubt.done(Kind::Read);
        assert_eq!(doubt.failed(Kind::Write, 5, false), Verdict::Answer, "it has only read");
    }

    #[test]
    fn who_has_worked_dies_once_for_a_bad_place() {
        let mut old = Doubt::default();
        old.done(Kind::Write);
        assert_eq!(old.failed(Kind::Write, 5, false), Verdict::Die);
        let mut fresh = Doubt::new(old.confirmed());
        assert_eq!(fresh.failed(Kind::Write, 5, true), Verdict::Confirm);
        let mut next = Doubt::new(fresh.confirmed());
        next.done(Kind::Write);
        assert_eq!(next.failed(Kind::Write, 5, false), Verdict::Answer);
        assert_eq!(next.failed(Kind::Write, 6, false), Verdict::Die);
        assert_eq!(next.failed(Kind::Read, 5, true), Verdict::Confirm);
    }

    #[test]
    fn the_oldest_place_is_forgotten() {
        let mut doubt = Doubt::default();
        for lba in 0..=PLACES as u64 {
            assert_eq!(doubt.failed(Kind::Read, lba, true), Verdict::Confirm);
        }
        doubt.done(Kind::Read);
        assert_eq!(doubt.failed(Kind::Read, 0, false), Verdict::Die);
        assert_eq!(doubt.failed(Kind::Read, 1, false), Verdict::Answer);
    }
}
