//! The process of a driver of registers: requests in, values of registers out.
//!
//! Rule: everything that decides is in `lib.rs`; this file has no state of its own. `pl011` shows interrupts and a
//! checkpoint.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use template_bus_driver::Device;

use defmt::info;
use protocols::registers::{Error, Request as Asked, reply};
use userlib::server::{Answer, Server};
use userlib::{Request, Start, Window, binding, serve};

struct Driver {
    device: Device<Window>,
}

impl Server for Driver {
    fn request(&mut self, request: &Request) -> Answer {
        Answer::Reply(reply(self.answer(request)))
    }
}

impl Driver {
    fn answer(&self, request: &Request) -> Result<u32, Error> {
        match Asked::decode(&request.message)? {
            Asked::Read { offset } => self.device.read(offset),
            Asked::Write { offset, value } => self.device.write(offset, value).map(|()| value),
        }
    }
}

userlib::entry!(main);

fn main(start: Start) -> ! {
    let device = Device::start(binding!(window "system-timer"));
    info!("serves, incarnation {=u32}", start.incarnation);
    serve(&mut Driver { device })
}
