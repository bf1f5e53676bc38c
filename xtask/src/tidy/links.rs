//! A link in a Markdown file that points into the repository arrives: the file is there, and so is the heading.

use super::Finding;
use super::repository::Repository;

pub fn check(repository: &Repository) -> Vec<Finding> {
    let documents = repository.texts().filter(|(path, _)| path.ends_with(".md"));
    documents.flat_map(|(path, text)| check_document(repository, path, text)).collect()
}

fn check_document(repository: &Repository, path: &str, text: &str) -> Vec<Finding> {
    prose(text)
        .flat_map(|(index, line)| targets(&line).into_iter().map(move |target| (index, target)))
        .filter(|(_, target)| !arrives(repository, path, target))
        .map(|(index, target)| Finding::at(path, index, format!("the link {target} leads nowhere")))
        .collect()
}

/// The lines outside code blocks, with the contents of `code` in them blanked.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_block = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        in_block ^= fence;
        let without_code: Vec<&str> = line.split('`').step_by(2).collect();
        (!in_block && !fence).then(|| (index, without_code.join("``")))
    })
}

/// Where the links of a line lead: `[text](target "title")` and `[label]: target`.
fn targets(line: &str) -> Vec<String> {
    let inline = line.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next());
    let reference = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")).map(|(_, target)| target);
    inline.chain(reference).map(|target| target.trim().trim_matches(['<', '>']).into()).collect()
}

fn arrives(repository: &Repository, document: &str, target: &str) -> bool {
    if target.contains("://") || target.starts_with("mailto:") {
        return true;
    }
    let (file, heading) = target.split_once('#').unwrap_or((target, ""));
    let Some(path) = resolve(document, file) else {
        return false;
    };
    let has_heading =
        || repository.text(&path).is_some_and(|text| headings(text).iter().any(|name| name == heading));
    repository.exists(&path) && (heading.is_empty() || !path.ends_with(".md") || has_heading())
}

/// The path from the repository's root that `file`, written in `document`, means; none if it leaves the repository.
fn resolve(document: &str, file: &str) -> Option<String> {
    if file.is_empty() {
        return Some(document.into());
    }
    let folder = document.rsplit_once('/').map_or("", |(folder, _)| folder);
    let from_root = file.strip_prefix('/').map_or_else(|| format!("{folder}/{file}"), String::from);
    let mut parts = Vec::new();
    for part in from_root.split('/').filter(|part| !["", "."].contains(part)) {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    Some(parts.join("/"))
}

/// The anchors that GitHub makes of a document's headings (without the numbers of repeated ones).
fn headings(text: &str) -> Vec<String> {
    let is_kept = |c: &char| c.is_alphanumeric() || [' ', '-', '_'].contains(c);
    let anchor =
        |line: &str| line.trim().to_lowercase().chars().filter(is_kept).collect::<String>().replace(' ', "-");
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(document: &str) -> Vec<usize> {
        let files = [("docs/a/b.md", document), ("docs/c.md", "# One two: `three`\n"), ("README.md", "")];
        check(&Repository::of(&files)).into_iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn links_that_arrive() {
        assert!(
            lines("[a](../c.md) [b](../../README.md#) [c](/docs/c.md \"t\") [d](..) [e](<../c.md>)\n")
                .is_empty()
        );
        assert!(lines("[a](https://example.org/x) [b](mailto:a@example.org)\n[c]: ../c.md\n").is_empty());
        assert!(lines("[a](../c.md#one-two-three) [b](#here)\n## Here\n").is_empty());
    }

    #[test]
    fn links_that_lead_nowhere() {
        assert_eq!(lines("fine\n[a](c.md)\n[b](../../../README.md)\n[c]: d.md\n"), [2, 3, 4]);
        assert_eq!(lines("[a](../c.md#three) [b](#there)\n"), [1, 1]);
    }

    #[test]
    fn code_has_no_links() {
        assert_eq!(lines("`[a](d.md)`\n```\n[a](d.md)\n```\n[a](d.md)\n"), [5]);
    }
}
