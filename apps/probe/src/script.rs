//! What the file client does: each operation that changes a directory or the end of a file, on a tree that is there
//! already, with the refusals that a repetition could be mistaken for.

use protocols::files::{OpenFlags, Request};

/// One call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// `create exclusive`, under this descriptor.
    Create(u8, &'static str),
    /// Opens for reading and writing, under this descriptor.
    Open(u8, &'static str),
    /// Appends so many bytes of [`byte`].
    Append(u8, usize),
    /// Reads the beginning, up to [`READ_MAX`].
    Read(u8),
    /// Closes.
    Close(u8),
    /// Gives another name.
    Rename(&'static str, &'static str),
    /// Removes a file.
    Unlink(&'static str),
    /// Makes a directory.
    MakeDirectory(&'static str),
    /// Removes an empty directory.
    RemoveDirectory(&'static str),
    /// Leaves the file system clean.
    Unmount,
}

/// Most bytes of one [`Step::Read`] and one [`Step::Append`].
pub const READ_MAX: usize = 4096;

/// The tree on which [`ACTIONS`] are carried out.
pub const SETUP: &[Step] = &[
    Step::MakeDirectory("/work"),
    Step::Create(0, "/work/log"),
    Step::Append(0, 700),
    Step::Close(0),
    Step::Create(0, "/work/old"),
    Step::Append(0, 300),
    Step::Close(0),
    Step::Create(0, "/work/replaced"),
    Step::Append(0, 2000),
    Step::Close(0),
    Step::Create(0, "/work/gone"),
    Step::Append(0, 3000),
    Step::Close(0),
    Step::MakeDirectory("/work/folder"),
];

/// What is carried out while faults are injected. The last one leaves the card to the host.
pub const ACTIONS: &[Step] = &[
    Step::Create(1, "/work/new"),
    Step::Append(1, 1500),
    // Exists, at the first delivery as at the second.
    Step::Create(2, "/work/new"),
    Step::Open(2, "/work/log"),
    Step::Append(2, 700),
    Step::Read(2),
    Step::Rename("/work/old", "/work/folder/moved"),
    Step::Rename("/work/folder/moved", "/work/replaced"),
    Step::Rename("/work/old", "/work/nowhere"),
    Step::Unlink("/work/gone"),
    // Not there, at the first delivery as at the second.
    Step::Unlink("/work/gone"),
    Step::MakeDirectory("/work/made"),
    Step::RemoveDirectory("/work/folder"),
    Step::Read(1),
    Step::Close(1),
    Step::Close(2),
    Step::Unmount,
];

impl Step {
    /// The request, and the bytes of its first and second grant, where these are paths.
    pub fn request(&self) -> (Request, [&'static str; 2]) {
        let access = OpenFlags::READ.with(OpenFlags::WRITE);
        match *self {
            Self::Create(descriptor, path) => {
                (Request::CreateExclusive { descriptor, path_bytes: path.len() }, [path, ""])
            }
            Self::Open(descriptor, path) => {
                (Request::Open { descriptor, flags: access, path_bytes: path.len() }, [path, ""])
            }
            Self::Append(descriptor, bytes) => (Request::Append { descriptor, bytes }, ["", ""]),
            Self::Read(descriptor) => (Request::Read { descriptor, offset: 0, bytes: READ_MAX }, ["", ""]),
            Self::Close(descriptor) => (Request::Close { descriptor }, ["", ""]),
            Self::Rename(old, new) => {
                (Request::Rename { old_bytes: old.len(), new_bytes: new.len() }, [old, new])
            }
            Self::Unlink(path) => (Request::Unlink { path_bytes: path.len() }, [path, ""]),
            Self::MakeDirectory(path) => (Request::MakeDirectory { path_bytes: path.len() }, [path, ""]),
            Self::RemoveDirectory(path) => (Request::RemoveDirectory { path_bytes: path.len() }, [path, ""]),
            Self::Unmount => (Request::Unmount, ["", ""]),
        }
    }
}

/// Byte `index` of what step `step` appends: no two steps, and no two seeds, write the same.
pub const fn byte(seed: u64, step: usize, index: usize) -> u8 {
    let mixed = (seed ^ (step as u64) << 32 ^ index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_deduplicated_is_in_flight_once_at_least() {
        let labels: Vec<_> = ACTIONS.iter().map(|step| step.request().0.label() as u32).collect();
        for label in 0..64 {
            let deduplicated = protocols::files::DEDUPLICATED_LABELS >> label & 1 != 0;
            assert!(!deduplicated || labels.contains(&label), "label {label} is in no action");
        }
    }

    #[test]
    fn seeds_and_steps_write_different_bytes() {
        let bytes = |seed, step| (0..64).map(|index| byte(seed, step, index)).collect::<Vec<_>>();
        assert_ne!(bytes(1, 2), bytes(2, 2));
        assert_ne!(bytes(1, 2), bytes(1, 3));
    }
}
