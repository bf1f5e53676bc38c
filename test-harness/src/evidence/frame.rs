//! Frames that the harness keeps, and their times.

use abi::trace::{Frame, FrameError, decode};
use std::time::Duration;

/// A frame in its canonical encoding: postcard, without COBS and checksum.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded(Vec<u8>);

impl Recorded {
    /// Decodes the bytes between two delimiters.
    ///
    /// # Errors
    /// Says why they are no frame.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let mut copy = bytes.to_vec();
        Ok(Self::of(&decode(&mut copy)?))
    }

    /// Keeps a frame.
    ///
    /// # Panics
    /// Never: a vector takes any frame.
    pub fn of(frame: &Frame) -> Self {
        Self(postcard::to_stdvec(frame).expect("a vector takes any frame"))
    }

    /// The frame.
    ///
    /// # Panics
    /// Never: these bytes were made from a frame.
    pub fn view(&self) -> Frame<'_> {
        postcard::from_bytes(&self.0).expect("these bytes were made from a frame")
    }

    /// The canonical encoding.
    pub fn canonical(&self) -> &[u8] {
        &self.0
    }
}

/// Turns the kernel's clock into nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Clock {
    /// Ticks a second.
    pub frequency: u64,
}

impl Clock {
    /// Nanoseconds since power-on; 0 while the frequency is not known.
    pub fn nanoseconds(self, ticks: u64) -> u64 {
        let product = u128::from(ticks) * 1_000_000_000;
        product.checked_div(u128::from(self.frequency)).map_or(0, |value| value as u64)
    }

    /// Time since power-on.
    pub fn duration(self, ticks: u64) -> Duration {
        Duration::from_nanos(self.nanoseconds(ticks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds_without_overflow() {
        let clock = Clock { frequency: 62_500_000 };
        assert_eq!(clock.nanoseconds(1), 16);
        assert_eq!(clock.nanoseconds(u64::MAX / 16), u64::MAX / 16 * 16);
        assert_eq!(Clock { frequency: 19_200_000 }.nanoseconds(19_200_000), 1_000_000_000);
        assert_eq!(Clock { frequency: 0 }.nanoseconds(5), 0);
    }
}
