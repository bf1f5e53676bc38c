//! Flattening: the loadable segments of an ELF file as whole pages of text, read-only data and data.

use std::ops::Range;

use abi::image::ImageHeader;
use abi::layout::{IMAGE_BASE, IMAGE_END};
use abi::name_field;
use abi::program::ARGUMENTS_BYTES;
use anyhow::{Context, Result, bail, ensure};
use object::LittleEndian;
use object::elf::{
    PF_W, PF_X, PT_DYNAMIC, PT_INTERP, PT_LOAD, PT_TLS, SHF_ALLOC, SHT_REL, SHT_RELA, SHT_RELR, SHT_SYMTAB,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use test_harness::evidence::build_id;

use super::{Header, PAGE, parse_elf};

const LE: LittleEndian = LittleEndian;

/// The function of `userlib` that executes injected faults.
const FAULT_STUB: &str = "samsara_fault_stub";

/// The area of `userlib` that takes the arguments of a program.
const ARGUMENTS: &str = "samsara_arguments";

/// The section that holds the bindings.
pub const BINDINGS: &str = ".samsara.bindings";

/// An image whose bindings are not patched yet.
#[derive(Clone, Debug)]
pub struct Flat {
    /// What the kernel needs to know; `first_page` is 0.
    pub header: ImageHeader,
    /// The stored pages.
    pub pages: Vec<u8>,
    /// Where in `pages` the bindings lie; empty if it has none.
    pub bindings: Range<usize>,
    /// Where in `pages` the area for arguments begins, if it takes any.
    pub arguments: Option<usize>,
}

/// A loadable segment. Addresses are virtual.
struct Segment<'a> {
    base: u64,
    data: &'a [u8],
    size: u64,
    flags: u32,
}

