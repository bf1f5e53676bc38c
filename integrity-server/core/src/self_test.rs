//! Whether this process does what the layer must do: asked before it accuses anybody of what its checks say.
//!
//! *Role.* A layer whose instructions or constants are wrong finds mistakes everywhere, and calls an innocent driver a liar. Here the
//! same instructions ([`Served`]) work on a small card in memory, which is honest because it is an array. What comes out wrong is the
//! layer's own.
//!
//! *Rule.* What the card holds at first and must hold at last is made at build time, by a checksum that nobody runs here. So what
//! writes and reads wrong in the same way is found, too.
//!
//! *What it does not find.* A value that was wrong once: a register, or what is in the real layer's memory. The process looks at the
//! latter where it uses it.

use crate::layout::{Block, ENTRIES, Geometry};
use crate::served::Served;
use abi::Message;
use alloc::vec::Vec;
use crc::{CRC_32_ISCSI, Crc, Table};
use protocols::block::{BLOCK_SIZE, Device, Error, Info, Request, Window, reply};

/// The smallest card with three blocks of the table.
const BLOCKS: u64 = 133;

const GEOMETRY: Geometry = Geometry::of(BLOCKS).expect("large enough");

const TABLES: usize = GEOMETRY.table() as usize;

const IDENTITY: u128 = 0x5e1f_7e57;

/// What is written: first block, end, version. Over a border in the table, at its end, over what the last request wrote, and over
/// what was left open by a predecessor.
const WRITES: [(u64, u64, u8); 5] = [(62, 66, 1), (126, 128, 1), (63, 65, 2), (64, 66, 3), (65, 66, 4)];

/// So many of them before the layer is started again.
const BEFORE_RESTART: usize = 4;

/// What is looked at: blocks that are written and their neighbours.
const LOOKED_AT: [(u64, u64); 2] = [(60, 68), (125, 128)];

/// Most blocks in one request of the test.
const AT_ONCE: usize = 8;

/// The layer's own blocks, as formatted, from the first superblock on.
static FORMATTED: [Block; TABLES + 2] = formatted();

/// The blocks of the table when everything is written and flushed, but for their heads.
static SETTLED: [Block; TABLES] = settled();

/// What did not come out right.
pub type Wrong = &'static str;

/// Version of a block after the first `writes` of [`WRITES`].
const fn version(lba: u64, writes: usize) -> u8 {
    let (mut last, mut index) = (0, 0);
    while index < writes {
        let (first, end, version) = WRITES[index];
        if first <= lba && lba < end {
            last = version;
        }
        index += 1;
    }
    last
}

/// What is in a version of a block. Version 0 is zeros.
const fn contents(lba: u64, version: u8) -> Block {
    let mut block = [0; BLOCK_SIZE];
    let mut at = 0;
    while at < BLOCK_SIZE && version > 0 {
        block[at] = (at as u8).wrapping_add(7 * (lba as u8 % 32)).wrapping_mul(2 * version - 1);
        at += 1;
    }
    block
}

/// Checksum of a block from byte `from` on, at build time.
const fn sum(lba: u64, block: &Block, from: usize) -> u32 {
    const CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);
    let mut digest = CRC.digest();
    digest.update(&lba.to_le_bytes());
    digest.update(block.split_at(from).1);
    digest.finalize()
}

const fn put(block: &mut Block, at: usize, bytes: &[u8]) {
    block.split_at_mut(at).1.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
}

const fn sealed(lba: u64, mut block: Block) -> Block {
    let sum = sum(lba, &block, 4);
    put(&mut block, 0, &sum.to_le_bytes());
    block
}

/// A block of the table after the first `writes` of [`WRITES`].
const fn table(index: u64, writes: usize) -> Block {
    let mut block = [0; BLOCK_SIZE];
    let mut entry = 0;
    while entry < ENTRIES {
        let lba = index * ENTRIES + entry;
        if lba < GEOMETRY.data {
            let sum = sum(lba, &contents(lba, version(lba, writes)), 0).to_le_bytes();
            put(&mut block, 8 + 8 * entry as usize, &sum);
            put(&mut block, 12 + 8 * entry as usize, &sum);
        }
        entry += 1;
    }
    sealed(GEOMETRY.table_block(index), block)
}

