//! A copy of the files that the commands read and change.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The tree that this was built from.
pub fn origin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A copy of some of its files, removed at the end.
pub struct Copy(PathBuf);

impl Copy {
    /// Copies these files, `Cargo.toml` and `Cargo.lock`.
    pub fn new(name: &str, files: &[String]) -> Self {
        let root = std::env::temp_dir().join(format!("samsara-new-{name}-{}", std::process::id()));
        let copy = Self(root);
        let workspace = ["Cargo.toml".to_owned(), "Cargo.lock".into()];
        // No component of another manifest has the tests' names.
        fs::create_dir_all(copy.0.join("system")).unwrap();
        for file in files.iter().chain(&workspace) {
            let target = copy.0.join(file);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(origin().join(file), target).unwrap();
        }
        copy
    }

    /// Where it is.
    pub fn root(&self) -> &Path {
        &self.0
    }

    /// Every file outside `out` and its text.
    pub fn files(&self) -> BTreeMap<PathBuf, String> {
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
