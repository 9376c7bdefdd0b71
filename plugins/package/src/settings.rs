//! The settings that a manifest asks for, and those that an operator gives.

use crate::reader::{Report, Section, hint};
use config::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

const LONGEST_TEXT: usize = 64 << 10;
const MOST_TEXTS: usize = 10_000;

/// What kind of value a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Text. `min` and `max` bound its bytes, `choices` lists what it may be.
    Text,
    /// Text that no log shows. The operator writes it, or names a file or an environment variable that holds it. Has no
    /// default. `min` and `max` bound its bytes.
    Secret,
    /// A whole number of 64 bits. `min` and `max` bound it.
    Integer,
    /// True or false.
    Boolean,
    /// A list of texts. `min` and `max` bound their number, `choices` lists what each may be.
    Texts,
}

impl Kind {
    /// The name in manifests.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Secret => "secret",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Texts => "texts",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// One setting that a plugin knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its kind.
    pub kind: Kind,
    /// A sentence for operators.
    pub doc: String,
    /// True if the operator must give it.
    pub required: bool,
    /// What it is if the operator doesn't give it.
    pub default: Option<Value>,
    /// Lower bound; of what, says [`Kind`].
    pub min: Option<i64>,
    /// Upper bound, not below `min`.
    pub max: Option<i64>,
    /// What a text, or each of several, may be; empty: anything.
    pub choices: Vec<String>,
}

