//! The checkpoint: state that the next incarnation finds.
//!
//! *Rule.* State is committed *before* its effect is visible outside. A commit is atomic: the next incarnation finds the
//! old state or the new one.
//!
//! *Why versions.* A checkpoint may have been written by another image of the same component; what cannot be understood
//! counts as absent.

use crate::{exit, sys};
use abi::Status;
use abi::record::DeathClass;
use serde::{Serialize, de::DeserializeOwned};

/// Replaces the checkpoint by `data`. [`Status::QuotaExceeded`] if it is longer than the manifest allows.
pub fn commit(data: &[u8]) -> Result<(), Status> {
    sys::checkpoint_commit(data)
}

/// Reads the checkpoint into `buffer` and returns its bytes; `None` if there is none, or one that is longer than `buffer`
/// and so was written by another image. A damaged checkpoint ends this incarnation: RS then starts the next one without it.
pub fn load(buffer: &mut [u8]) -> Option<&[u8]> {
    match sys::checkpoint_load(buffer) {
        Ok(length) => buffer.get(..length),
        Err(Status::Nothing) => None,
        Err(Status::Corrupt) => exit(DeathClass::CheckpointCorrupt, "checkpoint is damaged"),
        Err(status) => panic!("checkpoint cannot be loaded: {status:?}"),
    }
}

/// Why a value was not committed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "an effect must not become visible before its state is committed"]
pub enum CommitError {
    /// The encoded value does not fit into the buffer.
    Buffer,
    /// The kernel refused.
    Kernel(Status),
}

/// Commits `value`, encoded with its format's `version` in `buffer`.
pub fn commit_value<T: Serialize>(version: u16, value: &T, buffer: &mut [u8]) -> Result<(), CommitError> {
    let encoded = postcard::to_slice(&(version, value), buffer).map_err(|_| CommitError::Buffer)?;
    commit(encoded).map_err(CommitError::Kernel)
}

/// Loads the value that [`commit_value`] committed; `None` if there is none, or none of this version.
pub fn load_value<T: DeserializeOwned>(version: u16, buffer: &mut [u8]) -> Option<T> {
    let data = load(buffer)?;
    let (found, rest) = postcard::take_from_bytes::<u16>(data).ok()?;
    if found != version {
        return None;
    }
    postcard::from_bytes(rest).ok()
}
