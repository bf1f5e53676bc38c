//! Unified diffs: parsed, and applied to texts.
//!
//! *Rule.* A pure function of diff and text. A change is made where its lines are, all of them and exactly, and nowhere else: a diff
//! that no longer fits is an error that says where, never a guess. The place may have moved up or down since the diff was made.
//!
//! # Resources
//! POSIX.1-2024, `diff`, "Diff -u or -U Output Format".

use anyhow::{Context, Result, bail, ensure};
use std::ops::Range;

/// What a diff does to one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileDiff {
    /// The file, relative to the root.
    pub path: String,
    hunks: Vec<Hunk>,
}

/// Lines in a row that become others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Hunk {
    /// Where they were when the diff was made, counted from 0.
    at: usize,
    old: Vec<String>,
    new: Vec<String>,
}

/// Reads a diff; what stands before the first file is for people.
///
/// # Errors
/// It changes nothing, makes or removes a file, or a change has not as many lines as its head says.
pub fn parse(diff: &str) -> Result<Vec<FileDiff>> {
    let mut files: Vec<FileDiff> = Vec::new();
    let mut lines = diff.lines().enumerate().peekable();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        if let Some(old) = line.strip_prefix("--- ") {
            let new = lines.next().and_then(|(_, line)| line.strip_prefix("+++ "));
            let new = new.with_context(|| format!("line {number} of the diff: no +++ follows"))?;
            ensure!(
                path(old) == path(new),
                "line {number} of the diff: it makes, removes or moves a file, and only changes are understood"
            );
            files.push(FileDiff { path: path(new).to_owned(), hunks: Vec::new() });
        } else if line.starts_with("@@") {
            let file = files.last_mut();
            let file = file.with_context(|| format!("line {number} of the diff: no file was named"))?;
            let (mut hunk, lengths) =
                head(line).with_context(|| format!("line {number} of the diff: {line:?} is no place"))?;
            while [hunk.old.len(), hunk.new.len()] != lengths {
                let next = lines.next().map(|(_, line)| line);
                take(&mut hunk, next)
                    .with_context(|| format!("the change at line {number} of the diff is not whole"))?;
            }
            file.hunks.push(hunk);
        }
    }
    ensure!(files.iter().any(|file| !file.hunks.is_empty()), "the diff changes nothing");
    Ok(files)
}

/// A path without the first folder (`a/`, `b/`) and without the time behind it.
fn path(text: &str) -> &str {
    let text = text.split('\t').next().unwrap_or(text).trim_end();
    text.strip_prefix("a/").or_else(|| text.strip_prefix("b/")).unwrap_or(text)
}

/// `@@ -FIRST,OLD +FIRST,NEW @@`: an empty change there, and its two lengths.
fn head(line: &str) -> Option<(Hunk, [usize; 2])> {
    let mut words = line.split_whitespace().skip(1);
    let old = range(words.next()?.strip_prefix('-')?)?;
    let new = range(words.next()?.strip_prefix('+')?)?;
    Some((Hunk { at: old.start, ..Hunk::default() }, [old.len(), new.len()]))
}

/// `FIRST,COUNT`, or `FIRST` for one line.
fn range(text: &str) -> Option<Range<usize>> {
    let (first, count) = text.split_once(',').unwrap_or((text, "1"));
    let (first, count): (usize, usize) = (first.parse().ok()?, count.parse().ok()?);
    // Of no lines the number is that of the line before.
    let first = if count == 0 { first } else { first.checked_sub(1)? };
    Some(first..first.checked_add(count)?)
}

fn take(hunk: &mut Hunk, line: Option<&str>) -> Result<()> {
    let line = line.context("the diff ends before")?;
    // An editor may have taken the blank from an empty line.
    let (kind, text) = line.split_at_checked(1).unwrap_or((" ", ""));
    match kind {
        " " => {
            hunk.old.push(text.to_owned());
            hunk.new.push(text.to_owned());
        }
        "-" => hunk.old.push(text.to_owned()),
        "+" => hunk.new.push(text.to_owned()),
        "\\" => {}
        _ => bail!("{line:?} is none of its lines"),
    }
    Ok(())
}

