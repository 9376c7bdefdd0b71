//! Secrets: where they come from, and that they don't go anywhere.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret, SecretString};
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A secret that has been read: from the settings file itself, from a file, or from an environment variable. Never
/// empty, never printed, wiped from memory on drop.
#[derive(Clone)]
pub struct Secret {
    value: SecretString,
    origin: Origin,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Origin {
    Inline,
    File { path: PathBuf, world_readable: bool },
    Env,
}

/// Stands in for a secret in every output.
const HIDDEN: &str = "[secret]";

/// Longest secret in bytes: a file larger than this was surely meant to be something else.
const LONGEST: u64 = 64 * 1024;

/// Why a secret could not be had. The messages hold names of files and variables, never contents.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Nothing in it.
    #[error("the secret is empty")]
    Empty,
    /// The path depends on the working directory.
    #[error("the secret's file {0} must be given by an absolute path")]
    RelativePath(PathBuf),
    /// The file can't be read.
    #[error("the secret's file {path} can't be read: {source}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is too large.
    #[error("the secret's file {0} is larger than 64 KiB")]
    TooLarge(PathBuf),
    /// The file holds something else than text.
    #[error("the secret's file {0} is not UTF-8 text")]
    NotText(PathBuf),
    /// There is no such variable, or it is not UTF-8.
    #[error("the environment variable {0}, which should hold the secret, is not set")]
    Env(String),
}

impl Secret {
    /// A secret out of a string.
    ///
    /// # Errors
    /// [`SecretError::Empty`].
    pub fn inline(value: impl Into<String>) -> Result<Self, SecretError> {
        Self::new(value.into(), Origin::Inline)
    }

    /// The secret itself. Don't store it outside of what needs it, don't print it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    fn new(value: String, origin: Origin) -> Result<Self, SecretError> {
        let value = SecretString::from(value);
        if value.expose_secret().is_empty() { Err(SecretError::Empty) } else { Ok(Self { value, origin }) }
    }

    /// A secret out of a file, without the line break at its end.
    ///
    /// # Errors
    /// [`SecretError`], for a path that is not absolute, or a file that can't be read, is empty, longer than 64 KiB or no text.
    pub fn from_file(path: PathBuf) -> Result<Self, SecretError> {
        if !path.is_absolute() {
            return Err(SecretError::RelativePath(path));
        }
        let (bytes, mode) = match read_bounded(&path) {
            Ok(read) => read,
            Err(source) => return Err(SecretError::File { path, source }),
        };
        if bytes.len() as u64 > LONGEST {
            return Err(SecretError::TooLarge(path));
        }
        let Ok(mut text) = String::from_utf8(bytes) else { return Err(SecretError::NotText(path)) };
        // Editors and `echo` end a file with one line break that nobody means as part of the secret.
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        Self::new(text, Origin::File { path, world_readable: mode & 0o004 != 0 })
    }

    fn from_env(name: String) -> Result<Self, SecretError> {
        match std::env::var(&name) {
            Ok(value) => Self::new(value, Origin::Env),
            Err(_) => Err(SecretError::Env(name)),
        }
    }

    /// The secret's file, if every user of the machine can read it.
    pub(crate) fn exposed_file(&self) -> Option<&Path> {
        match &self.origin {
            Origin::File { path, world_readable: true } => Some(path),
            _ => None,
        }
    }

    /// True if the settings file itself holds it.
    pub(crate) fn is_inline(&self) -> bool {
        self.origin == Origin::Inline
    }
}

/// The file's bytes, at most one more than [`LONGEST`], and its mode.
fn read_bounded(path: &Path) -> io::Result<(Vec<u8>, u32)> {
    let file = File::open(path)?;
    let mode = file.metadata()?.permissions().mode();
    let mut bytes = Vec::new();
    file.take(LONGEST + 1).read_to_end(&mut bytes)?;
    Ok((bytes, mode))
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    /// Reads the file or variable at once, so that a secret that is named but not there can't exist.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

struct SecretVisitor;

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a secret: \"text\", { file = \"/path\" } or { env = \"NAME\" }")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Secret, E> {
        Secret::inline(text).map_err(E::custom)
    }

    // Serde's own messages would quote the value.
    fn visit_i64<E: Error>(self, _: i64) -> Result<Secret, E> {
        Err(E::custom("a secret must be text in quotes"))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<Secret, E> {
        Err(E::custom("a secret must be text in quotes"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Secret, A::Error> {
        let (Some((key, place)), None) = (map.next_entry::<String, String>()?, map.next_key::<String>()?) else {
            return Err(A::Error::custom("a secret has either `file` or `env`"));
        };
        match key.as_str() {
            "file" => Secret::from_file(PathBuf::from(place)),
            "env" => Secret::from_env(place),
            _ => return Err(A::Error::unknown_field(&key, &["file", "env"])),
        }
        .map_err(A::Error::custom)
    }
}

impl JsonSchema for Secret {
    fn schema_name() -> Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "object", "properties": { "file": { "type": "string" }, "env": { "type": "string" } } },
            ]
        })
    }
}
