//! A kernel panic is a bug of ours: say so on the evidence line and reset the board.
//!
//! Before the first component runs it is an image that cannot be used, and the next boot would find the same one: then the
//! console says so, with the remedy, and the board stops.
//!
//! Rule: nothing of the kernel's state is used, not even its lock, since it may be what is broken.

use crate::arch::boot::KERNEL_OFFSET;
use crate::arch::cpu;
use abi::trace::{Event, FRAME_MAX, Frame, encode};
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::Ordering;

/// What the console says around the message.
const CANNOT_START: [&str; 2] =
    ["\r\nSamsara cannot start: ", "\r\nBuild the image (./x build) and write it to the card again.\r\n"];

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

/// Sends bytes to the console, or on the evidence line. One copy of the loops: the kernel is small.
#[cold]
#[inline(never)]
fn say(board: &mut bsp::Board, on_console: bool, bytes: &[u8]) {
    if on_console {
        board.console.send(bytes);
    } else {
        board.uart.send(bytes);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut text = Text { bytes: [0; 160], length: 0 };
    let _ = write!(text, "{}", info.message());
    if let Some(place) = info.location() {
        let _ = write!(text, " at {}:{}", place.file(), place.line());
    }
    // SAFETY: 1. both the first and the final tables map the devices; 2. the lock's holder never runs again; 3. the console
    //    is used only while no component has run.
    let mut board = unsafe { bsp::board(KERNEL_OFFSET) };
    board.uart.initialise();
    let text = core::str::from_utf8(&text.bytes[..text.length]).unwrap_or("");
    let mut bytes = [0; FRAME_MAX];
    let frame = encode(&Frame { time: cpu::now(), event: Event::KernelPanic { text } }, &mut bytes);
    let boots = !crate::RUNNING.load(Ordering::Relaxed);
    if boots {
        board.console.initialise();
    }
    let [before, after] = if boots { CANNOT_START } else { ["\r\nkernel panic: ", "\r\n"] };
    for part in [before, text, after] {
        say(&mut board, boots, part.as_bytes());
    }
    say(&mut board, false, &bytes[..frame.unwrap_or(0)]);
    if !boots {
        board.power.reset();
    }
    cpu::halt()
}
