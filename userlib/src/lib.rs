//! (placeholder)
#![no_std]

pub mod device;
