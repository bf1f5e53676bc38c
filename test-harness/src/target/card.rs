//! Card images: making one that a file server can mount, with or without a table of checksums at its end.

use super::Lock;
use anyhow::{Context, Result, anyhow, bail};
use integrity_core::Geometry;
use protocols::block::{BLOCK_SIZE, Device, Error, Info};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Size of a new card in bytes. The emulator takes powers of two only.
pub const CARD_BYTES: u64 = 64 << 20;

/// Options of `mkfs.ext4` for a card: the features that the file server can write, small blocks and a small journal, and
/// identifiers that are always the same, so that the same seed gives the same card.
const FORMAT: [&str; 18] = [
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
    "-L",
    "samsara",
    "-U",
    "5a3a5a7a-0000-4000-8000-000000000001",
    "-O",
    "none,has_journal,ext_attr,dir_index,filetype,extent,flex_bg,64bit,sparse_super,large_file,huge_file,dir_nlink,\
     extra_isize,metadata_csum",
    "-E",
    "hash_seed=5a3a5a7a-0000-4000-8000-000000000002,lazy_itable_init=0,lazy_journal_init=0",
];

/// Makes an image of `bytes` bytes at `path`, sparse, with an empty ext4 file system. An existing file is replaced, unless a run
/// has it as its card.
///
/// # Errors
/// Fails when the size is no power of two, the card is in use, or `mkfs.ext4` is missing or fails; says what it said.
pub fn make(path: &Path, bytes: u64) -> Result<()> {
    make_with(path, bytes, bytes)
}

/// As [`make`], with a file system that leaves the end of the card to a table of checksums, which is made, too
/// (`integrity-server`). The tools of the file system see it where it always is, and need not know of the table.
///
/// # Errors
/// As [`make`]; the table cannot be written.
pub fn make_checked(path: &Path, bytes: u64) -> Result<()> {
    let geometry = Geometry::of(bytes / BLOCK_SIZE as u64).context("too small for a table of checksums")?;
    make_with(path, bytes, geometry.data * BLOCK_SIZE as u64)?;
    check_again(path)
}

/// Makes the table of checksums of a card for what is on it now, whatever the table said before: after a change by hand.
///
/// # Errors
/// The card cannot be read or written.
pub fn check_again(path: &Path) -> Result<()> {
    let formatted = integrity_core::format(&mut Image::open(path)?);
    formatted.map(drop).map_err(|error| anyhow!("making the table of {}: {error:?}", path.display()))
}

/// The blocks of a card with a table that are not what the table says, by number.
///
/// # Errors
/// The card cannot be read, or has no table.
pub fn scrub(path: &Path) -> Result<Vec<u64>> {
    let scrubbed = integrity_core::scrub(&mut Image::open(path)?);
    scrubbed.map_err(|error| anyhow!("looking through {}: {error:?}", path.display()))
}

/// A card image as a device of blocks.
struct Image {
    file: File,
    blocks: u64,
}

impl Image {
    fn open(path: &Path) -> Result<Self> {
        let file = File::options().read(true).write(true).open(path);
        let file = file.with_context(|| format!("opening {}", path.display()))?;
        let blocks = file.metadata()?.len() / BLOCK_SIZE as u64;
        Ok(Self { file, blocks })
    }
}

impl Device for Image {
    fn info(&mut self) -> Result<Info, Error> {
        Ok(Info { blocks: self.blocks, write_protected: false, identity: 0 })
    }

    fn read(&mut self, lba: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.file.read_exact_at(buffer, lba * BLOCK_SIZE as u64).map_err(|_| Error::Device)
    }

    fn write(&mut self, lba: u64, data: &[u8]) -> Result<(), Error> {
        self.file.write_all_at(data, lba * BLOCK_SIZE as u64).map_err(|_| Error::Device)
    }

