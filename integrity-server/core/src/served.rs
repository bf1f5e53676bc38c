//! The layer as a process runs it: over calls of a service, in one instance.
//!
//! *Rule.* Nothing here is generic, and what it offers is not inlined: whoever uses a [`Served`], a process or the self-test, runs
//! the same instructions. A test of a second copy would say nothing about a mistake in the first.

use crate::layer::{Finding, Layer};
use abi::Message;
use protocols::block::{BLOCK_SIZE, BLOCKS_MAX, Device, Doubting, Error, Info, Remote, Window};

/// Calls the service below.
pub type Call<'a> = &'a mut dyn FnMut(&Message, Window<'_>) -> Option<Message>;

/// Complains of the service below; true: it is a fresh one now.
pub type Complain<'a> = &'a mut dyn FnMut() -> bool;

type Below<'a> = Doubting<Sane<Remote<Call<'a>>>, Complain<'a>>;

/// A layer over a service below that is doubted once before an error of it is believed.
pub struct Served<'a> {
    layer: Layer<Below<'a>, fn(Finding)>,
}

impl<'a> Served<'a> {
    /// As [`Layer::new`].
    #[inline(never)]
    pub fn new(
        call: Call<'a>,
        complain: Complain<'a>,
        report: fn(Finding),
        capacity: usize,
        known: Option<u128>,
    ) -> Self {
        let below = Doubting::new(Sane { device: Remote::new(call), blocks: 0 }, complain);
        Self { layer: Layer::new(below, report, capacity, known) }
    }

    /// Identity of the medium that the client knows.
    pub const fn known(&self) -> Option<u128> {
        self.layer.known()
    }
}

impl Device for Served<'_> {
    #[inline(never)]
    fn info(&mut self) -> Result<Info, Error> {
        self.layer.info()
    }

    #[inline(never)]
    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.layer.read(lba, buffer)
    }

    #[inline(never)]
    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        self.layer.write(lba, data)
    }

    #[inline(never)]
    fn flush(&mut self) -> Result<(), Error> {
        self.layer.flush()
    }
}

/// A service that is asked only what it can do: to be refused what nobody could do is no reason to complain of it.
struct Sane<D> {
    device: D,
    /// Blocks of the medium, as it was told last.
    blocks: u64,
}

impl<D> Sane<D> {
    /// # Panics
    /// There are no such blocks, or too many at once: this process is the one that is wrong.
    fn assert_sane(&self, lba: u64, bytes: &[u8]) {
        let count = (bytes.len() / BLOCK_SIZE) as u64;
        let is_there = lba.checked_add(count).is_some_and(|end| end <= self.blocks);
        assert!(
            is_there && 0 < count && count <= BLOCKS_MAX.into(),
            "{count} blocks from {lba} on: a senseless request"
        );
    }
}

impl<D: Device> Device for Sane<D> {
    fn info(&mut self) -> Result<Info, Error> {
        let info = self.device.info()?;
        self.blocks = info.blocks;
        Ok(info)
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.assert_sane(lba, buffer);
        self.device.read(lba, buffer)
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        self.assert_sane(lba, data);
        self.device.write(lba, data)
    }

    fn flush(&mut self) -> Result<(), Error> {
        self.device.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    #[test]
    fn a_senseless_request_is_not_made() {
        let mut asked = 0;
        let mut call = |_: &Message, _: Window<'_>| {
            asked += 1;
            Some(Info { blocks: 200, write_protected: false, identity: 6 }.encode())
        };
        let mut device = Sane { device: Remote::new(&mut call as Call<'_>), blocks: 0 };
        let mut block = [0; BLOCK_SIZE];
        assert!(
            catch_unwind(AssertUnwindSafe(|| device.read(0, &mut block))).is_err(),
            "nothing is known of it"
        );
        device.info().unwrap();
        assert_eq!(device.read(199, &mut block), Ok(()));
        assert_eq!(device.write(72, &std::vec![0; 128 * BLOCK_SIZE]), Ok(()));
        for (lba, count) in [(200, 1), (u64::MAX, 1), (199, 2), (0, 0), (0, 129)] {
            let bytes = std::vec![0; count * BLOCK_SIZE];
            assert!(catch_unwind(AssertUnwindSafe(|| device.write(lba, &bytes))).is_err(), "{lba} {count}");
        }
        assert_eq!(asked, 3);
    }
}
