//! Media that lie: what the client reads is right, or an error.

use super::medium::{Medium, contents};
use super::model::{Ask, Client, asks};
use super::{TOTAL, layer};
use crate::{Finding, Geometry, Layer};
use interposer_core::orders::{READS, WRITES};
use interposer_core::{Done, Interposer, Lie, Order, Orders, Waiter};
use proptest::prelude::*;
use protocols::block::{BLOCK_SIZE, Device, Error};
use std::vec;
use std::vec::Vec;

struct NoTime;

impl Waiter for NoTime {
    fn now_ns(&self) -> u64 {
        1
    }

    fn wait_ns(&mut self, _: u64) {}

    fn wait_for_ever(&mut self) {}

    fn done(&mut self, _: &Done) {}
}

fn geometry() -> Geometry {
    Geometry::of(TOTAL).unwrap()
}

fn liar(medium: &mut Medium, orders: Orders) -> Interposer<&mut Medium, NoTime> {
    Interposer::new(medium, NoTime, orders, &[])
}

/// Orders to lie now and then, about the client's blocks, the table's, or both.
fn orders() -> impl Strategy<Value = Orders> {
    let place = prop_oneof![
        Just((0, 0)),
        Just((0, geometry().data)),
        Just((geometry().data, 0)),
        (0..TOTAL).prop_map(|first| (first, first + 20)),
    ];
    let order = (0..Lie::ALL.len(), 0..20_u32, 1..6_u32, 0..6_u32, any::<u64>(), place);
    let order = order.prop_map(|(lie, skip, every, count, argument, (first, end))| {
        let lie = Lie::ALL[lie];
        // Near places and few flushes are more likely to do harm than any.
        let argument = match lie {
            Lie::Misdirected => argument % 5 + u64::from(argument & 64 == 0) * 60,
            Lie::HeldBack => argument % 4,
            _ => argument,
        };
        (lie, Order { skip, every, count, argument, first, end, ..Order::new(0, lie) })
    });
    proptest::collection::vec(order, 1..4)
}

/// Without those for which the crate's head says that a death of the layer may hide them: data and table go back alike, or the
/// read that is to find out where the table was written goes the same wrong way.
fn without_going_back(mut orders: Orders) -> Orders {
    for (lie, order) in &mut orders {
        match lie {
            Lie::Stale => order.end = geometry().data,
            Lie::Misdirected => order.requests = WRITES,
            _ => {}
        }
    }
    orders
}

proptest! {
    #[test]
    fn a_liar_is_not_believed(orders in orders(), asks in asks(geometry().data, 60)) {
        let (mut medium, mut client) = (Medium::formatted(TOTAL), Client::new(geometry().data));
        let mut layer = Layer::new(liar(&mut medium, orders), |_| {}, 0, None);
        asks.iter().for_each(|ask| client.ask(&mut layer, *ask, false));
        client.read_all(&mut layer, false);
    }

    #[test]
    fn nor_is_it_by_the_next_incarnation(
        orders in orders().prop_map(without_going_back),
        lives in proptest::collection::vec(asks(geometry().data, 20), 1..4),
    ) {
        let (mut medium, mut client) = (Medium::formatted(TOTAL), Client::new(geometry().data));
        let mut liar = liar(&mut medium, orders);
        for asks in &lives {
            let mut layer = Layer::new(&mut liar, |_| {}, 0, None);
            asks.iter().for_each(|ask| client.ask(&mut layer, *ask, false));
            client.lose();
        }
        client.read_all(&mut Layer::new(&mut liar, |_| {}, 0, None), false);
    }
}

/// Writes versions 1 and 2 of blocks 10 to 13, then lies about version 3 or while it is read. Returns what writing and reading it
/// came to, and what was found.
fn told(lie: Lie, argument: u64, count: u32, flushed: bool) -> (Result<(), Error>, Vec<Finding>) {
    let (mut medium, mut found) = (Medium::formatted(TOTAL), Vec::new());
    let order = Order { argument, count, first: 10, end: 14, ..Order::new(0, lie) };
    let result = {
        // Of what can be done to both, only reads are told wrong here.
        let requests = if order.requests == READS | WRITES { READS } else { order.requests };
        // Each write is read back.
        let skip = if requests == WRITES { 2 } else { 3 };
        let order = Order { requests, skip, ..order };
        let mut layer =
            Layer::new(liar(&mut medium, vec![(lie, order)]), |finding| found.push(finding), 0, None);
        for version in 1..=2 {
            layer.write(10, &contents(10..14, version)).unwrap();
        }
        let written = layer.write(10, &contents(10..14, 3));
        if flushed {
            layer.flush().unwrap();
        }
        let mut read = vec![0; 4 * BLOCK_SIZE];
        let result = layer.read(10, &mut read);
        assert!(result.is_err() || read == contents(10..14, 3), "{lie:?}");
        assert!(
            written.is_ok() || result.is_err(),
            "{lie:?}: not there when it was read back, and there now"
        );
        written.and(result)
    };
    (result, found)
}

