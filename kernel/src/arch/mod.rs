//! What depends on the processor: all assembly, and nearly all `unsafe`.
//!
//! Rule: no assembly and no access to a system register anywhere else in the kernel.

#[path = "aarch64/mod.rs"]
pub mod aarch64;

pub use aarch64::*;
