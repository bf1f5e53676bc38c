//! What outlives an incarnation of the server: the open files and the last deduplicated call.
//!
//! Rule: the record is committed before the effect that it announces, and again before the answer that it
//! holds is given. Why: the next incarnation can then tell a call that it never saw from one that was
//! begun or finished, and clients keep their descriptors. One call is enough, because the server
//! has one request in service and the kernel delivers that one again alone and first.

use heapless::Vec;
use protocols::files::{Answer, DESCRIPTORS_PER_CLIENT, Label, OpenFlags, Status};
use serde::{Deserialize, Serialize};

/// Open files of all clients together.
pub const OPEN_FILES_MAX: usize = 64;
/// Upper bound of a checkpoint, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 4096;

/// The layout below. To be raised with every change of it: another layout is as good as none.
const VERSION: u32 = u32::from_le_bytes(*b"fs01");

/// The checkpoint could not be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CheckpointError;

/// The slot's checkpoint: survives the death of this process, not a reset of the board.
pub trait Checkpoint {
    /// Replaces the stored bytes by these, in whole or not at all.
    fn commit(&mut self, bytes: &[u8]) -> Result<(), CheckpointError>;

    /// Copies the stored bytes to `buffer` and returns their number; `None` when nothing is stored.
    fn load(&mut self, buffer: &mut [u8]) -> Option<usize>;
}

/// Who sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The client's slot.
    pub slot: u8,
    /// Which life of the client, from 1.
    pub incarnation: u32,
}

/// The kernel's account of one delivery of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Unique for ever, and the same for every delivery of the request.
    pub id: u64,
    /// 0, and one more for each delivery after a death of the server.
    pub attempt: u32,
    /// Who sent it.
    pub sender: Sender,
}

/// One descriptor of one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OpenFile {
    slot: u8,
    incarnation: u32,
    descriptor: u8,
    flags: u8,
    pub(crate) inode: u32,
    opened_by: u64,
}

impl OpenFile {
    pub(crate) fn allows(&self, access: OpenFlags) -> bool {
        self.flags & access.bits() == access.bits()
    }

    pub(crate) fn was_opened_by(&self, call: &Call) -> bool {
        self.opened_by == call.id
    }
}

/// What a deduplicated request met before its effect: enough to finish it, or to see that it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Found {
    /// The name was free.
    Free,
    /// The file had this length, in bytes.
    Length { inode: u32, size: u64 },
    /// The name, or the old one of two, meant this inode.
    Named { inode: u32 },
}

/// The last deduplicated call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Intent {
    call: u64,
    /// Of label, registers and paths: a repeated call must be the same call.
    digest: u32,
    found: Found,
    reply: Option<StoredReply>,
}

/// Status, and the registers that answers to deduplicated calls use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredReply {
    status: u32,
    registers: [u64; 3],
}

/// A reply: an answer, or why not.
pub type Reply = Result<Answer, Status>;

impl StoredReply {
    fn new(reply: &Reply) -> Self {
        match reply {
            Ok(answer) => {
                let r = answer.registers();
                Self { status: Status::Ok as u32, registers: [r[0], r[1], r[2]] }
            }
            Err(status) => Self { status: *status as u32, registers: [0; 3] },
        }
    }

    fn reply(&self, label: Label) -> Reply {
        let [a, b, c] = self.registers;
        match Status::from_raw(self.status) {
            Some(Status::Ok) => Answer::decode(label, &[a, b, c, 0, 0, 0, 0, 0]),
            Some(status) => Err(status),
            None => Err(Status::OutcomeUnknown),
        }
    }
}

/// What the record knows about a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Recalled {
    /// Nothing: it was not begun.
    Nothing,
    /// It was begun; this is what it met.
    Begun(Found),
    /// It was finished with this reply.
    Finished(Reply),
    /// Begun with other arguments: not the same call.
    Altered,
}

/// The contents of the checkpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Which file system the rest is about: ext4's UUID.
    pub(crate) volume: [u8; 16],
    pub(crate) unmounted: bool,
    files: Vec<OpenFile, OPEN_FILES_MAX>,
    intent: Option<Intent>,
}

