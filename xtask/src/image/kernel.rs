//! The kernel as the board loads it: its segments by physical address, from the address where it is entered.

use anyhow::{Context, Result, ensure};
use object::LittleEndian;
use object::elf::{PF_X, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};

use test_harness::evidence::{ID_BYTES, build_id};

use super::{PAGE, parse_elf};
use crate::manifest::board::Range;

const LE: LittleEndian = LittleEndian;

/// The kernel's file image and the memory that it zeroes itself.
#[derive(Debug)]
pub struct Kernel {
    /// Build id of its ELF file.
    pub build_id: [u8; ID_BYTES],
    /// Bytes from the base of the board's kernel range; the boot image goes on behind them at the next page.
    pub bytes: Vec<u8>,
    /// Ranges of zeroed memory, which nothing that is loaded may overlap.
    pub zeroed: Vec<Range>,
}

/// Takes the loadable segments of the kernel; `range` is the board's memory for it.
///
/// # Errors
/// The kernel could not run from where the board loads it.
pub fn raw(elf: &[u8], range: Range) -> Result<Kernel> {
    raw_elf(elf, range).context("the kernel")
}

fn raw_elf(elf: &[u8], range: Range) -> Result<Kernel> {
    let file = parse_elf(elf)?;
    let mut kernel = Kernel { build_id: build_id(elf)?, bytes: Vec::new(), zeroed: Vec::new() };
    let mut entry = None;
    for header in file.program_headers(LE, elf)?.iter().filter(|header| header.p_type(LE) == PT_LOAD) {
        let (base, size) = (header.p_paddr(LE), header.p_memsz(LE));
        if size == 0 {
            continue;
        }
        let end = base.checked_add(size).filter(|end| *end <= range.end);
        ensure!(
            base >= range.base && end.is_some(),
            "the segment at physical {base:#x} of {size:#x} bytes is not within {:#x} to {:#x}: see the linker script",
            range.base,
            range.end
        );
        let data = header.data(LE, elf).ok().context("a segment lies outside the file")?;
        let offset = (base - range.base) as usize;
        if !data.is_empty() {
            kernel.bytes.resize(kernel.bytes.len().max(offset + data.len()), 0);
            kernel.bytes[offset..offset + data.len()].copy_from_slice(data);
        }
        if size > data.len() as u64 {
            kernel.zeroed.push(Range { base: base + data.len() as u64, end: base + size });
        }
        let inside = file.e_entry(LE).checked_sub(header.p_vaddr(LE)).filter(|offset| *offset < size);
        if let (Some(inside), true) = (inside, header.p_flags(LE) & PF_X != 0) {
            entry = Some(base + inside);
        }
    }
    ensure!(!kernel.bytes.is_empty(), "it has no loadable segment");
    let entry = entry.unwrap_or(file.e_entry(LE));
    ensure!(
        entry == range.base,
        "its entry lies at physical {entry:#x}, but the board enters at {:#x}: put the boot code first",
        range.base
    );
    Ok(kernel)
}

/// The physical address where the boot image goes on behind a kernel of this many bytes.
pub const fn system_base(range: Range, bytes: usize) -> u64 {
    range.base + bytes.next_multiple_of(PAGE) as u64
}

#[cfg(test)]
mod tests {
    use super::super::fake_elf::{FakeElf, FakeSegment};
    use super::*;

    const RANGE: Range = Range { base: 0x8_0000, end: 0x20_0000 };
    const HIGH: u64 = 0xFFFF_0000_0000_0000;

    /// Boot code in low addresses, the rest linked high, as an upper-half kernel is.
    fn kernel() -> FakeElf {
        let mut elf = FakeElf::new(HIGH + 0x8_0000)
            .segment(FakeSegment { base: HIGH + 0x8_0000, data: vec![1; 100], size: 100, flags: 5 })
            .segment(FakeSegment { base: HIGH + 0x8_1000, data: vec![2; 50], size: 0x3000, flags: 6 });
        elf.physical_offset = 0u64.wrapping_sub(HIGH);
        elf
    }

    #[test]
    fn segments_lie_at_their_physical_addresses() {
        let kernel = raw(&kernel().bytes(), RANGE).unwrap();
        assert_eq!(kernel.bytes.len(), 0x1000 + 50);
        assert_eq!((kernel.bytes[99], kernel.bytes[100], kernel.bytes[0x1000]), (1, 0, 2));
        assert_eq!(kernel.zeroed, [Range { base: 0x8_1000 + 50, end: 0x8_4000 }]);
        assert_eq!(system_base(RANGE, kernel.bytes.len()), 0x8_2000);
        assert_eq!(system_base(RANGE, 0x2000), 0x8_2000);
    }

    #[test]
    fn a_kernel_that_cannot_run_where_it_is_loaded_is_refused() {
        let with = |change: &dyn Fn(&mut FakeElf)| {
            let mut elf = kernel();
            change(&mut elf);
            format!("{:#}", raw(&elf.bytes(), RANGE).unwrap_err())
        };
        assert!(
            with(&|elf| elf.entry += 4)
                .contains("its entry lies at physical 0x80004, but the board enters at 0x80000")
        );
        assert!(with(&|elf| elf.physical_offset -= 0x1000).contains("is not within 0x80000 to 0x200000"));
        assert!(with(&|elf| elf.segments[1].size = 0x18_0000).contains("is not within"));
        assert!(with(&|elf| elf.segments.clear()).contains("no loadable segment"));
    }
}
