//! The process of a driver of blocks: requests in, blocks through a buffer of its own, the medium to the checkpoint.
//!
//! Rule: everything that decides is in `lib.rs`; this file has no state of its own. `sdcard` is a larger one of its kind.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use template_block_driver::{BLOCKS, Device, MEDIUM_BYTES, Store};

use defmt::info;
use protocols::block::{BLOCK_SIZE, Error, Request as Asked, reply};
use userlib::driver::DriverClock;
use userlib::server::{Answer, Server};
use userlib::{Request, Start, Window, binding, checkpoint, serve};

/// The slot's checkpoint.
struct Checkpoint;

impl Store for Checkpoint {
    fn keep(&self, medium: &[u8; MEDIUM_BYTES]) {
        checkpoint::commit(medium).expect("the manifest's checkpoint has room for the medium");
    }
}

struct Driver {
    device: Device<Window, DriverClock, Checkpoint>,
}

impl Server for Driver {
    fn request(&mut self, request: &Request) -> Answer {
        let done = match Asked::decode(&request.message) {
            Ok(Asked::Info) => return Answer::Reply(self.device.info().encode()),
            Ok(Asked::Read { lba, count }) => self.read(request, lba, count),
            Ok(Asked::Write { lba, count }) => self.write(request, lba, count),
            // What was answered is kept already.
            Ok(Asked::Flush) => Ok(()),
            Err(error) => Err(error),
        };
        Answer::Reply(reply(done))
    }
}

impl Driver {
    fn read(&self, request: &Request, lba: u64, count: u32) -> Result<(), Error> {
        if request.grant_length(0) < count as usize * BLOCK_SIZE || !request.grant_is_writable(0) {
            return Err(Error::BadRequest);
        }
        let blocks = self.device.read(lba, count)?;
        request.copy_out(0, 0, blocks).map_err(|_| Error::BadRequest)
    }

    fn write(&mut self, request: &Request, lba: u64, count: u32) -> Result<(), Error> {
        let mut blocks = [0; MEDIUM_BYTES];
        let length = (count as usize).min(BLOCKS) * BLOCK_SIZE;
        request.copy_in(0, 0, &mut blocks[..length]).map_err(|_| Error::BadRequest)?;
        self.device.write(lba, count, &blocks[..length])
    }
}

userlib::entry!(main);

fn main(start: Start) -> ! {
    let mut medium = [0; MEDIUM_BYTES];
    let is_kept = checkpoint::load(&mut medium).is_some();
    let device = Device::start(binding!(window "system-timer"), DriverClock::new(), Checkpoint, medium);
    info!("serves, incarnation {=u32}, blocks kept from before: {=bool}", start.incarnation, is_kept);
    serve(&mut Driver { device })
}
