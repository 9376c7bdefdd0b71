//! Recorded requests: the files in a project's `requests/`.

use crate::error::CommandError;
use crate::pattern::{Kept, fill};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// One file: what the operator would have set, and steps that share the plugin's store.
#[derive(Debug)]
pub(crate) struct Recorded {
    pub(crate) file: PathBuf,
    pub(crate) settings: Table,
    pub(crate) steps: Vec<Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    #[serde(default)]
    settings: Table,
    #[serde(default)]
    step: Vec<Step>,
}

/// One question to the plugin, and what must come of it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Step {
    /// What the report calls it.
    #[serde(default)]
    pub(crate) name: String,
    /// Whose store, and whose request.
    #[serde(default)]
    pub(crate) tenant: Option<String>,
    /// Keys to set in the store before the question.
    #[serde(default)]
    pub(crate) kv: BTreeMap<String, String>,
    /// For policy and ads.
    #[serde(default)]
    pub(crate) request: Facts,
    /// For ads: asks about this text instead.
    #[serde(default)]
    pub(crate) playlist: Option<Playlist>,
    /// For tenant.
    #[serde(default)]
    pub(crate) host: Option<String>,
    /// For observe.
    #[serde(default)]
    pub(crate) finished: Vec<Finished>,
    /// See [`crate::expect`].
    #[serde(default)]
    pub(crate) expect: Table,
}

/// A request. What is left out is as in an ordinary one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Facts {
    pub(crate) id: Option<String>,
    pub(crate) method: Option<Method>,
    /// Scheme, host, path and query, link's token and all.
    pub(crate) url: Option<String>,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) cookies: BTreeMap<String, String>,
    /// Empty: a viewer behind a unix socket.
    pub(crate) remote_address: Option<String>,
    pub(crate) identity: Option<Identity>,
    pub(crate) claims: Table,
    pub(crate) viewer: Option<String>,
    pub(crate) media: Option<Media>,
    pub(crate) link: Option<Link>,
    pub(crate) range: Option<String>,
    /// Bytes of the media, for ads.
    pub(crate) size: Option<u64>,
    pub(crate) content_type: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
pub(crate) enum Method {
    #[serde(rename = "GET")]
    Get,
    #[serde(rename = "HEAD")]
    Head,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Identity {
    Anonymous,
    Invalid,
    Verified,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Media {
    pub(crate) chat_id: i64,
    pub(crate) message_id: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Link {
    pub(crate) key_id: Option<String>,
    pub(crate) expires: Option<u64>,
    pub(crate) expired: bool,
}

/// A text for `on-playlist`: written here, or in a file beside this one.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Playlist {
    pub(crate) kind: PlaylistKind,
    pub(crate) text: Option<String>,
    pub(crate) file: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum PlaylistKind {
    HlsMaster,
    HlsMedia,
    Vast,
}

/// A request that ended. What is left out is as in an ordinary one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Finished {
    pub(crate) request_id: Option<String>,
    pub(crate) time: Option<u64>,
    pub(crate) media: Option<Media>,
    pub(crate) viewer: Option<String>,
    pub(crate) status: Option<u16>,
    pub(crate) outcome: Option<String>,
    pub(crate) cache: Option<String>,
    pub(crate) bytes: u64,
    pub(crate) milliseconds: Option<u32>,
}

impl Recorded {
    /// Reads a file; everything in it has been looked at once.
    pub(crate) fn parse(text: &str, file: &Path) -> Result<Self, CommandError> {
        let wrong = |error: toml::de::Error| CommandError::content(file, error.to_string());
        let whole: Whole = toml::from_str(text).map_err(wrong)?;
        if whole.step.is_empty() {
            return Err(CommandError::content(file, "has no [[step]]"));
        }
        let table: Table = toml::from_str(text).map_err(wrong)?;
        let steps = match table.get("step") {
            Some(Value::Array(steps)) => steps.iter().filter_map(Value::as_table).cloned().collect(),
            _ => Vec::new(),
        };
        Ok(Self { file: file.to_owned(), settings: whole.settings, steps })
    }

    /// A step, with what earlier ones kept in the place of `{name}`.
    pub(crate) fn step(&self, index: usize, kept: &Kept) -> Result<Step, CommandError> {
        let mut step = Value::Table(self.steps.get(index).cloned().unwrap_or_default());
        fill_all(&mut step, kept);
        step.try_into().map_err(|error: toml::de::Error| CommandError::content(&self.file, error.to_string()))
    }
}

impl Playlist {
    /// The text, from its file if it has one.
    pub(crate) fn read(&self, beside: &Path) -> Result<String, CommandError> {
        match (&self.text, &self.file) {
            (Some(text), None) => Ok(text.clone()),
            (None, Some(file)) => crate::disk::read_text(&beside.with_file_name(file)),
            _ => Err(CommandError::content(beside, "a playlist needs text or file, one of them")),
        }
    }
}

fn fill_all(value: &mut Value, kept: &Kept) {
    match value {
        Value::String(text) => *text = fill(text, kept),
        Value::Array(values) => values.iter_mut().for_each(|value| fill_all(value, kept)),
        Value::Table(table) => table.iter_mut().for_each(|(_, value)| fill_all(value, kept)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::Recorded;
    use crate::pattern::Kept;
    use std::path::Path;

    fn parse(text: &str) -> Result<Recorded, String> {
        Recorded::parse(text, Path::new("r.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn steps_get_what_earlier_ones_kept() {
        let recorded =
            parse("[[step]]\n[step.request]\ncookies = { pass = \"{pass}\" }\nrange = \"{other}\"\n").unwrap();
        let step = recorded.step(0, &Kept::from([("pass".to_owned(), "xyz".to_owned())])).unwrap();
        assert_eq!(step.request.cookies["pass"], "xyz");
        assert_eq!(step.request.range.as_deref(), Some("{other}"));
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        let rows = [
            ("", "has no [[step]]"),
            ("[[step]]\nreqest = {}\n", "reqest"),
            ("[[step]]\n[step.request]\nmethod = \"POST\"\n", "line 3"),
            ("[[step]]\n[step.request]\nmedia = { chat_id = 1 }\n", "message_id"),
            ("setings = {}\n[[step]]\n", "setings"),
        ];
        for (text, wanted) in rows {
            let message = parse(text).unwrap_err();
            assert!(message.contains(wanted), "{text:?}: {message}");
        }
    }
}
