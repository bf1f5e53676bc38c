//! What a debugger must be told of a system that waits for it: `./x run --gdb`.
//!
//! Rule: what is written is for GDB alone, without its Python. The kernel's symbols are loaded at once. All components are
//! linked to the same addresses, so that the symbols of one are loaded at a time, and a breakpoint in one is conditional
//! on the address space.

use anyhow::{Context, Result};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use test_harness::system::{Slot, System};

/// Debuggers that know the board's processor, in the order of preference.
const DEBUGGERS: [&str; 3] = ["gdb-multiarch", "aarch64-none-elf-gdb", "aarch64-linux-gnu-gdb"];

/// Writes `gdbinit` into `folder` and returns what to say. `sources`: folders, and what the build calls them.
///
/// # Errors
/// The file cannot be written.
pub fn prepare(sources: &[(PathBuf, &str)], system: &System, folder: &Path, port: u16) -> Result<String> {
    let path = folder.join("gdbinit");
    fs::write(&path, commands(sources, system, port)?)
        .with_context(|| format!("writing {}", path.display()))?;
    let found = DEBUGGERS.into_iter().find(|name| find(name).is_some());
    let mut text = String::from("waiting for a debugger: type in another terminal\n\n");
    writeln!(text, "    {} -x {}\n", found.unwrap_or(DEBUGGERS[0]), quoted(&path))?;
    if found.is_none() {
        writeln!(text, "(not found here; on Debian: apt-get install {})", DEBUGGERS[0])?;
    }
    text.push_str(
        "and there `continue`, or first `break kernel_main`, `break-fs main` … (`help user-defined`)\n",
    );
    Ok(text)
}

/// The commands that connect a debugger.
fn commands(sources: &[(PathBuf, &str)], system: &System, port: u16) -> Result<String> {
    let kernel = system.kernel_elf().context("system.json names no kernel: build the system again")?;
    let mut text = String::from("# Written by `./x run --gdb` for the run that waits.\n");
    for (folder, name) in sources {
        writeln!(text, "set substitute-path {name} {}", quoted(folder))?;
    }
    writeln!(text, "file {}", quoted(&kernel))?;
    let images = || system.slots.iter().filter_map(|slot| Some((slot, quoted(&system.elf(slot.slot)?))));
    text.push_str("\nset $symbols_of = -1\ndefine no-symbols\n");
    for (slot, elf) in images() {
        writeln!(text, "  if $symbols_of == {}\n    remove-symbol-file {elf}\n  end", slot.slot)?;
    }
    text.push_str(
        "  set $symbols_of = -1\nend\ndocument no-symbols\nForgets the symbols of components.\nend\n",
    );
    images().for_each(|(slot, elf)| text.push_str(&component(slot, &elf)));
    writeln!(text, "\ntarget remote 127.0.0.1:{port}")?;
    Ok(text)
}

/// The commands for one component.
fn component(slot: &Slot, elf: &str) -> String {
    let (name, number) = (&slot.name, slot.slot);
    // The address space of a slot is its number and one: `asid` in kernel/src/main.rs.
    let space = u32::from(number) + 1;
    format!(
        "
define symbols-{name}
  set confirm off
  no-symbols
  add-symbol-file {elf}
  set $symbols_of = {number}
  set confirm on
end
document symbols-{name}
Loads the symbols of {name} beside the kernel's, in place of another component's.
end
define break-{name}
  symbols-{name}
  break $arg0 if ($TTBR0_EL1 >> 48) == {space}
end
document break-{name}
break-{name} PLACE: loads the symbols of {name}, and stops there if it is {name} that comes there.
end
"
    )
}

/// A path as GDB and a shell both take it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%:,".contains(&byte);
    if text.bytes().all(is_plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Where a program is, if it is in the path.
fn find(program: &str) -> Option<PathBuf> {
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn system() -> System {
        let text = r#"{"board":"b","manifest":"m","kernel_sha256":"00","kernel_elf":"elf/kernel",
            "slots":[{"slot":0,"name":"root","image":"root","elf":"elf/root"},{"slot":1,"name":"spare"},
                     {"slot":5,"name":"fs","image":"fs-server","elf":"elf/fs-server"}]}"#;
        let system: System = serde_json::from_str(text).unwrap();
        System { folder: PathBuf::from("/w/out/b/m"), ..system }
    }

    #[test]
    fn the_debugger_gets_sources_the_kernel_and_a_command_for_each_image() {
        let text = commands(&[("/my work".into(), "/samsara")], &system(), 4711).unwrap();
        assert!(text.contains("set substitute-path /samsara \"/my work\"\n"), "{text}");
        assert!(text.contains("\nfile /w/out/b/m/elf/kernel\n"), "{text}");
        assert!(
            text.contains("define break-fs\n  symbols-fs\n  break $arg0 if ($TTBR0_EL1 >> 48) == 6\n"),
            "{text}"
        );
        assert!(text.contains("  add-symbol-file /w/out/b/m/elf/fs-server\n"), "{text}");
        assert!(!text.contains("spare"), "{text}");
        assert!(text.ends_with("\ntarget remote 127.0.0.1:4711\n"), "{text}");
    }

    #[test]
    fn a_build_that_names_no_kernel_is_refused_with_the_remedy() {
        let error = commands(&[], &System { kernel_elf: None, ..system() }, 1).unwrap_err();
        assert!(error.to_string().contains("build the system again"), "{error}");
    }

    #[test]
    fn the_line_to_type_names_the_file_that_was_written() {
        let folder = std::env::temp_dir().join(format!("samsara-debugger-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let text = prepare(&[], &system(), &folder, 4711).unwrap();
        let written = fs::read_to_string(folder.join("gdbinit")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let line = format!("gdb -x {}\n", folder.join("gdbinit").display());
        assert!(text.replace("gdb-multiarch", "gdb").contains(&line), "{text}");
        assert!(written.contains("target remote 127.0.0.1:4711"), "{written}");
    }
}
