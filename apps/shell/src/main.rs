//! The shell's process: keys from the console, commands to the services.
//!
//! *Rule.* State is committed before it is shown, and a command counts as read before it is run. So a new incarnation
//! shows the half-typed line again, and does not repeat the command of which the last one died. No error of a service
//! ends the shell: it says what is wrong and goes on.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

mod execute;
mod programs;
mod session;
mod supervisor;
mod terminal;

use userlib::{Start, binding};

userlib::entry!(main);

fn main(start: Start) -> ! {
    let terminal = terminal::Terminal::new(binding!(call "console"));
    let shell = execute::Shell {
        terminal,
        files: program::Files::new(binding!(call "files")),
        supervisor: supervisor::Supervisor::new(binding!(call "reincarnation")),
        random: binding!(call ?"random"),
    };
    session::Session::restore(shell, start).run()
}
