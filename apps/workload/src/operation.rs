//! The operations and the choice of the next one.

use crate::state::{File, State};
use crate::{DIRECTORIES, FILES, HELD_FILES, SIZE_MAX, TRANSFER_MAX, WALK_PERIOD};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// One operation on the file system. Files and directories are numbers in [`State`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    /// Makes a directory that does not exist.
    MakeDirectory {
        /// Which.
        directory: u8,
    },
    /// Removes an empty directory.
    RemoveDirectory {
        /// Which.
        directory: u8,
    },
    /// Creates a file that does not exist; its name is the operation's number.
    Create {
        /// Number of the file.
        file: u8,
        /// Where.
        directory: u8,
    },
    /// Writes at a place in a file, perhaps beyond its end.
    Write {
        /// Which.
        file: u8,
        /// First byte.
        offset: u32,
        /// Number of bytes.
        bytes: u32,
    },
    /// Writes at the end of a file.
    Append {
        /// Which.
        file: u8,
        /// Number of bytes.
        bytes: u32,
    },
    /// Sets the length of a file to another one.
    Truncate {
        /// Which.
        file: u8,
        /// New length in bytes.
        size: u32,
    },
    /// Asks that a file be on the medium.
    Fsync {
        /// Which.
        file: u8,
    },
    /// Gives a file a new name, the operation's number, perhaps in another directory.
    Rename {
        /// Which.
        file: u8,
        /// Where to.
        directory: u8,
    },
    /// Gives a file the name of another one, which ceases to exist.
    Replace {
        /// Which is renamed.
        file: u8,
        /// Which ceases to exist.
        replaced: u8,
    },
    /// Removes a file.
    Unlink {
        /// Which.
        file: u8,
    },
    /// Tries to remove a file that is open: the server must refuse.
    UnlinkOpen {
        /// Which.
        file: u8,
    },
    /// Asks that everything be on the medium.
    Sync,
    /// Lists every directory and reads every file, and puts what was found on the evidence line.
    Walk,
}

impl Operation {
    /// Number of the kind of operation, as records carry it.
    pub const fn code(&self) -> u8 {
        match self {
            Self::MakeDirectory { .. } => 0,
            Self::RemoveDirectory { .. } => 1,
            Self::Create { .. } => 2,
            Self::Write { .. } => 3,
            Self::Append { .. } => 4,
            Self::Truncate { .. } => 5,
            Self::Fsync { .. } => 6,
            Self::Rename { .. } => 7,
            Self::Replace { .. } => 8,
            Self::Unlink { .. } => 9,
            Self::UnlinkOpen { .. } => 10,
            Self::Sync => 11,
            Self::Walk => 12,
        }
    }

    /// What people call it.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::MakeDirectory { .. } => "mkdir",
            Self::RemoveDirectory { .. } => "rmdir",
            Self::Create { .. } => "create",
            Self::Write { .. } => "write",
            Self::Append { .. } => "append",
            Self::Truncate { .. } => "truncate",
            Self::Fsync { .. } => "fsync",
            Self::Rename { .. } => "rename",
            Self::Replace { .. } => "replace",
            Self::Unlink { .. } => "unlink",
            Self::UnlinkOpen { .. } => "unlink-open",
            Self::Sync => "sync",
            Self::Walk => "walk",
        }
    }

    /// Whether its acknowledgement says that everything before it is on the medium.
    pub const fn is_barrier(&self) -> bool {
        matches!(self, Self::Fsync { .. } | Self::Sync)
    }
}

/// How often each kind of operation is drawn, in parts of their sum.
const WEIGHTS: [(Kind, u32); 12] = [
    (Kind::Create, 16),
    (Kind::Write, 22),
    (Kind::Append, 22),
    (Kind::Truncate, 8),
    (Kind::Fsync, 8),
    (Kind::Rename, 8),
    (Kind::Replace, 3),
    (Kind::Unlink, 7),
    (Kind::UnlinkOpen, 2),
    (Kind::MakeDirectory, 4),
    (Kind::RemoveDirectory, 3),
    (Kind::Sync, 3),
];

