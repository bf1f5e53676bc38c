//! Nothing that says of itself that it is not finished: no such macro in code, no such mark in any text.

use super::Finding;
use super::repository::Repository;
use super::rust::{Source, is_word};

const MACROS: [&str; 3] = ["todo", "unimplemented", "dbg"];
// Written in halves, so that this file passes its own rule.
const MARKS: [&str; 4] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X"), concat!("HA", "CK")];

/// Texts that others wrote.
const FOREIGN: [&str; 2] = ["Cargo.lock", "LICENSE-APACHE"];

pub fn check(repository: &Repository) -> Vec<Finding> {
    let marks = repository
        .texts()
        .filter(|(path, _)| !FOREIGN.contains(path))
        .flat_map(|(path, text)| marks(path, text));
    marks.chain(repository.rust().flat_map(|(path, text)| macros(path, text))).collect()
}

fn marks(path: &str, text: &str) -> Vec<Finding> {
    let words = |line: &str| -> Vec<String> { line.split(|c| !is_word(c)).map(String::from).collect() };
    text.lines()
        .enumerate()
        .flat_map(|(index, line)| words(line).into_iter().map(move |word| (index, word)))
        .filter(|(_, word)| MARKS.contains(&word.as_str()))
        .map(|(index, word)| {
            Finding::at(path, index, format!("the mark {word}: finish it, or file an issue"))
        })
        .collect()
}

fn macros(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::new(text);
    source
        .tokens()
        .windows(2)
        .filter(|pair| MACROS.contains(&pair[0].text) && pair[1].text == "!")
        .map(|pair| Finding::at(path, pair[0].line, format!("{}! is not for committed code", pair[0].text)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_in_any_text() {
        for mark in MARKS {
            let text = format!("fine\n# {mark}: later\n");
            let repository = Repository::of(&[("docs/guide.md", &text), ("Cargo.lock", &text)]);
            assert_eq!(
                check(&repository),
                [Finding::at("docs/guide.md", 1, format!("the mark {mark}: finish it, or file an issue"))]
            );
        }
    }

    #[test]
    fn longer_words_are_no_marks() {
        assert!(marks("x", &format!("mktemp /tmp/{}", "X".repeat(6))).is_empty());
    }

    #[test]
    fn macros_are_found_in_code_only() {
        for name in MACROS {
            let text = format!("// {name}!()\nfn a() {{ {name}!(\"{name}!\"); {name}(); }}\n");
            assert_eq!(
                macros("a.rs", &text),
                [Finding::at("a.rs", 1, format!("{name}! is not for committed code"))]
            );
        }
    }
}
