//! The layer over a medium.

use crate::cache::Cache;
use crate::checksum::{certain, checksum, other};
use crate::layout::{Block, ENTRIES, Geometry};
use crate::table::TableBlock;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use protocols::block::{BLOCK_SIZE, BLOCKS_MAX, Device, Error, Info};

/// How often a block is read, and a block of the table written, until it is given up.
pub const ATTEMPTS: u32 = 3;

/// How often a block of the client's is written until it is given up: it takes a fresh driver to make a third time another one.
const WRITES: u32 = 2;

/// Blocks of the table that are read or written at once.
const RUN_MAX: u64 = 16;

/// Said of a block of the table without which this process would be the one that is wrong, and nobody below it.
const LOADED: &str = "this block of the table has been brought into memory";

/// Fewest blocks of the table in memory: what the largest request needs, twice.
const CAPACITY_MIN: usize = 8;

/// What the layer tells people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// A block was read that was not written there last.
    Mismatch {
        /// The block.
        lba: u64,
        /// Checksum of what was read.
        found: u32,
        /// Checksums that are acceptable, both in the table.
        pair: [u32; 2],
    },
    /// It was as it must be when it was read again.
    Mended {
        /// The block.
        lba: u64,
        /// How often it was read.
        attempts: u32,
    },
    /// It was wrong each time; the client was told.
    Lost {
        /// The block.
        lba: u64,
    },
    /// A block of the table was read that is rotten or an old one.
    Table {
        /// The block of the medium.
        lba: u64,
    },
    /// A block was not kept by the medium; it is written again, or the client is told.
    NotKept {
        /// First block of the medium in this write.
        lba: u64,
    },
    /// The medium has no table, or both superblocks are rotten.
    NoTable,
}

/// Where findings go.
pub trait Report {
    /// Something was found.
    fn report(&mut self, finding: Finding);
}

impl<F: FnMut(Finding)> Report for F {
    fn report(&mut self, finding: Finding) {
        self(finding);
    }
}

/// A medium that is known to have a table.
#[derive(Clone, Copy)]
struct Mounted {
    geometry: Geometry,
    info: Info,
}

/// The layer: serves what is left of a medium when its table is taken off.
pub struct Layer<D, R> {
    device: D,
    report: R,
    mounted: Option<Mounted>,
    known: Option<u128>,
    cache: Cache,
    /// Blocks that may have been written since the last flush below; a range around them.
    unflushed: Range<u64>,
}

impl<D: Device, R: Report> Layer<D, R> {
    /// A layer that keeps up to `capacity` blocks of the table in memory, about 1300 bytes each. `known` is the identity of
    /// the medium that the client was told about last, by whichever incarnation.
    pub fn new(device: D, report: R, capacity: usize, known: Option<u128>) -> Self {
        Self {
            device,
            report,
            mounted: None,
            known,
            cache: Cache::new(capacity.max(CAPACITY_MIN)),
            unflushed: 0..0,
        }
    }

    /// Identity of the medium that the client knows.
    pub const fn known(&self) -> Option<u128> {
        self.known
    }

    /// The medium below.
    pub const fn device(&mut self) -> &mut D {
        &mut self.device
    }

    fn forget(&mut self) {
        self.mounted = None;
        self.cache.clear();
        self.unflushed = 0..0;
    }

    /// Looks whether the medium is one with a table. What a dead predecessor has begun comes to its end before.
    fn mount(&mut self, info: Info) -> Result<Mounted, Error> {
        self.forget();
        let geometry = Geometry::of(info.blocks).ok_or(Error::Unsupported)?;
        self.device.flush()?;
        let mut failure = Error::Unsupported;
        for lba in geometry.superblocks().into_iter().cycle().take(2 * ATTEMPTS as usize) {
            let mut block = [0; BLOCK_SIZE];
            match self.device.read(lba, &mut block) {
                Ok(()) if geometry.is_superblock(lba, &block) => {
                    let mounted = Mounted { geometry, info };
                    self.mounted = Some(mounted);
                    return Ok(mounted);
                }
                Ok(()) => {}
                Err(error) => failure = error,
            }
        }
        if failure == Error::Unsupported {
            self.report.report(Finding::NoTable);
        }
        Err(failure)
    }

