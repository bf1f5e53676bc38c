//! The `files` service: what a client says to the file server and what it hears back.
//!
//! Role: one definition of every message, for the server, for the client's stubs and for host tools.
//! Rule: each label has exactly one mark, and the mark says what the kernel does with a request that
//! was received and not answered when the server died. Why: a retry after a death is then a rule of the
//! protocol and not a guess of the client.
//!
//! A request is a label, eight registers and at most two grants. Grant 0 is an input, grant 1 is an output,
//! except for [`Request::Rename`], which has two inputs; see [`Request::input_lengths`] and
//! [`Request::output_length`]. A reply's label is the [`Status`]; the registers hold the [`Answer`].
//!
//! Paths are absolute: bytes separated by `/`, any byte but NUL in a name. Empty components and `.` mean
//! nothing, `..` is the parent (of the root: the root). Symbolic links are not followed.
//!
//! Durability: when a request that changes something is answered with [`Status::Ok`], the change is on
//! the medium, in whole, and survives the death of the file server and of the block driver as well as
//! a loss of power. [`Request::Fsync`] and [`Request::Sync`] are therefore only promises repeated; a client
//! must call them all the same, since a later server may defer writing.

/// Longest path, in bytes.
pub const PATH_BYTES_MAX: usize = 1024;
/// Longest name between two slashes, in bytes (ext4's own limit).
pub const NAME_BYTES_MAX: usize = 255;
/// Most names in one path.
pub const PATH_DEPTH_MAX: usize = 64;
/// Most bytes that one read, write, append or directory listing moves.
pub const TRANSFER_BYTES_MAX: usize = 32 * 1024;
/// Largest file, in bytes. ext4 would allow more; the server needs memory for each block of a file that it
/// removes or shortens, and its memory is bounded.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Descriptors of one client: 0 to this, exclusive. The client chooses the number, so that a repeated
/// open is the same open.
pub const DESCRIPTORS_PER_CLIENT: u8 = 16;
/// Smallest output grant of [`Request::ReadDirectory`], in bytes: one entry with the longest name.
pub const LISTING_BYTES_MIN: usize = ENTRY_HEADER_BYTES + NAME_BYTES_MAX;

const ENTRY_HEADER_BYTES: usize = 6;

/// What the kernel does with a request in service when the server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Delivered again: doing it twice is doing it once.
    Idempotent,
    /// Delivered again; the server knows from its checkpoint how far the first attempt came.
    Deduplicated,
}

/// The labels of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Label {
    /// [`Request::Open`]
    Open = 1,
    /// [`Request::CreateExclusive`]
    CreateExclusive = 2,
    /// [`Request::Read`]
    Read = 3,
    /// [`Request::Write`]
    Write = 4,
    /// [`Request::Append`]
    Append = 5,
    /// [`Request::Truncate`]
    Truncate = 6,
    /// [`Request::Fsync`]
    Fsync = 7,
    /// [`Request::Rename`]
    Rename = 8,
    /// [`Request::Unlink`]
    Unlink = 9,
    /// [`Request::MakeDirectory`]
    MakeDirectory = 10,
    /// [`Request::RemoveDirectory`]
    RemoveDirectory = 11,
    /// [`Request::ReadDirectory`]
    ReadDirectory = 12,
    /// [`Request::Stat`]
    Stat = 13,
    /// [`Request::DescriptorStat`]
    DescriptorStat = 14,
    /// [`Request::FileSystemStat`]
    FileSystemStat = 15,
    /// [`Request::Sync`]
    Sync = 16,
    /// [`Request::Close`]
    Close = 17,
    /// [`Request::Unmount`]
    Unmount = 18,
}

impl Label {
    /// Every label, for tables.
    pub const ALL: [Self; 18] = [
        Self::Open,
        Self::CreateExclusive,
        Self::Read,
        Self::Write,
        Self::Append,
        Self::Truncate,
        Self::Fsync,
        Self::Rename,
        Self::Unlink,
        Self::MakeDirectory,
        Self::RemoveDirectory,
        Self::ReadDirectory,
        Self::Stat,
        Self::DescriptorStat,
        Self::FileSystemStat,
        Self::Sync,
        Self::Close,
        Self::Unmount,
    ];

