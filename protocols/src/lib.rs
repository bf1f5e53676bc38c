//! The messages between components: one module per service, each message defined once.
//!
//! Rule: every label has one of three marks, which the kernel reads from the rights table when a server dies with a
//! request in service. *Idempotent*: delivered again. *Deduplicated*: delivered again, and recognised by its call id.
//! Neither: at most once, fails as unknown.
//!
//! Why: whether a request may be repeated after a death is then a rule of its protocol, and not a guess of each client.

#![no_std]
#![forbid(unsafe_code)]

pub mod bench;
pub mod block;
pub mod bytes;
pub mod console;
pub mod echo;
pub mod files;
pub mod gpio;
pub mod progress;
pub mod registers;
pub mod reincarnation;

/// What the build needs to know about a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// Name that manifests use.
    pub name: &'static str,
    /// Labels that exist: bit n is label n.
    pub labels: u64,
    /// Labels that are delivered again: bit n is label n.
    pub idempotent: u64,
    /// Labels that are delivered again and recognised by their call id.
    pub deduplicated: u64,
}

impl Service {
    /// The same messages under another name: a service of its own.
    #[must_use]
    pub const fn named(self, name: &'static str) -> Self {
        Self { name, ..self }
    }
}

/// All services that a manifest can name. Those of drivers that the command `new` has made come last.
pub const SERVICES: &[Service] = &[
    bench::SERVICE,
    block::SERVICE,
    // A block service below another one: what layers between a driver and a file server call.
    block::SERVICE.named("medium"),
    block::SERVICE.named("card"),
    console::SERVICE,
    echo::SERVICE,
    files::SERVICE,
    gpio::SERVICE,
    progress::SERVICE,
    bytes::SERVICE.named("random"),
    reincarnation::SERVICE,
];