    /// The division of the medium that the client knows.
    fn geometry(&mut self) -> Result<Geometry, Error> {
        if let Some(mounted) = self.mounted {
            return Ok(mounted.geometry);
        }
        let info = self.device.info()?;
        if self.known.is_some_and(|known| known != info.identity) {
            return Err(Error::MediumChanged);
        }
        Ok(self.mount(info)?.geometry)
    }

    fn in_range(&mut self, lba: u64, bytes: &[u8]) -> Result<Geometry, Error> {
        let geometry = self.geometry()?;
        let count = (bytes.len() / BLOCK_SIZE) as u64;
        let is_in = lba.checked_add(count).is_some_and(|end| end <= geometry.data);
        if is_in { Ok(geometry) } else { Err(Error::OutOfRange) }
    }

    /// Passes on what the medium said. One that was taken out may come back as another one.
    fn said<T>(&mut self, result: Result<T, Error>) -> Result<T, Error> {
        if let Err(Error::NoMedium | Error::MediumChanged) = result {
            self.forget();
        }
        result
    }

    fn flush_below(&mut self) -> Result<(), Error> {
        self.device.flush()?;
        self.unflushed = 0..0;
        Ok(())
    }

    /// Brings the blocks of the table with these indices into memory.
    fn load(&mut self, geometry: Geometry, indices: Range<u64>) -> Result<(), Error> {
        let mut next = indices.start;
        while next < indices.end {
            if self.cache.get(next).is_some() {
                next += 1;
                continue;
            }
            let missing = (next..indices.end).take_while(|&index| !self.cache.has(index)).count() as u64;
            let run = next..next + missing.min(RUN_MAX);
            next = run.end;
            self.load_run(geometry, run, &indices)?;
        }
        Ok(())
    }

    /// Reads blocks of the table; those of `kept` are not to go for them.
    fn load_run(&mut self, geometry: Geometry, run: Range<u64>, kept: &Range<u64>) -> Result<(), Error> {
        let bytes = (run.end - run.start) as usize * BLOCK_SIZE;
        let lba = geometry.table_block(run.start);
        let mut buffer = vec![0; bytes];
        self.device.read(lba, &mut buffer)?;
        let (blocks, _) = buffer.as_chunks::<BLOCK_SIZE>();
        for (index, block) in run.zip(blocks) {
            let table = self.decoded(geometry, index, *block)?;
            self.make_room(geometry, kept)?;
            self.cache.insert(table);
        }
        Ok(())
    }

    /// What a block of the table that was read says. It is read again if it is rotten.
    fn decoded(&mut self, geometry: Geometry, index: u64, mut block: Block) -> Result<TableBlock, Error> {
        let lba = geometry.table_block(index);
        for attempt in 1..=ATTEMPTS {
            let decoded = TableBlock::decode(index, lba, &block).filter(|table| !self.cache.is_stale(table));
            if let Some(table) = decoded {
                return Ok(table);
            }
            self.report.report(Finding::Table { lba });
            if attempt < ATTEMPTS {
                self.device.read(lba, &mut block)?;
            }
        }
        Err(Error::Integrity)
    }

    /// Lets the least recently used block of the table go, if it must. What only this incarnation knows is written first.
    fn make_room(&mut self, geometry: Geometry, kept: &Range<u64>) -> Result<(), Error> {
        let Some(oldest) = self.cache.next_to_go(kept) else { return Ok(()) };
        let index = oldest.index;
        if oldest.is_unsettled() {
            self.settle_all(geometry)?;
        }
        self.cache.remove(index);
        Ok(())
    }

    /// Calls `action` for each block from `lba` on with its index, number, and entry. All must be in memory.
    fn each_entry(
        &mut self,
        lba: u64,
        count: usize,
        mut action: impl FnMut(usize, u64, &mut TableBlock, usize),
    ) {
        let mut index = 0;
        while index < count {
            let block = lba + index as u64;
            let table = self.cache.get(block / ENTRIES).expect(LOADED);
            let first = (block % ENTRIES) as usize;
            let here = (ENTRIES as usize - first).min(count - index);
            for step in 0..here {
                action(index + step, block + step as u64, table, first + step);
            }
            index += here;
        }
    }

