//! The `files` service, as far as registers need it: one call each, statuses as the trace has them.

use protocols::files::{Answer, OpenFlags, Request, Status};
use register_core::PATHS;
use userlib::{Client, Grant, Grants, Message, NO_GRANTS};
use workload_core::record::{DONE, KERNEL_STATUS, of_server};

/// A status other than [`DONE`], as in [`register_core::Record::Returned`].
pub type Failed = u32;

/// The answer does not fit the question.
const CONTRADICTION: Failed = Status::Malformed as u32;

/// Reading and writing; who comes first makes the file, which is empty then.
const ACCESS: OpenFlags = OpenFlags::READ.with(OpenFlags::WRITE).with(OpenFlags::CREATE);

/// The file server. Register `n` has descriptor `n`.
pub struct Files(Client);

impl Files {
    /// The server behind this handle.
    pub const fn new(client: Client) -> Self {
        Self(client)
    }

    fn ask(&self, request: &Request, grants: Grants) -> Result<Answer, Failed> {
        let label = request.label();
        let message = Message::new(label as u64, &request.registers());
        match self.0.call(&message, grants) {
            Err(error) => Err(KERNEL_STATUS + error.0 as u32),
            Ok(reply) if reply.label != u64::from(DONE) => Err(of_server(reply.label)),
            Ok(reply) => Answer::decode(label, &reply.words).map_err(|status| status as u32),
        }
    }

    /// Opens the file of a register, or makes it.
    pub fn open(&self, register: u8) -> Result<(), Failed> {
        let path = PATHS[usize::from(register)];
        let request = Request::Open { descriptor: register, flags: ACCESS, path_bytes: path.len() };
        self.ask(&request, [Grant::Read(path.as_bytes()), Grant::None]).map(|_| ())
    }

    /// Closes it, open or not. What cannot be closed now is closed by who opens it next.
    pub fn close(&self, register: u8) {
        let _ = self.ask(&Request::Close { descriptor: register }, NO_GRANTS);
    }

    /// Reads from the beginning and returns the number of bytes; fewer than there is room for only at the end of the file.
    pub fn read(&self, register: u8, buffer: &mut [u8]) -> Result<usize, Failed> {
        let (room, request) =
            (buffer.len(), Request::Read { descriptor: register, offset: 0, bytes: buffer.len() });
        match self.ask(&request, [Grant::None, Grant::Write(buffer)])? {
            Answer::Moved { bytes, .. } if bytes <= room => Ok(bytes),
            _ => Err(CONTRADICTION),
        }
    }

    /// Writes all of `data` at the beginning.
    pub fn write(&self, register: u8, data: &[u8]) -> Result<(), Failed> {
        let request = Request::Write { descriptor: register, offset: 0, bytes: data.len() };
        let whole = Answer::Moved { offset: 0, bytes: data.len() };
        let answer = self.ask(&request, [Grant::Read(data), Grant::None])?;
        if answer == whole { Ok(()) } else { Err(CONTRADICTION) }
    }

    /// Leaves the file system clean.
    pub fn unmount(&self) -> Result<(), Failed> {
        self.ask(&Request::Unmount, NO_GRANTS).map(|_| ())
    }
}
