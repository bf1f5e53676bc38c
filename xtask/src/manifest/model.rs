//! A manifest as it is written: the syntax is right, nothing is looked up yet.
//!
//! Rule: defects that one entry shows by itself are found here; whatever takes another entry, the board or the images is
//! found later.

use abi::rights::{Policy, Rights};

use super::diagnostic::At;
use super::reader::{Reader, Unit};

/// A whole manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Whether the image is for a card of a real board: no fault injection.
    pub real_card: bool,
    /// The components; the index is the slot.
    pub components: Vec<Component>,
}

/// One component. Sizes in bytes, times in nanoseconds.
#[derive(Clone, Debug)]
pub struct Component {
    /// Its name.
    pub name: At<String>,
    /// Boards that have it; empty for all.
    pub boards: Vec<At<String>>,
    /// The package and program; `None` for a spare slot.
    pub image: Option<At<String>>,
    /// 1 to 31.
    pub priority: At<u64>,
    /// Size of the bank.
    pub memory: At<u64>,
    /// Size of the stack.
    pub stack: At<u64>,
    /// Most bytes of heap.
    pub heap: At<u64>,
    /// Most bytes in a checkpoint.
    pub checkpoint: At<u64>,
    /// Size of the log ring.
    pub log: At<u64>,
    /// Size of the arena.
    pub arena: At<u64>,
    /// Size of the store of a spare slot: the largest program file, its header included.
    pub store: At<u64>,
    /// Names of the spare slots that it may put programs into.
    pub loads: Vec<At<String>>,
    /// Names of the components that it controls.
    pub controls: Vec<At<String>>,
    /// Rights that are not lists.
    pub rights: Vec<At<Rights>>,
    /// Name of the service.
    pub serves: Option<At<String>>,
    /// Services that it calls; the index is the handle.
    pub calls: Vec<Call>,
    /// Names of the components that it may notify.
    pub notifies: Vec<At<String>>,
    /// Interrupt lines; the index is the handle.
    pub irqs: Vec<Irq>,
    /// Devices; the index is the handle of the window.
    pub devices: Vec<DeviceUse>,
    /// CPU time in each period; zeros for no limit.
    pub budget: (u64, u64),
    /// Numbers for the program.
    pub parameters: Vec<(At<String>, u64)>,
    /// Names of those whose values are in the board's data.
    pub board_parameters: Vec<At<String>>,
    /// Whether there is a `policy`.
    pub has_policy: bool,
    /// How it is watched and restarted; the group is in `group`.
    pub policy: Policy,
    /// The line of the policy.
    pub policy_line: usize,
    /// Names of the components that are restarted with it.
    pub group: Vec<At<String>>,
}

impl Component {
    /// Whether it has the right.
    pub fn has(&self, right: Rights) -> bool {
        self.rights.iter().any(|at| at.value == right)
    }
}

/// The right to call a service.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name of the service.
    pub service: At<String>,
    /// Longest wait for an answer, which the program uses.
    pub deadline: u64,
    /// Labels; `None` for all that the service has.
    pub labels: Option<Vec<At<u64>>>,
}

/// The right to an interrupt line.
#[derive(Clone, Debug)]
pub struct Irq {
    /// Name of the line.
    pub line: At<String>,
    /// Whether a board without it is all right.
    pub optional: bool,
    /// Most interrupts in a window.
    pub storm: u32,
    /// The window.
    pub window: u64,
}

/// The right to a device.
#[derive(Clone, Debug)]
pub struct DeviceUse {
    /// Name of the device.
    pub device: At<String>,
    /// Whether its pages are mapped; otherwise the rules hold.
    pub mapped: bool,
    /// Whether a board without it is all right: the component then has no such window.
    pub optional: bool,
    /// Registers that may be accessed one by one.
    pub rules: Vec<Rule>,
    /// The rules are those that the board's data gives for the device.
    pub board_rules: bool,
}

/// The right to bits of one register.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rule {
    /// Line of the rule.
    pub line: usize,
    /// Offset in the device.
    pub offset: u64,
    /// The bits.
    pub mask: u32,
    /// Further bits that may be written as zeros only.
    pub zero: u32,
    /// They may be read.
    pub read: bool,
    /// They may be written.
    pub write: bool,
}

