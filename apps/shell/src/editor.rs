//! The line editor: keys in, the line and the bytes that show it out.
//!
//! *Rule.* What the row on the screen shows is a function of the state ([`Editor::draw`]), and every change redraws it,
//! apart from a character typed at the end. The line takes one row of the screen; a longer one scrolls sideways.
//!
//! *Why.* Redrawing is idempotent: after the death of the console driver, or of the shell, one more redraw puts right
//! whatever the screen has missed.
//!
//! # Resources
//! - ECMA-48, 5th edition, 5.4 "Control sequences", 8.3 (CUF, EL, ED, CUP): what terminals send and understand.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What stands in front of the line.
pub const PROMPT: &str = "samsara> ";
/// Longest line in bytes.
pub const LINE_MAX: usize = 240;
/// Lines that the history holds.
pub const HISTORY_LINES_MAX: usize = 32;
/// Bytes of all lines in the history.
pub const HISTORY_BYTES_MAX: usize = 2048;
/// Columns of the terminal. Nobody tells a serial line its width; this is the least that any has.
const COLUMNS: usize = 80;
/// Columns for the line: one stays free, because a terminal may wrap after its last one, and two for the `^C` behind it.
const ROOM: usize = COLUMNS - PROMPT.len() - 3;

const BELL: u8 = 7;
const ESCAPE: u8 = 0x1B;

/// What the line asks of the shell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Run this line; the row has been ended.
    Run(String),
    /// Complete the word in front of the cursor.
    Complete,
    /// The end of input was typed (on an empty line).
    End,
}

/// A key, however the terminal writes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Key {
    Character(char),
    Enter,
    Tab,
    Left,
    Right,
    Home,
    End,
    Up,
    Down,
    Backspace,
    Delete,
    /// Ctrl-D: delete, or the end of input.
    Close,
    KillToEnd,
    KillToStart,
    KillWord,
    Clear,
    Interrupt,
}

/// Progress within a key of several bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
enum Progress {
    #[default]
    Ground,
    Escape,
    /// After `ESC O`.
    Single,
    /// After `ESC [`: the first number so far, and whether it has ended.
    Sequence(u8, bool),
    /// Within a UTF-8 character: bits so far, bytes to come, smallest value that may be written so.
    Character(u32, u8, u32),
    /// After a carriage return: a line feed belongs to it.
    Return,
}

/// The state of the line.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Editor {
    line: String,
    /// Bytes in front of the cursor.
    cursor: usize,
    /// Oldest first.
    history: Vec<String>,
    /// How far back the line was fetched from; 0: it is no line of the history.
    back: usize,
    /// The line as it was before it was replaced by one of the history.
    typed: String,
    progress: Progress,
}

/// A line in a checkpoint.
pub type SavedLine = heapless::String<LINE_MAX>;

/// The state of the line as the checkpoint keeps it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Saved {
    line: SavedLine,
    cursor: u16,
    /// Each line with a line feed behind it, which none of them holds.
    history: heapless::String<{ HISTORY_BYTES_MAX + HISTORY_LINES_MAX }>,
    back: u16,
    typed: SavedLine,
    progress: Progress,
}

/// `line` as far as there is room, which is always enough for a line of the editor.
pub fn saved_line(line: &str) -> SavedLine {
    SavedLine::try_from(&line[..line.floor_char_boundary(LINE_MAX)]).unwrap_or_default()
}

impl Editor {
    /// An empty line without a history.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state for the checkpoint.
    pub fn save(&self) -> Saved {
        let mut history = heapless::String::new();
        for line in &self.history {
            // The bounds of the history are those of the room.
            let _ = history.push_str(line).and_then(|()| history.push('\n'));
        }
        Saved {
            line: saved_line(&self.line),
            cursor: self.cursor as u16,
            history,
            back: self.back as u16,
            typed: saved_line(&self.typed),
            progress: self.progress,
        }
    }

    /// The editor that was saved; an empty one if nobody can have saved this.
    pub fn restore(saved: &Saved) -> Self {
        let editor = Self {
            line: saved.line.as_str().into(),
            cursor: saved.cursor.into(),
            history: saved.history.lines().map(String::from).collect(),
            back: saved.back.into(),
            typed: saved.typed.as_str().into(),
            progress: saved.progress,
        };
        if editor.is_sound() { editor } else { Self::new() }
    }

