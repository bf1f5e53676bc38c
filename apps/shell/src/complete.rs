//! Completion: what the word in front of the cursor may become.

use crate::command::{ENTRIES, Verb};
use abi::plan::Fault;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// What kind of word stands in front of the cursor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A command.
    Command,
    /// A component.
    Component,
    /// What `fault` can do.
    Fault,
    /// What `service` can do.
    Verb,
    /// A file or directory.
    Path,
    /// Nothing that could be completed.
    None,
}

/// The word in front of the cursor, up to the last blank, and its kind.
pub fn word(before: &str) -> (Kind, &str) {
    let at = before.rfind(' ').map_or(0, |blank| blank + 1);
    let mut earlier = before[..at].split_ascii_whitespace();
    let command = earlier.next();
    let kind = match (command, earlier.count()) {
        (None, _) => Kind::Command,
        (Some("help"), 0) => Kind::Command,
        (Some("kill" | "log" | "fault"), 0) | (Some("service"), 1) => Kind::Component,
        (Some("fault"), 1) => Kind::Fault,
        (Some("service"), 0) => Kind::Verb,
        (Some("ls"), 0) | (Some("cat" | "rm" | "stat" | "mkdir"), _) => Kind::Path,
        (Some("cp" | "mv"), 0 | 1) | (Some("write" | "append"), 0) => Kind::Path,
        _ => Kind::None,
    };
    (kind, &before[at..])
}

/// Words of this kind that the shell knows by itself.
pub fn known(kind: Kind) -> Vec<String> {
    let word = |name: &str| format!("{name} ");
    match kind {
        Kind::Command => ENTRIES.iter().map(|entry| word(entry.name)).collect(),
        Kind::Fault => Fault::ALL.iter().map(|fault| word(fault.name())).collect(),
        Kind::Verb => Verb::NAMES.iter().map(|name| word(name)).collect(),
        _ => Vec::new(),
    }
}

/// Most names that are shown to choose from.
pub const NAMES_MAX: usize = 200;

/// A name of a directory entry, if it can stand in a line as it is: no control characters, which would work on the
/// terminal, and nothing that would have to be quoted.
pub fn completable(name: &[u8]) -> Option<&str> {
    let name = core::str::from_utf8(name).ok().filter(|name| !matches!(*name, "." | ".."))?;
    let special = |character: char| character.is_control() || matches!(character, ' ' | '\'' | '"' | '\\');
    (!name.contains(special)).then_some(name)
}

/// The directory and the beginning of a name in it that `word` stands for.
pub fn split_path(word: &str) -> (&str, &str) {
    word.rfind('/').map_or(("/", word), |slash| (&word[..=slash], &word[slash + 1..]))
}

/// Keeps the candidates that begin with `start`, and returns what they have in common after it.
pub fn common(start: &str, candidates: &mut Vec<String>) -> String {
    candidates.retain(|candidate| candidate.starts_with(start));
    let Some((first, rest)) = candidates.split_first() else {
        return String::new();
    };
    let mut end = first.len();
    for other in rest {
        let same = first.bytes().zip(other.bytes()).take_while(|(a, b)| a == b).count();
        end = end.min(same);
    }
    first[start.len()..first.floor_char_boundary(end).max(start.len())].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_follows_from_the_words_before() {
        assert_eq!(word("se"), (Kind::Command, "se"));
        assert_eq!(word("fault "), (Kind::Component, ""));
        assert_eq!(word("fault fs pa"), (Kind::Fault, "pa"));
        assert_eq!(word("service st"), (Kind::Verb, "st"));
        assert_eq!(word("cat a /b"), (Kind::Path, "/b"));
        assert_eq!(word("write f te"), (Kind::None, "te"));
        assert_eq!(split_path("/a/bc"), ("/a/", "bc"));
        assert_eq!(split_path("bc"), ("/", "bc"));
    }

    #[test]
    fn names_that_would_work_on_the_terminal_or_need_quotes_are_left_out() {
        assert_eq!(completable("größe.txt".as_bytes()), Some("größe.txt"));
        for name in [
            &b"esc\x1b[2J"[..],
            b"a\nb",
            b"c\x07",
            b"a b",
            b"it's",
            b"\"",
            b"a\\b",
            b"..",
            b"\xff",
            b"\xc2\x9b2J",
        ] {
            assert_eq!(completable(name), None, "{name:?}");
        }
    }

    #[test]
    fn what_is_common_is_added() {
        let mut commands = known(Kind::Command);
        assert_eq!(common("ser", &mut commands), "vice");
        assert_eq!(commands, ["services ", "service "]);
        let mut commands = known(Kind::Command);
        assert_eq!(common("upt", &mut commands), "ime ");
        let mut names = Vec::from(["aä".into(), "aö".into()]);
        assert_eq!(common("a", &mut names), "");
        assert_eq!(common("x", &mut names), "");
        assert!(names.is_empty());
    }
}
