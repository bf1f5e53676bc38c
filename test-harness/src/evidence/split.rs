//! Taking a line apart into text and frames, however its bytes are cut into reads.
//!
//! A frame lies between two zero bytes and text has none, so zeros alternate between "a frame begins" and "it ends". A
//! frame that was cut off (the board was reset in the middle of it) would turn that around for good. So whoever fails to
//! decode leaves the splitter where it was: the zero that ended the wreck may be the one that begins the next frame.

use super::frame::Recorded;
use abi::trace::{FRAME_MAX, FrameError};

/// Longest piece of text that is handed on in one item.
const TEXT_MAX: usize = 64 * 1024;

/// What was on the line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Item {
    /// A frame.
    Frame(Recorded),
    /// Text between frames.
    Text(Vec<u8>),
    /// Bytes in the place of a frame that are none.
    Damaged(FrameError, Vec<u8>),
}

/// Takes a line apart.
#[derive(Clone, Debug, Default)]
pub struct Splitter {
    pending: Vec<u8>,
    in_frame: bool,
}

impl Splitter {
    /// A splitter at the beginning of a line.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the line and hands what is complete to `sink`.
    pub fn push(&mut self, bytes: &[u8], mut sink: impl FnMut(Item)) {
        for piece in bytes.split_inclusive(|&byte| byte == 0) {
            let (content, ends) = match piece.split_last() {
                Some((0, content)) => (content, true),
                _ => (piece, false),
            };
            self.pending.extend_from_slice(content);
            if ends {
                self.delimiter(&mut sink);
            } else if !self.in_frame || self.pending.len() > TEXT_MAX {
                self.text(&mut sink);
            }
        }
    }

    /// The line has ended: hands on what is left.
    pub fn finish(mut self, mut sink: impl FnMut(Item)) {
        if self.in_frame && !self.pending.is_empty() {
            sink(wreck(FrameError::Encoding, self.pending));
        } else {
            self.text(&mut sink);
        }
    }

    fn delimiter(&mut self, sink: &mut impl FnMut(Item)) {
        if !self.in_frame {
            self.text(sink);
            self.in_frame = true;
            return;
        }
        if self.pending.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.pending);
        match Recorded::decode(&bytes) {
            Ok(frame) => {
                self.in_frame = false;
                sink(Item::Frame(frame));
            }
            Err(error) => sink(wreck(error, bytes)),
        }
    }

    fn text(&mut self, sink: &mut impl FnMut(Item)) {
        if !self.pending.is_empty() {
            sink(Item::Text(std::mem::take(&mut self.pending)));
        }
    }
}

/// Text that stands where a frame was expected, because an earlier frame was cut off, is text all the same.
fn wreck(error: FrameError, bytes: Vec<u8>) -> Item {
    let printable = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x1B | b' '..=b'~');
    let long = bytes.len() > FRAME_MAX;
    if bytes.iter().all(printable) || long && std::str::from_utf8(&bytes).is_ok() {
        Item::Text(bytes)
    } else {
        Item::Damaged(error, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::trace::{Event, Frame, encode};
    use proptest::prelude::*;

    fn frame(time: u64) -> Vec<u8> {
        let mut bytes = [0; FRAME_MAX];
        let length =
            encode(&Frame { time, event: Event::Ready { slot: 1, incarnation: 2 } }, &mut bytes).unwrap();
        bytes[..length].to_vec()
    }

    fn collect(chunks: impl IntoIterator<Item = Vec<u8>>) -> (Vec<u64>, String, usize) {
        let (mut times, mut text, mut damaged) = (vec![], String::new(), 0);
        let mut sink = |item: Item| match item {
            Item::Frame(frame) => times.push(frame.view().time),
            Item::Text(bytes) => text.push_str(&String::from_utf8(bytes).unwrap()),
            Item::Damaged(..) => damaged += 1,
        };
        let mut splitter = Splitter::new();
        for chunk in chunks {
            splitter.push(&chunk, &mut sink);
        }
        splitter.finish(&mut sink);
        (times, text, damaged)
    }

    proptest! {
        #[test]
        fn the_cut_into_reads_does_not_matter(
            pieces in proptest::collection::vec(prop_oneof![any::<u64>().prop_map(Ok), "[ -~]{0,20}".prop_map(Err)], 0..20),
            cuts in proptest::collection::vec(1..40_usize, 1..60),
        ) {
            let mut line = Vec::new();
            for piece in &pieces {
                match piece {
                    Ok(time) => line.extend(frame(*time)),
                    Err(text) => line.extend_from_slice(text.as_bytes()),
                }
            }
            let mut rest = &line[..];
            let mut sizes = cuts.iter().cycle();
            let chunks = std::iter::from_fn(|| {
                let size = rest.len().min(*sizes.next()?);
                let (chunk, tail) = rest.split_at(size);
                rest = tail;
                (size > 0).then(|| chunk.to_vec())
            });
            let (times, text, damaged) = collect(chunks);
            prop_assert_eq!(times, pieces.iter().filter_map(|p| p.clone().ok()).collect::<Vec<_>>());
            prop_assert_eq!(text, pieces.into_iter().filter_map(Result::err).collect::<String>());
            prop_assert_eq!(damaged, 0);
        }

        #[test]
        fn a_frame_that_was_cut_off_costs_no_other(cut in 0..14_usize) {
            let whole = frame(77);
            let cut = cut % whole.len();
            let line = [frame(1), whole[..cut].to_vec(), b"boot\n".to_vec(), frame(2), b"text".to_vec(), frame(3)].concat();
            let (times, ..) = collect([line]);
            prop_assert!(times == [1, 2, 3] || times == [1, 77, 2, 3], "{:?}", times);
        }
    }

    #[test]
    fn a_damaged_frame_is_reported_and_the_next_one_found() {
        let mut bad = frame(5);
        bad[4] ^= 0x40;
        let (times, text, damaged) = collect([[bad, b"hello".to_vec(), frame(6)].concat()]);
        assert_eq!((times, text.as_str(), damaged), (vec![6], "hello", 1));
    }
}
