//! The editor against a naive model of a line, and its output against a naive model of a terminal.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

/// One row of a terminal that understands no more than the editor may use.
#[derive(Default)]
struct Screen {
    row: Vec<char>,
    column: usize,
    ended: Vec<String>,
}

impl Screen {
    fn show(&mut self, bytes: &[u8]) {
        let text = core::str::from_utf8(bytes).expect("output is text");
        let mut rest = text.chars();
        while let Some(character) = rest.next() {
            match character {
                '\r' => self.column = 0,
                '\n' => {
                    self.ended.push(self.row.iter().collect());
                    self.row.clear();
                }
                '\x07' => {}
                '\x1b' => self.control(&mut rest),
                character => {
                    self.row.resize(self.row.len().max(self.column), ' ');
                    self.row.splice(self.column..(self.column + 1).min(self.row.len()), [character]);
                    self.column += 1;
                    assert!(self.column < COLUMNS, "the row wrapped");
                }
            }
        }
    }

    fn control(&mut self, rest: &mut core::str::Chars<'_>) {
        assert_eq!(rest.next(), Some('['));
        let mut number = String::new();
        let last = loop {
            match rest.next().unwrap() {
                digit @ '0'..='9' => number.push(digit),
                last => break last,
            }
        };
        match last {
            'K' => self.row.truncate(self.column),
            'C' => self.column += number.parse::<usize>().unwrap(),
            'J' => self.row.clear(),
            'H' => self.column = 0,
            other => panic!("unknown control sequence {other}"),
        }
    }

    fn expect(&self, editor: &Editor) {
        let mut fresh = Self::default();
        let mut out = Vec::new();
        editor.draw(&mut out);
        fresh.show(&out);
        assert_eq!((&self.row, self.column), (&fresh.row, fresh.column));
    }
}

