//! Memory of components: an address is an allegation until the tables prove it.
//!
//! Every access goes page by page: walk the component's tables with the component's own permissions, then use the
//! linear map. Device pages are refused, since the linear map would reach past them.

use crate::arch::memory;
use crate::arch::paging::{Access, Space};
use crate::shell::Shell;
use abi::{PAGE_SIZE, SlotId, Status};

/// Bytes from `address` to the end of its page, at most `length`.
fn in_page(address: u64, length: usize) -> usize {
    length.min(PAGE_SIZE - address as usize % PAGE_SIZE)
}

impl Shell {
    /// Copies from a component's memory.
    ///
    /// # Errors
    /// [`Status::BadAddress`] if the component could not read all of it.
    pub fn read_user(&self, slot: SlotId, address: u64, out: &mut [u8]) -> Result<(), Status> {
        let space = self.space(slot);
        let mut done = 0;
        while done < out.len() {
            let at = address.checked_add(done as u64).ok_or(Status::BadAddress)?;
            let length = in_page(at, out.len() - done);
            let from = space.translate(at, Access::Read).ok_or(Status::BadAddress)?;
            memory::read(from, &mut out[done..done + length]);
            done += length;
        }
        Ok(())
    }

    /// Copies into a component's memory.
    ///
    /// # Errors
    /// [`Status::BadAddress`] if the component could not write all of it.
    pub fn write_user(&self, slot: SlotId, address: u64, data: &[u8]) -> Result<(), Status> {
        let space = self.space(slot);
        let mut done = 0;
        while done < data.len() {
            let at = address.checked_add(done as u64).ok_or(Status::BadAddress)?;
            let length = in_page(at, data.len() - done);
            let to = space.translate(at, Access::Write).ok_or(Status::BadAddress)?;
            memory::write(to, &data[done..done + length]);
            done += length;
        }
        Ok(())
    }

    /// Reads an aligned word of a component.
    pub fn read_user_word(&self, slot: SlotId, address: u64) -> Option<u64> {
        let physical = self.space(slot).translate(address, Access::Read)?;
        address.is_multiple_of(8).then(|| memory::read_word(physical))
    }
}

/// A range in one component's memory.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    /// Whose.
    pub space: &'a Space,
    /// Where.
    pub address: u64,
}

impl Place<'_> {
    fn physical(self, access: Access) -> Option<usize> {
        self.space.translate(self.address, access)
    }
}

/// Copies the part of `length` bytes that lies in one page on either side; returns how much that was.
///
/// # Errors
/// Which side is at fault.
pub fn copy_step(to: Place<'_>, from: Place<'_>, length: usize) -> Result<usize, Side> {
    let length = in_page(to.address, in_page(from.address, length));
    let source = from.physical(Access::Read).ok_or(Side::Source)?;
    let target = to.physical(Access::Write).ok_or(Side::Target)?;
    memory::copy(target, source, length);
    Ok(length)
}

/// A side of a copy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
    /// Where the bytes come from.
    Source,
    /// Where they go.
    Target,
}