    fn is_sound(&self) -> bool {
        let counted = match self.progress {
            Progress::Character(bits, left, _) => left > 0 && bits < 1 << 21,
            _ => true,
        };
        self.line.is_char_boundary(self.cursor) && self.back <= self.history.len() && counted
    }

    /// The line.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// The line in front of the cursor.
    pub fn before_cursor(&self) -> &str {
        &self.line[..self.cursor]
    }

    /// Shows the row, wherever in it the cursor is.
    pub fn draw(&self, out: &mut Vec<u8>) {
        let column = self.before_cursor().chars().count();
        let first = column.saturating_sub(ROOM);
        out.push(b'\r');
        out.extend(PROMPT.bytes());
        for character in self.line.chars().skip(first).take(ROOM) {
            out.extend(character.encode_utf8(&mut [0; 4]).bytes());
        }
        out.extend(format!("\x1b[K\r\x1b[{}C", PROMPT.len() + column - first).bytes());
    }

    /// Takes one byte from the terminal.
    pub fn feed(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<Action> {
        let key = self.decode(byte)?;
        self.press(key, out)
    }

    /// Inserts `text`, as far as there is room.
    pub fn insert(&mut self, text: &str, out: &mut Vec<u8>) {
        for character in text.chars() {
            self.type_character(character, out);
        }
    }

    /// The key that `byte` ends.
    fn decode(&mut self, byte: u8) -> Option<Key> {
        match core::mem::take(&mut self.progress) {
            Progress::Return if byte == b'\n' => None,
            Progress::Ground | Progress::Return => self.begin(byte),
            Progress::Character(bits, left, least) if byte & 0xC0 == 0x80 => {
                self.go_on(bits << 6 | u32::from(byte & 0x3F), left - 1, least)
            }
            _ if byte < 0x20 => self.begin(byte),
            Progress::Character(..) => self.begin(byte),
            Progress::Escape => {
                self.progress = match byte {
                    b'[' => Progress::Sequence(0, false),
                    b'O' => Progress::Single,
                    _ => Progress::Ground,
                };
                None
            }
            Progress::Single => sequence(byte, 0),
            Progress::Sequence(number, ended) => match byte {
                b'0'..=b'9' if !ended => {
                    let number = number.saturating_mul(10).saturating_add(byte - b'0');
                    self.progress = Progress::Sequence(number, false);
                    None
                }
                0x20..=0x3F => {
                    self.progress = Progress::Sequence(number, true);
                    None
                }
                _ => sequence(byte, number),
            },
        }
    }

    /// The first byte of a key.
    fn begin(&mut self, byte: u8) -> Option<Key> {
        Some(match byte {
            0x01 => Key::Home,
            0x02 => Key::Left,
            0x03 => Key::Interrupt,
            0x04 => Key::Close,
            0x05 => Key::End,
            0x06 => Key::Right,
            0x08 | 0x7F => Key::Backspace,
            b'\t' => Key::Tab,
            b'\n' => Key::Enter,
            0x0B => Key::KillToEnd,
            0x0C => Key::Clear,
            b'\r' => {
                self.progress = Progress::Return;
                Key::Enter
            }
            0x0E => Key::Down,
            0x10 => Key::Up,
            0x15 => Key::KillToStart,
            0x17 => Key::KillWord,
            0x20..=0x7E => Key::Character(char::from(byte)),
            _ => {
                self.progress = match byte {
                    ESCAPE => Progress::Escape,
                    0xC2..=0xDF => Progress::Character(u32::from(byte & 0x1F), 1, 0x80),
                    0xE0..=0xEF => Progress::Character(u32::from(byte & 0x0F), 2, 0x800),
                    0xF0..=0xF4 => Progress::Character(u32::from(byte & 0x07), 3, 0x1_0000),
                    _ => Progress::Ground,
                };
                return None;
            }
        })
    }

    /// A character of several bytes: what cannot be one, or cannot be shown, is left out.
    fn go_on(&mut self, bits: u32, left: u8, least: u32) -> Option<Key> {
        if left > 0 {
            self.progress = Progress::Character(bits, left, least);
            return None;
        }
        char::from_u32(bits).filter(|character| bits >= least && !character.is_control()).map(Key::Character)
    }

    fn press(&mut self, key: Key, out: &mut Vec<u8>) -> Option<Action> {
        match key {
            Key::Character(character) => self.type_character(character, out),
            Key::Enter => return Some(self.enter(out)),
            Key::Tab => return Some(Action::Complete),
            Key::Close if self.line.is_empty() => return Some(Action::End),
            Key::Interrupt => {
                out.extend(b"^C\r\n");
                self.reset();
                self.draw(out);
            }
            Key::Up => self.recall(self.back + 1, out),
            Key::Down if self.back == 0 => out.push(BELL),
            Key::Down => self.recall(self.back - 1, out),
            key => {
                if key == Key::Clear {
                    out.extend(b"\x1b[2J\x1b[H");
                }
                self.edit(key);
                self.draw(out);
            }
        }
        None
    }

    /// Moves and deletions.
    fn edit(&mut self, key: Key) {
        let (cursor, end) = (self.cursor, self.line.len());
        let left = self.before_cursor().char_indices().next_back().map_or(0, |(at, _)| at);
        let right = self.line[cursor..].chars().next().map_or(end, |character| cursor + character.len_utf8());
        let removed = match key {
            Key::Backspace => left..cursor,
            Key::Delete | Key::Close => cursor..right,
            Key::KillToEnd => cursor..end,
            Key::KillToStart => 0..cursor,
            Key::KillWord => word_start(self.before_cursor())..cursor,
            _ => cursor..cursor,
        };
        self.cursor = match key {
            Key::Left => left,
            Key::Right => right,
            Key::Home => 0,
            Key::End => end,
            _ => removed.start,
        };
        self.line.replace_range(removed, "");
    }

    fn type_character(&mut self, character: char, out: &mut Vec<u8>) {
        if self.line.len() + character.len_utf8() > LINE_MAX {
            out.push(BELL);
            return;
        }
        let at_end = self.cursor == self.line.len();
        self.line.insert(self.cursor, character);
        self.cursor += character.len_utf8();
        if at_end && self.line.chars().count() <= ROOM {
            out.extend(character.encode_utf8(&mut [0; 4]).bytes());
        } else {
            self.draw(out);
        }
    }

    fn enter(&mut self, out: &mut Vec<u8>) -> Action {
        out.extend(b"\r\n");
        let line = core::mem::take(&mut self.line);
        self.reset();
        self.remember(&line);
        Action::Run(line)
    }

    /// Begins an empty line.
    fn reset(&mut self) {
        self.line.clear();
        self.typed.clear();
        (self.cursor, self.back) = (0, 0);
    }

    fn remember(&mut self, line: &str) {
        if line.trim().is_empty() || self.history.last().is_some_and(|last| last == line) {
            return;
        }
        self.history.push(line.into());
        while self.history.len() > HISTORY_LINES_MAX
            || self.history.iter().map(String::len).sum::<usize>() > HISTORY_BYTES_MAX
        {
            self.history.remove(0);
        }
    }

    /// Shows the line that was entered `back` lines ago; 0: the one that was being typed.
    fn recall(&mut self, back: usize, out: &mut Vec<u8>) {
        if back > self.history.len() {
            out.push(BELL);
            return;
        }
        if self.back == 0 {
            self.typed = core::mem::take(&mut self.line);
        }
        self.line = match back {
            0 => core::mem::take(&mut self.typed),
            back => self.history[self.history.len() - back].clone(),
        };
        self.back = back;
        self.cursor = self.line.len();
        self.draw(out);
    }
}

/// The key of a control sequence that ends in `last` and began with `number`.
fn sequence(last: u8, number: u8) -> Option<Key> {
    Some(match (last, number) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', 1 | 7) => Key::Home,
        (b'F', _) | (b'~', 4 | 8) => Key::End,
        (b'~', 3) => Key::Delete,
        _ => return None,
    })
}

/// Where the last word of `text` begins, blanks behind it included.
fn word_start(text: &str) -> usize {
    text.trim_end_matches(' ').rfind(' ').map_or(0, |blank| blank + 1)
}

#[cfg(test)]
#[path = "editor_tests.rs"]
mod tests;
