//! The judge of the card: reads the image with the file system's own tools, when the machine is off.

use super::tree::{Node, Tree, differences, walk};
use super::{Finding, Kind};
use crate::target::card::tool;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use workload_core::ROOT;

/// What is in the root of a card besides the workload's directory.
const OWN: [&str; 1] = ["lost+found"];

/// What is on a card.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contents {
    /// The workload's tree.
    pub tree: Tree,
    /// Link counts by path.
    pub links: BTreeMap<String, u32>,
    /// Sizes by path as the inodes say.
    pub sizes: BTreeMap<String, u64>,
    /// Names in the root of the file system, sorted.
    pub root: Vec<String>,
}

/// What `e2fsck -fn` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// It has nothing to complain of, and the journal is empty.
    pub clean: bool,
    /// Its output.
    pub output: String,
}

/// Checks the file system without changing it.
///
/// # Errors
/// Fails when `e2fsck` cannot be run.
pub fn check(image: &Path) -> Result<Check> {
    let mut command = Command::new(tool("e2fsck"));
    let output = command.arg("-fn").arg(image).output().context("running e2fsck (Debian: e2fsprogs)")?;
    let text = [output.stdout, output.stderr].concat();
    let output_text = String::from_utf8_lossy(&text).trim().to_owned();
    // With -n a journal that must be recovered is only a warning, and the exit status is 0.
    let clean = output.status.code() == Some(0) && !output_text.contains("journal recovery");
    Ok(Check { clean, output: output_text })
}

/// Makes the file system on `image` what mounting would make it, by its own tools: for one that nobody could unmount.
///
/// # Errors
/// Fails when `e2fsck` cannot be run.
pub fn replay_journal(image: &Path) -> Result<()> {
    let mut command = Command::new(tool("e2fsck"));
    let replay = command.args(["-fy", "-E", "journal_only"]).arg(image);
    // What it cannot do is found by what looks at the result.
    replay.output().context("running e2fsck (Debian: e2fsprogs)")?;
    Ok(())
}

/// Reads the workload's tree from the card.
///
/// # Errors
/// Fails when `debugfs` cannot be run or says something that is not understood.
pub fn read(image: &Path) -> Result<Contents> {
    let folder = tempfile::tempdir().context("making a folder for the card's files")?;
    // Both at once, since a process costs more than what it does here. Where there is no such folder, nothing is copied.
    let listing = debugfs(image, &format!("ls -p /\nrdump {ROOT} {}\n", folder.path().display()))?;
    let root = names_in_root(&listing);
    if !root.iter().any(|name| format!("/{name}") == ROOT) {
        return Ok(Contents { tree: Tree::new(), links: BTreeMap::new(), sizes: BTreeMap::new(), root });
    }
    let mut tree = Tree::new();
    collect(folder.path(), "", &mut tree)?;
    let (links, sizes) = inodes(image, &tree)?;
    Ok(Contents { tree, links, sizes, root })
}

/// Single files of a card: names in its root that are neither its own nor asked for, and the contents of those that are; `None`:
/// there is no such file.
type Files<const N: usize> = (Vec<String>, [Option<Vec<u8>>; N]);

/// Reads the files with these `paths`, which are in the root of the card.
///
/// # Errors
/// Fails when `debugfs` cannot be run.
pub fn read_files<const N: usize>(image: &Path, paths: [&str; N]) -> Result<Files<N>> {
    let folder = tempfile::tempdir().context("making a folder for the card's files")?;
    let copy = |index: usize| folder.path().join(index.to_string());
    let mut script = String::from("ls -p /\n");
    for (index, path) in paths.iter().enumerate() {
        // A string takes everything.
        let _ = writeln!(script, "dump {path} {}", copy(index).display());
    }
    let root = names_in_root(&debugfs(image, &script)?);
    let is_there = |path: &str| root.iter().any(|name| path.strip_prefix('/') == Some(name));
    let read = |index: usize| is_there(paths[index]).then(|| fs::read(copy(index)).unwrap_or_default());
    let contents = std::array::from_fn(read);
    let is_stray = |name: &&String| {
        !OWN.contains(&name.as_str())
            && !paths.iter().any(|path| path.strip_prefix('/') == Some(name.as_str()))
    };
    Ok((root.iter().filter(is_stray).cloned().collect(), contents))
}

