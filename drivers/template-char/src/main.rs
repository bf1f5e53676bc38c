//! The process of a driver of bytes: requests in, bytes of the device out.
//!
//! Rule: everything that decides is in `lib.rs`; this file has no state of its own. `pl011` shows interrupts and a
//! checkpoint.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use template_char_driver::Device;

use defmt::info;
use protocols::bytes::{Error, FILL_MAX, Fill, reply};
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
    fn answer(&self, request: &Request) -> Result<(), Error> {
        let Fill(length) = Fill::decode(&request.message)?;
        let mut bytes = [0; FILL_MAX as usize];
        let bytes = &mut bytes[..length as usize];
        self.device.fill(bytes);
        request.copy_out(0, 0, bytes).map_err(|_| Error::BadRequest)
    }
}

userlib::entry!(main);

fn main(start: Start) -> ! {
    let device = Device::start(binding!(window "system-timer"));
    info!("serves since {=u64} us, incarnation {=u32}", device.microseconds(), start.incarnation);
    serve(&mut Driver { device })
}
