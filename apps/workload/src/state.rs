//! What exists: files, their pieces, directories; and the effect of an operation on them.

use crate::operation::Operation;
use crate::path::Path;
use crate::{DIRECTORIES, EXTENTS, FILES};
use heapless::Vec;
use serde::{Deserialize, Serialize};

/// A piece of a file: bytes that one operation wrote. What no extent covers reads as zeros.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Extent {
    /// The operation that wrote it.
    pub operation: u32,
    /// Place of the operation's first byte in the file.
    pub base: u32,
    /// First byte of the piece.
    pub start: u32,
    /// First byte behind the piece.
    pub end: u32,
}

/// A file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct File {
    /// Number of its directory.
    pub directory: u8,
    /// Number of its name: the operation that gave it.
    pub name: u32,
    /// Length in bytes.
    pub size: u32,
    /// Its pieces, in order, not overlapping.
    pub extents: Vec<Extent, EXTENTS>,
}

impl File {
    /// Its path.
    pub fn path(&self) -> Path {
        Path::File(self.directory, self.name)
    }

    /// The pieces after bytes `start..end` were written by `operation`; `None` if there would be too many.
    pub fn overwritten(&self, operation: u32, start: u32, end: u32) -> Option<Vec<Extent, EXTENTS>> {
        let mut extents = Vec::new();
        for extent in &self.extents {
            push_piece(&mut extents, Extent { end: extent.end.min(start), ..*extent })?;
        }
        push_piece(&mut extents, Extent { operation, base: start, start, end })?;
        for extent in &self.extents {
            push_piece(&mut extents, Extent { start: extent.start.max(end), ..*extent })?;
        }
        Some(extents)
    }

    fn truncate(&mut self, size: u32) {
        self.size = size;
        for extent in &mut self.extents {
            extent.end = extent.end.min(size);
        }
        self.extents.retain(|extent| extent.start < extent.end);
    }
}

fn push_piece(extents: &mut Vec<Extent, EXTENTS>, piece: Extent) -> Option<()> {
    if piece.start < piece.end { extents.push(piece).ok() } else { Some(()) }
}

/// All that the next operation depends on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct State {
    /// Number of the next operation.
    pub operation: u32,
    /// Directories that exist: bit n is directory n.
    pub directories: u8,
    /// Files by number.
    pub files: [Option<File>; FILES],
}

impl State {
    /// Whether directory `directory` exists.
    pub fn has_directory(&self, directory: u8) -> bool {
        usize::from(directory) < DIRECTORIES && self.directories & 1 << directory != 0
    }

    /// The files that exist, with their numbers.
    pub fn files(&self) -> impl Iterator<Item = (u8, &File)> {
        self.files.iter().zip(0_u8..).filter_map(|(file, number)| Some((number, file.as_ref()?)))
    }

    /// The file with this number.
    pub fn file(&self, number: u8) -> Option<&File> {
        self.files.get(usize::from(number))?.as_ref()
    }

    /// The file with this path.
    pub fn file_at(&self, path: Path) -> Option<&File> {
        self.files().map(|(_, file)| file).find(|file| file.path() == path)
    }

    /// Everything that exists, by path: directories first, each group in the order of its numbers.
    pub fn paths(&self) -> impl Iterator<Item = Path> {
        let directories = (0..DIRECTORIES as u8).filter(|&directory| self.has_directory(directory));
        directories.map(Path::Directory).chain(self.files().map(|(_, file)| file.path()))
    }

    /// The effect of the next operation, which was `operation`: counts it and changes what exists.
    pub fn apply(&mut self, operation: &Operation) {
        let number = self.operation;
        self.operation += 1;
        match *operation {
            Operation::MakeDirectory { directory } => self.directories |= 1 << directory,
            Operation::RemoveDirectory { directory } => self.directories &= !(1 << directory),
            Operation::Create { file, directory } => {
                let created = File { directory, name: number, size: 0, extents: Vec::new() };
                self.files[usize::from(file)] = Some(created);
            }
            Operation::Write { file, offset, bytes } => self.write(file, number, offset, bytes),
            Operation::Append { file, bytes } => {
                let offset = self.file(file).map_or(0, |file| file.size);
                self.write(file, number, offset, bytes);
            }
            Operation::Truncate { file, size } => {
                if let Some(file) = &mut self.files[usize::from(file)] {
                    file.truncate(size);
                }
            }
            Operation::Rename { file, directory } => self.rename(file, directory, number),
            Operation::Replace { file, replaced } => {
                if let Some(old) = self.files[usize::from(replaced)].take() {
                    self.rename(file, old.directory, old.name);
                }
            }
            Operation::Unlink { file } => self.files[usize::from(file)] = None,
            Operation::UnlinkOpen { .. } | Operation::Fsync { .. } | Operation::Sync | Operation::Walk => {}
        }
    }

    fn rename(&mut self, file: u8, directory: u8, name: u32) {
        if let Some(file) = &mut self.files[usize::from(file)] {
            file.directory = directory;
            file.name = name;
        }
    }

    fn write(&mut self, file: u8, operation: u32, offset: u32, bytes: u32) {
        let Some(file) = &mut self.files[usize::from(file)] else {
            return;
        };
        let end = offset + bytes;
        if let Some(extents) = file.overwritten(operation, offset, end) {
            file.extents = extents;
            file.size = file.size.max(end);
        }
    }
}

/// What the client commits before each operation.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Seed that the state belongs to: a checkpoint of another plan is not used.
    pub seed: u64,
    /// The state before the operation.
    pub state: State,
}

/// Most bytes of an encoded [`Checkpoint`].
pub const CHECKPOINT_MAX: usize = 4000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::next;

    #[test]
    fn the_largest_checkpoint_fits() {
        let extent = Extent { operation: u32::MAX, base: u32::MAX, start: u32::MAX - 1, end: u32::MAX };
        let extents = Vec::from_slice(&[extent; EXTENTS]).unwrap();
        let file = File { directory: u8::MAX, name: u32::MAX, size: u32::MAX, extents };
        let files = core::array::from_fn(|_| Some(file.clone()));
        let state = State { operation: u32::MAX, directories: u8::MAX, files };
        let mut bytes = [0; CHECKPOINT_MAX];
        let encoded = postcard::to_slice(&Checkpoint { seed: u64::MAX, state }, &mut bytes).unwrap().len();
        assert!(encoded <= CHECKPOINT_MAX, "{encoded} bytes");
    }

    #[test]
    fn checkpoints_round_trip() {
        let mut state = State::default();
        for _ in 0..500 {
            let operation = next(9, &state);
            state.apply(&operation);
        }
        let checkpoint = Checkpoint { seed: 9, state };
        let mut bytes = [0; CHECKPOINT_MAX];
        let encoded = postcard::to_slice(&checkpoint, &mut bytes).unwrap();
        assert_eq!(postcard::from_bytes::<Checkpoint>(encoded).unwrap(), checkpoint);
    }

    #[test]
    fn overwriting_the_middle_splits_a_piece() {
        let mut file = File { directory: 0, name: 1, size: 0, extents: Vec::new() };
        file.extents = file.overwritten(1, 0, 100).unwrap();
        file.extents = file.overwritten(2, 40, 60).unwrap();
        let pieces: std::vec::Vec<_> =
            file.extents.iter().map(|e| (e.operation, e.base, e.start, e.end)).collect();
        assert_eq!(pieces, [(1, 0, 0, 40), (2, 40, 40, 60), (1, 0, 60, 100)]);
        file.truncate(50);
        assert_eq!(file.extents.len(), 2);
        assert_eq!(file.extents[1].end, 50);
    }
}
