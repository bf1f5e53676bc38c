//! A kernel panic is a bug of ours: say so on the evidence line and reset the board.
//!
//! Rule: nothing of the kernel's state is used, not even its lock, since it may be what is broken.

use crate::arch::boot::KERNEL_OFFSET;
use crate::arch::cpu;
use abi::trace::{Event, FRAME_MAX, Frame, encode};
use core::fmt::Write;
use core::panic::PanicInfo;

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
    let mut text = Text { bytes: [0; 160], length: 0 };
    let _ = write!(text, "{}", info.message());
    if let Some(place) = info.location() {
        let _ = write!(text, " at {}:{}", place.file(), place.line());
    }
    // SAFETY: 1. both the first and the final tables map the devices; 2. the lock's holder never runs again.
    let mut board = unsafe { bsp::Board::new(KERNEL_OFFSET) };
    board.uart.initialise();
    let text = core::str::from_utf8(&text.bytes[..text.length]).unwrap_or("");
    board.uart.send(b"\r\nkernel panic: ");
    board.uart.send(text.as_bytes());
    board.uart.send(b"\r\n");
    let mut bytes = [0; FRAME_MAX];
    if let Some(length) = encode(&Frame { time: cpu::now(), event: Event::KernelPanic { text } }, &mut bytes)
    {
        board.uart.send(&bytes[..length]);
    }
    board.power.reset();
    cpu::halt()
}
