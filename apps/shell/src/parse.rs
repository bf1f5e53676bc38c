//! From a line to its words: blanks separate, quotes and backslashes keep together.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// Why a line has no words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ParseError {
    /// This quote is not closed.
    OpenQuote(char),
    /// Nothing follows the last backslash.
    LoneBackslash,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OpenQuote(quote) => {
                write!(f, "the quote {quote} is not closed: close it, or write \\{quote}")
            }
            Self::LoneBackslash => {
                f.write_str("nothing follows the last backslash: write \\\\ for a backslash")
            }
        }
    }
}

/// The words of `line`. Within `'...'` every character stands for itself, within `"..."` all but the backslash, which
/// takes the meaning from the next character. `""` is an empty word.
pub fn words(line: &str) -> Result<Vec<String>, ParseError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), close) if open == close => quote = None,
            (Some('"') | None, '\\') => {
                word.get_or_insert_default().push(characters.next().ok_or(ParseError::LoneBackslash)?);
            }
            (None, '\'' | '"') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (None, ' ' | '\t') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    quote.map_or(Ok(words), |open| Err(ParseError::OpenQuote(open)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quotes_and_backslashes_keep_words_together() {
        assert_eq!(words("  a  'b c' d\"e \\\" f\"\\ g \"\" ").unwrap(), ["a", "b c", "de \" f g", ""]);
        assert_eq!(words("'\\'").unwrap(), ["\\"]);
        assert_eq!(words("a 'b"), Err(ParseError::OpenQuote('\'')));
        assert_eq!(words("a \\"), Err(ParseError::LoneBackslash));
        assert!(words(" \t ").unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn quoted_words_come_back(given in proptest::collection::vec("[^']{0,8}", 0..6)) {
            let line: Vec<String> = given.iter().map(|word| std::format!("'{word}'")).collect();
            prop_assert_eq!(words(&line.join(" ")).unwrap(), given);
        }

        #[test]
        fn any_line_is_words_or_an_error(line in "\\PC{0,40}") {
            let _ = words(&line);
        }
    }
}
