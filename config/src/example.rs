//! Writes example files out of the doc comments and defaults of the settings structs.

use crate::document::join;
use crate::load::Settings;
use crate::schema::{Keys, properties};
use serde_json::Value;
use std::fmt::Write;

/// Columns of a line of text, without its `# `.
const WIDTH: usize = 110;

/// The example file of one of the binaries: every key with its text, required ones set, the others commented out at
/// their defaults (`#key = value`, so that they differ from text, `# like this`).
#[must_use]
pub fn example<T: Settings>() -> String {
    let keys = Keys::of::<T>();
    let mut out = Writer { keys: &keys, text: String::new() };
    out.prose(keys.root());
    out.table("", keys.root(), None);
    out.text
}

struct Writer<'a> {
    keys: &'a Keys,
    text: String,
}

/// How a key is laid out.
enum Layout<'a> {
    /// `key = value`, also for lists and small tables.
    Line,
    /// `[key]`.
    Table(&'a Value),
    /// `[[key]]`, for a list that must have an entry.
    Entries(&'a Value),
    /// `#[key]` with all below it commented out: a table that may be left out as a whole.
    Absent(&'a Value),
    /// `#[[key]]`, for a list that may be empty.
    NoEntries(&'a Value),
}

fn layout<'a>(keys: &'a Keys, key: &'a Value, required: bool) -> Layout<'a> {
    if key.get("example").is_none()
        && let Some(table) = optional(keys, key)
    {
        return Layout::Absent(table);
    }
    let table = |schema: &'a Value| {
        let resolved = keys.resolve(schema);
        // An enum has its properties one level down, and is written in one line.
        properties(resolved).map(|_| resolved)
    };
    match key.get("items").and_then(table) {
        Some(entry) if required => Layout::Entries(entry),
        Some(entry) if key.get("example").is_none() && is_empty_list(key) => Layout::NoEntries(entry),
        Some(_) => Layout::Line,
        None => table(key).map_or(Layout::Line, Layout::Table),
    }
}

/// The table of an `Option` of one.
fn optional<'a>(keys: &'a Keys, key: &'a Value) -> Option<&'a Value> {
    let [one, null] = key.get("anyOf")?.as_array()?.as_slice() else { return None };
    let table = keys.resolve(one);
    (null.get("type")? == "null" && properties(table).is_some()).then_some(table)
}

fn is_empty_list(key: &Value) -> bool {
    key.get("default").and_then(Value::as_array).is_some_and(Vec::is_empty)
}

/// Comments out what is not a comment yet.
fn commented_out(text: &str) -> String {
    let line =
        |line: &str| if line.is_empty() || line.starts_with('#') { format!("{line}\n") } else { format!("#{line}\n") };
    text.lines().map(line).collect()
}

impl<'a> Writer<'a> {
    /// All keys of a table: first those of one line each, since whatever follows a header belongs to it.
    fn table(&mut self, path: &str, schema: &'a Value, defaults: Option<&Value>) {
        let required = |name: &str| {
            let list = schema.get("required").and_then(Value::as_array);
            list.is_some_and(|list| list.iter().any(|required| required == name))
        };
        let mut nested = Vec::new();
        for (name, key) in properties(schema).into_iter().flatten() {
            let default = key.get("default").or_else(|| defaults.and_then(|all| all.get(name)));
            match layout(self.keys, key, required(name) || key.get("x-shown").is_some()) {
                Layout::Line => self.line(name, key, default),
                Layout::Table(table) => nested.push((format!("[{}]", join(path, name)), name, key, table, default)),
                Layout::Entries(table) => nested.push((format!("[[{}]]", join(path, name)), name, key, table, None)),
                Layout::Absent(table) => nested.push((format!("#[{}]", join(path, name)), name, key, table, None)),
                Layout::NoEntries(table) => nested.push((format!("#[[{}]]", join(path, name)), name, key, table, None)),
            }
        }
        for (header, name, key, table, default) in nested {
            self.text.push('\n');
            self.prose(key);
            let start = self.text.len();
            self.text.push_str(&header);
            self.text.push('\n');
            self.table(&join(path, name), table, default);
            if header.starts_with('#') {
                let section = commented_out(self.text.get(start..).unwrap_or_default());
                self.text.truncate(start);
                self.text.push_str(&section);
            }
        }
    }

    fn line(&mut self, name: &str, key: &Value, default: Option<&Value>) {
        self.text.push('\n');
        self.prose(key);
        for alternative in self.keys.alternatives(key) {
            if let (Some(value), Some(text)) = (alternative.get("const"), alternative.get("description")) {
                self.comment(&format!("- {value}: {}", text.as_str().unwrap_or_default()));
            }
        }
        let written = match (default, key.get("example")) {
            (Some(Value::Null) | None, Some(example)) if self.is_optional(key, default) => {
                format!("# Example: {name} = {}", toml_value(example))
            }
            (Some(default), _) => format!("#{name} = {}", toml_value(default)),
            (None, Some(example)) => format!("{name} = {}", toml_value(example)),
            (None, None) => format!("#{name} ="),
        };
        self.text.push_str(&written);
        self.text.push('\n');
    }

    /// True for a key that may be left out and then has no value at all.
    fn is_optional(&self, key: &Value, default: Option<&Value>) -> bool {
        let null = Value::from("null");
        let is_null = |kind: &Value| *kind == null || kind.as_array().is_some_and(|kinds| kinds.contains(&null));
        default.is_some() || self.keys.alternatives(key).iter().any(|schema| schema.get("type").is_some_and(is_null))
    }

    /// The doc comment of a key: its own, else that of its type.
    fn prose(&mut self, schema: &Value) {
        let own = schema.get("description").or_else(|| self.keys.resolve(schema).get("description"));
        if let Some(text) = own.and_then(Value::as_str) {
            for (index, paragraph) in text.split("\n\n").enumerate() {
                if index > 0 {
                    self.text.push_str("#\n");
                }
                self.comment(paragraph);
            }
        }
    }

    fn comment(&mut self, paragraph: &str) {
        let mut column = WIDTH;
        for word in paragraph.split_whitespace() {
            if column + 1 + word.chars().count() > WIDTH {
                if self.text.ends_with(|last: char| last != '\n') {
                    self.text.push('\n');
                }
                self.text.push('#');
                column = 0;
            }
            self.text.push(' ');
            self.text.push_str(word);
            column += 1 + word.chars().count();
        }
        self.text.push('\n');
    }
}

/// A JSON value in TOML's spelling, in one line.
fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(entries) => {
            let entries: Vec<String> = entries.iter().map(toml_value).collect();
            format!("[{}]", entries.join(", "))
        }
        Value::Object(entries) => {
            let mut text = String::from("{");
            for (index, (key, value)) in entries.iter().enumerate() {
                // Writing to a String can't fail.
                let _ = write!(text, "{} {key} = {}", if index == 0 { "" } else { "," }, toml_value(value));
            }
            text.push_str(" }");
            text
        }
        // Strings of JSON are strings of TOML: both escape the same way.
        other => other.to_string(),
    }
}
