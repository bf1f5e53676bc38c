//! The process of the LED's pin: requests in, levels out.
//!
//! Rule: everything that decides is in `lib.rs`; the one state, the level, is in the device and outlives this process.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use defmt::info;
use gpio_driver::Output;
use protocols::gpio::{Error, Request as Asked, reply};
use userlib::server::{Answer, Server};
use userlib::{Request, Start, Window, binding, serve};

struct Driver {
    output: Output<Window>,
}

impl Server for Driver {
    fn request(&mut self, request: &Request) -> Answer {
        Answer::Reply(reply(self.answer(request)))
    }
}

impl Driver {
    fn answer(&self, request: &Request) -> Result<bool, Error> {
        match Asked::decode(&request.message)? {
            Asked::Set(high) => {
                self.output.set(high);
                Ok(high)
            }
            Asked::Get => Ok(self.output.is_high()),
        }
    }
}

userlib::entry!(main);

fn main(start: Start) -> ! {
    let pin = binding!(parameter "led-pin");
    let output = Output::start(binding!(window "gpio"), u32::try_from(pin).unwrap_or(u32::MAX));
    info!("pin {=u64} is an output, incarnation {=u32}", pin, start.incarnation);
    serve(&mut Driver { output })
}
