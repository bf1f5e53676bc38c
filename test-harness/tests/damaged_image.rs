//! The kernel on boot images that were cut short or damaged, and on another board: what it cannot start it refuses, on the console, with the
//! remedy, and stays still instead of resetting the board for ever; what has a second copy it starts.
//!
//! The images are made from the one that the build made of `system/test.toml` (`./x test` builds it).

use abi::image::{ImageHeader, MAGIC, SystemHeader};
use abi::rights::SlotRights;
use abi::trace::Event;
use crc::{CRC_32_ISO_HDLC, Crc};
use std::mem::offset_of;
use std::path::Path;
use std::time::{Duration, Instant};
use test_harness::evidence::{Item, Splitter};
use test_harness::system::System;
use test_harness::target::{Emulator, Happening, Launch, Line, Machine, Mode};
use zerocopy::FromBytes;

const PAGE: usize = abi::PAGE_SIZE;

/// Slots of `system/test.toml`.
const ROOT: usize = 0;
const RS: usize = 1;
const ECHO: usize = 3;

/// For a boot that must reach its end.
const LIMIT: Duration = Duration::from_mins(2);

/// How long a board that has stopped is watched: a loop of resets takes a few milliseconds a turn.
const STILL: Duration = Duration::from_secs(1);

const REFUSAL: &str = "Samsara cannot start: ";
const REMEDY: &str = "Build the image (./x build) and write it to the card again.";

/// A boot image, and where what lies in it.
#[derive(Clone)]
struct Image {
    bytes: Vec<u8>,
    /// Offset of the header, from which it counts.
    base: usize,
    header: SystemHeader,
}

impl Image {
    fn built() -> Self {
        let system = System::under_test(&Machine::under_test().unwrap().name, "test").unwrap();
        let bytes = std::fs::read(system.kernel()).unwrap();
        let is_header = |base: &usize| bytes[*base..].starts_with(&MAGIC.to_le_bytes());
        let base = (0..bytes.len()).step_by(PAGE).find(is_header).expect("a system behind the kernel");
        let (header, _) = SystemHeader::read_from_prefix(&bytes[base..]).unwrap();
        Self { bytes, base, header }
    }

    fn record<T: FromBytes>(&self, array: u32, index: usize) -> T {
        let at = self.base + array as usize + index * size_of::<T>();
        T::read_from_prefix(&self.bytes[at..]).unwrap().0
    }

    /// Where a page of the image in `slot` lies in a copy of the bundle.
    fn page(&self, copy: usize, slot: usize, page: usize) -> usize {
        let rights: SlotRights = self.record(self.header.slots, slot);
        let image: ImageHeader = self.record(self.header.images, rights.image as usize);
        let bundle = if copy == 0 { self.header.bundle_a } else { self.header.bundle_b };
        self.base + bundle as usize + (image.first_page as usize + page) * PAGE
    }

    fn flipped(mut self, places: &[usize]) -> Self {
        for place in places {
            self.bytes[*place] ^= 0x10;
        }
        self
    }

    /// With a range of a slot somewhere else, and the checksum of the tables right again: an image for a board with more memory.
    fn moved(mut self, slot: usize, field: usize, base: u64) -> Self {
        let at = self.base + self.header.slots as usize + slot * size_of::<SlotRights>() + field;
        self.bytes[at..at + 8].copy_from_slice(&base.to_le_bytes());
        let sealed = self.base + SystemHeader::SEALED..self.base + self.header.tables_end as usize;
        let crc = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&self.bytes[sealed]);
        let at = self.base + offset_of!(SystemHeader, tables_crc);
        self.bytes[at..at + 4].copy_from_slice(&crc.to_le_bytes());
        self
    }

    fn cut(mut self, length: usize) -> Self {
        self.bytes.truncate(length);
        self
    }
}

/// What came out of the board.
#[derive(Default)]
struct Seen {
    console: String,
    panics: Vec<String>,
    logs: Vec<String>,
    ready: Vec<usize>,
    second_copies: usize,
    resets: u32,
}