/// Names of the rights.
pub const RIGHTS: [(&str, Rights); 7] = [
    ("inject", Rights::INJECT),
    ("reset", Rights::RESET),
    ("event", Rights::EVENT),
    ("plan", Rights::PLAN),
    ("inspect", Rights::INSPECT),
    ("blame", Rights::BLAME),
    ("manual", Rights::MANUAL),
];

const KEYS: [&str; 22] = [
    "boards",
    "image",
    "spare",
    "priority",
    "memory",
    "stack",
    "heap",
    "checkpoint",
    "log",
    "arena",
    "store",
    "loads",
    "controls",
    "rights",
    "serves",
    "calls",
    "notifies",
    "irqs",
    "devices",
    "budget",
    "parameters",
    "policy",
];

/// Not watched; back-off from 10 ms to 1 s; 10 deaths in 10 s; 3 tries with state.
const DEFAULT_POLICY: Policy = Policy {
    heartbeat_period: 0,
    hang_cpu: 0,
    max_service: 0,
    restart_bound: 0,
    backoff_first: 10_000_000,
    backoff_max: 1_000_000_000,
    intensity: 10,
    state_tries: 3,
    intensity_window: 10_000_000_000,
    group: 0,
    suppliers: 0,
};

const POLICY_KEYS: [&str; 10] = [
    "heartbeat_ms",
    "hang_ms",
    "max_service_ms",
    "restart_bound_ms",
    "backoff_first_ms",
    "backoff_max_ms",
    "intensity",
    "intensity_window_ms",
    "state_tries",
    "group",
];

/// Reads a manifest; defects go to the reader's source.
pub fn manifest(reader: &Reader<'_>) -> Manifest {
    reader.only("a manifest", &["real_card", "component"]);
    let entries = reader.entries("component", "{ … }");
    if entries.is_empty() {
        reader.source().report(1, "the manifest has no component", "add `[component.root]`");
    }
    let components: Vec<_> =
        entries.into_iter().filter_map(|(name, entry)| component(name, &entry)).collect();
    Manifest { real_card: reader.flag("real_card"), components }
}

fn component(name: At<String>, entry: &Reader<'_>) -> Option<Component> {
    let what = format!("component \"{}\"", name.value);
    entry.only(&what, &KEYS);
    let required = |key: &str, example: &str| {
        if !entry.has(key) {
            entry.missing(&what, key, example);
        }
    };
    let (spare, rights) = (entry.flag("spare"), rights(entry));
    if spare {
        spare_slot(&what, entry, &rights);
    } else {
        required("image", &format!("\"{}\"", name.value));
    }
    required("priority", "8");
    required("memory", "\"128K\"");
    required("stack", "\"16K\"");
    let size =
        |key: &str, default: u64| entry.size(key, "64K").unwrap_or(At { value: default, line: entry.line });
    let priority = entry.integer("priority", "8");
    let (memory, stack) = (entry.size("memory", "128K"), entry.size("stack", "16K"));
    let image = entry.text("image", "\"name\"");
    let table = entry.table("policy", "{ … }");
    let (policy, group) = policy(&what, table.as_ref());
    let (parameters, board_parameters) = parameters(entry);
    let component = Component {
        boards: entry.texts("boards", "[\"NAME\"]"),
        image: if spare { None } else { Some(image?) },
        priority: priority?,
        memory: memory?,
        stack: stack?,
        heap: size("heap", 0),
        checkpoint: size("checkpoint", 0),
        log: size("log", 4096),
        arena: size("arena", 0),
        store: size("store", 0),
        loads: entry.texts("loads", "[\"name\"]"),
        controls: entry.texts("controls", "[\"name\"]"),
        rights,
        serves: entry.text("serves", "\"service\""),
        calls: entry
            .entries("calls", "{ service = { deadline_ms = 1000 } }")
            .into_iter()
            .filter_map(call)
            .collect(),
        notifies: entry.texts("notifies", "[\"name\"]"),
        irqs: entry.entries("irqs", "{ line = { … } }").into_iter().filter_map(irq).collect(),
        devices: entry.entries("devices", "{ name = { … } }").into_iter().map(device).collect(),
        budget: budget(entry),
        parameters,
        board_parameters,
        has_policy: table.is_some(),
        policy,
        policy_line: table.map_or(name.line, |table| table.line),
        group,
        name,
    };
    Some(component)
}

