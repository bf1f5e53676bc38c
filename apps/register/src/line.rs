//! The lines that a client writes to the console: one for each step that was done.

use crate::Kind;
use core::fmt::Write;
use workload_core::line::{LINE_MAX, PREFIX};

/// The line of step `number`.
pub fn line(number: u32, kind: Kind) -> heapless::String<LINE_MAX> {
    let mut text = heapless::String::new();
    // The longest line has 10 digits: it fits.
    let written = write!(text, "{PREFIX}{number:06}: {} acknowledged\r\n", kind.name());
    debug_assert!(written.is_ok());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_line_fits() {
        assert_eq!(line(u32::MAX, Kind::Write), "client line 4294967295: write acknowledged\r\n");
        assert_eq!(line(7, Kind::Read), "client line 000007: read acknowledged\r\n");
    }
}
