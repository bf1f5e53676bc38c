//! An honest medium with a write cache, of which a power cut keeps what it likes.

use crate::{Block, format};
use protocols::block::{BLOCK_SIZE, Device, Error, Info};
use std::ops::Range;
use std::vec;
use std::vec::Vec;

/// Requests that came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requests {
    pub reads: u64,
    pub writes: u64,
    pub flushes: u64,
}

pub struct Medium {
    durable: Vec<Block>,
    /// Writes since the last flush, the oldest first.
    cached: Vec<(u64, Block)>,
    pub identity: u128,
    pub requests: Requests,
    /// Blocks that can be written until everything fails; a flush counts as one, too.
    pub writes_left: Option<u64>,
    /// Every so many requests one fails, a write after some of its blocks.
    pub fails_every: Option<u64>,
}

/// A generator that needs no state but a number: splitmix64.
pub fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut number = *state;
    number = (number ^ number >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ number >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ number >> 31
}

/// What is in a version of these blocks. Version 0 is zeros.
pub fn contents(blocks: Range<u64>, version: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for lba in blocks {
        let word = if version == 0 { 0 } else { version << 32 | lba };
        (0..BLOCK_SIZE / 8).for_each(|_| bytes.extend_from_slice(&word.to_le_bytes()));
    }
    bytes
}

/// The version of a block, if it has one.
pub fn version(lba: u64, block: &[u8]) -> Option<u64> {
    let version = u64::from_le_bytes(block[..8].try_into().unwrap()) >> 32;
    (block == contents(lba..lba + 1, version)).then_some(version)
}

impl Medium {
    pub fn blank(blocks: u64) -> Self {
        Self {
            durable: vec![[0; BLOCK_SIZE]; blocks as usize],
            cached: Vec::new(),
            identity: 7,
            requests: Requests::default(),
            writes_left: None,
            fails_every: None,
        }
    }

    pub fn formatted(blocks: u64) -> Self {
        let mut medium = Self::blank(blocks);
        format(&mut medium).unwrap();
        medium
    }

    pub fn grow(&mut self, blocks: usize) {
        self.durable.extend(vec![[0; BLOCK_SIZE]; blocks]);
    }

    pub fn set(&mut self, lba: u64, block: &[u8]) {
        self.durable[lba as usize].copy_from_slice(block);
    }

    pub fn rot(&mut self, lba: u64, bit: usize) {
        self.durable[lba as usize][bit / 8] ^= 1 << (bit % 8);
    }

    /// Of each block one of its versions since the last flush stays, or the one before.
    pub fn cut_power(&mut self, seed: &mut u64) {
        let cached = std::mem::take(&mut self.cached);
        let mut blocks: Vec<u64> = cached.iter().map(|(lba, _)| *lba).collect();
        blocks.sort_unstable();
        blocks.dedup();
        for lba in blocks {
            let versions: Vec<_> = cached.iter().filter(|(other, _)| *other == lba).collect();
            let chosen = random(seed) as usize % (versions.len() + 1);
            if let Some((_, block)) = versions.get(chosen) {
                self.durable[lba as usize] = *block;
            }
        }
        self.writes_left = None;
    }

    fn step(&mut self) -> Result<(), Error> {
        match &mut self.writes_left {
            Some(0) => Err(Error::Device),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn fails(&self) -> bool {
        let requests = self.requests.reads + self.requests.writes + self.requests.flushes;
        self.fails_every.is_some_and(|every| requests.is_multiple_of(every))
    }
}

impl Device for Medium {
    fn info(&mut self) -> Result<Info, Error> {
        Ok(Info { blocks: self.durable.len() as u64, write_protected: false, identity: self.identity })
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.requests.reads += 1;
        if self.writes_left == Some(0) || self.fails() {
            return Err(Error::Device);
        }
        for (lba, block) in (lba..).zip(buffer.chunks_mut(BLOCK_SIZE)) {
            let cached = self.cached.iter().rfind(|(other, _)| *other == lba);
            block.copy_from_slice(cached.map_or(&self.durable[lba as usize], |(_, data)| data));
        }
        Ok(())
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        self.requests.writes += 1;
        let last = if self.fails() {
            self.requests.writes as usize % (data.len() / BLOCK_SIZE + 1)
        } else {
            usize::MAX
        };
        for (index, block) in data.chunks(BLOCK_SIZE).enumerate() {
            if index == last {
                return Err(Error::Timeout);
            }
            self.step()?;
            self.cached.push((lba + index as u64, block.try_into().unwrap()));
        }
        if last == usize::MAX { Ok(()) } else { Err(Error::Timeout) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.requests.flushes += 1;
        if self.fails() {
            return Err(Error::Timeout);
        }
        self.step()?;
        for (lba, block) in std::mem::take(&mut self.cached) {
            self.durable[lba as usize] = block;
        }
        Ok(())
    }
}