impl Record {
    pub(crate) fn new(volume: [u8; 16]) -> Self {
        Self { volume, ..Self::default() }
    }

    pub(crate) fn load(checkpoint: &mut impl Checkpoint) -> Option<Self> {
        let mut buffer = [0; CHECKPOINT_BYTES_MAX];
        let length = checkpoint.load(&mut buffer)?;
        let (version, body) = buffer.get(..length)?.split_at_checked(4)?;
        if version != VERSION.to_le_bytes() {
            return None;
        }
        postcard::from_bytes(body).ok()
    }

    pub(crate) fn commit(&self, checkpoint: &mut impl Checkpoint) -> Result<(), CheckpointError> {
        let mut buffer = [0; CHECKPOINT_BYTES_MAX];
        let (version, body) = buffer.split_at_mut(4);
        version.copy_from_slice(&VERSION.to_le_bytes());
        let length = postcard::to_slice(self, body).map_err(|_| CheckpointError)?.len();
        checkpoint.commit(&buffer[..4 + length])
    }

    /// Makes room for this life of the client: files of an earlier one are closed. `false` when a later
    /// life was seen already, so that the request must be a stray.
    pub(crate) fn admit(&mut self, sender: Sender) -> bool {
        let stray =
            self.files.iter().any(|file| file.slot == sender.slot && file.incarnation > sender.incarnation);
        if !stray {
            self.files.retain(|file| file.slot != sender.slot || file.incarnation == sender.incarnation);
        }
        !stray
    }

    pub(crate) fn file(&self, sender: Sender, descriptor: u8) -> Option<&OpenFile> {
        self.files.iter().find(|file| file.slot == sender.slot && file.descriptor == descriptor)
    }

    pub(crate) fn is_open(&self, inode: u32) -> bool {
        self.files.iter().any(|file| file.inode == inode)
    }

    /// Whether `descriptor` can be opened: the number is free and the table has room.
    pub(crate) fn can_open(&self, sender: Sender, descriptor: u8) -> Result<(), Status> {
        if descriptor >= DESCRIPTORS_PER_CLIENT {
            return Err(Status::BadDescriptor);
        }
        if self.file(sender, descriptor).is_some() {
            return Err(Status::DescriptorInUse);
        }
        if self.files.is_full() {
            return Err(Status::TooManyOpen);
        }
        Ok(())
    }

    /// Enters an open file. A descriptor that this very call entered before stays as it is.
    pub(crate) fn open(
        &mut self,
        call: &Call,
        descriptor: u8,
        flags: OpenFlags,
        inode: u32,
    ) -> Result<(), Status> {
        if self.file(call.sender, descriptor).is_some_and(|file| file.was_opened_by(call)) {
            return Ok(());
        }
        self.can_open(call.sender, descriptor)?;
        let file = OpenFile {
            slot: call.sender.slot,
            incarnation: call.sender.incarnation,
            descriptor,
            flags: flags.bits(),
            inode,
            opened_by: call.id,
        };
        self.files.push(file).map_err(|_| Status::TooManyOpen)
    }

    /// Closes a descriptor and says whether it was open.
    pub(crate) fn close(&mut self, sender: Sender, descriptor: u8) -> bool {
        let is_it = |file: &OpenFile| file.slot == sender.slot && file.descriptor == descriptor;
        let (before, closed) = (self.files.len(), self.files.iter().filter(|file| is_it(file)).count());
        self.files.retain(|file| !is_it(file));
        // Otherwise others are gone, too, and the next incarnation would not know them either.
        assert!(self.files.len() + closed == before, "{closed} descriptors are closed, and others are gone");
        closed > 0
    }

    pub(crate) fn close_all(&mut self) {
        self.files.clear();
    }

    pub(crate) fn recall(&self, call: &Call, digest: u32, label: Label) -> Recalled {
        match &self.intent {
            Some(intent) if intent.call == call.id => match &intent.reply {
                _ if intent.digest != digest => Recalled::Altered,
                Some(reply) => Recalled::Finished(reply.reply(label)),
                None => Recalled::Begun(intent.found),
            },
            _ => Recalled::Nothing,
        }
    }

