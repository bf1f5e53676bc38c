//! The boot image: kernel, tables and two copies of every page, in the layout of `abi::image`.

use abi::image::{ImageHeader, MAGIC, SystemHeader};
use abi::name_field;
use abi::rights::SlotRights;
use anyhow::{Result, ensure};
use crc::{CRC_32_ISO_HDLC, Crc};
use zerocopy::IntoBytes;

use super::PAGE;
use super::kernel::{Kernel, system_base};
use crate::manifest::board::{Board, Range};

/// The polynomial of the CPU's own CRC32 instructions; initial value and final inversion are all ones.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The images of a system; equal ones are stored once.
#[derive(Default, Debug)]
pub struct Bundle {
    /// One for each different image.
    pub images: Vec<ImageHeader>,
    /// All stored pages, in the order of the images.
    pub pages: Vec<u8>,
}

impl Bundle {
    /// Adds an image and returns its index; one with the same header and pages is not stored again.
    pub fn add(&mut self, header: ImageHeader, pages: &[u8]) -> u32 {
        let same = |other: &ImageHeader| {
            let candidate = ImageHeader { first_page: other.first_page, ..header };
            other.as_bytes() == candidate.as_bytes() && self.pages_of(other) == pages
        };
        if let Some(index) = self.images.iter().position(same) {
            return index as u32;
        }
        let first_page = (self.pages.len() / PAGE) as u32;
        self.images.push(ImageHeader { first_page, ..header });
        self.pages.extend_from_slice(pages);
        self.images.len() as u32 - 1
    }

    /// The stored pages of one of its images.
    pub fn pages_of(&self, image: &ImageHeader) -> &[u8] {
        let start = image.first_page as usize * PAGE;
        &self.pages[start..start + image.stored_pages() as usize * PAGE]
    }
}

/// Puts the boot image together.
///
/// # Errors
/// It does not fit into the board's range, or would lie in memory that the kernel zeroes.
pub fn assemble(kernel: &Kernel, slots: &[SlotRights], bundle: &Bundle, board: &Board) -> Result<Vec<u8>> {
    let header_size = size_of::<SystemHeader>();
    let crcs: Vec<u32> = bundle.pages.chunks_exact(PAGE).map(|page| CRC.checksum(page)).collect();
    let mut tables = Vec::new();
    let mut append = |bytes: &[u8]| {
        let offset = header_size + tables.len();
        tables.extend_from_slice(bytes);
        offset as u32
    };
    let slots_offset = append(slots.as_bytes());
    let images_offset = append(bundle.images.as_bytes());
    let crcs_offset = append(crcs.as_bytes());
    let tables_end = header_size + tables.len();
    let bundle_a = tables_end.next_multiple_of(PAGE);
    let bundle_b = bundle_a + bundle.pages.len();
    let mut header = SystemHeader {
        magic: MAGIC,
        tables_crc: 0,
        tables_end: tables_end as u32,
        slot_count: slots.len() as u32,
        slots: slots_offset,
        image_count: bundle.images.len() as u32,
        images: images_offset,
        page_count: crcs.len() as u32,
        page_crcs: crcs_offset,
        bundle_a: bundle_a as u32,
        bundle_b: bundle_b as u32,
        board: name_field(&board.name),
        kernel: kernel.build_id,
        plan_base: board.plan.base,
        plan_size: board.plan.size(),
    };
    header.tables_crc = CRC.checksum(&[&header.as_bytes()[SystemHeader::SEALED..], &tables].concat());
    check_room(kernel, board, bundle_b + bundle.pages.len())?;
    let mut image = kernel.bytes.clone();
    image.resize(image.len().next_multiple_of(PAGE), 0);
    let base = image.len();
    image.extend_from_slice(header.as_bytes());
    image.extend_from_slice(&tables);
    image.resize(base + bundle_a, 0);
    image.extend_from_slice(&bundle.pages);
    image.extend_from_slice(&bundle.pages);
    Ok(image)
}

