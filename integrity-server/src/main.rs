//! The integrity layer's process: requests in, blocks through a buffer of its own, the medium's identity to the checkpoint.
//!
//! Rule: everything that decides is in `integrity-core`. Nobody is accused before the layer has shown on a card in memory that it
//! does what it must. The identity is committed before anybody hears of it, so that the next incarnation finds out a medium that
//! was exchanged meanwhile. Everything else that must survive is on the medium.

#![no_std]
#![no_main]
#![forbid(unsafe_code)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use defmt::{error, info, warn};
use integrity_core::{Finding, Served, self_test};
use protocols::block::{BLOCK_SIZE, BLOCKS_MAX, Device, Doubt, Error, Request, reply};
use userlib::server::{Answer, Server};
use userlib::supplier::{Complaint, caller};
use userlib::{Message, Start, binding, checkpoint, serve};

/// Blocks of the table in memory, unless the manifest says otherwise: what 2 MiB of the medium need, in 82 KiB of the heap.
const TABLE_BLOCKS: usize = 64;

fn tell(finding: Finding) {
    match finding {
        Finding::Mismatch { lba, found, pair: [old, new] } => {
            warn!("block {=u64} has checksum {=u32:08x}, not {=u32:08x} or {=u32:08x}", lba, found, old, new);
        }
        Finding::Mended { lba, attempts } => info!("block {=u64} is right at read {=u32}", lba, attempts),
        Finding::Lost { lba } => error!("block {=u64} is not what was written there last", lba),
        Finding::Table { lba } => error!("block {=u64} of the table is rotten or an old one", lba),
        Finding::NotKept { lba } => warn!("block {=u64} was not kept", lba),
        Finding::NoTable => error!("the medium has no table of checksums"),
    }
}

struct Process<'a> {
    layer: Served<'a>,
    /// Identity of the medium that the checkpoint has.
    kept: Option<u128>,
    /// About the service below.
    below: Below,
    buffer: Box<[u8]>,
}

impl Server for Process<'_> {
    fn request(&mut self, request: &userlib::Request) -> Answer {
        let done = match Request::decode(&request.message) {
            Ok(Request::Info) => return Answer::Reply(self.info()),
            Ok(Request::Read { lba, count }) => self.read(request, lba, count),
            Ok(Request::Write { lba, count }) => self.write(request, lba, count),
            Ok(Request::Flush) => self.below.doubting(&mut self.layer, Device::flush),
            Err(error) => Err(error),
        };
        Answer::Reply(reply(done))
    }
}

impl Process<'_> {
    fn info(&mut self) -> Message {
        let told = self.below.doubting(&mut self.layer, Device::info);
        if self.kept != self.layer.known() {
            self.kept = self.layer.known();
            let identity = self.kept.unwrap_or_default().to_le_bytes();
            checkpoint::commit(&identity).expect("the manifest's checkpoint has 16 bytes");
        }
        told.map_or_else(|error| reply(Err(error)), |info| info.encode())
    }

    fn read(&mut self, request: &userlib::Request, lba: u64, count: u32) -> Result<(), Error> {
        let bytes = &mut self.buffer[..count as usize * BLOCK_SIZE];
        if request.grant_length(0) < bytes.len() || !request.grant_is_writable(0) {
            return Err(Error::BadRequest);
        }
        self.below.doubting(&mut self.layer, |layer| layer.read(lba, bytes))?;
        request.copy_out(0, 0, bytes).map_err(|_| Error::BadRequest)
    }

    fn write(&mut self, request: &userlib::Request, lba: u64, count: u32) -> Result<(), Error> {
        let bytes = &mut self.buffer[..count as usize * BLOCK_SIZE];
        request.copy_in(0, 0, bytes).map_err(|_| Error::BadRequest)?;
        self.below.doubting(&mut self.layer, |layer| layer.write(lba, bytes))
    }
}

/// The service below. What does not fit may be the medium's fault, or that of who reads and writes it: a fresh one is asked before a
/// block, or the card, is called lost.
struct Below {
    complaint: Complaint,
    doubt: Doubt,
}

impl Below {
    fn doubting<'a, T>(
        &mut self,
        layer: &mut Served<'a>,
        mut action: impl FnMut(&mut Served<'a>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let answer = action(layer);
        // What the layer's own checks say of the medium; errors of the service have been doubted below.
        let is_its_own =
            matches!(answer, Ok(_) | Err(Error::Integrity | Error::MediumChanged | Error::Unsupported));
        if is_its_own && self.doubt.is_worth_a_complaint(&answer) && accuse(self.complaint) {
            return action(layer);
        }
        answer
    }
}

/// Whoever accuses proves itself first: a layer that is wrong itself finds mistakes everywhere. It dies, the request comes to a fresh
/// one, and nobody else is disturbed.
fn accuse(complaint: Complaint) -> bool {
    if let Err(wrong) = self_test() {
        panic!("the layer does not do what it must: {wrong}");
    }
    complaint.file()
}

userlib::entry!(main);

fn main(_start: Start) -> ! {
    let mut saved = [0; 16];
    let kept = checkpoint::load(&mut saved).and_then(|bytes| bytes.try_into().ok()).map(u128::from_le_bytes);
    let capacity = binding!(parameter ? "table_blocks").map_or(TABLE_BLOCKS, |blocks| blocks as usize);
    info!("starts; medium known from before: {=bool}", kept.is_some());
    let complaint = Complaint::new(binding!(call ? "reincarnation"), binding!(server "medium"));
    let mut call = caller(binding!(call "medium"));
    let mut complain = || accuse(complaint);
    serve(&mut Process {
        layer: Served::new(&mut call, &mut complain, tell, capacity, kept),
        below: Below { complaint, doubt: Doubt::default() },
        kept,
        buffer: vec![0; BLOCKS_MAX as usize * BLOCK_SIZE].into_boxed_slice(),
    })
}
