//! The random number generator's process: requests in, bytes of the device out.
//!
//! Rule: everything that decides is in `lib.rs`; this file has no state of its own.
//!
//! # To make a driver of this one
//!
//! `./x new driver` makes one with a protocol that exists. With a protocol of its own:
//!
//! 1. Copy the folder to `drivers/NAME`; in its `Cargo.toml` change the package's name, the library's (`NAME_driver`) and
//!    the binary's, and add the folder to `members` in the workspace's `Cargo.toml`.
//! 2. `device.rs`: the registers of the device, each with its offset, and where that is documented. The block's address is
//!    in `bsp/BOARD/board.toml`; a driver never knows it.
//! 3. `lib.rs`: what is done with them, generic over `Registers` and `Clock`, and its tests on a fake device. A driver with
//!    state that must survive a death commits it before anybody can see its effect: `userlib::checkpoint`; `pl011` does so.
//! 4. `protocols/src/`: the service, unless it exists: its requests, which of them may be repeated, its errors. Add it to
//!    `SERVICES` there.
//! 5. This file: the loop between the two. A driver with an interrupt takes `binding!(irq "NAME")`, handles it in
//!    `Server::notified` and acknowledges it; `pl011` does so.
//! 6. `system/MANIFEST.toml`: an entry with the image, its priority (above that of whoever calls it), `serves`, `devices`,
//!    `irqs`, `policy`; and in its callers' entries `calls`. Add it to what `rs` controls. `./x build system/MANIFEST.toml`
//!    checks all this and says what is wrong.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use defmt::{error, info};
use protocols::bytes::{Error, FILL_MAX, Fill, reply};
use template_driver::Generator;
use userlib::driver::DriverClock;
use userlib::server::{Answer, Server};
use userlib::{Request, Start, Window, binding, serve};

struct Driver<'a> {
    generator: Generator<Window, &'a DriverClock>,
}

impl Server for Driver<'_> {
    fn request(&mut self, request: &Request) -> Answer {
        Answer::Reply(reply(self.fill(request)))
    }
}

impl Driver<'_> {
    fn fill(&self, request: &Request) -> Result<(), Error> {
        let Fill(length) = Fill::decode(&request.message)?;
        let mut bytes = [0; FILL_MAX as usize];
        let bytes = &mut bytes[..length as usize];
        self.generator.fill(bytes).inspect_err(|_| error!("the device makes no numbers"))?;
        request.copy_out(0, 0, bytes).map_err(|_| Error::BadRequest)
    }
}

userlib::entry!(main);

fn main(_start: Start) -> ! {
    let clock = DriverClock::new();
    let generator = Generator::start(binding!(window "random"), &clock);
    info!("the generator runs");
    serve(&mut Driver { generator })
}