impl Seen {
    fn take(&mut self, item: &Item) {
        let Item::Frame(recorded) = item else { return };
        match recorded.view().event {
            Event::KernelPanic { text, .. } => self.panics.push(text.to_owned()),
            Event::Ready { slot, .. } => self.ready.push(slot.into()),
            Event::SecondCopy { .. } => self.second_copies += 1,
            Event::Log { data, .. } => self.logs.push(String::from_utf8_lossy(data).into_owned()),
            _ => {}
        }
    }

    fn is_refused(&self) -> bool {
        self.console.contains(REFUSAL) && self.console.contains(REMEDY)
    }
}

fn boot(image: &Image, enough: impl Fn(&Seen) -> bool) -> Seen {
    boot_on(&Machine::under_test().unwrap(), image, enough)
}

/// Boots until `enough`, and watches for a little longer.
fn boot_on(machine: &Machine, image: &Image, enough: impl Fn(&Seen) -> bool) -> Seen {
    let folder = tempfile::tempdir().unwrap();
    let kernel = folder.path().join("kernel8.img");
    std::fs::write(&kernel, &image.bytes).unwrap();
    let launch = Launch {
        machine,
        kernel: &kernel,
        card: None,
        plan: None,
        seed: 1,
        mode: Mode::Deterministic,
        extra: &[],
        folder: folder.path(),
    };
    let mut emulator = Emulator::launch(&launch).unwrap();
    let (mut seen, mut splitter) = (Seen::default(), Splitter::new());
    let mut end = Instant::now() + LIMIT;
    let mut was_enough = false;
    loop {
        match emulator.next(end) {
            Happening::Bytes(Line::Console, bytes) => seen.console += &String::from_utf8_lossy(&bytes),
            Happening::Bytes(Line::Evidence, bytes) => splitter.push(&bytes, |item| seen.take(&item)),
            Happening::Reset(_) => seen.resets += 1,
            Happening::Closed | Happening::Nothing | Happening::Stopped(_) | Happening::Watched(_) => break,
        }
        if !was_enough && enough(&seen) {
            was_enough = true;
            end = Instant::now() + STILL;
        }
        if was_enough && Instant::now() >= end {
            break;
        }
    }
    emulator.end().unwrap();
    assert!(was_enough, "console {:?}, panics {:?}, logs {:?}", seen.console, seen.panics, seen.logs);
    seen
}

/// The kernel says `reason` on both lines, once, and the board stays as it is.
fn assert_refused(image: &Image, reason: &str) {
    let seen = boot(image, Seen::is_refused);
    assert!(seen.console.contains(&format!("{REFUSAL}{reason}")), "{}", seen.console);
    assert_eq!((seen.console.matches(REFUSAL).count(), seen.resets), (1, 0), "{}", seen.console);
    assert!(matches!(seen.panics.as_slice(), [text] if text.contains(reason)), "{:?}", seen.panics);
    assert!(seen.ready.is_empty());
}

#[test]
fn an_image_that_is_whole_starts() {
    let seen = boot(&Image::built(), |seen| seen.ready.contains(&ECHO));
    assert!(seen.console.is_empty(), "{}", seen.console);
    assert_eq!((seen.second_copies, seen.resets), (0, 0));
}

#[test]
fn an_image_on_another_board_says_so_and_does_nothing() {
    let built_for = Machine::under_test().unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../qemu");
    let mut others = 0;
    for name in ["raspi3b", "raspi4b"].into_iter().filter(|name| *name != built_for.name) {
        let other = Machine::named(&folder, name).unwrap();
        let whole = |seen: &Seen| seen.console.ends_with("write it to the card.\r\n");
        let seen = boot_on(&other, &Image::built(), whole);
        let reason = format!("{REFUSAL}this image is for the board {},", built_for.name);
        assert_eq!(seen.console.matches(&reason).count(), 1, "on {name}: {}", seen.console);
        assert_eq!((seen.ready.len(), seen.panics.len(), seen.resets), (0, 0, 0), "on {name}");
        others += 1;
    }
    assert_eq!(others, 1);
}

