//! What was built: slots, images and build ids, from `out/<board>/<manifest>/system.json`.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// A built system.
#[derive(Clone, Debug, Deserialize)]
pub struct System {
    /// Board that it was built for.
    pub board: String,
    /// Name of its manifest.
    pub manifest: String,
    /// SHA-256 of the kernel, in hexadecimal digits.
    pub kernel_sha256: String,
    /// The kernel's build id ([`crate::evidence::build_id`]), in hexadecimal digits.
    #[serde(default)]
    pub kernel_build_id: Option<String>,
    /// The kernel's ELF file with symbols, relative to the build's folder.
    #[serde(default)]
    pub kernel_elf: Option<PathBuf>,
    /// Slots in their order.
    pub slots: Vec<Slot>,
    /// Folder of the build's results.
    #[serde(skip)]
    pub folder: PathBuf,
}

/// A slot.
#[derive(Clone, Debug, Deserialize)]
pub struct Slot {
    /// Number.
    pub slot: u8,
    /// Name of the component.
    pub name: String,
    /// Name of its image.
    #[serde(default)]
    pub image: Option<String>,
    /// Its image's build id ([`crate::evidence::build_id`]), in hexadecimal digits.
    #[serde(default)]
    pub build_id: Option<String>,
    /// Its ELF file with symbols, relative to the build's folder.
    #[serde(default)]
    pub elf: Option<PathBuf>,
    /// What its component needs of its bank; `None`: a spare slot.
    #[serde(default)]
    pub memory: Option<Memory>,
}

/// What a component needs of its bank: the build knows it to the page.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
pub struct Memory {
    /// Bytes, all of the heap among them.
    pub needed: u64,
    /// Bytes of the heap, which is taken bit by bit.
    pub heap: u64,
}

impl System {
    /// Reads the description in `folder`.
    ///
    /// # Errors
    /// Fails when there is none, or it cannot be understood.
    pub fn in_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("system.json");
        let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
        let system: Self = serde_json::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        Ok(Self { folder: folder.to_owned(), ..system })
    }

    /// The system of `system/<manifest>.toml` for a board, where `./x test` says that it has built it (`SAMSARA_OUT`), or in
    /// the repository's `out/`.
    ///
    /// # Errors
    /// It is not built.
    pub fn under_test(board: &str, manifest: &str) -> Result<Self> {
        let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../out");
        let out = std::env::var_os("SAMSARA_OUT").map_or_else(default, PathBuf::from);
        Self::in_folder(&out.join(board).join(manifest))
            .with_context(|| format!("not built: run `./x build system/{manifest}.toml --board {board}`"))
    }

    /// The boot image.
    pub fn kernel(&self) -> PathBuf {
        self.folder.join("kernel8.img")
    }

    /// Number of the component's slot.
    ///
    /// # Errors
    /// Says which components there are.
    pub fn slot(&self, name: &str) -> Result<u8> {
        let names = || self.slots.iter().map(|slot| slot.name.as_str()).collect::<Vec<_>>().join(", ");
        let found = self.slots.iter().find(|slot| slot.name == name).map(|slot| slot.slot);
        found.with_context(|| {
            format!("system {:?} has no component {name:?}: it has {}", self.manifest, names())
        })
    }

    /// Name of the component in this slot.
    pub fn name(&self, slot: u8) -> String {
        let found = self.slots.iter().find(|entry| entry.slot == slot);
        found.map_or_else(|| format!("slot {slot}"), |entry| entry.name.clone())
    }

    /// Path of a slot's ELF file.
    pub fn elf(&self, slot: u8) -> Option<PathBuf> {
        let entry = self.slots.iter().find(|entry| entry.slot == slot)?;
        Some(self.folder.join(entry.elf.as_ref()?))
    }

    /// Path of the kernel's ELF file.
    pub fn kernel_elf(&self) -> Option<PathBuf> {
        Some(self.folder.join(self.kernel_elf.as_ref()?))
    }

    /// The components of the demo, for tests that need no build.
    #[cfg(test)]
    pub fn for_tests() -> Self {
        let names = ["root", "rs", "injector", "block", "console", "fs", "client"];
        let slot = |(name, slot): (&str, u8)| Slot {
            slot,
            name: name.to_owned(),
            image: None,
            build_id: None,
            elf: None,
            memory: None,
        };
        Self {
            board: "board".to_owned(),
            manifest: "demo".to_owned(),
            kernel_sha256: String::new(),
            kernel_build_id: None,
            kernel_elf: None,
            slots: names.into_iter().zip(0..).map(slot).collect(),
            folder: PathBuf::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_is_read_and_a_missing_component_named() {
        let folder = tempfile::tempdir().unwrap();
        let text = r#"{"board":"b","manifest":"m","kernel_sha256":"00","extra":1,
            "slots":[{"slot":0,"name":"root","image":"root","build_id":"00","elf":"elf/root"},{"slot":1,"name":"spare"}]}"#;
        std::fs::write(folder.path().join("system.json"), text).unwrap();
        let system = System::in_folder(folder.path()).unwrap();
        assert_eq!(system.slot("spare").unwrap(), 1);
        assert_eq!(system.elf(0).unwrap(), folder.path().join("elf/root"));
        let message = system.slot("disk").unwrap_err().to_string();
        assert!(message.contains("root, spare"), "{message}");
    }
}
