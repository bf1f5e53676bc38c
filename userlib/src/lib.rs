//! What a component links: start-up, system calls, calls and the server loop, checkpoint, heap and logging.
//!
//! *Role.* Between `abi`, which only says what registers mean, and a component, which should hold no `unsafe` at all.
//! A component's `main.rs` names its entry with [`entry!`] and what it uses with [`binding!`]; the rest is typed.
//!
//! *Rule.* One file holds all system calls ([`sys`]); nothing here keeps state that would have to survive a death.
//!
//! *Why.* A component is restarted by being started: whatever start-up cannot set up again from the manifest and the
//! checkpoint would be lost state by design.
//!
//! Built for the host, the crate holds only what needs no kernel, for the tests of device layers.

#![cfg_attr(not(test), no_std)]

pub mod device;
pub mod text;
pub mod time;

#[cfg(target_os = "none")]
pub mod arguments;
#[cfg(target_os = "none")]
pub mod bindings;
#[cfg(target_os = "none")]
pub mod checkpoint;
#[cfg(target_os = "none")]
pub mod client;
#[cfg(target_os = "none")]
pub mod control;
#[cfg(target_os = "none")]
pub mod driver;
#[cfg(target_os = "none")]
mod fault_stub;
#[cfg(target_os = "none")]
mod heap;
#[cfg(target_os = "none")]
pub mod log;
#[cfg(target_os = "none")]
mod panic;
#[cfg(target_os = "none")]
pub mod plan;
#[cfg(target_os = "none")]
pub mod server;
#[cfg(target_os = "none")]
pub mod start;
#[cfg(target_os = "none")]
pub mod supplier;
#[cfg(target_os = "none")]
pub mod sys;

#[cfg(target_os = "none")]
pub use crate::{
    bindings::Peer,
    client::{CallError, Client, Grant, Grants, NO_GRANTS},
    driver::{Irq, Window},
    panic::exit,
    server::{Answer, Event, Request, Server, recv, recv_notifications, serve, sleep_until},
    start::Start,
    time::Instant,
};
pub use abi;
pub use abi::{CallId, Message, Outcome, SlotId, Status, message::Meta, record::DeathClass};
