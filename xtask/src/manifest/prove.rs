//! What the build proves of a system before it exists: the call graph, deadlines, who controls whom, and rights.
//!
//! Rule: every defect is reported with its line and a remedy, and all of them at once.

use abi::SlotId;
use abi::layout::{ARENA_BASE, HEAP_BASE, HEAP_END, PLAN_BASE, STACK_LIMIT, STACK_TOP};
use abi::rights::Rights;

use super::diagnostic::{At, Source};
use super::graph::{self, Defect};
use super::model::{Component, Manifest};
use super::reader::format_size;
use super::resolve::{Links, calls_of};

/// The component that restarts the others.
const RS: &str = "rs";

/// Manifests that may contain fault injection: their names begin with one of these.
const INJECTING: [&str; 5] = ["demo", "test", "bench", "campaign", "shell"];

const PAGE: u64 = abi::PAGE_SIZE as u64;

/// Checks everything that can be known without the images; `name` is the manifest's. Defects go to `source`.
pub fn prove(manifest: &Manifest, name: &str, links: &[Links], source: &Source) {
    let components = &manifest.components;
    for (component, link) in components.iter().zip(links) {
        sizes(component, source);
        policy(component, link, source);
    }
    call_graph(components, links, source);
    deadlines(components, links, source);
    control(components, links, source);
    rights(manifest, name, source);
}

fn sizes(component: &Component, source: &Source) {
    if !(1..=31).contains(&component.priority.value) {
        let message = format!("the priority of \"{}\" is {}", component.name.value, component.priority.value);
        source.report(component.priority.line, message, "write 1 (lowest) to 31");
    }
    let stack_max = STACK_TOP - STACK_LIMIT;
    let limits = [
        ("memory", component.memory, PAGE, u64::MAX, PAGE),
        ("stack", component.stack, PAGE, stack_max, PAGE),
        ("heap", component.heap, 0, HEAP_END - HEAP_BASE, PAGE),
        ("checkpoint", component.checkpoint, 0, 1 << 20, 64),
        ("log", component.log, PAGE, 1 << 20, PAGE),
        // Halves of whole pages alternate.
        ("arena", component.arena, 0, PLAN_BASE - ARENA_BASE, 2 * PAGE),
    ];
    for (key, At { value, line }, least, most, unit) in limits {
        let what = format!("`{key}` of \"{}\" is {}", component.name.value, format_size(value));
        if value < least {
            source.report(line, what, format!("write at least `{key} = \"{}\"`", format_size(least)));
        } else if value > most {
            source.report(line, what, format!("write at most `{key} = \"{}\"`", format_size(most)));
        } else if !value.is_multiple_of(unit) {
            let up = format_size(value.next_multiple_of(unit));
            source.report(
                line,
                what,
                format!("write a multiple of {unit} bytes, such as `{key} = \"{up}\"`"),
            );
        }
    }
}

fn policy(component: &Component, link: &Links, source: &Source) {
    let name = &component.name.value;
    let policy = &component.policy;
    let report = |message: String, remedy: &str| source.report(component.policy_line, message, remedy);
    if !component.has_policy && name != "root" {
        let remedy = "add `policy = { heartbeat_ms = 2, hang_ms = 5, restart_bound_ms = 10 }`";
        report(format!("component \"{name}\" lacks `policy`"), remedy);
        return;
    }
    if policy.heartbeat_period > 0 && policy.hang_cpu == 0 {
        report(
            format!("\"{name}\" gets heartbeats but may use no CPU time"),
            "write `hang_ms` greater than 0",
        );
    }
    if link.service.is_some() && policy.max_service == 0 {
        let message = format!("\"{name}\" serves, but its policy has no `max_service_ms`");
        report(message, "add `max_service_ms = 6`: the longest that a request may be in service");
    }
    if policy.backoff_first > policy.backoff_max {
        report(format!("the back-off of \"{name}\" begins above its limit"), "raise `backoff_max_ms`");
    }
    if policy.intensity > 0 && policy.intensity_window == 0 {
        report(
            format!("the intensity of \"{name}\" has no window"),
            "write `intensity_window_ms` greater than 0",
        );
    }
    if component.has_policy && policy.state_tries == 0 {
        report(format!("\"{name}\" may never keep its state"), "write `state_tries` greater than 0");
    }
}

