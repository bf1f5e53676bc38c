//! Random work of several clients against a reference model, with deaths of the server and losses of power.

use std::collections::BTreeMap;

use crate::support::*;
use fs_core::Sender;
use proptest::prelude::*;
use protocols::files::{OpenFlags, Status};

/// What the card should hold: written for obviousness, not for speed.
#[derive(Clone, Default)]
struct Model {
    /// Path to file number, or `None` for a directory. The root is not in it.
    names: BTreeMap<String, Option<u32>>,
    files: BTreeMap<u32, Vec<u8>>,
    open: BTreeMap<(u8, u8), (u32, OpenFlags)>,
    next: u32,
}

type Outcome = Result<Vec<u8>, Status>;

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Model {
    fn new() -> Self {
        Self { names: BTreeMap::from([("/lost+found".into(), None)]), ..Self::default() }
    }

    fn parent_ok(&self, path: &str) -> Result<(), Status> {
        let mut prefix = String::new();
        for name in parent(path).split('/').skip(1) {
            prefix = format!("{prefix}/{name}");
            match self.names.get(&prefix) {
                None => return Err(Status::NotFound),
                Some(Some(_)) => return Err(Status::NotDirectory),
                Some(None) => {}
            }
        }
        Ok(())
    }

    fn lookup(&self, path: &str) -> Result<Option<u32>, Status> {
        self.parent_ok(path)?;
        self.names.get(path).copied().ok_or(Status::NotFound)
    }

    fn has_children(&self, path: &str) -> bool {
        self.names.keys().any(|name| parent(name) == path)
    }

    fn is_open(&self, file: u32) -> bool {
        self.open.values().any(|(open, _)| *open == file)
    }

    fn file(&self, slot: u8, descriptor: u8, access: OpenFlags) -> Result<u32, Status> {
        let (file, flags) = self.open.get(&(slot, descriptor)).ok_or(Status::BadDescriptor)?;
        if flags.contains(access) { Ok(*file) } else { Err(Status::NotPermitted) }
    }

    fn make(&mut self, path: &str) -> u32 {
        self.next += 1;
        self.names.insert(path.into(), Some(self.next));
        self.files.insert(self.next, Vec::new());
        self.next
    }

    fn write(&mut self, file: u32, offset: usize, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let contents = self.files.get_mut(&file).unwrap();
        if contents.len() < offset + data.len() {
            contents.resize(offset + data.len(), 0);
        }
        contents[offset..offset + data.len()].copy_from_slice(data);
    }

    fn open(&mut self, slot: u8, descriptor: u8, flags: OpenFlags, path: &str) -> Outcome {
        if self.open.contains_key(&(slot, descriptor)) {
            return Err(Status::DescriptorInUse);
        }
        let file = match self.lookup(path) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(Status::IsDirectory),
            Err(Status::NotFound) if flags.contains(OpenFlags::CREATE) && self.parent_ok(path).is_ok() => {
                self.make(path)
            }
            Err(status) => return Err(status),
        };
        if flags.contains(OpenFlags::TRUNCATE) {
            self.files.insert(file, Vec::new());
        }
        self.open.insert((slot, descriptor), (file, flags));
        Ok(Vec::new())
    }

    fn rename(&mut self, old: &str, new: &str) -> Outcome {
        self.parent_ok(old)?;
        self.parent_ok(new)?;
        let source = self.lookup(old)?;
        if old == "/lost+found" || new == "/lost+found" {
            return Err(Status::Busy);
        }
        if source.is_none() && parent(&format!("{new}/")).starts_with(&format!("{old}/")) {
            return Err(Status::InvalidArgument);
        }
        if old == new {
            return Ok(Vec::new());
        }
        match (source, self.names.get(new).copied()) {
            (None, Some(Some(_))) => return Err(Status::NotDirectory),
            (Some(_), Some(None)) => return Err(Status::IsDirectory),
            (None, Some(None)) if self.has_children(new) => return Err(Status::NotEmpty),
            (Some(_), Some(Some(target))) if self.is_open(target) => return Err(Status::Busy),
            (Some(_), Some(Some(target))) => {
                self.files.remove(&target);
            }
            _ => {}
        }
        let moved: Vec<_> = self
            .names
            .iter()
            .filter(|(name, _)| *name == old || name.starts_with(&format!("{old}/")))
            .map(|(name, file)| (name.clone(), *file))
            .collect();
        for (name, file) in moved {
            self.names.remove(&name);
            self.names.insert(format!("{new}{}", &name[old.len()..]), file);
        }
        Ok(Vec::new())
    }

    fn remove(&mut self, path: &str, directory: bool) -> Outcome {
        match (self.lookup(path)?, directory) {
            (None, false) => return Err(Status::IsDirectory),
            (Some(_), true) => return Err(Status::NotDirectory),
            (None, true) if path == "/lost+found" => return Err(Status::Busy),
            (None, true) if self.has_children(path) => return Err(Status::NotEmpty),
            (Some(file), false) if self.is_open(file) => return Err(Status::Busy),
            (Some(file), false) => {
                self.files.remove(&file);
            }
            (None, true) => {}
        }
        self.names.remove(path);
        Ok(Vec::new())
    }

    fn apply(&mut self, slot: u8, op: &Op) -> Outcome {
        let done = Ok(Vec::new());
        match op {
            Op::Open(descriptor, flags, path) => self.open(slot, *descriptor, *flags, path),
            Op::Create(descriptor, path) => {
                if self.open.contains_key(&(slot, *descriptor)) {
                    return Err(Status::DescriptorInUse);
                }
                match self.lookup(path) {
                    Ok(_) => return Err(Status::Exists),
                    Err(Status::NotFound) => self.parent_ok(path)?,
                    Err(status) => return Err(status),
                }
                let file = self.make(path);
                self.open.insert((slot, *descriptor), (file, RW));
                done
            }
            Op::Read(descriptor, offset, bytes) => {
                let file = self.file(slot, *descriptor, OpenFlags::READ)?;
                let contents = &self.files[&file];
                let from = contents.len().min(*offset as usize);
                let to = contents.len().min(from + bytes);
                Ok(contents[from..to].to_vec())
            }
            Op::Write(descriptor, offset, data) => {
                let file = self.file(slot, *descriptor, OpenFlags::WRITE)?;
                self.write(file, *offset as usize, data);
                done
            }
            Op::Append(descriptor, data) => {
                let file = self.file(slot, *descriptor, OpenFlags::WRITE)?;
                let end = self.files[&file].len();
                self.write(file, end, data);
                done
            }
            Op::Truncate(descriptor, size) => {
                let file = self.file(slot, *descriptor, OpenFlags::WRITE)?;
                self.files.get_mut(&file).unwrap().resize(*size as usize, 0);
                done
            }
            Op::Fsync(descriptor) => {
                self.file(slot, *descriptor, OpenFlags::default())?;
                done
            }
            Op::Mkdir(path) => {
                match self.lookup(path) {
                    Ok(_) => return Err(Status::Exists),
                    Err(Status::NotFound) => self.parent_ok(path)?,
                    Err(status) => return Err(status),
                }
                self.names.insert(path.clone(), None);
                done
            }
            Op::Rename(old, new) => self.rename(old, new),
            Op::Unlink(path) => self.remove(path, false),
            Op::Rmdir(path) => self.remove(path, true),
            Op::Close(descriptor) => {
                self.open.remove(&(slot, *descriptor));
                done
            }
            Op::Sync => done,
            _ => unreachable!("not generated"),
        }
    }

    fn tree(&self) -> Tree {
        self.names
            .iter()
            .map(|(name, file)| (name.clone(), file.map(|file| self.files[&file].clone())))
            .collect()
    }
}

