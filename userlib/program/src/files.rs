//! The `files` service as functions, with errors for people.

use alloc::string::String;
use protocols::files::{Answer, Cookie, Facts, OpenFlags, Request, Space, Status};
use userlib::{Client, Grant, Grants, Message, Outcome};

/// Why something was not done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Failed {
    /// The server's answer.
    Server(Status),
    /// No answer.
    Kernel(userlib::Status),
}

impl Failed {
    /// What is wrong, and the remedy.
    pub fn text(self) -> &'static str {
        match self {
            Self::Server(Status::FileTooLarge) => "file too large: the limit is 16 MiB",
            Self::Server(status) => status.text(),
            Self::Kernel(userlib::Status::Unavailable) => {
                "the file server is stopped or quarantined; `services` tells why, `service start` or `service release` ends it"
            }
            Self::Kernel(userlib::Status::Poisoned) => {
                "the file server died twice of this request; `log` of it tells where, do not repeat it"
            }
            Self::Kernel(status) if status.outcome() == Some(Outcome::Unknown) => {
                "no answer in time: it may have been done; look before you repeat it"
            }
            Self::Kernel(_) => {
                "no answer in time, nothing was changed; `services` tells who is busy; try again"
            }
        }
    }
}

/// The file server.
pub struct Files(Client);

type Result<T> = core::result::Result<T, Failed>;

const CONTRADICTION: Failed = Failed::Server(Status::Malformed);

impl Files {
    /// The server behind this handle.
    pub fn new(client: Client) -> Self {
        Self(client)
    }

    fn ask(&self, request: &Request, grants: Grants) -> Result<Answer> {
        let label = request.label();
        let message = Message::new(u64::from(label as u32), &request.registers());
        let reply = self.0.call(&message, grants).map_err(|error| Failed::Kernel(error.0))?;
        let status = u32::try_from(reply.label).ok().and_then(Status::from_raw).unwrap_or(Status::Malformed);
        if status != Status::Ok {
            return Err(Failed::Server(status));
        }
        Answer::decode(label, &reply.words).map_err(Failed::Server)
    }

    fn ask_path(&self, request: &Request, path: &str) -> Result<Answer> {
        self.ask(request, [Grant::Read(path.as_bytes()), Grant::None])
    }

    /// Opens a file, under a descriptor that an earlier command or incarnation may have left open.
    pub fn open(&self, descriptor: u8, flags: OpenFlags, path: &str) -> Result<u32> {
        self.close(descriptor)?;
        match self.ask_path(&Request::Open { descriptor, flags, path_bytes: path.len() }, path)? {
            Answer::Opened { inode, .. } => Ok(inode),
            _ => Err(CONTRADICTION),
        }
    }

    /// Closes a descriptor, open or not.
    pub fn close(&self, descriptor: u8) -> Result<()> {
        self.ask(&Request::Close { descriptor }, [Grant::None, Grant::None]).map(|_| ())
    }

    /// Reads from `offset`; fewer bytes than there is room only at the end of the file.
    pub fn read(&self, descriptor: u8, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let room = buffer.len();
        match self
            .ask(&Request::Read { descriptor, offset, bytes: room }, [Grant::None, Grant::Write(buffer)])?
        {
            Answer::Moved { bytes, .. } if bytes <= room => Ok(bytes),
            _ => Err(CONTRADICTION),
        }
    }

    /// Writes all of `data` at `offset`.
    pub fn write(&self, descriptor: u8, offset: u64, data: &[u8]) -> Result<()> {
        let request = Request::Write { descriptor, offset, bytes: data.len() };
        self.ask(&request, [Grant::Read(data), Grant::None]).map(|_| ())
    }

    /// Writes all of `data` at the end.
    pub fn append(&self, descriptor: u8, data: &[u8]) -> Result<()> {
        let request = Request::Append { descriptor, bytes: data.len() };
        self.ask(&request, [Grant::Read(data), Grant::None]).map(|_| ())
    }

    /// Gives another name.
    pub fn rename(&self, old: &str, new: &str) -> Result<()> {
        let request = Request::Rename { old_bytes: old.len(), new_bytes: new.len() };
        self.ask(&request, [Grant::Read(old.as_bytes()), Grant::Read(new.as_bytes())]).map(|_| ())
    }

    /// Removes a file or an empty directory.
    pub fn remove(&self, path: &str) -> Result<()> {
        let path_bytes = path.len();
        match self.ask_path(&Request::Unlink { path_bytes }, path) {
            Err(Failed::Server(Status::IsDirectory)) => {
                self.ask_path(&Request::RemoveDirectory { path_bytes }, path).map(|_| ())
            }
            result => result.map(|_| ()),
        }
    }

    /// Makes a directory.
    pub fn make_directory(&self, path: &str) -> Result<()> {
        self.ask_path(&Request::MakeDirectory { path_bytes: path.len() }, path).map(|_| ())
    }

    /// What a path names.
    pub fn stat(&self, path: &str) -> Result<Facts> {
        match self.ask_path(&Request::Stat { path_bytes: path.len() }, path)? {
            Answer::Facts(facts) => Ok(facts),
            _ => Err(CONTRADICTION),
        }
    }

    /// Size and free space.
    pub fn space(&self) -> Result<Space> {
        match self.ask(&Request::FileSystemStat, [Grant::None, Grant::None])? {
            Answer::Space(space) => Ok(space),
            _ => Err(CONTRADICTION),
        }
    }

    /// Everything to the card.
    pub fn sync(&self) -> Result<()> {
        self.ask(&Request::Sync, [Grant::None, Grant::None]).map(|_| ())
    }

    /// A part of a directory: bytes of entries, and where to go on, if anywhere.
    pub fn list(&self, path: &str, cookie: Cookie, buffer: &mut [u8]) -> Result<(usize, Option<Cookie>)> {
        let room = buffer.len();
        let request = Request::ReadDirectory { cookie, path_bytes: path.len(), bytes: room };
        match self.ask(&request, [Grant::Read(path.as_bytes()), Grant::Write(buffer)])? {
            Answer::Listed { next, bytes, end, .. } if bytes <= room => Ok((bytes, (!end).then_some(next))),
            _ => Err(CONTRADICTION),
        }
    }
}

/// A file that is open for reading, under a descriptor of its own.
pub struct File {
    files: Files,
    path: String,
    offset: u64,
}

impl File {
    /// Opens the file at `path`, which is taken from the root.
    ///
    /// # Errors
    /// A text for people, with the path.
    pub fn open(path: &str) -> core::result::Result<Self, String> {
        let path = if path.starts_with('/') { String::from(path) } else { alloc::format!("/{path}") };
        let files = Files::new(userlib::binding!(call "files"));
        files.open(0, OpenFlags::READ, &path).map_err(about(&path))?;
        Ok(Self { files, path, offset: 0 })
    }

    /// Reads on; 0 bytes at the end.
    ///
    /// # Errors
    /// A text for people, with the path.
    pub fn read(&mut self, buffer: &mut [u8]) -> core::result::Result<usize, String> {
        let count = self.files.read(0, self.offset, buffer).map_err(about(&self.path))?;
        self.offset += count as u64;
        Ok(count)
    }
}

/// An error with the thing that it is about.
pub fn about(thing: &str) -> impl Fn(Failed) -> String {
    move |failed| alloc::format!("{thing}: {}", failed.text())
}
