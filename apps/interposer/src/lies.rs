//! What is done to requests.

use crate::orders::{FLUSHES, Lie, Order, Orders, READS, WRITES};
use alloc::borrow::Cow;
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use protocols::block::{BLOCK_SIZE, Device, Error, Info};

/// Most blocks that are held back, and most whose former contents are kept.
const KEPT_MAX: usize = 256;

/// What time is to an interposer.
pub trait Waiter {
    /// Virtual nanoseconds since power-on.
    fn now_ns(&self) -> u64;

    /// Returns after this many nanoseconds.
    fn wait_ns(&mut self, ns: u64);

    /// Does not return on a board. In a test it may: then the request fails.
    fn wait_for_ever(&mut self);

    /// An order is carried out, before anything of it can be seen: who has to remember it beyond this incarnation does so
    /// now.
    fn done(&mut self, done: &Done);
}

/// What was done to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Number of the order among those for this slot.
    pub order: usize,
    /// How often it was carried out, this time included.
    pub times: u32,
    /// What.
    pub lie: Lie,
    /// [`READS`], [`WRITES`] or [`FLUSHES`].
    pub request: u32,
    /// First block of the request.
    pub lba: u64,
}

impl Done {
    /// What goes on the evidence line: order, times, lie and request in a byte each, then the block, little-endian.
    pub fn encode(&self) -> [u8; 12] {
        let mut bytes =
            [self.order as u8, self.times as u8, self.lie as u8, self.request as u8, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[4..].copy_from_slice(&self.lba.to_le_bytes());
        bytes
    }

    /// What [`Done::encode`] made; of the times only the lowest byte is known. `None` for anything else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&[order, times, lie, request], lba) = bytes.split_first_chunk()?;
        let lba = u64::from_le_bytes(lba.try_into().ok()?);
        Some(Self {
            order: order.into(),
            times: times.into(),
            lie: Lie::from_code(lie.into())?,
            request: request.into(),
            lba,
        })
    }
}

struct Standing {
    lie: Lie,
    order: Order,
    /// Requests that fitted.
    seen: u64,
    times: u32,
}

/// One block that was held back, and the flushes until it is passed on.
struct Held {
    lba: u64,
    data: Vec<u8>,
    flushes: u64,
}

/// Something between a client and a medium.
pub struct Interposer<D, W> {
    below: D,
    waiter: W,
    orders: Vec<Standing>,
    held: VecDeque<Held>,
    /// What blocks held before they were written last, if an order needs it.
    former: VecDeque<(u64, Vec<u8>)>,
    keeps_former: bool,
}

impl<D: Device, W: Waiter> Interposer<D, W> {
    /// Carries out `orders`, each of which was carried out `times` before.
    pub fn new(below: D, waiter: W, orders: Orders, times: &[u32]) -> Self {
        let times = times.iter().copied().chain(core::iter::repeat(0));
        let orders = orders.into_iter().zip(times);
        let orders: Vec<_> =
            orders.map(|((lie, order), times)| Standing { lie, order, seen: 0, times }).collect();
        let keeps_former = orders.iter().any(|order| order.lie == Lie::Stale);
        Self { below, waiter, orders, held: VecDeque::new(), former: VecDeque::new(), keeps_former }
    }

    /// Carries out these orders from now on, none of which was carried out before.
    pub fn obey_from_now_on(&mut self, orders: Orders) {
        self.orders =
            orders.into_iter().map(|(lie, order)| Standing { lie, order, seen: 0, times: 0 }).collect();
        self.keeps_former = self.orders.iter().any(|order| order.lie == Lie::Stale);
    }

    /// The medium below.
    pub const fn below(&mut self) -> &mut D {
        &mut self.below
    }

    /// How often each order was carried out.
    pub fn times(&self) -> impl Iterator<Item = u32> {
        self.orders.iter().map(|order| order.times)
    }

    /// The order that is due for a request for `count` blocks from `lba` on: the first that is. All that fit are counted.
    fn due(&mut self, request: u32, lba: u64, count: u64) -> Option<(Lie, u64)> {
        if self.orders.is_empty() {
            return None;
        }
        let (now, mut due) = (self.waiter.now_ns(), None);
        for (number, standing) in self.orders.iter_mut().enumerate() {
            if standing.fits(now, request, lba, count) && standing.is_due() && due.is_none() {
                standing.times += 1;
                due = Some((number, standing.times, standing.lie, standing.order.argument));
            }
        }
        let (order, times, lie, argument) = due?;
        self.waiter.done(&Done { order, times, lie, request, lba });
        Some((lie, argument))
    }

