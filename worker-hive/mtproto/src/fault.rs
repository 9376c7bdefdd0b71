//! Every way a call can fail, in a closed table that callers can act upon.

use grammers_mtsender::{InvocationError, RpcError};
use std::time::Duration;
use tokio::time::Instant;

/// Why a call gave no answer. None of the variants carries bytes of the session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallFault {
    /// Telegram told the account to rest this long before it calls again.
    #[error("the account must wait {seconds} s")]
    Flood {
        /// Whole seconds, as Telegram said.
        seconds: u32,
        /// True when Telegram would not have asked a premium account to wait.
        premium_exempt: bool,
    },
    /// Not asked: Telegram told the account to wait, and the wait is not over.
    #[error("the account waits as it was told to")]
    Resting {
        /// The end of the wait.
        until: Instant,
    },
    /// The document lives in another data-centre.
    #[error("the document lives in data-centre {0}")]
    Migrate(i32),
    /// The location's permission has run out: locate the message again.
    #[error("the file reference has expired")]
    ReferenceExpired,
    /// The data-centre doesn't accept the authorization, and a fresh one did not help.
    #[error("the data-centre refuses the authorization")]
    Unauthorized,
    /// The account is not usable any more: revoked, deactivated or banned.
    #[error("the account is revoked: {0}")]
    Banned(String),
    /// The call got lost: the connection broke, could not be made, or its runner died, or Telegram had trouble of its own. The call
    /// may or may not have arrived.
    #[error("the call was lost: {0}")]
    Dropped(String),
    /// No answer within the call's deadline.
    #[error("no answer in time")]
    Timeout,
    /// Telegram refused the call with an error outside this table, or answered with what was not asked for.
    #[error("Telegram answered {0}")]
    Other(String),
}

impl CallFault {
    /// A short label for metrics and logs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Flood { .. } => "flood",
            Self::Resting { .. } => "resting",
            Self::Migrate(_) => "migrate",
            Self::ReferenceExpired => "reference-expired",
            Self::Unauthorized => "unauthorized",
            Self::Banned(_) => "banned",
            Self::Dropped(_) => "dropped",
            Self::Timeout => "timeout",
            Self::Other(_) => "other",
        }
    }

    /// The same fault for those who hear of it later than at `heard`: a wait has gone on meanwhile, and was told once.
    pub(crate) fn since(&self, heard: Instant) -> Self {
        match self {
            Self::Flood { seconds, .. } => Self::Resting { until: heard + Duration::from_secs(u64::from(*seconds)) },
            other => other.clone(),
        }
    }

    pub(crate) fn unexpected(what: &str) -> Self {
        Self::Other(format!("an unexpected {what}"))
    }
}

/// Why a message gives no document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocateFault {
    /// This account can't see the chat; another one may.
    #[error("the account can't see the chat")]
    NoChat,
    /// The chat is there, the message is not: deleted, or never was.
    #[error("no such message")]
    NoMessage,
    /// The message carries no document.
    #[error("the message carries no document")]
    NoDocument,
    /// The question could not be asked.
    #[error(transparent)]
    Call(#[from] CallFault),
}

const BANNED: &[&str] = &[
    "AUTH_KEY_UNREGISTERED",
    "AUTH_KEY_INVALID",
    "AUTH_KEY_DUPLICATED",
    "SESSION_REVOKED",
    "SESSION_EXPIRED",
    "USER_DEACTIVATED",
    "USER_DEACTIVATED_BAN",
    "ACCESS_TOKEN_EXPIRED",
];

/// Answers that say that Telegram doesn't know this connection's beginning any more: it must begin again.
const BEGIN_AGAIN: &[&str] = &["CONNECTION_NOT_INITED", "CONNECTION_LAYER_INVALID"];

/// True when the connection that the call went over is of no more use. Telegram's trouble with one call is none of it.
pub(crate) fn is_connection_loss(error: &InvocationError) -> bool {
    match error {
        InvocationError::Rpc(rpc) => BEGIN_AGAIN.contains(&rpc.name.as_str()),
        InvocationError::InvalidDc => false,
        _ => true,
    }
}

