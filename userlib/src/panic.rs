//! The end of an incarnation: `exit`, and the panic handler.
//!
//! *Rule.* Nothing here allocates or logs: the panic may have come from the heap or from a half-written log frame.

use crate::sys;
use crate::text::{Text, tail};
use abi::record::{DeathClass, TEXT_MAX};
use core::fmt::Write;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

/// Ends this incarnation. `text`, of at most [`TEXT_MAX`] bytes, goes into the death record.
pub fn exit(class: DeathClass, text: &str) -> ! {
    sys::exit(class as u32, &text.as_bytes()[..text.floor_char_boundary(TEXT_MAX)])
}

/// Longest end of a source path in a death record, in bytes.
const PATH_MAX: usize = 40;

static PANICKING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKING.load(Ordering::Relaxed) {
        exit(DeathClass::Panic, "panic while panicking");
    }
    PANICKING.store(true, Ordering::Relaxed);
    let mut place = Text::<{ PATH_MAX + 16 }>::new();
    if let Some(location) = info.location() {
        // Writing to a `Text` cannot fail: it cuts.
        let _ = write!(place, " at {}:{}", tail(location.file(), PATH_MAX), location.line());
    }
    let mut text = Text::<TEXT_MAX>::new();
    let _ = write!(text, "{}", info.message());
    let mut whole = Text::<TEXT_MAX>::new();
    text.make_room(place.as_bytes().len());
    let _ = write!(whole, "{}{}", text.as_str(), place.as_str());
    exit(DeathClass::Panic, whole.as_str())
}
