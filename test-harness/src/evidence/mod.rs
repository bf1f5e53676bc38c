//! The evidence line: bytes in, frames and text out; the trace hash; logs.
//!
//! *Rule.* Nothing is skipped: bytes that are no frame are handed on as damage, and the oracle makes a finding of them.

mod build_id;
mod frame;
mod hash;
pub mod log;
mod split;
pub mod symbols;

pub use build_id::{ID_BYTES, build_id};
pub use frame::{Clock, Recorded};
pub use hash::{TraceHash, hex};
pub use split::{Item, Splitter};