pub(crate) fn classify(error: InvocationError) -> CallFault {
    match error {
        InvocationError::Rpc(rpc) => classify_rpc(rpc),
        InvocationError::Session(error) => CallFault::Dropped(format!("session store: {error}")),
        InvocationError::Deserialize(error) => CallFault::Dropped(format!("unreadable answer: {error}")),
        InvocationError::Transport(error) => CallFault::Dropped(format!("transport: {error}")),
        InvocationError::Io(error) => CallFault::Dropped(error.to_string()),
        InvocationError::Dropped(reason) => CallFault::Dropped(reason.to_owned()),
        InvocationError::Authentication(error) => CallFault::Dropped(format!("key exchange: {error}")),
        InvocationError::InvalidDc => CallFault::Other("unknown data-centre".to_owned()),
    }
}

fn classify_rpc(error: RpcError) -> CallFault {
    let value = error.value.unwrap_or(0);
    match error.name.as_str() {
        "FLOOD_WAIT" | "SLOWMODE_WAIT" | "FLOOD_TEST_PHONE_WAIT" => {
            CallFault::Flood { seconds: value, premium_exempt: false }
        }
        "FLOOD_PREMIUM_WAIT" => CallFault::Flood { seconds: value, premium_exempt: true },
        "FILE_MIGRATE" | "USER_MIGRATE" | "NETWORK_MIGRATE" | "PHONE_MIGRATE" => match i32::try_from(value) {
            Ok(dc) if dc > 0 => CallFault::Migrate(dc),
            _ => CallFault::Other(error.name),
        },
        "FILE_REFERENCE_EXPIRED" | "FILE_REFERENCE_INVALID" | "FILE_REFERENCE_EMPTY" => CallFault::ReferenceExpired,
        name if BANNED.contains(&name) => CallFault::Banned(error.name),
        name if BEGIN_AGAIN.contains(&name) => CallFault::Dropped(error.name),
        // Telegram's own trouble: as good as a lost answer.
        _ if error.code >= 500 || error.code < 0 => CallFault::Dropped(error.name),
        _ => CallFault::Other(error.name),
    }
}

#[cfg(test)]
mod tests {
    use super::{CallFault, classify, is_connection_loss};
    use grammers_mtsender::{InvocationError, RpcError};
    use grammers_tl_types::types::RpcError as Wire;

    #[test]
    fn telegram_words_map_to_the_table() {
        let cases = [
            (420, "FLOOD_WAIT_7", CallFault::Flood { seconds: 7, premium_exempt: false }),
            (420, "FLOOD_PREMIUM_WAIT_3", CallFault::Flood { seconds: 3, premium_exempt: true }),
            (303, "FILE_MIGRATE_4", CallFault::Migrate(4)),
            (303, "FILE_MIGRATE_0", CallFault::Other("FILE_MIGRATE".into())),
            (400, "FILE_REFERENCE_EXPIRED", CallFault::ReferenceExpired),
            (400, "FILE_REFERENCE_INVALID", CallFault::ReferenceExpired),
            (401, "AUTH_KEY_UNREGISTERED", CallFault::Banned("AUTH_KEY_UNREGISTERED".into())),
            (401, "USER_DEACTIVATED", CallFault::Banned("USER_DEACTIVATED".into())),
            (500, "INTERNAL", CallFault::Dropped("INTERNAL".into())),
            (-503, "Timeout", CallFault::Dropped("Timeout".into())),
            (400, "CONNECTION_NOT_INITED", CallFault::Dropped("CONNECTION_NOT_INITED".into())),
            (406, "CONNECTION_LAYER_INVALID", CallFault::Dropped("CONNECTION_LAYER_INVALID".into())),
            (400, "LIMIT_INVALID", CallFault::Other("LIMIT_INVALID".into())),
        ];
        for (error_code, error_message, expected) in cases {
            let error = RpcError::from(Wire { error_code, error_message: error_message.to_owned() });
            let error = InvocationError::Rpc(error);
            assert_eq!(is_connection_loss(&error), error_message.starts_with("CONNECTION_"), "{error_message}");
            assert_eq!(classify(error), expected, "{error_message}");
        }
    }

    #[test]
    fn a_dead_runner_is_a_dropped_connection() {
        assert!(is_connection_loss(&InvocationError::Dropped("gone")));
    }
}
