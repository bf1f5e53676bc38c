//! Programs in files, for spare slots: a flattened image with its own checksums.
//!
//! ```text
//! ProgramHeader | CRC-32 of each page | zeros to 4096 bytes | pages: text, read-only data, data
//! ```
//! *Rule.* Whoever gets such a file, the shell as well as the kernel, has it from somebody who may want to break in: nothing
//! in it is believed before [`ProgramHeader::check`] has proved it, and each page only by its checksum, at every start.
//!
//! *Why.* The build proves the images of the bundle. Nobody proves a file on a card.

use crate::image::ImageHeader;
use crate::layout::{IMAGE_BASE, IMAGE_END};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First field of [`ProgramHeader`]: "SAMSPROG", little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SAMSPROG");

/// Version of the format and of the system calls behind it.
pub const VERSION: u32 = 1;

/// Bytes in front of the first page.
pub const HEADER_BYTES: usize = 4096;

/// Most pages in a file: as many checksums as fit behind the header.
pub const PAGES_MAX: usize = (HEADER_BYTES - size_of::<ProgramHeader>()) / 4;

/// Bytes of the area in a program's data that takes its arguments: their length in bytes (u32), then the text.
pub const ARGUMENTS_BYTES: usize = 256;

/// In [`ProgramHeader::arguments`]: the program takes none.
pub const NO_ARGUMENTS: u32 = u32::MAX;

const PAGE: u64 = crate::PAGE_SIZE as u64;

/// Beginning of a program file.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct ProgramHeader {
    /// [`MAGIC`].
    pub magic: u64,
    /// CRC-32 (ISO-HDLC) of what follows this field, up to [`HEADER_BYTES`].
    pub crc: u32,
    /// [`VERSION`].
    pub version: u32,
    /// Bytes of the whole file.
    pub file_bytes: u32,
    /// Where in the pages the area for arguments lies, in bytes from the first page; or [`NO_ARGUMENTS`].
    pub arguments: u32,
    /// The image; its pages begin at number 0, behind the header.
    pub image: ImageHeader,
}

/// What is wrong with a program file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use = "a defective program must not run"]
pub enum Defect {
    /// It does not begin with [`MAGIC`].
    NoProgram,
    /// It is for another version of the system.
    Version,
    /// The header's checksum is wrong.
    HeaderDamaged,
    /// It has no text, or more pages than fit into the format or below [`IMAGE_END`].
    Size,
    /// The file is shorter or longer than the header says.
    Length,
    /// The entry or the fault stub is no instruction of its text.
    Entry,
    /// The area for arguments is not in its data.
    Arguments,
    /// The checksum of a page is wrong.
    PageDamaged,
}

impl Defect {
    /// What is wrong, and the remedy, for people.
    pub const fn text(self) -> &'static str {
        match self {
            Self::NoProgram => "is no program: `./x run` puts programs into /bin",
            Self::Version => "was built for another version of the system: build it again",
            Self::HeaderDamaged => "is damaged (checksum of the header): copy it to the card again",
            Self::Size => "has no text, or is too large for an image: build it again, or make it smaller",
            Self::Length => "is cut short or has something behind its end: copy it to the card again",
            Self::Entry => "does not begin in its text: build it again",
            Self::Arguments => "has no place for arguments where it says: build it again",
            Self::PageDamaged => "is damaged (checksum of a page): copy it to the card again",
        }
    }
}

impl ProgramHeader {
    /// Where [`ProgramHeader::crc`] begins to count, in bytes from the start of the file.
    pub const SEALED: usize = core::mem::offset_of!(Self, version);

