//! From ELF files to the boot image: flattening, bindings, assembly.
//!
//! Rule: every question that a loader would have to ask is answered here, so that the kernel copies pages and parses
//! nothing. An image that the kernel could not run as it is (overlaps, writable code, relocations) is refused.

pub mod bindings;
pub mod boot;
pub mod flatten;
pub mod kernel;
pub mod program;

#[cfg(test)]
pub mod fake_elf;

use anyhow::{Result, anyhow};
use object::LittleEndian;
use object::elf::{EM_AARCH64, FileHeader64};
use object::read::elf::FileHeader;

/// Bytes of a page.
pub const PAGE: usize = abi::PAGE_SIZE;

type Header = FileHeader64<LittleEndian>;

/// The header of an executable for the board.
fn parse_elf(elf: &[u8]) -> Result<&Header> {
    let header = Header::parse(elf).map_err(|error| anyhow!("not an ELF file of 64 bits: {error}"))?;
    let (machine, kind) = (header.e_machine(LittleEndian), header.e_type(LittleEndian));
    if !header.is_little_endian() || machine != EM_AARCH64 {
        return Err(anyhow!(
            "made for machine {machine}, not for AArch64 (machine {EM_AARCH64}, little-endian)"
        ));
    }
    if kind != object::elf::ET_EXEC {
        return Err(anyhow!(
            "ELF type {kind}, not an executable (type 2): link with relocation-model=static"
        ));
    }
    Ok(header)
}
