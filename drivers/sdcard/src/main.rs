//! The SD card's process: requests in, blocks through a buffer of its own, the card's identity to the checkpoint.
//!
//! Rule: everything that decides is in `lib.rs`. The identity is committed before anybody hears of it, so that the next
//! incarnation finds out a card that was exchanged meanwhile.

#![no_std]
#![no_main]

extern crate alloc;

use abi::Message;
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use defmt::{Debug2Format, error, info};
use protocols::block::{BLOCK_SIZE, BLOCKS_MAX, Error, Info, Request, reply};
use sdcard_driver::doubt::{Confirmed, Doubt, Kind, Verdict};
use sdcard_driver::{BLOCK_WORDS, Block, Error as CardError, Host, SERVICE_LIMIT_NS, SdCard, Settings};
use serde::{Deserialize, Serialize};
use userlib::driver::DriverClock;
use userlib::server::{Answer, Server};
use userlib::{Start, Window, binding, checkpoint, control, serve};
use zerocopy::IntoBytes;

/// Base clock of the controller when its capabilities do not tell, in hertz, unless the manifest says otherwise.
const BASE_CLOCK_HZ: u64 = 50_000_000;

/// Format of the checkpoint.
const VERSION: u16 = 1;

/// Bytes of an encoded checkpoint at most.
const CHECKPOINT_MAX: usize = 96;

/// What outlives an incarnation.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Saved {
    /// The card's identity, once it was known.
    known: Option<u128>,
    /// Where it fails.
    confirmed: Confirmed,
}

struct Driver<'a> {
    card: Host<'a, Window, &'a DriverClock>,
    buffer: Box<[Block]>,
    doubt: Doubt,
}

impl Server for Driver<'_> {
    fn request(&mut self, request: &userlib::Request) -> Answer {
        let (kind, lba, done) = match Request::decode(&request.message) {
            Ok(Request::Info) => return Answer::Reply(self.info()),
            Ok(Request::Read { lba, count }) => (Kind::Read, lba, self.read(request, lba, count)),
            Ok(Request::Write { lba, count }) => (Kind::Write, lba, self.write(request, lba, count)),
            Ok(Request::Flush) => (Kind::Write, FLUSH, self.card.flush().map_err(Error::from)),
            Err(error) => return Answer::Reply(reply(Err(error))),
        };
        match done {
            Ok(()) => self.doubt.done(kind),
            Err(failed) => self.failed(kind, lba, failed, request.meta.attempt > 0),
        }
        Answer::Reply(reply(done))
    }
}

/// Stands for the place of a flush.
const FLUSH: u64 = u64::MAX;

/// Whether card and driver should have been able to do it. A card that is not there, or another one, is nobody's failure.
const fn is_unexpected(error: Error) -> bool {
    matches!(error, Error::Timeout | Error::Corrupt | Error::Device)
}

impl Driver<'_> {
    fn info(&mut self) -> Message {
        let before = self.card.known();
        match self.card.info() {
            Ok(info) => {
                if before != self.card.known() {
                    identified(&info);
                    self.commit();
                }
                info.encode()
            }
            Err(failed) => {
                let failed = Error::from(failed);
                error!("no card identified: {}", Debug2Format(&failed));
                reply(Err(failed))
            }
        }
    }

    fn commit(&self) {
        let saved = Saved { known: self.card.known(), confirmed: self.doubt.confirmed() };
        let committed = checkpoint::commit_value(VERSION, &saved, &mut [0; CHECKPOINT_MAX]);
        assert!(committed.is_ok(), "the checkpoint was refused: {committed:?}");
    }

    /// Whose failure is it? `again`: an earlier incarnation died with this request.
    fn failed(&mut self, kind: Kind, lba: u64, failed: Error, again: bool) {
        let what = if kind == Kind::Read { "read" } else { "write" };
        error!("{=str} at block {=u64} failed: {}", what, lba, Debug2Format(&failed));
        if !is_unexpected(failed) {
            return;
        }
        match self.doubt.failed(kind, lba, again) {
            Verdict::Answer => {}
            Verdict::Confirm => self.commit(),
            // It was taken out in the middle of a transfer.
            Verdict::Die if matches!(self.card.info(), Err(CardError::NoCard | CardError::CardChanged)) => {}
            Verdict::Die => panic!("{what} failed, and has worked before: a fresh driver is to try"),
        }
    }

    fn read(&mut self, request: &userlib::Request, lba: u64, count: u32) -> Result<(), Error> {
        if request.grant_length(0) < count as usize * BLOCK_SIZE || !request.grant_is_writable(0) {
            return Err(Error::BadRequest);
        }
        let blocks = &mut self.buffer[..count as usize];
        self.card.read(lba, blocks)?;
        request.copy_out(0, 0, blocks.as_bytes()).map_err(|_| Error::BadRequest)
    }

    fn write(&mut self, request: &userlib::Request, lba: u64, count: u32) -> Result<(), Error> {
        let blocks = &mut self.buffer[..count as usize];
        request.copy_in(0, 0, blocks.as_mut_bytes()).map_err(|_| Error::BadRequest)?;
        Ok(self.card.write(lba, blocks)?)
    }
}

fn identified(card: &Info) {
    info!(
        "card identified: {=u64} MiB ({=u64} blocks), CID {=u128:#034x}, write-protected: {=bool}",
        (card.blocks * BLOCK_SIZE as u64) >> 20,
        card.blocks,
        card.identity,
        card.write_protected,
    );
}

userlib::entry!(main);

/// Half of the time after which RS takes this driver for dead, if there is such a time: the other half is for the copy
/// to the client and for the commands that follow the last one in time. So a card that is gone is an error that the
/// driver reports, and not a hang that a restart would not mend.
fn service_limit_ns(start: Start) -> u64 {
    let watched_ns = control::policy(start.slot).map_or(0, |policy| policy.max_service);
    if watched_ns == 0 { SERVICE_LIMIT_NS } else { SERVICE_LIMIT_NS.min(watched_ns / 2) }
}

fn main(start: Start) -> ! {
    let clock = DriverClock::new();
    // The slot of boards that have two controllers is on the second one.
    let windows = [binding!(window ? "emmc2"), Some(binding!(window "emmc"))].into_iter().flatten();
    let count = windows.clone().count() as u64;
    let settings = Settings {
        base_clock_hz: binding!(parameter ? "base_clock_hz").unwrap_or(BASE_CLOCK_HZ) as u32,
        service_limit_ns: service_limit_ns(start) / count,
    };
    let saved = checkpoint::load_value::<Saved>(VERSION, &mut [0; CHECKPOINT_MAX]).unwrap_or_default();
    info!("starts; card known from before: {=bool}", saved.known.is_some());
    let mut slots: Vec<_> =
        windows.map(|window| SdCard::new(window, &clock, settings, saved.known)).collect();
    let mut driver = Driver {
        card: Host::new(&mut slots),
        buffer: vec![[0; BLOCK_WORDS]; BLOCKS_MAX as usize].into_boxed_slice(),
        doubt: Doubt::new(saved.confirmed),
    };
    serve(&mut driver)
}
