//! A board for the host: an SD card in memory and a checkpoint, both of which outlive the server, and a fuse
//! that cuts the power of either at any sector, flush or commit. The judges are e2fsprogs and the card's bytes.
#![allow(dead_code, reason = "each test binary uses its own part")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fs_core::{
    BlockDevice, Call, Checkpoint, CheckpointError, DeviceError, Fatal, FileServer, MountError, Reply,
    SECTOR_BYTES, Sender,
};
use protocols::files::{Answer, Cookie, Kind, OpenFlags, Request, Status, entries};

pub const FEATURES: &str = "none,has_journal,ext_attr,filetype,extent,flex_bg,64bit,sparse_super,large_file,huge_file,dir_nlink,extra_isize,metadata_csum";

pub fn noon() -> Duration {
    Duration::from_hours(500_000)
}

/// A file that goes away with the value.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("fs-core-{}-{number}", std::process::id());
        let shm = Path::new("/dev/shm");
        let root = if shm.is_dir() { shm.to_path_buf() } else { std::env::temp_dir() };
        Self(root.join(name))
    }

    pub fn with(bytes: &[u8]) -> Self {
        let scratch = Self::new();
        fs::write(&scratch.0, bytes).unwrap();
        scratch
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The image that `mkfs.ext4` makes; the same bytes every time.
pub fn mkfs(kib: u32, more: &[&str]) -> Vec<u8> {
    mkfs_over(kib, more, 0)
}

/// The same on a card that is full of this byte.
pub fn mkfs_over(kib: u32, more: &[&str], byte: u8) -> Vec<u8> {
    let file = Scratch::with(&vec![byte; kib as usize * 1024]);
    let options = [
        "-q",
        "-F",
        "-b",
        "1024",
        "-I",
        "256",
        "-J",
        "size=1",
        "-m",
        "0",
        "-O",
        FEATURES,
        "-U",
        "00112233-4455-6677-8899-aabbccddeeff",
        "-E",
        "lazy_itable_init=0,lazy_journal_init=0,hash_seed=00112233-4455-6677-8899-aabbccddeeff",
    ];
    let status = Command::new("mkfs.ext4")
        .args(options)
        .args(more)
        .arg(&file.0)
        .arg(kib.to_string())
        .env("E2FSPROGS_FAKE_TIME", "1700000000")
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .stdout(Stdio::null())
        .status()
        .expect("mkfs.ext4 runs");
    assert!(status.success());
    fs::read(&file.0).unwrap()
}

/// Whether a write was cut between the two sectors of the superblock, so that only its checksum is wrong.
/// e2fsck then wants a backup superblock, which a card of one block group has not.
pub fn superblock_is_torn(image: &[u8]) -> bool {
    image[2044..2048] != superblock_checksum(image)
}

fn superblock_checksum(image: &[u8]) -> [u8; 4] {
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);
    (!crc.checksum(&image[1024..2044])).to_le_bytes()
}

/// Replays the journal with e2fsck's own code and checks everything; panics with its words otherwise. The checksum of
/// a torn superblock is mended first, as the next mount does.
pub fn assert_clean(image: &[u8], context: &str) {
    let mut image = image.to_vec();
    let checksum = superblock_checksum(&image);
    image[2044..2048].copy_from_slice(&checksum);
    let file = Scratch::with(&image);
    let replay =
        Command::new("e2fsck").args(["-y", "-E", "journal_only"]).arg(&file.0).output().expect("e2fsck runs");
    let code = replay.status.code();
    assert!(
        matches!(code, Some(0 | 1)),
        "{context}: replay {code:?}: {}",
        String::from_utf8_lossy(&replay.stdout)
    );
    let check = Command::new("e2fsck").arg("-fn").arg(&file.0).output().expect("e2fsck runs");
    assert_eq!(check.status.code(), Some(0), "{context}: {}", String::from_utf8_lossy(&check.stdout));
}

/// Paths and contents (`None`: directory) as debugfs sees them.
pub fn debugfs_tree(image: &[u8]) -> Tree {
    let file = Scratch::with(image);
    let out = Scratch::new();
    fs::create_dir(&out.0).unwrap();
    let status = Command::new("debugfs")
        .arg("-R")
        .arg(format!("rdump / {}", out.0.display()))
        .arg(&file.0)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("debugfs runs");
    assert!(status.success());
    let mut tree = Tree::new();
    collect(&out.0, &out.0, &mut tree);
    tree
}

