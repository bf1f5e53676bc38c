//! Frames on their way to the evidence line: encoded, in their order, the oldest in part gone.
//!
//! Rule: a frame is here in whole before its first byte leaves, and no byte of another leaves before its last. There is
//! room for a fixed number of frames; who adds one when there is none sends first.

use abi::trace::FRAME_MAX;

/// How many frames may wait: more than the kernel makes between two looks at the line. One of each component's logs may be
/// here when more urgent ones interrupt it.
pub const PLACES: usize = 16;

/// The frames that wait.
pub struct Frames {
    bytes: [[u8; FRAME_MAX]; PLACES],
    lengths: [usize; PLACES],
    /// Place of the oldest.
    first: usize,
    count: usize,
    /// Bytes of the oldest that have left.
    sent: usize,
}

impl Frames {
    /// None.
    pub const EMPTY: Self =
        Self { bytes: [[0; FRAME_MAX]; PLACES], lengths: [0; PLACES], first: 0, count: 0, sent: 0 };

    /// Whether nothing waits.
    #[inline(always)]
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether there is no room for another.
    pub const fn is_full(&self) -> bool {
        self.count >= PLACES
    }

    /// Adds a frame, which `fill` writes and tells the length of; none if it has none, or if there is no room.
    pub fn push(&mut self, fill: impl FnOnce(&mut [u8; FRAME_MAX]) -> Option<usize>) {
        if self.is_full() {
            return;
        }
        let place = (self.first + self.count) % PLACES;
        if let Some(length) = fill(&mut self.bytes[place]) {
            self.lengths[place] = length;
            self.count += 1;
        }
    }

    /// The next bytes, `most` at most, all of one frame.
    pub fn next(&self, most: usize) -> &[u8] {
        if self.is_empty() {
            return &[];
        }
        let place = self.first % PLACES;
        let rest = self.bytes[place].get(self.sent..self.lengths[place]).unwrap_or_default();
        &rest[..rest.len().min(most)]
    }

    /// So many of the next bytes have left.
    pub fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent >= self.lengths[self.first % PLACES] {
            self.drop_oldest();
        }
    }

    /// Gives up what is left of the oldest.
    pub fn drop_oldest(&mut self) {
        self.first = self.first.wrapping_add(1) % PLACES;
        self.count = self.count.saturating_sub(1);
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        TooLong,
        Send(usize),
        GiveUp,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => proptest::collection::vec(any::<u8>(), 1..=FRAME_MAX).prop_map(Step::Push),
            1 => Just(Step::TooLong),
            8 => (0usize..400).prop_map(Step::Send),
            1 => Just(Step::GiveUp),
        ]
    }

    proptest! {
        /// Against a list of frames.
        #[test]
        fn bytes_leave_in_their_order_and_none_is_lost(steps in proptest::collection::vec(step(), 1..200)) {
            let mut frames = Frames::EMPTY;
            let mut expected: Vec<Vec<u8>> = Vec::new();
            for step in steps {
                match step {
                    Step::Push(bytes) => {
                        prop_assert_eq!(frames.is_full(), expected.len() == PLACES);
                        frames.push(|place| {
                            place[..bytes.len()].copy_from_slice(&bytes);
                            Some(bytes.len())
                        });
                        if expected.len() < PLACES {
                            expected.push(bytes);
                        }
                    }
                    Step::TooLong => frames.push(|_| None),
                    Step::Send(most) => {
                        let next = frames.next(most).to_vec();
                        let from = expected.first().map_or(&[][..], Vec::as_slice);
                        prop_assert_eq!(&next[..], &from[..from.len().min(most)]);
                        if let Some(oldest) = expected.first_mut() {
                            frames.sent(next.len());
                            oldest.drain(..next.len());
                            if oldest.is_empty() {
                                expected.remove(0);
                            }
                        }
                    }
                    Step::GiveUp if !expected.is_empty() => {
                        frames.drop_oldest();
                        expected.remove(0);
                    }
                    Step::GiveUp => {}
                }
                prop_assert_eq!(frames.is_empty(), expected.is_empty());
                prop_assert_eq!(frames.next(FRAME_MAX), expected.first().map_or(&[][..], Vec::as_slice));
            }
        }

        /// A panic looks at them whatever has happened to them.
        #[test]
        fn frames_in_any_state_can_be_read(first: usize, count: usize, sent: usize, length: usize) {
            let mut frames = Frames { first, count, sent, lengths: [length; PLACES], ..Frames::EMPTY };
            for _ in 0..PLACES {
                prop_assert!(frames.next(FRAME_MAX).len() <= FRAME_MAX);
                frames.drop_oldest();
            }
        }
    }

    #[test]
    fn what_there_is_no_room_for_is_left_out() {
        let mut frames = Frames::EMPTY;
        for number in 0..=PLACES as u8 {
            frames.push(|place| {
                place[0] = number;
                Some(1)
            });
        }
        assert!(frames.is_full());
        for number in 0..PLACES as u8 {
            assert_eq!(frames.next(FRAME_MAX), [number]);
            frames.sent(1);
        }
        assert!(frames.is_empty());
    }
}
