//! Every crate inherits the workspace's lints, and its root says what the crate is for.

use super::Finding;
use super::repository::Repository;

pub fn check(repository: &Repository) -> Vec<Finding> {
    let manifests = repository.texts().filter(|(path, _)| path.ends_with("/Cargo.toml"));
    manifests
        .flat_map(|(path, text)| lints(path, text).into_iter().chain(headers(repository, path)))
        .collect()
}

fn lints(path: &str, text: &str) -> Option<Finding> {
    let inherited = toml::from_str::<toml::Table>(text).is_ok_and(|manifest| {
        manifest.get("lints").and_then(|lints| lints.get("workspace")) == Some(&true.into())
    });
    (!inherited)
        .then(|| Finding::in_file(path, "does not inherit the workspace's lints ([lints] workspace = true)"))
}

fn headers(repository: &Repository, manifest: &str) -> Vec<Finding> {
    let folder = manifest.trim_end_matches("Cargo.toml");
    let roots = ["src/lib.rs", "src/main.rs"].map(|root| format!("{folder}{root}"));
    let missing = |root: &&String| repository.text(root).is_some_and(|text| !text.starts_with("//! "));
    roots
        .iter()
        .filter(missing)
        .map(|root| Finding::at(root, 0, "a crate root begins with a //! header"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_without_inherited_lints_is_found() {
        for text in ["[package]\n", "[lints]\nworkspace = false\n", "no toml"] {
            assert_eq!(check(&Repository::of(&[("abi/Cargo.toml", text)])).len(), 1);
        }
        assert!(check(&Repository::of(&[("abi/Cargo.toml", "[lints]\nworkspace = true\n")])).is_empty());
    }

    #[test]
    fn a_crate_root_without_a_header_is_found() {
        let crate_with = |root: &str, text: &str| {
            check(&Repository::of(&[("abi/Cargo.toml", "lints.workspace = true\n"), (root, text)]))
        };
        assert_eq!(crate_with("abi/src/lib.rs", "#![no_std]\n").len(), 1);
        assert_eq!(crate_with("abi/src/main.rs", "// a\nfn main() {}\n").len(), 1);
        assert_eq!(crate_with("abi/src/lib.rs", "//! The contract.\n").len(), 0);
        assert_eq!(crate_with("abi/src/other.rs", "fn a() {}\n").len(), 0);
    }
}
