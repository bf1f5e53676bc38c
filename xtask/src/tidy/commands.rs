//! The list at the head of `x`, which must work before anything is installed, and xtask know the same commands.

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
    compare(&listed, &known)
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
