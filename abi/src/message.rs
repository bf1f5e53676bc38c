//! Messages: a label and eight registers, and the identity of a call.
//!
//! *Rule.* Everything here fits into registers: a message needs no memory of the kernel, and what is larger is moved by grant.

use crate::SlotId;

/// Words of data in a message.
pub const WORDS: usize = 8;

/// Labels of requests lie below this number, so that a service's marks and a caller's rights are 64-bit sets.
pub const LABELS: u64 = 64;

/// Grants that one call can carry.
pub const GRANTS: usize = 2;

/// In a grant's length word: the server may write to the window. Without it the server may read from it.
pub const GRANT_WRITABLE: u64 = 1 << 63;

/// Longest window of a grant in bytes.
pub const GRANT_MAX: u64 = 1 << 20;

/// A deadline that never comes.
pub const NEVER: u64 = u64::MAX;

/// Identity of a call: slot of the sender (8 bits) and number of the call (56 bits).
///
/// The number counts the calls of the *slot* and is never reset by a restart, so that the pair names one call of one
/// incarnation until the board is reset. A reply is accepted only for the call id that is in service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct CallId(pub u64);

impl CallId {
    /// Joins the slot and the number of a call.
    pub const fn new(slot: SlotId, number: u64) -> Self {
        Self((slot as u64) << 56 | (number & ((1 << 56) - 1)))
    }

    /// Slot of the sender.
    pub const fn slot(self) -> SlotId {
        (self.0 >> 56) as SlotId
    }

    /// Number of the call within its slot.
    pub const fn number(self) -> u64 {
        self.0 & ((1 << 56) - 1)
    }
}

/// What travels in registers `x2` to `x10`: a label and eight words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Message {
    /// In a request: which operation. In a reply: the protocol's status.
    pub label: u64,
    /// The operation's arguments or results.
    pub words: [u64; WORDS],
}

impl Message {
    /// A message whose words are `words` followed by zeros; words beyond the eighth are left out.
    pub fn new(label: u64, words: &[u64]) -> Self {
        let mut message = Self { label, ..Self::default() };
        for (to, from) in message.words.iter_mut().zip(words) {
            *to = *from;
        }
        message
    }
}

/// What the kernel says of a received request besides its message: register `x11`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Meta {
    /// Slot of the sender.
    pub sender: SlotId,
    /// How often this call was delivered before, to incarnations that died with it (255 stands for "255 or more").
    pub attempt: u8,
    /// Incarnation of the sender.
    pub incarnation: u32,
}

impl Meta {
    /// Packs the fields into one register.
    pub const fn to_word(self) -> u64 {
        self.sender as u64 | (self.attempt as u64) << 8 | (self.incarnation as u64) << 32
    }

    /// Unpacks what [`Meta::to_word`] packed.
    pub const fn from_word(word: u64) -> Self {
        Self { sender: word as u8, attempt: (word >> 8) as u8, incarnation: (word >> 32) as u32 }
    }
}

/// Notification bits that the kernel sets. Peers may set bits 0 to 31 only.
pub mod bits {
    /// Bits that a component may set with `notify`.
    pub const PEER: u64 = 0xFFFF_FFFF;
    /// IRQ line `i` of the receiver's manifest entry is bit `IRQ_FIRST + i`.
    pub const IRQ_FIRST: u32 = 32;
    /// A slot that the receiver controls has died: read the records with `inspect`.
    pub const DEATH: u64 = 1 << 62;
    /// Heartbeat: to receive it is the answer.
    pub const HEARTBEAT: u64 = 1 << 63;
}
