//! The tools that `x` chose, as ready commands: cargo for the host, cargo for the board, the emulator.
//!
//! The only place that knows compiler flags. The flags of the board make an image's bytes a function of the sources and
//! the compiler alone: every absolute path that rustc would embed is mapped to a fixed name, and nothing is taken from
//! the caller's own `RUSTFLAGS`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use crc::{CRC_32_ISO_HDLC, Crc};
use serde_json::Value;

/// The board's target: bare AArch64 without floating point, so that no context switch ever saves vector registers.
pub const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The profile of everything that runs on the host; `host` is defined in the workspace's `Cargo.toml`.
pub const HOST_PROFILE: &str = "host";

/// Where the target's `core` and `alloc` come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Library {
    /// Installed with the toolchain (rustup).
    Prebuilt,
    /// Compiled with the project from the toolchain's own sources (Debian's packages).
    Source,
}

/// The tools of one run of `x`.
#[derive(Clone)]
pub struct Toolchain {
    root: PathBuf,
    rust_bin: PathBuf,
    library: Library,
    linker: PathBuf,
    qemu: Option<PathBuf>,
    target_dir: PathBuf,
}

/// One program for the board, built by [`Toolchain::build`].
pub struct TargetProgram<'a> {
    /// The package, which has one binary of the same name.
    pub package: &'a str,
    /// The linker script, relative to the workspace's root: an absolute path would make the image depend on it.
    pub linker_script: &'a Path,
    /// Features to build it with, as cargo's `--features` takes them.
    pub features: Option<String>,
}

/// A package of the workspace, as far as the commands care.
#[derive(Debug, PartialEq, Eq)]
pub struct Package {
    /// The name that cargo's `-p` takes.
    pub name: String,
    /// Whether it is made for the host, which is to say a default member of the workspace.
    pub for_host: bool,
    /// Whether it is a program for spare slots (`program = true` in `[package.metadata.samsara]`).
    pub program: bool,
    /// Whether it has a library whose tests run on the host (`test = false` in a manifest's `[lib]` says no).
    pub library_tested: bool,
}

