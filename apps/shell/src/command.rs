//! What a line means: the commands, their arguments and their usage.

use abi::plan::Fault;
use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use protocols::bytes::FILL_MAX;

/// What is done to a component.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verb {
    /// Keeps it from running until it is started.
    Stop,
    /// Starts it.
    Start,
    /// Ends this incarnation and starts the next.
    Restart,
    /// Ends its quarantine.
    Release,
}

/// A line that makes sense. Components are names, paths are as typed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// All commands, or the usage of one.
    Help(Option<&'static Entry>),
    /// Components.
    Ps,
    /// Components as servers.
    Services,
    /// A directory or a file.
    List(String),
    /// The contents of files.
    Cat(Vec<String>),
    /// Makes or replaces a file.
    Write(String, String),
    /// Adds to a file.
    Append(String, String),
    /// Copies a file.
    Copy(String, String),
    /// Renames.
    Move(String, String),
    /// Removes files and empty directories.
    Remove(Vec<String>),
    /// Makes directories.
    MakeDirectory(Vec<String>),
    /// All facts about a name.
    Stat(Vec<String>),
    /// Space on the card.
    Space,
    /// Everything to the card.
    Sync,
    /// Log and death of a component.
    Log(String),
    /// Memory.
    Memory,
    /// Time since power-on.
    Uptime,
    /// A program and its arguments.
    Run(String, String),
    /// Bytes from the random number generator.
    Random(u32),
    /// Asks a driver, with numbers that its kind gives a meaning.
    Ask(String, Vec<u64>),
    /// Kills a component.
    Kill(String),
    /// Makes a component fail.
    Fault(String, Fault),
    /// Controls a component.
    Service(Verb, String),
}

/// A command as `help` shows it.
#[derive(PartialEq, Eq, Debug)]
pub struct Entry {
    /// First word of the line.
    pub name: &'static str,
    /// Arguments.
    pub arguments: &'static str,
    /// What it does.
    pub summary: &'static str,
}

const fn entry(name: &'static str, arguments: &'static str, summary: &'static str) -> Entry {
    Entry { name, arguments, summary }
}

/// All commands.
pub const ENTRIES: &[Entry] = &[
    entry("help", "[COMMAND]", "this list, or the usage of one command"),
    entry("ps", "", "components: state, restarts, memory, CPU, last death"),
    entry("services", "", "components as servers: requests queued and in service"),
    entry("ls", "[PATH]", "list a directory"),
    entry("cat", "FILE...", "show files"),
    entry("write", "FILE TEXT...", "make or replace a file with one line of text"),
    entry("append", "FILE TEXT...", "add one line of text to a file"),
    entry("cp", "FROM TO", "copy a file"),
    entry("mv", "FROM TO", "rename or move a file or directory"),
    entry("rm", "PATH...", "remove files and empty directories"),
    entry("mkdir", "PATH...", "make directories"),
    entry("stat", "PATH...", "facts about files and directories"),
    entry("df", "", "space on the card"),
    entry("sync", "", "wait until everything is on the card"),
    entry("log", "COMPONENT", "recent text log and last death of a component"),
    entry("mem", "", "memory of components, counters of the kernel"),
    entry("uptime", "", "seconds since power-on"),
    entry("random", "[BYTES]", "bytes from the random number generator, 16 unless told"),
    entry("ask", "DRIVER [NUMBER...]", "ask a driver for a register, bytes, a block or a pin"),
    entry("run", "PROGRAM [ARGUMENTS]", "run a program of /bin in a spare slot; Ctrl-C ends it"),
    entry("kill", "COMPONENT", "kill a component; it comes back"),
    entry("fault", "COMPONENT KIND", "make a component fail"),
    entry("service", "[stop|start|restart|release COMPONENT]", "list or control components"),
];

impl Entry {
    /// The entry of a command.
    pub fn named(name: &str) -> Option<&'static Self> {
        ENTRIES.iter().find(|entry| entry.name == name)
    }

    /// Name and arguments.
    pub fn usage(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().to_owned()
    }
}

