//! The layer over simulated media.

mod crashes;
mod lies;
mod medium;
mod model;

use crate::{ENTRIES, Finding, Geometry, Layer, format, scrub};
use medium::{Medium, contents};
use protocols::block::{BLOCK_SIZE, Device, Error};
use std::vec;
use std::vec::Vec;

/// Blocks of the medium: more blocks of the table than the smallest cache holds.
const TOTAL: u64 = 1000;

/// A layer that must not find anything.
fn calm(medium: &mut Medium) -> Layer<&mut Medium, impl FnMut(Finding)> {
    Layer::new(medium, |finding| panic!("an honest medium is accused: {finding:?}"), 0, None)
}

/// A layer that may find anything.
fn layer(medium: &mut Medium) -> Layer<&mut Medium, impl FnMut(Finding)> {
    Layer::new(medium, |_| {}, 0, None)
}

#[test]
fn what_is_written_is_read_and_the_rest_is_as_it_was() {
    let mut medium = Medium::formatted(TOTAL);
    let mut layer = calm(&mut medium);
    let blocks = layer.info().unwrap().blocks;
    assert_eq!(Some(blocks), Geometry::of(TOTAL).map(|geometry| geometry.data));
    layer.write(60, &contents(60..66, 1)).unwrap();
    let mut read = vec![0; 8 * BLOCK_SIZE];
    layer.read(59, &mut read).unwrap();
    let zeros = vec![0; BLOCK_SIZE];
    assert_eq!(read, [zeros.clone(), contents(60..66, 1), zeros].concat());
    let last = blocks - 1;
    layer.write(last, &contents(last..blocks, 2)).unwrap();
    assert_eq!(layer.write(last, &contents(last..blocks + 1, 2)), Err(Error::OutOfRange));
    assert_eq!(layer.read(u64::MAX, &mut read), Err(Error::OutOfRange));
}

#[test]
fn what_a_request_costs() {
    let mut medium = Medium::formatted(TOTAL);
    let mut layer = calm(&mut medium);
    layer.info().unwrap();
    let mut cost = |what: &dyn Fn(&mut Layer<_, _>)| {
        let before = layer.device().requests;
        what(&mut layer);
        let after = layer.device().requests;
        [after.reads - before.reads, after.writes - before.writes, after.flushes - before.flushes]
    };
    let write = |lba, count, version| {
        move |layer: &mut Layer<_, _>| layer.write(lba, &contents(lba..lba + count, version)).unwrap()
    };
    let read = |layer: &mut Layer<_, _>| layer.read(0, &mut vec![0; 128 * BLOCK_SIZE]).unwrap();
    assert_eq!(
        cost(&write(0, 128, 1)),
        [2, 2, 1],
        "table read, data read back; table, data; one flush between"
    );
    assert_eq!(cost(&write(200, 8, 1)), [2, 2, 1]);
    assert_eq!(cost(&write(0, 128, 2)), [1, 2, 1], "the table is in memory");
    assert_eq!(cost(&write(0, 128, 2)), [1, 1, 0], "the same again");
    assert_eq!(cost(&write(0, 128, 3)), [1, 2, 2], "over the last request");
    assert_eq!(cost(&read), [1, 0, 0]);
    assert_eq!(
        cost(&|layer| layer.flush().unwrap()),
        [1, 1, 2],
        "four blocks of the table, beside each other"
    );
    assert_eq!(cost(&|layer| layer.flush().unwrap()), [0, 0, 1], "nothing to settle");
}

#[test]
fn a_medium_without_a_table_is_refused_and_so_is_another_size() {
    let mut blank = Medium::blank(TOTAL);
    assert_eq!(layer(&mut blank).info(), Err(Error::Unsupported));
    assert_eq!(layer(&mut blank).read(0, &mut [0; BLOCK_SIZE]), Err(Error::Unsupported));
    assert_eq!(layer(&mut Medium::blank(5)).info(), Err(Error::Unsupported));
    let mut larger = Medium::formatted(TOTAL);
    larger.grow(1);
    assert_eq!(layer(&mut larger).info(), Err(Error::Unsupported));
}

/// To make room is to write all that is unsettled, which must not count as a use: the request's own were used before.
#[test]
fn the_blocks_of_the_table_that_a_request_needs_stay_together() {
    let mut medium = Medium::formatted(TOTAL);
    let mut layer = calm(&mut medium);
    for table in [0, 3, 4, 5, 6, 7, 8, 9] {
        let lba = table * ENTRIES;
        layer.write(lba, &contents(lba..lba + 1, 1)).unwrap();
    }
    layer.write(62, &contents(62..190, 1)).unwrap();
}

#[test]
fn one_superblock_is_enough() {
    let geometry = Geometry::of(TOTAL).unwrap();
    for rotten in geometry.superblocks() {
        let mut medium = Medium::formatted(TOTAL);
        medium.rot(rotten, 77);
        assert_eq!(calm(&mut medium).info().unwrap().blocks, geometry.data);
    }
}

#[test]
fn a_rotten_block_of_the_table_takes_its_blocks_with_it_and_no_others() {
    let mut medium = Medium::formatted(TOTAL);
    medium.rot(Geometry::of(TOTAL).unwrap().table_block(1), 1000);
    let mut found = Vec::new();
    let mut layer = Layer::new(&mut medium, |finding| found.push(finding), 0, None);
    layer.info().unwrap();
    let mut block = [0; BLOCK_SIZE];
    for lba in [62, 126] {
        assert_eq!(layer.read(lba, &mut block), Ok(()));
    }
    for lba in [63, 125] {
        assert_eq!(layer.read(lba, &mut block), Err(Error::Integrity));
        assert_eq!(layer.write(lba, &block), Err(Error::Integrity));
    }
    assert_eq!(scrub(&mut medium).unwrap(), (63..126).collect::<Vec<_>>());
    assert!(found.iter().all(|finding| matches!(finding, Finding::Table { .. })));
    format(&mut medium).unwrap();
    assert_eq!(scrub(&mut medium), Ok(Vec::new()));
}

#[test]
fn another_medium_is_noticed_by_the_next_incarnation_too() {
    let mut medium = Medium::formatted(TOTAL);
    let known = {
        let mut layer = calm(&mut medium);
        layer.info().unwrap();
        layer.known()
    };
    medium.identity += 1;
    let mut layer = Layer::new(&mut medium, |_| {}, 0, known);
    assert_eq!(layer.read(0, &mut [0; BLOCK_SIZE]), Err(Error::MediumChanged));
    assert_eq!(layer.flush(), Err(Error::MediumChanged));
    layer.info().unwrap();
    assert_eq!(layer.read(0, &mut [0; BLOCK_SIZE]), Ok(()));
}

#[test]
fn an_older_block_after_a_flush_is_found_also_after_a_power_cut() {
    let mut medium = Medium::formatted(TOTAL);
    let mut layer = calm(&mut medium);
    for version in 1..=2 {
        layer.write(5, &contents(5..7, version)).unwrap();
        layer.flush().unwrap();
    }
    drop(layer);
    medium.set(5, &contents(5..6, 1));
    medium.set(6, &[0; BLOCK_SIZE]);
    assert_eq!(scrub(&mut medium), Ok(vec![5, 6]));
}
