//! The emulator's debugger interface: just enough of GDB's remote protocol to overwrite physical memory.
//!
//! # Resources
//! *Debugging with GDB*, appendix E: packets (E.1), `M` (E.2), acknowledgement (E.11). `Qqemu.PhyMemMode`: QEMU's
//! `docs/system/gdb.rst`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Bytes in one packet; QEMU takes 4096 characters.
const BYTES_MAX: usize = 1024;

/// A connected debugger. The guest stands still as long as it is there.
pub struct Debugger(UnixStream);

impl Debugger {
    /// Connects, and chooses physical addresses.
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut debugger = Self(stream);
        assert_eq!(debugger.ask("Qqemu.PhyMemMode:1"), "OK", "physical addresses");
        debugger
    }

    /// Overwrites physical memory.
    pub fn write(&mut self, address: u64, bytes: &[u8]) {
        for (part, at) in bytes.chunks(BYTES_MAX).zip((address..).step_by(BYTES_MAX)) {
            let mut packet = format!("M{at:x},{:x}:", part.len());
            for byte in part {
                write!(packet, "{byte:02x}").unwrap();
            }
            let answer = self.ask(&packet);
            assert_eq!(answer, "OK", "writing {} bytes at {at:#x}", part.len());
        }
    }

    /// Sends one packet and returns the answer's text.
    fn ask(&mut self, text: &str) -> String {
        let sum = text.bytes().fold(0_u8, u8::wrapping_add);
        self.0.write_all(format!("${text}#{sum:02x}").as_bytes()).unwrap();
        let mut answer = Vec::new();
        loop {
            match self.byte() {
                // Acknowledgements, and what lies between packets.
                b'$' => answer.clear(),
                b'#' => break,
                byte => answer.push(byte),
            }
        }
        let sum = [self.byte(), self.byte()];
        let expected = answer.iter().copied().fold(0_u8, u8::wrapping_add);
        assert_eq!(std::str::from_utf8(&sum).unwrap(), format!("{expected:02x}"), "the answer's checksum");
        self.0.write_all(b"+").unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn byte(&mut self) -> u8 {
        let mut byte = [0];
        self.0.read_exact(&mut byte).unwrap();
        byte[0]
    }
}
