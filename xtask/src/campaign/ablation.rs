//! Manifests of systems in which something is switched off, so that a report can say what it buys.
//!
//! *Role.* A scenario's `without` names what; the manifest of the scenario is changed and written beside what is built. What a
//! switch is cannot be had in a manifest (deduplication, the limit on poison and checkpoints are the kernel's) is not offered.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use toml_edit::{DocumentMut, Item, TableLike, value};

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
}