    pub(crate) fn begin(&mut self, call: &Call, digest: u32, found: Found) {
        self.intent = Some(Intent { call: call.id, digest, found, reply: None });
    }

    pub(crate) fn finish(&mut self, reply: &Reply) {
        if let Some(intent) = &mut self.intent {
            intent.reply = Some(StoredReply::new(reply));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Memory(Option<std::vec::Vec<u8>>);

    impl Checkpoint for Memory {
        fn commit(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
            self.0 = Some(bytes.to_vec());
            Ok(())
        }

        fn load(&mut self, buffer: &mut [u8]) -> Option<usize> {
            let bytes = self.0.as_ref()?;
            buffer[..bytes.len()].copy_from_slice(bytes);
            Some(bytes.len())
        }
    }

    fn call(id: u64, slot: u8, incarnation: u32) -> Call {
        Call { id, attempt: 0, sender: Sender { slot, incarnation } }
    }

    const RW: OpenFlags = OpenFlags::READ.with(OpenFlags::WRITE);

    #[test]
    fn the_largest_record_fits_and_survives() {
        let mut record = Record::new([0xff; 16]);
        for index in 0..OPEN_FILES_MAX as u8 {
            let call = call(u64::MAX, 255 - index / DESCRIPTORS_PER_CLIENT, u32::MAX);
            record.open(&call, index % DESCRIPTORS_PER_CLIENT, RW, u32::MAX).unwrap();
        }
        let last = call(u64::MAX, 0, 1);
        let found = Found::Length { inode: u32::MAX, size: u64::MAX };
        record.begin(&last, u32::MAX, found);
        record.finish(&Ok(Answer::Opened { inode: u32::MAX, size: u64::MAX }));
        let mut memory = Memory::default();
        record.commit(&mut memory).unwrap();
        assert!(memory.0.as_ref().unwrap().len() < CHECKPOINT_BYTES_MAX / 2);
        assert_eq!(Record::load(&mut memory).unwrap(), record);
        assert_eq!(record.open(&call(1, 9, 1), 0, RW, 1), Err(Status::TooManyOpen));
    }

    #[test]
    fn another_version_or_torn_bytes_are_no_record() {
        let mut memory = Memory::default();
        Record::default().commit(&mut memory).unwrap();
        let good = memory.0.clone().unwrap();
        for length in 0..good.len() {
            memory.0 = Some(good[..length].to_vec());
            assert_eq!(Record::load(&mut memory), None);
        }
        let mut other = good;
        other[3] ^= 1;
        memory.0 = Some(other);
        assert_eq!(Record::load(&mut memory), None);
    }

    #[test]
    fn a_new_life_of_a_client_closes_the_files_of_the_old_one_only() {
        let mut record = Record::default();
        record.open(&call(1, 3, 7), 0, RW, 20).unwrap();
        record.open(&call(2, 4, 1), 0, RW, 21).unwrap();
        assert!(!record.admit(Sender { slot: 3, incarnation: 6 }));
        assert!(record.is_open(20), "a stray closes nothing");
        assert!(record.admit(Sender { slot: 3, incarnation: 8 }));
        assert!(!record.is_open(20));
        assert!(record.is_open(21));
    }

    #[test]
    fn a_call_is_recalled_by_identity_and_arguments() {
        let mut record = Record::default();
        let first = call(5, 1, 1);
        assert_eq!(record.recall(&first, 9, Label::Unlink), Recalled::Nothing);
        record.begin(&first, 9, Found::Named { inode: 12 });
        assert_eq!(record.recall(&first, 9, Label::Unlink), Recalled::Begun(Found::Named { inode: 12 }));
        assert_eq!(record.recall(&first, 8, Label::Unlink), Recalled::Altered);
        record.finish(&Err(Status::NoSpace));
        assert_eq!(record.recall(&first, 9, Label::Unlink), Recalled::Finished(Err(Status::NoSpace)));
        assert_eq!(record.recall(&call(6, 1, 1), 9, Label::Unlink), Recalled::Nothing);
    }
}
