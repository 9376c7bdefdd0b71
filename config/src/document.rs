//! A parsed TOML document that can say on which line a key stands.

use crate::error::Problem;
use std::ops::Range;
use std::path::{Path, PathBuf};
use toml::de::{DeTable, DeValue};

/// A document, and where each of its keys stands.
pub(crate) struct Document<'a> {
    file: PathBuf,
    text: &'a str,
    table: DeTable<'a>,
    places: Vec<Place>,
}

/// Where one key, or one entry of an array, stands.
struct Place {
    path: String,
    /// Byte where the key starts: the line that messages name.
    start: usize,
    /// Bytes of the value.
    value: Range<usize>,
}

/// Extends a key path: `a` and `b` give `a.b`.
pub(crate) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

impl<'a> Document<'a> {
    /// Parses the text.
    ///
    /// # Errors
    /// A [`Problem`] if it isn't TOML.
    pub(crate) fn parse(text: &'a str, file: &Path) -> Result<Self, Problem> {
        match DeTable::parse(text) {
            Ok(table) => {
                let mut places = Vec::new();
                collect_table(&mut places, "", table.get_ref());
                Ok(Self { file: file.to_owned(), text, table: table.into_inner(), places })
            }
            Err(error) => Err(Problem {
                file: file.to_owned(),
                line: line_of(text, error.span().map_or(0, |span| span.start)),
                key: String::new(),
                // Only the message: the error's own `Display` quotes the line, which may hold a secret.
                message: error.message().to_owned(),
            }),
        }
    }

    pub(crate) fn table(&self) -> &DeTable<'a> {
        &self.table
    }

    /// A problem with `key`, on the line of the key or of the innermost table around it that exists.
    pub(crate) fn problem(&self, key: &str, message: impl Into<String>) -> Problem {
        let mut known = key;
        let start = loop {
            if let Some(place) = self.places.iter().find(|place| place.path == known) {
                break place.start;
            }
            match known.rfind(['.', '[']) {
                Some(end) => known = &known[..end],
                None => break 0,
            }
        };
        Problem {
            file: self.file.clone(),
            line: line_of(self.text, start),
            key: key.to_owned(),
            message: message.into(),
        }
    }

    /// A problem with whatever stands at these bytes.
    pub(crate) fn problem_at(&self, span: Range<usize>, message: &str) -> Problem {
        let around = |place: &&Place| place.value.start <= span.start && span.end <= place.value.end;
        let innermost = self.places.iter().filter(around).min_by_key(|place| place.value.len());
        Problem {
            file: self.file.clone(),
            line: line_of(self.text, span.start),
            key: innermost.map_or_else(String::new, |place| place.path.clone()),
            message: message.to_owned(),
        }
    }
}

fn collect_table(places: &mut Vec<Place>, path: &str, table: &DeTable<'_>) {
    for (key, value) in table {
        let path = join(path, key.get_ref());
        places.push(Place { path: path.clone(), start: key.span().start, value: value.span() });
        collect_value(places, &path, value.get_ref());
    }
}

fn collect_value(places: &mut Vec<Place>, path: &str, value: &DeValue<'_>) {
    match value {
        DeValue::Table(table) => collect_table(places, path, table),
        DeValue::Array(array) => {
            for (index, entry) in array.iter().enumerate() {
                let path = format!("{path}[{index}]");
                places.push(Place { path: path.clone(), start: entry.span().start, value: entry.span() });
                collect_value(places, &path, entry.get_ref());
            }
        }
        _ => {}
    }
}

/// The line, from 1, of a byte.
fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}