#[derive(Clone, Copy)]
enum Kind {
    Create,
    Write,
    Append,
    Truncate,
    Fsync,
    Rename,
    Replace,
    Unlink,
    UnlinkOpen,
    MakeDirectory,
    RemoveDirectory,
    Sync,
}

/// Draws before the generator falls back to [`Operation::Sync`], which is always possible.
const DRAWS_MAX: u32 = 64;

/// The next operation: a function of the seed and the state. It is always possible in that state.
pub fn next(seed: u64, state: &State) -> Operation {
    if !state.has_directory(0) {
        return Operation::MakeDirectory { directory: 0 };
    }
    if state.operation.is_multiple_of(WALK_PERIOD) {
        return Operation::Walk;
    }
    let mut draws = Draws::new(seed, state.operation);
    (0..DRAWS_MAX).find_map(|_| draws.operation(state)).unwrap_or(Operation::Sync)
}

struct Draws(ChaCha8Rng);

impl Draws {
    /// Choices and contents come from different streams of one generator: even numbers are choices.
    fn new(seed: u64, operation: u32) -> Self {
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        generator.set_stream(u64::from(operation) << 1);
        Self(generator)
    }

    fn below(&mut self, bound: u32) -> u32 {
        if bound == 0 { 0 } else { self.0.next_u32() % bound }
    }

    fn kind(&mut self) -> Kind {
        let mut at = self.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
        for (kind, weight) in WEIGHTS {
            if at < weight {
                return kind;
            }
            at -= weight;
        }
        Kind::Sync
    }

    fn operation(&mut self, state: &State) -> Option<Operation> {
        Some(match self.kind() {
            Kind::Create => {
                Operation::Create { file: self.free_file(state)?, directory: self.directory(state) }
            }
            Kind::Write => return self.write(state),
            Kind::Append => return self.append(state),
            Kind::Truncate => return self.truncate(state),
            Kind::Fsync => Operation::Fsync { file: self.file(state)?.0 },
            Kind::Rename => Operation::Rename { file: self.file(state)?.0, directory: self.directory(state) },
            Kind::Replace => return self.replace(state),
            Kind::Unlink => Operation::Unlink { file: self.file(state)?.0 },
            Kind::UnlinkOpen => Operation::UnlinkOpen { file: self.held_file(state)? },
            Kind::MakeDirectory => {
                let directory = self.below(DIRECTORIES as u32) as u8;
                (!state.has_directory(directory)).then_some(Operation::MakeDirectory { directory })?
            }
            Kind::RemoveDirectory => return self.remove_directory(state),
            Kind::Sync => Operation::Sync,
        })
    }

