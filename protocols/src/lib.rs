//! (placeholder)
#![no_std]

pub mod files;
