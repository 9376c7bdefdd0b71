//! Manifests as JSON, in both directions, and why one was not taken. Pure.

use axum::body::Body;
use axum::response::Response;
use catalog::{CatalogError, DraftError, Manifest, NamesError, Summary};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A manifest as it is put.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Given {
    /// The file's name; made out of the parts' names if it is missing.
    pub(crate) name: Option<String>,
    /// Media type; follows from the name if it is missing.
    pub(crate) content_type: Option<String>,
    /// Whose word the order of the parts is.
    #[serde(default)]
    pub(crate) order: Order,
    pub(crate) parts: Vec<GivenPart>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// As they are listed.
    #[default]
    Given,
    /// As the names of their documents say.
    Names,
}

/// A part as it is put. Size and ETag need not be there; where they are, the message must hold that very document.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GivenPart {
    pub(crate) chat_id: i64,
    pub(crate) message_id: i32,
    pub(crate) size: Option<u64>,
    pub(crate) etag: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    slug: &'a str,
    name: &'a str,
    content_type: &'a str,
    size: u64,
    etag: &'a str,
    created: u64,
    changed: u64,
    parts: Vec<ShownPart<'a>>,
}

#[derive(Serialize)]
struct ShownPart<'a> {
    chat_id: i64,
    message_id: i32,
    size: u64,
    etag: &'a str,
}

#[derive(Serialize)]
struct Page<'a> {
    files: Vec<Line<'a>>,
    /// What to ask the next page with; absent on the last one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
}

#[derive(Serialize)]
struct Line<'a> {
    slug: &'a str,
    name: &'a str,
    content_type: &'a str,
    size: u64,
    etag: &'a str,
    parts: u64,
    created: u64,
    changed: u64,
}

/// A manifest as it is shown.
pub(crate) fn shown(manifest: &Manifest) -> Vec<u8> {
    let parts = manifest.parts.iter().map(|part| ShownPart {
        chat_id: part.chat_id,
        message_id: part.message_id,
        size: part.size,
        etag: &part.identity,
    });
    json(&Shown {
        slug: manifest.slug.as_str(),
        name: &manifest.name,
        content_type: &manifest.content_type,
        size: manifest.size(),
        etag: &manifest.etag,
        created: manifest.created,
        changed: manifest.changed,
        parts: parts.collect(),
    })
}

/// A page of the list. `more` says that there are others after it.
pub(crate) fn page(files: &[Summary], more: bool) -> Vec<u8> {
    let lines = files.iter().map(|file| Line {
        slug: file.slug.as_str(),
        name: &file.name,
        content_type: &file.content_type,
        size: file.size,
        etag: &file.etag,
        parts: file.parts,
        created: file.created,
        changed: file.changed,
    });
    json(&Page { files: lines.collect(), next: files.last().filter(|_| more).map(|last| last.slug.as_str()) })
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

/// Why a request for manifests was not fulfilled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) body: ProblemBody,
    pub(crate) allow: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct ProblemBody {
    /// For programs.
    pub(crate) error: &'static str,
    /// For people.
    pub(crate) message: String,
    /// Which part it is about, from 1, and the message that it names.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    pub(crate) part: Option<Blamed>,
    /// Seconds to wait, if waiting may help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Blamed {
    pub(crate) part: usize,
    pub(crate) chat_id: i64,
    pub(crate) message_id: i32,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: &'static str, message: impl Into<String>) -> Self {
        let body = ProblemBody { error, message: message.into(), part: None, retry_after: None };
        Self { status, body, allow: None }
    }

    /// A manifest that says nonsense, of whichever part.
    pub(crate) fn manifest(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-manifest", message)
    }

    /// A part, counted from 0, that is not what it should be.
    pub(crate) fn part(self, index: usize, part: &GivenPart) -> Self {
        let blamed = Blamed { part: index + 1, chat_id: part.chat_id, message_id: part.message_id };
        Self { body: ProblemBody { part: Some(blamed), ..self.body }, ..self }
    }

    /// Worth another try, no earlier than that.
    pub(crate) fn after(self, wait: Option<Duration>) -> Self {
        let seconds = wait.map(|wait| wait.as_secs() + u64::from(wait.subsec_nanos() > 0));
        Self { body: ProblemBody { retry_after: seconds, ..self.body }, ..self }
    }

    /// The word in logs and metrics.
    pub(crate) fn code(&self) -> &'static str {
        self.body.error
    }

    pub(crate) fn response(&self) -> Response {
        let mut response = answer(self.status, json(&self.body));
        let headers = response.headers_mut();
        if let Some(seconds) = self.body.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        response
    }
}

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Self {
        Self::manifest(error.to_string())
    }
}

impl From<CatalogError> for Problem {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Unexpected => Self::new(StatusCode::PRECONDITION_FAILED, "unexpected", error.to_string()),
            CatalogError::Closed => Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", "the hive is stopping"),
            // What the disk said is for the log.
            error => {
                tracing::error!(%error, "the catalog fails");
                Self::new(StatusCode::INTERNAL_SERVER_ERROR, "catalog", "the catalog can't be used; see the hive's log")
            }
        }
    }
}

/// Why names don't tell a file's name or the order of its parts.
pub(crate) fn names_problem(error: &NamesError, parts: &[GivenPart]) -> Problem {
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "bad-names", error.to_string());
    let index = match error {
        NamesError::NotAPart { index, .. } | NamesError::Volume { index, .. } | NamesError::OfItsOwn { index, .. } => {
            *index
        }
        _ => return problem,
    };
    match parts.get(index) {
        Some(part) => problem.part(index, part),
        None => problem,
    }
}

/// An answer of this interface.
pub(crate) fn answer(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
