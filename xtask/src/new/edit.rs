//! Changes to texts that people write, too: a line more or less, an item more or less in a list of one line.
//!
//! *Rule.* What is removed is what was inserted, byte for byte; a text that has not the expected shape is an error that
//! says which line is missed.

use anyhow::{Context, Result, bail};

/// The text with `line` put before the first line that equals `anchor` after `start`.
pub fn insert_before(text: &str, start: &str, anchor: &str, line: &str) -> Result<String> {
    let mut found_start = false;
    let mut at = 0;
    for old in text.split_inclusive('\n') {
        let old_line = old.trim_end_matches('\n');
        if found_start && old_line == anchor {
            return Ok(format!("{}{line}\n{}", &text[..at], &text[at..]));
        }
        found_start |= old_line == start;
        at += old.len();
    }
    bail!("there is no line `{anchor}` after a line `{start}`: put them back")
}

/// The text without the one line that equals `line`.
pub fn remove_line(text: &str, line: &str) -> Result<String> {
    let whole = format!("{line}\n");
    let starts = text.match_indices(&whole).map(|(at, _)| at);
    let mut starts = starts.filter(|at| *at == 0 || text[..*at].ends_with('\n'));
    let at =
        starts.next().with_context(|| format!("there is no line `{line}`: remove what stands for it"))?;
    Ok(format!("{}{}", &text[..at], &text[at + whole.len()..]))
}

/// Start and end of the line that begins with `key` in the section `header` of a TOML text.
fn find(text: &str, header: &str, key: &str) -> Result<(usize, usize)> {
    let mut inside = false;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let end = at + line.trim_end_matches('\n').len();
        if line.starts_with('[') {
            inside = line.trim() == header;
        } else if inside && line.starts_with(key) {
            return Ok((at, end));
        }
        at += line.len();
    }
    bail!("there is no line `{key}…` in {header}: put it on one line")
}

/// The text with `item` before the `close` that ends the line of `key` in `header`.
pub fn insert_item(text: &str, header: &str, key: &str, close: &str, item: &str) -> Result<String> {
    let (start, end) = find(text, header, key)?;
    let list = text[start..end].strip_suffix(close);
    let list =
        list.with_context(|| format!("`{key}…` in {header} does not end in `{close}`: put it on one line"))?;
    Ok(format!("{}{list}{item}{close}{}", &text[..start], &text[end..]))
}

/// The text without `item` in the line of `key` in `header`.
pub fn remove_item(text: &str, header: &str, key: &str, item: &str) -> Result<String> {
    let (start, end) = find(text, header, key)?;
    let line = &text[start..end];
    let at = line.find(item).with_context(|| format!("`{key}…` in {header} lacks `{item}`"))?;
    Ok(format!("{}{}{}{}", &text[..start], &line[..at], &line[at + item.len()..], &text[end..]))
}

/// The lines of the section `header` behind it, up to the next one, without empty ones.
pub fn section<'a>(text: &'a str, header: &str) -> Vec<&'a str> {
    let behind = text.lines().skip_while(|line| *line != header).skip(1);
    behind.take_while(|line| !line.starts_with('[')).filter(|line| !line.is_empty()).collect()
}

/// The text without the section `header`: from there to the next one, or to the comments in front of the next one.
pub fn remove_section(text: &str, header: &str) -> Result<String> {
    let at = text.find(&format!("\n{header}\n")).with_context(|| format!("there is no section {header}"))?;
    let rest = &text[at + 1..];
    let next = rest[1..].find("\n[").map_or(rest.len(), |next| next + 2);
    let body = &rest[..next];
    // Comments and empty lines in front of the next section are that one's.
    let kept =
        body.trim_end_matches('\n').rsplit('\n').take_while(|line| line.is_empty() || line.starts_with('#'));
    let kept: usize = if next == rest.len() { 0 } else { kept.map(|line| line.len() + 1).sum() };
    let end = at + 1 + body.trim_end_matches('\n').len() - kept;
    let before = text[..at].trim_end_matches('\n');
    let behind = text[end..].trim_start_matches('\n');
    Ok(if behind.is_empty() { format!("{before}\n") } else { format!("{before}\n\n{behind}") })
}