impl Segment<'_> {
    fn kind(&self) -> Result<Kind> {
        let base = self.base;
        match (self.flags & PF_X != 0, self.flags & PF_W != 0) {
            (true, false) => Ok(Kind::Text),
            (false, false) => Ok(Kind::Rodata),
            (false, true) => Ok(Kind::Data),
            (true, true) => {
                bail!("the segment at {base:#x} is writable and executable: separate text and data")
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Text,
    Rodata,
    Data,
}

/// Flattens an ELF file that was linked with `userlib/component.ld`; `name` is the image's.
///
/// # Errors
/// Everything that keeps the kernel from running it as it is.
pub fn flatten(name: &str, elf: &[u8]) -> Result<Flat> {
    flatten_elf(name, elf).with_context(|| format!("image \"{name}\""))
}

fn flatten_elf(name: &str, elf: &[u8]) -> Result<Flat> {
    let file = parse_elf(elf)?;
    let segments = segments(file, elf)?;
    refuse_relocations(file, elf)?;
    let mut pages = Vec::new();
    let mut counts = [0u32; 3];
    let mut bss_pages = 0;
    for segment in &segments {
        let kind = segment.kind()?;
        let expected = IMAGE_BASE + pages.len() as u64;
        ensure!(
            counts[kind as usize..] == [0, 0, 0][kind as usize..] && bss_pages == 0,
            "the segment at {:#x} ({kind:?}) is out of order: one each of text, read-only data, data",
            segment.base
        );
        ensure!(
            segment.base == expected,
            "the segment at {:#x} does not follow the one before it, which ends at {expected:#x}",
            segment.base
        );
        ensure!(
            kind == Kind::Data || segment.size == segment.data.len() as u64,
            "the segment at {:#x} has zeroed memory but is not writable",
            segment.base
        );
        pages.extend_from_slice(segment.data);
        pages.resize(pages.len().next_multiple_of(PAGE), 0);
        let stored = segment.data.len().div_ceil(PAGE);
        counts[kind as usize] = stored as u32;
        bss_pages = segment.size.div_ceil(PAGE as u64) as u32 - stored as u32;
    }
    let end = IMAGE_BASE + pages.len() as u64 + u64::from(bss_pages) * PAGE as u64;
    ensure!(end <= IMAGE_END, "it ends at {end:#x}, beyond {IMAGE_END:#x}");
    let text = IMAGE_BASE..IMAGE_BASE + u64::from(counts[0]) * PAGE as u64;
    let entry = file.e_entry(LE);
    ensure!(
        text.contains(&entry),
        "its entry {entry:#x} is not in its text {:#x} to {:#x}",
        text.start,
        text.end
    );
    let fault_stub =
        symbol(file, elf, FAULT_STUB)?.with_context(|| format!("no symbol `{FAULT_STUB}`: link userlib"))?;
    ensure!(text.contains(&fault_stub), "`{FAULT_STUB}` at {fault_stub:#x} is not in its text");
    let header = ImageHeader {
        name: name_field(name),
        build_id: build_id(elf)?,
        entry,
        fault_stub,
        first_page: 0,
        text_pages: counts[0],
        rodata_pages: counts[1],
        data_pages: counts[2],
        bss_pages,
        reserved: 0,
    };
    let bindings = bindings(file, elf, pages.len())?;
    let arguments = symbol(file, elf, ARGUMENTS)?.map(|address| (address - IMAGE_BASE) as usize);
    ensure!(
        arguments.is_none_or(|start| start + ARGUMENTS_BYTES <= pages.len()),
        "`{ARGUMENTS}` is not in its stored pages"
    );
    Ok(Flat { header, pages, bindings, arguments })
}

/// The loadable segments in the order of their addresses, which are whole pages.
fn segments<'a>(file: &Header, elf: &'a [u8]) -> Result<Vec<Segment<'a>>> {
    let mut segments = Vec::new();
    for header in file.program_headers(LE, elf)? {
        match header.p_type(LE) {
            PT_LOAD if header.p_memsz(LE) > 0 => {}
            PT_DYNAMIC | PT_INTERP => {
                bail!("it is linked dynamically: link with relocation-model=static and no shared library")
            }
            PT_TLS => bail!("it has thread-local storage, of which a component has none"),
            _ => continue,
        }
        let base = header.p_vaddr(LE);
        let data = header
            .data(LE, elf)
            .ok()
            .with_context(|| format!("the segment at {base:#x} lies outside the file"))?;
        let size = header.p_memsz(LE);
        ensure!(data.len() as u64 <= size, "the segment at {base:#x} is longer in the file than in memory");
        ensure!(
            base.is_multiple_of(PAGE as u64),
            "the segment at {base:#x} does not begin on a page boundary"
        );
        let end = base.checked_add(size).filter(|end| *end <= IMAGE_END);
        ensure!(
            base >= IMAGE_BASE && end.is_some(),
            "the segment at {base:#x} of {size:#x} bytes is not within {IMAGE_BASE:#x} to {IMAGE_END:#x}"
        );
        segments.push(Segment { base, data, size, flags: header.p_flags(LE) });
    }
    segments.sort_by_key(|segment| segment.base);
    for pair in segments.windows(2) {
        let end = pair[0].base + pair[0].size;
        ensure!(end <= pair[1].base, "the segments at {:#x} and {:#x} overlap", pair[0].base, pair[1].base);
    }
    Ok(segments)
}

/// Relocations for a loader: the kernel has none.
fn refuse_relocations(file: &Header, elf: &[u8]) -> Result<()> {
    let sections = file.sections(LE, elf)?;
    for section in sections.iter() {
        let loaded = section.sh_flags(LE) & u64::from(SHF_ALLOC) != 0;
        let relocations = matches!(section.sh_type(LE), SHT_REL | SHT_RELA | SHT_RELR);
        if loaded && relocations && section.sh_size(LE) > 0 {
            let name = String::from_utf8_lossy(sections.section_name(LE, section)?);
            bail!("it has dynamic relocations in `{name}`: link with relocation-model=static");
        }
    }
    Ok(())
}

/// Address of a symbol.
fn symbol(file: &Header, elf: &[u8], name: &str) -> Result<Option<u64>> {
    let sections = file.sections(LE, elf)?;
    let symbols = sections.symbols(LE, elf, SHT_SYMTAB)?;
    let found = symbols
        .iter()
        .find(|symbol| symbol.name(LE, symbols.strings()).is_ok_and(|text| text == name.as_bytes()));
    Ok(found.filter(|symbol| !symbol.is_undefined(LE)).map(|symbol| symbol.st_value(LE)))
}

