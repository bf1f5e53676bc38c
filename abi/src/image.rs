//! The boot image: what the build appends to the kernel, and the flattened images in it.
//!
//! ```text
//! kernel | padding to a page | SystemHeader | rights table | image headers | page CRCs | padding | bundle A | bundle B
//! ```
//! The kernel parses nothing: everything is an array of fixed records, checked by one CRC at boot. The two bundles hold
//! the same pages; a page whose CRC is wrong in A is taken from B.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First field of [`SystemHeader`]: "SAMSARA1", little-endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"SAMSARA1");

/// Describes all that follows; on a page boundary right behind the kernel's file image. Offsets are in bytes from the
/// start of this header.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct SystemHeader {
    /// [`MAGIC`].
    pub magic: u64,
    /// CRC-32 (ISO-HDLC) of all that follows this field, up to `tables_end`.
    pub tables_crc: u32,
    /// End of the tables.
    pub tables_end: u32,
    /// Number of slots, at most [`crate::SLOTS_MAX`].
    pub slot_count: u32,
    /// Offset of the array of [`crate::rights::SlotRights`].
    pub slots: u32,
    /// Number of images.
    pub image_count: u32,
    /// Offset of the array of [`ImageHeader`].
    pub images: u32,
    /// Number of pages in one bundle.
    pub page_count: u32,
    /// Offset of the array of CRC-32, one `u32` a page.
    pub page_crcs: u32,
    /// Offset of bundle A, on a page boundary.
    pub bundle_a: u32,
    /// Offset of bundle B, on a page boundary.
    pub bundle_b: u32,
    /// Name of the board that the image was built for.
    pub board: [u8; 16],
    /// Build id of the kernel in front of this header: by it the host finds the symbols for a kernel panic.
    pub kernel: [u8; 16],
    /// Physical address range of the fault plan; 0 for none.
    pub plan_base: u64,
    /// Size of that range in bytes.
    pub plan_size: u64,
}

impl SystemHeader {
    /// Where [`SystemHeader::tables_crc`] begins to count, in bytes from the start of the header.
    pub const SEALED: usize = core::mem::offset_of!(Self, tables_end);
}

/// One flattened image: page ranges and where to enter.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy, Debug)]
#[repr(C)]
pub struct ImageHeader {
    /// Name of the image, padded with zeros.
    pub name: [u8; 16],
    /// Hash of what runs and of the log texts of the ELF file that it was flattened from: log frames carry its beginning.
    pub build_id: [u8; 16],
    /// Virtual address of the first instruction.
    pub entry: u64,
    /// Virtual address of the fault stub of `userlib`.
    pub fault_stub: u64,
    /// First page in the bundle.
    pub first_page: u32,
    /// Pages of text (read, execute), from [`crate::layout::IMAGE_BASE`].
    pub text_pages: u32,
    /// Pages of read-only data, after the text.
    pub rodata_pages: u32,
    /// Pages of initialised data (read, write), after the read-only data.
    pub data_pages: u32,
    /// Pages of zeroed data, after the initialised data; not in the bundle.
    pub bss_pages: u32,
    /// Zero.
    pub reserved: u32,
}

impl ImageHeader {
    /// Pages that the bundle holds of this image.
    pub const fn stored_pages(&self) -> u32 {
        self.text_pages + self.rodata_pages + self.data_pages
    }
}