    fn file<'a>(&mut self, state: &'a State) -> Option<(u8, &'a File)> {
        let number = self.below(FILES as u32) as u8;
        Some((number, state.file(number)?))
    }

    fn free_file(&mut self, state: &State) -> Option<u8> {
        let number = self.below(FILES as u32) as u8;
        state.file(number).is_none().then_some(number)
    }

    fn held_file(&mut self, state: &State) -> Option<u8> {
        let number = self.below(HELD_FILES as u32) as u8;
        state.file(number).map(|_| number)
    }

    fn directory(&mut self, state: &State) -> u8 {
        let directory = self.below(DIRECTORIES as u32) as u8;
        if state.has_directory(directory) { directory } else { 0 }
    }

    /// Mostly small, sometimes across several blocks.
    fn length(&mut self) -> u32 {
        let bound = if self.below(4) == 0 { TRANSFER_MAX } else { 600 };
        1 + self.below(bound)
    }

    fn write(&mut self, state: &State) -> Option<Operation> {
        let (number, file) = self.file(state)?;
        let bytes = self.length();
        let beyond = if self.below(6) == 0 { 3000 } else { 0 };
        let offset = self.below(file.size + beyond + 1);
        Self::checked(state, Operation::Write { file: number, offset, bytes }, file, offset, bytes)
    }

    fn append(&mut self, state: &State) -> Option<Operation> {
        let (number, file) = self.file(state)?;
        let bytes = self.length();
        Self::checked(state, Operation::Append { file: number, bytes }, file, file.size, bytes)
    }

    /// Only what leaves the file within its bounds of size and pieces.
    fn checked(
        state: &State,
        operation: Operation,
        file: &File,
        offset: u32,
        bytes: u32,
    ) -> Option<Operation> {
        let end = offset + bytes;
        file.overwritten(state.operation, offset, end)?;
        (end <= SIZE_MAX).then_some(operation)
    }

    /// A file of many pieces is cut to nothing, so that it can be written again.
    fn truncate(&mut self, state: &State) -> Option<Operation> {
        let (number, file) = self.file(state)?;
        let size = match self.below(3) {
            0 => 0,
            1 => self.below(file.size + 1),
            _ => self.below((file.size + 2000).min(SIZE_MAX) + 1),
        };
        (size != file.size).then_some(Operation::Truncate { file: number, size })
    }

    fn replace(&mut self, state: &State) -> Option<Operation> {
        let (file, _) = self.file(state)?;
        let (replaced, _) = self.file(state)?;
        let held = usize::from(replaced) < HELD_FILES;
        (file != replaced && !held).then_some(Operation::Replace { file, replaced })
    }

    fn remove_directory(&mut self, state: &State) -> Option<Operation> {
        let directory = 1 + self.below(DIRECTORIES as u32 - 1) as u8;
        let empty = state.files().all(|(_, file)| file.directory != directory);
        (state.has_directory(directory) && empty).then_some(Operation::RemoveDirectory { directory })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_kind_of_operation_comes_and_the_tree_stays_small() {
        let mut state = State::default();
        let mut counts = BTreeMap::<&str, u32>::new();
        for _ in 0..4000 {
            let operation = next(1, &state);
            *counts.entry(operation.name()).or_default() += 1;
            state.apply(&operation);
        }
        assert_eq!(counts.len(), 13, "{counts:?}");
        assert!(counts["sync"] < 400, "the generator seldom falls back: {counts:?}");
        assert!(state.files().all(|(_, file)| file.size <= SIZE_MAX));
    }

    proptest! {
        #[test]
        fn operations_are_possible_and_names_unique(seed: u64, steps in 1..400_usize) {
            let mut state = State::default();
            for _ in 0..steps {
                let operation = next(seed, &state);
                prop_assert_eq!(operation, next(seed, &state));
                if let Operation::Create { file, directory } = operation {
                    prop_assert!(state.file(file).is_none() && state.has_directory(directory));
                }
                if let Operation::RemoveDirectory { directory } = operation {
                    prop_assert!(state.files().all(|(_, file)| file.directory != directory));
                }
                let count = state.operation;
                state.apply(&operation);
                prop_assert_eq!(state.operation, count + 1);
                let mut paths: Vec<_> = state.paths().collect();
                paths.sort();
                let total = paths.len();
                paths.dedup();
                prop_assert_eq!(paths.len(), total);
                for (_, file) in state.files() {
                    prop_assert!(state.has_directory(file.directory));
                    prop_assert!(file.extents.is_sorted_by(|a, b| a.end <= b.start));
                    prop_assert!(file.extents.iter().all(|e| e.start < e.end && e.end <= file.size));
                }
            }
        }

        #[test]
        fn another_seed_gives_other_operations(seed: u64) {
            let sequence = |seed: u64| {
                let mut state = State::default();
                (0..40).map(|_| { let op = next(seed, &state); state.apply(&op); op }).collect::<Vec<_>>()
            };
            prop_assert_ne!(sequence(seed), sequence(seed ^ 1));
        }
    }
}