fn collect(root: &Path, folder: &Path, tree: &mut Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        if path.is_dir() {
            tree.insert(name, None);
            collect(root, &path, tree);
        } else {
            tree.insert(name, Some(fs::read(&path).unwrap()));
        }
    }
}

pub type Tree = BTreeMap<String, Option<Vec<u8>>>;

/// What outlives the server.
#[derive(Clone, Default)]
pub struct Board {
    /// What the device has taken.
    pub card: Vec<u8>,
    /// Sectors taken since the last flush, oldest first, with what they replaced.
    unflushed: Vec<(usize, [u8; SECTOR_BYTES])>,
    pub checkpoint: Option<Vec<u8>>,
    /// Sectors, flushes and commits still allowed; `None`: any number.
    pub fuse: Option<u64>,
    /// A device error instead of silence when the fuse is gone.
    pub error: Option<DeviceError>,
    pub sectors_written: u64,
    pub events: u64,
    pub commits: u64,
    pub write_protected: bool,
    /// The device says that it flushed and did not.
    pub lying_flush: bool,
}

impl Board {
    fn spend(&mut self) -> Result<(), DeviceError> {
        match &mut self.fuse {
            Some(0) => return Err(self.error.unwrap_or(DeviceError::Failed)),
            Some(left) => *left -= 1,
            None => {}
        }
        self.events += 1;
        Ok(())
    }

    /// Gives back the memory of what a flush would make certain anyway.
    pub fn forget_undo(&mut self) {
        self.unflushed = Vec::new();
    }

    /// Power comes back after a loss. Each sector that was written since the last flush holds one of its
    /// versions since then; `choose(n)` picks one of n, 0 being the oldest. The checkpoint is gone.
    pub fn lose_power(&mut self, mut choose: impl FnMut(usize) -> usize) {
        let mut versions: BTreeMap<usize, Vec<[u8; SECTOR_BYTES]>> = BTreeMap::new();
        for (sector, old) in self.unflushed.drain(..) {
            versions.entry(sector).or_default().push(old);
        }
        for (sector, mut choices) in versions {
            let place = &mut self.card[sector * SECTOR_BYTES..][..SECTOR_BYTES];
            choices.push((&*place).try_into().unwrap());
            place.copy_from_slice(&choices[choose(choices.len())]);
        }
        self.checkpoint = None;
        self.fuse = None;
    }
}

#[derive(Clone)]
pub struct Shared(pub Rc<RefCell<Board>>);

impl Shared {
    pub fn new(card: &[u8]) -> Self {
        Self(Rc::new(RefCell::new(Board { card: card.to_vec(), ..Board::default() })))
    }

    pub fn card(&self) -> Vec<u8> {
        self.0.borrow().card.clone()
    }
}

impl BlockDevice for Shared {
    fn sectors(&self) -> u64 {
        (self.0.borrow().card.len() / SECTOR_BYTES) as u64
    }

    fn read(&mut self, first: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let board = self.0.borrow();
        if board.fuse == Some(0) {
            return Err(board.error.unwrap_or(DeviceError::Failed));
        }
        let at = first as usize * SECTOR_BYTES;
        buffer.copy_from_slice(&board.card[at..at + buffer.len()]);
        Ok(())
    }

    fn write(&mut self, first: u64, data: &[u8]) -> Result<(), DeviceError> {
        let mut board = self.0.borrow_mut();
        if board.write_protected {
            return Err(DeviceError::WriteProtected);
        }
        assert_eq!(data.len() % SECTOR_BYTES, 0);
        for (index, sector) in data.chunks(SECTOR_BYTES).enumerate() {
            board.spend()?;
            let number = first as usize + index;
            let at = number * SECTOR_BYTES;
            let old = board.card[at..at + SECTOR_BYTES].try_into().unwrap();
            board.unflushed.push((number, old));
            board.card[at..at + SECTOR_BYTES].copy_from_slice(sector);
            board.sectors_written += 1;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        let mut board = self.0.borrow_mut();
        board.spend()?;
        if !board.lying_flush {
            board.unflushed.clear();
        }
        Ok(())
    }
}

impl Checkpoint for Shared {
    fn commit(&mut self, bytes: &[u8]) -> Result<(), CheckpointError> {
        let mut board = self.0.borrow_mut();
        board.spend().map_err(|_| CheckpointError)?;
        board.commits += 1;
        board.checkpoint = Some(bytes.to_vec());
        Ok(())
    }

