//! The lines that the client writes to the console: one for each operation that was acknowledged.

use crate::operation::Operation;
use core::fmt::Write;

/// What every line begins with.
pub const PREFIX: &str = "client line ";

/// Longest line in bytes, with its end.
pub const LINE_MAX: usize = 64;

/// How often a line is written that the console does not acknowledge: by the driver as it was, by its successor, and once more.
pub const ATTEMPTS: u32 = 3;

/// The line of operation `number`.
pub fn line(number: u32, operation: &Operation) -> heapless::String<LINE_MAX> {
    let mut text = heapless::String::new();
    // The longest line has 10 digits and the longest name of an operation: it fits.
    let written = write!(text, "{PREFIX}{number:06}: {} acknowledged\r\n", operation.name());
    debug_assert!(written.is_ok());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_line_fits() {
        let text = line(u32::MAX, &Operation::UnlinkOpen { file: 0 });
        assert_eq!(text, "client line 4294967295: unlink-open acknowledged\r\n");
        assert_eq!(line(7, &Operation::Sync), "client line 000007: sync acknowledged\r\n");
    }
}