/// What a spare slot must have and must not have.
fn spare_slot(what: &str, entry: &Reader<'_>, rights: &[At<Rights>]) {
    if entry.has("image") {
        let remedy = "remove one of them: a spare slot gets its programs from the card";
        entry.source().report(
            entry.line_of("image"),
            format!("{what} is `spare` and has an `image`"),
            remedy,
        );
    }
    if !rights.iter().any(|at| at.value == Rights::MANUAL) {
        let remedy = "add `rights = [\"manual\"]`: at boot there is no program that could be started";
        entry.source().report(
            entry.line_of("spare"),
            format!("{what} is `spare` without the right `manual`"),
            remedy,
        );
    }
}

fn rights(entry: &Reader<'_>) -> Vec<At<Rights>> {
    let right = |name: At<String>| {
        let found = RIGHTS.iter().find(|(known, _)| *known == name.value);
        if found.is_none() {
            let known: Vec<&str> = RIGHTS.iter().map(|(known, _)| *known).collect();
            let remedy = super::diagnostic::suggest(&name.value, &known, "rights");
            entry.source().report(name.line, format!("there is no right `{}`", name.value), remedy);
        }
        Some(At { value: found?.1, line: name.line })
    };
    entry.texts("rights", "[\"event\"]").into_iter().filter_map(right).collect()
}

