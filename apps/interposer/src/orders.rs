//! Orders as bytes: reading them, and writing them on the host.
//!
//! They lie in the plan range behind the plan's entries, at [`OFFSET`]: a header, then the orders, for all interposers.

use alloc::vec::Vec;
use crc::{CRC_32_ISO_HDLC, Crc, Table};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISO_HDLC);

/// Where the orders begin, in bytes from the start of the plan range of 64 KiB. A full plan ends before.
pub const OFFSET: usize = 48 * 1024;

/// Most orders.
pub const ORDERS_MAX: usize = 64;

/// First field of the header: "SAMSLIES", little-endian.
const MAGIC: u64 = u64::from_le_bytes(*b"SAMSLIES");

/// The checksum covers everything from here on.
const CHECKED_FROM: usize = 12;

/// [`Order::requests`]: reads.
pub const READS: u32 = 1;
/// [`Order::requests`]: writes.
pub const WRITES: u32 = 2;
/// [`Order::requests`]: flushes.
pub const FLUSHES: u32 = 4;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
struct Header {
    magic: u64,
    crc: u32,
    count: u32,
}

/// A standing order to lie.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Order {
    /// Not before this virtual time in nanoseconds since power-on.
    pub at: u64,
    /// [`Lie`].
    pub lie: u32,
    /// Slot of the interposer that it is for.
    pub slot: u32,
    /// Requests that fit and are passed on before the first that is not.
    pub skip: u32,
    /// Then every n-th request that fits; 0 is 1.
    pub every: u32,
    /// How often, counted over all incarnations; 0: without end.
    pub count: u32,
    /// Which requests fit: [`READS`], [`WRITES`], [`FLUSHES`] or a sum of them. Those that the lie cannot be done to never
    /// fit.
    pub requests: u32,
    /// Requests for none of the blocks from this one on do not fit.
    pub first: u64,
    /// Up to this one, which does not count any more; 0: to the end of the medium.
    pub end: u64,
    /// What it means depends on the lie.
    pub argument: u64,
}

/// What is done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Lie {
    /// It is not passed on, and fails. Argument: [`protocols::block::Error`] by number; any other: `Device`.
    Error = 1,
    /// Of a write only some blocks are passed on. Argument: a bit for each block that is, the first lowest; for block 64 they
    /// begin again.
    Torn = 2,
    /// Of a write only the first blocks are passed on. Argument: how many, at most all but one.
    Short = 3,
    /// A write is not passed on.
    Lost = 4,
    /// Blocks are written to, or read from, another place. Argument: how far behind (of a negative number: before) the right
    /// one, in blocks.
    Misdirected = 5,
    /// A write is held back, over some flushes. Argument: over how many. Until then it is read as if it were written.
    HeldBack = 6,
    /// A bit is flipped in what is read or written. Argument: its number, modulo those of the request.
    Rot = 7,
    /// A read brings what was there before the last write that this incarnation has seen.
    Stale = 8,
    /// It is passed on later. Argument: nanoseconds.
    Delay = 9,
    /// It is never answered, nor is anything after it.
    Busy = 10,
}

impl Lie {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::Error,
        Self::Torn,
        Self::Short,
        Self::Lost,
        Self::Misdirected,
        Self::HeldBack,
        Self::Rot,
        Self::Stale,
        Self::Delay,
        Self::Busy,
    ];

    /// The lie with this number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|lie| *lie as u32 == code)
    }

    /// Requests that it can be done to.
    pub const fn requests(self) -> u32 {
        match self {
            Self::Error | Self::Delay | Self::Busy => READS | WRITES | FLUSHES,
            Self::Misdirected | Self::Rot => READS | WRITES,
            Self::Torn | Self::Short | Self::Lost | Self::HeldBack => WRITES,
            Self::Stale => READS,
        }
    }
}

impl Order {
    /// To do `lie` to every request that it can be done to, from power-on on.
    pub const fn new(slot: u32, lie: Lie) -> Self {
        Self {
            at: 0,
            lie: lie as u32,
            slot,
            skip: 0,
            every: 1,
            count: 0,
            requests: lie.requests(),
            first: 0,
            end: 0,
            argument: 0,
        }
    }
}

