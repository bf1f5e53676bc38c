//! The trace hash: two runs with the same hash did the same things at the same times.

use super::frame::Recorded;
use abi::trace::{Event, Frame};
use sha2::{Digest, Sha256};

/// SHA-256 over the frames that are hashed ([`abi::trace::Event::is_hashed`]): for each one its length as a 16-bit
/// little-endian number and its canonical encoding, which includes its time. It ends with, and includes, the frame that
/// ends the trial; what the emulator does while it is being ended is the host's doing.
///
/// After a reset of the board, times count from the new start. How long the emulator takes from the guest's wish to the
/// reset, by the guest's own clock, depends on which of its threads comes first.
#[derive(Clone, Debug, Default)]
pub struct TraceHash {
    digest: Sha256,
    ended: bool,
    /// A start of the board has been seen.
    started: bool,
    /// Time of the last start but the first.
    base: u64,
}

impl TraceHash {
    /// The hash of no frames.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a frame. `is_end`: it is the last one that counts.
    pub fn add(&mut self, frame: &Recorded, is_end: bool) {
        if self.ended || !frame.view().event.is_hashed() {
            return;
        }
        let Frame { time, event } = frame.view();
        if matches!(event, Event::Boot { .. }) && std::mem::replace(&mut self.started, true) {
            self.base = time;
        }
        let frame = Recorded::of(&Frame { time: time.saturating_sub(self.base), event });
        let bytes = frame.canonical();
        self.digest.update((bytes.len() as u16).to_le_bytes());
        self.digest.update(bytes);
        self.ended = is_end;
    }

    /// The hash in hexadecimal digits.
    pub fn hex(&self) -> String {
        hex(&self.digest.clone().finalize())
    }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // A string takes everything.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::trace::{Event, Frame};

    fn frame(time: u64, event: Event) -> Recorded {
        Recorded::of(&Frame { time, event })
    }

    #[test]
    fn times_count_and_logs_do_not() {
        let ready = Event::Ready { slot: 1, incarnation: 1 };
        let log = Event::Log { slot: 1, incarnation: 1, build: 0, kind: 0, data: b"x" };
        let hash = |frames: &[Recorded]| {
            let mut hash = TraceHash::new();
            frames.iter().for_each(|frame| hash.add(frame, false));
            hash.hex()
        };
        assert_eq!(hash(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_ne!(hash(&[frame(1, ready)]), hash(&[frame(2, ready)]));
        assert_eq!(hash(&[frame(1, ready), frame(2, log)]), hash(&[frame(1, ready)]));
    }

    #[test]
    fn how_long_a_reset_takes_does_not_count_but_what_follows_does() {
        let boot = || Event::Boot { board: "b", frequency: 1, slots: 1, ram: 0 };
        let ready = || Event::Ready { slot: 1, incarnation: 1 };
        let hash = |times: [u64; 4]| {
            let mut hash = TraceHash::new();
            let events = [boot(), ready(), boot(), ready()];
            times.into_iter().zip(events).for_each(|(time, event)| hash.add(&frame(time, event), false));
            hash.hex()
        };
        let first = hash([5, 9, 20, 27]);
        assert_eq!(hash([5, 9, 120, 127]), first);
        assert_ne!(hash([5, 9, 20, 28]), first);
        assert_ne!(hash([5, 10, 20, 27]), first);
        assert_ne!(hash([6, 9, 20, 27]), first);
    }

    #[test]
    fn nothing_counts_after_the_end() {
        let ready = Event::Ready { slot: 1, incarnation: 1 };
        let (mut one, mut two) = (TraceHash::new(), TraceHash::new());
        one.add(&frame(1, ready), true);
        two.add(&frame(1, ready), true);
        two.add(&frame(2, ready), false);
        assert_eq!(one.hex(), two.hex());
    }
}
