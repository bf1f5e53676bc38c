//! Bindings: what a component uses, by name; the build fills in the numbers.
//!
//! *Role.* A record of each name lies in the section `.samsara.bindings` of the ELF file. The build looks every name up
//! in the manifest entry and patches number and value into the image, so that handle numbers are constants, one ELF file
//! serves many manifests, and a name that the manifest lacks is a build error.

use crate::client::Client;
use crate::driver::{Irq, Window};
use crate::sys;
use abi::{SlotId, Status};
use core::ptr;

/// Number of a record whose name the manifest does not have.
const ABSENT: u32 = u32::MAX;
/// Longest name, with a leading `?`, in bytes.
const NAME_MAX: usize = 48;

/// One name, as it lies in the section.
#[repr(C)]
pub struct Binding {
    kind: u32,
    number: u32,
    value: u64,
    name: [u8; NAME_MAX],
}

const _: () = assert!(size_of::<Binding>() == 64, "the build reads records of 64 bytes");

impl Binding {
    /// A record that the build has not filled in. `name` begins with `?` if the manifest may lack it.
    #[doc(hidden)]
    pub const fn new(kind: u32, name: &str) -> Self {
        assert!(name.len() <= NAME_MAX, "a name in a binding has at most 48 bytes");
        Self { kind, number: ABSENT, value: 0, name: abi::name_field(name) }
    }

    /// Number and value that the build put here; `None` if the manifest lacks the name.
    fn read(&'static self) -> Option<(u32, u64)> {
        // SAFETY: 1. `self` is a valid record, and nothing writes to it while the component runs. 2. Volatile, because
        //    the value in the image is not the one that the compiler knows of this constant.
        let (number, value) = unsafe {
            (ptr::read_volatile(&raw const self.number), ptr::read_volatile(&raw const self.value))
        };
        (number != ABSENT).then_some((number, value))
    }
}

/// What can be made of a binding; for [`binding!`](crate::binding).
#[doc(hidden)]
pub trait Bound: Sized {
    /// From number and value.
    fn from_binding(number: u32, value: u64) -> Self;

    /// Of a name that the manifest may lack.
    fn optional(record: &'static Binding) -> Option<Self> {
        record.read().map(|(number, value)| Self::from_binding(number, value))
    }

    /// Of a name that the build has found in the manifest.
    fn required(record: &'static Binding) -> Self {
        Self::optional(record).expect("image was not built by the image builder")
    }
}

impl Bound for Client {
    fn from_binding(number: u32, value: u64) -> Self {
        Self::new(number, value)
    }
}

impl Bound for Irq {
    fn from_binding(number: u32, _value: u64) -> Self {
        Self::new(number)
    }
}

impl Bound for Window {
    fn from_binding(number: u32, value: u64) -> Self {
        Self::new(number, value != 0)
    }
}

/// A component that this one may notify.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer(SlotId);

impl Bound for Peer {
    fn from_binding(number: u32, _value: u64) -> Self {
        Self(number as SlotId)
    }
}

impl Peer {
    /// The peer in this slot; a server's callers are such, by `request.sender.sender`.
    pub const fn new(slot: SlotId) -> Self {
        Self(slot)
    }

    /// Slot of the peer.
    pub const fn slot(self) -> SlotId {
        self.0
    }

    /// Sets bits ([`abi::message::bits::PEER`]) in the peer's notification word. Never blocks.
    pub fn notify(self, bits: u64) -> Result<(), Status> {
        sys::notify(u32::from(self.0), bits)
    }
}

/// Value of a parameter.
impl Bound for u64 {
    fn from_binding(_number: u32, value: u64) -> Self {
        value
    }
}

/// Slot of a component.
impl Bound for SlotId {
    fn from_binding(number: u32, _value: u64) -> Self {
        number as SlotId
    }
}

/// What the manifest entry gives under a name: `binding!(call "block")` is a [`Client`], `irq` an [`Irq`], `window` a
/// [`Window`], `notify` a [`Peer`], `parameter` a `u64`, `slot` a [`SlotId`], `server` the [`SlotId`] of who serves that. With `?` after the kind the manifest may
/// lack the name, and the value is an `Option`.
///
/// Make the value once, at start-up: a client's deadline is converted to ticks then.
#[macro_export]
macro_rules! binding {
    (call $($rest:tt)+) => { $crate::binding!(@ 1, $crate::Client, $($rest)+) };
    (irq $($rest:tt)+) => { $crate::binding!(@ 2, $crate::Irq, $($rest)+) };
    (window $($rest:tt)+) => { $crate::binding!(@ 3, $crate::Window, $($rest)+) };
    (notify $($rest:tt)+) => { $crate::binding!(@ 4, $crate::Peer, $($rest)+) };
    (parameter $($rest:tt)+) => { $crate::binding!(@ 5, u64, $($rest)+) };
    (slot $($rest:tt)+) => { $crate::binding!(@ 6, $crate::SlotId, $($rest)+) };
    (server $($rest:tt)+) => { $crate::binding!(@ 7, $crate::SlotId, $($rest)+) };
    (@ $kind:literal, $type:ty, ? $name:literal) => {
        <$type as $crate::bindings::Bound>::optional($crate::binding!(# $kind, concat!("?", $name)))
    };
    (@ $kind:literal, $type:ty, $name:literal) => {
        <$type as $crate::bindings::Bound>::required($crate::binding!(# $kind, $name))
    };
    (# $kind:literal, $name:expr) => {{
        #[used]
        #[unsafe(link_section = ".samsara.bindings")]
        static RECORD: $crate::bindings::Binding = $crate::bindings::Binding::new($kind, $name);
        &RECORD
    }};
}