fn check_room(kernel: &Kernel, board: &Board, size: usize) -> Result<()> {
    let system = Range::sized(system_base(board.kernel, kernel.bytes.len()), size as u64);
    ensure!(
        system.end <= board.kernel.end,
        "the boot image ends at {:#x}, beyond {:#x}: reduce the images or move `plan` and `components` in board.toml",
        system.end,
        board.kernel.end
    );
    if let Some(zeroed) = kernel.zeroed.iter().find(|zeroed| zeroed.overlaps(system)) {
        anyhow::bail!(
            "the kernel zeroes {:#x} to {:#x}, where the boot image lies ({:#x} to {:#x}): let its linker script store the \
             zeroed sections in the file, or put them beyond the boot image",
            zeroed.base,
            zeroed.end,
            system.base,
            system.end
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::{FromBytes, FromZeros};

    fn board() -> Board {
        Board::read("board.toml", include_str!("../../../bsp/raspi3b/board.toml")).unwrap()
    }

    fn header(stored: u32) -> ImageHeader {
        ImageHeader { name: name_field("x"), text_pages: stored, ..ImageHeader::new_zeroed() }
    }

    fn kernel(bytes: usize) -> Kernel {
        Kernel { build_id: [7; 16], bytes: vec![0x5A; bytes], zeroed: Vec::new() }
    }

    #[test]
    fn equal_images_are_stored_once_and_different_bindings_twice() {
        let mut bundle = Bundle::default();
        assert_eq!(bundle.add(header(1), &[1; PAGE]), 0);
        assert_eq!(bundle.add(header(2), &[2; 2 * PAGE]), 1);
        assert_eq!(bundle.add(header(1), &[1; PAGE]), 0);
        assert_eq!(bundle.add(header(1), &[3; PAGE]), 2);
        let other = ImageHeader { entry: 4, ..header(1) };
        assert_eq!(bundle.add(other, &[1; PAGE]), 3);
        let first: Vec<u32> = bundle.images.iter().map(|image| image.first_page).collect();
        assert_eq!(first, [0, 1, 3, 4]);
        assert_eq!(bundle.pages_of(&bundle.images[2]), [3; PAGE]);
    }

    #[test]
    fn the_kernel_finds_what_the_build_wrote() {
        let mut bundle = Bundle::default();
        bundle.add(header(1), &[1; PAGE]);
        bundle.add(header(2), &[2; 2 * PAGE]);
        let slots = [SlotRights { priority: 31, ..SlotRights::new_zeroed() }, SlotRights::new_zeroed()];
        let image = assemble(&kernel(5000), &slots, &bundle, &board()).unwrap();

        assert_eq!((image[4999], image[5000]), (0x5A, 0));
        let system = &image[8192..];
        let (header, _) = SystemHeader::read_from_prefix(system).unwrap();
        assert_eq!(
            (header.magic, header.slot_count, header.image_count, header.page_count),
            (MAGIC, 2, 2, 3)
        );
        assert_eq!((abi::name_text(&header.board), header.kernel), ("raspi3b", [7; 16]));
        assert_eq!((header.plan_base, header.plan_size), (0x200_0000, 0x1_0000));
        let tables = &system[SystemHeader::SEALED..header.tables_end as usize];
        assert_eq!(CRC.checksum(tables), header.tables_crc);
        let (first, _) = SlotRights::read_from_prefix(&system[header.slots as usize..]).unwrap();
        assert_eq!(first.priority, 31);
        let images = &system[header.images as usize..];
        let (second, _) = ImageHeader::read_from_prefix(&images[size_of::<ImageHeader>()..]).unwrap();
        assert_eq!((second.first_page, second.text_pages), (1, 2));
        assert_eq!((header.slots as usize % 8, header.images as usize % 8, header.page_crcs % 4), (0, 0, 0));
        for copy in [header.bundle_a, header.bundle_b] {
            assert_eq!(copy as usize % PAGE, 0);
            for page in 0..3 {
                let bytes = &system[copy as usize + page * PAGE..][..PAGE];
                let stored = &system[header.page_crcs as usize + 4 * page..][..4];
                assert_eq!(CRC.checksum(bytes).to_le_bytes(), stored);
                assert!(bytes.iter().all(|&byte| byte == if page == 0 { 1 } else { 2 }));
            }
        }
        assert_eq!(system.len(), header.bundle_b as usize + 3 * PAGE);
    }

    #[test]
    fn the_crc_is_the_one_of_the_cpu() {
        assert_eq!(CRC.checksum(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_boot_image_must_not_lie_where_the_kernel_zeroes_nor_beyond_its_range() {
        let mut bundle = Bundle::default();
        bundle.add(header(1), &[1; PAGE]);
        let mut kernel = kernel(5000);
        kernel.zeroed.push(Range { base: 0x8_2800, end: 0x8_3000 });
        let message = assemble(&kernel, &[], &bundle, &board()).unwrap_err().to_string();
        assert!(message.starts_with(
            "the kernel zeroes 0x82800 to 0x83000, where the boot image lies (0x82000 to 0x85000)"
        ));
        kernel.zeroed[0] = Range { base: 0x8_5000, end: 0x8_6000 };
        assert!(assemble(&kernel, &[], &bundle, &board()).is_ok());
        let small = Board { kernel: Range { base: 0x8_0000, end: 0x8_4000 }, ..board() };
        let message = assemble(&kernel, &[], &bundle, &small).unwrap_err().to_string();
        assert!(message.starts_with("the boot image ends at 0x85000, beyond 0x84000"));
    }
}