/// Compares what is on the card with the trees that may be there; the first one is named when none fits.
pub fn compare(contents: &Contents, possible: &[Tree]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut complain =
        |text: String| findings.push(Finding::overall(Kind::Correctness, format!("card: {text}")));
    let expected = possible.iter().find(|tree| **tree == contents.tree).or(possible.first());
    if let Some(expected) = expected {
        for difference in differences(expected, &walk(&contents.tree)) {
            complain(difference.to_string());
        }
    }
    for (path, node) in &contents.tree {
        let links = match node {
            Node::File(_) => 1,
            Node::Directory => 2 + subdirectories(&contents.tree, path),
        };
        if contents.links.get(path) != Some(&links) {
            complain(format!("{path}: {links} links expected, {:?} found", contents.links.get(path)));
        }
        if let Node::File(bytes) = node
            && contents.sizes.get(path) != Some(&(bytes.len() as u64))
        {
            complain(format!(
                "{path}: {} bytes read, the inode says {:?}",
                bytes.len(),
                contents.sizes.get(path)
            ));
        }
    }
    for name in
        contents.root.iter().filter(|name| !OWN.contains(&name.as_str()) && format!("/{name}") != ROOT)
    {
        complain(format!("/{name}: nobody made it"));
    }
    findings
}

/// Acknowledged bytes that are not on the card as they must be.
pub fn lost_bytes(contents: &Contents, possible: &[Tree]) -> u64 {
    let lost = |tree: &Tree| {
        differences(tree, &walk(&contents.tree)).iter().map(|difference| difference.bytes).sum()
    };
    possible.iter().map(lost).min().unwrap_or(0)
}

/// Where on the card a file begins, in bytes from the card's beginning.
///
/// # Errors
/// There is no such file, it is empty, or `debugfs` says something that is not understood.
pub fn place_of(image: &Path, path: &str) -> Result<u64> {
    let output = debugfs(image, &format!("stats\nblocks {path}\n"))?;
    let number =
        |text: Option<&str>| text.and_then(|text| text.split_whitespace().next()?.parse::<u64>().ok());
    let block_bytes = number(output.split("Block size:").nth(1));
    let first = number(output.split(&format!("blocks {path}\n")).nth(1));
    let place = first.zip(block_bytes).filter(|(first, _)| *first > 0).map(|(first, bytes)| first * bytes);
    place.with_context(|| format!("debugfs does not say where {path} is on {}", image.display()))
}

fn subdirectories(tree: &Tree, path: &str) -> u32 {
    let prefix = format!("{path}/");
    let is_child = |other: &str| other.strip_prefix(&prefix).is_some_and(|rest| !rest.contains('/'));
    tree.iter().filter(|(other, node)| **node == Node::Directory && is_child(other)).count() as u32
}

