//! What an act came to, or why it was not done.

use crate::reload::HandedOver;
use crate::selection::SelectionError;
use admin_api::Problem;
use http::StatusCode;
use identity::Full;
use schemars::JsonSchema;
use serde::Serialize;
use slice::OriginError;
use takedown::{FileError, RecordError, Target, TargetError};

/// Who else took an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "redis")]
#[schemars(rename = "Gateways")]
pub(crate) enum Others {
    /// The settings name no Redis.
    None,
    /// It can't be reached. They are told when it can be.
    Away,
    /// So many gateways of so many, this one included.
    Here { took: u64, of: u64 },
}

/// What a purge came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct PurgeDone {
    /// Of this gateway's cache.
    pub(crate) media: u64,
    pub(crate) slices: u64,
    pub(crate) bytes: u64,
    /// Media whose files could not be deleted; nothing of them is served.
    pub(crate) undeleted: u64,
    /// A tenant was named that has everything.
    pub(crate) everything: bool,
    pub(crate) gateways: Others,
}

/// What a takedown, or the end of one, came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct TakedownDone {
    pub(crate) target: String,
    /// Of this gateway's cache.
    pub(crate) media: u64,
    pub(crate) slices: u64,
    pub(crate) bytes: u64,
    pub(crate) gateways: Others,
}

/// What a revocation came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct RevokeDone {
    /// The second since 1970 until which it is in force.
    pub(crate) until: i64,
    pub(crate) gateways: Others,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActError {
    #[error(transparent)]
    Selection(#[from] SelectionError),
    #[error(
        "set takedown.file in the settings, and make it by \"gateway takedown init\": what is taken down must stay so"
    )]
    NotDurable,
    #[error(transparent)]
    HandedOver(#[from] HandedOver),
    #[error("it is in force, but not on disk, and gone with a restart: {0}")]
    NotSaved(#[from] FileError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("only of a media the content can be taken: write /stream/CHAT/MESSAGE or /v/SLUG, or a link to it")]
    NoContent,
    #[error("its content could not be read: {0}")]
    Unread(String),
    #[error("there is no such media whose content could be read")]
    NoMedia,
    #[error("{0} is not down")]
    NotDown(Target),
    #[error(transparent)]
    Full(#[from] Full),
}

impl From<OriginError> for ActError {
    fn from(error: OriginError) -> Self {
        match error {
            OriginError::NotFound | OriginError::Gone => Self::NoMedia,
            other => Self::Unread(other.to_string()),
        }
    }
}

impl From<ActError> for Problem {
    fn from(error: ActError) -> Self {
        let error = match error {
            ActError::HandedOver(error) => return error.into(),
            error => error,
        };
        let status = match &error {
            ActError::Selection(_) | ActError::Record(_) | ActError::Target(_) | ActError::NoContent => {
                StatusCode::BAD_REQUEST
            }
            ActError::NoMedia => StatusCode::NOT_FOUND,
            ActError::NotDurable | ActError::NotDown(_) | ActError::Full(_) => StatusCode::CONFLICT,
            ActError::NotSaved(_) => StatusCode::INTERNAL_SERVER_ERROR,
            ActError::Unread(_) | ActError::HandedOver(_) => StatusCode::SERVICE_UNAVAILABLE,
        };
        Self::new(status, error.to_string())
    }
}