fn any_path() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::sample::select(vec!["/a", "/b", "/c", "/d", "/d/a", "/d/b", "/e", "/e/a", "/d/e", "/d/e/f"]),
        1 => Just("/lost+found"),
    ]
    .prop_map(String::from)
}

fn any_op() -> impl Strategy<Value = Op> {
    let fd = 0..3_u8;
    let flags = prop::sample::select(vec![
        OpenFlags::READ,
        RW,
        CREATE,
        CREATE.with(OpenFlags::TRUNCATE),
        OpenFlags::WRITE.with(OpenFlags::CREATE),
    ]);
    let data = (any::<u32>(), 0..6000_usize).prop_map(|(seed, length)| pattern(seed, length));
    prop_oneof![
        4 => (fd.clone(), flags, any_path()).prop_map(|(d, f, p)| Op::Open(d, f, p)),
        3 => (fd.clone(), any_path()).prop_map(|(d, p)| Op::Create(d, p)),
        3 => (fd.clone(), 0..12_000_u64, 0..8000_usize).prop_map(|(d, o, n)| Op::Read(d, o, n)),
        4 => (fd.clone(), 0..12_000_u64, data.clone()).prop_map(|(d, o, v)| Op::Write(d, o, v)),
        4 => (fd.clone(), data).prop_map(|(d, v)| Op::Append(d, v)),
        2 => (fd.clone(), 0..12_000_u64).prop_map(|(d, n)| Op::Truncate(d, n)),
        1 => fd.clone().prop_map(Op::Fsync),
        4 => (any_path(), any_path()).prop_map(|(a, b)| Op::Rename(a, b)),
        3 => any_path().prop_map(Op::Unlink),
        3 => any_path().prop_map(Op::Mkdir),
        2 => any_path().prop_map(Op::Rmdir),
        5 => fd.prop_map(Op::Close),
        1 => Just(Op::Sync),
    ]
}

