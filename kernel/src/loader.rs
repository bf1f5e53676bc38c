//! Starting an incarnation from the bundle.
//!
//! Work is done page by page, each page checked by its CRC while it is copied, so that loading can stop for an interrupt
//! or for the death of whoever asked for it, and go on later. Running begins in one step, after the last page.

use crate::Kernel;
use crate::arch::paging::{Attributes, BankFull};
use crate::arch::{cpu, memory};
use crate::shell::Shell;
use crate::store;
use abi::image::ImageHeader;
use abi::layout::{ARENA_BASE, DEVICE_BASE, DEVICE_STRIDE, IMAGE_BASE, PLAN_BASE, STACK_TOP};
use abi::message::Meta;
use abi::record::SlotState;
use abi::rights::Rights;
use abi::trace::Event;
use abi::{PAGE_SIZE, SlotId, Status};

/// How far the loading of a slot has come.
#[derive(Clone, Copy)]
pub struct Progress {
    /// Pages of image, zeroed data, stack and arena that are in place.
    pub pages: u32,
    /// Number of the incarnation that runs or ran last.
    pub incarnation: u32,
    /// Heap pages mapped.
    pub heap_pages: u32,
}

impl Progress {
    /// Nothing is loaded.
    pub const START: Self = Self { pages: 0, incarnation: 0, heap_pages: 0 };
}

impl Kernel {
    /// Loads pages of `slot` until an interrupt is pending or all are there; then lets it run.
    ///
    /// Answers `Ok` when the slot runs, `More` when there is more to do, `Corrupt` when a page is damaged in both copies.
    pub fn load(&mut self, slot: SlotId, now: u64) -> Status {
        let Some(image) = self.shell.image(slot) else { return Status::Nothing };
        let image = &image;
        let fresh = self.core.slot(slot).state != SlotState::Loading;
        if !self.tell_all() {
            return Status::More;
        }
        if let Err(status) = self.core.begin_loading(slot) {
            return status;
        }
        if fresh {
            self.shell.space_mut(slot).reset();
            self.shell.progress[usize::from(slot)].pages = 0;
        }
        match self.shell.load_pages(slot, image, now) {
            Ok(true) => self.run(slot, image, now),
            Ok(false) => return Status::More,
            Err(status) => {
                self.core.stop_loading(slot);
                return status;
            }
        }
        Status::Ok
    }

    /// The one step in which the next incarnation begins to exist: registers, rights, state.
    fn run(&mut self, slot: SlotId, image: &ImageHeader, now: u64) {
        self.core.begin_running(slot, now);
        let incarnation = self.core.slot(slot).incarnation;
        let progress = &mut self.shell.progress[usize::from(slot)];
        progress.incarnation = incarnation;
        progress.heap_pages = 0;
        let has_checkpoint = self.shell.checkpoints[usize::from(slot)].exists();
        let frame = self.shell.frames.get_mut(slot);
        frame.begin(image.entry, STACK_TOP, Meta { sender: slot, attempt: 0, incarnation }.to_word());
        frame.x[0] = u64::from(slot);
        frame.x[1] = u64::from(incarnation);
        frame.x[2] = u64::from(has_checkpoint);
        cpu::invalidate_asid(crate::asid(slot));
        cpu::invalidate_instruction_cache();
        self.shell.emit(now, Event::Started { slot, incarnation });
    }
}

impl Shell {
    fn load_pages(&mut self, slot: SlotId, image: &ImageHeader, now: u64) -> Result<bool, Status> {
        let stack_pages = self.rights(slot).stack_size as u32 / PAGE_SIZE as u32;
        let image_pages = image.stored_pages() + image.bss_pages;
        let arena_pages = (self.rights(slot).arena_size / 2 / PAGE_SIZE as u64) as u32;
        loop {
            let page = self.progress[usize::from(slot)].pages;
            if page >= image_pages + stack_pages + arena_pages {
                self.map_devices(slot).map_err(|BankFull| Status::QuotaExceeded)?;
                return Ok(true);
            }
            if page < image_pages {
                self.load_image_page(slot, image, page, now)?;
            } else if page >= image_pages + stack_pages {
                self.map_arena_page(slot, u64::from(page - image_pages - stack_pages))
                    .map_err(|BankFull| Status::QuotaExceeded)?;
            } else {
                let address = STACK_TOP - u64::from(page - image_pages + 1) * PAGE_SIZE as u64;
                self.map_zeroed(slot, address)?;
            }
            self.progress[usize::from(slot)].pages = page + 1;
            if cpu::interrupt_pending() {
                return Ok(false);
            }
        }
    }

