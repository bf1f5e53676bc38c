//! Making a table for a medium whose contents are trusted, and looking through a medium: for the host.

use crate::checksum::checksum;
use crate::layer::Layer;
use crate::layout::{Block, ENTRIES, Geometry};
use crate::table::{Entry, TableBlock};
use alloc::vec::Vec;
use protocols::block::{BLOCK_SIZE, Device, Error};

/// Makes the table and the superblocks, at the end of the medium, for what the medium holds now. Superblocks come last: what
/// is cut short is no medium with a table.
///
/// # Errors
/// [`Error::Unsupported`] if the medium is too small; errors of the medium.
pub fn format(device: &mut impl Device) -> Result<Geometry, Error> {
    let geometry = Geometry::of(device.info()?.blocks).ok_or(Error::Unsupported)?;
    let mut block: Block = [0; BLOCK_SIZE];
    for index in 0..geometry.table() {
        let mut table = TableBlock::new(index);
        for (lba, entry) in (table.first()..geometry.data).zip(&mut table.entries) {
            device.read(lba, &mut block)?;
            *entry = Entry::settled(checksum(lba, &block));
        }
        let lba = geometry.table_block(index);
        table.encode(lba, &mut block);
        device.write(lba, &block)?;
    }
    device.flush()?;
    for lba in geometry.superblocks() {
        device.write(lba, &geometry.superblock(lba))?;
    }
    device.flush()?;
    Ok(geometry)
}

/// The client's blocks that cannot be read, because they are not what was written last, or their block of the table is
/// rotten.
///
/// # Errors
/// [`Error::Unsupported`] if the medium has no table; errors of the medium.
pub fn scrub(device: &mut impl Device) -> Result<Vec<u64>, Error> {
    let mut layer = Layer::new(device, |_| {}, ENTRIES as usize, None);
    let blocks = layer.info()?.blocks;
    let mut bad = Vec::new();
    for lba in 0..blocks {
        match layer.read(lba, &mut [0; BLOCK_SIZE]) {
            Ok(()) => {}
            Err(Error::Integrity) => bad.push(lba),
            Err(error) => return Err(error),
        }
    }
    Ok(bad)
}
