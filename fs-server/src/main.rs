//! The file server's process: receives requests, moves the bytes of grants, and lets `fs-core` do the rest.
//!
//! Rule: after an error of the device or of the checkpoint it panics, and the next incarnation mounts afresh; it never goes
//! on with what it remembers. A card that no restart can mend is another matter: then it stays and says so to everybody.

#![no_std]
#![no_main]

extern crate alloc;

mod block;

use abi::Message;
use alloc::vec;
use alloc::vec::Vec;
use block::Card;
use core::time::Duration;
use defmt::info;
use fs_core::{
    CHECKPOINT_BYTES_MAX, Call, Checkpoint, CheckpointError, FileServer, MountError, Sender, mount_again,
};
use protocols::files::{Answer, Label, Request, Status, TRANSFER_BYTES_MAX};
use userlib::server::{Answer as Reaction, Server};
use userlib::supplier::Complaint;
use userlib::{Start, binding, checkpoint, log_text, serve, time::now};

/// The slot's checkpoint, as `fs-core` wants it.
struct Slot;

impl Checkpoint for Slot {
    fn commit(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        checkpoint::commit(bytes).map_err(|_| CheckpointError)
    }

    fn load(&mut self, buffer: &mut [u8]) -> Option<usize> {
        checkpoint::load(buffer).map(<[u8]>::len)
    }
}

/// What is served: a file system, or the reason why there is none.
#[expect(clippy::large_enum_variant, reason = "there is one of it, and it lives as long as the component")]
enum Service {
    Mounted(FileServer<Card, Slot>),
    Refused(Status),
}

struct Process {
    service: Service,
    input: [Vec<u8>; 2],
    output: Vec<u8>,
}

impl Server for Process {
    fn request(&mut self, request: &userlib::Request) -> Reaction {
        reply(self.answer(request)).into()
    }
}

impl Process {
    fn answer(&mut self, request: &userlib::Request) -> Result<Answer, Status> {
        let Ok(label) = u32::try_from(request.message.label) else { return Err(Status::Malformed) };
        let wanted = Request::decode(label, &request.message.words)?;
        let server = match &mut self.service {
            Service::Mounted(server) => server,
            Service::Refused(status) => return Err(*status),
        };
        let lengths = wanted.input_lengths();
        for (grant, (buffer, length)) in self.input.iter_mut().zip(lengths).enumerate() {
            request
                .copy_in(grant, 0, &mut buffer[..length])
                .or_else(|status| if length == 0 { Ok(()) } else { Err(status) })
                .map_err(|_| Status::Malformed)?;
        }
        let sender = Sender { slot: request.meta.sender, incarnation: request.meta.incarnation };
        let call = Call { id: request.id.0, attempt: request.meta.attempt.into(), sender };
        let input = [&self.input[0][..lengths[0]], &self.input[1][..lengths[1]]];
        let contradictions = server.device_counters().contradictions;
        let result = server.handle(&call, &wanted, input, &mut self.output[..wanted.output_length()]);
        if server.device_counters().contradictions > contradictions {
            log_text!(
                "the card has what the audit of the file server does not know, and is not audited any more: check it with e2fsck -f on another machine"
            );
        }
        let answer = result.unwrap_or_else(|fatal| panic!("mounting afresh after {fatal:?}"))?;
        let output = &self.output[..answer.output_bytes(Label::from_raw(label).unwrap_or(Label::Sync))];
        if !output.is_empty() {
            request.copy_out(1, 0, output).map_err(|_| Status::Malformed)?;
        }
        Ok(answer)
    }
}

fn reply(result: Result<Answer, Status>) -> Message {
    match result {
        Ok(answer) => Message::new(u64::from(Status::Ok as u32), &answer.registers()),
        Err(status) => Message::new(u64::from(status as u32), &[]),
    }
}

/// These boards have no clock that runs while they are off: files are dated by the time since power-on.
fn since_power_on() -> Duration {
    Duration::from_nanos(now().ns())
}

/// How often mounting is begun by one incarnation whose device fails: few enough for `max_service_ms`, since requests may wait.
const MOUNTS: u32 = 4;

fn mount() -> Service {
    let complaint = Complaint::new(binding!(call ? "reincarnation"), binding!(server "block"));
    let mounted = mount_again(MOUNTS, || {
        let card = match Card::find(binding!(call "block"), complaint) {
            Ok(card) => card,
            Err(error) => panic!("block driver: {error:?}"),
        };
        FileServer::mount(card, Slot, since_power_on)
    });
    match mounted {
        Ok(server) => {
            let found = server.arrival();
            info!(
                "mounted: {=u64} MiB at sector {=u64}, journal replayed: {=bool}, goes on from a checkpoint: {=bool}",
                found.sectors >> 11,
                found.first_sector,
                found.journal_replayed,
                found.has_record,
            );
            Service::Mounted(server)
        }
        Err(failed) if failed.is_transient() => panic!("cannot mount: {failed}"),
        Err(failed) => {
            // As text: whoever has to put in another card may have no more than the console.
            log_text!("no file system: {failed}");
            Service::Refused(MountError::status(failed))
        }
    }
}

userlib::entry!(main);

fn main(_start: Start) -> ! {
    let mut process = Process {
        service: mount(),
        input: [vec![0; TRANSFER_BYTES_MAX], vec![0; CHECKPOINT_BYTES_MAX]],
        output: vec![0; TRANSFER_BYTES_MAX],
    };
    serve(&mut process)
}