    /// The label with this number.
    pub fn from_raw(raw: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|label| *label as u32 == raw)
    }

    /// The mark of this label.
    pub const fn mark(self) -> Mark {
        match self {
            Self::CreateExclusive
            | Self::Append
            | Self::Rename
            | Self::Unlink
            | Self::MakeDirectory
            | Self::RemoveDirectory => Mark::Deduplicated,
            Self::Open
            | Self::Read
            | Self::Write
            | Self::Truncate
            | Self::Fsync
            | Self::ReadDirectory
            | Self::Stat
            | Self::DescriptorStat
            | Self::FileSystemStat
            | Self::Sync
            | Self::Close
            | Self::Unmount => Mark::Idempotent,
        }
    }
}

/// Bit *n* is set when label *n* is [`Mark::Idempotent`].
pub const IDEMPOTENT_LABELS: u64 = labels_with(Mark::Idempotent);
/// Bit *n* is set when label *n* is [`Mark::Deduplicated`].
pub const DEDUPLICATED_LABELS: u64 = labels_with(Mark::Deduplicated);

/// Labels and marks.
pub const SERVICE: crate::Service = crate::Service {
    name: "files",
    labels: IDEMPOTENT_LABELS | DEDUPLICATED_LABELS,
    idempotent: IDEMPOTENT_LABELS,
    deduplicated: DEDUPLICATED_LABELS,
};

