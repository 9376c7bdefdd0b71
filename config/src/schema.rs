//! What keys a settings struct knows, read off its JSON schema, and whether a document keeps to them.

use crate::document::{Document, join};
use crate::error::Problem;
use schemars::JsonSchema;
use serde_json::{Map, Value};
use toml::de::{DeTable, DeValue};

/// The schema of a settings struct.
pub(crate) struct Keys {
    root: Value,
}

impl Keys {
    pub(crate) fn of<T: JsonSchema>() -> Self {
        Self { root: schemars::schema_for!(T).to_value() }
    }

    pub(crate) fn root(&self) -> &Value {
        &self.root
    }

    /// Follows a reference to a named type.
    pub(crate) fn resolve<'a>(&'a self, schema: &'a Value) -> &'a Value {
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    /// The schemas that a value may have: one, or those of an enum or of an optional value.
    pub(crate) fn alternatives<'a>(&'a self, schema: &'a Value) -> Vec<&'a Value> {
        let schema = self.resolve(schema);
        match schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
            Some(alternatives) => alternatives.iter().flat_map(|schema| self.alternatives(schema)).collect(),
            None => vec![schema],
        }
    }

    /// Every unknown key and every missing one.
    pub(crate) fn check(&self, document: &Document<'_>) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_table(document, &mut problems, "", document.table(), &[&self.root]);
        problems
    }

    fn check_table(
        &self,
        document: &Document<'_>,
        problems: &mut Vec<Problem>,
        path: &str,
        table: &DeTable<'_>,
        schemas: &[&Value],
    ) {
        let objects: Vec<&Map<String, Value>> = schemas.iter().filter_map(|schema| properties(schema)).collect();
        if objects.is_empty() {
            // No table belongs here: a wrong type, which the typed parser reports.
            return;
        }
        for (key, value) in table {
            let (name, place) = (key.get_ref().as_ref(), join(path, key.get_ref()));
            match objects.iter().find_map(|properties| properties.get(name)) {
                Some(schema) => self.check_value(document, problems, &place, value.get_ref(), schema),
                None => {
                    let known: Vec<&str> = objects.iter().flat_map(|known| known.keys().map(String::as_str)).collect();
                    let hint = self.hint(name, path, &known);
                    problems.push(document.problem(&place, format!("unknown key{hint}")));
                }
            }
        }
        let [schema] = schemas else { return };
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !table.keys().any(|key| key.get_ref() == name) {
                problems.push(document.problem(&join(path, name), "is required"));
            }
        }
    }

    fn check_value(
        &self,
        document: &Document<'_>,
        problems: &mut Vec<Problem>,
        path: &str,
        value: &DeValue<'_>,
        schema: &Value,
    ) {
        let alternatives = self.alternatives(schema);
        match value {
            DeValue::Table(table) => {
                let objects: Vec<&Value> =
                    alternatives.into_iter().filter(|schema| properties(schema).is_some()).collect();
                self.check_table(document, problems, path, table, &objects);
            }
            DeValue::Array(array) => {
                let Some(items) = alternatives.iter().find_map(|schema| schema.get("items")) else { return };
                for (index, entry) in array.iter().enumerate() {
                    self.check_value(document, problems, &format!("{path}[{index}]"), entry.get_ref(), items);
                }
            }
            // The typed parser would name a Rust struct here.
            _ if alternatives.iter().all(|schema| properties(schema).is_some()) => {
                problems.push(document.problem(path, "must be a table: { … }, or a section of its own"));
            }
            _ => {}
        }
    }

    /// ` (did you mean …?)`: the nearest key of the same table, else a key of that very name elsewhere, else the list.
    fn hint(&self, name: &str, path: &str, known: &[&str]) -> String {
        let near = known
            .iter()
            .map(|known| (strsim::damerau_levenshtein(&name.to_ascii_lowercase(), known), *known))
            .filter(|(distance, known)| *distance <= 1 + known.len() / 4)
            .min();
        if let Some((_, near)) = near {
            return format!("; did you mean `{}`?", join(path, near));
        }
        let mut everywhere = Vec::new();
        self.paths("", &self.root, &mut everywhere);
        if let Some(elsewhere) = everywhere.iter().find(|path| path.rsplit('.').next() == Some(name)) {
            return format!("; did you mean `{elsewhere}`?");
        }
        format!("; known here: {}", known.join(", "))
    }

    /// The paths of all keys; arrays as `name[]`.
    fn paths(&self, path: &str, schema: &Value, into: &mut Vec<String>) {
        for alternative in self.alternatives(schema) {
            for (name, schema) in properties(alternative).into_iter().flatten() {
                let path = join(path, name);
                into.push(path.clone());
                self.paths(&path, schema, into);
            }
            if let Some(items) = alternative.get("items") {
                self.paths(&format!("{path}[]"), items, into);
            }
        }
    }
}

/// The keys of a schema of a table.
pub(crate) fn properties(schema: &Value) -> Option<&Map<String, Value>> {
    schema.get("properties").and_then(Value::as_object)
}