impl Toolchain {
    /// Takes the tools from the environment that `x` prepared.
    ///
    /// # Errors
    /// Fails when a variable is absent, which means that xtask was not started by `x`.
    pub fn from_env() -> Result<Self> {
        let variable = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .with_context(|| format!("{name} is not set: start xtask with ./x"))
        };
        let library = match variable("SAMSARA_STD")?.to_str() {
            Some("prebuilt") => Library::Prebuilt,
            Some("source") => Library::Source,
            other => bail!("SAMSARA_STD is {other:?}, neither `prebuilt` nor `source`"),
        };
        Ok(Self {
            root: variable("SAMSARA_ROOT")?,
            rust_bin: variable("SAMSARA_RUST_BIN")?,
            library,
            linker: variable("SAMSARA_LINKER")?,
            qemu: std::env::var_os("SAMSARA_QEMU").map(PathBuf::from),
            target_dir: variable("CARGO_TARGET_DIR")?,
        })
    }

    /// The same tools for another workspace, with a target folder of its own.
    #[must_use]
    pub fn elsewhere(&self, root: PathBuf, target_dir: PathBuf) -> Self {
        Self { root, target_dir, ..self.clone() }
    }

    /// The workspace's root.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo's target folder, which also holds the images and intermediate files of other commands.
    pub fn target_dir(&self) -> &Path {
        &self.target_dir
    }

    /// The emulator. `x` leaves it out for commands that do not use it.
    ///
    /// # Errors
    /// Fails when `x` handed none over.
    pub fn qemu(&self) -> Result<&Path> {
        self.qemu.as_deref().context("no emulator: SAMSARA_QEMU is not set")
    }

    /// `cargo SUBCOMMAND` for programs and tests of the host. Started in the workspace's root.
    pub fn host_cargo(&self, subcommand: &str) -> Command {
        let mut command = match subcommand {
            // cargo looks for its subcommands in ~/.cargo/bin too, where those of another toolchain may be.
            "clippy" | "fmt" => Command::new(self.rust_bin.join(format!("cargo-{subcommand}"))),
            _ => Command::new(self.rust_bin.join("cargo")),
        };
        command
            .arg(subcommand)
            .current_dir(&self.root)
            .env("CARGO", self.rust_bin.join("cargo"))
            .env("RUSTC", self.rust_bin.join("rustc"))
            .env("RUSTDOC", self.rust_bin.join("rustdoc"))
            .env("RUSTFMT", self.rust_bin.join("rustfmt"))
            .env("CARGO_TARGET_DIR", &self.target_dir);
        command
    }

    /// `cargo SUBCOMMAND` for programs of the board, in the release profile, with the flags that all of them share.
    pub fn target_cargo(&self, subcommand: &str) -> Command {
        let mut command = self.host_cargo(subcommand);
        command
            .args(["--release", "--target", TARGET])
            // The options of the board's build that cargo still calls unstable are used with a stable compiler.
            .env("RUSTC_BOOTSTRAP", "1")
            .env("CARGO_INCREMENTAL", "0")
            // All log statements but `trace!`; defmt would leave out everything but errors.
            .env("DEFMT_LOG", "debug")
            // About `core` itself, which the toolchain answers for.
            .env("CARGO_FUTURE_INCOMPAT_REPORT_FREQUENCY", "never")
            .env("CARGO_ENCODED_RUSTFLAGS", self.target_rustflags().join("\x1f"))
            .env("CARGO_TARGET_AARCH64_UNKNOWN_NONE_SOFTFLOAT_LINKER", &self.linker);
        if self.library == Library::Source {
            command.args([
                "-Zbuild-std=core,alloc,compiler_builtins",
                "-Zbuild-std-features=compiler-builtins-mem",
            ]);
        }
        command
    }

    /// Builds programs for the board and returns their ELF files, in the given order.
    ///
    /// The last one, the kernel, is built by itself: it gets the features that it asks for, and its bytes do not depend
    /// on which components a manifest names. `environment` is what build scripts and `env!` of the programs read.
    ///
    /// # Errors
    /// Fails when a linker script is absent or cargo fails.
    pub fn build(
        &self,
        programs: &[TargetProgram],
        environment: &[(&str, OsString)],
    ) -> Result<Vec<PathBuf>> {
        let (components, kernel) = programs.split_at(programs.len().saturating_sub(1));
        let mut files = self.compile(components, environment)?;
        files.extend(self.compile(kernel, environment)?);
        Ok(files)
    }

    /// Builds programs for the board without a kernel and returns their ELF files, in the given order.
    ///
    /// # Errors
    /// As [`Toolchain::build`].
    pub fn build_components(&self, programs: &[TargetProgram]) -> Result<Vec<PathBuf>> {
        self.compile(programs, &[])
    }

    fn compile(&self, group: &[TargetProgram], environment: &[(&str, OsString)]) -> Result<Vec<PathBuf>> {
        if group.is_empty() {
            return Ok(Vec::new());
        }
        let mut command = self.target_cargo("build");
        command.arg("-Zprofile-rustflags");
        for program in group {
            command.args(["--package", program.package, "--config"]);
            command.arg(self.link_option(program)?);
            if let Some(features) = &program.features {
                command.args(["--features", features]);
            }
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        run(&mut command)?;
        let folder = self.target_dir.join(TARGET).join("release");
        Ok(group.iter().map(|program| folder.join(program.package)).collect())
    }

    /// The cargo setting that links `program`, and no other package, with its linker script.
    ///
    /// Cargo does not know that the program depends on the script, so the script's checksum is part of the flags.
    fn link_option(&self, program: &TargetProgram) -> Result<String> {
        let script = program.linker_script;
        ensure!(script.is_relative(), "{} is not relative to the workspace's root", script.display());
        let text =
            fs::read(self.root.join(script)).with_context(|| format!("reading {}", script.display()))?;
        Ok(format!(
            "profile.release.package.{}.rustflags=[\"-Clink-arg=-T{}\", \"-Clink-arg=--defsym=__linker_script_crc32={:#x}\"]",
            program.package,
            script.display(),
            Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&text),
        ))
    }

    /// The compiler flags that every program of the board shares.
    fn target_rustflags(&self) -> Vec<String> {
        let mut flags: Vec<String> = [
            "-Crelocation-model=static",
            // Backtraces of the kernel and of death records follow the frame chain.
            "-Cforce-frame-pointers=yes",
            // The oldest core of the supported boards. It has neither LSE atomics nor, on the real chips, the crypto
            // extension that the emulator shows.
            "-Ctarget-cpu=cortex-a53",
            // Erratum 843419 of the Cortex-A53 up to r0p4, which the Raspberry Pi 3 has: ADRP near the end of a page.
            "-Clink-arg=--fix-cortex-a53-843419",
            "-Clink-arg=--no-dynamic-linker",
            "-Clink-arg=--build-id=none",
            "-Clink-arg=-zmax-page-size=4096",
        ]
        .map(String::from)
        .into();
        flags.extend(
            self.path_remaps()
                .into_iter()
                .map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())),
        );
        flags
    }

    /// Absolute paths that rustc would embed, and the names that stand for them. The last match wins.
    pub fn path_remaps(&self) -> Vec<(PathBuf, &'static str)> {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let cargo_home = std::env::var_os("CARGO_HOME").map_or_else(|| home.join(".cargo"), PathBuf::from);
        let prefix = self.rust_bin.parent().unwrap_or(Path::new("/"));
        let library = prefix.join("lib/rustlib/src/rust");
        let mut remaps = vec![
            (cargo_home, "/cargo"),
            (self.root.clone(), "/samsara"),
            (self.target_dir.clone(), "/target"),
        ];
        // Debian keeps the library's source elsewhere, behind a symbolic link.
        remaps.extend(fs::canonicalize(&library).ok().map(|real| (real, "/rust")));
        remaps.push((library, "/rust"));
        remaps
    }

    /// The packages of the workspace, by name.
    ///
    /// # Errors
    /// Fails when cargo cannot read the workspace.
    pub fn packages(&self) -> Result<Vec<Package>> {
        let mut command = self.host_cargo("metadata");
        command.args(["--no-deps", "--format-version=1"]);
        let output = command.output().with_context(|| format!("starting {command:?}"))?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        packages_of(&serde_json::from_slice(&output.stdout)?)
    }
}