const fn labels_with(mark: Mark) -> u64 {
    let mut bits = 0;
    let mut index = 0;
    while index < Label::ALL.len() {
        if Label::ALL[index].mark() as u8 == mark as u8 {
            bits |= 1 << Label::ALL[index] as u32;
        }
        index += 1;
    }
    bits
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OpenFlags(u8);

impl OpenFlags {
    /// Reading is allowed.
    pub const READ: Self = Self(1);
    /// Writing, appending and truncating are allowed.
    pub const WRITE: Self = Self(2);
    /// The file is made when it does not exist.
    pub const CREATE: Self = Self(4);
    /// The file is cut to no bytes; needs [`Self::WRITE`].
    pub const TRUNCATE: Self = Self(8);

    /// Both sets together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags as a number.
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// The flags with this number; `None` when a bit has no meaning, no access is asked for, or a file
    /// that may not be written is to be truncated.
    pub const fn from_bits(bits: u64) -> Option<Self> {
        let flags = match bits {
            0..16 => Self(bits as u8),
            _ => return None,
        };
        let reads = flags.contains(Self::READ);
        let writes = flags.contains(Self::WRITE);
        let fits = writes || (reads && !flags.contains(Self::TRUNCATE));
        if fits { Some(flags) } else { None }
    }
}

/// Where a directory listing goes on. [`Cookie::START`] begins; any other value comes from an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Cookie(pub [u64; 2]);

impl Cookie {
    /// The beginning of the directory.
    pub const START: Self = Self([0; 2]);
}

/// A request. Lengths are in bytes and count the grant that holds the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// Opens a file under a descriptor number of the client's choice. Grant 0: path.
    Open {
        /// Below [`DESCRIPTORS_PER_CLIENT`] and free.
        descriptor: u8,
        /// Access and creation.
        flags: OpenFlags,
        /// Length of the path.
        path_bytes: usize,
    },
    /// Makes a file that must not exist and opens it for reading and writing. Grant 0: path.
    CreateExclusive {
        /// Below [`DESCRIPTORS_PER_CLIENT`] and free.
        descriptor: u8,
        /// Length of the path.
        path_bytes: usize,
    },
    /// Reads from a place in a file; fewer bytes at its end. Grant 1 (output): data.
    Read {
        /// An open descriptor.
        descriptor: u8,
        /// First byte.
        offset: u64,
        /// Most bytes.
        bytes: usize,
    },
    /// Writes all bytes at a place in a file; a gap reads as zeros. Grant 0: data.
    Write {
        /// A descriptor open for writing.
        descriptor: u8,
        /// First byte.
        offset: u64,
        /// Length of the data.
        bytes: usize,
    },
    /// Writes all bytes at the end of a file, or none. Grant 0: data.
    Append {
        /// A descriptor open for writing.
        descriptor: u8,
        /// Length of the data.
        bytes: usize,
    },
    /// Sets the length of a file; a longer file reads as zeros.
    Truncate {
        /// A descriptor open for writing.
        descriptor: u8,
        /// New length in bytes.
        size: u64,
    },
    /// Everything written to this file is on the medium when the answer comes.
    Fsync {
        /// An open descriptor.
        descriptor: u8,
    },
    /// Gives a file or directory another name; replaces a file, or an empty directory by a directory.
    /// Grant 0: old path. Grant 1: new path.
    Rename {
        /// Length of the old path.
        old_bytes: usize,
        /// Length of the new path.
        new_bytes: usize,
    },
    /// Removes a file. Grant 0: path.
    Unlink {
        /// Length of the path.
        path_bytes: usize,
    },
    /// Makes a directory. Grant 0: path.
    MakeDirectory {
        /// Length of the path.
        path_bytes: usize,
    },
    /// Removes an empty directory. Grant 0: path.
    RemoveDirectory {
        /// Length of the path.
        path_bytes: usize,
    },
    /// Lists a directory from a cookie on. Grant 0: path. Grant 1 (output): see [`entries`].
    ReadDirectory {
        /// Where to begin.
        cookie: Cookie,
        /// Length of the path.
        path_bytes: usize,
        /// Room for entries, at least [`LISTING_BYTES_MIN`].
        bytes: usize,
    },
    /// What a path names. Grant 0: path.
    Stat {
        /// Length of the path.
        path_bytes: usize,
    },
    /// What a descriptor names.
    DescriptorStat {
        /// An open descriptor.
        descriptor: u8,
    },
    /// Size and free space of the file system.
    FileSystemStat,
    /// Everything written to any file is on the medium when the answer comes.
    Sync,
    /// Closes a descriptor. Closing one that is not open changes nothing and is no error.
    Close {
        /// A descriptor below [`DESCRIPTORS_PER_CLIENT`].
        descriptor: u8,
    },
    /// Leaves the file system clean on the medium. Every later request gets [`Status::Unmounted`].
    Unmount,
}

impl Request {
    /// The label of this request.
    pub const fn label(&self) -> Label {
        match self {
            Self::Open { .. } => Label::Open,
            Self::CreateExclusive { .. } => Label::CreateExclusive,
            Self::Read { .. } => Label::Read,
            Self::Write { .. } => Label::Write,
            Self::Append { .. } => Label::Append,
            Self::Truncate { .. } => Label::Truncate,
            Self::Fsync { .. } => Label::Fsync,
            Self::Rename { .. } => Label::Rename,
            Self::Unlink { .. } => Label::Unlink,
            Self::MakeDirectory { .. } => Label::MakeDirectory,
            Self::RemoveDirectory { .. } => Label::RemoveDirectory,
            Self::ReadDirectory { .. } => Label::ReadDirectory,
            Self::Stat { .. } => Label::Stat,
            Self::DescriptorStat { .. } => Label::DescriptorStat,
            Self::FileSystemStat => Label::FileSystemStat,
            Self::Sync => Label::Sync,
            Self::Close { .. } => Label::Close,
            Self::Unmount => Label::Unmount,
        }
    }

