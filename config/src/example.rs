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
}

fn layout<'a>(keys: &'a Keys, key: &'a Value, required: bool) -> Layout<'a> {
    let table = |schema: &'a Value| {
        let resolved = keys.resolve(schema);
        // An enum has its properties one level down, and is written in one line.
        properties(resolved).map(|_| resolved)
    };
    match key.get("items").and_then(table) {
        Some(entry) if required => Layout::Entries(entry),
        Some(_) => Layout::Line,
        None => table(key).map_or(Layout::Line, Layout::Table),
    }
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
            match layout(self.keys, key, required(name)) {
                Layout::Line => self.line(name, key, default),
                Layout::Table(table) => nested.push((format!("[{}]", join(path, name)), name, key, table, default)),
                Layout::Entries(table) => nested.push((format!("[[{}]]", join(path, name)), name, key, table, None)),
            }
        }
        for (header, name, key, table, default) in nested {
            self.text.push('\n');
            self.prose(key);
            self.text.push_str(&header);
            self.text.push('\n');
            self.table(&join(path, name), table, default);
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
