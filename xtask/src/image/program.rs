//! Program files: what the shell loads from the card into a spare slot ([`abi::program`]).

use abi::program::{Defect, HEADER_BYTES, MAGIC, NO_ARGUMENTS, ProgramHeader, VERSION};
use crc::{CRC_32_ISO_HDLC, Crc};
use zerocopy::IntoBytes;

use super::PAGE;
use super::flatten::Flat;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The file of an image whose bindings are patched in `pages`.
///
/// # Errors
/// What keeps it from being a program.
pub fn file(flat: &Flat, pages: &[u8]) -> Result<Vec<u8>, Defect> {
    let bytes = HEADER_BYTES + pages.len();
    let mut header = ProgramHeader {
        magic: MAGIC,
        crc: 0,
        version: VERSION,
        file_bytes: u32::try_from(bytes).map_err(|_| Defect::Size)?,
        arguments: flat.arguments.map_or(NO_ARGUMENTS, |start| start as u32),
        image: flat.header,
    };
    let crcs: Vec<u8> = pages.chunks(PAGE).flat_map(|page| CRC.checksum(page).to_le_bytes()).collect();
    let mut front = [header.as_bytes(), &crcs].concat();
    if front.len() > HEADER_BYTES {
        return Err(Defect::Size);
    }
    front.resize(HEADER_BYTES, 0);
    header.crc = CRC.checksum(&front[ProgramHeader::SEALED..]);
    front[..size_of::<ProgramHeader>()].copy_from_slice(header.as_bytes());
    header.check(header.crc, bytes as u64)?;
    Ok([&front, pages].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::fake_elf::{FakeElf, FakeSegment};
    use crate::image::flatten::flatten;
    use abi::layout::IMAGE_BASE;
    use zerocopy::FromBytes;

    fn flat() -> Flat {
        let elf = FakeElf::new(IMAGE_BASE)
            .segment(FakeSegment { base: IMAGE_BASE, data: vec![3; 5000], size: 5000, flags: 5 })
            .segment(FakeSegment { base: IMAGE_BASE + 0x2000, data: vec![4; 600], size: 600, flags: 4 })
            .symbol("samsara_fault_stub", IMAGE_BASE + 8, None)
            .symbol("samsara_arguments", IMAGE_BASE + 0x2100, None);
        flatten("hello", &elf.bytes()).unwrap()
    }

    #[test]
    fn a_file_has_proved_header_and_pages() {
        let flat = flat();
        let file = file(&flat, &flat.pages).unwrap();
        assert_eq!(file.len(), HEADER_BYTES + 3 * PAGE);
        let (header, crcs) = ProgramHeader::read_from_prefix(&file).unwrap();
        assert_eq!((header.arguments, header.image.text_pages), (0x2100, 2));
        assert_eq!(
            header.check(CRC.checksum(&file[ProgramHeader::SEALED..HEADER_BYTES]), file.len() as u64),
            Ok(())
        );
        for (index, page) in file[HEADER_BYTES..].chunks(PAGE).enumerate() {
            let crc = u32::from_le_bytes(crcs[4 * index..4 * index + 4].try_into().unwrap());
            assert_eq!(crc, CRC.checksum(page));
        }
    }

    #[test]
    fn arguments_outside_of_the_data_are_refused() {
        let mut flat = flat();
        flat.arguments = Some(0x100);
        assert_eq!(file(&flat, &flat.pages), Err(Defect::Arguments));
    }
}
