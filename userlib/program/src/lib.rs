//! What a program links that is started from a file on the card (`run` at the shell): arguments, files, text for people.
//!
//! *Role.* Above `userlib`, which knows no service: here are the services that a spare slot may call, as functions.
//!
//! *Rule.* A program uses what the manifest gives to spare slots and nothing else; it ends by returning.
//!
//! ```ignore
//! program::program!(main);
//!
//! fn main(arguments: &Arguments) -> Result<(), String> {
//!     println!("{} to you", arguments.text());
//!     Ok(())
//! }
//! ```

#![no_std]
#![forbid(unsafe_code)]
#![cfg(target_os = "none")]

extern crate alloc;

mod files;

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use protocols::console::WRITE_MAX;
use protocols::files::DESCRIPTORS_PER_CLIENT;
use userlib::{DeathClass, Instant, binding, exit, recv_notifications, supplier};

pub use files::{Failed, File, Files, about};
pub use userlib;
pub use userlib::arguments::Arguments;

/// Makes `main`, a `fn(&Arguments) -> Result<(), String>`, the entry of the program. An error is shown to whoever started it.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        $crate::userlib::entry!(samsara_program);

        fn samsara_program(_start: $crate::userlib::Start) -> ! {
            $crate::run($main)
        }
    };
}

/// Runs `main` to its end; for [`program!`].
#[doc(hidden)]
pub fn run(main: fn(&Arguments) -> Result<(), String>) -> ! {
    // The first receive says that the program is ready: faults can be injected from now on.
    let _ = recv_notifications(Instant::from_ticks(0));
    let result = main(&Arguments::new());
    // A file that is open cannot be removed, and the file server does not hear of this end.
    let files = Files::new(binding!(call "files"));
    for descriptor in 0..DESCRIPTORS_PER_CLIENT {
        let _ = files.close(descriptor);
    }
    match result {
        Ok(()) => exit(DeathClass::Exit, "ended"),
        Err(text) => exit(DeathClass::Exit, &text),
    }
}

/// Shows text on the console; for [`println!`].
#[doc(hidden)]
pub fn print(text: fmt::Arguments<'_>) {
    let mut line = String::new();
    // Writing to a `String` cannot fail.
    let _ = line.write_fmt(text);
    let mut bytes = Vec::with_capacity(line.len() + 2);
    for byte in line.bytes() {
        if byte == b'\n' {
            bytes.push(b'\r');
        }
        bytes.push(byte);
    }
    let console = binding!(call "console");
    for chunk in bytes.chunks(WRITE_MAX as usize) {
        if !supplier::write(console, chunk) {
            // There is no other way out to say so; the program's work goes on.
            return;
        }
    }
}

/// Shows a line of text on the console.
#[macro_export]
macro_rules! println {
    ($($text:tt)*) => { $crate::print(format_args!("{}\n", format_args!($($text)*))) };
}
