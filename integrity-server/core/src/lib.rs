//! The integrity layer: a block service over a block service that knows what it has written.
//!
//! *Role.* Everything that the process does, except receiving, copying grants and replying. It finds out when a driver or a
//! medium lies: rotten, misdirected, lost, stale, torn or short transfers. What does not fit is read again, then the client
//! gets [`Error::Integrity`](protocols::block::Error::Integrity), and no data.
//!
//! *Rule.* An honest medium is never accused, whoever dies and whenever the power fails. After a flush that was answered,
//! no older contents are accepted.
//!
//! # On the medium
//! Of N blocks the client has the first D, where D is the largest multiple of 8 for which the rest fits:
//!
//! | block | contents |
//! |---|---|
//! | 0 to D−1 | the client's, untouched and where they were: tools of the host need not know of the layer |
//! | D | superblock |
//! | D+1 … | the table: 63 pairs in a block, pair i of block t for the client's block 63t+i |
//! | N−1 | superblock again |
//!
//! All numbers are little-endian. The layer's own blocks begin with their CRC-32C over their number (8 bytes) and their
//! other 508 bytes. Superblock: checksum, version 1 (4), `SAMINTEG`, N (8), D (8), zeros. It is written once, by
//! [`format`]; a medium without one is refused, since to accept it would be to accept a rotten one. Block of the table:
//! checksum, generation (4, one more at each write), 63 times two checksums (4 each) of the client's block, its number
//! included ([`checksum()`]). A block of the client's fits if it has either. There is no value with a meaning of its own: a
//! block that was never written has the checksum of what [`format`] found.
//!
//! # Why the order is enough
//! The medium below does whole blocks. Until a flush it may lose any write and keep any other. Let `a` be what is there.
//!
//! | step | pair on the medium | block on the medium |
//! |---|---|---|
//! | before | a a | a |
//! | 1. the table's block is written | a a or a b | a |
//! | 2. flush | a b | a |
//! | 3. the client's blocks are written; answer | a b | a or b |
//! | client's flush: 4. flush | a b | b |
//! | 5. the table's block is written | a b or b b | b |
//! | 6. flush, the table's block is read back and compared; answer | b b | b |
//!
//! In every line the pair has what the block may have: nobody is accused. After 6 the pair has nothing else: a block that
//! goes back to `a` is found. Without 2 a power cut could keep the block and lose its pair.
//!
//! *A second write before the flush.* `a`, `b` and `c` have no room in a pair. But step 2 of every write makes durable
//! what all writes before have written. Only blocks written since the last flush below, those of the last request as a
//! rule, may still be `a`; a write that touches them flushes first, and then the pair is b c.
//!
//! *A write that failed* leaves both acceptable. Before a third is announced the block is read, after a flush, to see
//! which it is.
//!
//! *A write of what the pair already has* (the same again; a request delivered a second time) needs no steps 1 and 2.
//!
//! *Death of the layer.* The next incarnation flushes first: the driver serves in order, so what the predecessor had
//! asked has come to its end. Then the lines above hold as for a power cut. The request in service is delivered again.
//!
//! *Memory* says which of a pair is the one: while an incarnation lives, a lost write is found at the next read, flushed
//! or not. After its death, what was not flushed may be either.
//!
//! # What it does not find
//! - A medium that goes back with a block *and* its block of the table to one earlier moment, over a death of the layer or
//!   a power cut. Within a life the table's blocks are in memory, and the generations of those that had to make room are.
//!   One that writes data *and* table to a wrong place, and reads the table from there when it is compared, does the same.
//! - With a probability of 2⁻³² for each damaged block, damage ([`checksum()`]).
//!
//! A rotten block of the table takes the 63 blocks that it is about with it, for reading and writing: to make a new one
//! would be to guess. [`format`] on the host makes one, for whoever knows that the data is good.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod cache;
mod checksum;
mod format;
mod layer;
mod layout;
mod self_test;
mod served;
mod table;
#[cfg(test)]
mod tests;

pub use checksum::{certain, checksum};
pub use format::{format, scrub};
pub use layer::{ATTEMPTS, Finding, Layer, Report};
pub use layout::{Block, ENTRIES, Geometry};
pub use self_test::{Wrong, self_test};
pub use served::{Call, Complain, Served};
