//! The bytes of the files.

use crate::path::Path;
use crate::record::{CRC, Found};
use crate::state::{File, State};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// Fills `out` with bytes of operation `operation`, from its byte number `first` on.
pub fn written(seed: u64, operation: u32, first: u32, out: &mut [u8]) {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(u64::from(operation) << 1 | 1);
    generator.set_word_pos(u128::from(first / 4));
    let skipped = (first % 4) as usize;
    let mut head = [0; 4];
    let split = if skipped == 0 { 0 } else { out.len().min(4 - skipped) };
    let (start, rest) = out.split_at_mut(split);
    if split > 0 {
        generator.fill_bytes(&mut head);
        start.copy_from_slice(&head[skipped..skipped + split]);
    }
    generator.fill_bytes(rest);
}

/// Fills `out` with what a file must contain from byte `offset` on. All of it lies within the file.
pub fn content(seed: u64, file: &File, offset: u32, out: &mut [u8]) {
    out.fill(0);
    let end = offset + out.len() as u32;
    for extent in &file.extents {
        let (from, to) = (extent.start.max(offset), extent.end.min(end));
        if from < to {
            let range = (from - offset) as usize..(to - offset) as usize;
            written(seed, extent.operation, from - extent.base, &mut out[range]);
        }
    }
}

/// Size of the pieces in which checksums are computed.
const PIECE: usize = 512;

/// CRC-32 of all that a file must contain.
pub fn checksum(seed: u64, file: &File) -> u32 {
    let mut digest = CRC.digest();
    let mut piece = [0; PIECE];
    let mut offset = 0;
    while offset < file.size {
        let length = PIECE.min((file.size - offset) as usize);
        content(seed, file, offset, &mut piece[..length]);
        digest.update(&piece[..length]);
        offset += length as u32;
    }
    digest.finalize()
}

/// What a walk must find under `path` in this state.
pub fn expected(seed: u64, state: &State, path: Path) -> Found {
    match path {
        Path::Directory(directory) if state.has_directory(directory) => Found::Directory,
        Path::Directory(_) => Found::Nothing,
        Path::File(..) => state.file_at(path).map_or(Found::Nothing, |file| Found::File {
            size: u64::from(file.size),
            checksum: checksum(seed, file),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::next;
    use proptest::prelude::*;
    use std::vec;

    proptest! {
        #[test]
        fn a_part_of_a_write_is_the_same_bytes(seed: u64, operation: u32, length in 1..300_usize, from in 0..299_usize) {
            let mut whole = vec![0; length];
            written(seed, operation, 0, &mut whole);
            let from = from % length;
            let mut part = vec![0; length - from];
            written(seed, operation, from as u32, &mut part);
            prop_assert_eq!(&whole[from..], &part[..]);
        }

        /// The pieces tell the same story as a file that is really written.
        #[test]
        fn contents_equal_those_of_a_byte_array(seed: u64, steps in 1..300_usize) {
            let mut state = State::default();
            let mut model = std::collections::BTreeMap::<u8, std::vec::Vec<u8>>::new();
            for _ in 0..steps {
                let operation = next(seed, &state);
                model_step(seed, &state, operation, &mut model);
                state.apply(&operation);
            }
            for (number, file) in state.files() {
                let mut bytes = vec![0; file.size as usize];
                content(seed, file, 0, &mut bytes);
                prop_assert_eq!(&bytes, &model[&number]);
                prop_assert_eq!(checksum(seed, file), CRC.checksum(&bytes));
            }
        }
    }

    fn model_step(
        seed: u64,
        state: &State,
        operation: crate::Operation,
        model: &mut std::collections::BTreeMap<u8, std::vec::Vec<u8>>,
    ) {
        use crate::Operation;
        let mut put = |file: u8, offset: usize, bytes: u32| {
            let mut data = vec![0; bytes as usize];
            written(seed, state.operation, 0, &mut data);
            let contents = model.get_mut(&file).unwrap();
            contents.resize(contents.len().max(offset + data.len()), 0);
            contents[offset..offset + data.len()].copy_from_slice(&data);
        };
        match operation {
            Operation::Write { file, offset, bytes } => put(file, offset as usize, bytes),
            Operation::Append { file, bytes } => put(file, state.file(file).unwrap().size as usize, bytes),
            Operation::Create { file, .. } => drop(model.insert(file, vec![])),
            Operation::Truncate { file, size } => model.get_mut(&file).unwrap().resize(size as usize, 0),
            Operation::Unlink { file } | Operation::Replace { replaced: file, .. } => {
                drop(model.remove(&file));
            }
            _ => {}
        }
    }
}
