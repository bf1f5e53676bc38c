//! What `./x new` makes, made in a copy of the tree: it passes the checks, answers in the shell, fails, comes back, and its
//! removal leaves the tree as it was.
//!
//! The copy has a target folder of its own, which stays, so that the next run builds little.

use crate::common::{Board, Setup, machine};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use test_harness::system::System;
use test_harness::target::card::{self, CARD_BYTES};

/// What the shell shows when it waits for a line.
const PROMPT: &str = "samsara> ";

/// Folders of the tree that are made, or are no part of it.
const NOT_COPIED: [&str; 3] = ["target", "out", ".git"];

/// A copy of the tree.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    fn copy() -> Self {
        let origin = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        // A fixed place: what is built knows its folder, and would be built anew in another one.
        let place = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("made");
        let tree = Self { root: place.join("tree"), target: place.join("target") };
        if tree.root.exists() {
            fs::remove_dir_all(&tree.root).unwrap();
        }
        for (path, bytes) in files(origin) {
            let to = tree.root.join(&path);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::write(&to, bytes).unwrap();
            fs::set_permissions(&to, fs::metadata(origin.join(path)).unwrap().permissions()).unwrap();
        }
        tree
    }

    /// Runs a command of the copy; a failure shows what it said.
    fn x(&self, arguments: &[&str]) {
        let mut command = Command::new("sh");
        command.arg("x").args(arguments).current_dir(&self.root);
        command.env("CARGO_TARGET_DIR", &self.target).env_remove("SAMSARA_OUT");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "./x {arguments:?}: {said}");
    }

    /// Builds the shell's system and boots it, with the programs on the card.
    fn boot(&self, folder: &Path) -> Board {
        let board = machine().name;
        self.x(&["build", "system/shell.toml", "--board", &board]);
        let system = System::in_folder(&self.root.join("out").join(board).join("shell")).unwrap();
        let card = folder.join("card.img");
        card::make(&card, CARD_BYTES).unwrap();
        card::install(&card, &system.folder.join("bin")).unwrap();
        let mut board = Board::boot(&system, &Setup { card: Some(&card), ..Setup::default() });
        board.until("the prompt", |board| board.text(0).contains(PROMPT));
        board
    }
}

/// The files of a tree by their paths in it.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    fn walk(root: &Path, folder: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if folder == root && NOT_COPIED.iter().any(|not| *not == name) {
                continue;
            }
            if path.is_dir() {
                walk(root, &path, files);
            } else {
                files.insert(path.strip_prefix(root).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(root, root, &mut found);
    found
}

/// Asks the driver, fails it, asks its next incarnation, and asks for what it does not have.
fn answers(board: &mut Board, name: &str, question: &str, answer: &str, refusal: &str) {
    board.type_line(&format!("ask {name} {question}"), answer);
    board.type_line(&format!("fault {name} panic"), "incarnation 2 runs");
    board.type_line(&format!("ask {name} {question}"), answer);
    board.type_line(&format!("ask {name} 0xFFFF"), refusal);
}

#[test]
#[ignore = "builds a copy of the tree several times"]
fn drivers_of_each_kind_and_a_program_are_made_used_and_removed() {
    let tree = Tree::copy();
    let before = files(&tree.root);
    for (kind, question, answer, refusal) in [
        ("bus", "4", "0x0004: 0x", "NoSuchRegister"),
        ("char", "3", " ", "is no number of bytes"),
        ("block", "2 0x77", "77 77 77 77", "OutOfRange"),
    ] {
        tree.x(&["new", "driver", "fifteen-bytes-x", "--kind", kind]);
        tree.x(&["check"]);
        let folder = tempfile::tempdir().unwrap();
        let mut board = tree.boot(folder.path());
        answers(&mut board, "fifteen-bytes-x", question, answer, refusal);
        if kind == "block" {
            board.type_line("kill fifteen-bytes-x", "incarnation 3 runs");
            board.type_line("ask fifteen-bytes-x 2", answer);
        }
        board.finish();
        tree.x(&["new", "driver", "fifteen-bytes-x", "--remove"]);
        assert!(files(&tree.root) == before, "{kind}: the removal has left a trace");
    }
    tree.x(&["new", "app", "a-program"]);
    tree.x(&["check"]);
    let folder = tempfile::tempdir().unwrap();
    let mut board = tree.boot(folder.path());
    board.type_line("write a-program.txt good morning", PROMPT);
    board.type_line("run a-program", "begins with \"good morning\\n\"");
    board.finish();
    tree.x(&["new", "app", "a-program", "--remove"]);
    assert!(files(&tree.root) == before, "the removal has left a trace");
}