#[test]
fn an_image_that_was_cut_short_is_refused() {
    let image = Image::built();
    let tables = image.base + size_of::<SystemHeader>();
    assert_refused(&image.clone().cut(image.base), "no system lies behind the kernel");
    assert_refused(&image.clone().cut(tables + 100), "the system's tables are damaged");
    let short = "the image is cut short";
    assert_refused(&image.clone().cut(image.page(0, ROOT, 1)), short);
    assert_refused(&image.clone().cut(image.page(0, RS, 1)), short);
    // Root and RS are there, and of the others only a part.
    assert_refused(&image.clone().cut(image.page(0, ECHO, 1)), short);
}

#[test]
fn a_flipped_bit_in_header_or_tables_is_found() {
    let image = Image::built();
    let header = |field: usize| image.clone().flipped(&[image.base + field]);
    assert_refused(&header(offset_of!(SystemHeader, magic)), "no system lies behind the kernel");
    let damaged = "the system's tables are damaged";
    let last_byte_of_a_length = offset_of!(SystemHeader, tables_end) + 3;
    for field in [
        offset_of!(SystemHeader, tables_crc),
        offset_of!(SystemHeader, tables_end),
        last_byte_of_a_length,
        offset_of!(SystemHeader, slot_count) + 3,
        offset_of!(SystemHeader, slots),
        offset_of!(SystemHeader, page_count),
        offset_of!(SystemHeader, bundle_b) + 2,
        offset_of!(SystemHeader, plan_base) + 5,
    ] {
        assert_refused(&header(field), damaged);
    }
    for array in [image.header.slots, image.header.images, image.header.page_crcs] {
        assert_refused(&header(array as usize + 7), damaged);
    }
}

#[test]
fn memory_that_this_board_has_not_is_missed_before_anything_starts() {
    let image = Image::built();
    let less = "the board has less memory than the image needs";
    // Behind the video core's share, behind 2 GiB, and where no number of a page can lead.
    for base in [0x3FFF_F000, 0x1_C000_0000, u64::MAX - 0xFFF] {
        assert_refused(&image.clone().moved(ECHO, offset_of!(SlotRights, bank_base), base), less);
    }
    assert_refused(&image.clone().moved(ECHO, offset_of!(SlotRights, checkpoint_base), 0x1_C000_0000), less);
    assert_refused(&image.clone().moved(ECHO, offset_of!(SlotRights, log_base), 0x1_C000_0000), less);
}

#[test]
fn a_page_of_root_or_rs_that_is_damaged_in_both_copies_is_refused() {
    let image = Image::built();
    for slot in [ROOT, RS] {
        let both = [image.page(0, slot, 1) + 9, image.page(1, slot, 1) + 1000];
        assert_refused(&image.clone().flipped(&both), "the image is cut short, or a page is damaged");
    }
}

#[test]
fn a_page_that_is_damaged_in_one_copy_costs_nothing() {
    let image = Image::built();
    let first =
        image.clone().flipped(&[image.page(0, ROOT, 0), image.page(0, RS, 1), image.page(0, ECHO, 2)]);
    let seen = boot(&first, |seen| seen.ready.contains(&ECHO));
    assert_eq!((seen.second_copies, seen.resets), (3, 0));
    let second = image.clone().flipped(&[image.page(1, ROOT, 0), image.page(1, ECHO, 2)]);
    let seen = boot(&second, |seen| seen.ready.contains(&ECHO));
    assert_eq!((seen.second_copies, seen.resets), (0, 0));
}

#[test]
fn another_component_that_is_damaged_in_both_copies_is_quarantined_and_the_system_runs() {
    let image = Image::built();
    let both = image.clone().flipped(&[image.page(0, ECHO, 1), image.page(1, ECHO, 1)]);
    let said = |seen: &Seen| seen.logs.iter().any(|log| log.contains("both copies of its image are damaged"));
    let seen = boot(&both, said);
    assert!(seen.ready.contains(&RS) && !seen.ready.contains(&ECHO), "{:?}", seen.ready);
    assert_eq!(seen.resets, 0);
}
