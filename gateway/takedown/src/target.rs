//! What can be taken down, and how it is written: `/stream/CHAT/MESSAGE`, `/v/SLUG`, `chat:CHAT`, `document:ETAG`,
//! `content:SIZE:SHA256`.

use slice::{ETag, MediaId, Slug};
use std::fmt;
use std::str::FromStr;

/// Bytes of a media that name its content, together with its size.
pub const HEAD: u64 = 64 << 10;

/// Bytes of the longest tag that an entry may name.
const LONGEST_TAG: usize = 256;

/// What can be taken down.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// One message, or one virtual file, whatever it holds.
    Media(MediaId),
    /// Every message of a chat, and every virtual file with a part in it.
    Chat(i64),
    /// One document of Telegram, wherever it was forwarded: its ETag.
    Document(ETag),
    /// The same bytes uploaded anew.
    Content(Content),
}

/// What uploads of the same bytes have in common, as far as it can be told without reading all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Content {
    /// Bytes of the whole.
    pub size: u64,
    /// Of the first [`HEAD`] bytes, or of all if there are fewer.
    pub sha256: [u8; 32],
}

/// A text names nothing that can be taken down.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is none of /stream/CHAT/MESSAGE, /v/SLUG, chat:CHAT, document:ETAG, content:SIZE:SHA256 in their one spelling"
)]
pub struct TargetError(String);

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Media(MediaId::Message { chat_id, message_id }) => write!(f, "/stream/{chat_id}/{message_id}"),
            Self::Media(MediaId::Virtual(slug)) => write!(f, "/v/{slug}"),
            Self::Chat(chat) => write!(f, "chat:{chat}"),
            Self::Document(etag) => write!(f, "document:{}", etag.as_str()),
            Self::Content(Content { size, sha256 }) => {
                write!(f, "content:{size}:")?;
                sha256.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    /// Takes the one spelling that is printed: what is compared as text elsewhere must not have two.
    fn from_str(text: &str) -> Result<Self, TargetError> {
        let target = parse(text).filter(|target| target.to_string() == text);
        target.ok_or_else(|| TargetError(text.chars().take(LONGEST_TAG).collect()))
    }
}

fn parse(text: &str) -> Option<Target> {
    if let Some(rest) = text.strip_prefix("/stream/") {
        let (chat, message) = rest.split_once('/')?;
        return Some(Target::Media(MediaId::message(chat.parse().ok()?, message.parse().ok()?)));
    }
    if let Some(slug) = text.strip_prefix("/v/") {
        return Some(Target::Media(MediaId::Virtual(Slug::parse(slug).ok()?)));
    }
    match text.split_once(':')? {
        ("chat", chat) => Some(Target::Chat(chat.parse().ok()?)),
        ("document", tag) => {
            // Visible ASCII but for the quotes that stand around it in a header.
            let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
            let good = (1..=LONGEST_TAG).contains(&tag.len()) && tag.bytes().all(plain);
            good.then(|| Target::Document(ETag::new(tag)))
        }
        ("content", rest) => {
            let (size, digest) = rest.split_once(':')?;
            Some(Target::Content(Content { size: size.parse().ok()?, sha256: digits(digest)? }))
        }
        _ => None,
    }
}

fn digits(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_target_has_one_spelling() {
        let digest = "0f".repeat(32);
        for good in [
            "/stream/-1001700000001/45",
            "/v/holiday-film",
            "chat:-1001700000001",
            "document:5042-1048576",
            &format!("content:1048576:{digest}"),
        ] {
            assert_eq!(good.parse::<Target>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "/stream/-1001700000001",
            "/stream/-1001700000001/45/film.mp4",
            "/stream/-1001700000001/+45",
            "/stream/-01/45",
            "/v/",
            "/v/a b",
            "chat:",
            "chat:-100x",
            "chat: -100",
            "document:",
            "document:a b",
            "document:\"a\"",
            "document:é",
            "content:1",
            &format!("content:1:{}", "0F".repeat(32)),
            &format!("content:1:{}", &digest[1..]),
            &format!("content:1:{}é", &digest[2..]),
            &format!("content:-1:{digest}"),
            "film:1",
        ] {
            assert!(bad.parse::<Target>().is_err(), "{bad}");
        }
    }
}