    /// Bytes to copy from grant 0 and grant 1 before the request is handled.
    pub const fn input_lengths(&self) -> [usize; 2] {
        match *self {
            Self::Open { path_bytes, .. }
            | Self::CreateExclusive { path_bytes, .. }
            | Self::Unlink { path_bytes }
            | Self::MakeDirectory { path_bytes }
            | Self::RemoveDirectory { path_bytes }
            | Self::ReadDirectory { path_bytes, .. }
            | Self::Stat { path_bytes } => [path_bytes, 0],
            Self::Write { bytes, .. } | Self::Append { bytes, .. } => [bytes, 0],
            Self::Rename { old_bytes, new_bytes } => [old_bytes, new_bytes],
            _ => [0, 0],
        }
    }

    /// Room for output, to be copied to grant 1 afterwards as far as [`Answer::output_bytes`] says.
    pub const fn output_length(&self) -> usize {
        match *self {
            Self::Read { bytes, .. } | Self::ReadDirectory { bytes, .. } => bytes,
            _ => 0,
        }
    }

    /// The registers of this request.
    pub const fn registers(&self) -> [u64; 8] {
        let mut r = [0; 8];
        match *self {
            Self::Open { descriptor, flags, path_bytes } => {
                r[0] = descriptor as u64;
                r[1] = flags.0 as u64;
                r[2] = path_bytes as u64;
            }
            Self::CreateExclusive { descriptor, path_bytes } => {
                r[0] = descriptor as u64;
                r[2] = path_bytes as u64;
            }
            Self::Read { descriptor, offset, bytes } | Self::Write { descriptor, offset, bytes } => {
                r[0] = descriptor as u64;
                r[1] = offset;
                r[2] = bytes as u64;
            }
            Self::Append { descriptor, bytes } => {
                r[0] = descriptor as u64;
                r[2] = bytes as u64;
            }
            Self::Truncate { descriptor, size } => {
                r[0] = descriptor as u64;
                r[1] = size;
            }
            Self::Rename { old_bytes, new_bytes } => {
                r[2] = old_bytes as u64;
                r[3] = new_bytes as u64;
            }
            Self::ReadDirectory { cookie, path_bytes, bytes } => {
                r[0] = cookie.0[0];
                r[1] = cookie.0[1];
                r[2] = path_bytes as u64;
                r[3] = bytes as u64;
            }
            Self::Unlink { path_bytes }
            | Self::MakeDirectory { path_bytes }
            | Self::RemoveDirectory { path_bytes }
            | Self::Stat { path_bytes } => r[2] = path_bytes as u64,
            Self::Fsync { descriptor } | Self::DescriptorStat { descriptor } | Self::Close { descriptor } => {
                r[0] = descriptor as u64;
            }
            Self::FileSystemStat | Self::Sync | Self::Unmount => {}
        }
        r
    }

    /// Reads a request. The sender is not trusted: an error is what to answer.
    pub fn decode(label: u32, r: &[u64; 8]) -> Result<Self, Status> {
        let label = Label::from_raw(label).ok_or(Status::Malformed)?;
        let descriptor = || descriptor(r[0]);
        let path_bytes = || bounded(r[2], PATH_BYTES_MAX, Status::PathTooLong);
        let bytes = || bounded(r[2], TRANSFER_BYTES_MAX, Status::InvalidArgument);
        Ok(match label {
            Label::Open => Self::Open {
                descriptor: descriptor()?,
                flags: OpenFlags::from_bits(r[1]).ok_or(Status::InvalidArgument)?,
                path_bytes: path_bytes()?,
            },
            Label::CreateExclusive => {
                Self::CreateExclusive { descriptor: descriptor()?, path_bytes: path_bytes()? }
            }
            Label::Read => Self::Read { descriptor: descriptor()?, offset: r[1], bytes: bytes()? },
            Label::Write => Self::Write { descriptor: descriptor()?, offset: r[1], bytes: bytes()? },
            Label::Append => Self::Append { descriptor: descriptor()?, bytes: bytes()? },
            Label::Truncate => Self::Truncate { descriptor: descriptor()?, size: r[1] },
            Label::Fsync => Self::Fsync { descriptor: descriptor()? },
            Label::Rename => Self::Rename {
                old_bytes: path_bytes()?,
                new_bytes: bounded(r[3], PATH_BYTES_MAX, Status::PathTooLong)?,
            },
            Label::Unlink => Self::Unlink { path_bytes: path_bytes()? },
            Label::MakeDirectory => Self::MakeDirectory { path_bytes: path_bytes()? },
            Label::RemoveDirectory => Self::RemoveDirectory { path_bytes: path_bytes()? },
            Label::ReadDirectory => Self::ReadDirectory {
                cookie: Cookie([r[0], r[1]]),
                path_bytes: path_bytes()?,
                bytes: bounded(r[3], TRANSFER_BYTES_MAX, Status::InvalidArgument)?,
            },
            Label::Stat => Self::Stat { path_bytes: path_bytes()? },
            Label::DescriptorStat => Self::DescriptorStat { descriptor: descriptor()? },
            Label::FileSystemStat => Self::FileSystemStat,
            Label::Sync => Self::Sync,
            Label::Close => Self::Close { descriptor: descriptor()? },
            Label::Unmount => Self::Unmount,
        })
    }
}

