//! What is wrong with a manifest, where, and what to do about it.
//!
//! Rule: no message without file, line and remedy, because whoever reads it did not write the compiler. All defects
//! of a file are collected before the build stops.

use std::cell::RefCell;
use std::fmt;
use std::ops::Range;

/// One defect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostic {
    /// File, as the user named it.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}\n  remedy: {}", self.file, self.line, self.message, self.remedy)
    }
}

/// All defects that were found, in the order of their lines; never empty.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// A value and the line on which it stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Line, counted from 1.
    pub line: usize,
}

/// The text of one file and the defects found in it so far.
pub struct Source {
    name: String,
    text: String,
    found: RefCell<Vec<Diagnostic>>,
}

impl Source {
    /// A file with this name, for messages, and this text.
    pub fn new(name: &str, text: &str) -> Self {
        Self { name: name.into(), text: text.into(), found: RefCell::default() }
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line on which the byte range begins.
    pub fn line(&self, span: &Range<usize>) -> usize {
        let start = span.start.min(self.text.len());
        self.text[..start].matches('\n').count() + 1
    }

    /// Notes a defect.
    pub fn report(&self, line: usize, message: impl Into<String>, remedy: impl Into<String>) {
        let (message, remedy) = (message.into(), remedy.into());
        self.found.borrow_mut().push(Diagnostic { file: self.name.clone(), line, message, remedy });
    }

    /// `value` if no defect was noted.
    ///
    /// # Errors
    /// The defects noted since the last call, in the order of their lines.
    pub fn finish<T>(&self, value: T) -> Result<T, Diagnostics> {
        let mut found = self.found.take();
        if found.is_empty() {
            return Ok(value);
        }
        found.sort_by_key(|diagnostic| diagnostic.line);
        found.dedup();
        Err(Diagnostics(found))
    }
}

/// The candidate that `word` was probably meant to be: at most half of its letters differ.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, candidate)| distance * 2 <= candidate.len())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance in bytes.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// "`a`, `b`, `c`" for a remedy; "none" for an empty list.
pub fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    if quoted.is_empty() { "none".into() } else { quoted.join(", ") }
}

/// "did you mean `x`?" if a candidate is near, and all the candidates.
pub fn suggest(word: &str, candidates: &[&str], what: &str) -> String {
    let all = list(candidates.iter().copied());
    match nearest(word, candidates.iter().copied()) {
        Some(near) => format!("write `{near}`, or another of the {what}: {all}"),
        None => format!("write one of the {what}: {all}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_found_by_its_offset() {
        let source = Source::new("f", "one\ntwo\n\nfour");
        assert_eq!([0, 3, 4, 8, 9, 99].map(|at| source.line(&(at..at))), [1, 1, 2, 3, 4, 4]);
    }

    #[test]
    fn defects_come_in_the_order_of_their_lines_and_once() {
        let source = Source::new("system/x.toml", "");
        source.report(7, "later", "r");
        source.report(2, "first", "do that");
        source.report(7, "later", "r");
        let text = source.finish(()).unwrap_err().to_string();
        assert_eq!(text, "system/x.toml:2: first\n  remedy: do that\nsystem/x.toml:7: later\n  remedy: r");
        assert_eq!(source.finish(5), Ok(5));
    }

    #[test]
    fn a_slip_of_the_pen_is_recognised_and_another_word_is_not() {
        let words = ["heartbeat_ms", "hang_ms", "group"];
        assert_eq!(nearest("heartbeats_ms", words), Some("heartbeat_ms"));
        assert_eq!(nearest("hang_us", words), Some("hang_ms"));
        assert_eq!(nearest("colour", words), None);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
