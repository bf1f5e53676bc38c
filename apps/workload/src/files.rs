//! The `files` service as functions: one call each, statuses as the trace has them.

use protocols::files::{Answer, Cookie, Label, OpenFlags, Request};
use userlib::{Client, Grant, Grants};
use workload_core::record::{DONE, KERNEL_STATUS, of_server};

/// A status other than [`DONE`], as in [`workload_core::Record::Acknowledged`].
pub type Failed = u32;

/// Times that a descriptor is closed before it is left to the next incarnation.
const CLOSE_TRIES: u32 = 3;

/// The file server.
pub struct Files(Client);

/// The answer does not fit the question.
const CONTRADICTION: Failed = protocols::files::Status::Malformed as u32;

impl Files {
    /// The server behind this handle.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    fn ask(&self, request: &Request, grants: Grants) -> Result<Answer, Failed> {
        let label = request.label();
        let message = userlib::Message::new(label as u64, &request.registers());
        match self.0.call(&message, grants) {
            Err(error) => Err(KERNEL_STATUS + error.0 as u32),
            Ok(reply) if reply.label != u64::from(DONE) => Err(of_server(reply.label)),
            Ok(reply) => Answer::decode(label, &reply.words).map_err(|status| status as u32),
        }
    }

    /// Asks with one path.
    fn ask_path(&self, request: &Request, path: &str) -> Result<Answer, Failed> {
        self.ask(request, [Grant::Read(path.as_bytes()), Grant::None])
    }

    /// Asks without data.
    fn ask_plain(&self, request: &Request) -> Result<(), Failed> {
        self.ask(request, [Grant::None, Grant::None]).map(|_| ())
    }

    /// Opens a file and returns its length in bytes.
    pub fn open(&self, descriptor: u8, flags: OpenFlags, path: &str) -> Result<u64, Failed> {
        let request = Request::Open { descriptor, flags, path_bytes: path.len() };
        match self.ask_path(&request, path)? {
            Answer::Opened { size, .. } => Ok(size),
            _ => Err(CONTRADICTION),
        }
    }

    /// Makes a file that must not exist, and opens it.
    pub fn create(&self, descriptor: u8, path: &str) -> Result<(), Failed> {
        let request = Request::CreateExclusive { descriptor, path_bytes: path.len() };
        self.ask_path(&request, path).map(|_| ())
    }

    /// Closes a descriptor, open or not. What cannot be closed now is closed by the next incarnation.
    pub fn close(&self, descriptor: u8) {
        let close = || self.ask_plain(&Request::Close { descriptor });
        let _ = (0..CLOSE_TRIES).find(|_| close().is_ok());
    }

    /// Reads from `offset` and returns the number of bytes; fewer than asked for only at the end of the file.
    pub fn read(&self, descriptor: u8, offset: u64, buffer: &mut [u8]) -> Result<usize, Failed> {
        let request = Request::Read { descriptor, offset, bytes: buffer.len() };
        let room = buffer.len();
        match self.ask(&request, [Grant::None, Grant::Write(buffer)])? {
            Answer::Moved { bytes, .. } if bytes <= room => Ok(bytes),
            _ => Err(CONTRADICTION),
        }
    }

    /// Writes all of `data` at `offset`.
    pub fn write(&self, descriptor: u8, offset: u64, data: &[u8]) -> Result<(), Failed> {
        let request = Request::Write { descriptor, offset, bytes: data.len() };
        self.moved(&request, data, offset)
    }

    /// Writes all of `data` at the end of a file, which is at `end`.
    pub fn append(&self, descriptor: u8, end: u64, data: &[u8]) -> Result<(), Failed> {
        let request = Request::Append { descriptor, bytes: data.len() };
        self.moved(&request, data, end)
    }

    fn moved(&self, request: &Request, data: &[u8], offset: u64) -> Result<(), Failed> {
        let whole = Answer::Moved { offset, bytes: data.len() };
        let answer = self.ask(request, [Grant::Read(data), Grant::None])?;
        if answer == whole { Ok(()) } else { Err(CONTRADICTION) }
    }

    /// Sets the length of a file.
    pub fn truncate(&self, descriptor: u8, size: u64) -> Result<(), Failed> {
        self.ask_plain(&Request::Truncate { descriptor, size })
    }

    /// Asks that a file be on the medium.
    pub fn fsync(&self, descriptor: u8) -> Result<(), Failed> {
        self.ask_plain(&Request::Fsync { descriptor })
    }

    /// Asks that everything be on the medium.
    pub fn sync(&self) -> Result<(), Failed> {
        self.ask_plain(&Request::Sync)
    }

    /// Leaves the file system clean.
    pub fn unmount(&self) -> Result<(), Failed> {
        self.ask_plain(&Request::Unmount)
    }

    /// Gives a file another name, or that of another file.
    pub fn rename(&self, old: &str, new: &str) -> Result<(), Failed> {
        let request = Request::Rename { old_bytes: old.len(), new_bytes: new.len() };
        self.ask(&request, [Grant::Read(old.as_bytes()), Grant::Read(new.as_bytes())]).map(|_| ())
    }

    /// Removes a file.
    pub fn unlink(&self, path: &str) -> Result<(), Failed> {
        self.ask_path(&Request::Unlink { path_bytes: path.len() }, path).map(|_| ())
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: &str) -> Result<(), Failed> {
        self.ask_path(&Request::MakeDirectory { path_bytes: path.len() }, path).map(|_| ())
    }

    /// Removes an empty directory.
    pub fn remove_directory(&self, path: &str) -> Result<(), Failed> {
        self.ask_path(&Request::RemoveDirectory { path_bytes: path.len() }, path).map(|_| ())
    }

    /// What a path names.
    pub fn kind(&self, path: &str) -> Result<protocols::files::Kind, Failed> {
        match self.ask_path(&Request::Stat { path_bytes: path.len() }, path)? {
            Answer::Facts(facts) => Ok(facts.kind),
            _ => Err(CONTRADICTION),
        }
    }

    /// A part of a directory: the bytes of its entries, and where to go on; `None` at the end.
    pub fn list(
        &self,
        path: &str,
        cookie: Cookie,
        buffer: &mut [u8],
    ) -> Result<(usize, Option<Cookie>), Failed> {
        let request = Request::ReadDirectory { cookie, path_bytes: path.len(), bytes: buffer.len() };
        debug_assert_eq!(request.label(), Label::ReadDirectory);
        match self.ask(&request, [Grant::Read(path.as_bytes()), Grant::Write(buffer)])? {
            Answer::Listed { next, bytes, end, .. } => Ok((bytes, (!end).then_some(next))),
            _ => Err(CONTRADICTION),
        }
    }
}