fn descriptor(raw: u64) -> Result<u8, Status> {
    u8::try_from(raw).ok().filter(|number| *number < DESCRIPTORS_PER_CLIENT).ok_or(Status::BadDescriptor)
}

fn bounded(raw: u64, max: usize, too_long: Status) -> Result<usize, Status> {
    usize::try_from(raw).ok().filter(|length| *length <= max).ok_or(too_long)
}

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $value:literal, $text:literal;)+) => {
        /// The outcome of a request: the label of the reply.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Status { $($(#[$doc])* $name = $value,)+ }

        impl Status {
            /// The status with this number.
            pub const fn from_raw(raw: u32) -> Option<Self> {
                match raw { $($value => Some(Self::$name),)+ _ => None }
            }

            /// What went wrong and, where there is one, the remedy, for a person.
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)+ }
            }
        }
    };
}

statuses! {
    /// Done.
    Ok = 0, "done";
    /// Nothing has this name.
    NotFound = 1, "no such file or directory";
    /// Something has this name already.
    Exists = 2, "already exists";
    /// A name before the last one in the path is not a directory.
    NotDirectory = 3, "not a directory";
    /// A directory where a file is needed.
    IsDirectory = 4, "is a directory";
    /// The directory still has entries.
    NotEmpty = 5, "directory not empty";
    /// The file to be removed or replaced is open, or the system needs it.
    Busy = 6, "in use";
    /// No block or no inode is free; nothing was changed.
    NoSpace = 7, "no space left on the card; remove files";
    /// The descriptor is not open.
    BadDescriptor = 8, "descriptor is not open";
    /// No room in the table of open files.
    TooManyOpen = 9, "too many open files; close some";
    /// The client uses this descriptor for something else.
    DescriptorInUse = 10, "descriptor is in use";
    /// A name is empty, too long, has a NUL byte, or is `.` or `..` where a new name is needed.
    BadName = 11, "bad name";
    /// More than [`PATH_BYTES_MAX`] bytes or [`PATH_DEPTH_MAX`] names.
    PathTooLong = 12, "path too long";
    /// An argument has no meaning here.
    InvalidArgument = 13, "invalid argument";
    /// The descriptor was not opened for this access.
    NotPermitted = 14, "descriptor was not opened for this";
    /// Beyond [`FILE_BYTES_MAX`], or a larger file from elsewhere is to be removed or shortened.
    FileTooLarge = 15, "file too large";
    /// The directory has no room for another subdirectory.
    TooManyLinks = 16, "too many links";
    /// The directory changed its form since the cookie was given: begin again.
    StaleCookie = 17, "directory changed while it was read; begin again";
    /// A symbolic link, a device node, or another thing that this server does not handle.
    Unsupported = 18, "not supported";
    /// The file system was unmounted.
    Unmounted = 19, "the file system is unmounted until the next start of the board";
    /// The card is gone.
    NoCard = 20, "no SD card; insert a card and restart the service";
    /// The card holds nothing.
    EmptyCard = 21, "the SD card is empty; format it with mkfs.ext4";
    /// The card holds something else.
    NotExt4 = 22, "the SD card holds no ext4 file system; format it with mkfs.ext4";
    /// The card's ext4 has features that this server cannot write.
    UnsupportedFormat = 23, "the SD card's ext4 has unsupported features; format it without them; the file server's log says which";
    /// The file system's own structures are wrong.
    Damaged = 24, "the file system is damaged; repair it on another machine with e2fsck -f";
    /// The card's write protection is on.
    WriteProtected = 25, "the SD card is write-protected; slide the switch";
    /// The server lost the record of an earlier attempt of this call: it was done or it was not.
    OutcomeUnknown = 26, "outcome unknown: the file server lost its records";
    /// The message is not one of this protocol.
    Malformed = 27, "malformed request";
}

