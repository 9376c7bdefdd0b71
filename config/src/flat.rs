//! Settings as a flat list, to be shown and compared. Secrets are compared, and never shown.

use crate::gateway::GatewaySettings;
use crate::load::Rules;
use crate::secret::Secret;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Shown in the place of what may hold a secret.
const HIDDEN: &str = "[hidden]";

/// Every setting that has a value, by its key. Entries of lists go by their id or name, or by their place if they have neither, as in
/// `tenant[films].domains`.
#[derive(Clone, Default)]
pub struct Flat(BTreeMap<String, Cell>);

#[derive(Clone)]
enum Cell {
    Plain(String),
    /// A plugin's own settings: which of them are secret, only the plugin says.
    Hidden(String),
    Secret(Secret),
}

impl PartialEq for Cell {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(one), Self::Plain(other)) | (Self::Hidden(one), Self::Hidden(other)) => one == other,
            (Self::Secret(one), Self::Secret(other)) => one.expose() == other.expose(),
            _ => false,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(text) => f.write_str(text),
            Self::Hidden(_) => f.write_str(HIDDEN),
            Self::Secret(secret) => secret.fmt(f),
        }
    }
}

impl fmt::Debug for Flat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

/// A setting with two values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Its key.
    pub key: String,
    /// As it may be shown; `None`: unset.
    pub before: Option<String>,
    /// As it may be shown; `None`: unset.
    pub after: Option<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "unset".to_owned());
        match (text(&self.before), text(&self.after)) {
            (before, after) if before == after => write!(f, "{}: changed", self.key),
            (before, after) => write!(f, "{}: {before} -> {after}", self.key),
        }
    }
}

impl Flat {
    /// The settings of a gateway.
    #[must_use]
    pub fn of(settings: &GatewaySettings) -> Self {
        let secrets: BTreeMap<String, &Secret> = settings.secrets().into_iter().collect();
        let mut flat = Self::default();
        flat.add("", "", &serde_json::to_value(settings).unwrap_or_default(), &secrets);
        flat
    }

    /// Keys and values, without secrets.
    pub fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(key, cell)| (key.as_str(), cell.to_string()))
    }

    /// What is otherwise in `newer`.
    #[must_use]
    pub fn differences(&self, newer: &Self) -> Vec<Difference> {
        let keys: BTreeSet<&String> = self.0.keys().chain(newer.0.keys()).collect();
        let shown = |flat: &Self, key: &str| flat.0.get(key).map(Cell::to_string);
        let other = keys.into_iter().filter(|key| self.0.get(*key) != newer.0.get(*key));
        other.map(|key| Difference { key: key.clone(), before: shown(self, key), after: shown(newer, key) }).collect()
    }

    /// Takes over from `newer` what belongs to keys of this kind.
    pub fn adopt(&mut self, newer: &Self, kind: impl Fn(&str) -> bool) {
        self.0.retain(|key, _| !kind(key));
        let taken = newer.0.iter().filter(|(key, _)| kind(key));
        self.0.extend(taken.map(|(key, cell)| (key.clone(), cell.clone())));
    }

    /// `place` is the key with places in lists, as secrets are named; `key` the one with names.
    fn add(&mut self, place: &str, key: &str, value: &Value, secrets: &BTreeMap<String, &Secret>) {
        let below = |path: &str, name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        if let Some(secret) = secrets.get(place) {
            self.0.insert(key.to_owned(), Cell::Secret((*secret).clone()));
            return;
        }
        let is_plugins_own = place.starts_with("plugin[") && place.ends_with("].settings");
        match value {
            Value::Null => {}
            Value::Object(map) if is_plugins_own => {
                if !map.is_empty() {
                    self.0.insert(key.to_owned(), Cell::Hidden(value.to_string()));
                }
            }
            Value::Object(map) => {
                for (name, value) in map {
                    self.add(&below(place, name), &below(key, name), value, secrets);
                }
            }
            Value::Array(entries) if entries.iter().any(Value::is_object) => {
                let names = names(entries);
                for (index, (entry, name)) in entries.iter().zip(names).enumerate() {
                    self.add(&format!("{place}[{index}]"), &format!("{key}[{name}]"), entry, secrets);
                }
            }
            Value::Array(entries) if entries.is_empty() => {}
            Value::String(text) => drop(self.0.insert(key.to_owned(), Cell::Plain(text.clone()))),
            other => drop(self.0.insert(key.to_owned(), Cell::Plain(other.to_string()))),
        }
    }
}