impl FileDiff {
    /// The text with all changes.
    ///
    /// # Errors
    /// A change does not fit: its lines are not there.
    pub fn apply(&self, text: &str) -> Result<String> {
        let mut lines: Vec<&str> = text.lines().collect();
        let mut moved: isize = 0;
        let mut from = 0;
        for (index, hunk) in self.hunks.iter().enumerate() {
            let expected = hunk.at.saturating_add_signed(moved);
            let place = find(&lines, &hunk.old, from, expected).with_context(|| {
                format!(
                    "change {} does not fit {}: its lines are not there any more (line {} when it was made); \
                     make the diff anew",
                    index + 1,
                    self.path,
                    hunk.at + 1
                )
            })?;
            lines.splice(place..place + hunk.old.len(), hunk.new.iter().map(String::as_str));
            from = place + hunk.new.len();
            moved = (place + hunk.new.len()).cast_signed() - (hunk.at + hunk.old.len()).cast_signed();
        }
        let mut changed = lines.join("\n");
        if text.ends_with('\n') {
            changed.push('\n');
        }
        Ok(changed)
    }
}

/// Where `wanted` stands in `lines` from `from` on: at the place nearest to `expected`.
fn find(lines: &[&str], wanted: &[String], from: usize, expected: usize) -> Option<usize> {
    let last = lines.len().checked_sub(wanted.len())?;
    let stands =
        |at: &usize| lines[*at..*at + wanted.len()].iter().zip(wanted).all(|(line, want)| line == want);
    (from..=last).filter(stands).min_by_key(|at| at.abs_diff(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "one\ntwo\nthree\nfour\nfive\nsix\n";
    const DIFF: &str = "\
About it.
diff --git a/some/file.rs b/some/file.rs
--- a/some/file.rs
+++ b/some/file.rs
@@ -2,2 +2,3 @@ fn somewhere() {
 two
-three
+3
+drei
@@ -6 +7 @@
-six
+6
";

    fn applied(diff: &str, text: &str) -> String {
        parse(diff).unwrap()[0].apply(text).unwrap()
    }

    fn message(diff: &str) -> String {
        format!("{:#}", parse(diff).unwrap_err())
    }

    #[test]
    fn lines_become_others_wherever_they_have_moved_to() {
        assert_eq!(parse(DIFF).unwrap()[0].path, "some/file.rs");
        assert_eq!(applied(DIFF, TEXT), "one\ntwo\n3\ndrei\nfour\nfive\n6\n");
        let longer = format!("zero\n0.5\n{TEXT}seven\n");
        assert_eq!(applied(DIFF, &longer), "zero\n0.5\none\ntwo\n3\ndrei\nfour\nfive\n6\nseven\n");
        let shorter = "two\nthree\nsix";
        assert_eq!(applied(DIFF, shorter), "two\n3\ndrei\n6", "no line feed at the end, as before");
    }

    #[test]
    fn of_equal_places_the_nearest_is_meant() {
        let diff = "--- a/f\n+++ b/f\n@@ -4 +4 @@\n-x\n+y\n";
        assert_eq!(applied(diff, "x\n.\n.\n.\nx\n.\nx\n"), "x\n.\n.\n.\ny\n.\nx\n");
        let added = "--- a/f\n+++ b/f\n@@ -2,0 +3 @@\n+new\n";
        assert_eq!(applied(added, "1\n2\n3\n"), "1\n2\nnew\n3\n");
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let error = parse(DIFF).unwrap()[0].apply("one\ntwo\nfour\n").unwrap_err().to_string();
        assert!(error.contains("change 1 does not fit some/file.rs") && error.contains("line 2"), "{error}");
        let error = parse(DIFF).unwrap()[0].apply("six\ntwo\nthree\n").unwrap_err().to_string();
        assert!(error.contains("change 2"), "the order counts: {error}");
        assert!(message("nothing\n").contains("changes nothing"));
        assert!(message("--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n").contains("makes, removes or moves"));
        assert!(message("--- a/f\n+++ b/f\n@@ -1,2 +1 @@\n-x\n").contains("line 3 of the diff is not whole"));
        assert!(message("--- a/f\n+++ b/f\n@@ somewhere @@\n").contains("is no place"));
        assert!(message("@@ -1 +1 @@\n-a\n+b\n").contains("no file was named"));
    }
}
