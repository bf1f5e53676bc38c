//! `./x new app`: a program for the card, as a copy of the one in the tree that is compiled and tested.

use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

use super::package::Package;
use super::{name, tree};

/// The program that is copied.
const TEMPLATE: &str = "hello";
/// Files of a program.
const FILES: &[&str] = &["Cargo.toml", "src/main.rs"];
/// The line of Cargo.toml by which the build knows a program.
const MARK: &str = "program = true";

/// What `x new app` is told.
#[derive(clap::Args)]
pub struct Options {
    /// Its name: of the folder, and of the file in /bin of the card.
    #[arg(allow_hyphen_values = true)]
    name: String,
    /// Removes the program of this name instead; its folder goes to out/removed/.
    #[arg(long)]
    remove: bool,
    /// Removes it also if it was changed and not committed.
    #[arg(long, requires = "remove")]
    force: bool,
}

fn package(name: &str) -> Package<'_> {
    Package { place: "apps", name, template: TEMPLATE, files: FILES }
}

/// Makes the program or removes it, and says what to do next.
///
/// # Errors
/// Nothing was changed.
pub fn run(root: &Path, options: &Options) -> Result<()> {
    let name = &options.name;
    name::check(name)?;
    if options.remove {
        let place = remove(root, name, options.force)?;
        println!(
            "removed apps/{name}; its folder is {}\n\
             a card that has it keeps it: rm /bin/{name} at the shell",
            place.display()
        );
        return Ok(());
    }
    make(root, name)?;
    println!(
        "made apps/{name}; yours to write: src/main.rs (what a program has to work with: userlib/program)\n\
         also changed: Cargo.toml, Cargo.lock\n\
         try it: ./x run, and there: run {name}; write {name}.txt good morning; run {name}\n\
         remove it: ./x new app {name} --remove"
    );
    Ok(())
}

fn make(root: &Path, name: &str) -> Result<()> {
    name::check_free(root, name)?;
    tree::write(root, &package(name).making(root)?)
}

/// Takes the program out of the workspace and moves its folder away; returns where to.
fn remove(root: &Path, name: &str, force: bool) -> Result<PathBuf> {
    ensure!(name != TEMPLATE, "apps/{name} is the template: without it no program can be made");
    let package = package(name);
    package.check_made(root, |line| line == MARK)?;
    if !force {
        package.check_kept(root, |_| true)?;
    }
    tree::write(root, &package.unmaking(root)?)?;
    package.put_away(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::new::tests::Copy;
    use std::fs;

    fn copy(name: &str) -> Copy {
        Copy::new(name, &FILES.iter().map(|file| format!("apps/{TEMPLATE}/{file}")).collect::<Vec<_>>())
    }

    #[test]
    fn a_program_is_made_and_removed_without_a_trace() {
        let copy = copy("app");
        let before = copy.files();
        make(copy.root(), "my-prog").unwrap();
        let text = |file: &str| tree::read(copy.root(), file).unwrap();
        assert_eq!(copy.files().len(), before.len() + FILES.len());
        assert!(text("Cargo.toml").contains("    \"apps/my-prog\",\n"));
        assert!(
            text("Cargo.lock")
                .contains("name = \"my-prog\"\nversion = \"0.1.0\"\ndependencies = [\n \"program\",\n]")
        );
        assert!(text("apps/my-prog/Cargo.toml").contains(MARK));
        assert!(text("apps/my-prog/src/main.rs").contains("/my-prog.txt"));
        assert!(FILES.iter().all(|file| !text(&format!("apps/my-prog/{file}")).contains(TEMPLATE)));
        let text = make(copy.root(), "my-prog").unwrap_err().to_string();
        assert!(text.contains("choose another name"), "{text}");
        let place = remove(copy.root(), "my-prog", false).unwrap();
        assert_eq!(copy.files(), before);
        assert!(place.join("src/main.rs").exists());
    }

    #[test]
    fn work_stays_and_what_was_not_made_stays() {
        let copy = copy("app-kept");
        make(copy.root(), "mine").unwrap();
        fs::write(copy.root().join("apps/mine/src/more.rs"), "//! Work of days.\n").unwrap();
        fs::create_dir_all(copy.root().join("apps/other")).unwrap();
        fs::write(copy.root().join("apps/other/Cargo.toml"), "[package]\n").unwrap();
        let before = copy.files();
        for (name, force, reason) in [
            ("mine", false, "not committed"),
            ("other", true, "not made by"),
            (TEMPLATE, true, "the template"),
            ("nobody", true, "there is no"),
        ] {
            let text = remove(copy.root(), name, force).unwrap_err().to_string();
            assert!(text.contains(reason), "{text}");
        }
        assert_eq!(copy.files(), before);
        let place = remove(copy.root(), "mine", true).unwrap();
        assert!(place.join("src/more.rs").exists());
    }
}