    /// Compares blocks with their checksums; the bits of those that do not fit are set.
    fn compare(&mut self, lba: u64, bytes: &[u8]) -> u128 {
        let (blocks, _) = bytes.as_chunks::<BLOCK_SIZE>();
        let mut wrong = 0;
        self.each_entry(lba, blocks.len(), |index, lba, table, at| {
            let (sum, entry) = (checksum(lba, &blocks[index]), &mut table.entries[at]);
            if entry.accepts(sum) {
                // One of two that a write which failed, or a predecessor, has left: from now on it is this one.
                entry.narrow(sum);
            } else if !entry.accepts(certain(lba, &blocks[index])) {
                wrong |= 1 << index;
            }
        });
        wrong
    }

    /// Reads a block that was wrong once more, and then again with its block of the table.
    fn read_again(&mut self, geometry: Geometry, lba: u64, block: &mut [u8]) -> Result<(), Error> {
        self.tell_mismatch(lba, block);
        for attempt in 2..=ATTEMPTS {
            if attempt == ATTEMPTS {
                self.refresh(geometry, lba / ENTRIES)?;
            }
            self.device.read(lba, block)?;
            if self.compare(lba, block) == 0 {
                self.report.report(Finding::Mended { lba, attempts: attempt });
                return Ok(());
            }
        }
        if let Some(table) = self.cache.get(lba / ENTRIES) {
            table.assert_follows(&(0..0));
        }
        self.report.report(Finding::Lost { lba });
        Err(Error::Integrity)
    }

    fn tell_mismatch(&mut self, lba: u64, block: &[u8]) {
        let found = checksum(lba, block);
        let mut pair = [0; 2];
        self.each_entry(lba, 1, |_, _, table, at| pair = table.entries[at].pair());
        self.report.report(Finding::Mismatch { lba, found, pair });
    }

    /// Reads a block of the table anew, if the medium knows as much as memory: the medium may have lied about this block.
    fn refresh(&mut self, geometry: Geometry, index: u64) -> Result<(), Error> {
        if self.cache.get(index).is_some_and(|table| !table.is_unsettled()) {
            self.cache.remove(index);
        }
        self.load(geometry, index..index + 1)
    }

    /// Makes the table accept what is about to be written as well as what is there, durably.
    fn announce(&mut self, geometry: Geometry, lba: u64, sums: &[u32]) -> Result<(), Error> {
        let end = lba + sums.len() as u64;
        // A pair has no room for what was there before what is there, and does not need it when that is durable.
        if self.unflushed.start < end && lba < self.unflushed.end {
            self.flush_below()?;
        }
        self.resolve(lba, sums)?;
        self.each_entry(lba, sums.len(), |index, _, table, at| {
            let entry = &mut table.entries[at];
            if !entry.has(sums[index]) {
                entry.announce(sums[index]);
                table.durable = false;
            }
        });
        let indices: Vec<_> = tables_of(lba..end).collect();
        for &index in &indices {
            self.settle_others(index, lba..end);
        }
        self.write_tables(geometry, &indices, &(lba..end))
    }

    /// Finds out which of two checksums is that of the block that is there, where a third is to be announced.
    fn resolve(&mut self, lba: u64, sums: &[u32]) -> Result<(), Error> {
        let mut open = 0_u128;
        self.each_entry(lba, sums.len(), |index, _, table, at| {
            let entry = table.entries[at];
            if !entry.has(sums[index]) && entry.exact().is_none() {
                open |= 1 << index;
            }
        });
        if open == 0 {
            return Ok(());
        }
        self.flush_below()?;
        for index in (0..sums.len()).filter(|index| open & 1 << index != 0) {
            let (lba, mut block) = (lba + index as u64, [0; BLOCK_SIZE]);
            self.device.read(lba, &mut block)?;
            // One that is neither is lost already, and about to be replaced.
            self.compare(lba, &block);
        }
        Ok(())
    }

