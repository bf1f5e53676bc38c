//! The emulator's debugger stub: stopping the guest at an instruction, looking and changing while it stands.
//!
//! *Role.* By this a campaign puts faults into a component from outside, at an instant that is a function of the guest's own
//! instructions: the guest's time stands while it is stopped, so a run with stops can be had again, bit for bit.
//!
//! # Resources
//! GDB manual, appendix E: Remote Serial Protocol (E.1 packets, E.2 `c`, `g`, `P`, `m`, `M`, `Z0`, E.3 stop replies).

use super::emulator::Happening;
use anyhow::{Context, Result, bail, ensure};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

/// Longest that an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// Most bytes in one request; the stub's own limit is a packet of 4,096 characters.
const PIECE: usize = 1024;

/// What stops a guest that runs (appendix E.10, Interrupts).
const BREAK: u8 = 3;

/// Number of the signal in the stop reply of a guest that was asked to stand; a breakpoint has 05.
const SIGINT: &str = "02";

/// Bytes of an instruction.
const INSTRUCTION: u64 = 4;

/// Number of the program counter among the registers of the stub's AArch64 description: x0 to x30, sp, pc.
const PC: usize = 32;

/// Registers of the CPU that stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer of the current exception level.
    pub sp: u64,
    /// The program counter.
    pub pc: u64,
}

/// The connection to the stub. The guest stands until [`Gdb::resume`], and again after each [`Happening::Stopped`].
#[derive(Debug)]
pub struct Gdb {
    stream: UnixStream,
    answers: Receiver<String>,
}

impl Gdb {
    /// Takes over a connected stub. Stops are put among the emulator's happenings.
    pub(super) fn new(stream: UnixStream, happenings: Sender<Happening>) -> Result<Self> {
        let reader = BufReader::new(stream.try_clone().context("duplicating the debugger's socket")?);
        let writer = stream.try_clone().context("duplicating the debugger's socket")?;
        let (sender, answers) = channel();
        std::thread::spawn(move || read_all(reader, &writer, &sender, &happenings));
        Ok(Self { stream, answers })
    }

    /// The guest will stop before it executes the instruction at this virtual address.
    ///
    /// # Errors
    /// The stub refuses or is gone.
    pub fn set_breakpoint(&mut self, address: u64) -> Result<()> {
        self.acknowledged(&format!("Z0,{address:x},4"))
    }

    /// The guest will not stop there any more.
    ///
    /// # Errors
    /// The stub refuses or is gone.
    pub fn remove_breakpoint(&mut self, address: u64) -> Result<()> {
        self.acknowledged(&format!("z0,{address:x},4"))
    }

    /// The guest will stop behind a read of these bytes, which is told as [`Happening::Watched`].
    ///
    /// # Errors
    /// The stub refuses or is gone.
    pub fn watch_reads(&mut self, address: u64, length: u64) -> Result<()> {
        self.acknowledged(&format!("Z3,{address:x},{length:x}"))
    }

    /// The guest will not stop for them any more.
    ///
    /// # Errors
    /// The stub refuses or is gone.
    pub fn forget_reads(&mut self, address: u64, length: u64) -> Result<()> {
        self.acknowledged(&format!("z3,{address:x},{length:x}"))
    }

    /// Lets the guest go on.
    ///
    /// # Errors
    /// The stub is gone.
    pub fn resume(&mut self) -> Result<()> {
        self.send("c")
    }

    /// Asks the guest, which runs, to stand: that is followed by one [`Happening::Stopped`], of this or of a breakpoint that was
    /// reached meanwhile.
    ///
    /// # Errors
    /// The stub is gone.
    pub fn interrupt(&mut self) -> Result<()> {
        self.stream.write_all(&[BREAK]).context("writing to the debugger's stub")
    }

    /// Registers of the CPU that stopped.
    ///
    /// # Errors
    /// The stub refuses, is gone, or describes another architecture.
    pub fn registers(&mut self) -> Result<Registers> {
        let bytes = from_hex(&self.command("g")?)?;
        let words: Vec<u64> = bytes
            .chunks_exact(8)
            .map(|word| u64::from_le_bytes(word.try_into().unwrap_or_default()))
            .collect();
        ensure!(words.len() > PC, "the debugger's stub tells of {} registers", words.len());
        let mut x = [0; 31];
        x.copy_from_slice(&words[..31]);
        Ok(Registers { x, sp: words[31], pc: words[PC] })
    }

    /// Skips the instruction at which the guest stands, with this value in `x0`: the stub need not step over its breakpoint.
    ///
    /// # Errors
    /// The stub refuses or is gone.
    pub fn answer(&mut self, registers: &Registers, value: u64) -> Result<()> {
        self.set_register(0, value)?;
        self.set_register(PC, registers.pc + INSTRUCTION)
    }

    fn set_register(&mut self, number: usize, value: u64) -> Result<()> {
        self.acknowledged(&format!("P{number:x}={}", to_hex(&value.to_le_bytes())))
    }

