//! The shell's logic: what a key does to the line, what a line means, how answers look.
//!
//! *Role.* Everything of the shell that needs no kernel; `main.rs` is the process around it.
//!
//! *Rule.* Bytes in, state and bytes out. The whole state of the line is data, which goes to the checkpoint.
//!
//! *Why.* The console driver may die between any two keys, and so may the shell: whoever lives redraws the row from the
//! state, and nothing that was typed is lost.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod command;
pub mod complete;
pub mod editor;
pub mod parse;
pub mod report;
pub mod table;

pub use command::{Command, Verb};
