//! Reads TOML key by key, and keeps what is wrong with the line it stands on.

use config::Problem;
use serde::de::{Deserialize, IntoDeserializer};
use std::ops::Range;
use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// What was found wrong in one file.
pub(crate) struct Report<'t> {
    file: &'t Path,
    text: &'t str,
    problems: Vec<Problem>,
}

impl<'t> Report<'t> {
    pub(crate) fn new(file: &'t Path, text: &'t str) -> Self {
        Self { file, text, problems: Vec::new() }
    }

    pub(crate) fn add(&mut self, byte: usize, key: impl Into<String>, message: impl Into<String>) {
        let line = self.text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1;
        self.problems.push(Problem { file: self.file.to_owned(), line, key: key.into(), message: message.into() });
    }

    /// The problems in the order of their lines, if there are any.
    pub(crate) fn finish(mut self) -> Result<(), Vec<Problem>> {
        self.problems.sort_by_key(|problem| problem.line);
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    /// The whole file as a table.
    pub(crate) fn parse(&mut self) -> Option<Spanned<DeTable<'t>>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table),
            Err(error) => {
                self.add(error.span().map_or(0, |span| span.start), "", error.message().to_owned());
                None
            }
        }
    }
}

/// A table of which each key is asked for by name; what nobody asked for is unknown.
pub(crate) struct Section<'s, 't> {
    path: String,
    start: usize,
    table: &'s DeTable<'t>,
    asked: Vec<&'static str>,
}

impl<'s, 't> Section<'s, 't> {
    pub(crate) fn root(table: &'s DeTable<'t>) -> Self {
        Self { path: String::new(), start: 0, table, asked: Vec::new() }
    }

    /// Path of a key of this table.
    pub(crate) fn path(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// A problem with a key, on its line, or on the table's if it isn't there.
    pub(crate) fn problem(&self, report: &mut Report<'_>, key: &str, message: impl Into<String>) {
        report.add(self.place(key).map_or(self.start, |place| place.start), self.path(key), message);
    }

    fn place(&self, key: &str) -> Option<Range<usize>> {
        self.table.get_key_value(key).map(|(key, _)| key.span())
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key, if it is there and is what is wanted.
    pub(crate) fn read<T: Deserialize<'t>>(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<T> {
        self.asked.push(key);
        let value = self.table.get(key)?;
        match T::deserialize(value.clone().into_deserializer()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.problem(report, key, error.message());
                None
            }
        }
    }

    /// The same for a key that must be there.
    pub(crate) fn require<T: Deserialize<'t>>(&mut self, report: &mut Report<'_>, key: &'static str) -> Option<T> {
        if !self.has(key) {
            self.problem(report, key, "is required");
        }
        self.read(report, key)
    }

    /// A table below this one; an empty one if it isn't there.
    pub(crate) fn section<'e>(
        &mut self,
        report: &mut Report<'_>,
        key: &'static str,
        empty: &'e DeTable<'t>,
    ) -> Section<'e, 't>
    where
        's: 'e,
    {
        self.asked.push(key);
        let table = self.table.get(key).and_then(|value| self.table_of(report, key, value));
        let start = self.place(key).map_or(self.start, |place| place.start);
        Section { path: self.path(key), start, table: table.unwrap_or(empty), asked: Vec::new() }
    }

    /// Every entry of this table, each a table, by names that are not known beforehand.
    pub(crate) fn sections(self, report: &mut Report<'_>) -> Vec<(&'s str, Section<'s, 't>)> {
        let mut sections = Vec::new();
        for (key, value) in self.table {
            let name: &str = key.get_ref();
            if let Some(table) = self.table_of(report, name, value) {
                let start = key.span().start;
                sections.push((name, Section { path: self.path(name), start, table, asked: Vec::new() }));
            }
        }
        sections
    }

    fn table_of(&self, report: &mut Report<'_>, key: &str, value: &'s Spanned<DeValue<'t>>) -> Option<&'s DeTable<'t>> {
        let table = value.get_ref().as_table();
        if table.is_none() {
            self.problem(report, key, "must be a table: { … }, or a section of its own");
        }
        table
    }

    /// Reports every key that nobody asked for.
    pub(crate) fn finish(self, report: &mut Report<'_>) {
        for key in self.table.keys() {
            let name: &str = key.get_ref();
            if !self.asked.contains(&name) {
                let hint = hint(name, &self.asked);
                report.add(key.span().start, self.path(name), format!("unknown key{hint}"));
            }
        }
    }
}

/// `; did you mean …?`, or what is known here.
pub(crate) fn hint(name: &str, known: &[&str]) -> String {
    let near = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(&name.to_ascii_lowercase(), known), *known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min();
    match near {
        Some((_, near)) => format!("; did you mean `{near}`?"),
        None if known.is_empty() => "; none is known here".to_owned(),
        None => format!("; known here: {}", known.join(", ")),
    }
}
