//! From a file to settings that can be used.

use crate::document::Document;
use crate::error::{ConfigError, Problem, Warning};
use crate::report::Report;
use crate::schema::Keys;
use crate::secret::Secret;
use crate::{GatewaySettings, HiveSettings};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use toml::de::Deserializer;

/// The settings of one of the binaries: [`GatewaySettings`] or [`HiveSettings`].
pub trait Settings: DeserializeOwned + JsonSchema + Rules {}

impl Settings for GatewaySettings {}
impl Settings for HiveSettings {}

/// What serde can't see: bounds, and how values stand to each other. Not exported, so that nobody else can have
/// settings of their own.
pub trait Rules {
    /// Reports everything that is wrong.
    fn check(&self, report: &mut Report<'_>);
    /// Every secret with the path of its key.
    fn secrets(&self) -> Vec<(String, &Secret)>;
}

/// Settings that have passed every check, and what the operator should know of them.
#[derive(Clone, Debug)]
pub struct Loaded<T> {
    /// The settings.
    pub settings: T,
    /// To be logged at start and printed by `check`.
    pub warnings: Vec<Warning>,
}

/// Reads settings and their secrets from a file.
///
/// # Errors
/// [`ConfigError`]: the file can't be read, or holds something wrong.
pub fn load<T: Settings>(file: &Path) -> Result<Loaded<T>, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { file: file.to_owned(), source };
    let text = std::fs::read_to_string(file).map_err(unreadable)?;
    let mut loaded: Loaded<T> = parse(&text, file)?;
    let mode = std::fs::metadata(file).map_err(unreadable)?.permissions().mode();
    if mode & 0o004 != 0
        && let Some((key, _)) = loaded.settings.secrets().into_iter().find(|(_, secret)| secret.is_inline())
    {
        let document = Document::parse(&text, file).map_err(|problem| ConfigError::Invalid(vec![problem]))?;
        let message = "every user of this machine can read this file and the secret in it; chmod o-r it";
        loaded.warnings.push(Warning(document.problem(&key, message)));
    }
    Ok(loaded)
}

/// Reads settings from a text, and their secrets from where it says. `file` names the text in messages.
///
/// # Errors
/// [`ConfigError::Invalid`], with all that is wrong as far as it can be told at once.
pub fn parse<T: Settings>(text: &str, file: &Path) -> Result<Loaded<T>, ConfigError> {
    let document = Document::parse(text, file).map_err(|problem| ConfigError::Invalid(vec![problem]))?;
    refuse(Keys::of::<T>().check(&document))?;
    let settings: T = typed(text, &document).map_err(|problem| ConfigError::Invalid(vec![problem]))?;
    let mut report = Report::new(&document);
    settings.check(&mut report);
    for (key, secret) in settings.secrets() {
        if let Some(path) = secret.exposed_file() {
            report.warn(&key, format!("every user of this machine can read {}; chmod o-r it", path.display()));
        }
    }
    let (problems, warnings) = report.into_parts();
    refuse(problems)?;
    Ok(Loaded { settings, warnings })
}

fn typed<T: Settings>(text: &str, document: &Document<'_>) -> Result<T, Problem> {
    Deserializer::parse(text).and_then(T::deserialize).map_err(|error| match error.span() {
        Some(span) => document.problem_at(span, error.message()),
        None => document.problem("", error.message()),
    })
}

fn refuse(mut problems: Vec<Problem>) -> Result<(), ConfigError> {
    if problems.is_empty() {
        return Ok(());
    }
    problems.sort_by_key(|problem| problem.line);
    Err(ConfigError::Invalid(problems))
}