/// A step: who, what, and after how many events of the card or the checkpoint the server dies, if at all.
fn any_step() -> impl Strategy<Value = (u8, Op, Option<u64>)> {
    (1..4_u8, any_op(), prop::option::weighted(0.3, 0..40_u64))
}

fn compare(heard: &Heard, expected: &Outcome, op: &Op) -> Result<(), TestCaseError> {
    match (&heard.0, expected) {
        (Ok(_), Ok(data)) => prop_assert!(heard.1 == *data, "{:?}: other bytes", op),
        (reply, expected) => {
            let reply = reply.as_ref().map(|_| ()).map_err(|status| *status);
            let expected = expected.as_ref().map(|_| ()).map_err(|status| *status);
            prop_assert_eq!(reply, expected, "{:?}", op);
        }
    }
    Ok(())
}

/// Cases of each property; `PROPTEST_CASES` asks for more.
fn cases() -> u32 {
    let more = std::env::var("PROPTEST_CASES").ok();
    more.and_then(|cases| cases.parse().ok()).unwrap_or(60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_work_with_deaths(steps in prop::collection::vec(any_step(), 1..60)) {
        let mut world = World::new(image());
        let mut model = Model::new();
        for (slot, op, fuse) in &steps {
            world.board.0.borrow_mut().fuse = *fuse;
            let heard = world.request(*slot, op);
            world.board.0.borrow_mut().fuse = None;
            compare(&heard, &model.apply(*slot, op), op)?;
        }
        world.ok(9, &Op::Sync);
        prop_assert_eq!(world.tree(), model.tree());
        world.ok(9, &Op::Unmount);
        assert_clean(&world.board.card(), "after random work");
        prop_assert_eq!(debugfs_tree(&world.board.card()), model.tree());
    }

    /// After a loss of power the card holds everything acknowledged, and of the request in service all or nothing
    /// (a write in place: any mixture of its sectors).
    #[test]
    fn random_work_and_a_loss_of_power(
        steps in prop::collection::vec(any_step(), 1..40),
        last in any_step(),
        fuse in 0..40_u64,
        dice in prop::collection::vec(any::<u8>(), 64),
    ) {
        let mut world = World::new(image());
        let mut model = Model::new();
        for (slot, op, _) in &steps {
            let heard = world.request(*slot, op);
            compare(&heard, &model.apply(*slot, op), op)?;
        }
        let before = model.clone();
        world.board.0.borrow_mut().fuse = Some(fuse);
        let server = world.server.as_mut().unwrap();
        let (request, input) = last.1.parts();
        let sender = Sender { slot: last.0, incarnation: 1 };
        let call = fs_core::Call { id: 1 << 40, attempt: 0, sender };
        let mut output = vec![0; request.output_length()];
        let acknowledged = server.handle(&call, &request, input, &mut output).is_ok();
        let _ = model.apply(last.0, &last.1);
        world.server = None;
        let mut thrown = dice.iter().cycle();
        world.board.0.borrow_mut().lose_power(|n| usize::from(*thrown.next().unwrap()) % n);
        assert_clean(&world.board.card(), "after the loss of power");
        world.ok(9, &Op::Sync);
        let tree = world.tree();
        let whole = tree == model.tree() || (!acknowledged && tree == before.tree());
        prop_assert!(whole || (!acknowledged && is_mixture(&tree, &before.tree(), &model.tree())), "{:?}", last);
        world.ok(9, &Op::Unmount);
        assert_clean(&world.board.card(), "after the recovery");
    }
}

/// Whether each byte of `tree` is the one before or the one after, with sizes and names all before or all after.
fn is_mixture(tree: &Tree, before: &Tree, after: &Tree) -> bool {
    tree.len() == before.len()
        && tree.iter().all(|(name, contents)| {
            let (Some(old), Some(new)) = (before.get(name), after.get(name)) else {
                return false;
            };
            match (contents, old, new) {
                (Some(now), Some(old), Some(new)) => {
                    (now.len() == old.len() || now.len() == new.len())
                        && now
                            .iter()
                            .enumerate()
                            .all(|(at, byte)| old.get(at) == Some(byte) || new.get(at) == Some(byte))
                }
                _ => contents == old,
            }
        })
}

fn image() -> &'static [u8] {
    static IMAGE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    IMAGE.get_or_init(|| mkfs(4096, &[]))
}

