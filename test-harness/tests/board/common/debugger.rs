//! The emulator's debugger interface: just enough of GDB's remote protocol to overwrite physical memory, to let the kernel
//! run to one of its functions, and to change registers there.
//!
//! # Resources
//! *Debugging with GDB*, appendix E: packets (E.1), `M`, `P`, `c`, `Z`, `z` (E.2), acknowledgement (E.11).
//! `Qqemu.PhyMemMode`: QEMU's `docs/system/gdb.rst`; numbers of registers: its `gdb-xml/aarch64-core.xml`.

use std::fmt::Write as _;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Bytes in one packet; QEMU takes 4096 characters.
const BYTES_MAX: usize = 1024;

/// How long the guest may take to come to a breakpoint: the machine may be busy with other tests.
const PATIENCE: Duration = Duration::from_mins(4);

/// Numbers of registers, behind x0 to x30.
pub const SP: usize = 31;
pub const PC: usize = 32;

/// A connected debugger. The guest stands still as long as it is there.
pub struct Debugger(UnixStream);

impl Debugger {
    /// Connects, and chooses physical addresses.
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
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

    /// From here on addresses are those of the core that stopped last.
    pub fn virtual_addresses(&mut self) {
        assert_eq!(self.ask("Qqemu.PhyMemMode:0"), "OK", "virtual addresses");
    }

    /// Sets a register of the core that stopped last.
    pub fn set_register(&mut self, number: usize, value: u64) {
        let digits: String = value.to_le_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(self.ask(&format!("P{number:x}={digits}")), "OK", "register {number}");
    }

    /// Sets a breakpoint and lets the board go on; [`Self::wait_for_breakpoint`] must follow.
    pub fn run_to(&mut self, address: u64) {
        assert_eq!(self.ask(&format!("Z1,{address:x},4")), "OK", "a breakpoint at {address:#x}");
        self.send("c");
    }

    /// Waits until the board has come to the breakpoint, where it stands still, and takes the breakpoint away.
    pub fn wait_for_breakpoint(&mut self, address: u64) {
        let answer = self.answer();
        assert!(answer.starts_with("T05"), "stopped for another reason: {answer}");
        assert_eq!(self.ask(&format!("z1,{address:x},4")), "OK", "no breakpoint at {address:#x}");
    }

    /// Sends one packet and returns the answer's text.
    fn ask(&mut self, text: &str) -> String {
        self.send(text);
        self.answer()
    }

    fn send(&mut self, text: &str) {
        let sum = text.bytes().fold(0_u8, u8::wrapping_add);
        self.0.write_all(format!("${text}#{sum:02x}").as_bytes()).unwrap();
    }

    fn answer(&mut self) -> String {
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