/// The orders for one slot.
pub type Orders = Vec<(Lie, Order)>;

/// The orders for `slot` in the plan range; none if there are none, they are damaged, or one has an unknown lie.
pub fn read(range: &[u8], slot: u32) -> Orders {
    whole(range).unwrap_or_default().into_iter().filter(|(_, order)| order.slot == slot).collect()
}

/// What tells the orders in the plan range from others: who has read them and finds another stamp reads them again.
pub fn stamp(range: &[u8]) -> u64 {
    let header = range.get(OFFSET..).and_then(|bytes| Header::read_from_prefix(bytes).ok());
    header.map_or(0, |(header, _)| header.magic ^ u64::from(header.crc) << 32 ^ u64::from(header.count))
}

fn whole(range: &[u8]) -> Option<Orders> {
    let bytes = range.get(OFFSET..)?;
    let (header, rest) = Header::read_from_prefix(bytes).ok()?;
    let count = header.count as usize;
    if header.magic != MAGIC || count > ORDERS_MAX {
        return None;
    }
    let covered = bytes.get(CHECKED_FROM..size_of::<Header>() + count * size_of::<Order>())?;
    if CRC.checksum(covered) != header.crc {
        return None;
    }
    let orders = rest.chunks_exact(size_of::<Order>()).take(count);
    orders.map(|bytes| Order::read_from_bytes(bytes).ok().and_then(known)).collect()
}

fn known(order: Order) -> Option<(Lie, Order)> {
    Lie::from_code(order.lie).map(|lie| (lie, order))
}

/// Puts orders behind the bytes of a plan.
///
/// # Panics
/// If the plan does not end before [`OFFSET`], or there are more than [`ORDERS_MAX`] orders.
pub fn add(plan: &mut Vec<u8>, orders: &[Order]) {
    assert!(plan.len() <= OFFSET && orders.len() <= ORDERS_MAX, "a plan of {} bytes", plan.len());
    plan.resize(OFFSET, 0);
    let mut header = Header { magic: MAGIC, crc: 0, count: orders.len() as u32 };
    let mut digest = CRC.digest();
    digest.update(&header.as_bytes()[CHECKED_FROM..]);
    digest.update(orders.as_bytes());
    header.crc = digest.finalize();
    plan.extend_from_slice(header.as_bytes());
    plan.extend_from_slice(orders.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes() -> Vec<u8> {
        let mut plan = vec![1; 100];
        add(&mut plan, &[Order::new(3, Lie::Rot), Order::new(4, Lie::Busy), Order::new(3, Lie::Lost)]);
        plan
    }

    #[test]
    fn each_slot_gets_its_orders() {
        assert_eq!(core::mem::offset_of!(Header, count), CHECKED_FROM);
        let (plan, lies) =
            (bytes(), |orders: Orders| orders.into_iter().map(|(lie, _)| lie).collect::<Vec<_>>());
        assert_eq!(lies(read(&plan, 3)), [Lie::Rot, Lie::Lost]);
        assert_eq!(read(&plan, 4), [(Lie::Busy, Order::new(4, Lie::Busy))]);
        assert_eq!(read(&plan, 5), []);
        assert_eq!(read(&vec![0; 1 << 16], 3), [], "no orders");
        assert_eq!(read(&[], 3), []);
        assert_ne!(stamp(&plan), stamp(&vec![0; 1 << 16]));
        assert_eq!(stamp(&[]), 0);
    }

    #[test]
    fn all_orders_fit_behind_a_full_plan() {
        let mut plan = vec![1; OFFSET];
        add(&mut plan, &[Order::new(0, Lie::Delay); ORDERS_MAX]);
        assert!(plan.len() <= 1 << 16);
        assert_eq!(read(&plan, 0).len(), ORDERS_MAX);
    }

    proptest! {
        #[test]
        fn damaged_orders_are_none(at in OFFSET..OFFSET + 16 + 3 * 56, bit in 0..8_u8) {
            let mut plan = bytes();
            plan[at] ^= 1 << bit;
            prop_assert!(read(&plan, 3).is_empty());
        }
    }
}