/// What the words of a line mean; `None` if there are none.
///
/// # Errors
/// A text for the user, which names what is wrong and the remedy.
pub fn command(words: &[String]) -> Option<Result<Command, String>> {
    let (name, arguments) = words.split_first()?;
    Some(match Entry::named(name) {
        Some(entry) => meaning(entry, arguments),
        None => Err(format!("{name}: no such command; `help` lists all")),
    })
}

fn meaning(entry: &'static Entry, arguments: &[String]) -> Result<Command, String> {
    let one = |word: &String| word.clone();
    Ok(match (entry.name, arguments) {
        ("help", []) => Command::Help(None),
        ("help", [name]) => Command::Help(Some(
            Entry::named(name).ok_or_else(|| format!("help: no command {name:?}; `help` lists all"))?,
        )),
        ("ps", []) => Command::Ps,
        ("services" | "service", []) => Command::Services,
        ("service", [only]) if only == "list" => Command::Services,
        ("ls", []) => Command::List("/".into()),
        ("ls", [path]) => Command::List(one(path)),
        ("cat", [_, ..]) => Command::Cat(arguments.to_vec()),
        ("write", [path, text @ ..]) if !text.is_empty() => Command::Write(one(path), text.join(" ")),
        ("append", [path, text @ ..]) if !text.is_empty() => Command::Append(one(path), text.join(" ")),
        ("cp", [from, to]) => Command::Copy(one(from), one(to)),
        ("mv", [from, to]) => Command::Move(one(from), one(to)),
        ("rm", [_, ..]) => Command::Remove(arguments.to_vec()),
        ("mkdir", [_, ..]) => Command::MakeDirectory(arguments.to_vec()),
        ("stat", [_, ..]) => Command::Stat(arguments.to_vec()),
        ("df", []) => Command::Space,
        ("sync", []) => Command::Sync,
        ("log", [component]) => Command::Log(one(component)),
        ("mem", []) => Command::Memory,
        ("uptime", []) => Command::Uptime,
        ("random", []) => Command::Random(16),
        ("random", [bytes]) => Command::Random(
            bytes
                .parse()
                .ok()
                .filter(|bytes| (1..=FILL_MAX).contains(bytes))
                .ok_or_else(|| format!("random: {bytes:?} is no number of bytes from 1 to {FILL_MAX}"))?,
        ),
        ("ask", [driver, numbers @ ..]) => {
            Command::Ask(one(driver), numbers.iter().map(|text| number(text)).collect::<Result<_, _>>()?)
        }
        ("run", [program, arguments @ ..]) => Command::Run(one(program), arguments.join(" ")),
        ("kill", [component]) => Command::Kill(one(component)),
        ("fault", [component, kind]) => {
            let fault = Fault::from_name(kind);
            Command::Fault(
                one(component),
                fault.ok_or_else(|| format!("fault: no kind {kind:?}; kinds: {}", kinds()))?,
            )
        }
        ("service", [verb, component]) => {
            let verb = Verb::named(verb)
                .ok_or_else(|| format!("service: cannot {verb:?}; usage: {}", entry.usage()))?;
            Command::Service(verb, one(component))
        }
        _ => {
            return Err(format!("{}: wrong arguments; usage: {}", entry.name, entry.usage()));
        }
    })
}

/// A number, decimal or with `0x`.
fn number(text: &str) -> Result<u64, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        _ => text.parse().ok(),
    };
    parsed.ok_or_else(|| format!("ask: {text:?} is no number; write 10 or 0x0a"))
}

/// The kinds of faults.
pub fn kinds() -> String {
    Fault::ALL.map(Fault::name).join(", ")
}

