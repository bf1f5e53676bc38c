//! The log ring of a slot: it survives the incarnations that write to it.
//!
//! Rule: a record is there in whole or not at all. What a component writes is data to the kernel, and never read by it.

use crate::arch::memory;

/// Bytes in front of each record: kind, length, incarnation (little-endian).
const HEADER: usize = 6;

/// A ring of records in physical memory; the oldest go when room is needed.
#[derive(Clone, Copy)]
pub struct Ring {
    base: usize,
    size: usize,
    start: usize,
    used: usize,
    /// How many records have been added: while it is the same, so are the records.
    pushes: u32,
}

impl Ring {
    /// A ring without room.
    pub const EMPTY: Self = Self::new(0, 0);

    /// An empty ring in `base..base + size`.
    pub const fn new(base: usize, size: usize) -> Self {
        Self { base, size, start: 0, used: 0, pushes: 0 }
    }

    /// Adds a record of at most 255 bytes; drops it if the whole ring is too small.
    pub fn push(&mut self, kind: u8, incarnation: u32, data: &[u8]) {
        let needed = HEADER + data.len();
        if needed > self.size || data.len() > 255 {
            return;
        }
        while self.size - self.used < needed {
            let mut header = [0; HEADER];
            self.get(self.start, &mut header);
            let length = HEADER + usize::from(header[1]);
            self.start = (self.start + length) % self.size;
            self.used -= length.min(self.used);
        }
        let [a, b, c, d] = incarnation.to_le_bytes();
        self.put(self.start + self.used, &[kind, data.len() as u8, a, b, c, d]);
        self.put(self.start + self.used + HEADER, data);
        self.used += needed;
        self.pushes = self.pushes.wrapping_add(1);
    }

    /// Bytes of all records.
    pub const fn used(&self) -> usize {
        self.used
    }

    /// Differs from what it was before any other record was added.
    pub const fn version(&self) -> u64 {
        self.pushes as u64
    }

    /// Copies bytes of the records, counted from the oldest.
    pub fn read(&self, offset: usize, out: &mut [u8]) {
        self.get(self.start + offset, out);
    }

    fn put(&self, at: usize, data: &[u8]) {
        let at = at % self.size;
        let first = data.len().min(self.size - at);
        memory::write(self.base + at, &data[..first]);
        memory::write(self.base, &data[first..]);
    }

    fn get(&self, at: usize, out: &mut [u8]) {
        if self.size == 0 {
            return;
        }
        let at = at % self.size;
        let first = out.len().min(self.size - at);
        let (head, tail) = out.split_at_mut(first);
        memory::read(self.base + at, head);
        memory::read(self.base, tail);
    }
}