/// A key as people think of it, and the line as a list of characters.
#[derive(Clone, Debug)]
enum Press {
    Type(char),
    Bytes(&'static [u8], fn(&mut Model)),
    Enter(&'static [u8]),
}

#[derive(Default)]
struct Model {
    line: Vec<char>,
    at: usize,
    history: Vec<Vec<char>>,
    back: usize,
    typed: Vec<char>,
}

impl Model {
    fn recall(&mut self, back: usize) {
        if back > self.history.len() {
            return;
        }
        if self.back == 0 {
            self.typed = self.line.clone();
        }
        self.line =
            if back == 0 { self.typed.clone() } else { self.history[self.history.len() - back].clone() };
        self.back = back;
        self.at = self.line.len();
    }

    fn apply(&mut self, press: &Press) {
        match press {
            Press::Type(character) => {
                if self.line.iter().map(|c| c.len_utf8()).sum::<usize>() + character.len_utf8() <= LINE_MAX {
                    self.line.insert(self.at, *character);
                    self.at += 1;
                }
            }
            Press::Bytes(_, effect) => effect(self),
            Press::Enter(_) => {
                let blank = self.line.iter().all(|c| c.is_whitespace());
                if !blank && self.history.last() != Some(&self.line) {
                    self.history.push(self.line.clone());
                }
                *self = Self { history: core::mem::take(&mut self.history), ..Self::default() };
            }
        }
    }
}

fn kill_word(model: &mut Model) {
    while model.at > 0 && model.line[model.at - 1] == ' ' {
        model.at -= 1;
        model.line.remove(model.at);
    }
    while model.at > 0 && model.line[model.at - 1] != ' ' {
        model.at -= 1;
        model.line.remove(model.at);
    }
}

/// What a key sends, and what it does.
type Key = (&'static [u8], fn(&mut Model));

const KEYS: &[Key] = &[
    (b"\x1b[D", |m| m.at = m.at.saturating_sub(1)),
    (b"\x02", |m| m.at = m.at.saturating_sub(1)),
    (b"\x1bOC", |m| m.at = (m.at + 1).min(m.line.len())),
    (b"\x1b[1;5C", |m| m.at = (m.at + 1).min(m.line.len())),
    (b"\x06", |m| m.at = (m.at + 1).min(m.line.len())),
    (b"\x01", |m| m.at = 0),
    (b"\x1b[1~", |m| m.at = 0),
    (b"\x1bOH", |m| m.at = 0),
    (b"\x05", |m| m.at = m.line.len()),
    (b"\x1b[F", |m| m.at = m.line.len()),
    (b"\x1b[4~", |m| m.at = m.line.len()),
    (b"\x7f", backspace),
    (b"\x08", backspace),
    (b"\x1b[3~", delete),
    (b"\x0b", |m| m.line.truncate(m.at)),
    (b"\x15", |m| {
        m.line.drain(..m.at);
        m.at = 0;
    }),
    (b"\x17", kill_word),
    (b"\x0c", |_| {}),
    (b"\x00", |_| {}),
    (b"\xff", |_| {}),
    (b"\x1bx", |_| {}),
    (b"\x1b[A", |m| m.recall(m.back + 1)),
    (b"\x10", |m| m.recall(m.back + 1)),
    (b"\x1b[B", |m| {
        if m.back > 0 {
            m.recall(m.back - 1);
        }
    }),
    (b"\x03", |m| *m = Model { history: core::mem::take(&mut m.history), ..Model::default() }),
];

fn backspace(model: &mut Model) {
    if model.at > 0 {
        model.at -= 1;
        model.line.remove(model.at);
    }
}

fn delete(model: &mut Model) {
    if model.at < model.line.len() {
        model.line.remove(model.at);
    }
}

/// What the next incarnation finds, in the room that the manifest gives less that for the rest of the shell's state.
fn through_checkpoint(editor: &Editor) -> Editor {
    let mut buffer = [0; 4096 - 2 * LINE_MAX];
    let saved = postcard::to_slice(&editor.save(), &mut buffer).unwrap();
    Editor::restore(&postcard::from_bytes(saved).unwrap())
}

fn presses() -> impl Strategy<Value = Vec<Press>> {
    let press = prop_oneof![
        8 => prop_oneof!["[a-z ]", "[äß€🦀~]"].prop_map(|text| Press::Type(text.chars().next().unwrap())),
        6 => (0..KEYS.len()).prop_map(|index| Press::Bytes(KEYS[index].0, KEYS[index].1)),
        1 => prop_oneof![Just(b"\r".as_slice()), Just(b"\n".as_slice()), Just(b"\r\n".as_slice())].prop_map(Press::Enter),
    ];
    let words = prop_oneof![4 => vec(press, 1..30), 1 => "[a-z]{60,250}".prop_map(|t| t.chars().map(Press::Type).collect())];
    vec(words, 0..4).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn the_editor_is_the_model_and_the_screen_shows_it(presses in presses()) {
        let (mut editor, mut model, mut screen) = (Editor::new(), Model::default(), Screen::default());
        let mut out = Vec::new();
        editor.draw(&mut out);
        let mut last_return = false;
        for press in &presses {
            let mut bytes = match press {
                Press::Type(character) => character.encode_utf8(&mut [0; 4]).as_bytes().to_vec(),
                Press::Bytes(bytes, _) | Press::Enter(bytes) => bytes.to_vec(),
            };
            if last_return && bytes == b"\n" {
                bytes = b"\r".to_vec();
            }
            last_return = bytes == b"\r";
            let entered: String = model.line.iter().collect();
            let mut actions: Vec<Action> = bytes.iter().filter_map(|byte| editor.feed(*byte, &mut out)).collect();
            if matches!(press, Press::Enter(_)) {
                prop_assert_eq!(actions.pop(), Some(Action::Run(entered)));
                editor.draw(&mut out);
            }
            prop_assert!(actions.is_empty());
            model.apply(press);
            prop_assert_eq!(editor.line(), model.line.iter().collect::<String>());
            prop_assert_eq!(editor.before_cursor(), model.line[..model.at].iter().collect::<String>());
            screen.show(&out);
            out.clear();
            screen.expect(&editor);
        }
    }

    #[test]
    fn no_bytes_make_it_panic_and_its_state_fits_the_checkpoint(bytes in vec(any::<u8>(), 0..600), cut in 0usize..600) {
        let (mut editor, mut out) = (Editor::new(), Vec::new());
        let mut other = None;
        for (index, byte) in bytes.iter().enumerate() {
            if index == cut {
                other = Some(through_checkpoint(&editor));
            }
            let action = editor.feed(*byte, &mut out);
            if let Some(restored) = &mut other {
                prop_assert_eq!(restored.feed(*byte, &mut Vec::new()), action);
                prop_assert_eq!(&*restored, &editor);
            }
            prop_assert!(editor.is_sound() && editor.line().len() <= LINE_MAX);
        }
    }

    #[test]
    fn whatever_a_checkpoint_holds_can_be_worked_with(saved in vec(any::<u8>(), 0..200), keys in vec(any::<u8>(), 0..40)) {
        if let Ok(saved) = postcard::from_bytes::<Saved>(&saved) {
            let mut editor = Editor::restore(&saved);
            for key in keys {
                editor.feed(key, &mut Vec::new());
            }
        }
    }
}

#[test]
fn the_history_is_bounded_and_holds_no_neighbours_twice() {
    let (mut editor, mut out) = (Editor::new(), Vec::new());
    for number in 0..100 {
        editor.insert(&format!("{number:0>200}"), &mut out);
        editor.feed(b'\r', &mut out);
        editor.feed(b'\n', &mut out);
        editor.insert(&format!("{number:0>200}"), &mut out);
        editor.feed(b'\r', &mut out);
    }
    assert_eq!(editor.history.len(), HISTORY_BYTES_MAX / 200);
    assert_eq!(editor.history.last(), Some(&format!("{:0>200}", 99)));
    assert_eq!(through_checkpoint(&editor), editor);
}

#[test]
fn tab_and_the_end_of_input_are_the_shells() {
    let (mut editor, mut out) = (Editor::new(), Vec::new());
    assert_eq!(editor.feed(b'\t', &mut out), Some(Action::Complete));
    assert_eq!(editor.feed(4, &mut out), Some(Action::End));
    editor.insert("x", &mut out);
    assert_eq!(editor.feed(4, &mut out), None);
    assert_eq!(editor.line(), "x");
}