    fn load_image_page(
        &mut self,
        slot: SlotId,
        image: &ImageHeader,
        page: u32,
        now: u64,
    ) -> Result<(), Status> {
        let address = IMAGE_BASE + u64::from(page) * PAGE_SIZE as u64;
        if page >= image.stored_pages() {
            return self.map_zeroed(slot, address);
        }
        let to = self.space_mut(slot).allocate().map_err(|BankFull| Status::QuotaExceeded)?;
        self.copy_page(slot, image.first_page + page, to, now)?;
        let attributes = if page < image.text_pages {
            memory::clean_code_page(to);
            Attributes::TEXT
        } else if page < image.text_pages + image.rodata_pages {
            Attributes::READ_ONLY
        } else {
            Attributes::DATA
        };
        self.space_mut(slot).map(address, to, attributes).map_err(|BankFull| Status::QuotaExceeded)
    }

    /// Copies a page of the bundle, from the second copy if the first is damaged; or of the slot's store.
    fn copy_page(&mut self, slot: SlotId, page: u32, to: usize, now: u64) -> Result<(), Status> {
        if self.stores[usize::from(slot)].is_some() {
            let (from, expected) = store::page(self.rights(slot).store_base as usize, page);
            return if memory::copy_page(to, from) == expected { Ok(()) } else { Err(Status::Corrupt) };
        }
        let table = self.table();
        let expected = table.page_crcs[page as usize];
        if memory::copy_page(to, table.page(0, page)) == expected {
            return Ok(());
        }
        if memory::copy_page(to, table.page(1, page)) != expected {
            return Err(Status::Corrupt);
        }
        self.counters.second_copy_pages += 1;
        self.emit(now, Event::SecondCopy { slot, page });
        Ok(())
    }

    /// Maps a fresh page of zeros for data.
    pub fn map_zeroed(&mut self, slot: SlotId, address: u64) -> Result<(), Status> {
        let space = self.space_mut(slot);
        let page = space.allocate().map_err(|BankFull| Status::QuotaExceeded)?;
        memory::zero_page(page);
        space.map(address, page, Attributes::DATA).map_err(|BankFull| Status::QuotaExceeded)
    }

    /// Maps a page of the arena's half that is this incarnation's.
    fn map_arena_page(&mut self, slot: SlotId, page: u64) -> Result<(), BankFull> {
        let rights = self.rights(slot);
        let parity = u64::from(self.progress[usize::from(slot)].incarnation % 2);
        let offset = page * PAGE_SIZE as u64;
        let physical = rights.arena_base + parity * (rights.arena_size / 2) + offset;
        self.space_mut(slot).map(ARENA_BASE + offset, physical as usize, Attributes::ARENA)
    }

    /// Maps what else the manifest gives besides memory: device windows, the fault plan.
    fn map_devices(&mut self, slot: SlotId) -> Result<(), BankFull> {
        let rights = self.rights(slot);
        for (index, window) in (0..).zip(&rights.windows) {
            if window.mapped != 0 {
                let address = DEVICE_BASE + index * DEVICE_STRIDE;
                self.map_range(slot, address, window.base, window.size, Attributes::DEVICE)?;
            }
        }
        if Rights::from_bits_truncate(rights.flags).contains(Rights::PLAN) {
            let header = self.table().header;
            self.map_range(slot, PLAN_BASE, header.plan_base, header.plan_size, Attributes::READ_ONLY)?;
        }
        Ok(())
    }

    fn map_range(
        &mut self,
        slot: SlotId,
        address: u64,
        physical: u64,
        size: u64,
        how: Attributes,
    ) -> Result<(), BankFull> {
        let first = physical & !(PAGE_SIZE as u64 - 1);
        let pages = (physical + size - first).div_ceil(PAGE_SIZE as u64);
        for page in 0..if size == 0 { 0 } else { pages } {
            let offset = page * PAGE_SIZE as u64;
            self.space_mut(slot).map(address + offset, (first + offset) as usize, how)?;
        }
        Ok(())
    }
}
