//! On a copy of the files that the command reads: what it makes is whole, and removing it leaves the tree as it was.

use super::*;
use std::collections::BTreeMap;

/// A copy of what the command touches, removed at the end.
struct Copy(PathBuf);

impl Copy {
    fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("samsara-new-{name}-{}", std::process::id()));
        let copy = Self(root);
        let origin = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut files =
            vec![WORKSPACE.to_owned(), SERVICES.into(), SHELL.into(), MANIFEST.into(), "Cargo.lock".into()];
        for kind in Kind::ALL {
            files.extend(FILES.map(|file| format!("drivers/template-{}/{file}", kind.word())));
        }
        files.extend(boards(origin).iter().map(|board| format!("bsp/{board}/board.toml")));
        for file in files {
            let target = copy.0.join(&file);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(origin.join(&file), target).unwrap();
        }
        copy.remove_made(origin);
        copy
    }

    /// Takes out the drivers that somebody has made in the tree: they own the device that the tests give away.
    fn remove_made(&self, origin: &Path) {
        for entry in fs::read_dir(origin.join("drivers")).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let file = format!("drivers/{name}/Cargo.toml");
            let text = fs::read_to_string(origin.join(&file)).unwrap_or_default();
            if text.contains("[package.metadata.samsara]") && !name.starts_with("template") {
                fs::create_dir_all(self.0.join("drivers").join(&name)).unwrap();
                fs::write(self.0.join(&file), text).unwrap();
                remove(&self.0, &name, true).unwrap();
            }
        }
    }

    /// Every file outside `out` and its text.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        fn walk(folder: &Path, files: &mut BTreeMap<PathBuf, String>) {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    if !path.ends_with("out") {
                        walk(&path, files);
                    }
                } else {
                    let text = fs::read_to_string(&path).unwrap();
                    files.insert(path, text);
                }
            }
        }
        let mut files = BTreeMap::new();
        walk(&self.0, &mut files);
        files
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn driver(name: &str, kind: Kind) -> Driver<'_> {
    Driver { name, kind, device: DEVICE }
}

#[test]
fn a_driver_of_each_kind_is_made_and_removed_without_a_trace() {
    for kind in Kind::ALL {
        let copy = Copy::new(kind.word());
        let before = copy.files();
        make(&copy.0, &driver("my-clock", kind)).unwrap();
        let made = copy.files();
        assert_eq!(made.len(), before.len() + FILES.len());
        let text = |file: &str| read(&copy.0, file).unwrap();
        assert!(text("drivers/my-clock/src/main.rs").contains("use my_clock_driver::Device;"));
        assert!(text(MANIFEST).contains("[component.my-clock]\nimage = \"my-clock\"\n"));
        assert!(text(MANIFEST).contains(", my-clock = { deadline_ms = 10000 } }\n"));
        assert!(FILES.iter().all(|file| !text(&format!("drivers/my-clock/{file}")).contains("template-")));
        let place = remove(&copy.0, "my-clock", false).unwrap();
        assert_eq!(copy.files(), before);
        assert!(place.join("src/lib.rs").exists());
    }
}

#[test]
fn a_device_that_is_taken_or_absent_changes_nothing() {
    let copy = Copy::new("taken");
    make(&copy.0, &driver("first", Kind::Char)).unwrap();
    let before = copy.files();
    let text = format!("{:#}", make(&copy.0, &driver("second", Kind::Bus)).unwrap_err());
    assert!(text.contains("--device") && text.contains("belongs to \"first\""), "{text}");
    let absent = Driver { device: "teapot", ..driver("second", Kind::Bus) };
    let text = format!("{:#}", make(&copy.0, &absent).unwrap_err());
    assert!(text.contains("no device `teapot`"), "{text}");
    for name in ["first", "rs", "shell", "serde"] {
        assert!(make(&copy.0, &driver(name, Kind::Bus)).is_err(), "{name}");
    }
    assert_eq!(copy.files(), before);
}

#[test]
fn hand_written_lines_are_not_removed_without_force_and_then_kept() {
    let copy = Copy::new("edited");
    make(&copy.0, &driver("mine", Kind::Bus)).unwrap();
    let file = copy.0.join("drivers/mine/src/lib.rs");
    fs::write(&file, "//! Work of days.\n").unwrap();
    let before = copy.files();
    let text = remove(&copy.0, "mine", false).unwrap_err().to_string();
    assert!(text.contains("not committed") && text.contains("--force"), "{text}");
    assert_eq!(copy.files(), before);
    let place = remove(&copy.0, "mine", true).unwrap();
    assert_eq!(fs::read_to_string(place.join("src/lib.rs")).unwrap(), "//! Work of days.\n");
}

#[test]
fn what_was_not_made_is_not_removed() {
    let copy = Copy::new("built-in");
    let origin = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::create_dir_all(copy.0.join("drivers/pl011")).unwrap();
    fs::copy(origin.join("drivers/pl011/Cargo.toml"), copy.0.join("drivers/pl011/Cargo.toml")).unwrap();
    let before = copy.files();
    for (name, reason) in
        [("pl011", "not made by"), ("template-bus", "a template"), ("nobody", "there is no")]
    {
        let text = remove(&copy.0, name, true).unwrap_err().to_string();
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(copy.files(), before);
}
