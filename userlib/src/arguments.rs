//! The arguments of a program: an area in its image that whoever loads it fills in, as the build fills in bindings.
//!
//! *Rule.* The area belongs to the image, so that every incarnation of the program finds the same arguments.

use abi::program::ARGUMENTS_BYTES;

const TEXT_BYTES: usize = ARGUMENTS_BYTES - 4;

/// As the loader knows it; it lies in one page because of its alignment.
#[derive(Clone, Copy)]
#[repr(C, align(256))]
struct Area {
    length: u32,
    text: [u8; TEXT_BYTES],
}

/// The loader finds it by this name.
#[unsafe(export_name = "samsara_arguments")]
static AREA: Area = Area { length: 0, text: [0; TEXT_BYTES] };

/// The arguments, separated by blanks.
#[derive(Clone, Copy)]
pub struct Arguments(Area);

impl Arguments {
    /// Those of this program.
    pub fn new() -> Self {
        // SAFETY: 1. The area is a static of this image: aligned, initialised and never written while the program runs.
        //    2. Volatile: the compiler sees other contents than those that the loader put there.
        Self(unsafe { (&raw const AREA).read_volatile() })
    }

    /// All of them as one text.
    pub fn text(&self) -> &str {
        let length = (self.0.length as usize).min(TEXT_BYTES);
        core::str::from_utf8(&self.0.text[..length]).unwrap_or("")
    }

    /// One after another.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.text().split_ascii_whitespace()
    }
}

impl Default for Arguments {
    fn default() -> Self {
        Self::new()
    }
}
