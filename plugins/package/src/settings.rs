//! The settings that a manifest asks for, and those that an operator gives.

use config::Secret;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;

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