impl Verb {
    /// The names of all verbs.
    pub const NAMES: [&'static str; 4] = ["stop", "start", "restart", "release"];

    fn named(name: &str) -> Option<Self> {
        let all = [Self::Stop, Self::Start, Self::Restart, Self::Release];
        Self::NAMES.iter().zip(all).find(|(known, _)| **known == name).map(|(_, verb)| verb)
    }
}

/// What `help` prints.
pub fn help(of: Option<&Entry>) -> String {
    let Some(entry) = of else {
        return ENTRIES.iter().map(|entry| format!("{:<46} {}\n", entry.usage(), entry.summary)).collect();
    };
    let mut text = format!("usage: {}\n{}\n", entry.usage(), entry.summary);
    if entry.name == "fault" {
        text += &format!("kinds: {}\n", kinds());
    }
    text
}

/// `path` from the root: the shell has no current directory.
pub fn absolute(path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("/{path}") }
}

/// Where `from` goes when `to` is a directory.
pub fn inside(directory: &str, from: &str) -> String {
    let name = from.trim_end_matches('/').rsplit('/').next().unwrap_or("");
    format!("{}/{name}", directory.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::words;
    use proptest::prelude::*;

    fn run(line: &str) -> Result<Command, String> {
        command(&words(line).unwrap()).unwrap()
    }

    #[test]
    fn lines_mean_commands() {
        assert_eq!(run("write f a  'b  c'"), Ok(Command::Write("f".into(), "a b  c".into())));
        assert_eq!(run("fault fs wild-write"), Ok(Command::Fault("fs".into(), Fault::WildWrite)));
        assert_eq!(run("service release fs"), Ok(Command::Service(Verb::Release, "fs".into())));
        assert_eq!(run("service"), Ok(Command::Services));
        assert_eq!(run("ls"), Ok(Command::List("/".into())));
        assert_eq!((run("random"), run("random 3")), (Ok(Command::Random(16)), Ok(Command::Random(3))));
        assert_eq!(run("ask timer 0x10 7"), Ok(Command::Ask("timer".into(), Vec::from([16, 7]))));
        assert_eq!(run("ask timer"), Ok(Command::Ask("timer".into(), Vec::new())));
        assert_eq!(command(&[]), None);
    }

    #[test]
    fn errors_name_the_thing_and_the_remedy() {
        assert_eq!(run("frob").unwrap_err(), "frob: no such command; `help` lists all");
        assert_eq!(run("cp a").unwrap_err(), "cp: wrong arguments; usage: cp FROM TO");
        assert!(run("fault fs slow").unwrap_err().contains("stack-overflow"));
        assert!(run("service hug fs").unwrap_err().contains("release"));
        for text in ["0x", "0x+1", "x", "-1", "1.5"] {
            assert!(run(&format!("ask timer {text}")).unwrap_err().contains("is no number"));
        }
        for bytes in ["0", "65", "-1", "many"] {
            assert!(run(&format!("random {bytes}")).unwrap_err().contains("1 to 64"));
        }
    }

    #[test]
    fn every_command_can_be_meant_and_helped() {
        for entry in ENTRIES {
            let line = match entry.name {
                "fault" => "fault fs kill".to_owned(),
                name => format!(
                    "{name} {}",
                    entry.arguments.replace("[COMMAND]", "ps").split('[').next().unwrap()
                ),
            };
            assert!(run(&line).is_ok(), "{line}");
            assert!(help(Some(entry)).contains(entry.name) && help(None).contains(entry.summary));
        }
        assert!(help(None).lines().all(|line| line.len() <= 104));
    }

    #[test]
    fn paths_are_joined() {
        assert_eq!(absolute("a/b"), "/a/b");
        assert_eq!(inside("/", "/x/y/"), "/y");
        assert_eq!(inside("/d", "y"), "/d/y");
    }

    proptest! {
        #[test]
        fn no_words_panic(words in proptest::collection::vec("[a-z]{0,8}", 0..4), index in 0..ENTRIES.len()) {
            let mut line = std::vec![ENTRIES[index].name.to_owned()];
            line.extend(words.iter().cloned());
            let _ = command(&line);
            let _ = command(&words);
        }
    }
}