fn call_graph(components: &[Component], links: &[Links], source: &Source) {
    let priorities: Vec<u32> = components.iter().map(|component| component.priority.value as u32).collect();
    let calls: Vec<(usize, usize)> =
        calls_of(links).map(|(caller, server)| (caller, server.into())).collect();
    let name =
        |slot: usize| format!("\"{}\" ({})", components[slot].name.value, components[slot].priority.value);
    for defect in graph::check(&priorities, &calls) {
        match defect {
            Defect::Cycle(cycle) => {
                let chain: Vec<String> = cycle.iter().chain(cycle.first()).map(|&slot| name(slot)).collect();
                let next = cycle.get(1).unwrap_or(&cycle[0]);
                let message = format!("calls go in a circle: {}", chain.join(" -> "));
                let remedy = "remove one of these calls: let the lower component be notified instead";
                source.report(line_of_call(components, links, cycle[0], *next), message, remedy);
            }
            Defect::Downhill { caller, server } => {
                let message =
                    format!("{} calls {}, whose priority is not higher", name(caller), name(server));
                let remedy = format!(
                    "raise \"{}\" above {} or lower \"{}\"",
                    components[server].name.value,
                    components[caller].priority.value,
                    components[caller].name.value
                );
                source.report(line_of_call(components, links, caller, server), message, remedy);
            }
        }
    }
}

fn line_of_call(components: &[Component], links: &[Links], caller: usize, server: usize) -> usize {
    let index = links[caller].calls.iter().position(|(slot, _)| usize::from(*slot) == server);
    let call = index.and_then(|index| components[caller].calls.get(index));
    call.map_or(components[caller].name.line, |call| call.service.line)
}

/// Each caller waits at least as long as one service and one restart may take, of the server and of everything that the
/// server may wait for in turn: whoever gives up first must be the one that is nearest to the cause.
fn deadlines(components: &[Component], links: &[Links], source: &Source) {
    let beneath = beneath(components, links);
    for (caller, component) in components.iter().enumerate() {
        for (call, (slot, _)) in component.calls.iter().zip(&links[caller].calls) {
            let server = &components[usize::from(*slot)];
            let (service, restart) = (server.policy.max_service, server.policy.restart_bound);
            let beneath = beneath[usize::from(*slot)];
            let least = service.saturating_add(restart).saturating_add(beneath);
            if call.deadline < least {
                let called = if beneath > 0 {
                    format!(" + {} for what it calls", milliseconds(beneath))
                } else {
                    String::new()
                };
                let message = format!(
                    "\"{}\" waits {} ms for `{}`, but \"{}\" may take {} ms (max_service {} + restart_bound {}{called})",
                    component.name.value,
                    milliseconds(call.deadline),
                    call.service.value,
                    server.name.value,
                    milliseconds(least),
                    milliseconds(service),
                    milliseconds(restart),
                );
                let remedy = format!("write `deadline_ms` of at least {}", milliseconds(least));
                source.report(call.service.line, message, remedy);
            }
        }
    }
}

/// For each component, the longest time in nanoseconds for which one call of it may block it: the worst of its servers,
/// with what that one calls. Calls that are not uphill are reported elsewhere and left out.
fn beneath(components: &[Component], links: &[Links]) -> Vec<u64> {
    let priority = |slot: usize| components[slot].priority.value;
    let mut slots: Vec<usize> = (0..components.len()).collect();
    slots.sort_by_key(|&slot| std::cmp::Reverse(priority(slot)));
    let mut longest = vec![0; components.len()];
    for slot in slots {
        let servers = links[slot].calls.iter().map(|(server, _)| usize::from(*server));
        let times = servers.filter(|&server| priority(server) > priority(slot)).map(|server| {
            let policy = &components[server].policy;
            policy.max_service.saturating_add(policy.restart_bound).saturating_add(longest[server])
        });
        longest[slot] = times.max().unwrap_or(0);
    }
    longest
}

