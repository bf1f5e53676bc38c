//! A function fits a screen.

use super::Finding;
use super::repository::Repository;
use super::rust::{Source, Token, item_end};

/// Lines from `fn` to the closing brace, both counted.
const FUNCTION_LINES_MAX: usize = 70;

pub fn check(repository: &Repository) -> Vec<Finding> {
    repository.rust().flat_map(|(path, text)| check_file(path, text)).collect()
}

fn check_file(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::new(text);
    let tokens = source.tokens();
    let functions = (0..tokens.len()).filter(|index| is_function(&tokens[*index..]));
    functions
        .filter_map(|index| {
            let first = tokens[index].line;
            let lines = tokens[item_end(&tokens, index)].line - first + 1;
            let name = tokens[index + 1].text;
            (lines > FUNCTION_LINES_MAX).then(|| {
                Finding::at(
                    path,
                    first,
                    format!("fn {name} has {lines} lines, {FUNCTION_LINES_MAX} are allowed"),
                )
            })
        })
        .collect()
}

/// Whether `tokens` begin with a function and not with the type of one, `fn(`.
fn is_function(tokens: &[Token]) -> bool {
    matches!(tokens, [keyword, name, ..] if keyword.text == "fn" && name.text != "(")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(lines: usize) -> String {
        format!(
            "type F = fn(u8);\ntrait T {{ fn t(&self, a: [u8; 4]); }}\nfn long() {{\n{}}}\n",
            "a();\n".repeat(lines - 2)
        )
    }

    #[test]
    fn the_limit_is_allowed_and_one_more_is_not() {
        assert!(check_file("a.rs", &function(70)).is_empty());
        assert_eq!(
            check_file("a.rs", &function(71)),
            [Finding::at("a.rs", 2, "fn long has 71 lines, 70 are allowed")]
        );
    }

    #[test]
    fn braces_in_literals_do_not_count() {
        let text = format!("fn a() {{ b(\"{{\", '{{'); }}\n{}", function(10).repeat(8));
        assert!(check_file("a.rs", &text).is_empty());
    }
}
