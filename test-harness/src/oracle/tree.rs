//! Trees of files: what must be there, and how it differs from what is.

use std::collections::{BTreeMap, BTreeSet};
use workload_core::record::{CRC, Found};
use workload_core::{Operation, State, content};

/// Sectors of the card: a write that was cut off by a loss of power leaves each of them old or new.
const SECTOR: usize = 512;

/// Sectors up to which every mixture of old and new is tried; of more, only an old rest after a new start.
const MIXED_MAX: usize = 12;

/// Something in a tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Node {
    /// A directory.
    Directory,
    /// A file and its contents.
    File(Vec<u8>),
}

impl Node {
    /// What a walk finds of it.
    pub fn found(&self) -> Found {
        match self {
            Self::Directory => Found::Directory,
            Self::File(bytes) => Found::File { size: bytes.len() as u64, checksum: CRC.checksum(bytes) },
        }
    }

    /// Bytes that are lost if it is.
    fn bytes(&self) -> u64 {
        match self {
            Self::Directory => 0,
            Self::File(bytes) => bytes.len() as u64,
        }
    }
}

/// A tree by paths; the workload's own root is one of them.
pub type Tree = BTreeMap<String, Node>;

/// The tree that belongs to a state.
pub fn of_state(seed: u64, state: &State) -> Tree {
    let node = |path: workload_core::Path| match state.file_at(path) {
        None => Node::Directory,
        Some(file) => {
            let mut bytes = vec![0; file.size as usize];
            content::content(seed, file, 0, &mut bytes);
            Node::File(bytes)
        }
    };
    state.paths().map(|path| (path.text().as_str().to_owned(), node(path))).collect()
}

/// A difference between a tree and what was found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Where.
    pub path: String,
    /// What must be there.
    pub expected: Found,
    /// What is there.
    pub found: Found,
    /// Acknowledged bytes that are lost or cannot be told from lost ones.
    pub bytes: u64,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "{}: {} expected, {} found", self.path, describe(self.expected), describe(self.found))
    }
}

fn describe(found: Found) -> String {
    match found {
        Found::Nothing => "nothing".to_owned(),
        Found::Directory => "a directory".to_owned(),
        Found::File { size, checksum } => format!("a file of {size} bytes with checksum {checksum:08x}"),
        Found::Unreadable { status } => format!("something unreadable (status {status})"),
    }
}

/// How what was found differs from the tree.
pub fn differences(tree: &Tree, found: &BTreeMap<String, Found>) -> Vec<Difference> {
    let paths: BTreeSet<_> = tree.keys().chain(found.keys()).collect();
    let difference = |path: &String| {
        let node = tree.get(path);
        let expected = node.map_or(Found::Nothing, Node::found);
        let found = found.get(path).copied().unwrap_or(Found::Nothing);
        let bytes = node.map_or(0, Node::bytes);
        (expected != found).then(|| Difference { path: path.clone(), expected, found, bytes })
    };
    paths.into_iter().filter_map(difference).collect()
}

/// What a walk over this tree finds.
pub fn walk(tree: &Tree) -> BTreeMap<String, Found> {
    tree.iter().map(|(path, node)| (path.clone(), node.found())).collect()
}

/// Contents that a file may have when the power failed while `operation` overwrote a part of it: bytes of existing blocks
/// go to their place directly, sector by sector, and nobody repeats the request.
pub fn torn_overwrites(seed: u64, state: &State, operation: &Operation) -> Option<(String, Vec<Vec<u8>>)> {
    let Operation::Write { file, .. } = *operation else { return None };
    let mut after = state.clone();
    after.apply(operation);
    let path = state.file(file)?.path();
    let text = path.text().as_str().to_owned();
    let Node::File(old) = of_state(seed, state).remove(&text)? else { return None };
    let Node::File(new) = of_state(seed, &after).remove(&text)? else { return None };
    let sectors: Vec<_> = (0..old.len().div_ceil(SECTOR))
        .map(|sector| sector * SECTOR..old.len().min((sector + 1) * SECTOR))
        .filter(|range| old[range.clone()] != new[range.clone()])
        .collect();
    let masks: Vec<u64> = if sectors.len() <= MIXED_MAX {
        (0..1 << sectors.len()).collect()
    } else {
        (0..=sectors.len()).map(|count| (1 << count) - 1).collect()
    };
    let mixture = |mask: &u64| {
        let mut bytes = old.clone();
        for (index, range) in sectors.iter().enumerate().filter(|(index, _)| mask & 1 << index != 0) {
            debug_assert!(index < 64);
            bytes[range.clone()].copy_from_slice(&new[range.clone()]);
        }
        bytes
    };
    Some((text, masks.iter().map(mixture).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use workload_core::next;

    fn state(seed: u64, steps: usize) -> State {
        let mut state = State::default();
        for _ in 0..steps {
            let operation = next(seed, &state);
            state.apply(&operation);
        }
        state
    }

    #[test]
    fn a_tree_equals_its_own_walk_and_nothing_else() {
        let tree = of_state(3, &state(3, 200));
        let found = walk(&tree);
        assert_eq!(differences(&tree, &found), []);
        let file = tree.iter().find(|(_, node)| node.bytes() > 1).unwrap().0.clone();

        let mut missing = found.clone();
        missing.remove(&file);
        assert_eq!(differences(&tree, &missing)[0].bytes, tree[&file].bytes());

        let mut extra = found.clone();
        extra.insert("/work/stray".to_owned(), Found::Directory);
        assert_eq!(differences(&tree, &extra).len(), 1);

        let mut changed = tree.clone();
        let Some(Node::File(bytes)) = changed.get_mut(&file) else { panic!("a file") };
        bytes[0] ^= 1;
        assert_eq!(differences(&tree, &walk(&changed)).len(), 1, "one lost byte");
        let Some(Node::File(bytes)) = changed.get_mut(&file) else { panic!("a file") };
        bytes[0] ^= 1;
        bytes.push(0);
        assert_eq!(differences(&tree, &walk(&changed)).len(), 1, "a wrong size");
    }

    #[test]
    fn an_overwrite_may_be_mixed_by_sectors_only() {
        let mut state = State::default();
        state.apply(&Operation::MakeDirectory { directory: 0 });
        state.apply(&Operation::Create { file: 0, directory: 0 });
        state.apply(&Operation::Append { file: 0, bytes: 2000 });
        let write = Operation::Write { file: 0, offset: 100, bytes: 1000 };
        let (path, contents) = torn_overwrites(5, &state, &write).unwrap();
        assert_eq!(contents.len(), 8, "three sectors");
        let Node::File(old) = &of_state(5, &state)[&path] else { panic!("a file") };
        assert!(contents.contains(old));
        state.apply(&write);
        let Node::File(new) = &of_state(5, &state)[&path] else { panic!("a file") };
        assert!(contents.contains(new));
        let mut torn = old.clone();
        torn[100..300].copy_from_slice(&new[100..300]);
        assert!(!contents.contains(&torn), "half a sector");
    }
}
