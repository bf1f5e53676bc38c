//! Fewer faults that still end so: delta debugging (Zeller and Hildebrandt, *Simplifying and Isolating Failure-Inducing Input*,
//! IEEE TSE 28, 2002).
//!
//! *Role.* Of a trial with several faults, or of a batch of mutations, finds a part from which nothing can be left out.
//!
//! *Rule.* Nothing is believed: each part is run, from a reset, as a replay is.

use anyhow::Result;

/// The smallest part of `0..pieces` that is found for which `fails` holds, as it must for all of them: without any one of its
/// pieces it does not hold.
///
/// # Errors
/// What `fails` says.
pub fn minimize(pieces: usize, mut fails: impl FnMut(&[usize]) -> Result<bool>) -> Result<Vec<usize>> {
    let mut current: Vec<usize> = (0..pieces).collect();
    let mut parts = 2;
    while current.len() > 1 {
        let size = current.len().div_ceil(parts);
        let chunks: Vec<Vec<usize>> = current.chunks(size).map(<[usize]>::to_vec).collect();
        let mut smaller = None;
        for (index, chunk) in chunks.iter().enumerate() {
            let rest = || chunks.iter().enumerate().filter(|(other, _)| *other != index);
            let complement: Vec<usize> = rest().flat_map(|(_, chunk)| chunk.iter().copied()).collect();
            if fails(chunk)? {
                smaller = Some((chunk.clone(), 2));
                break;
            }
            // Of two halves one is the complement of the other.
            if chunks.len() > 2 && fails(&complement)? {
                smaller = Some((complement, parts - 1));
                break;
            }
        }
        match smaller {
            Some((found, next)) => (current, parts) = (found, next.max(2)),
            None if parts >= current.len() => break,
            None => parts = (2 * parts).min(current.len()),
        }
    }
    Ok(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn one_piece_of_a_hundred_is_found_quickly() {
        let mut runs = 0;
        let found = minimize(100, |part| {
            runs += 1;
            Ok(part.contains(&77))
        });
        assert_eq!(found.unwrap(), [77]);
        assert!(runs < 20, "{runs}");
    }

    proptest! {
        #[test]
        fn what_is_needed_is_kept_and_nothing_else(
            needed in proptest::collection::btree_set(0..40_usize, 1..6),
        ) {
            let has_all = |part: &[usize]| needed.iter().all(|piece| part.contains(piece));
            let found = minimize(40, |part| Ok(has_all(part))).unwrap();
            prop_assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), needed);
        }
    }
}