/// Nanoseconds as milliseconds, without superfluous zeros.
fn milliseconds(ns: u64) -> String {
    let text = format!("{}.{:06}", ns / 1_000_000, ns % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').into()
}

/// Root starts RS, RS starts the rest; both outrank what they control and call nobody.
fn control(components: &[Component], links: &[Links], source: &Source) {
    for (slot, component) in components.iter().enumerate() {
        let (name, line) = (&component.name.value, component.name.line);
        let trusted = slot == usize::from(abi::ROOT) || name == RS;
        if !trusted && let Some(first) = component.controls.first() {
            let message = format!("\"{name}\" is to control \"{}\"", first.value);
            source.report(
                first.line,
                message,
                format!("remove `controls`: only \"root\" and \"{RS}\" control components"),
            );
        }
        if trusted && let Some(call) = component.calls.first() {
            let message = format!("\"{name}\" calls `{}`", call.service.value);
            let remedy = "remove the call: who restarts others must wait for none of them";
            source.report(call.service.line, message, remedy);
        }
        for (other, controlled) in components.iter().enumerate() {
            let controls = links[slot].controls >> other & 1 == 1;
            if controls && other == usize::from(abi::ROOT) {
                let message = format!("\"{name}\" is to control \"root\"");
                source.report(line, message, "remove it: the death of root resets the board");
            } else if controls && trusted && controlled.priority.value >= component.priority.value {
                let message =
                    format!("\"{name}\" controls \"{}\", whose priority is not lower", controlled.name.value);
                let remedy = format!(
                    "lower it below {}: a loop there must not stop its own detection",
                    component.priority.value
                );
                source.report(controlled.priority.line, message, remedy);
            }
        }
        if slot != usize::from(abi::ROOT) {
            started_by_one(components, links, slot as SlotId, source);
        }
    }
}

fn started_by_one(components: &[Component], links: &[Links], slot: SlotId, source: &Source) {
    let component = &components[usize::from(slot)];
    let name = &component.name;
    let starters: Vec<&str> = (0..components.len())
        .filter(|&other| links[other].controls >> slot & 1 == 1)
        .map(|other| components[other].name.value.as_str())
        .collect();
    match starters[..] {
        [] => {
            let remedy = format!("add \"{}\" to the `controls` of \"{RS}\"", name.value);
            source.report(
                name.line,
                format!("nobody controls \"{}\", so nobody starts it", name.value),
                remedy,
            );
        }
        [_] => {}
        [first, second, ..] => {
            let message = format!("both \"{first}\" and \"{second}\" control \"{}\"", name.value);
            source.report(name.line, message, "remove it from one of the `controls`");
        }
    }
    let controller = (0..components.len()).find(|&other| links[other].controls >> slot & 1 == 1);
    let group = links[usize::from(slot)].group;
    if let Some(controller) = controller.filter(|&other| group & !links[other].controls != 0) {
        let message = format!(
            "the group of \"{}\" has a member that \"{}\" does not control",
            name.value, components[controller].name.value
        );
        source.report(component.policy_line, message, "name components with the same controller only");
    }
}

fn rights(manifest: &Manifest, name: &str, source: &Source) {
    let mut injector: Option<&str> = None;
    for (slot, component) in manifest.components.iter().enumerate() {
        let own = component.name.value.as_str();
        for right in &component.rights {
            let report = |message: String, remedy: &str| source.report(right.line, message, remedy);
            if right.value == Rights::RESET && slot != usize::from(abi::ROOT) && own != RS {
                report(format!("\"{own}\" may reset the board"), "leave `reset` to \"root\" and \"rs\"");
            }
            if right.value == Rights::MANUAL && slot == usize::from(abi::ROOT) {
                report(
                    "\"root\" is not started at boot".into(),
                    "remove `manual`: the kernel starts root itself",
                );
            }
            if right.value != Rights::INJECT {
                continue;
            }
            if manifest.real_card {
                report(
                    format!("\"{own}\" may inject faults on a real card"),
                    "remove `inject` or `real_card`",
                );
            } else if !INJECTING.iter().any(|prefix| name.starts_with(prefix)) {
                let remedy = format!(
                    "remove `inject`, or name the manifest after its purpose: {}",
                    INJECTING.join(", ")
                );
                report(format!("\"{own}\" may inject faults, but the manifest is called `{name}`"), &remedy);
            }
            if let Some(other) = injector {
                report(
                    format!("both \"{other}\" and \"{own}\" may inject faults"),
                    "leave `inject` to one component",
                );
            }
            injector = Some(own);
        }
    }
}
