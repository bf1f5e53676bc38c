//! What depends on the processor: all assembly, and nearly all `unsafe`.

#[path = "aarch64/mod.rs"]
pub mod aarch64;

pub use aarch64::*;