const fn superblock(lba: u64) -> Block {
    let mut block = [0; BLOCK_SIZE];
    put(&mut block, 4, &1_u32.to_le_bytes());
    put(&mut block, 8, b"SAMINTEG");
    put(&mut block, 16, &GEOMETRY.total.to_le_bytes());
    put(&mut block, 24, &GEOMETRY.data.to_le_bytes());
    sealed(lba, block)
}

const fn settled() -> [Block; TABLES] {
    let mut blocks = [[0; BLOCK_SIZE]; TABLES];
    let mut index = 0;
    while index < TABLES {
        blocks[index] = table(index as u64, WRITES.len());
        index += 1;
    }
    blocks
}

const fn formatted() -> [Block; TABLES + 2] {
    let [first, last] = GEOMETRY.superblocks();
    let mut blocks = [superblock(first); TABLES + 2];
    let mut index = 0;
    while index < TABLES {
        blocks[1 + index] = table(index as u64, 0);
        index += 1;
    }
    blocks[1 + TABLES] = superblock(last);
    blocks
}

/// The card: what was written, over what was there at first.
#[derive(Default)]
pub(crate) struct Card {
    written: Vec<(u64, Block)>,
}

impl Card {
    fn block(&mut self, lba: u64) -> &mut Block {
        let at = self.written.iter().position(|&(other, _)| other == lba).unwrap_or_else(|| {
            let own = lba.checked_sub(GEOMETRY.data).map(|index| FORMATTED[index as usize]);
            self.written.push((lba, own.unwrap_or([0; BLOCK_SIZE])));
            self.written.len() - 1
        });
        &mut self.written[at].1
    }

    /// Answers as a driver does.
    pub(crate) fn serve(&mut self, message: &Message, window: Window<'_>) -> Message {
        match Request::decode(message) {
            Ok(Request::Info) => Info { blocks: BLOCKS, write_protected: false, identity: IDENTITY }.encode(),
            Ok(Request::Flush) => reply(Ok(())),
            Ok(Request::Read { lba, count } | Request::Write { lba, count }) => {
                let is_there = lba.checked_add(count.into()).is_some_and(|end| end <= BLOCKS);
                reply(if is_there { self.carry(lba, count, window) } else { Err(Error::OutOfRange) })
            }
            Err(error) => reply(Err(error)),
        }
    }

    fn carry(&mut self, lba: u64, count: u32, window: Window<'_>) -> Result<(), Error> {
        match window {
            Window::Write(bytes) if bytes.len() == count as usize * BLOCK_SIZE => {
                (lba..).zip(bytes.as_chunks_mut().0).for_each(|(lba, block)| *block = *self.block(lba));
            }
            Window::Read(bytes) if bytes.len() == count as usize * BLOCK_SIZE => {
                (lba..).zip(bytes.as_chunks().0).for_each(|(lba, block)| *self.block(lba) = *block);
            }
            _ => return Err(Error::BadRequest),
        }
        Ok(())
    }
}