    fn load(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let board = self.0.borrow();
        let bytes = board.checkpoint.as_ref()?;
        buffer[..bytes.len()].copy_from_slice(bytes);
        Some(bytes.len())
    }
}

/// A request of a client, with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    Open(u8, OpenFlags, String),
    Create(u8, String),
    Read(u8, u64, usize),
    Write(u8, u64, Vec<u8>),
    Append(u8, Vec<u8>),
    Truncate(u8, u64),
    Fsync(u8),
    Rename(String, String),
    Unlink(String),
    Mkdir(String),
    Rmdir(String),
    List(String),
    ListFrom(String, Cookie, usize),
    Stat(String),
    DescriptorStat(u8),
    Space,
    Sync,
    Close(u8),
    Unmount,
}

impl Op {
    pub fn parts(&self) -> (Request, [&[u8]; 2]) {
        match self {
            Self::Open(descriptor, flags, path) => (
                Request::Open { descriptor: *descriptor, flags: *flags, path_bytes: path.len() },
                [path.as_bytes(), &[]],
            ),
            Self::Create(descriptor, path) => (
                Request::CreateExclusive { descriptor: *descriptor, path_bytes: path.len() },
                [path.as_bytes(), &[]],
            ),
            Self::Read(descriptor, offset, bytes) => {
                (Request::Read { descriptor: *descriptor, offset: *offset, bytes: *bytes }, [&[], &[]])
            }
            Self::Write(descriptor, offset, data) => {
                (Request::Write { descriptor: *descriptor, offset: *offset, bytes: data.len() }, [data, &[]])
            }
            Self::Append(descriptor, data) => {
                (Request::Append { descriptor: *descriptor, bytes: data.len() }, [data, &[]])
            }
            Self::Truncate(descriptor, size) => {
                (Request::Truncate { descriptor: *descriptor, size: *size }, [&[], &[]])
            }
            Self::Fsync(descriptor) => (Request::Fsync { descriptor: *descriptor }, [&[], &[]]),
            Self::Rename(old, new) => (
                Request::Rename { old_bytes: old.len(), new_bytes: new.len() },
                [old.as_bytes(), new.as_bytes()],
            ),
            Self::List(path) => list(path, Cookie::START, 4096),
            Self::ListFrom(path, cookie, bytes) => list(path, *cookie, *bytes),
            Self::Unlink(path) | Self::Mkdir(path) | Self::Rmdir(path) | Self::Stat(path) => {
                let path_bytes = path.len();
                let request = match self {
                    Self::Unlink(_) => Request::Unlink { path_bytes },
                    Self::Mkdir(_) => Request::MakeDirectory { path_bytes },
                    Self::Rmdir(_) => Request::RemoveDirectory { path_bytes },
                    _ => Request::Stat { path_bytes },
                };
                (request, [path.as_bytes(), &[]])
            }
            Self::DescriptorStat(descriptor) => {
                (Request::DescriptorStat { descriptor: *descriptor }, [&[], &[]])
            }
            Self::Space => (Request::FileSystemStat, [&[], &[]]),
            Self::Sync => (Request::Sync, [&[], &[]]),
            Self::Close(descriptor) => (Request::Close { descriptor: *descriptor }, [&[], &[]]),
            Self::Unmount => (Request::Unmount, [&[], &[]]),
        }
    }
}

fn list(path: &str, cookie: Cookie, bytes: usize) -> (Request, [&[u8]; 2]) {
    let request = Request::ReadDirectory { cookie, path_bytes: path.len(), bytes };
    (request, [path.as_bytes(), &[]])
}

/// A reply, and the output that came with it.
pub type Heard = (Reply, Vec<u8>);

pub type Server = FileServer<Shared, Shared>;

/// The kernel's part: starts the server, delivers, and delivers again after a death.
pub struct World {
    pub board: Shared,
    pub server: Option<Server>,
    pub deaths: u32,
    next_call: u64,
    /// Called at each death, with the board as the death left it.
    pub at_death: Box<dyn FnMut(&Shared)>,
    /// The fuse that the next death leaves behind.
    pub second_fuse: Option<u64>,
}

impl World {
    pub fn new(card: &[u8]) -> Self {
        Self {
            board: Shared::new(card),
            server: None,
            deaths: 0,
            next_call: 1,
            at_death: Box::new(|_| {}),
            second_fuse: None,
        }
    }

    pub fn start(&self) -> Result<Server, MountError> {
        FileServer::mount(self.board.clone(), self.board.clone(), noon)
    }