/// The packages of a lock file, each from its header to the next one's.
fn locked(text: &str) -> impl Iterator<Item = (usize, &str)> {
    const HEADER: &str = "[[package]]\n";
    let starts: Vec<usize> = text.match_indices(HEADER).map(|(at, _)| at).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([text.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| (start, &text[start..end]))
}

fn locked_name(package: &str) -> &str {
    let name = package.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'));
    name.unwrap_or_default()
}

/// The text of a lock file with package `name`, which needs what `template` needs. Packages are in the order of names.
pub fn copy_locked(text: &str, template: &str, name: &str) -> Result<String> {
    let (_, package) = locked(text)
        .find(|(_, package)| locked_name(package) == template)
        .with_context(|| format!("there is no package {template}: build once, which puts it back"))?;
    let package =
        package.trim_end().replace(&format!("name = \"{template}\""), &format!("name = \"{name}\""));
    let next = locked(text).find(|(_, package)| locked_name(package) > name);
    Ok(match next {
        Some((at, _)) => format!("{}{package}\n\n{}", &text[..at], &text[at..]),
        None => format!("{}\n\n{package}\n", text.trim_end()),
    })
}

/// The text of a lock file without package `name`, if it has it.
pub fn remove_locked(text: &str, name: &str) -> String {
    let Some((at, package)) = locked(text).find(|(_, package)| locked_name(package) == name) else {
        return text.to_owned();
    };
    format!("{}\n", format!("{}{}", &text[..at], &text[at + package.len()..]).trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "a = 1\n\n[x]\nlist = [\"p\"]\ncalls = { p = { ms = 1 } }\n\n# About y.\n[y]\nlist = [\"q\"]\n";

    #[test]
    fn what_was_inserted_can_be_removed() {
        let more = insert_item(TEXT, "[y]", "list = [", "]", ", \"r\"").unwrap();
        assert!(more.contains("list = [\"q\", \"r\"]") && more.contains("list = [\"p\"]"));
        assert_eq!(remove_item(&more, "[y]", "list = [", ", \"r\"").unwrap(), TEXT);
        let more = insert_item(TEXT, "[x]", "calls = {", " }", ", r = { ms = 2 }").unwrap();
        assert!(more.contains("calls = { p = { ms = 1 }, r = { ms = 2 } }\n"));
        let more = insert_before(TEXT, "[x]", "[y]", "z").unwrap();
        assert_eq!(remove_line(&more, "z").unwrap(), TEXT);
    }

    #[test]
    fn sections_go_and_the_comments_of_others_stay() {
        let more = format!("{TEXT}\n[z]\nk = 1\n");
        assert_eq!(section(&more, "[z]"), ["k = 1"]);
        assert_eq!(section(&more, "[nobody]"), Vec::<&str>::new());
        assert_eq!(remove_section(&more, "[z]").unwrap(), TEXT);
        assert_eq!(remove_section(TEXT, "[x]").unwrap(), "a = 1\n\n# About y.\n[y]\nlist = [\"q\"]\n");
    }

    #[test]
    fn a_locked_package_is_put_where_cargo_would_and_goes_again() {
        let lock = "version = 4\n\n[[package]]\nname = \"b\"\nversion = \"1\"\n\n[[package]]\nname = \"d\"\nversion = \"2\"\n\
             dependencies = [\n \"b\",\n]\n";
        for (name, before) in [("a", Some("b")), ("c", Some("d")), ("e", None)] {
            let more = copy_locked(lock, "d", name).unwrap();
            let names: Vec<&str> = locked(&more).map(|(_, package)| locked_name(package)).collect();
            let at = names.iter().position(|other| *other == name).unwrap();
            assert_eq!(names.get(at + 1).copied(), before);
            assert_eq!(more.matches(" \"b\",").count(), 2, "{more}");
            assert_eq!(remove_locked(&more, name), lock);
        }
        assert_eq!(remove_locked(lock, "nobody"), lock);
        assert!(copy_locked(lock, "nobody", "x").is_err());
    }

    #[test]
    fn a_text_of_another_shape_is_an_error() {
        assert!(insert_item("[x]\nlist = [\n]\n", "[x]", "list = [", "]", "i").is_err());
        assert!(insert_item(TEXT, "[z]", "list = [", "]", "i").is_err());
        assert!(insert_before(TEXT, "[y]", "[x]", "z").is_err());
        assert!(remove_line(TEXT, "list").is_err());
        assert!(remove_section(TEXT, "[z]").is_err());
    }
}
