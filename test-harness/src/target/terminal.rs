//! This terminal as the board's console: every key goes there at once, until the escape sequence.

use anyhow::{Context, Result};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal, Read};
use std::sync::mpsc::Sender;

/// Control-A: the next key is for the harness.
const ESCAPE: u8 = 0x01;

/// What to tell people.
pub const HOW_TO_LEAVE: &str = "press Ctrl-A, then x, to switch the machine off and leave";

/// The terminal in raw mode, until this is dropped.
#[derive(Debug)]
pub struct RawMode {
    before: Option<Termios>,
}

impl RawMode {
    /// Switches the terminal on standard input to raw mode; does nothing if there is none.
    ///
    /// # Errors
    /// Fails when the terminal refuses.
    pub fn enter() -> Result<Self> {
        if !io::stdin().is_terminal() {
            return Ok(Self { before: None });
        }
        let before = tcgetattr(io::stdin()).context("reading the terminal's settings")?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Drain, &raw).context("switching the terminal to raw mode")?;
        Ok(Self { before: Some(before) })
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        if let Some(before) = &self.before {
            // There is nothing to be done if the terminal is gone.
            let _ = tcsetattr(io::stdin(), OptionalActions::Drain, before);
        }
    }
}

/// What was typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Typed {
    /// Bytes for the board.
    Bytes(Vec<u8>),
    /// The person wants to leave, or the input has ended.
    Leave,
}

/// Finds the escape sequence in what is typed.
#[derive(Debug, Default)]
pub struct Keys {
    escaped: bool,
}

impl Keys {
    /// Takes typed bytes: those for the board, and whether to leave. Ctrl-A twice is one Ctrl-A for the board.
    pub fn push(&mut self, bytes: &[u8]) -> (Vec<u8>, bool) {
        let mut output = Vec::new();
        for &byte in bytes {
            match (self.escaped, byte) {
                (false, ESCAPE) => self.escaped = true,
                (true, b'x' | b'X') => return (output, true),
                (true, ESCAPE) | (false, _) => {
                    output.push(byte);
                    self.escaped = false;
                }
                (true, _) => self.escaped = false,
            }
        }
        (output, false)
    }
}

/// Reads standard input in a thread of its own.
pub fn read_keys(sender: Sender<Typed>) {
    std::thread::spawn(move || {
        let mut keys = Keys::default();
        let mut buffer = [0; 256];
        while let Ok(length @ 1..) = io::stdin().lock().read(&mut buffer) {
            let (bytes, leave) = keys.push(&buffer[..length]);
            if !bytes.is_empty() && sender.send(Typed::Bytes(bytes)).is_err() {
                return;
            }
            if leave {
                break;
            }
        }
        // Nobody listens any more if this fails.
        let _ = sender.send(Typed::Leave);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_escape_sequence_leaves_and_everything_else_passes() {
        let mut keys = Keys::default();
        assert_eq!(keys.push(b"ls\r"), (b"ls\r".to_vec(), false));
        assert_eq!(keys.push(&[ESCAPE]), (vec![], false), "cut between two reads");
        assert_eq!(keys.push(b"xls"), (vec![], true));
        let mut keys = Keys::default();
        assert_eq!(keys.push(&[b'a', ESCAPE, ESCAPE, b'b']), (vec![b'a', ESCAPE, b'b'], false));
        assert_eq!(keys.push(&[ESCAPE, b'q', b'x']), (b"x".to_vec(), false));
    }
}