/// A setting's value.
#[derive(Clone)]
pub enum Value {
    /// Up to 64 KiB.
    Text(String),
    /// Up to 64 KiB. Guests see it as text; no `Debug`, `Display` or error shows it.
    Secret(Secret),
    /// A whole number.
    Integer(i64),
    /// True or false.
    Boolean(bool),
    /// Up to 10,000, of up to 64 KiB each.
    Texts(Vec<String>),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.debug_tuple("Text").field(text).finish(),
            Self::Secret(_) => f.write_str("Secret([secret])"),
            Self::Integer(number) => f.debug_tuple("Integer").field(number).finish(),
            Self::Boolean(flag) => f.debug_tuple("Boolean").field(flag).finish(),
            Self::Texts(texts) => f.debug_tuple("Texts").field(texts).finish(),
        }
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Secret(a), Self::Secret(b)) => a.expose() == b.expose(),
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Texts(a), Self::Texts(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Value {}

/// Settings of one plugin, by name.
pub type Settings = BTreeMap<String, Value>;

impl Setting {
    /// Reads a `[settings.NAME]` table of a manifest.
    pub(crate) fn read(report: &mut Report<'_>, entry: &mut Section<'_, '_>) -> Option<Self> {
        let kind: Option<Kind> = entry.require(report, "kind");
        let doc: Option<String> = entry.require(report, "doc");
        let required = entry.read(report, "required").unwrap_or(false);
        let default: Option<toml::Value> = entry.read(report, "default");
        let (min, max): (Option<i64>, Option<i64>) = (entry.read(report, "min"), entry.read(report, "max"));
        let choices: Vec<String> = entry.read(report, "choices").unwrap_or_default();
        let (kind, doc) = (kind?, doc?);
        let mut setting = Self { kind, doc, required, default: None, min, max, choices };
        if setting.doc.trim().is_empty() {
            entry.problem(report, "doc", "must say in a sentence what the setting does");
        }
        if kind == Kind::Boolean && (min.is_some() || max.is_some()) {
            entry.problem(report, if min.is_some() { "min" } else { "max" }, "a boolean has no bounds");
        }
        if min.zip(max).is_some_and(|(min, max)| min > max) {
            entry.problem(report, "max", "must not be below min");
        }
        if !matches!(kind, Kind::Text | Kind::Texts) && entry.has("choices") {
            entry.problem(report, "choices", format!("only text and texts have choices, not {kind}"));
        }
        if let Some(default) = default {
            if kind == Kind::Secret {
                entry.problem(report, "default", "a secret that a manifest tells is none; leave the default out");
            } else if required {
                entry.problem(report, "default", "a required setting needs no default");
            } else {
                match setting.check(&default) {
                    Ok(value) => setting.default = Some(value),
                    Err(message) => entry.problem(report, "default", message),
                }
            }
        }
        Some(setting)
    }

    /// The value that is meant, or what is wanted in its place. No message repeats the value: it may be a secret that
    /// somebody put under a wrong name.
    fn check(&self, given: &toml::Value) -> Result<Value, String> {
        let wants = |what: &str| Err(format!("must be {what}"));
        match (self.kind, given) {
            (Kind::Text, toml::Value::String(text)) => {
                self.check_text(text)?;
                self.check_bounds(text.len(), "bytes")?;
                Ok(Value::Text(text.clone()))
            }
            (Kind::Text, _) => wants("text in quotes"),
            (Kind::Integer, toml::Value::Integer(number)) => {
                self.check_number(*number, "")?;
                Ok(Value::Integer(*number))
            }
            (Kind::Integer, _) => wants("a whole number"),
            (Kind::Boolean, toml::Value::Boolean(flag)) => Ok(Value::Boolean(*flag)),
            (Kind::Boolean, _) => wants("true or false"),
            (Kind::Texts, toml::Value::Array(array)) => {
                if array.len() > MOST_TEXTS {
                    return Err(format!("must have up to {MOST_TEXTS} entries"));
                }
                self.check_bounds(array.len(), "entries")?;
                let texts: Option<Vec<String>> = array.iter().map(|entry| entry.as_str().map(str::to_owned)).collect();
                let Some(texts) = texts else { return wants("a list of texts: [\"…\", \"…\"]") };
                texts.iter().try_for_each(|text| self.check_text(text))?;
                Ok(Value::Texts(texts))
            }
            (Kind::Texts, _) => wants("a list of texts: [\"…\", \"…\"]"),
            (Kind::Secret, toml::Value::String(_) | toml::Value::Table(_)) => {
                // Reads the file or the variable.
                let secret = Secret::deserialize(given.clone()).map_err(|error| error.message().to_owned())?;
                self.check_bounds(secret.expose().len(), "bytes")?;
                Ok(Value::Secret(secret))
            }
            (Kind::Secret, _) => wants("a secret: \"text\", { file = \"/path\" } or { env = \"NAME\" }"),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        if text.len() > LONGEST_TEXT {
            return Err("must have up to 64KiB".to_owned());
        }
        if !self.choices.is_empty() && !self.choices.iter().any(|choice| choice == text) {
            return Err(format!("must be one of {}", self.choices.join(", ")));
        }
        Ok(())
    }

    fn check_bounds(&self, count: usize, unit: &str) -> Result<(), String> {
        self.check_number(i64::try_from(count).unwrap_or(i64::MAX), unit)
    }

    fn check_number(&self, number: i64, unit: &str) -> Result<(), String> {
        let (verb, unit) = if unit.is_empty() { ("be", String::new()) } else { ("have", format!(" {unit}")) };
        match (self.min, self.max) {
            (Some(min), _) if number < min => Err(format!("must {verb} at least {min}{unit}")),
            (_, Some(max)) if number > max => Err(format!("must {verb} at most {max}{unit}")),
            _ => Ok(()),
        }
    }
}

/// What an operator gave, checked against what the plugin knows, with its defaults; or every problem by the setting's name.
pub(crate) fn settle(
    schema: &BTreeMap<String, Setting>,
    given: &toml::Table,
) -> Result<Settings, Vec<(String, String)>> {
    let (mut settings, mut wrong) = (Settings::new(), Vec::new());
    let known: Vec<&str> = schema.keys().map(String::as_str).collect();
    for (name, value) in given {
        match schema.get(name).map(|setting| setting.check(value)) {
            Some(Ok(value)) => {
                settings.insert(name.clone(), value);
            }
            Some(Err(message)) => wrong.push((name.clone(), message)),
            None => wrong.push((name.clone(), format!("unknown setting{}", hint(name, &known)))),
        }
    }
    for (name, setting) in schema.iter().filter(|(name, _)| !given.contains_key(*name)) {
        if setting.required {
            wrong.push((name.clone(), format!("is required: {}", setting.doc)));
        }
        settings.extend(setting.default.clone().map(|default| (name.clone(), default)));
    }
    if wrong.is_empty() { Ok(settings) } else { Err(wrong) }
}