/// What a path or descriptor names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A regular file.
    File = 1,
    /// A directory.
    Directory = 2,
    /// Anything else: symbolic link, device node, pipe, socket.
    Other = 3,
}

impl Kind {
    /// The kind with this number.
    pub const fn from_raw(raw: u64) -> Option<Self> {
        match raw {
            1 => Some(Self::File),
            2 => Some(Self::Directory),
            3 => Some(Self::Other),
            _ => None,
        }
    }
}

/// Facts about a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Inode number: the identity of the file on this card.
    pub inode: u32,
    /// What it is.
    pub kind: Kind,
    /// Length in bytes.
    pub size: u64,
    /// Names that it has.
    pub links: u16,
    /// Space on the card, in units of 512 bytes.
    pub sectors: u64,
    /// Last change of the contents, in seconds since 1970.
    pub modified_s: u64,
    /// Permission bits as ext4 has them.
    pub permissions: u16,
}

/// Size and free space of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes in a block.
    pub block_bytes: u64,
    /// Blocks in all.
    pub blocks: u64,
    /// Free blocks.
    pub blocks_free: u64,
    /// Inodes in all.
    pub inodes: u64,
    /// Free inodes.
    pub inodes_free: u64,
}

/// The answer to a request that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nothing more to say.
    Done,
    /// The file is open.
    Opened {
        /// Inode number.
        inode: u32,
        /// Length in bytes.
        size: u64,
    },
    /// Bytes moved.
    Moved {
        /// First byte in the file.
        offset: u64,
        /// How many.
        bytes: usize,
    },
    /// Part of a directory.
    Listed {
        /// Where to go on.
        next: Cookie,
        /// Bytes of entries in the output.
        bytes: usize,
        /// Entries in the output.
        count: usize,
        /// Whether the directory ends here.
        end: bool,
    },
    /// Facts about a file or directory.
    Facts(Facts),
    /// Size and free space.
    Space(Space),
}

impl Answer {
    /// Bytes of output that belong to this answer.
    pub const fn output_bytes(&self, request: Label) -> usize {
        match (request, self) {
            (Label::Read, Self::Moved { bytes, .. }) | (_, Self::Listed { bytes, .. }) => *bytes,
            _ => 0,
        }
    }

    /// The registers of this answer.
    pub const fn registers(&self) -> [u64; 8] {
        let mut r = [0; 8];
        match *self {
            Self::Done => {}
            Self::Opened { inode, size } => {
                r[0] = inode as u64;
                r[1] = size;
            }
            Self::Moved { offset, bytes } => {
                r[1] = offset;
                r[2] = bytes as u64;
            }
            Self::Listed { next, bytes, count, end } => {
                r[0] = next.0[0];
                r[1] = next.0[1];
                r[2] = bytes as u64;
                r[3] = count as u64;
                r[4] = end as u64;
            }
            Self::Facts(facts) => {
                r[0] = facts.inode as u64;
                r[1] = facts.size;
                r[2] = facts.kind as u64;
                r[3] = facts.links as u64;
                r[4] = facts.sectors;
                r[5] = facts.modified_s;
                r[6] = facts.permissions as u64;
            }
            Self::Space(space) => {
                r[0] = space.block_bytes;
                r[1] = space.blocks;
                r[2] = space.blocks_free;
                r[3] = space.inodes;
                r[4] = space.inodes_free;
            }
        }
        r
    }