fn call((service, entry): (At<String>, Reader<'_>)) -> Option<Call> {
    let what = format!("the call of `{}`", service.value);
    entry.only(&what, &["deadline_ms", "labels"]);
    if !entry.has("deadline_ms") {
        entry.missing(&what, "deadline_ms", "1000");
    }
    let deadline = entry.duration("deadline_ms", Unit::Milliseconds, "1000");
    let mut labels = entry.integers("labels", "[0, 1]");
    if labels.is_none() && entry.has("labels") {
        match entry.text("labels", "\"all\"") {
            Some(text) if text.value == "all" => {}
            Some(text) => {
                let message = format!("`labels` is the text \"{}\"", text.value);
                entry.source().report(text.line, message, "write `labels = \"all\"` or a list of numbers");
            }
            None => labels = Some(Vec::new()),
        }
    }
    Some(Call { service, deadline: deadline?.value, labels })
}

fn irq((line, entry): (At<String>, Reader<'_>)) -> Option<Irq> {
    let what = format!("the interrupt `{}`", line.value);
    entry.only(&what, &["storm", "window_ms", "optional"]);
    for (key, example) in [("storm", "2000"), ("window_ms", "10")] {
        if !entry.has(key) {
            entry.missing(&what, key, example);
        }
    }
    let storm = entry.integer("storm", "2000");
    let window = entry.duration("window_ms", Unit::Milliseconds, "10");
    let (storm, window) = (storm?, window?);
    if storm.value == 0 || window.value == 0 || storm.value > u64::from(u32::MAX) {
        let message = format!("{what} allows {} interrupts in {} ns", storm.value, window.value);
        entry.source().report(storm.line, message, "write for example `{ storm = 2000, window_ms = 10 }`");
        return None;
    }
    Some(Irq { line, optional: entry.flag("optional"), storm: storm.value as u32, window: window.value })
}

fn device((device, entry): (At<String>, Reader<'_>)) -> DeviceUse {
    entry.only(&format!("the device `{}`", device.value), &["mapped", "optional", "rules"]);
    let board_rules = entry.is_text("rules");
    let rules = if board_rules {
        if let Some(text) = entry.text("rules", "\"board\"").filter(|text| text.value != "board") {
            let message = format!("`rules` is the text \"{}\"", text.value);
            entry.source().report(text.line, message, "write `rules = \"board\"` or a list of rules");
        }
        Vec::new()
    } else {
        rules(&device.value, &entry)
    };
    DeviceUse { mapped: entry.flag("mapped"), optional: entry.flag("optional"), rules, board_rules, device }
}

/// The list `rules` of a device.
pub fn rules(device: &str, entry: &Reader<'_>) -> Vec<Rule> {
    entry.tables("rules", "[{ … }]").iter().filter_map(|reader| rule(device, reader)).collect()
}

fn rule(device: &str, reader: &Reader<'_>) -> Option<Rule> {
    let what = format!("a rule of `{device}`");
    reader.only(&what, &["offset", "mask", "zero", "read", "write"]);
    if !reader.has("offset") {
        reader.missing(&what, "offset", "0x00");
    }
    let offset = reader.integer("offset", "0x00");
    let mask = reader.integer("mask", "0xFFFF_FFFF").map_or(Some(u32::MAX), |at| {
        let mask = u32::try_from(at.value).ok().filter(|mask| *mask != 0);
        if mask.is_none() {
            let message = format!("the mask {:#x} is no set of bits of a 32-bit register", at.value);
            reader.source().report(at.line, message, "write 0x1 to 0xFFFF_FFFF");
        }
        mask
    });
    let zero = reader.integer("zero", "0x1").map_or(Some(0), |at| {
        let zero = u32::try_from(at.value).ok().filter(|zero| mask.is_none_or(|mask| zero & mask == 0));
        if zero.is_none() {
            let message = format!(
                "`zero` of {what} is {:#x}: no 32-bit set, or bits that the mask has already",
                at.value
            );
            reader.source().report(
                at.line,
                message,
                "write bits that may be written as zeros and are not in the mask",
            );
        }
        zero
    });
    let (read, write) = (reader.flag("read"), reader.flag("write"));
    Some(Rule { line: reader.line, offset: offset?.value, mask: mask?, zero: zero?, read, write })
}

fn budget(entry: &Reader<'_>) -> (u64, u64) {
    let Some(table) = entry.table("budget", "{ us = 500, period_us = 10000 }") else {
        return (0, 0);
    };
    table.only("`budget`", &["us", "period_us"]);
    for (key, example) in [("us", "500"), ("period_us", "10000")] {
        if !table.has(key) {
            table.missing("`budget`", key, example);
        }
    }
    let time = |key: &str| table.duration(key, Unit::Microseconds, "500").map(|at| at.value);
    let (Some(budget), Some(period)) = (time("us"), time("period_us")) else {
        return (0, 0);
    };
    if budget == 0 || budget > period {
        let message = format!("a budget of {} us in {} us", budget / 1000, period / 1000);
        table.source().report(table.line, message, "write `us` greater than 0 and at most `period_us`");
    }
    (budget, period)
}

/// Names and their values.
type Parameters = Vec<(At<String>, u64)>;

/// The parameters with a value, and the names of those that have the value `"board"`.
fn parameters(entry: &Reader<'_>) -> (Parameters, Vec<At<String>>) {
    let Some(table) = entry.table("parameters", "{ name = 1 }") else {
        return Default::default();
    };
    let (of_board, own): (Vec<_>, Vec<_>) =
        table.keys().into_iter().partition(|name| table.is_text(&name.value));
    for text in of_board.iter().filter_map(|name| table.text(&name.value, "\"board\"")) {
        if text.value != "board" {
            let message = format!("`{}` is no number", text.value);
            table.source().report(text.line, message, "write a number, or \"board\" for the board's");
        }
    }
    let value = |name: At<String>| table.integer(&name.value, "1").map(|at| (name, at.value));
    (own.into_iter().filter_map(value).collect(), of_board)
}

/// The policy; what is not written is as in [`DEFAULT_POLICY`].
fn policy(what: &str, table: Option<&Reader<'_>>) -> (Policy, Vec<At<String>>) {
    let Some(table) = table else {
        return (DEFAULT_POLICY, Vec::new());
    };
    table.only(&format!("the policy of {what}"), &POLICY_KEYS);
    for (key, example) in [("heartbeat_ms", "2"), ("hang_ms", "5"), ("restart_bound_ms", "10")] {
        if !table.has(key) {
            table.missing(&format!("the policy of {what}"), key, example);
        }
    }
    let time = |key: &str, default: u64| {
        table.duration(key, Unit::Milliseconds, "10").map_or(default, |at| at.value)
    };
    let count = |key: &str, default: u32| {
        table.integer(key, "3").map_or(default, |at| u32::try_from(at.value).unwrap_or(u32::MAX))
    };
    let policy = Policy {
        heartbeat_period: time("heartbeat_ms", 0),
        hang_cpu: time("hang_ms", 0),
        max_service: time("max_service_ms", 0),
        restart_bound: time("restart_bound_ms", 0),
        backoff_first: time("backoff_first_ms", DEFAULT_POLICY.backoff_first),
        backoff_max: time("backoff_max_ms", DEFAULT_POLICY.backoff_max),
        intensity: count("intensity", DEFAULT_POLICY.intensity),
        state_tries: count("state_tries", DEFAULT_POLICY.state_tries),
        intensity_window: time("intensity_window_ms", DEFAULT_POLICY.intensity_window),
        group: 0,
        suppliers: 0,
    };
    (policy, table.texts("group", "[\"name\"]"))
}