    fn flush(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Makes an image of `bytes` bytes, of which the file system has the first `used` ones.
fn make_with(path: &Path, bytes: u64, used: u64) -> Result<()> {
    if !bytes.is_power_of_two() {
        bail!("a card of {bytes} bytes: the emulator takes powers of two only");
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    }
    if path.exists() {
        drop(Lock::card(path)?);
    }
    // A new file, not the old one cut to nothing: what reads the old one goes on reading the old one.
    let _ = fs::remove_file(path);
    let file = File::create(path).with_context(|| format!("making {}", path.display()))?;
    file.set_len(bytes).with_context(|| format!("sizing {}", path.display()))?;
    let mut command = Command::new(tool("mkfs.ext4"));
    // mke2fs takes the time from here; without it two cards differ.
    command
        .args(FORMAT)
        .arg(path)
        .arg(format!("{}k", used / 1024))
        .env("E2FSPROGS_FAKE_TIME", "1700000000")
        .env("SOURCE_DATE_EPOCH", "1700000000");
    let output = command.output().context("running mkfs.ext4 (Debian: e2fsprogs)")?;
    if !output.status.success() {
        bail!("mkfs.ext4 failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Puts files into `/bin` of the card's file system, so that those of `folder` are there as they are; others stay. A journal that
/// a power cut left is replayed first. Nothing else is written if all is there already.
///
/// # Errors
/// A tool of e2fsprogs is missing or fails, or the card's file system is damaged; says what it said.
pub fn install(path: &Path, folder: &Path) -> Result<()> {
    // First: debugfs does not look into the journal, where the removal of a program may still be.
    let checked = Command::new(tool("e2fsck")).args(["-p"]).arg(path).output().context("running e2fsck")?;
    if checked.status.code().is_none_or(|code| code > 1) {
        bail!(
            "{} cannot take programs: {}; repair it with e2fsck, or remove it and the next run makes a new one",
            path.display(),
            String::from_utf8_lossy(&checked.stdout).trim()
        );
    }
    let mut commands = String::new();
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry?;
        let (file, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if !has(path, &name, &file)? {
            commands += &format!("rm /bin/{name}\nwrite {} /bin/{name}\n", file.display());
        }
    }
    if commands.is_empty() {
        return Ok(());
    }
    let script = tempfile::NamedTempFile::new().context("making a file")?;
    // debugfs that makes a folder which is there already spoils the card: it leaves an inode without a name behind, whose
    // block the next file gets, too.
    let mkdir = if stat(path, "/bin")?.contains("Type: directory") { "" } else { "mkdir /bin\n" };
    fs::write(script.path(), format!("{mkdir}{commands}"))?;
    let script = script.path().display();
    let output = Command::new(tool("debugfs"))
        .args(["-w", "-f", &script.to_string()])
        .arg(path)
        .output()
        .context("running debugfs (Debian: e2fsprogs)")?;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !has(path, &name, &entry.path())? {
            bail!(
                "/bin/{name} could not be put on {}: {}",
                path.display(),
                String::from_utf8_lossy(&output.stderr).trim()
            );
        }
    }
    Ok(())
}

/// Whether `/bin/<name>` is there with the contents of `file`.
fn has(path: &Path, name: &str, file: &Path) -> Result<bool> {
    let file_on_card = format!("/bin/{name}");
    let is_there = stat(path, &file_on_card)?.contains("Type: regular");
    Ok(is_there && ask(path, &format!("cat {file_on_card}"))? == fs::read(file)?)
}

/// What debugfs says of a file or a folder; nothing if there is none.
fn stat(path: &Path, file: &str) -> Result<String> {
    Ok(String::from_utf8_lossy(&ask(path, &format!("stat {file}"))?).into_owned())
}

/// What debugfs answers to one command.
fn ask(path: &Path, command: &str) -> Result<Vec<u8>> {
    let output = Command::new(tool("debugfs")).args(["-R", command]).arg(path).output();
    Ok(output.context("running debugfs (Debian: e2fsprogs)")?.stdout)
}

/// A tool of e2fsprogs, also where an ordinary user's path does not lead.
pub fn tool(name: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/sbin", "/usr/local/sbin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| PathBuf::from(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cards_are_the_same_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("first"), folder.path().join("second"));
        make(&first, CARD_BYTES).unwrap();
        make(&second, CARD_BYTES).unwrap();
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
        assert!(make(&first, CARD_BYTES + 512).is_err());
    }

    #[test]
    fn a_table_at_the_end_is_no_business_of_the_file_system() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card");
        make_checked(&card, CARD_BYTES).unwrap();
        assert_eq!(scrub(&card).unwrap(), Vec::<u64>::new());
        let check = || Command::new(tool("e2fsck")).args(["-fn"]).arg(&card).output().unwrap();
        assert!(check().status.success(), "{:?}", check());
        let image = File::options().write(true).open(&card).unwrap();
        // In a block that no file has.
        image.write_all_at(b"rot", 20_000_000).unwrap();
        assert!(check().status.success());
        assert_eq!(scrub(&card).unwrap(), [20_000_000 / 512]);
        check_again(&card).unwrap();
        assert_eq!(scrub(&card).unwrap(), Vec::<u64>::new());
        make(&card, CARD_BYTES).unwrap();
        assert!(scrub(&card).is_err(), "no table");
    }

    #[test]
    fn a_program_that_has_changed_is_replaced_and_the_card_stays_whole() {
        let folder = tempfile::tempdir().unwrap();
        let (card, bin) = (folder.path().join("card"), folder.path().join("bin"));
        make(&card, CARD_BYTES).unwrap();
        fs::create_dir(&bin).unwrap();
        // Each is larger, and the only one: so it gets the blocks behind those of the one before.
        for version in 1..=3_u8 {
            fs::write(bin.join("hello"), vec![version; usize::from(version) * 40_000]).unwrap();
            install(&card, &bin).unwrap();
            let checked = Command::new(tool("e2fsck")).args(["-fn"]).arg(&card).output().unwrap();
            assert!(checked.status.success(), "{version}: {}", String::from_utf8_lossy(&checked.stdout));
        }
    }

    fn debugfs(card: &Path, commands: &str) {
        let script = tempfile::NamedTempFile::new().unwrap();
        fs::write(script.path(), commands).unwrap();
        let script = script.path().display().to_string();
        let output = Command::new(tool("debugfs")).args(["-w", "-f", &script]).arg(card).output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    /// Does `commands` to the card, so that all of it is in the journal and nothing in its place.
    fn in_journal(card: &Path, commands: &str) {
        const BLOCK: usize = 1024;
        let done = card.with_extension("done");
        fs::copy(card, &done).unwrap();
        debugfs(&done, commands);
        let (before, after) = (fs::read(card).unwrap(), fs::read(&done).unwrap());
        let (mut numbers, mut contents) = (Vec::new(), Vec::new());
        for (number, (old, new)) in before.chunks(BLOCK).zip(after.chunks(BLOCK)).enumerate() {
            if old != new {
                numbers.push(number.to_string());
                contents.extend_from_slice(new);
            }
        }
        let blocks = tempfile::NamedTempFile::new().unwrap();
        fs::write(blocks.path(), contents).unwrap();
        debugfs(card, &format!("jo\njw -b {} {}\njc\n", numbers.join(","), blocks.path().display()));
    }

    #[test]
    fn a_program_whose_removal_is_in_the_journal_is_put_back() {
        let scene = tempfile::tempdir().unwrap();
        let (card, bin) = (scene.path().join("card.img"), scene.path().join("bin"));
        let program = bin.join("program");
        fs::create_dir(&bin).unwrap();
        fs::write(&program, "a program").unwrap();
        make(&card, 8 << 20).unwrap();
        install(&card, &bin).unwrap();
        in_journal(&card, "rm /bin/program\n");
        assert!(has(&card, "program", &program).unwrap(), "the removal is in the journal only");
        install(&card, &bin).unwrap();
        // What the file server sees: it replays the journal.
        let replay = Command::new(tool("e2fsck")).arg("-p").arg(&card).output().unwrap();
        assert!(replay.status.success(), "{replay:?}");
        assert!(has(&card, "program", &program).unwrap());
    }

    #[test]
    fn a_card_in_use_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let card = folder.path().join("card.img");
        fs::write(&card, "somebody's").unwrap();
        let lock = Lock::card(&card).unwrap();
        assert!(make(&card, CARD_BYTES).unwrap_err().to_string().contains("in use"));
        assert_eq!(fs::read(&card).unwrap(), b"somebody's");
        drop(lock);
        make(&card, CARD_BYTES).unwrap();
    }
}
