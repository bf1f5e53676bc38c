//! Paths as clients send them: untrusted bytes.
//!
//! Rule: a path becomes a bounded list of names before anything else looks at it. Why: lengths, NUL bytes
//! and relative paths are then refused in one place, without touching the disk.

use heapless::Vec;
use protocols::files::{NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_DEPTH_MAX, Status};

/// The name of the parent directory.
pub(crate) const PARENT: &[u8] = b"..";

/// The names of an absolute path, without empty ones and `.`.
pub(crate) type Names<'a> = Vec<&'a [u8], PATH_DEPTH_MAX>;

/// Splits an absolute path.
pub(crate) fn names(path: &[u8]) -> Result<Names<'_>, Status> {
    if path.len() > PATH_BYTES_MAX {
        return Err(Status::PathTooLong);
    }
    if path.first() != Some(&b'/') || path.contains(&0) {
        return Err(Status::BadName);
    }
    let mut names = Names::new();
    for name in path.split(|byte| *byte == b'/') {
        if name.len() > NAME_BYTES_MAX {
            return Err(Status::BadName);
        }
        if !name.is_empty() && name != b"." {
            names.push(name).map_err(|_| Status::PathTooLong)?;
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec as StdVec;

    #[test]
    fn empty_names_and_dots_mean_nothing() {
        assert_eq!(&names(b"//a/./b/").unwrap()[..], [b"a", b"b"]);
        assert_eq!(names(b"/").unwrap().len(), 0);
        assert_eq!(&names(b"/a/..").unwrap()[..], [b"a".as_slice(), PARENT]);
    }

    #[test]
    fn hostile_paths_are_refused() {
        assert_eq!(names(b""), Err(Status::BadName));
        assert_eq!(names(b"a/b"), Err(Status::BadName));
        assert_eq!(names(b"/a\0b"), Err(Status::BadName));
        let long_name = [b"/".as_slice(), &[b'a'; 256]].concat();
        assert_eq!(names(&long_name), Err(Status::BadName));
        assert!(names(&long_name[..256]).is_ok());
        assert_eq!(names(&[b'/'; 1025]), Err(Status::PathTooLong));
        assert!(names(&b"/a".repeat(64)).is_ok());
        assert_eq!(names(&b"/a".repeat(65)), Err(Status::PathTooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_give_valid_names_or_an_error(path: StdVec<u8>) {
            if let Ok(names) = names(&path) {
                for name in names {
                    prop_assert!(!name.is_empty() && name.len() <= 255);
                    prop_assert!(!name.contains(&b'/') && !name.contains(&0));
                }
            }
        }
    }
}