    /// Reads the answer to a request with this label; [`Status::Malformed`] when it cannot be one.
    pub fn decode(request: Label, r: &[u64; 8]) -> Result<Self, Status> {
        let size = |raw: u64| bounded(raw, TRANSFER_BYTES_MAX, Status::Malformed);
        let inode = || u32::try_from(r[0]).map_err(|_| Status::Malformed);
        Ok(match request {
            Label::Open | Label::CreateExclusive => Self::Opened { inode: inode()?, size: r[1] },
            Label::Read | Label::Write | Label::Append => Self::Moved { offset: r[1], bytes: size(r[2])? },
            Label::ReadDirectory => Self::Listed {
                next: Cookie([r[0], r[1]]),
                bytes: size(r[2])?,
                count: size(r[3])?,
                end: r[4] != 0,
            },
            Label::Stat | Label::DescriptorStat => Self::Facts(Facts {
                inode: inode()?,
                kind: Kind::from_raw(r[2]).ok_or(Status::Malformed)?,
                size: r[1],
                links: u16::try_from(r[3]).map_err(|_| Status::Malformed)?,
                sectors: r[4],
                modified_s: r[5],
                permissions: u16::try_from(r[6]).map_err(|_| Status::Malformed)?,
            }),
            Label::FileSystemStat => Self::Space(Space {
                block_bytes: r[0],
                blocks: r[1],
                blocks_free: r[2],
                inodes: r[3],
                inodes_free: r[4],
            }),
            _ => Self::Done,
        })
    }
}

/// One entry of a directory listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Inode number.
    pub inode: u32,
    /// What it is.
    pub kind: Kind,
    /// Its name in the directory.
    pub name: &'a [u8],
}

/// Writes an entry at the beginning of `output` and returns its length; `None` when there is no room or
/// the name is too long.
pub fn put_entry(output: &mut [u8], entry: &Entry<'_>) -> Option<usize> {
    let name_bytes = u8::try_from(entry.name.len()).ok()?;
    let length = ENTRY_HEADER_BYTES + entry.name.len();
    let output = output.get_mut(..length)?;
    output[..4].copy_from_slice(&entry.inode.to_le_bytes());
    output[4] = entry.kind as u8;
    output[5] = name_bytes;
    output[ENTRY_HEADER_BYTES..].copy_from_slice(entry.name);
    Some(length)
}