/// Where in the stored pages the bindings lie.
fn bindings(file: &Header, elf: &[u8], stored: usize) -> Result<Range<usize>> {
    let sections = file.sections(LE, elf)?;
    let Some((_, section)) = sections.section_by_name(LE, BINDINGS.as_bytes()) else {
        return Ok(0..0);
    };
    let (address, size) = (section.sh_addr(LE), section.sh_size(LE) as usize);
    if size == 0 {
        return Ok(0..0);
    }
    let start = address.checked_sub(IMAGE_BASE).context("`.samsara.bindings` is not loaded")? as usize;
    ensure!(start + size <= stored, "`{BINDINGS}` at {address:#x} is not part of the stored pages");
    ensure!(
        size.is_multiple_of(super::bindings::RECORD),
        "`{BINDINGS}` has {size} bytes, which are no whole records of {}",
        super::bindings::RECORD
    );
    Ok(start..start + size)
}

#[cfg(test)]
mod tests {
    use super::super::fake_elf::{FakeElf, FakeSegment};
    use super::*;

    const R: u32 = 4;
    const RX: u32 = 5;
    const RW: u32 = 6;

    fn good() -> FakeElf {
        FakeElf::new(IMAGE_BASE + 8)
            .segment(FakeSegment { base: IMAGE_BASE, data: vec![0xAA; 5000], size: 5000, flags: RX })
            .segment(FakeSegment { base: IMAGE_BASE + 0x2000, data: vec![0xBB; 4096], size: 4096, flags: R })
            .segment(FakeSegment { base: IMAGE_BASE + 0x3000, data: vec![0xCC; 10], size: 0x2001, flags: RW })
            .symbol(FAULT_STUB, IMAGE_BASE + 16, None)
    }

    fn refusal(elf: &FakeElf) -> String {
        format!("{:#}", flatten("x", &elf.bytes()).unwrap_err())
    }

    #[test]
    fn segments_become_pages() {
        let flat = flatten("a-very-long-image-name", &good().bytes()).unwrap();
        let header = flat.header;
        assert_eq!(
            [header.text_pages, header.rodata_pages, header.data_pages, header.bss_pages, header.first_page],
            [2, 1, 1, 2, 0]
        );
        assert_eq!((header.entry, header.fault_stub), (IMAGE_BASE + 8, IMAGE_BASE + 16));
        assert_eq!(abi::name_text(&header.name), "a-very-long-imag");
        assert_eq!(flat.pages.len(), 4 * PAGE);
        assert_eq!(
            (flat.pages[4999], flat.pages[5000], flat.pages[8191], flat.pages[8192]),
            (0xAA, 0, 0, 0xBB)
        );
        assert_eq!((flat.pages[0x3009], flat.pages[0x300A]), (0xCC, 0));
        assert!(flat.bindings.is_empty());
    }

    #[test]
    fn the_order_of_the_program_headers_does_not_matter_and_segments_may_be_absent() {
        let mut elf = good();
        elf.segments.reverse();
        assert_eq!(flatten("x", &elf.bytes()).unwrap().pages, flatten("x", &good().bytes()).unwrap().pages);
        let elf = FakeElf::new(IMAGE_BASE)
            .segment(FakeSegment { base: IMAGE_BASE, data: vec![1; 8], size: 8, flags: RX })
            .segment(FakeSegment { base: IMAGE_BASE + 0x1000, data: Vec::new(), size: 4096, flags: RW })
            .symbol(FAULT_STUB, IMAGE_BASE, None);
        let header = flatten("x", &elf.bytes()).unwrap().header;
        assert_eq!(
            [header.text_pages, header.rodata_pages, header.data_pages, header.bss_pages],
            [1, 0, 0, 1]
        );
    }

