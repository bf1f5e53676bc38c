//! Systems in which something is switched off, so that a report can say what it buys.
//!
//! *Role.* A scenario's `without` names what. What a manifest says is switched off in a changed manifest, which is written beside what is
//! built; what the kernel does by itself in a copy of the tree, by a diff of `test-harness/ablation/`.

use crate::patched::{Patched, diff};
use crate::tools::Toolchain;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, TableLike, value};

/// What the kernel does by itself, and the diffs that take it out.
const DIFFS: [(&str, &str); 3] = [
    ("checkpoint", include_str!("../../../test-harness/ablation/checkpoint.patch")),
    ("deduplication", include_str!("../../../test-harness/ablation/deduplication.patch")),
    ("poison-limit", include_str!("../../../test-harness/ablation/poison-limit.patch")),
];

/// The sources without what is switched off in them; `None`: they are the tree's own.
///
/// # Errors
/// A diff does not fit, or the copy cannot be made, or another command has it.
pub fn sources(tools: &Toolchain, without: &[String]) -> Result<Option<Patched>> {
    let diffs = diffs(without)?;
    if diffs.is_empty() { Ok(None) } else { Patched::make(tools, &diffs).map(Some) }
}

fn diffs(without: &[String]) -> Result<Vec<diff::FileDiff>> {
    let named = DIFFS.iter().filter(|(name, _)| without.iter().any(|switch| switch == name));
    let parsed = named.map(|(name, text)| diff::parse(text).with_context(|| format!("in {name}.patch")));
    Ok(parsed.collect::<Result<Vec<_>>>()?.concat())
}

/// The manifest of a scenario, with this switched off; returns where it lies.
///
/// # Errors
/// The manifest cannot be read, or lacks what is to be switched off.
pub fn manifest(root: &Path, name: &str, without: &[String], folder: &Path) -> Result<PathBuf> {
    let path = root.join("system").join(name).with_extension("toml");
    if without.is_empty() {
        return Ok(path);
    }
    let text = std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let changed = switched_off(&text, without).with_context(|| format!("in {}", path.display()))?;
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(format!("{name}-without-{}.toml", without.join("-")));
    std::fs::write(&path, changed).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}

fn switched_off(text: &str, without: &[String]) -> Result<String> {
    let mut document: DocumentMut = text.parse().context("it is no TOML")?;
    let components =
        document.get_mut("component").and_then(Item::as_table_like_mut).context("no components")?;
    for switch in without {
        match switch.as_str() {
            // A limit of 0 is none: nobody is found hung.
            "heartbeat" => set_policies(components, &["hang_ms", "max_service_ms"]),
            "back-off" => set_policies(components, &["backoff_first_ms", "backoff_max_ms"]),
            "complaints" => no_complaints(components),
            "integrity" => no_integrity(components)?,
            other if DIFFS.iter().any(|(name, _)| *name == other) => {}
            other => anyhow::bail!("nothing is called {other:?} that could be switched off"),
        }
    }
    Ok(document.to_string())
}

/// Sets these times of all policies that name them to 0.
fn set_policies(components: &mut dyn TableLike, keys: &[&str]) {
    for (_, component) in components.iter_mut() {
        let Some(policy) = component.get_mut("policy").and_then(Item::as_table_like_mut) else { continue };
        for key in keys {
            if let Some(time) = policy.get_mut(key) {
                *time = value(0);
            }
        }
    }
}

/// No server may ask RS for anything.
fn no_complaints(components: &mut dyn TableLike) {
    for (_, component) in components.iter_mut().filter(|(_, component)| component.get("serves").is_some()) {
        if let Some(calls) = component.get_mut("calls").and_then(Item::as_table_like_mut) {
            calls.remove("reincarnation");
        }
    }
}

/// Whoever serves the layer its medium serves the file server.
fn no_integrity(components: &mut dyn TableLike) -> Result<()> {
    components.remove("integrity").context("there is no integrity layer to be left out")?;
    for (_, component) in components.iter_mut() {
        if component.get("serves").and_then(Item::as_str) == Some("medium") {
            component["serves"] = value("block");
        }
        if let Some(controls) = component.get_mut("controls").and_then(Item::as_array_mut) {
            controls.retain(|name| name.as_str() != Some("integrity"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAMPAIGN: &str = include_str!("../../../system/campaign.toml");

    fn without(switch: &str) -> String {
        switched_off(CAMPAIGN, &[switch.to_owned()]).unwrap()
    }

    #[test]
    fn each_switch_takes_out_what_it_names_and_leaves_the_order() {
        assert!(CAMPAIGN.contains("hang_ms = 5") && !without("heartbeat").contains("hang_ms = 5"));
        assert!(!without("back-off").contains("backoff_first_ms = 1"));
        assert_eq!(without("complaints").matches("reincarnation = {").count(), 1, "the monitor's");
        let bare = without("integrity");
        assert!(
            !bare.contains("integrity-server")
                && !bare.contains("\"integrity\"")
                && bare.contains("serves = \"block\"")
        );
        let place = |name: &str| bare.find(&format!("[component.{name}]")).unwrap();
        assert!(
            place("root") < place("rs") && place("rs") < place("injector") && place("block") < place("fs")
        );
        assert!(switched_off(CAMPAIGN, &["everything".to_owned()]).is_err());
    }

    #[test]
    fn each_diff_fits_the_tree_alone_and_all_do_together() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let all = DIFFS.map(|(name, _)| name.to_owned());
        for without in all.chunks(1).chain([&all[..]]) {
            crate::patched::changes(&root, &diffs(without).unwrap())
                .unwrap_or_else(|error| panic!("{without:?}: {error:#}"));
        }
        assert_eq!(diffs(&["heartbeat".to_owned()]).unwrap(), []);
    }

    #[test]
    fn all_that_a_scenario_may_name_can_be_switched_off() {
        for switch in test_harness::campaign::scenario::SWITCHES {
            switched_off(CAMPAIGN, &[switch.to_owned()]).unwrap();
        }
    }
}
