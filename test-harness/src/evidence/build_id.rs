//! The build id of an image: which log texts and which symbols belong to what runs.

use anyhow::{Context, Result, anyhow};
use object::LittleEndian;
use object::elf::{FileHeader64, PT_LOAD, SHT_SYMTAB};
use object::read::elf::{FileHeader, ProgramHeader, Sym};
use sha2::{Digest, Sha256};

const LE: LittleEndian = LittleEndian;

/// Bytes of a build id.
pub const ID_BYTES: usize = 16;

/// Section in which defmt keeps log texts, as the names of symbols.
const LOG_TEXTS: &[u8] = b".defmt";

/// First 16 bytes of the SHA-256 over what of an ELF file runs and over its log texts, which are not loaded. Paths and
/// debug data are not part of it.
///
/// # Errors
/// Fails when the bytes are no ELF file of 64 bits, or not all of one.
pub fn build_id(elf: &[u8]) -> Result<[u8; ID_BYTES]> {
    let file: &FileHeader64<LittleEndian> =
        FileHeader64::parse(elf).map_err(|error| anyhow!("not an ELF file of 64 bits: {error}"))?;
    let mut hash = Sha256::new();
    hash.update(file.e_entry(LE).to_le_bytes());
    let headers = file.program_headers(LE, elf)?.iter();
    let mut segments: Vec<_> =
        headers.filter(|header| header.p_type(LE) == PT_LOAD && header.p_memsz(LE) > 0).collect();
    segments.sort_by_key(|header| header.p_vaddr(LE));
    for header in segments {
        let data = header.data(LE, elf).ok().context("a segment lies outside the file")?;
        let flags = u64::from(header.p_flags(LE));
        for number in [header.p_vaddr(LE), header.p_memsz(LE), flags, data.len() as u64] {
            hash.update(number.to_le_bytes());
        }
        hash.update(data);
    }
    for (value, text) in log_texts(file, elf)? {
        hash.update(value.to_le_bytes());
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    let digest = hash.finalize();
    Ok(std::array::from_fn(|index| digest[index]))
}

/// Numbers and texts of the log statements, sorted.
fn log_texts<'a>(file: &FileHeader64<LittleEndian>, elf: &'a [u8]) -> Result<Vec<(u64, &'a [u8])>> {
    let sections = file.sections(LE, elf)?;
    let mut texts = Vec::new();
    if let Some((defmt, _)) = sections.section_by_name(LE, LOG_TEXTS) {
        let symbols = sections.symbols(LE, elf, SHT_SYMTAB)?;
        for (index, symbol) in symbols.enumerate() {
            if symbols.symbol_section(LE, symbol, index)? == Some(defmt) {
                texts.push((symbol.st_value(LE), symbol.name(LE, symbols.strings())?));
            }
        }
    }
    texts.sort_unstable();
    Ok(texts)
}