#[test]
fn each_lie_about_a_write_is_found_at_once_and_mended_unless_it_is_told_again() {
    let not_kept =
        |found: &[Finding]| found.iter().filter(|it| matches!(it, Finding::NotKept { .. })).count();
    for flushed in [false, true] {
        for (lie, argument) in [(Lie::Torn, 0b0101), (Lie::Short, 3), (Lie::Lost, 0)] {
            let (result, found) = told(lie, argument, 0, flushed);
            assert_eq!((result, not_kept(&found)), (Err(Error::Integrity), 2), "{lie:?}: {found:?}");
            let (result, found) = told(lie, argument, 1, flushed);
            assert_eq!((result, not_kept(&found)), (Ok(()), 1), "{lie:?}: {found:?}");
        }
        assert_eq!(told(Lie::HeldBack, 1, 0, flushed), (Ok(()), vec![]), "no lie while the power is on");
    }
}

#[test]
fn a_lie_about_a_read_is_mended_unless_it_is_told_again() {
    for (lie, argument) in [(Lie::Rot, 5000), (Lie::Misdirected, 1), (Lie::Stale, 0)] {
        let (result, found) = told(lie, argument, 1, true);
        assert_eq!(result, Ok(()), "{lie:?}: {found:?}");
        assert!(
            found.iter().any(|finding| matches!(finding, Finding::Mended { attempts: 2, .. })),
            "{lie:?}"
        );
        let (result, found) = told(lie, argument, 0, true);
        assert_eq!(result, Err(Error::Integrity), "{lie:?}: {found:?}");
    }
}

#[test]
fn a_misdirected_write_is_found_in_both_places() {
    let mut medium = Medium::formatted(TOTAL);
    let order =
        Order { argument: 100, first: 10, end: 11, requests: WRITES, ..Order::new(0, Lie::Misdirected) };
    let mut layer = Layer::new(liar(&mut medium, vec![(Lie::Misdirected, order)]), |_| {}, 0, None);
    assert_eq!(layer.write(10, &contents(10..11, 1)), Err(Error::Integrity));
    layer.flush().unwrap();
    for lba in [10, 110] {
        assert_eq!(layer.read(lba, &mut [0; BLOCK_SIZE]), Err(Error::Integrity), "{lba}");
    }
    assert_eq!(layer.read(11, &mut [0; BLOCK_SIZE]), Ok(()));
}

#[test]
fn a_table_that_is_not_kept_is_written_again_or_the_flush_fails() {
    for (count, expected) in [(1, Ok(())), (0, Err(Error::Integrity))] {
        let (mut medium, mut found) = (Medium::formatted(TOTAL), Vec::new());
        // The first write of the table is the announcement, the second settles.
        let order = Order { skip: 1, count, first: geometry().data, ..Order::new(0, Lie::Lost) };
        let mut layer =
            Layer::new(liar(&mut medium, vec![(Lie::Lost, order)]), |finding| found.push(finding), 0, None);
        layer.write(10, &contents(10..11, 1)).unwrap();
        assert_eq!(layer.flush(), expected);
        drop(layer);
        assert!(matches!(found[0], Finding::NotKept { .. }), "{found:?}");
    }
}

#[test]
fn a_busy_or_failing_medium_is_an_error_and_nothing_worse() {
    for lie in [Lie::Error, Lie::Busy] {
        let mut medium = Medium::formatted(TOTAL);
        let order = Order { skip: 6, every: 3, ..Order::new(0, lie) };
        let mut client = Client::new(geometry().data);
        let mut layer = Layer::new(liar(&mut medium, vec![(lie, order)]), |_| {}, 0, None);
        for _ in 0..50 {
            for ask in [Ask::Write { lba: 3, count: 9 }, Ask::Read { lba: 0, count: 12 }, Ask::Flush] {
                client.ask(&mut layer, ask, true);
            }
        }
        assert!(client.failed > 10 && client.answered > 10, "{} {}", client.failed, client.answered);
    }
    let mut medium = Medium::formatted(TOTAL);
    assert_eq!(layer(&mut medium).read(0, &mut [0; BLOCK_SIZE]), Ok(()));
}
