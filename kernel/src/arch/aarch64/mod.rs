//! AArch64, ARMv8.0: entry, exceptions, address translation, physical memory.
//!
//! # Resources
//! Arm Architecture Reference Manual for A-profile, DDI 0487: D1 (exceptions), D8 (translation), D24 (registers).

pub mod boot;
pub mod context;
pub mod cpu;
pub mod exceptions;
pub mod fault_point;
pub mod memory;
pub mod paging;
