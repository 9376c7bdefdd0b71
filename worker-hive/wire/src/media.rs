//! Where one media object lives on the hive's HTTP face.

use crate::slug::Slug;

/// Hand-over header with the chat id, as nginx set-ups in front of Telegram stream engines name it.
pub const HEADER_CHAT_ID: &str = "x-location-chat-id";
/// Hand-over header with the message id.
pub const HEADER_MESSAGE_ID: &str = "x-location-msg-id";
/// Names a request in the hive's log, down to each MTProto call; opaque, at most 64 visible ASCII characters. The hive makes
/// one where it is missing.
pub const REQUEST_ID_HEADER: &str = "x-request-id";
/// Where a gateway asks another one in the place of a hive: the asker's name in the fleet. Who is asked so answers by itself or from
/// the hive, and asks no third one.
pub const HOP_HEADER: &str = "x-streamvault-hop";
/// Where a hive lists its sessions, for who has the token: an object whose `sessions` is a list.
pub const SESSIONS_PATH: &str = "/v1/sessions";

/// What a gateway asks for by its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MediaPath {
    /// A message that carries a document, named as Telegram's bot API names it.
    Message {
        /// Chat in bot-API form: channels are `-100…`, small groups negative, users positive; never 0.
        chat_id: i64,
        /// Message id inside the chat, 1 or more.
        message_id: i32,
    },
    /// Documents of several messages, joined in the order of the hive's manifest of this name. Its answers carry
    /// [`Spans`](crate::Spans).
    Virtual(Slug),
}

/// The path names no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected /v1/media/{{chat_id}}/{{message_id}} or /v1/media/v/{{slug}}")]
pub struct MediaPathError;

const PREFIX: &str = "/v1/media/";
/// Stands where a chat's number stands else.
const VIRTUAL: &str = "v";

impl MediaPath {
    /// The request path: `/v1/media/{chat_id}/{message_id}` or `/v1/media/v/{slug}`.
    #[must_use]
    pub fn to_path(self) -> String {
        match self {
            Self::Message { chat_id, message_id } => format!("{PREFIX}{chat_id}/{message_id}"),
            Self::Virtual(slug) => format!("{PREFIX}{VIRTUAL}/{slug}"),
        }
    }

    /// Parses what [`MediaPath::to_path`] writes.
    ///
    /// # Errors
    /// [`MediaPathError`] for any other path, a zero or negative message id, numbers that don't fit, or no slug.
    pub fn parse(path: &str) -> Result<Self, MediaPathError> {
        let rest = path.strip_prefix(PREFIX).ok_or(MediaPathError)?;
        let (chat, message) = rest.split_once('/').ok_or(MediaPathError)?;
        if chat == VIRTUAL {
            return Slug::parse(message).map(Self::Virtual).map_err(|_| MediaPathError);
        }
        let chat_id = canonical(chat).ok_or(MediaPathError)?;
        let message_id = canonical(message).and_then(|id| i32::try_from(id).ok()).ok_or(MediaPathError)?;
        if message_id < 1 || chat_id == 0 {
            return Err(MediaPathError);
        }
        Ok(Self::Message { chat_id, message_id })
    }
}

/// Accepts one spelling per number, so that a path is a key.
pub(crate) fn canonical(digits: &str) -> Option<i64> {
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let plain = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
    if !plain || (unsigned.len() > 1 && unsigned.starts_with('0')) || digits == "-0" {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{MediaPath, MediaPathError};
    use crate::slug::Slug;

    #[test]
    fn round_trips() {
        for (chat_id, message_id) in [(-1_001_234_567_890, 1), (5, i32::MAX), (i64::MIN, 7)] {
            let media = MediaPath::Message { chat_id, message_id };
            assert_eq!(MediaPath::parse(&media.to_path()), Ok(media));
        }
        // A slug of digits is a slug all the same.
        for slug in ["abcdefg", "7", "a_B-9"] {
            let media = MediaPath::Virtual(Slug::parse(slug).unwrap());
            assert_eq!(media.to_path(), format!("/v1/media/v/{slug}"));
            assert_eq!(MediaPath::parse(&media.to_path()), Ok(media));
        }
    }

    #[test]
    fn refuses_other_spellings() {
        for path in [
            "",
            "/",
            "/v1/media/",
            "/v1/media/1",
            "/v1/media/1/0",
            "/v1/media/1/-3",
            "/v1/media/01/3",
            "/v1/media/-0/3",
            "/v1/media/0/3",
            "/v1/media/1/3/",
            "/v1/media/+1/3",
            "/v1/media/1/2147483648",
            "/v1/media/9223372036854775808/1",
            "/v1/media/v",
            "/v1/media/v/",
            "/v1/media/V/abc",
            "/v1/media/v/a.b",
            "/v1/media/v/abc/",
            "/v1/media/v/abc/1",
        ] {
            assert_eq!(MediaPath::parse(path), Err(MediaPathError), "{path}");
        }
    }
}
