//! What a client may see, and a client that sees to it.

use super::medium::{contents, version};
use proptest::prelude::*;
use protocols::block::{BLOCK_SIZE, Device, Error};
use std::vec;
use std::vec::Vec;

/// What a client asks.
#[derive(Clone, Copy, Debug)]
pub enum Ask {
    Write { lba: u64, count: u64 },
    Read { lba: u64, count: u64 },
    Flush,
}

/// Requests within `blocks` blocks: mostly at few places, so that they overlap, and some anywhere.
pub fn asks(blocks: u64, longest: usize) -> impl Strategy<Value = Vec<Ask>> {
    let place = prop_oneof![3 => 55..70_u64, 1 => 0..blocks];
    let count = prop_oneof![3 => 1..5_u64, 1 => 1..=128_u64];
    let ask = (place, count, 0..10_u8).prop_map(move |(lba, count, kind)| {
        let count = count.min(blocks - lba);
        match kind {
            0..=4 => Ask::Write { lba, count },
            5..=7 => Ask::Read { lba, count },
            _ => Ask::Flush,
        }
    });
    proptest::collection::vec(ask, 1..longest)
}

/// Versions of one block.
#[derive(Clone, Debug)]
struct Block {
    /// Those that may be read now.
    now: Vec<u64>,
    /// Those that may be read after a power cut.
    then: Vec<u64>,
}

/// A client that knows what it may see.
pub struct Client {
    blocks: Vec<Block>,
    version: u64,
    /// Requests that were answered with success, and those that were not.
    pub answered: u64,
    pub failed: u64,
}

impl Client {
    pub fn new(blocks: u64) -> Self {
        let block = Block { now: vec![0], then: vec![0] };
        Self { blocks: vec![block; blocks as usize], version: 0, answered: 0, failed: 0 }
    }

    /// Asks; panics if it sees what it must not see. An error is not one, unless it says something of the medium and
    /// `honest` is set.
    pub fn ask(&mut self, device: &mut impl Device, ask: Ask, honest: bool) {
        let result = match ask {
            Ask::Write { lba, count } => self.write(device, lba, count),
            Ask::Read { lba, count } => self.read(device, lba, count),
            Ask::Flush => self.flush(device),
        };
        assert!(!honest || result != Err(Error::Integrity), "{ask:?}: an honest medium is accused");
        self.answered += u64::from(result.is_ok());
        self.failed += u64::from(result.is_err());
    }

    fn write(&mut self, device: &mut impl Device, lba: u64, count: u64) -> Result<(), Error> {
        self.version += 1;
        let version = self.version;
        let written = device.write(lba, &contents(lba..lba + count, version));
        for block in &mut self.blocks[lba as usize..(lba + count) as usize] {
            if written.is_ok() {
                block.now.clear();
            }
            block.now.push(version);
            block.then.push(version);
        }
        written
    }

    fn read(&mut self, device: &mut impl Device, lba: u64, count: u64) -> Result<(), Error> {
        let mut bytes = vec![0; count as usize * BLOCK_SIZE];
        device.read(lba, &mut bytes)?;
        for (lba, bytes) in (lba..).zip(bytes.chunks(BLOCK_SIZE)) {
            let block = &mut self.blocks[lba as usize];
            let seen = version(lba, bytes).expect("something that was never written here");
            assert!(block.now.contains(&seen), "block {lba}: version {seen}, but {block:?}");
            block.now = vec![seen];
        }
        Ok(())
    }

    fn flush(&mut self, device: &mut impl Device) -> Result<(), Error> {
        device.flush()?;
        for block in &mut self.blocks {
            block.then.clone_from(&block.now);
        }
        Ok(())
    }

    /// What was not flushed is as uncertain as before it was written.
    pub fn lose(&mut self) {
        for block in &mut self.blocks {
            block.now.clone_from(&block.then);
        }
    }

    /// Blocks of which it is not known which version they have, because nobody could read them.
    pub fn blocks_unread(&self) -> usize {
        self.blocks.iter().filter(|block| block.now.len() != 1).count()
    }

    /// Reads everything.
    pub fn read_all(&mut self, device: &mut impl Device, honest: bool) {
        for lba in 0..self.blocks.len() as u64 {
            self.ask(device, Ask::Read { lba, count: 1 }, honest);
        }
    }
}