/// A loss of power while a file is cut: the old bytes, or the new size. Whatever is left on the card behind the end never
/// comes to light when the file grows over it.
#[test]
fn a_cut_is_whole_and_what_was_cut_off_stays_away() {
    let (old, size) = (pattern(7, 9000), 4097);
    for (fuse, newest) in (0..40).flat_map(|fuse| [(fuse, false), (fuse, true)]) {
        let mut world = World::new(image());
        world.ok(1, &Op::Create(0, "/a".into()));
        world.ok(1, &Op::Write(0, 0, old.clone()));
        world.board.0.borrow_mut().fuse = Some(fuse);
        let sender = Sender { slot: 1, incarnation: 1 };
        let call = fs_core::Call { id: 1 << 40, attempt: 0, sender };
        let cutting = Op::Truncate(0, size);
        let (request, input) = cutting.parts();
        let acknowledged = world.server.as_mut().unwrap().handle(&call, &request, input, &mut []).is_ok();
        world.server = None;
        world.board.0.borrow_mut().lose_power(|n| if newest { n - 1 } else { 0 });
        assert_clean(&world.board.card(), "after the loss of power");
        let left = world.contents("/a");
        let cut = left == old[..size as usize];
        assert!(
            cut || (!acknowledged && left == old),
            "power lost after {fuse} events, {newest}: a torn file"
        );
        if cut {
            world.ok(2, &Op::Open(0, RW, "/a".into()));
            world.ok(2, &Op::Write(0, 5000, vec![1; 10]));
            let grown = world.contents("/a");
            assert!(
                grown[size as usize..5000].iter().all(|byte| *byte == 0),
                "power lost after {fuse} events"
            );
        }
        world.ok(9, &Op::Unmount);
        assert_clean(&world.board.card(), "after the recovery");
    }
}

/// A device that forgets what it flushed must be found out: otherwise the test above proves nothing.
#[test]
fn a_lying_flush_is_found_out() {
    let mut bad = 0;
    for round in 0..40_u32 {
        let mut world = World::new(image());
        world.board.0.borrow_mut().lying_flush = true;
        for number in 0..6 {
            world.ok(1, &Op::Create(0, format!("/f{number}")));
            world.ok(1, &Op::Append(0, pattern(round + number, 3000)));
            world.ok(1, &Op::Close(0));
        }
        let expected = world.tree();
        world.server = None;
        let mut dice = pattern(round, 4096).into_iter().cycle();
        world.board.0.borrow_mut().lose_power(|n| usize::from(dice.next().unwrap()) % n);
        let after = world.start().ok().map(|server| {
            world.server = Some(server);
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| world.tree())).ok()
        });
        bad += u32::from(after.flatten() != Some(expected));
    }
    println!("{bad} of 40 cards bad");
    assert!(bad > 20);
}

#[test]
fn the_model_itself_is_sane() {
    let mut model = Model::new();
    assert_eq!(model.apply(1, &Op::Mkdir("/d".into())), Ok(Vec::new()));
    assert_eq!(model.apply(1, &Op::Create(0, "/d/a".into())), Ok(Vec::new()));
    assert_eq!(model.apply(1, &Op::Rename("/d".into(), "/d/x".into())), Err(Status::InvalidArgument));
    assert_eq!(model.apply(1, &Op::Unlink("/d/a".into())), Err(Status::Busy));
}
