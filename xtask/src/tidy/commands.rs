//! The list at the head of `x`, which must work before anything is installed, and xtask know the same commands; and no text
//! sends anybody to a command that does not exist.

use std::collections::BTreeSet;

use clap::CommandFactory;

use super::Finding;
use super::repository::Repository;

/// What `x` answers itself.
const ANSWERED_BY_X: &str = "help";

pub fn check(repository: &Repository) -> Vec<Finding> {
    let listed = listed(repository.text("x").unwrap_or_default());
    let known =
        crate::Arguments::command().get_subcommands().map(|command| command.get_name().into()).collect();
    let mut findings = compare(&listed, &known);
    findings.extend(repository.texts().flat_map(|(path, text)| promised(path, text, &known)));
    findings
}

/// Commands that a text names, in code quotes or in brackets, and that are none.
fn promised(path: &str, text: &str, known: &BTreeSet<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (at, call) in line.match_indices("./x ") {
            let rest = &line[at + call.len()..];
            let name = &rest[..rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len())];
            let is_quoted = line[..at].ends_with(['`', '(']);
            if is_quoted && !name.is_empty() && name != ANSWERED_BY_X && !known.contains(name) {
                let message = format!("there is no command {name}: name a remedy that exists");
                findings.push(Finding::at(path, index, message));
            }
        }
    }
    findings
}

/// The commands of the lines `#:   COMMAND  description`.
fn listed(x: &str) -> BTreeSet<String> {
    x.lines()
        .filter_map(|line| line.strip_prefix("#:   ")?.split_whitespace().next())
        .map(String::from)
        .collect()
}

fn compare(listed: &BTreeSet<String>, known: &BTreeSet<String>) -> Vec<Finding> {
    let unlisted =
        known.difference(listed).map(|name| format!("the command {name} is not in the list of ./x help"));
    let unknown = listed.difference(known).filter(|name| *name != ANSWERED_BY_X);
    unlisted
        .chain(unknown.map(|name| format!("./x help lists {name}, which xtask does not know")))
        .map(|message| Finding::in_file("x", message))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_promise_only_what_exists() {
        let known = ["check".to_owned()].into();
        // With another name for `x`, so that this file passes its own rule.
        let text = "fine: `X check --all`, `X <name>`, (X help)\nsay X once; run `X bake` (X fly)\n";
        let findings = promised("a.md", &text.replace('X', "./x"), &known);
        let messages: Vec<String> = findings.into_iter().map(|finding| finding.message).collect();
        let missing = |name| format!("there is no command {name}: name a remedy that exists");
        assert_eq!(messages, [missing("bake"), missing("fly")]);
    }

    #[test]
    fn both_sides_are_compared() {
        let listed = listed(
            "#: usage: ./x COMMAND\n#:   check    lints\n#:   help     this list\n#:   old      gone\n",
        );
        let known = ["check", "new"].map(String::from).into();
        let messages: Vec<String> =
            compare(&listed, &known).into_iter().map(|finding| finding.message).collect();
        assert_eq!(
            messages,
            [
                "the command new is not in the list of ./x help",
                "./x help lists old, which xtask does not know"
            ]
        );
    }
}