    #[test]
    fn what_the_kernel_could_not_run_is_refused() {
        let with = |change: &dyn Fn(&mut FakeElf)| {
            let mut elf = good();
            change(&mut elf);
            refusal(&elf)
        };
        let cases: [(&str, String); 12] = [
            ("writable and executable", with(&|elf| elf.segments[0].flags = 7)),
            ("does not begin on a page boundary", with(&|elf| elf.segments[1].base += 8)),
            ("overlap", with(&|elf| elf.segments[0].size = 0x2001)),
            ("is not within 0x300000 to 0x1000000", with(&|elf| elf.segments[2].size = 0xD0_0000)),
            ("is not within 0x300000 to 0x1000000", with(&|elf| elf.segments[2].size = u64::MAX - 5)),
            (
                "does not follow the one before it, which ends at 0x302000",
                with(&|elf| elf.segments[1].base += 0x1_0000),
            ),
            ("is out of order", with(&|elf| elf.segments[1].flags = RX)),
            ("has zeroed memory but is not writable", with(&|elf| elf.segments[0].size = 5001)),
            (
                "its entry 0x302000 is not in its text 0x300000 to 0x302000",
                with(&|elf| elf.entry = IMAGE_BASE + 0x2000),
            ),
            ("no symbol `samsara_fault_stub`: link userlib", with(&|elf| elf.symbols.clear())),
            ("is not in its text", with(&|elf| elf.symbols[0].value = IMAGE_BASE + 0x2000)),
            ("longer in the file than in memory", with(&|elf| elf.segments[2].size = 9)),
        ];
        for (expected, message) in cases {
            assert!(message.starts_with("image \"x\": "), "{message}");
            assert!(message.contains(expected), "expected `{expected}`, got `{message}`");
        }
    }

    #[test]
    fn other_machines_types_and_loaders_work_is_refused() {
        let with = |change: &dyn Fn(&mut FakeElf)| {
            let mut elf = good();
            change(&mut elf);
            refusal(&elf)
        };
        assert!(with(&|elf| elf.machine = 62).contains("made for machine 62, not for AArch64"));
        assert!(with(&|elf| elf.kind = 3).contains("relocation-model=static"));
        assert!(with(&|elf| elf.extra_header = Some(PT_DYNAMIC)).contains("linked dynamically"));
        assert!(with(&|elf| elf.extra_header = Some(PT_TLS)).contains("thread-local storage"));
        let message =
            with(&|elf| elf.add_section(".rela.dyn", SHT_RELA, u64::from(SHF_ALLOC), IMAGE_BASE, 24));
        assert_eq!(
            message,
            "image \"x\": it has dynamic relocations in `.rela.dyn`: link with relocation-model=static"
        );
        assert!(flatten("x", b"\x7fELF").is_err());
        let bytes = good().bytes();
        assert!(flatten("x", &bytes[..bytes.len() / 2]).is_err());
    }

    #[test]
    fn the_build_id_follows_what_runs_and_the_log_texts_and_nothing_else() {
        let id = |elf: &FakeElf| flatten("x", &elf.bytes()).unwrap().header.build_id;
        let with = |change: &dyn Fn(&mut FakeElf)| {
            let mut elf = good();
            elf.add_section(".defmt", 1, 0, 0, 16);
            elf.add_symbol("{\"data\":\"hello\"}", 1, Some(".defmt"));
            change(&mut elf);
            id(&elf)
        };
        let base = with(&|_| ());
        assert_eq!(base, with(&|elf| elf.add_section(".debug_str", 1, 0, 0, 400)));
        assert_eq!(base, with(&|elf| elf.add_symbol("/home/somebody/file.rs", IMAGE_BASE, None)));
        assert_ne!(base, with(&|elf| elf.segments[2].data[3] ^= 1));
        assert_ne!(base, with(&|elf| elf.segments[2].size += 1));
        assert_ne!(base, with(&|elf| elf.entry += 4));
        assert_ne!(base, with(&|elf| elf.symbols[1].name = "{\"data\":\"hallo\"}".into()));
        assert_ne!(base, with(&|elf| elf.symbols[1].value = 2));
    }

    #[test]
    fn bindings_are_found_and_must_be_whole_stored_records() {
        let with = |address: u64, size: u64| {
            let mut elf = good();
            elf.add_section(BINDINGS, 1, u64::from(SHF_ALLOC), address, size);
            flatten("x", &elf.bytes()).map(|flat| flat.bindings).map_err(|error| format!("{error:#}"))
        };
        assert_eq!(with(IMAGE_BASE + 0x2040, 128), Ok(0x2040..0x20C0));
        assert_eq!(with(IMAGE_BASE + 0x2040, 0), Ok(0..0));
        assert!(with(IMAGE_BASE + 0x2040, 100).unwrap_err().contains("no whole records of 64"));
        assert!(with(IMAGE_BASE + 0x4000, 64).unwrap_err().contains("is not part of the stored pages"));
        assert!(with(0, 64).unwrap_err().contains("is not loaded"));
    }
}