    /// Reads memory at an address that the kernel has mapped.
    ///
    /// # Errors
    /// Nothing is mapped there, or the stub is gone.
    pub fn read(&mut self, address: u64, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let (at, piece) = (address + bytes.len() as u64, PIECE.min(length - bytes.len()));
            let answer = self.command(&format!("m{at:x},{piece:x}"))?;
            let read = from_hex(&answer).with_context(|| format!("memory at {at:#x}: {answer}"))?;
            ensure!(read.len() == piece, "memory at {at:#x}: {} of {piece} bytes", read.len());
            bytes.extend(read);
        }
        Ok(bytes)
    }

    /// Reads a word of 32 bits at a physical address: memory, or a device's register.
    ///
    /// # Errors
    /// Nothing is there, or the stub is gone.
    pub fn read_physical(&mut self, address: u64) -> Result<u32> {
        self.acknowledged("Qqemu.PhyMemMode:1")?;
        let read = self.read(address, 4);
        self.acknowledged("Qqemu.PhyMemMode:0")?;
        let word = read?.try_into().ok().context("a word has four bytes")?;
        Ok(u32::from_le_bytes(word))
    }

    /// Writes memory at an address that the kernel has mapped, whatever its access rights.
    ///
    /// # Errors
    /// Nothing is mapped there, or the stub is gone.
    pub fn write(&mut self, address: u64, bytes: &[u8]) -> Result<()> {
        for (index, piece) in bytes.chunks(PIECE).enumerate() {
            let at = address + (index * PIECE) as u64;
            self.acknowledged(&format!("M{at:x},{:x}:{}", piece.len(), to_hex(piece)))?;
        }
        Ok(())
    }

    fn acknowledged(&mut self, request: &str) -> Result<()> {
        let answer = self.command(request)?;
        ensure!(answer == "OK", "the debugger's stub answers {answer:?} to {request:?}");
        Ok(())
    }

    fn command(&mut self, request: &str) -> Result<String> {
        self.send(request)?;
        let answer = self.answers.recv_timeout(ANSWER_LIMIT);
        answer.with_context(|| format!("the debugger's stub does not answer {request:?}"))
    }

    fn send(&mut self, content: &str) -> Result<()> {
        let packet = format!("${content}#{:02x}", checksum(content.as_bytes()));
        self.stream.write_all(packet.as_bytes()).context("writing to the debugger's stub")
    }
}

/// Sum of the bytes, modulo 256.
fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

fn to_hex(bytes: &[u8]) -> String {
    crate::evidence::hex(bytes)
}

fn from_hex(text: &str) -> Result<Vec<u8>> {
    let digits = text.as_bytes();
    ensure!(digits.len().is_multiple_of(2), "no hexadecimal bytes: {text:?}");
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair)?, 16).context("no digit");
    digits.chunks_exact(2).map(byte).collect()
}

/// Hands answers and stops on, until the stub closes its side. Stop replies begin with a capital letter, as no answer to the
/// requests above does but `OK` and `E`.
fn read_all(
    reader: impl BufRead,
    mut writer: &UnixStream,
    answers: &Sender<String>,
    happenings: &Sender<Happening>,
) {
    let mut bytes = reader.bytes();
    while let Ok(Some(packet)) = read_packet(&mut bytes) {
        if writer.write_all(b"+").is_err() {
            return;
        }
        let is_stop = packet.starts_with(['T', 'S']);
        let sent = if is_stop {
            happenings.send(stop(&packet)).is_ok()
        } else if packet.starts_with(['W', 'X']) {
            true
        } else {
            answers.send(packet).is_ok()
        };
        if !sent {
            return;
        }
    }
}

/// What a stop reply says.
fn stop(packet: &str) -> Happening {
    let watched = packet.split(';').find_map(|part| part.split_once("rwatch:"));
    match watched.and_then(|(_, address)| u64::from_str_radix(address, 16).ok()) {
        Some(address) => Happening::Watched(address),
        None => Happening::Stopped(packet.get(1..3) == Some(SIGINT)),
    }
}

/// The next packet's content; `None` at the end. A damaged one is an error: the line is a socket of this computer.
fn read_packet(bytes: &mut impl Iterator<Item = std::io::Result<u8>>) -> Result<Option<String>> {
    loop {
        match bytes.next().transpose()? {
            None => return Ok(None),
            Some(b'$') => break,
            Some(_) => {}
        }
    }
    let mut content = Vec::new();
    loop {
        match bytes.next().transpose()? {
            Some(b'#') => break,
            Some(byte) => content.push(byte),
            None => bail!("a packet breaks off"),
        }
    }
    let digits: Vec<u8> = bytes.take(2).collect::<std::io::Result<_>>()?;
    let sum = u8::from_str_radix(std::str::from_utf8(&digits)?, 16)?;
    ensure!(sum == checksum(&content), "a packet's checksum is wrong");
    Ok(Some(String::from_utf8(content)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    #[test]
    fn answers_are_told_from_stops() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let (sender, happenings) = channel();
        let mut gdb = Gdb::new(ours, sender).unwrap();
        (&theirs).write_all(b"+$OK#9a$T05thread:01;#07$0102#c3").unwrap();
        gdb.set_breakpoint(0x80000).unwrap();
        assert_eq!(happenings.recv().unwrap(), Happening::Stopped(false));
        (&theirs).write_all(b"$T02thread:01;#04").unwrap();
        assert_eq!(happenings.recv().unwrap(), Happening::Stopped(true));
        assert_eq!(gdb.read(0x1000, 2).unwrap(), [1, 2]);
        assert_eq!(stop("T05thread:01;rwatch:ffffff8000001000;"), Happening::Watched(0xFFFF_FF80_0000_1000));
        let mut sent = vec![0; 64];
        let length = (&theirs).read(&mut sent).unwrap();
        let sent = String::from_utf8_lossy(&sent[..length]).replace('+', "");
        assert!(sent.starts_with("$Z0,80000,4#"), "{sent}");
    }

    #[test]
    fn what_is_no_packet_is_refused() {
        let read = |bytes: &[u8]| read_packet(&mut bytes.bytes());
        assert_eq!(read(b"+$ab#c3").unwrap(), Some("ab".to_owned()));
        assert_eq!(read(b"+").unwrap(), None);
        assert!(read(b"$ab#c4").is_err());
        assert!(read(b"$ab").is_err());
        assert!(from_hex("0g").is_err() && from_hex("0").is_err());
    }
}
