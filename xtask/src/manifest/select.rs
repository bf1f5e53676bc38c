//! What of a manifest a board has: components that are for other boards go, and with them every mention of them; devices
//! and interrupt lines that are optional go where the board has none; and `rules = "board"` becomes the rules of the board.
//!
//! Rule: nothing is left out silently that the manifest does not say may be left out. A mention of a component that no
//! board has stays, for [`super::resolve`] to complain of.

use super::board::Board;
use super::diagnostic::{At, Source, suggest};
use super::model::{Component, Manifest};

/// Reduces the manifest to what `board` has; `known` are the names of all boards. Defects go to `source`.
pub fn select(manifest: &mut Manifest, board: &Board, known: &[String], source: &Source) {
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    for name in manifest.components.iter().flat_map(|component| &component.boards) {
        if !known.contains(&name.value.as_str()) {
            let remedy = suggest(&name.value, &known, "boards in bsp");
            source.report(name.line, format!("there is no board `{}`", name.value), remedy);
        }
    }
    let is_here = |component: &Component| {
        component.boards.is_empty() || component.boards.iter().any(|name| name.value == board.name)
    };
    let absent: Vec<Component> =
        manifest.components.iter().filter(|component| !is_here(component)).cloned().collect();
    manifest.components.retain(is_here);
    let gone = |name: &At<String>| absent.iter().any(|component| component.name.value == name.value);
    let unserved = |service: &At<String>| {
        absent
            .iter()
            .any(|component| component.serves.as_ref().is_some_and(|name| name.value == service.value))
    };
    let still_served: Vec<String> = manifest
        .components
        .iter()
        .filter_map(|component| Some(component.serves.as_ref()?.value.clone()))
        .collect();
    for component in &mut manifest.components {
        for names in
            [&mut component.controls, &mut component.loads, &mut component.notifies, &mut component.group]
        {
            names.retain(|name| !gone(name));
        }
        component.calls.retain(|call| !unserved(&call.service) || still_served.contains(&call.service.value));
        component.devices.retain(|entry| !entry.optional || board.device(&entry.device.value).is_some());
        component.irqs.retain(|irq| !irq.optional || board.line(&irq.line.value).is_some());
        for entry in component.devices.iter_mut().filter(|entry| entry.board_rules) {
            let device = board.device(&entry.device.value);
            entry.rules = device.map_or_else(Vec::new, |device| device.rules.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::manifest::tests::{changed, read};

    /// The good manifest with a component that is for these boards and that others mention.
    fn with_component(boards: &str) -> String {
        let radio = "[component.radio]\nimage = \"pl011\"\npriority = 18\nmemory = \"128K\"\nstack = \"16K\"\n\
                     serves = \"console\"\npolicy = { heartbeat_ms = 2, hang_ms = 5, max_service_ms = 1, restart_bound_ms = 1 }\n";
        changed(&[
            ("\"fs\", \"client\"]", "\"fs\", \"client\", \"radio\"]"),
            ("calls = { files = {", "calls = { console = { deadline_ms = 100 }, files = {"),
            ("notifies = [\"rs\"]", "notifies = [\"rs\", \"radio\"]"),
        ]) + &radio.replace("priority", &format!("boards = {boards}\npriority"))
    }

    #[test]
    fn a_component_of_another_board_goes_with_every_mention_of_it() {
        let here = read(&with_component("[\"raspi3b\"]")).unwrap_or_else(|defects| panic!("{defects}"));
        assert_eq!((here.components.len(), here.components[4].calls.len()), (6, 2));
        assert_eq!(here.links[1].controls, 0b11_1100);
        let elsewhere = read(&with_component("[\"raspi4b\"]")).unwrap_or_else(|defects| panic!("{defects}"));
        assert_eq!((elsewhere.components.len(), elsewhere.components[4].calls.len()), (5, 1));
        assert_eq!((elsewhere.links[1].controls, elsewhere.links[4].notifies), (0b01_1100, 0b00_0010));
    }

    #[test]
    fn an_optional_device_goes_where_there_is_none_and_another_is_missed() {
        let optional = changed(&[(
            "devices = { emmc",
            "devices = { emmc2 = { optional = true, rules = \"board\" }, emmc",
        )]);
        let system = read(&optional).unwrap_or_else(|defects| panic!("{defects}"));
        let names: Vec<&str> =
            system.components[2].devices.iter().map(|device| device.device.value.as_str()).collect();
        assert_eq!(names, ["emmc", "gpio"]);
        let required = changed(&[("devices = { emmc", "devices = { emmc2 = { rules = \"board\" }, emmc")]);
        let message = read(&required).err().unwrap().to_string();
        assert!(message.contains("board raspi3b has no device `emmc2`"), "{message}");
    }
}
