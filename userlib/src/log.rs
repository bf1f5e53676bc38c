//! Logging: defmt frames, plain text, and events for the trace.
//!
//! *Role.* Components log with the macros of defmt itself, `info!`, `warn!`, `error!` and `debug!`: what leaves the
//! component is the number of the statement and its arguments, and `./x log` finds text, file and line in the very image.
//! Plain text ([`text`]) is for what must be readable where no image is at hand: the news of deaths that RS and root tell,
//! and why there is no file system.
//!
//! *Rule.* One record is one system call of at most [`BYTES_MAX`] bytes. The kernel adds slot, incarnation, build id and
//! time; a record that the kernel refuses is lost, because logging must never be the reason why something fails.
//!
//! *Rule.* Nothing is logged while all is well and requests flow: a line at the start, a line for what went wrong.

use crate::sys;
use crate::text::Text;
use abi::syscall::log::{BYTES_MAX, DEFMT, EVENT, TEXT};
use core::cell::{Cell, UnsafeCell};
use core::fmt::{self, Write};

const RECORD: usize = BYTES_MAX as usize;

/// Puts `data` on the trace as an event of this component; needs the right `event`. `false` if it was refused: the
/// acknowledgement that it stands for must then not be given.
#[must_use = "an acknowledgement counts only if its event is on the trace"]
pub fn event(data: &[u8]) -> bool {
    sys::log(EVENT, data).is_ok()
}

/// Writes one line of plain text to the ring and, as a frame, to the evidence line; what is too long is cut.
pub fn text(line: fmt::Arguments<'_>) {
    let mut record = Text::<RECORD>::new();
    // Writing to a `Text` cannot fail: it cuts.
    let _ = record.write_fmt(line);
    let _ = sys::log(TEXT, record.as_bytes());
}

/// `log_text!("...")`: [`text`] with `format_args!`.
#[macro_export]
macro_rules! log_text {
    ($($argument:tt)*) => { $crate::log::text(format_args!($($argument)*)) };
}

/// The frame that defmt is writing.
struct Frame {
    acquired: Cell<bool>,
    length: Cell<usize>,
    bytes: UnsafeCell<[u8; RECORD]>,
}

// SAFETY: 1. A component has one thread, and no code of it interrupts other code of it: the fault stub, to which the
//    kernel may redirect it, never comes back and does not log.
unsafe impl Sync for Frame {}

static FRAME: Frame =
    Frame { acquired: Cell::new(false), length: Cell::new(0), bytes: UnsafeCell::new([0; RECORD]) };

#[defmt::global_logger]
struct Logger;

// SAFETY: 1. `acquire` panics when the logger is acquired already, and there is one execution context. 2. Nothing
//    outside this implementation touches `FRAME`.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        assert!(!FRAME.acquired.replace(true), "log statement within a log statement");
        FRAME.length.set(0);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        let length = FRAME.length.get();
        if length <= RECORD {
            // SAFETY: 1. One thread, and the logger is acquired: no other reference to the bytes exists.
            let bytes = unsafe { &*FRAME.bytes.get() };
            let _ = sys::log(DEFMT, &bytes[..length]);
        } else {
            // A frame that was cut would be decoded into plausible nonsense.
            text(format_args!("log record of {length} bytes left out: longer than {RECORD}"));
        }
        FRAME.acquired.set(false);
    }

    unsafe fn write(bytes: &[u8]) {
        let at = FRAME.length.get();
        let end = at.saturating_add(bytes.len());
        FRAME.length.set(end);
        if end <= RECORD {
            // SAFETY: 1. One thread, and the logger is acquired: no other reference to the bytes exists.
            unsafe { (&mut *FRAME.bytes.get())[at..end].copy_from_slice(bytes) };
        }
    }
}
