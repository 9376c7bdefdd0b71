//! Where one media object lives on the hive's HTTP face.

/// Hand-over header with the chat id, as nginx set-ups in front of Telegram stream engines name it.
pub const HEADER_CHAT_ID: &str = "x-location-chat-id";
/// Hand-over header with the message id.
pub const HEADER_MESSAGE_ID: &str = "x-location-msg-id";
/// Names a request in the hive's log, down to each MTProto call; opaque, at most 64 visible ASCII characters. The hive makes
/// one where it is missing.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// A message that carries a document, named as Telegram's bot API names it.
///
/// `chat_id` is the bot-API form: channels are `-100…`, small groups negative, users positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MediaPath {
    /// Chat in bot-API form.
    pub chat_id: i64,
    /// Message id inside the chat, 1 or more.
    pub message_id: i32,
}

/// The path names no media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected /v1/media/{{chat_id}}/{{message_id}}")]
pub struct MediaPathError;

const PREFIX: &str = "/v1/media/";

impl MediaPath {
    /// The request path: `/v1/media/{chat_id}/{message_id}`.
    #[must_use]
    pub fn to_path(self) -> String {
        format!("{PREFIX}{}/{}", self.chat_id, self.message_id)
    }

    /// Parses what [`MediaPath::to_path`] writes.
    ///
    /// # Errors
    /// [`MediaPathError`] for any other path, a zero or negative message id, or numbers that don't fit.
    pub fn parse(path: &str) -> Result<Self, MediaPathError> {
        let rest = path.strip_prefix(PREFIX).ok_or(MediaPathError)?;
        let (chat, message) = rest.split_once('/').ok_or(MediaPathError)?;
        let chat_id = canonical(chat)?;
        let message_id = i32::try_from(canonical(message)?).map_err(|_| MediaPathError)?;
        if message_id < 1 || chat_id == 0 {
            return Err(MediaPathError);
        }
        Ok(Self { chat_id, message_id })
    }
}

/// Accepts one spelling per number, so that a path is a key.
fn canonical(digits: &str) -> Result<i64, MediaPathError> {
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let plain = !unsigned.is_empty() && unsigned.bytes().all(|b| b.is_ascii_digit());
    if !plain || (unsigned.len() > 1 && unsigned.starts_with('0')) || digits == "-0" {
        return Err(MediaPathError);
    }
    digits.parse().map_err(|_| MediaPathError)
}

#[cfg(test)]
mod tests {
    use super::{MediaPath, MediaPathError};

    #[test]
    fn round_trips() {
        for (chat_id, message_id) in [(-1_001_234_567_890, 1), (5, i32::MAX), (i64::MIN, 7)] {
            let media = MediaPath { chat_id, message_id };
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
        ] {
            assert_eq!(MediaPath::parse(path), Err(MediaPathError), "{path}");
        }
    }
}
