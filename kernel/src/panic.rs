//! A kernel panic is a bug of ours: say so, with registers and return addresses, and reset the board as root's death does.
//!
//! The host finds functions and lines for the addresses; the console gets the bare numbers, for whoever has no host. Before
//! the first component runs it is an image that cannot be used, and the next boot would find the same one: then the console
//! names the remedy, and the board stops.
//!
//! Rule: nothing of the kernel's state is used, since it may be what is broken, but the bytes that wait for the evidence line,
//! as bytes: they come first. Nothing waits without limit, and a bug in here is told in a constant text, so that whatever
//! happens, the board is reset.

use crate::arch::boot::{self, KERNEL_OFFSET};
use crate::arch::{cpu, exceptions};
use abi::trace::{Event, FRAME_MAX, Frame, KERNEL_REGISTER_NAMES, KERNEL_REGISTERS, encode};
use core::fmt::Write;
use core::hint::black_box;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};
use kernel_core::frames::PLACES;

/// What the console says around the message, if the kernel has never been up, and if it has.
const CANNOT_START: [&str; 2] =
    ["\r\nSamsara cannot start: ", "\r\nBuild the image (./x build) and write it to the card again.\r\n"];
const PANIC: [&str; 2] = ["\r\nkernel panic: ", "\r\n"];

/// Return addresses that are told.
const BACKTRACE_MAX: usize = 32;

/// Where the kernel's registers have what is needed here.
const FRAME_POINTER: usize = 29;
const PC: usize = 32;
const FAR: usize = 35;

/// How many bugs have been found. No exclusive accesses: they may be what does not work.
static BUGS: AtomicU32 = AtomicU32::new(0);

/// What is known of a bug.
pub struct Bug<'a> {
    /// What a panic says; none if it is an exception.
    pub info: Option<&'a PanicInfo<'a>>,
    /// Kind of the exception: position of its vector in the table.
    pub kind: u64,
    /// The registers of the moment.
    pub registers: &'a [u64; KERNEL_REGISTERS],
}

/// Text of bounded length; what does not fit is cut.
struct Text {
    bytes: [u8; 160],
    length: usize,
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for &byte in text.as_bytes().iter().take(self.bytes.len() - self.length) {
            self.bytes[self.length] = if byte.is_ascii() { byte } else { b'?' };
            self.length += 1;
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    exceptions::trap(info)
}

/// Tells of a bug and resets the board.
pub fn report(bug: &Bug<'_>) -> ! {
    let earlier = BUGS.load(Ordering::Relaxed);
    BUGS.store(earlier + 1, Ordering::Relaxed);
    let boots = !crate::RUNNING.load(Ordering::Relaxed);
    if earlier < 3 {
        // SAFETY: 1. both the first and the final tables map the devices; 2. the lock's holder never runs again; 3. neither
        //    does the console's driver.
        let mut report = Report { board: unsafe { bsp::board(KERNEL_OFFSET) } };
        match earlier {
            0 => report.tell(bug, if boots { CANNOT_START } else { PANIC }),
            1 => {
                report.say(b"\r\nkernel panic while telling of one\r\n");
                report.line(*b"pc ", bug.registers[PC]);
            }
            _ => {}
        }
        if !boots {
            cpu::stop_timer();
            report.board.power.reset();
        }
    }
    cpu::halt()
}

/// What a report needs. One copy of each loop: the kernel is small.
struct Report {
    board: bsp::Board,
}

impl Report {
    fn tell(&mut self, bug: &Bug<'_>, [before, after]: [&str; 2]) {
        self.board.uart.initialise();
        self.board.console.initialise();
        let text = message(bug);
        let text = core::str::from_utf8(&text.bytes[..text.length]).unwrap_or("");
        // SAFETY: 1. whoever had a reference to the kernel's state never runs again.
        let waiting = unsafe { &mut (*crate::KERNEL.0.get()).shell.evidence.frames };
        // Whatever state they are in: there are no more than so many.
        for _ in 0..PLACES {
            self.board.uart.send(waiting.next(FRAME_MAX));
            waiting.drop_oldest();
        }
        for part in [before, text, after] {
            self.say(part.as_bytes());
        }
        let build = crate::table::kernel_build(boot::kernel_end());
        self.emit(Event::KernelPanic { text, build });
        let names = KERNEL_REGISTER_NAMES.as_chunks().0;
        for (register, (&value, name)) in (0..).zip(bug.registers.iter().zip(names)) {
            self.line(*name, value);
            self.emit(Event::KernelRegister { register, value });
        }
        let mut at = bug.registers[FRAME_POINTER];
        for _ in 0..BACKTRACE_MAX {
            let Some([next, address]) = exceptions::frame_record(at as usize) else { break };
            self.line(*b"at ", address);
            self.emit(Event::KernelBacktrace { address });
            if next <= at {
                break;
            }
            at = next;
        }
    }

    /// A line of the console: a name, a space, a number in hexadecimal digits.
    #[inline(never)]
    fn line(&mut self, name: [u8; 3], value: u64) {
        let mut line = *b"    0000000000000000\r\n";
        line[..3].copy_from_slice(&name);
        let mut rest = value;
        let mut place = 20;
        // A bound that the compiler cannot know: sixteen copies of the loop would be a hundred instructions.
        while place > black_box(4) {
            place -= 1;
            line[place] = b"0123456789abcdef"[rest as usize & 0xF];
            rest >>= 4;
        }
        self.say(&line);
    }

    #[inline(never)]
    fn say(&mut self, text: &[u8]) {
        self.board.console.send(text);
    }

    #[inline(never)]
    fn emit(&mut self, event: Event<'_>) {
        let mut bytes = [0; FRAME_MAX];
        let length = encode(&Frame { time: cpu::now(), event }, &mut bytes).unwrap_or(0);
        self.board.uart.send(&bytes[..length]);
    }
}

#[inline(never)]
fn message(bug: &Bug<'_>) -> Text {
    let mut text = Text { bytes: [0; 160], length: 0 };
    let guard = boot::guard_page();
    let _ = if let Some(info) = bug.info {
        write!(text, "{}", info.message())
    } else if bug.registers[FAR].wrapping_sub(guard as u64) < abi::PAGE_SIZE as u64 {
        text.write_str("the kernel's stack has overflowed")
    } else {
        write!(text, "exception {} in the kernel", bug.kind)
    };
    if let Some(place) = bug.info.and_then(PanicInfo::location) {
        let _ = write!(text, " at {}:{}", place.file(), place.line());
    }
    text
}
