//! Names the harness by its sources: what a trial does depends on them as it does on the images.

use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What a trial depends on besides the images: the harness, what it shares with the guest, and the versions of the rest.
const SOURCES: [&str; 10] = [
    "src",
    "../abi/src",
    "../protocols/src",
    "../integrity-server/core/src",
    "../apps/exerciser/src",
    "../apps/injector/src",
    "../apps/interposer/src",
    "../apps/register/src",
    "../apps/workload/src",
    "../Cargo.lock",
];

fn main() {
    let mut files = Vec::new();
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
        collect(Path::new(source), &mut files);
    }
    files.sort();
    let mut hash = Sha256::new();
    for file in &files {
        let bytes = std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        hash.update(file.to_string_lossy().as_bytes());
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    println!("cargo::rustc-env=SAMSARA_HARNESS_SHA256={digits}");
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if !path.is_dir() {
        files.push(path.to_owned());
        return;
    }
    let entries = std::fs::read_dir(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    entries.for_each(|entry| collect(&entry.expect("an entry of a folder").path(), files));
}
