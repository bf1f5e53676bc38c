//! On a copy of the files that the command reads: what it makes is whole, and removing it leaves the tree as it was.

use super::*;
use crate::new::tests::{Copy, origin};
use std::fs;

/// A copy of the tree without the drivers that somebody has made in it: they own the device that the tests give away.
fn copy(name: &str) -> Copy {
    let mut files = vec![SERVICES.to_owned(), SHELL.into(), MANIFEST.into()];
    for kind in Kind::ALL {
        files.extend(FILES.iter().map(|file| format!("drivers/{}/{file}", kind.template())));
    }
    files.extend(boards(&origin()).iter().map(|board| format!("bsp/{board}/board.toml")));
    let copy = Copy::new(name, &files);
    for entry in fs::read_dir(origin().join("drivers")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let file = format!("drivers/{name}/Cargo.toml");
        let text = fs::read_to_string(origin().join(&file)).unwrap_or_default();
        if text.contains("[package.metadata.samsara]") && !name.starts_with("template") {
            fs::create_dir_all(copy.root().join("drivers").join(&name)).unwrap();
            fs::write(copy.root().join(&file), text).unwrap();
            remove(copy.root(), &name, true).unwrap();
        }
    }
    copy
}

fn driver(name: &str, kind: Kind) -> Driver<'_> {
    Driver { name, kind, device: DEVICE }
}

#[test]
fn a_driver_of_each_kind_is_made_and_removed_without_a_trace() {
    for kind in Kind::ALL {
        let copy = copy(kind.template());
        let before = copy.files();
        make(copy.root(), &driver("my-clock", kind)).unwrap();
        let made = copy.files();
        assert_eq!(made.len(), before.len() + FILES.len());
        let text = |file: &str| read(copy.root(), file).unwrap();
        assert!(text("drivers/my-clock/src/main.rs").contains("\nuse my_clock_driver::"));
        assert!(text(MANIFEST).contains("[component.my-clock]\nimage = \"my-clock\"\n"));
        assert!(text(MANIFEST).contains(", my-clock = { deadline_ms = 10000 } }\n"));
        assert!(text("Cargo.lock").contains("name = \"my-clock\"\n"));
        assert!(FILES.iter().all(|file| !text(&format!("drivers/my-clock/{file}")).contains("template-")));
        let place = remove(copy.root(), "my-clock", false).unwrap();
        assert_eq!(copy.files(), before);
        assert!(place.join("src/lib.rs").exists());
    }
}

#[test]
fn a_device_that_is_taken_or_absent_changes_nothing() {
    let copy = copy("taken");
    make(copy.root(), &driver("first", Kind::Char)).unwrap();
    let before = copy.files();
    let text = format!("{:#}", make(copy.root(), &driver("second", Kind::Bus)).unwrap_err());
    assert!(text.contains("--device") && text.contains("belongs to \"first\""), "{text}");
    let absent = Driver { device: "teapot", ..driver("second", Kind::Bus) };
    let text = format!("{:#}", make(copy.root(), &absent).unwrap_err());
    assert!(text.contains("no device `teapot`"), "{text}");
    for name in ["first", "rs", "shell", "serde"] {
        assert!(make(copy.root(), &driver(name, Kind::Bus)).is_err(), "{name}");
    }
    assert_eq!(copy.files(), before);
}

#[test]
fn hand_written_lines_are_not_removed_without_force_and_then_kept() {
    let copy = copy("edited");
    make(copy.root(), &driver("mine", Kind::Bus)).unwrap();
    let file = copy.root().join("drivers/mine/src/lib.rs");
    fs::write(&file, "//! Work of days.\n").unwrap();
    let before = copy.files();
    let text = remove(copy.root(), "mine", false).unwrap_err().to_string();
    assert!(text.contains("not committed") && text.contains("--force"), "{text}");
    assert_eq!(copy.files(), before);
    let place = remove(copy.root(), "mine", true).unwrap();
    assert_eq!(fs::read_to_string(place.join("src/lib.rs")).unwrap(), "//! Work of days.\n");
}

#[test]
fn what_was_not_made_is_not_removed() {
    let copy = copy("built-in");
    fs::create_dir_all(copy.root().join("drivers/pl011")).unwrap();
    fs::copy(origin().join("drivers/pl011/Cargo.toml"), copy.root().join("drivers/pl011/Cargo.toml"))
        .unwrap();
    let before = copy.files();
    for (name, reason) in
        [("pl011", "not made by"), ("template-bus", "a template"), ("nobody", "there is no")]
    {
        let text = remove(copy.root(), name, true).unwrap_err().to_string();
        assert!(text.contains(reason), "{text}");
    }
    assert_eq!(copy.files(), before);
}

#[test]
fn a_driver_that_somebody_calls_and_an_entry_with_hand_written_lines_stay() {
    let copy = copy("called");
    make(copy.root(), &driver("mine", Kind::Char)).unwrap();
    let file = copy.root().join(MANIFEST);
    let made = fs::read_to_string(&file).unwrap();
    let written = made.replace("image = \"mine\"\n", "image = \"mine\"\nlog = \"8K\"\n");
    fs::write(&file, written).unwrap();
    let before = copy.files();
    let text = remove(copy.root(), "mine", false).unwrap_err().to_string();
    assert!(text.contains("[component.mine]") && text.contains("--force"), "{text}");
    assert_eq!(copy.files(), before);
    let (call, more) = (
        "gpio = { deadline_ms = 10000 } }\npolicy",
        "gpio = { deadline_ms = 10000 }, mine = { deadline_ms = 10000 } }\npolicy",
    );
    assert!(made.contains(call), "the LED's entry");
    fs::write(&file, made.replace(call, more)).unwrap();
    let before = copy.files();
    let text = format!("{:#}", remove(copy.root(), "mine", true).unwrap_err());
    assert!(text.contains("no service `mine`") && text.contains("take mine out"), "{text}");
    assert_eq!(copy.files(), before);
    fs::write(&file, made).unwrap();
    remove(copy.root(), "mine", false).unwrap();
}