    fn die(&mut self) {
        self.server = None;
        self.deaths += 1;
        assert!(self.deaths < 1000, "a restart loop");
        (self.at_death)(&self.board);
        self.board.0.borrow_mut().fuse = self.second_fuse.take();
    }

    pub fn request(&mut self, slot: u8, op: &Op) -> Heard {
        self.request_from(Sender { slot, incarnation: 1 }, op)
    }

    pub fn request_from(&mut self, sender: Sender, op: &Op) -> Heard {
        let id = u64::from(sender.slot) << 56 | self.next_call;
        self.next_call += 1;
        let (request, input) = op.parts();
        let raw = Request::decode(request.label() as u32, &request.registers());
        let request = match raw {
            Ok(request) => request,
            Err(status) => return (Err(status), Vec::new()),
        };
        let mut output = vec![0; request.output_length()];
        let mut attempt = 0;
        loop {
            if self.server.is_none() {
                match self.start() {
                    Ok(server) => self.server = Some(server),
                    Err(error) => {
                        assert!(error.is_transient(), "mount: {error}");
                        self.die();
                        continue;
                    }
                }
            }
            let call = Call { id, attempt, sender };
            let server = self.server.as_mut().unwrap();
            match server.handle(&call, &request, input, &mut output) {
                Ok(reply) => {
                    assert_eq!(server.device_counters().contradictions, 0, "{op:?}");
                    let used = reply.map_or(0, |answer| answer.output_bytes(request.label()));
                    output.truncate(used);
                    return (reply, output);
                }
                Err(Fatal::FileSystem(place) | Fatal::Contradiction(place)) => panic!("{op:?}: {place}"),
                Err(_) => {
                    self.die();
                    attempt += 1;
                }
            }
        }
    }

    pub fn ok(&mut self, slot: u8, op: &Op) -> Answer {
        let (reply, _) = self.request(slot, op);
        reply.unwrap_or_else(|status| panic!("{op:?}: {status:?}"))
    }

    pub fn refused(&mut self, slot: u8, op: &Op) -> Status {
        let (reply, _) = self.request(slot, op);
        match reply {
            Ok(answer) => panic!("{op:?}: {answer:?}"),
            Err(status) => status,
        }
    }

    /// The tree as the server shows it, through listings, opens and reads.
    pub fn tree(&mut self) -> Tree {
        let mut tree = Tree::new();
        self.walk("/", &mut tree);
        tree
    }

    fn walk(&mut self, folder: &str, tree: &mut Tree) {
        let mut names = Vec::new();
        let mut cookie = Cookie::START;
        loop {
            let op = Op::ListFrom(folder.into(), cookie, 512);
            let (reply, output) = self.request_from(SURVEYOR, &op);
            let Ok(Answer::Listed { next, end, .. }) = reply else {
                panic!("{folder}: {reply:?}");
            };
            for entry in entries(&output) {
                names.push((String::from_utf8(entry.name.to_vec()).unwrap(), entry.kind));
            }
            cookie = next;
            if end {
                break;
            }
        }
        for (name, kind) in names {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            if kind == Kind::Directory {
                assert!(tree.insert(path.clone(), None).is_none(), "{path} twice");
                self.walk(&path, tree);
            } else {
                let contents = self.contents(&path);
                assert!(tree.insert(path.clone(), Some(contents)).is_none(), "{path} twice");
            }
        }
    }

    pub fn contents(&mut self, path: &str) -> Vec<u8> {
        let (reply, _) = self.request_from(SURVEYOR, &Op::Open(0, OpenFlags::READ, path.into()));
        let Ok(Answer::Opened { size, .. }) = reply else {
            panic!("{path}: {reply:?}");
        };
        let mut contents = Vec::new();
        loop {
            let op = Op::Read(0, contents.len() as u64, 32 * 1024);
            let (reply, data) = self.request_from(SURVEYOR, &op);
            reply.unwrap();
            if data.is_empty() {
                break;
            }
            contents.extend(data);
        }
        assert_eq!(contents.len() as u64, size);
        self.request_from(SURVEYOR, &Op::Close(0)).0.unwrap();
        contents
    }
}

/// A client of the tests' own.
pub const SURVEYOR: Sender = Sender { slot: 250, incarnation: 1 };

pub const RW: OpenFlags = OpenFlags::READ.with(OpenFlags::WRITE);
pub const CREATE: OpenFlags = RW.with(OpenFlags::CREATE);

/// Bytes that tell where they belong.
pub fn pattern(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as u8
        })
        .collect()
}
