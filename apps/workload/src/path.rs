//! Names of the workload's files and directories.

use crate::ROOT;
use core::fmt::Write;

/// Longest path in bytes.
pub const PATH_MAX: usize = 32;

/// What a path names, by numbers: the text follows from them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Path {
    /// A directory; number 0 is the workload's root.
    Directory(u8),
    /// A file: directory and number of its name.
    File(u8, u32),
}

impl Path {
    /// The text of the path.
    pub fn text(self) -> heapless::String<PATH_MAX> {
        let mut text = heapless::String::new();
        let written = match self {
            Self::Directory(0) => write!(text, "{ROOT}"),
            Self::Directory(directory) => write!(text, "{ROOT}/d{directory}"),
            Self::File(0, name) => write!(text, "{ROOT}/n{name:06}"),
            Self::File(directory, name) => write!(text, "{ROOT}/d{directory}/n{name:06}"),
        };
        // The longest text is `/work/d255/n4294967295`: it fits.
        debug_assert!(written.is_ok());
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_path_fits_and_paths_differ() {
        assert_eq!(Path::File(u8::MAX, u32::MAX).text(), "/work/d255/n4294967295");
        assert_eq!(Path::Directory(0).text(), "/work");
        assert_eq!(Path::File(0, 7).text(), "/work/n000007");
        assert_ne!(Path::File(1, 7).text(), Path::File(2, 7).text());
    }
}