/// Reads the packages out of what `cargo metadata --no-deps` prints.
fn packages_of(metadata: &Value) -> Result<Vec<Package>> {
    let strings = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().filter_map(|item| item.as_str().map(String::from)).collect()
    };
    let default_members = strings(&metadata["workspace_default_members"]);
    let mut packages = metadata["packages"]
        .as_array()
        .context("cargo metadata lists no packages")?
        .iter()
        .map(|package| {
            let targets = package["targets"].as_array().context("a package without targets")?;
            Ok(Package {
                name: package["name"].as_str().context("a package without a name")?.into(),
                program: package["metadata"]["samsara"]["program"] == true,
                for_host: package["id"]
                    .as_str()
                    .is_some_and(|id| default_members.iter().any(|member| member == id)),
                library_tested: targets.iter().any(|target| {
                    strings(&target["kind"]).contains(&"lib".into()) && target["test"] == Value::Bool(true)
                }),
            })
        })
        .collect::<Result<Vec<_>>>()?;
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(packages)
}

/// Runs `command` with its output on this terminal.
///
/// # Errors
/// Fails when it cannot be started or does not succeed; the error names the command.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting {}", command.get_program().display()))?;
    ensure!(status.success(), "{} {}: {status}", command.get_program().display(), first_argument(command));
    Ok(())
}

fn first_argument(command: &Command) -> String {
    command.get_args().next().map(|argument| argument.to_string_lossy().into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolchain() -> Toolchain {
        Toolchain {
            root: "/home/someone/samsara".into(),
            rust_bin: "/opt/rust/bin".into(),
            library: Library::Source,
            linker: "/usr/bin/ld.lld".into(),
            qemu: None,
            target_dir: "/home/someone/samsara/target".into(),
        }
    }

    #[test]
    fn a_target_build_compiles_the_library_only_where_it_is_not_installed() {
        let arguments = |tools: &Toolchain| format!("{:?}", tools.target_cargo("build"));
        let mut tools = toolchain();
        assert!(arguments(&tools).contains("-Zbuild-std=core,alloc"));
        tools.library = Library::Prebuilt;
        assert!(!arguments(&tools).contains("build-std"));
    }

    #[test]
    fn lints_come_from_the_toolchain_that_was_chosen() {
        assert_eq!(toolchain().host_cargo("clippy").get_program(), "/opt/rust/bin/cargo-clippy");
        assert_eq!(toolchain().host_cargo("test").get_program(), "/opt/rust/bin/cargo");
    }

    #[test]
    fn the_target_folder_is_mapped_after_the_root_that_may_contain_it() {
        let remaps = toolchain().path_remaps();
        let position = |name| remaps.iter().position(|(_, to)| *to == name);
        assert!(position("/samsara") < position("/target"));
    }

    #[test]
    fn packages_are_sorted_and_know_where_they_run() {
        let metadata = serde_json::json!({
            "workspace_default_members": ["path+file:///w/abi#0.1.0"],
            "packages": [
                { "name": "pl011", "id": "path+file:///w/drivers/pl011#0.1.0", "targets": [
                    { "kind": ["lib"], "test": true }, { "kind": ["bin"], "test": false } ] },
                { "name": "abi", "id": "path+file:///w/abi#0.1.0", "targets": [{ "kind": ["lib"], "test": true }] },
                { "name": "userlib", "id": "path+file:///w/userlib#0.1.0", "targets": [{ "kind": ["lib"], "test": false }] },
            ],
        });
        let package = |name: &str, for_host, library_tested| Package {
            name: name.into(),
            program: false,
            for_host,
            library_tested,
        };
        assert_eq!(
            packages_of(&metadata).unwrap(),
            [package("abi", true, true), package("pl011", false, true), package("userlib", false, false)]
        );
    }
}