    /// Settles the entries of a block of the table that is to be written anyway, but for those in `range` and those whose
    /// blocks may not be durable.
    fn settle_others(&mut self, index: u64, range: Range<u64>) {
        let unflushed = self.unflushed.clone();
        let Some(table) = self.cache.get(index) else { return };
        for (lba, entry) in (table.first()..).zip(&mut table.entries) {
            if !range.contains(&lba) && !unflushed.contains(&lba) {
                entry.settle();
            }
        }
    }

    /// Writes these blocks of the table, which are in ascending order, durably. Nothing in them is new but what is settled, and the
    /// checksums of the blocks in `announced`.
    fn write_tables(
        &mut self,
        geometry: Geometry,
        indices: &[u64],
        announced: &Range<u64>,
    ) -> Result<(), Error> {
        for run in runs(indices) {
            let mut buffer = vec![0; run.len() * BLOCK_SIZE];
            self.each_table(geometry, run, &mut buffer, |table, lba, block| {
                table.encode_next(announced, lba, block);
            });
            let lba = geometry.table_block(run[0]);
            assert_readable(lba, &buffer);
            self.device.write(lba, &buffer)?;
        }
        self.flush_below()?;
        for table in self.cache.all().filter(|table| indices.contains(&table.index)) {
            table.durable = true;
        }
        Ok(())
    }

    /// Calls `action` for these blocks of the table, each with its place on the medium and its part of `bytes`. All must be in memory:
    /// where one is not, this process is the one that is wrong, and would write zeros.
    fn each_table(
        &mut self,
        geometry: Geometry,
        run: &[u64],
        bytes: &mut [u8],
        mut action: impl FnMut(&mut TableBlock, u64, &mut Block),
    ) {
        let (blocks, _) = bytes.as_chunks_mut::<BLOCK_SIZE>();
        for (&index, block) in run.iter().zip(blocks) {
            let table = self.cache.get(index).expect(LOADED);
            action(table, geometry.table_block(index), block);
        }
    }

    /// Makes the medium accept nothing but what is on it, and sees whether it has kept that.
    fn settle_all(&mut self, geometry: Geometry) -> Result<(), Error> {
        self.flush_below()?;
        for _ in 0..ATTEMPTS {
            let unsettled = self.cache.all().filter(|table| table.is_unsettled());
            let mut indices: Vec<_> = unsettled.map(|table| table.index).collect();
            if indices.is_empty() {
                return Ok(());
            }
            indices.sort_unstable();
            for &index in &indices {
                self.settle_others(index, 0..0);
            }
            self.write_tables(geometry, &indices, &(0..0))?;
            if self.are_kept(geometry, &indices)? {
                return Ok(());
            }
        }
        Err(Error::Integrity)
    }

    /// Whether the medium gives back these blocks of the table as they were written. Those that it does not count as not
    /// written.
    fn are_kept(&mut self, geometry: Geometry, indices: &[u64]) -> Result<bool, Error> {
        let mut kept = true;
        for run in runs(indices) {
            let lba = geometry.table_block(run[0]);
            let mut buffer = vec![0; run.len() * BLOCK_SIZE];
            self.device.read(lba, &mut buffer)?;
            let before = kept;
            self.each_table(geometry, run, &mut buffer, |table, lba, block| {
                let mut written = [0; BLOCK_SIZE];
                table.encode(lba, &mut written);
                table.durable = written == *block;
                kept &= table.durable;
            });
            if before && !kept {
                self.report.report(Finding::NotKept { lba });
            }
        }
        Ok(kept)
    }

    fn read_checked(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let geometry = self.in_range(lba, buffer)?;
        let end = lba + (buffer.len() / BLOCK_SIZE) as u64;
        self.load(geometry, tables_of(lba..end))?;
        self.device.read(lba, buffer)?;
        let wrong = self.compare(lba, buffer);
        for index in (0..BLOCKS_MAX as usize).filter(|index| wrong & 1 << index != 0) {
            let block = &mut buffer[index * BLOCK_SIZE..(index + 1) * BLOCK_SIZE];
            self.read_again(geometry, lba + index as u64, block)?;
        }
        Ok(())
    }

