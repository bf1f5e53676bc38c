//! The process of the interposer: passes requests on, and lies as the plan in memory says.
//!
//! *Rule.* How often an order was carried out is committed before it is: who dies of a lie does not tell it for ever. What
//! was carried out goes on the evidence line before it can be seen.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use defmt::info;
use interposer_core::orders::ORDERS_MAX;
use interposer_core::{Done, Interposer, Waiter, orders};
use protocols::block::{BLOCK_SIZE, BLOCKS_MAX, Device, Error, Request, reply};
use userlib::server::{Answer, Server};
use userlib::supplier::{Complaint, blocks};
use userlib::{Instant, Start, binding, checkpoint, log, plan, serve, sleep_until};

/// Times that each order was carried out, little-endian.
const CHECKPOINT_BYTES: usize = ORDERS_MAX * 4;

/// The board's time, and this slot's checkpoint.
struct Board {
    times: [u8; CHECKPOINT_BYTES],
}

impl Waiter for Board {
    fn now_ns(&self) -> u64 {
        Instant::now().ns()
    }

    fn wait_ns(&mut self, ns: u64) {
        sleep_until(Instant::now().plus_ns(ns));
    }

    fn wait_for_ever(&mut self) {
        loop {
            sleep_until(Instant::NEVER);
        }
    }

    fn done(&mut self, done: &Done) {
        self.times[done.order * 4..][..4].copy_from_slice(&done.times.to_le_bytes());
        checkpoint::commit(&self.times).expect("the manifest's checkpoint has room for all orders");
        let said = log::event(&done.encode());
        assert!(said, "the evidence line refused a record");
    }
}

struct Process<D> {
    interposer: Interposer<D, Board>,
    slot: u32,
    /// Of the orders that it has.
    stamp: u64,
    buffer: Box<[u8]>,
}

impl<D: Device> Server for Process<D> {
    fn request(&mut self, request: &userlib::Request) -> Answer {
        self.look_for_orders();
        let done = match Request::decode(&request.message) {
            Ok(Request::Info) => {
                let told = self.interposer.info();
                return Answer::Reply(told.map_or_else(|error| reply(Err(error)), |info| info.encode()));
            }
            Ok(Request::Read { lba, count }) => self.read(request, lba, count),
            Ok(Request::Write { lba, count }) => self.write(request, lba, count),
            Ok(Request::Flush) => self.interposer.flush(),
            Err(error) => Err(error),
        };
        Answer::Reply(reply(done))
    }
}

impl<D: Device> Process<D> {
    /// A campaign gives its orders while the board stands, long after the start.
    fn look_for_orders(&mut self) {
        let stamp = orders::stamp(plan::range());
        if self.stamp != stamp {
            self.stamp = stamp;
            self.interposer.obey_from_now_on(orders::read(plan::range(), self.slot));
        }
    }

    fn read(&mut self, request: &userlib::Request, lba: u64, count: u32) -> Result<(), Error> {
        let bytes = &mut self.buffer[..count as usize * BLOCK_SIZE];
        if request.grant_length(0) < bytes.len() || !request.grant_is_writable(0) {
            return Err(Error::BadRequest);
        }
        self.interposer.read(lba, bytes)?;
        request.copy_out(0, 0, bytes).map_err(|_| Error::BadRequest)
    }

    fn write(&mut self, request: &userlib::Request, lba: u64, count: u32) -> Result<(), Error> {
        let bytes = &mut self.buffer[..count as usize * BLOCK_SIZE];
        request.copy_in(0, 0, bytes).map_err(|_| Error::BadRequest)?;
        self.interposer.write(lba, bytes)
    }
}

userlib::entry!(main);

fn main(start: Start) -> ! {
    let mut times = [0; CHECKPOINT_BYTES];
    let mut saved = [0; CHECKPOINT_BYTES];
    if let Some(bytes) = checkpoint::load(&mut saved).filter(|bytes| bytes.len() == CHECKPOINT_BYTES) {
        times.copy_from_slice(bytes);
    }
    let (words, _) = times.as_chunks();
    let before: alloc::vec::Vec<_> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let stamp = orders::stamp(plan::range());
    let orders = orders::read(plan::range(), start.slot.into());
    info!("starts with {=usize} orders", orders.len());
    let complaint = Complaint::new(binding!(call ? "reincarnation"), binding!(server "card"));
    serve(&mut Process {
        interposer: Interposer::new(
            blocks(binding!(call "card"), complaint),
            Board { times },
            orders,
            &before,
        ),
        slot: start.slot.into(),
        stamp,
        buffer: vec![0; BLOCKS_MAX as usize * BLOCK_SIZE].into_boxed_slice(),
    })
}