    /// Proves the header of a file of `file_bytes` bytes; `crc` is the checksum as it was computed.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn check(&self, crc: u32, file_bytes: u64) -> Result<(), Defect> {
        if self.magic != MAGIC {
            return Err(Defect::NoProgram);
        }
        if self.version != VERSION {
            return Err(Defect::Version);
        }
        if self.crc != crc {
            return Err(Defect::HeaderDamaged);
        }
        let image = &self.image;
        let [text, rodata, data, bss] =
            [image.text_pages, image.rodata_pages, image.data_pages, image.bss_pages].map(u64::from);
        let stored = text + rodata + data;
        let fits = text > 0
            && stored <= PAGES_MAX as u64
            && IMAGE_BASE + (stored + bss) * PAGE <= IMAGE_END
            && image.first_page == 0;
        if !fits {
            return Err(Defect::Size);
        }
        if file_bytes != HEADER_BYTES as u64 + stored * PAGE || u64::from(self.file_bytes) != file_bytes {
            return Err(Defect::Length);
        }
        let text_range = IMAGE_BASE..IMAGE_BASE + text * PAGE;
        for address in [image.entry, image.fault_stub] {
            if !text_range.contains(&address) || !address.is_multiple_of(4) {
                return Err(Defect::Entry);
            }
        }
        let end = u64::from(self.arguments) + ARGUMENTS_BYTES as u64;
        let in_data = u64::from(self.arguments) >= text * PAGE && end <= stored * PAGE;
        let in_one_page = u64::from(self.arguments) / PAGE == (end - 1) / PAGE;
        if self.arguments != NO_ARGUMENTS && !(in_data && in_one_page) {
            return Err(Defect::Arguments);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    /// A file of 2 pages of text, 1 of constants and 1 of data.
    fn good() -> ProgramHeader {
        ProgramHeader {
            magic: MAGIC,
            crc: 7,
            version: VERSION,
            file_bytes: 5 * 4096,
            arguments: 2 * 4096 + 64,
            image: ImageHeader {
                entry: IMAGE_BASE,
                fault_stub: IMAGE_BASE + 8188,
                text_pages: 2,
                rodata_pages: 1,
                data_pages: 1,
                bss_pages: 3,
                ..ImageHeader::new_zeroed()
            },
        }
    }

    fn checked(change: impl FnOnce(&mut ProgramHeader)) -> Result<(), Defect> {
        let mut header = good();
        change(&mut header);
        header.check(7, 5 * 4096)
    }

    #[test]
    fn a_good_file_is_accepted_with_and_without_arguments() {
        assert_eq!(checked(|_| ()), Ok(()));
        assert_eq!(checked(|header| header.arguments = NO_ARGUMENTS), Ok(()));
        assert_eq!((size_of::<ProgramHeader>(), PAGES_MAX), (96, 1000));
    }

    #[test]
    fn each_defect_is_named() {
        assert_eq!(checked(|header| header.magic ^= 1), Err(Defect::NoProgram));
        assert_eq!(checked(|header| header.version += 1), Err(Defect::Version));
        assert_eq!(checked(|header| header.crc ^= 1), Err(Defect::HeaderDamaged));
        assert_eq!(checked(|header| header.image.text_pages = 0), Err(Defect::Size));
        assert_eq!(checked(|header| header.image.first_page = 1), Err(Defect::Size));
        assert_eq!(checked(|header| header.file_bytes -= 1), Err(Defect::Length));
        assert_eq!(good().check(7, 5 * 4096 - 1), Err(Defect::Length));
        assert_eq!(checked(|header| header.image.data_pages = 2), Err(Defect::Length));
        for address in [0, IMAGE_BASE - 4, IMAGE_BASE + 2, IMAGE_BASE + 8192, u64::MAX] {
            assert_eq!(checked(|header| header.image.entry = address), Err(Defect::Entry));
            assert_eq!(checked(|header| header.image.fault_stub = address), Err(Defect::Entry));
        }
        for place in [0, 2 * 4096 - 4, 3 * 4096 - 4, 4 * 4096 - 255, 4 * 4096, u32::MAX - 1] {
            assert_eq!(checked(|header| header.arguments = place), Err(Defect::Arguments), "{place:#x}");
        }
    }

    #[test]
    fn no_number_of_pages_wraps_around() {
        for count in [u32::MAX, 1 << 31, 1 << 20, 1001] {
            for field in 0..4 {
                let outcome = checked(|header| {
                    let image = &mut header.image;
                    *[
                        &mut image.text_pages,
                        &mut image.rodata_pages,
                        &mut image.data_pages,
                        &mut image.bss_pages,
                    ][field] = count;
                });
                assert!(outcome.is_err() || (field == 3 && count == 1001), "{field} {count}");
            }
        }
    }
}
