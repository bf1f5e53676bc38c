//! Typed access to a TOML table: whatever is not as expected becomes a defect with line and remedy.
//!
//! Rule: a getter reports at most one defect and returns a harmless value, so that one reading finds all defects.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::diagnostic::{At, Source, suggest};

/// Units of durations, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// Keys that end in `_us`.
    Microseconds = 1_000,
    /// Keys that end in `_ms`.
    Milliseconds = 1_000_000,
}

/// Largest size that is read. Sums of all sizes of a system stay far below 2^64, so that whatever adds them up can say by
/// how much they are too large.
const SIZE_MAX: u64 = 1 << 40;

/// One table of a file.
#[derive(Clone, Copy)]
pub struct Reader<'a> {
    source: &'a Source,
    table: &'a DeTable<'a>,
    /// The line on which the table begins.
    pub line: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `table`, which begins on `line`.
    pub fn new(source: &'a Source, table: &'a DeTable<'a>, line: usize) -> Self {
        Self { source, table, line }
    }

    /// The file.
    pub fn source(&self) -> &'a Source {
        self.source
    }

    /// Whether the key is there.
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The line of `key`, or that of the table if it is not there.
    pub fn line_of(&self, key: &str) -> usize {
        self.get(key).map_or(self.line, |(_, line)| line)
    }

    /// Whether the value of `key` is a text.
    pub fn is_text(&self, key: &str) -> bool {
        self.get(key).is_some_and(|(value, _)| value.as_str().is_some())
    }

    /// Reports keys other than `known` ones; `what` names the table in messages.
    pub fn only(&self, what: &str, known: &[&str]) {
        for (key, _) in self.table {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let line = self.source.line(&key.span());
                let remedy = suggest(name, known, "known keys");
                self.source.report(line, format!("{what} has no key `{name}`"), remedy);
            }
        }
    }

    /// Reports that a required key is absent; `example` shows how to write it.
    pub fn missing(&self, what: &str, key: &str, example: &str) {
        self.source.report(self.line, format!("{what} lacks `{key}`"), format!("add `{key} = {example}`"));
    }

    fn get(&self, key: &str) -> Option<(&'a DeValue<'a>, usize)> {
        self.table.get(key).map(|value| (value.get_ref(), self.source.line(&value.span())))
    }

    fn wrong(&self, key: &str, value: &DeValue<'_>, line: usize, expected: &str, example: &str) {
        let message = format!("`{key}` is {}, not {expected}", describe(value));
        self.source.report(line, message, format!("write `{key} = {example}`"));
    }

    /// A text.
    pub fn text(&self, key: &str, example: &str) -> Option<At<String>> {
        let (value, line) = self.get(key)?;
        let Some(text) = value.as_str() else {
            self.wrong(key, value, line, "a text", example);
            return None;
        };
        Some(At { value: text.into(), line })
    }

    /// True or false; absent is false.
    pub fn flag(&self, key: &str) -> bool {
        let Some((value, line)) = self.get(key) else {
            return false;
        };
        value.as_bool().unwrap_or_else(|| {
            self.wrong(key, value, line, "true or false", "true");
            false
        })
    }

    /// A whole number that is not negative.
    pub fn integer(&self, key: &str, example: &str) -> Option<At<u64>> {
        let (value, line) = self.get(key)?;
        let number = value.as_integer().and_then(unsigned);
        if number.is_none() {
            self.wrong(key, value, line, "a whole number of at least 0", example);
        }
        Some(At { value: number?, line })
    }

    /// A size in bytes: a text with the unit K or M, or "0"; at most [`SIZE_MAX`].
    pub fn size(&self, key: &str, example: &str) -> Option<At<u64>> {
        let (value, line) = self.get(key)?;
        let size = value.as_str().and_then(parse_size);
        if size.is_some_and(|size| size > SIZE_MAX) {
            let message = format!("`{key}` is {}, more than any board has", describe(value));
            self.source.report(
                line,
                message,
                format!("write at most `{key} = \"{}\"`", format_size(SIZE_MAX)),
            );
            return None;
        }
        if size.is_none() {
            let remedy = format!("write `{key} = \"{example}\"`: a number with K (1024 bytes) or M (1024 K)");
            self.source.report(line, format!("`{key}` is {}, not a size", describe(value)), remedy);
        }
        Some(At { value: size?, line })
    }

    /// A duration in the unit that the key's name ends in; fractions are allowed. The result is in nanoseconds.
    pub fn duration(&self, key: &str, unit: Unit, example: &str) -> Option<At<u64>> {
        let (value, line) = self.get(key)?;
        let number = match value {
            DeValue::Integer(integer) => unsigned(integer).and_then(|number| number.checked_mul(unit as u64)),
            DeValue::Float(float) => float.as_str().parse().ok().and_then(|number| scale(number, unit)),
            _ => None,
        };
        if number.is_none() {
            let name = if unit == Unit::Milliseconds { "milliseconds" } else { "microseconds" };
            self.wrong(key, value, line, &format!("a number of {name}"), example);
        }
        Some(At { value: number?, line })
    }

    /// A list of texts; absent is empty.
    pub fn texts(&self, key: &str, example: &str) -> Vec<At<String>> {
        let Some((value, line)) = self.get(key) else {
            return Vec::new();
        };
        let Some(items) = value.as_array() else {
            self.wrong(key, value, line, "a list of texts", example);
            return Vec::new();
        };
        let text = |item: &'a Spanned<DeValue<'a>>| {
            let line = self.source.line(&item.span());
            let text = item.get_ref().as_str();
            if text.is_none() {
                self.wrong(key, item.get_ref(), line, "a list of texts", example);
            }
            Some(At { value: text?.to_owned(), line })
        };
        items.iter().filter_map(text).collect()
    }

    /// A list of whole numbers, or `None` if the value is no list.
    pub fn integers(&self, key: &str, example: &str) -> Option<Vec<At<u64>>> {
        let (value, _) = self.get(key)?;
        let number = |item: &'a Spanned<DeValue<'a>>| {
            let line = self.source.line(&item.span());
            let number = item.get_ref().as_integer().and_then(unsigned);
            if number.is_none() {
                self.wrong(key, item.get_ref(), line, "a list of whole numbers", example);
            }
            Some(At { value: number?, line })
        };
        Some(value.as_array()?.iter().filter_map(number).collect())
    }

    /// A table within this one.
    pub fn table(&self, key: &str, example: &str) -> Option<Reader<'a>> {
        let (value, line) = self.get(key)?;
        let Some(table) = value.as_table() else {
            self.wrong(key, value, line, "a table", example);
            return None;
        };
        Some(Reader { source: self.source, table, line })
    }

    /// A list of tables; absent is empty.
    pub fn tables(&self, key: &str, example: &str) -> Vec<Reader<'a>> {
        let Some((value, line)) = self.get(key) else {
            return Vec::new();
        };
        let Some(items) = value.as_array() else {
            self.wrong(key, value, line, "a list of tables", example);
            return Vec::new();
        };
        let table = |item: &'a Spanned<DeValue<'a>>| {
            let line = self.source.line(&item.span());
            let table = item.get_ref().as_table();
            if table.is_none() {
                self.wrong(key, item.get_ref(), line, "a list of tables", example);
            }
            Some(Reader { source: self.source, table: table?, line })
        };
        items.iter().filter_map(table).collect()
    }

    /// All keys of this table in the order in which they are written.
    pub fn keys(&self) -> Vec<At<String>> {
        let mut keys: Vec<_> = self.table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        let at = |key: &&Spanned<std::borrow::Cow<'_, str>>| At {
            value: key.get_ref().to_string(),
            line: self.source.line(&key.span()),
        };
        keys.iter().map(at).collect()
    }

    /// The keys of the table `key` in this one, each with its own table.
    pub fn entries(&self, key: &str, example: &str) -> Vec<(At<String>, Reader<'a>)> {
        let Some(table) = self.table(key, example) else {
            return Vec::new();
        };
        let entry = |name: At<String>| table.table(&name.value, "{ … }").map(|reader| (name, reader));
        table.keys().into_iter().filter_map(entry).collect()
    }
}

