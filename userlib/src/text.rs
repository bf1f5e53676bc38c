//! Text in a buffer of fixed size, for places where allocating is out of the question.

use core::fmt;

/// UTF-8 text of at most `N` bytes. What does not fit is left out, and the text then ends in `~`.
#[derive(Clone, Copy, Debug)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
    cut: bool,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const fn new() -> Self {
        Self { bytes: [0; N], length: 0, cut: false }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }

    /// The text's bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    /// Makes room for `bytes` more bytes by cutting the end, on a character boundary.
    pub fn make_room(&mut self, bytes: usize) {
        let limit = N.saturating_sub(bytes);
        if self.length > limit {
            self.length = self.as_str().floor_char_boundary(limit);
        }
    }

    /// Appends what fits, on a character boundary, and marks the cut.
    fn push(&mut self, text: &str) {
        if self.cut {
            return;
        }
        let room = N - self.length;
        let fits = text.floor_char_boundary(room);
        self.bytes[self.length..self.length + fits].copy_from_slice(&text.as_bytes()[..fits]);
        self.length += fits;
        if fits < text.len() {
            self.cut = true;
            self.make_room(1);
            if self.length < N {
                self.bytes[self.length] = b'~';
                self.length += 1;
            }
        }
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text);
        Ok(())
    }
}

/// The last `bytes` bytes of `text`, or less by up to 3 to begin on a character.
pub fn tail(text: &str, bytes: usize) -> &str {
    let at = text.len().saturating_sub(bytes);
    &text[text.ceil_char_boundary(at)..]
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::fmt::Write;
    use proptest::prelude::*;

    #[test]
    fn a_cut_is_marked_and_final() {
        let mut text = Text::<8>::new();
        for part in ["abc", "-", "defgh"] {
            text.write_str(part).unwrap();
        }
        text.write_str("x").unwrap();
        assert_eq!(text.as_str(), "abc-def~");
        text.make_room(3);
        assert_eq!(text.as_str(), "abc-d");
        assert_eq!(tail("drivers/sdcard/src/main.rs", 11), "src/main.rs");
    }

    proptest! {
        #[test]
        fn any_text_stays_text(pieces in proptest::collection::vec(".{0,9}", 0..6), room in 0usize..20) {
            let mut text = Text::<16>::new();
            for piece in &pieces {
                text.write_str(piece).unwrap();
            }
            let whole = pieces.concat();
            if whole.len() <= 16 {
                prop_assert_eq!(text.as_str(), whole.as_str());
            } else {
                let kept = text.as_str().strip_suffix('~').unwrap();
                prop_assert!(whole.starts_with(kept) && kept.len() >= 12);
            }
            text.make_room(room);
            prop_assert!(text.as_bytes().len() <= 16usize.saturating_sub(room));
            prop_assert_eq!(text.as_str().as_bytes(), text.as_bytes());
        }
    }
}