    fn write_checked(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        let geometry = self.in_range(lba, data)?;
        let (blocks, _) = data.as_chunks::<BLOCK_SIZE>();
        let sums: Vec<u32> = (lba..).zip(blocks).map(|(lba, block)| checksum(lba, block)).collect();
        let end = lba + sums.len() as u64;
        self.load(geometry, tables_of(lba..end))?;
        let mut is_announced = true;
        self.each_entry(lba, sums.len(), |index, _, table, at| {
            is_announced &= table.durable && table.entries[at].has(sums[index]);
        });
        if !is_announced {
            self.announce(geometry, lba, &sums)?;
        }
        self.assert_announced(lba, blocks);
        self.each_entry(lba, sums.len(), |_, _, table, at| table.entries[at].widen());
        self.unflushed = joined(&self.unflushed, lba..end);
        for _ in 0..WRITES {
            self.device.write(lba, data)?;
            self.each_entry(lba, sums.len(), |index, _, table, at| table.entries[at].narrow(sums[index]));
            if self.is_there(lba, data)? {
                return Ok(());
            }
            self.report.report(Finding::NotKept { lba });
        }
        Err(Error::Integrity)
    }

    /// Looks, before these blocks are written, whether the medium knows their checksums: by other code than that which told it.
    ///
    /// # Panics
    /// It does not: this process is the one that is wrong, and would destroy a block.
    fn assert_announced(&mut self, lba: u64, blocks: &[Block]) {
        let announced: usize = self.cache.all().map(|table| table.assert_announced(lba, blocks)).sum();
        assert_eq!(announced, blocks.len(), "blocks of which the table knows nothing");
    }

    /// Whether the medium gives back what was written. It is looked at now, when there is still somebody who knows it.
    fn is_there(&mut self, lba: u64, data: &[u8]) -> Result<bool, Error> {
        let mut found = vec![0; data.len()];
        self.device.read(lba, &mut found)?;
        Ok(found == data)
    }
}

impl<D: Device, R: Report> Device for Layer<D, R> {
    /// Tells about the part of the medium that the client has. [`Error::Unsupported`] if the medium has no table.
    fn info(&mut self) -> Result<Info, Error> {
        let info = self.device.info();
        let info = self.said(info)?;
        let mounted = match self.mounted {
            Some(mounted) if mounted.info == info => mounted,
            _ => self.mount(info)?,
        };
        self.known = Some(info.identity);
        Ok(Info { blocks: mounted.geometry.data, ..info })
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        let read = self.read_checked(lba, buffer);
        self.said(read)
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        let written = self.write_checked(lba, data);
        self.said(written)
    }

    fn flush(&mut self) -> Result<(), Error> {
        let flushed = self.geometry().and_then(|geometry| self.settle_all(geometry));
        self.said(flushed)
    }
}

/// Looks whether blocks of the table, as they go to the medium, are such that somebody can read them there.
///
/// # Panics
/// They are not: this process is the one that is wrong, and would take 63 blocks with each.
#[inline(never)]
fn assert_readable(lba: u64, bytes: &[u8]) {
    for (lba, block) in (lba..).zip(bytes.as_chunks::<BLOCK_SIZE>().0) {
        assert!(other(lba, &block[4..]).to_le_bytes() == block[..4], "no block of the table for block {lba}");
    }
}

/// Blocks of the table that are about these blocks.
const fn tables_of(blocks: Range<u64>) -> Range<u64> {
    blocks.start / ENTRIES..blocks.end.div_ceil(ENTRIES)
}

/// The smallest range around both.
fn joined(one: &Range<u64>, other: Range<u64>) -> Range<u64> {
    if one.is_empty() { other } else { one.start.min(other.start)..one.end.max(other.end) }
}

/// Numbers in ascending order, cut where they leave one out and after [`RUN_MAX`].
fn runs(indices: &[u64]) -> impl Iterator<Item = &[u64]> {
    indices.chunk_by(|one, next| one + 1 == *next).flat_map(|run| run.chunks(RUN_MAX as usize))
}