/// Who carries a request to the card: in tests one that gets it wrong.
type Carrier<'a> = &'a mut dyn FnMut(&mut Card, &Message, Window<'_>) -> Message;

/// Works on a card of its own for some 100,000 instructions.
///
/// # Errors
/// What did not come out right: this process is wrong, and must not go on.
pub fn self_test() -> Result<(), Wrong> {
    examine(&mut Card::serve)
}

fn examine(carrier: Carrier<'_>) -> Result<(), Wrong> {
    let mut card = Card::default();
    incarnation(&mut card, carrier, |layer| {
        for index in 0..BEFORE_RESTART - 1 {
            write(layer, index)?;
        }
        look(layer, BEFORE_RESTART - 1)?;
        flush(layer)?;
        look(layer, BEFORE_RESTART - 1)?;
        write(layer, BEFORE_RESTART - 1)
    })?;
    incarnation(&mut card, carrier, |layer| {
        for index in BEFORE_RESTART..WRITES.len() {
            write(layer, index)?;
        }
        look(layer, WRITES.len())?;
        flush(layer)?;
        look(layer, WRITES.len())
    })?;
    for (index, right) in (0..).zip(&SETTLED) {
        if card.block(GEOMETRY.table_block(index))[8..] != right[8..] {
            return Err("its table is another one");
        }
    }
    for rotten in [63, 127] {
        card.block(rotten)[100] ^= 0x10;
        incarnation(&mut card, carrier, |layer| find(layer, rotten))?;
        card.block(rotten)[100] ^= 0x10;
    }
    incarnation(&mut card, carrier, |layer| look(layer, WRITES.len()))
}

/// A layer from its start to its end.
fn incarnation(
    card: &mut Card,
    carrier: Carrier<'_>,
    work: impl FnOnce(&mut Served<'_>) -> Result<(), Wrong>,
) -> Result<(), Wrong> {
    let mut call = |message: &Message, window: Window<'_>| Some(carrier(card, message, window));
    let mut complain = || false;
    let mut layer = Served::new(&mut call, &mut complain, |_| {}, 0, None);
    let told = layer.info().map_err(|_| "it does not know a card with a table")?;
    if told != (Info { blocks: GEOMETRY.data, write_protected: false, identity: IDENTITY }) {
        return Err("it tells about another card");
    }
    work(&mut layer)
}

fn write(layer: &mut Served<'_>, index: usize) -> Result<(), Wrong> {
    let (first, end, version) = WRITES[index];
    let mut bytes = [0; AT_ONCE * BLOCK_SIZE];
    let bytes = &mut bytes[..(end - first) as usize * BLOCK_SIZE];
    (first..).zip(bytes.as_chunks_mut().0).for_each(|(lba, block)| *block = contents(lba, version));
    layer.write(first, bytes).map_err(|_| "it cannot write")
}

fn flush(layer: &mut Served<'_>) -> Result<(), Wrong> {
    layer.flush().map_err(|_| "it cannot flush")
}

/// Reads what the first `writes` of [`WRITES`] have left.
fn look(layer: &mut Served<'_>, writes: usize) -> Result<(), Wrong> {
    for (first, end) in LOOKED_AT {
        let mut bytes = [0xFF; AT_ONCE * BLOCK_SIZE];
        let bytes = &mut bytes[..(end - first) as usize * BLOCK_SIZE];
        layer.read(first, bytes).map_err(|_| "it calls a good block a wrong one")?;
        let mut blocks = (first..).zip(bytes.as_chunks::<BLOCK_SIZE>().0);
        if blocks.any(|(lba, block)| *block != contents(lba, version(lba, writes))) {
            return Err("it delivers what was not written");
        }
    }
    Ok(())
}

/// Reads a block that is rotten, and its neighbour that is not.
fn find(layer: &mut Served<'_>, rotten: u64) -> Result<(), Wrong> {
    let mut block = [0; BLOCK_SIZE];
    if layer.read(rotten, &mut block) != Err(Error::Integrity) {
        return Err("it does not find a rotten block");
    }
    layer.read(rotten - 1, &mut block).map_err(|_| "it calls the neighbour of a rotten block wrong")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layer_does_what_it_must() {
        assert_eq!(self_test(), Ok(()));
    }

    #[test]
    fn the_card_is_as_the_host_formats_it() {
        let mut card = Card::default();
        let mut call = |message: &Message, window: Window<'_>| Some(card.serve(message, window));
        assert_eq!(crate::scrub(&mut protocols::block::Remote::new(&mut call)), Ok(Vec::new()));
        assert_eq!(crate::format(&mut protocols::block::Remote::new(&mut call)), Ok(GEOMETRY));
        for (lba, right) in (GEOMETRY.data..).zip(&FORMATTED) {
            assert_eq!(card.block(lba), right, "{lba}");
        }
    }

    fn data(request: Request) -> bool {
        matches!(request, Request::Read { lba, .. } | Request::Write { lba, .. } if lba < GEOMETRY.data)
    }

    fn elsewhere(message: &Message) -> Message {
        let mut other = *message;
        other.words[0] += 1;
        other
    }

    /// A card, or who carries requests to it, stands for instructions that are wrong in the same way each time.
    fn verdict(
        mut wrong: impl FnMut(&mut Card, Request, &Message, Window<'_>) -> Message,
    ) -> Result<(), Wrong> {
        examine(&mut |card, message, window| wrong(card, Request::decode(message).unwrap(), message, window))
    }

    #[test]
    fn writes_that_do_not_arrive_are_noticed() {
        for of_data in [false, true] {
            let lost = verdict(|card, request, message, window| match request {
                Request::Write { .. } if data(request) == of_data => reply(Ok(())),
                _ => card.serve(message, window),
            });
            assert!(lost.is_err(), "{of_data}");
            let misdirected = verdict(|card, request, message, window| match request {
                Request::Write { .. } if data(request) == of_data => card.serve(&elsewhere(message), window),
                _ => card.serve(message, window),
            });
            assert!(misdirected.is_err(), "{of_data}");
        }
    }

    #[test]
    fn reads_that_bring_something_else_are_noticed() {
        for (of_data, byte) in [(false, 9), (true, 0), (true, 511)] {
            let flipped = verdict(|card, request, message, window| match (request, window) {
                (Request::Read { .. }, Window::Write(bytes)) if data(request) == of_data => {
                    let answer = card.serve(message, Window::Write(bytes));
                    bytes[byte] ^= 1;
                    answer
                }
                (_, window) => card.serve(message, window),
            });
            assert!(flipped.is_err(), "{of_data} {byte}");
            let misdirected = verdict(|card, request, message, window| match request {
                Request::Read { .. } if data(request) == of_data => card.serve(&elsewhere(message), window),
                _ => card.serve(message, window),
            });
            assert!(misdirected.is_err(), "{of_data}");
        }
    }

    #[test]
    fn an_old_table_is_noticed_and_so_is_one_that_is_flushed_only() {
        for stale in [true, false] {
            let told = verdict(|card, request, message, window| match (request, window) {
                (Request::Read { lba, .. }, Window::Write(bytes)) if stale && lba > GEOMETRY.data => {
                    *card = Card { written: card.written.iter().filter(|it| it.0 < lba).copied().collect() };
                    card.serve(message, Window::Write(bytes))
                }
                (Request::Flush, _) if !stale => reply(Err(Error::Device)),
                (_, window) => card.serve(message, window),
            });
            assert!(told.is_err(), "{stale}");
        }
    }

    #[test]
    fn bytes_that_change_on_their_way_are_noticed() {
        for of_data in [false, true] {
            let told = verdict(|card, request, message, window| match (request, window) {
                (Request::Write { .. }, Window::Read(bytes)) if data(request) == of_data => {
                    let mut other = bytes.to_vec();
                    *other.last_mut().unwrap() ^= 0x80;
                    card.serve(message, Window::Read(&other))
                }
                (_, window) => card.serve(message, window),
            });
            assert!(told.is_err(), "{of_data}");
        }
    }

    #[test]
    fn errors_without_reason_are_noticed() {
        for label in 1..=4 {
            let told = verdict(|card, _, message, window| {
                if message.label == label {
                    reply(Err(Error::Integrity))
                } else {
                    card.serve(message, window)
                }
            });
            assert!(told.is_err(), "{label}");
        }
    }

    /// For the cost, which the process has between two requests: nothing here depends on what runs it.
    #[test]
    fn it_makes_few_requests() {
        let mut requests = 0;
        let counted = verdict(|card, _, message, window| {
            requests += 1;
            card.serve(message, window)
        });
        assert_eq!(counted, Ok(()));
        assert!(requests < 100, "{requests}");
    }
}
