//! What became of an operation that was in flight when the client died.

use crate::content::expected;
use crate::operation::Operation;
use crate::path::Path;
use crate::record::Found;
use crate::state::State;
use serde::{Deserialize, Serialize};

/// What became of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Resolution {
    /// All of it took place, or it has no effect that could be missing.
    Done,
    /// None of it took place.
    NotDone,
    /// What is there is neither the state before nor the state after.
    Torn,
}

/// The names by which the effect of an operation can be told, at most two; none if it changes nothing.
pub fn witnesses(state: &State, operation: &Operation) -> heapless::Vec<Path, 2> {
    let path_of = |file: u8| state.file(file).map(super::state::File::path);
    let (first, second) = match *operation {
        Operation::MakeDirectory { directory } | Operation::RemoveDirectory { directory } => {
            (Some(Path::Directory(directory)), None)
        }
        Operation::Create { directory, .. } => (Some(Path::File(directory, state.operation)), None),
        Operation::Write { file, .. }
        | Operation::Append { file, .. }
        | Operation::Truncate { file, .. }
        | Operation::Unlink { file } => (path_of(file), None),
        Operation::Rename { file, directory } => {
            (path_of(file), Some(Path::File(directory, state.operation)))
        }
        Operation::Replace { file, replaced } => (path_of(file), path_of(replaced)),
        Operation::UnlinkOpen { .. } | Operation::Fsync { .. } | Operation::Sync | Operation::Walk => {
            (None, None)
        }
    };
    first.into_iter().chain(second).collect()
}

/// Decides from what was `found` under the [`witnesses`], in their order. `state` is the one before the operation.
pub fn resolve(seed: u64, state: &State, operation: &Operation, found: &[Found]) -> Resolution {
    let mut after = state.clone();
    after.apply(operation);
    let paths = witnesses(state, operation);
    let agrees = |state: &State| {
        paths.len() == found.len()
            && paths.iter().zip(found).all(|(&path, &found)| expected(seed, state, path) == found)
    };
    if agrees(&after) {
        Resolution::Done
    } else if agrees(state) {
        Resolution::NotDone
    } else {
        Resolution::Torn
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::next;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn both_states_are_recognised_and_a_mixture_is_torn(seed: u64, steps in 1..300_usize) {
            let mut state = State::default();
            for _ in 0..steps {
                let operation = next(seed, &state);
                let mut after = state.clone();
                after.apply(&operation);
                let paths = witnesses(&state, &operation);
                let found = |state: &State| paths.iter().map(|&path| expected(seed, state, path)).collect::<Vec<_>>();
                let (before, done) = (found(&state), found(&after));
                prop_assert_eq!(resolve(seed, &state, &operation, &done), Resolution::Done);
                if before != done {
                    prop_assert_eq!(resolve(seed, &state, &operation, &before), Resolution::NotDone);
                }
                // Two files with equal contents, one of which replaces the other, leave nothing to mix.
                if before.len() == 2 && before[1] != done[1] {
                    let mixture = [before[0], done[1]];
                    prop_assert_eq!(resolve(seed, &state, &operation, &mixture), Resolution::Torn);
                }
                state = after;
            }
        }

        #[test]
        fn a_half_append_is_torn(seed: u64, half in 1..600_u64) {
            let mut state = State::default();
            let operation = loop {
                let operation = next(seed, &state);
                if matches!(operation, Operation::Append { bytes, .. } if u64::from(bytes) > half) {
                    break operation;
                }
                state.apply(&operation);
                if state.operation > 1000 {
                    return Ok(());
                }
            };
            let path = witnesses(&state, &operation)[0];
            let Found::File { size, checksum } = expected(seed, &state, path) else { panic!("a file") };
            let torn = [Found::File { size: size + half, checksum }];
            prop_assert_eq!(resolve(seed, &state, &operation, &torn), Resolution::Torn);
        }
    }
}