    /// Lets time pass, or fails, as ordered; everything else is left to the caller.
    fn obey(&mut self, due: Option<(Lie, u64)>) -> Result<Option<(Lie, u64)>, Error> {
        match due {
            Some((Lie::Error, number)) => {
                Err(Error::ALL.into_iter().find(|error| *error as u64 == number).unwrap_or(Error::Device))
            }
            Some((Lie::Delay, ns)) => {
                self.waiter.wait_ns(ns);
                Ok(None)
            }
            Some((Lie::Busy, _)) => {
                self.waiter.wait_for_ever();
                Err(Error::Timeout)
            }
            other => Ok(other),
        }
    }

    /// Passes a write on, after what was held back of these blocks is forgotten: it has been overwritten.
    fn put(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        let blocks = lba..lba.saturating_add(count(data));
        self.held.retain(|held| !blocks.contains(&held.lba));
        self.below.write(lba, data)
    }

    /// Passes on those of the blocks of a write for which `is_passed_on` says so.
    fn put_some(&mut self, lba: u64, data: &[u8], is_passed_on: impl Fn(u64) -> bool) -> Result<(), Error> {
        for (index, block) in (0..).zip(data.chunks(BLOCK_SIZE)) {
            if is_passed_on(index) {
                self.put(lba + index, block)?;
            }
        }
        Ok(())
    }

    fn hold(&mut self, lba: u64, data: &[u8], flushes: u64) -> Result<(), Error> {
        let blocks = lba..lba.saturating_add(count(data));
        self.held.retain(|held| !blocks.contains(&held.lba));
        for (lba, block) in (lba..).zip(data.chunks(BLOCK_SIZE)) {
            if self.held.len() == KEPT_MAX {
                self.let_go()?;
            }
            self.held.push_back(Held { lba, data: block.to_vec(), flushes });
        }
        Ok(())
    }

    /// Passes on the block that was held back for longest.
    fn let_go(&mut self) -> Result<(), Error> {
        let Some(held) = self.held.pop_front() else { return Ok(()) };
        self.below.write(held.lba, &held.data)
    }

    fn keep_former(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        if !self.keeps_former {
            return Ok(());
        }
        let mut former = vec![0; data.len()];
        self.below.read(lba, &mut former)?;
        for (lba, block) in (lba..).zip(former.chunks(BLOCK_SIZE)) {
            self.former.retain(|(other, _)| *other != lba);
            if self.former.len() == KEPT_MAX {
                self.former.pop_front();
            }
            self.former.push_back((lba, block.to_vec()));
        }
        Ok(())
    }

    /// The place that is `distance` from `lba`, if the medium has it for `count` blocks.
    fn elsewhere(&mut self, lba: u64, count: u64, distance: u64) -> Result<u64, Error> {
        let place = lba.wrapping_add(distance);
        let end = self.below.info()?.blocks;
        let is_there = place.checked_add(count).is_some_and(|last| last <= end);
        Ok(if is_there { place } else { lba.wrapping_sub(distance) % end.saturating_sub(count).max(1) })
    }
}

impl Standing {
    /// Whether a request fits; then it is counted.
    fn fits(&mut self, now: u64, request: u32, lba: u64, count: u64) -> bool {
        let order = &self.order;
        let is_there = request == FLUSHES
            || lba.saturating_add(count) > order.first && (order.end == 0 || lba < order.end);
        let fits = order.requests & self.lie.requests() & request != 0 && is_there && now >= order.at;
        self.seen += u64::from(fits);
        fits
    }

    /// Whether the request that was counted last is one that it is done to.
    fn is_due(&self) -> bool {
        let order = &self.order;
        let (skip, every) = (u64::from(order.skip), u64::from(order.every.max(1)));
        let is_nth = self.seen > skip && (self.seen - skip - 1).is_multiple_of(every);
        is_nth && (order.count == 0 || self.times < order.count)
    }
}

/// Blocks in a slice of whole blocks.
const fn count(bytes: &[u8]) -> u64 {
    (bytes.len() / BLOCK_SIZE) as u64
}

fn flip(bytes: &mut [u8], bit: u64) {
    let bit = (bit % (bytes.len() as u64 * 8)) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
}

/// Copies to `buffer`, which begins at block `first`, one block, if it is in it.
fn overlay(first: u64, buffer: &mut [u8], lba: u64, data: &[u8]) {
    if let Some(index) = lba.checked_sub(first)
        && let Some(target) = buffer.chunks_mut(BLOCK_SIZE).nth(index as usize)
    {
        target.copy_from_slice(data);
    }
}