fn debugfs(image: &Path, script: &str) -> Result<String> {
    let file = tempfile::NamedTempFile::new().context("making a file")?;
    fs::write(file.path(), script).context("writing commands for debugfs")?;
    let mut command = Command::new(tool("debugfs"));
    // Sizes of pages and languages must not change what it prints.
    command.env("DEBUGFS_PAGER", "cat").env("LC_ALL", "C").arg("-f").arg(file.path()).arg(image);
    let output = command.output().context("running debugfs (Debian: e2fsprogs)")?;
    if !output.status.success() {
        bail!("debugfs failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// `ls -p` prints one entry a line: `/inode/mode/uid/gid/name/size/`.
fn names_in_root(listing: &str) -> Vec<String> {
    let names = listing.lines().filter_map(|line| line.strip_prefix('/')?.split('/').nth(4));
    let mut names: Vec<_> =
        names.filter(|name| !matches!(*name, "." | ".." | "")).map(str::to_owned).collect();
    names.sort();
    names
}

fn collect(folder: &Path, prefix: &str, tree: &mut Tree) -> Result<()> {
    for entry in fs::read_dir(folder).context("reading the card's files")? {
        let entry = entry.context("reading the card's files")?;
        let name = entry.file_name().into_string().ok().context("a name on the card is not text")?;
        let path = format!("{prefix}/{name}");
        let kind = entry.file_type().context("reading the card's files")?;
        if kind.is_dir() {
            tree.insert(path.clone(), Node::Directory);
            collect(&entry.path(), &path, tree)?;
        } else {
            let bytes = fs::read(entry.path()).with_context(|| format!("reading {path} of the card"))?;
            tree.insert(path, Node::File(bytes));
        }
    }
    Ok(())
}

type Numbers<T> = BTreeMap<String, T>;

fn inodes(image: &Path, tree: &Tree) -> Result<(Numbers<u32>, Numbers<u64>)> {
    let script = tree.keys().fold(String::new(), |mut script, path| {
        // A string takes everything.
        let _ = writeln!(script, "stat {path}");
        script
    });
    let output = debugfs(image, &script)?;
    let blocks: Vec<_> = output.split("debugfs: stat ").skip(1).collect();
    let (mut links, mut sizes) = (Numbers::new(), Numbers::new());
    for block in blocks {
        let path = block.lines().next().unwrap_or_default().trim().to_owned();
        let number = |key: &str| -> Result<u64> {
            let rest =
                block.split(key).nth(1).with_context(|| format!("no {key:?} for {path} in {block}"))?;
            let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
            digits.parse().with_context(|| format!("{key:?} of {path} is no number"))
        };
        links.insert(path.clone(), number("Links:")? as u32);
        sizes.insert(path.clone(), number("Size:")?);
    }
    if links.len() != tree.len() {
        bail!("debugfs told of {} of {} names", links.len(), tree.len());
    }
    Ok((links, sizes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::card::{CARD_BYTES, make};
    use workload_core::{State, next};

    /// A card with the tree of a state on it, written by debugfs.
    fn card(folder: &Path, tree: &Tree) -> std::path::PathBuf {
        let image = folder.join("card.img");
        make(&image, CARD_BYTES).unwrap();
        let mut script = String::new();
        for (index, (path, node)) in tree.iter().enumerate() {
            match node {
                Node::Directory => writeln!(script, "mkdir {path}").unwrap(),
                Node::File(bytes) => {
                    let file = folder.join(format!("source{index}"));
                    fs::write(&file, bytes).unwrap();
                    writeln!(script, "write {} {path}", file.display()).unwrap();
                }
            }
        }
        let commands = folder.join("commands");
        fs::write(&commands, script).unwrap();
        let output =
            Command::new(tool("debugfs")).arg("-w").arg("-f").arg(&commands).arg(&image).output().unwrap();
        assert!(output.status.success());
        image
    }

    fn tree() -> Tree {
        let mut state = State::default();
        for _ in 0..150 {
            let operation = next(1, &state);
            state.apply(&operation);
        }
        crate::oracle::tree::of_state(1, &state)
    }

    #[test]
    fn a_card_is_read_and_compared() {
        let folder = tempfile::tempdir().unwrap();
        let tree = tree();
        let image = card(folder.path(), &tree);
        let checked = check(&image).unwrap();
        assert!(checked.clean, "{}", checked.output);
        let contents = read(&image).unwrap();
        assert_eq!(contents.tree, tree);
        assert_eq!(compare(&contents, std::slice::from_ref(&tree)), []);
        assert_eq!(lost_bytes(&contents, std::slice::from_ref(&tree)), 0);

        let (path, bytes) = tree
            .iter()
            .find_map(|(path, node)| match node {
                Node::File(bytes) if bytes.len() > 1 => Some((path.clone(), bytes.clone())),
                _ => None,
            })
            .unwrap();
        let mut other = bytes.clone();
        other[1] ^= 1;
        let mut expected = tree.clone();
        expected.insert(path.clone(), Node::File(other));
        assert_eq!(compare(&contents, &[expected.clone()]).len(), 1, "one byte");
        assert_eq!(lost_bytes(&contents, &[expected]), bytes.len() as u64);

        let mut damaged = contents.clone();
        damaged.links.insert(path.clone(), 2);
        damaged.sizes.insert(path, 0);
        damaged.root.push("stray".to_owned());
        assert_eq!(compare(&damaged, &[tree]).len(), 3, "links, size, stray");
    }

    #[test]
    fn a_damaged_card_is_not_clean() {
        let folder = tempfile::tempdir().unwrap();
        let image = card(folder.path(), &tree());
        let commands = folder.path().join("damage");
        fs::write(&commands, format!("set_inode_field {ROOT} links_count 77\n")).unwrap();
        let mut command = Command::new(tool("debugfs"));
        assert!(command.arg("-w").arg("-f").arg(&commands).arg(&image).status().unwrap().success());
        assert!(!check(&image).unwrap().clean);
    }

    #[test]
    fn single_files_are_read_and_others_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| (name.to_owned(), Node::File(bytes.to_vec()));
        let tree = Tree::from([file("/one", b"1"), file("/empty", b""), file("/other", b"?")]);
        let (strays, contents) =
            read_files(&card(folder.path(), &tree), ["/one", "/empty", "/none"]).unwrap();
        assert_eq!(strays, ["other"]);
        assert_eq!(contents, [Some(b"1".to_vec()), Some(Vec::new()), None]);
    }

    #[test]
    fn a_card_without_the_workload_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("card.img");
        make(&image, CARD_BYTES).unwrap();
        let contents = read(&image).unwrap();
        assert_eq!((contents.tree.len(), contents.root), (0, vec!["lost+found".to_owned()]));
    }
}
