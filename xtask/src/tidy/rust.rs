//! Rust source taken apart as far as the rules need it: code, string literals and comments told from each other.
//!
//! A lexer and no parser: rules look at lines, words and brackets, and so see inside macros, which a parser does not.

/// What a character belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Code,
    Literal,
    Comment,
}

/// A source file in three views of the same lines; what does not belong to a view is blank there.
pub struct Source {
    /// Code without comments and without the contents of string and character literals.
    pub code: Vec<String>,
    /// Code and literals without comments.
    pub code_and_literals: Vec<String>,
    /// Comments alone, with their slashes.
    pub comments: Vec<String>,
}

/// A word or a single other character of the code, and its line, counted from 0.
#[derive(Debug, PartialEq, Eq)]
pub struct Token<'a> {
    pub line: usize,
    pub text: &'a str,
}

impl Source {
    pub fn new(text: &str) -> Self {
        let characters: Vec<char> = text.chars().collect();
        let kinds = classify(&characters);
        let view = |keep: &[Kind]| -> Vec<String> {
            let visible = characters.iter().zip(&kinds);
            let view: String = visible
                .map(
                    |(character, kind)| {
                        if *character == '\n' || keep.contains(kind) { *character } else { ' ' }
                    },
                )
                .collect();
            view.lines().map(String::from).collect()
        };
        Self {
            code: view(&[Kind::Code]),
            code_and_literals: view(&[Kind::Code, Kind::Literal]),
            comments: view(&[Kind::Comment]),
        }
    }

    /// The words and other visible characters of the code, in order.
    pub fn tokens(&self) -> Vec<Token<'_>> {
        self.code.iter().enumerate().flat_map(|(line, text)| line_tokens(line, text)).collect()
    }

    /// For each line, whether it belongs to an item under `#[cfg(test)]`.
    pub fn test_lines(&self) -> Vec<bool> {
        let mut test = vec![false; self.code.len()];
        let tokens = self.tokens();
        for start in 0..tokens.len() {
            let attribute = tokens[start..].iter().take(7).map(|token| token.text);
            if attribute.eq(["#", "[", "cfg", "(", "test", ")", "]"]) {
                let last = item_end(&tokens, start + 7);
                test[tokens[start].line..=tokens[last].line].fill(true);
            }
        }
        test
    }
}

/// The index of the token that ends the item which starts at `start`: its `;` or the brace that closes its body.
pub fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0usize;
    for (index, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" => depth = depth.saturating_sub(1),
            "}" if depth <= 1 => return index,
            "}" => depth -= 1,
            ";" if depth == 0 => return index,
            _ => {}
        }
    }
    tokens.len().saturating_sub(1)
}

/// Whether a whole file is tests: an integration test, or the tests of a module in a file of their own.
pub fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs")
}

fn line_tokens(line: usize, text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
        let length = if word == 0 { first.len_utf8() } else { word };
        if !first.is_whitespace() {
            tokens.push(Token { line, text: &rest[..length] });
        }
        rest = &rest[length..];
    }
    tokens
}

pub fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn classify(characters: &[char]) -> Vec<Kind> {
    let mut kinds = Vec::with_capacity(characters.len());
    while kinds.len() < characters.len() {
        let at = kinds.len();
        let after_word = at > 0 && is_word(characters[at - 1]);
        let (kind, length) = next_piece(&characters[at..], after_word);
        kinds.resize((at + length).min(characters.len()), kind);
    }
    kinds
}

/// The kind and the length, at least 1, of what `rest` begins with.
fn next_piece(rest: &[char], after_word: bool) -> (Kind, usize) {
    match rest {
        ['/', '/', ..] => (Kind::Comment, rest.iter().position(|c| *c == '\n').unwrap_or(rest.len())),
        ['/', '*', ..] => (Kind::Comment, block_comment_length(rest)),
        ['"', ..] => (Kind::Literal, 1 + quoted_length(&rest[1..], '"')),
        ['\'', '\\', ..] => (Kind::Literal, 1 + quoted_length(&rest[1..], '\'')),
        ['\'', _, '\'', ..] => (Kind::Literal, 3),
        ['r', ..] if !after_word => raw_string(rest, 1),
        ['b' | 'c', 'r', ..] if !after_word => raw_string(rest, 2),
        _ => (Kind::Code, 1),
    }
}

/// Block comments nest.
fn block_comment_length(rest: &[char]) -> usize {
    let (mut at, mut depth) = (0, 0);
    while at < rest.len() {
        match rest[at..] {
            ['/', '*', ..] => (at, depth) = (at + 2, depth + 1),
            ['*', '/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// The length up to and with the closing `quote`, after the opening one.
fn quoted_length(rest: &[char], quote: char) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            character if character == quote => return at + 1,
            _ => at += 1,
        }
    }
    at
}

/// A raw string whose prefix letters take `prefix` characters, or one character of code if it is none.
fn raw_string(rest: &[char], prefix: usize) -> (Kind, usize) {
    let hashes = rest[prefix..].iter().take_while(|c| **c == '#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&'"') {
        return (Kind::Code, 1);
    }
    let mut at = body;
    while at < rest.len() {
        let closing = rest[at..].iter().skip(1).take(hashes).filter(|c| **c == '#').count();
        if rest[at] == '"' && closing == hashes {
            return (Kind::Literal, at + 1 + hashes);
        }
        at += 1;
    }
    (Kind::Literal, at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> String {
        Source::new(text).code.join("\n").split_whitespace().collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn comments_and_literals_are_no_code() {
        assert_eq!(code("a // b\nc /* d /* e */ f */ g"), "a c g");
        assert_eq!(code(r#"a("b \" // c") d"#), "a( ) d");
        assert_eq!(code(r##"a(r#"b " c"#, br"\", cr"d") e"##), "a( , , ) e");
        assert_eq!(code(r"'a' '\'' b '\u{1F600}' '/' c"), "b c");
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        assert_eq!(code("fn a<'b>(c: &'b str) { r#fn() }"), "fn a<'b>(c: &'b str) { r#fn() }");
    }

    #[test]
    fn views_keep_the_lines() {
        let source = Source::new("a // b\n\"c\nd\" e\n");
        assert_eq!(source.code, ["a     ", "  ", "   e"]);
        assert_eq!(source.code_and_literals, ["a     ", "\"c", "d\" e"]);
        assert_eq!(source.comments, ["  // b", "  ", "    "]);
    }

    #[test]
    fn unterminated_text_ends_with_the_file() {
        for text in ["/* a", "\"a", "r#\"a\"", "'\\", "\"\\"] {
            assert_eq!(Source::new(text).code.len(), 1);
        }
    }

    #[test]
    fn test_items_are_found() {
        let source = Source::new(
            "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nx\n",
        );
        assert_eq!(source.test_lines(), [false, true, true, true, true, false, true, true, false]);
    }
}