impl<D: Device, W: Waiter> Device for Interposer<D, W> {
    fn info(&mut self) -> Result<Info, Error> {
        self.below.info()
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let due = self.due(READS, lba, count(buffer));
        let due = self.obey(due)?;
        let place = match due {
            Some((Lie::Misdirected, distance)) => self.elsewhere(lba, count(buffer), distance)?,
            _ => lba,
        };
        self.below.read(place, buffer)?;
        for held in &self.held {
            overlay(place, buffer, held.lba, &held.data);
        }
        match due {
            Some((Lie::Rot, bit)) => flip(buffer, bit),
            Some((Lie::Stale, _)) => {
                self.former.iter().for_each(|(former, data)| overlay(lba, buffer, *former, data));
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        let due = self.due(WRITES, lba, count(data));
        let due = self.obey(due)?;
        self.keep_former(lba, data)?;
        match due {
            None => self.put(lba, data),
            Some((Lie::Torn, bits)) => self.put_some(lba, data, |index| bits >> (index % 64) & 1 != 0),
            Some((Lie::Short, blocks)) => {
                let blocks = blocks.min(count(data) - 1);
                self.put_some(lba, data, |index| index < blocks)
            }
            Some((Lie::Misdirected, distance)) => {
                let place = self.elsewhere(lba, count(data), distance)?;
                self.put(place, data)
            }
            Some((Lie::HeldBack, flushes)) => self.hold(lba, data, flushes.max(1)),
            Some((Lie::Rot, bit)) => {
                let mut data = Cow::Borrowed(data);
                flip(data.to_mut(), bit);
                self.put(lba, &data)
            }
            Some(_) => Ok(()),
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let due = self.due(FLUSHES, 0, 0);
        self.obey(due)?;
        for held in &mut self.held {
            held.flushes -= 1;
        }
        let held = core::mem::take(&mut self.held).into_iter();
        let (due, held): (Vec<_>, Vec<_>) = held.partition(|held| held.flushes == 0);
        self.held = held.into();
        due.iter().try_for_each(|held| self.below.write(held.lba, &held.data))?;
        self.below.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const BLOCKS: usize = 16;

    struct Medium(Vec<u8>);

    impl Device for Medium {
        fn info(&mut self) -> Result<Info, Error> {
            Ok(Info { blocks: BLOCKS as u64, write_protected: false, identity: 0 })
        }

        fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
            buffer.copy_from_slice(&self.0[lba as usize * BLOCK_SIZE..][..buffer.len()]);
            Ok(())
        }

        fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
            self.0[lba as usize * BLOCK_SIZE..][..data.len()].copy_from_slice(data);
            Ok(())
        }

        fn flush(&mut self) -> Result<(), Error> {
            Ok(())
        }
    }

    #[derive(Default)]
    struct Watch {
        now: u64,
        waited: u64,
        done: Vec<Done>,
    }

    impl Waiter for &RefCell<Watch> {
        fn now_ns(&self) -> u64 {
            self.borrow().now
        }

        fn wait_ns(&mut self, ns: u64) {
            self.borrow_mut().waited += ns;
        }

        fn wait_for_ever(&mut self) {
            self.borrow_mut().waited = u64::MAX;
        }

        fn done(&mut self, done: &Done) {
            self.borrow_mut().done.push(*done);
        }
    }

    fn scene(
        watch: &RefCell<Watch>,
        lie: Lie,
        change: impl Fn(&mut Order),
    ) -> Interposer<Medium, &RefCell<Watch>> {
        let mut order = Order::new(0, lie);
        change(&mut order);
        Interposer::new(Medium(vec![0; BLOCKS * BLOCK_SIZE]), watch, vec![(lie, order)], &[])
    }

    /// First byte of each block of the medium, from `lba` on.
    fn firsts<W: Waiter>(scene: &mut Interposer<Medium, W>) -> Vec<u8> {
        scene.below().0.chunks(BLOCK_SIZE).map(|block| block[0]).collect()
    }

    fn written(lie: Lie, argument: u64) -> Vec<u8> {
        let watch = RefCell::default();
        let mut scene = scene(&watch, lie, |order| order.argument = argument);
        scene.write(4, &[7; 4 * BLOCK_SIZE]).unwrap();
        firsts(&mut scene)[2..12].to_vec()
    }

    #[test]
    fn writes_go_wrong_as_ordered() {
        assert_eq!(written(Lie::Torn, 0b1010), [0, 0, 0, 7, 0, 7, 0, 0, 0, 0]);
        assert_eq!(written(Lie::Short, 2), [0, 0, 7, 7, 0, 0, 0, 0, 0, 0]);
        assert_eq!(written(Lie::Short, 9), [0, 0, 7, 7, 7, 0, 0, 0, 0, 0]);
        assert_eq!(written(Lie::Lost, 0), [0; 10]);
        assert_eq!(written(Lie::Misdirected, 2), [0, 0, 0, 0, 7, 7, 7, 7, 0, 0]);
        assert_eq!(written(Lie::Misdirected, u64::MAX - 1), [7, 7, 7, 7, 0, 0, 0, 0, 0, 0]);
        assert_eq!(written(Lie::Rot, 512 * 8 + 1), [0, 0, 7, 5, 7, 7, 0, 0, 0, 0]);
        assert_eq!(written(Lie::Stale, 0), [0, 0, 7, 7, 7, 7, 0, 0, 0, 0], "not for writes");
    }

    #[test]
    fn what_is_held_back_is_read_and_comes_with_its_flush() {
        let watch = RefCell::default();
        let mut scene = scene(&watch, Lie::HeldBack, |order| (order.argument, order.count) = (2, 1));
        scene.write(1, &[7; BLOCK_SIZE]).unwrap();
        let mut block = [0; BLOCK_SIZE];
        scene.flush().unwrap();
        scene.read(1, &mut block).unwrap();
        assert_eq!((block[0], firsts(&mut scene)[1]), (7, 0));
        scene.flush().unwrap();
        assert_eq!(firsts(&mut scene)[1], 7);
    }

    #[test]
    fn what_is_overwritten_does_not_come_back() {
        let watch = RefCell::default();
        let mut scene = scene(&watch, Lie::HeldBack, |order| order.count = 1);
        scene.write(1, &[7; BLOCK_SIZE]).unwrap();
        scene.write(1, &[8; BLOCK_SIZE]).unwrap();
        scene.flush().unwrap();
        assert_eq!(firsts(&mut scene)[1], 8);
    }

    #[test]
    fn reads_go_wrong_as_ordered() {
        let watch = RefCell::default();
        let mut scene = scene(&watch, Lie::Stale, |order| order.count = 1);
        let mut block = [9; BLOCK_SIZE];
        for byte in [1, 2] {
            scene.write(3, &[byte; BLOCK_SIZE]).unwrap();
        }
        scene.read(3, &mut block).unwrap();
        assert_eq!(block, [1; BLOCK_SIZE]);
        scene.read(3, &mut block).unwrap();
        assert_eq!(block, [2; BLOCK_SIZE]);
        let done = Done { order: 0, times: 1, lie: Lie::Stale, request: READS, lba: 3 };
        assert_eq!(watch.borrow().done, [done]);
        assert_eq!(Done::decode(&done.encode()), Some(done));
        assert_eq!(Done::decode(&[0; 12]), None);
    }

    #[test]
    fn orders_are_due_at_their_time_place_and_number() {
        let watch = RefCell::default();
        let mut scene = scene(&watch, Lie::Error, |order| {
            (order.at, order.skip, order.every, order.count, order.requests) = (100, 1, 2, 2, READS);
            (order.first, order.end, order.argument) = (5, 7, 8);
        });
        let mut fails = |lba| scene.read(lba, &mut [0; BLOCK_SIZE]) == Err(Error::Corrupt);
        assert!((0..8).all(|_| !fails(5)), "not yet");
        watch.borrow_mut().now = 100;
        assert!((0..8).all(|_| !fails(4) && !fails(7)), "elsewhere");
        let failed = [5, 6, 5, 6, 5, 6, 5].map(fails);
        assert_eq!(failed, [false, true, false, true, false, false, false]);
    }

    #[test]
    fn time_passes_and_what_a_predecessor_did_counts() {
        let watch = RefCell::default();
        let mut delay = scene(&watch, Lie::Delay, |order| order.argument = 50);
        delay.flush().unwrap();
        assert_eq!(watch.borrow().waited, 50);
        let mut order = Order::new(0, Lie::Busy);
        order.count = 1;
        let busy = |times| {
            let medium = Medium(vec![0; BLOCKS * BLOCK_SIZE]);
            Interposer::new(medium, &watch, vec![(Lie::Busy, order)], &[times])
        };
        assert_eq!(busy(1).flush(), Ok(()));
        assert_eq!(busy(0).flush(), Err(Error::Timeout));
        assert_eq!(watch.borrow().waited, u64::MAX);
    }
}