/// What a list's entries are called: all by their ids or names, or all by their places.
fn names(entries: &[Value]) -> Vec<String> {
    let name = |entry: &Value| named(entry.as_object()?);
    let names: Option<Vec<String>> = entries.iter().map(name).collect();
    let unique = |names: &Vec<String>| names.iter().collect::<BTreeSet<_>>().len() == names.len();
    names.filter(unique).unwrap_or_else(|| (0..entries.len()).map(|index| index.to_string()).collect())
}

fn named(entry: &Map<String, Value>) -> Option<String> {
    let name = entry.get("id").or_else(|| entry.get("name"))?;
    name.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::Flat;
    use crate::gateway::GatewaySettings;
    use std::path::Path;

    const TEXT: &str = r#"
        listen = [{ address = "127.0.0.1:8080" }]
        hive.token = "the-hive-token"
        admin.token = "the-admin-token"
        [[plugin]]
        name = "p"
        folder = "/p"
        settings = { key = "the-plugin-secret" }
        [[tenant]]
        id = "a"
        domains = ["a.example"]
        channels = [-1001]
        link.secrets = [{ id = "1", secret = "the-link-secret" }]
        viewer.keys = [{ id = "1", algorithm = "HS256", key = "the-viewer-key-of-32-characters!" }]
    "#;

    fn flat(text: &str) -> Flat {
        Flat::of(&crate::parse::<GatewaySettings>(text, Path::new("test")).unwrap().settings)
    }

    #[test]
    fn what_differs_is_told_without_secrets() {
        let old = flat(TEXT);
        for (from, to, told) in [
            ("a.example", "b.example", vec![r#"tenant[a].domains: ["a.example"] -> ["b.example"]"#]),
            ("the-link-secret", "another-secret", vec!["tenant[a].link.secrets[1].secret: changed"]),
            ("the-viewer-key", "not-viewer-key", vec!["tenant[a].viewer.keys[1].key: changed"]),
            ("the-hive-token", "another", vec!["hive.token: changed"]),
            ("admin.token = \"the-admin-token\"", "", vec!["admin.token: [secret] -> unset"]),
            ("the-plugin-secret", "another", vec!["plugin[p].settings: changed"]),
            ("127.0.0.1:8080", "127.0.0.1:8081", vec!["listen[0].address: 127.0.0.1:8080 -> 127.0.0.1:8081"]),
            ("[[plugin]]", "[cache]\nmax_size = \"20GiB\"\n[[plugin]]", vec!["cache.max_size: 10GiB -> 20GiB"]),
            ("-1001]", "-1_001]", vec![]),
        ] {
            let new = flat(&TEXT.replacen(from, to, 1));
            let shown: Vec<String> = old.differences(&new).iter().map(ToString::to_string).collect();
            assert_eq!(shown, told, "{from} -> {to}");
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let shown = format!("{:?}", flat(TEXT));
        for secret in ["the-hive", "the-admin", "the-plugin", "the-link", "the-viewer"] {
            assert!(!shown.contains(secret), "{secret}: {shown}");
        }
        assert!(shown.contains("[secret]") && shown.contains("10GiB"));
    }

    #[test]
    fn every_secret_can_be_compared() {
        // One that `secrets` forgets would be shown alike whatever it is, and a change of it would go unseen.
        let settings = crate::parse::<GatewaySettings>(TEXT, Path::new("test")).unwrap().settings;
        let printed = serde_json::to_string(&settings).unwrap().matches("[secret]").count();
        let compared = Flat::of(&settings).0.values().filter(|cell| matches!(cell, super::Cell::Secret(_))).count();
        assert_eq!(compared, printed);
    }

    #[test]
    fn parts_are_taken_over() {
        let new = flat(&TEXT.replace("a.example", "b.example").replace("8080", "8081"));
        let mut running = flat(TEXT);
        running.adopt(&new, |key| key.starts_with("tenant["));
        let left: Vec<String> = running.differences(&new).into_iter().map(|difference| difference.key).collect();
        assert_eq!(left, ["listen[0].address"]);
    }
}