/// Reads a file; a syntax error is a defect like any other.
pub fn parse<T>(source: &Source, read: impl FnOnce(Reader<'_>) -> T) -> Option<T> {
    match DeTable::parse(source.text()) {
        Ok(table) => Some(read(Reader::new(source, table.get_ref(), 1))),
        Err(error) => {
            let line = source.line(&error.span().unwrap_or(0..0));
            let message = error.message().replace('\n', ", ");
            source.report(line, format!("not TOML: {message}"), "correct the syntax (https://toml.io)");
            None
        }
    }
}

/// Bytes of a size such as "64K".
pub fn parse_size(text: &str) -> Option<u64> {
    let (digits, shift) = match text.as_bytes().last()? {
        b'K' => (&text[..text.len() - 1], 10),
        b'M' => (&text[..text.len() - 1], 20),
        _ if text == "0" => (text, 0),
        _ => return None,
    };
    let number: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    number.checked_mul(1 << shift)
}

/// Writes bytes as a size that [`parse_size`] reads; rounds up to whole K.
pub fn format_size(bytes: u64) -> String {
    if bytes == 0 {
        "0".into()
    } else if bytes.is_multiple_of(1 << 20) {
        format!("{}M", bytes >> 20)
    } else {
        format!("{}K", bytes.div_ceil(1 << 10))
    }
}

fn unsigned(integer: &DeInteger<'_>) -> Option<u64> {
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// `number` of `unit` in nanoseconds, if it is a whole number of them and fits.
#[allow(clippy::cast_precision_loss, clippy::cast_sign_loss, reason = "the range is checked: below 2^53")]
fn scale(number: f64, unit: Unit) -> Option<u64> {
    let scaled = (number * (unit as u64) as f64).round();
    (0.0..9e15).contains(&scaled).then_some(scaled as u64)
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(integer) => format!("the number {integer}"),
        DeValue::Float(float) => format!("the number {float}"),
        DeValue::Boolean(flag) => format!("`{flag}`"),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read<T>(text: &str, read: impl FnOnce(Reader<'_>) -> T) -> (Option<T>, Vec<String>) {
        let source = Source::new("f", text);
        let value = parse(&source, read);
        let defects =
            source.finish(()).err().map_or(Vec::new(), |all| all.0.iter().map(ToString::to_string).collect());
        (value, defects)
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(parse_size("64K"), Some(65_536));
        assert_eq!(parse_size("1M"), Some(1 << 20));
        assert_eq!(parse_size("0"), Some(0));
        for wrong in [
            "",
            "K",
            "64",
            "64k",
            "1G",
            "-1K",
            "+1K",
            "1.5M",
            "99999999999999999999K",
            "18446744073709551615M",
        ] {
            assert_eq!(parse_size(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn sizes_round_trip(kilobytes in 0u64..1 << 40) {
            prop_assert_eq!(parse_size(&format_size(kilobytes << 10)), Some(kilobytes << 10));
        }
    }

    #[test]
    fn a_size_beyond_every_board_is_refused_where_it_stands() {
        for size in ["17592186044415M", "18014398509481983K", "1048577M"] {
            let (value, defects) = read(&format!("\nmemory = \"{size}\""), |reader| {
                reader.size("memory", "64K").map(|at| at.value)
            });
            assert_eq!(value, Some(None));
            let expected = format!(
                "f:2: `memory` is the text \"{size}\", more than any board has\n  remedy: write at most `memory = \"1048576M\"`"
            );
            assert_eq!(defects, [expected]);
        }
        let (value, _) = read("memory = \"1048576M\"", |reader| reader.size("memory", "64K"));
        assert_eq!(value.flatten().map(|at| at.value), Some(SIZE_MAX));
    }

    #[test]
    fn durations_are_nanoseconds_and_may_have_a_fraction() {
        let text =
            "a_ms = 2\nb_ms = 0.25\nc_us = 7\nd_ms = \"2\"\ne_ms = -1\nf_us = nan\ng_ms = 99999999999999999";
        let (values, defects) = read(text, |reader| {
            ["a_ms", "b_ms", "c_us", "d_ms", "e_ms", "f_us", "g_ms", "h_ms"].map(|key| {
                let unit = if key.ends_with("us") { Unit::Microseconds } else { Unit::Milliseconds };
                reader.duration(key, unit, "5").map(|at| at.value)
            })
        });
        let expected = [Some(2_000_000), Some(250_000), Some(7_000), None, None, None, None, None];
        assert_eq!(values, Some(expected));
        assert_eq!(defects.len(), 4);
        assert_eq!(
            defects[0],
            "f:4: `d_ms` is the text \"2\", not a number of milliseconds\n  remedy: write `d_ms = 5`"
        );
    }

    #[test]
    fn a_wrong_type_is_named() {
        let text = "text = 1\nflag = 2\nnumber = -3\nsize = 64\nlist = [1]\ntable = []\ntables = [3]";
        let (_, defects) = read(text, |reader| {
            reader.text("text", "\"x\"");
            reader.flag("flag");
            reader.integer("number", "7");
            reader.size("size", "64K");
            reader.texts("list", "[\"x\"]");
            assert!(reader.table("table", "{}").is_none());
            assert!(reader.tables("tables", "[{}]").is_empty());
        });
        assert_eq!(
            defects,
            [
                "f:1: `text` is the number 1, not a text\n  remedy: write `text = \"x\"`",
                "f:2: `flag` is the number 2, not true or false\n  remedy: write `flag = true`",
                "f:3: `number` is the number -3, not a whole number of at least 0\n  remedy: write `number = 7`",
                "f:4: `size` is the number 64, not a size\n  remedy: write `size = \"64K\"`: a number with K (1024 bytes) or M (1024 K)",
                "f:5: `list` is the number 1, not a list of texts\n  remedy: write `list = [\"x\"]`",
                "f:6: `table` is a list, not a table\n  remedy: write `table = {}`",
                "f:7: `tables` is the number 3, not a list of tables\n  remedy: write `tables = [{}]`",
            ]
        );
    }

    #[test]
    fn an_unknown_key_is_named_with_the_nearest_known_one() {
        let (_, defects) = read("memroy = 1\nzzz = 1", |reader| {
            reader.only("component \"fs\"", &["memory", "stack"]);
        });
        assert_eq!(
            defects,
            [
                "f:1: component \"fs\" has no key `memroy`\n  remedy: write `memory`, or another of the known keys: `memory`, `stack`",
                "f:2: component \"fs\" has no key `zzz`\n  remedy: write one of the known keys: `memory`, `stack`",
            ]
        );
    }

    #[test]
    fn a_syntax_error_has_its_line() {
        let (value, defects) = read("a = 1\nb = [1,\n", |_| ());
        assert_eq!(value, None);
        assert!(
            defects[0].starts_with("f:2: not TOML: ") || defects[0].starts_with("f:3: not TOML: "),
            "{}",
            defects[0]
        );
        assert!(defects[0].ends_with("remedy: correct the syntax (https://toml.io)"));
    }

    #[test]
    fn keys_come_in_the_order_of_the_file() {
        let (keys, _) = read("[t.zebra]\nx = 1\n[t.ape]\n[t.mule]", |reader| {
            reader
                .entries("t", "{}")
                .into_iter()
                .map(|(key, table)| (key.value, key.line, table.line))
                .collect::<Vec<_>>()
        });
        let expected =
            [("zebra", 1), ("ape", 3), ("mule", 4)].map(|(name, line)| (name.to_owned(), line, line));
        assert_eq!(keys.unwrap(), expected);
    }
}