/// The entries of a listing; ends early at bytes that are none.
pub fn entries(mut listing: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    core::iter::from_fn(move || {
        let (header, rest) = listing.split_at_checked(ENTRY_HEADER_BYTES)?;
        let (name, rest) = rest.split_at_checked(header[5].into())?;
        listing = rest;
        Some(Entry {
            inode: u32::from_le_bytes([header[0], header[1], header[2], header[3]]),
            kind: Kind::from_raw(header[4].into())?,
            name,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> [Request; 18] {
        [
            Request::Open {
                descriptor: 15,
                flags: OpenFlags::WRITE.with(OpenFlags::CREATE),
                path_bytes: 1024,
            },
            Request::CreateExclusive { descriptor: 1, path_bytes: 2 },
            Request::Read { descriptor: 2, offset: u64::MAX, bytes: TRANSFER_BYTES_MAX },
            Request::Write { descriptor: 3, offset: 7, bytes: 8 },
            Request::Append { descriptor: 4, bytes: 9 },
            Request::Truncate { descriptor: 5, size: 10 },
            Request::Fsync { descriptor: 6 },
            Request::Rename { old_bytes: 11, new_bytes: 12 },
            Request::Unlink { path_bytes: 13 },
            Request::MakeDirectory { path_bytes: 14 },
            Request::RemoveDirectory { path_bytes: 15 },
            Request::ReadDirectory { cookie: Cookie([16, 17]), path_bytes: 18, bytes: 19 },
            Request::Stat { path_bytes: 20 },
            Request::DescriptorStat { descriptor: 7 },
            Request::FileSystemStat,
            Request::Sync,
            Request::Close { descriptor: 8 },
            Request::Unmount,
        ]
    }

    #[test]
    fn every_request_survives_its_registers() {
        for (request, label) in samples().into_iter().zip(Label::ALL) {
            assert_eq!(request.label(), label);
            assert_eq!(Request::decode(label as u32, &request.registers()), Ok(request));
        }
    }

    #[test]
    fn each_label_has_one_mark_and_fits_the_bitmap() {
        assert_eq!(IDEMPOTENT_LABELS & DEDUPLICATED_LABELS, 0);
        for label in Label::ALL {
            assert!((label as u32) < 64);
            assert_ne!((IDEMPOTENT_LABELS | DEDUPLICATED_LABELS) & 1 << label as u32, 0);
        }
        assert_ne!(DEDUPLICATED_LABELS & 1 << Label::Append as u32, 0);
        assert_ne!(IDEMPOTENT_LABELS & 1 << Label::Write as u32, 0);
    }

    #[test]
    fn hostile_registers_are_refused() {
        let all = [u64::MAX; 8];
        assert_eq!(Request::decode(0, &all), Err(Status::Malformed));
        assert_eq!(Request::decode(64, &all), Err(Status::Malformed));
        assert_eq!(Request::decode(Label::Unlink as u32, &all), Err(Status::PathTooLong));
        assert_eq!(
            Request::decode(Label::Read as u32, &[0, 0, 1 << 40, 0, 0, 0, 0, 0]),
            Err(Status::InvalidArgument)
        );
        assert_eq!(
            Request::decode(Label::Close as u32, &[16, 0, 0, 0, 0, 0, 0, 0]),
            Err(Status::BadDescriptor)
        );
        assert_eq!(OpenFlags::from_bits(9), None, "truncating needs writing");
        assert_eq!(OpenFlags::from_bits(4), None, "some access is needed");
        assert_eq!(OpenFlags::from_bits(16), None);
    }

    #[test]
    fn answers_survive_their_registers() {
        let facts = Facts {
            inode: 12,
            kind: Kind::Directory,
            size: 1 << 40,
            links: 3,
            sectors: 8,
            modified_s: 9,
            permissions: 0o755,
        };
        let listed = Answer::Listed { next: Cookie([1, 2]), bytes: 3, count: 4, end: true };
        for (label, answer) in [
            (Label::Stat, Answer::Facts(facts)),
            (Label::ReadDirectory, listed),
            (Label::Append, Answer::Moved { offset: 5, bytes: 6 }),
            (Label::Open, Answer::Opened { inode: 1, size: 2 }),
            (Label::Sync, Answer::Done),
        ] {
            assert_eq!(Answer::decode(label, &answer.registers()), Ok(answer));
        }
        assert_eq!(Answer::decode(Label::Stat, &[0; 8]), Err(Status::Malformed));
    }

    #[test]
    fn a_listing_is_read_as_written() {
        let mut buffer = [0; 32];
        let first = Entry { inode: 11, kind: Kind::Directory, name: b"lost+found" };
        let second = Entry { inode: 12, kind: Kind::File, name: b"a" };
        let one = put_entry(&mut buffer, &first).unwrap();
        let two = put_entry(&mut buffer[one..], &second).unwrap();
        assert!(put_entry(&mut buffer[one + two..], &first).is_none());
        assert!(entries(&buffer[..one + two]).eq([first, second]));
        assert!(entries(&buffer[..one + two - 1]).eq([first]), "a torn tail is no entry");
    }

    #[test]
    fn statuses_have_numbers_and_text() {
        for raw in 0..=27 {
            let status = Status::from_raw(raw).unwrap();
            assert_eq!(status as u32, raw);
            assert!(!status.text().is_empty());
        }
        assert_eq!(Status::from_raw(28), None);
    }
}
