//! What a signed path asks for.

use crate::uri::Uri;

/// `/stream/{chat_id}/{message_id}[/{file name}]`, the document of one message, or `/v/{slug}[/{file name}]`, a virtual file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamTarget<'u> {
    /// What is asked for.
    pub media: TargetMedia<'u>,
    /// The name that the link gives the file: one segment, never empty, any bytes but `/` and NUL. It is for people and
    /// players; it chooses nothing.
    pub file_name: Option<&'u [u8]>,
}

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TargetMedia<'u> {
    /// The document of one message.
    Message {
        /// Chat in bot-API form, never 0.
        chat_id: i64,
        /// Message id inside the chat, 1 or more.
        message_id: i32,
    },
    /// Documents of several messages, joined: 1 to 32 characters of `[0-9A-Za-z_-]`.
    Virtual {
        /// Its name.
        slug: &'u str,
    },
}

/// The path asks for nothing that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected /stream/{{chat_id}}/{{message_id}} or /v/{{slug}}, perhaps with a file name")]
pub struct TargetError;

const LONGEST_SLUG: usize = 32;

impl<'u> StreamTarget<'u> {
    /// Reads the normalised path. Numbers have one spelling, so that one media has one path.
    ///
    /// # Errors
    /// [`TargetError`] for any other path.
    pub fn parse(uri: &'u Uri) -> Result<Self, TargetError> {
        let path = uri.path();
        let (media, file_name) = if let Some(rest) = path.strip_prefix(b"/v/") {
            let mut segments = rest.splitn(2, |byte| *byte == b'/');
            let slug = segments.next().and_then(slug).ok_or(TargetError)?;
            (TargetMedia::Virtual { slug }, segments.next())
        } else {
            let mut segments = path.strip_prefix(b"/stream/").ok_or(TargetError)?.splitn(3, |byte| *byte == b'/');
            let chat_id = segments.next().and_then(canonical).filter(|id| *id != 0).ok_or(TargetError)?;
            let message_id = segments.next().and_then(canonical).and_then(|id| i32::try_from(id).ok());
            let message_id = message_id.filter(|id| *id >= 1).ok_or(TargetError)?;
            (TargetMedia::Message { chat_id, message_id }, segments.next())
        };
        if file_name.is_some_and(|name| name.is_empty() || name.contains(&b'/')) {
            return Err(TargetError);
        }
        Ok(Self { media, file_name })
    }

    /// The decoded path, ready to be signed.
    #[must_use]
    pub fn to_path(&self) -> Vec<u8> {
        let path = match self.media {
            TargetMedia::Message { chat_id, message_id } => format!("/stream/{chat_id}/{message_id}"),
            TargetMedia::Virtual { slug } => format!("/v/{slug}"),
        };
        let mut path = path.into_bytes();
        if let Some(name) = self.file_name {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }
}

fn slug(segment: &[u8]) -> Option<&str> {
    let fits = (1..=LONGEST_SLUG).contains(&segment.len())
        && segment.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    str::from_utf8(segment).ok().filter(|_| fits)
}

/// A number in its one spelling: not `+5`, `-0` or `007`.
fn canonical(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match (digits, text) {
        (b"0", b"0") | ([b'1'..=b'9', ..], _) => str::from_utf8(text).ok()?.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{StreamTarget, TargetError, TargetMedia};
    use crate::uri::Uri;

    #[test]
    fn reads_media_paths() {
        let stream = |chat_id, message_id, file_name| {
            let media = TargetMedia::Message { chat_id, message_id };
            StreamTarget { media, file_name }
        };
        let joined = |slug, file_name| StreamTarget { media: TargetMedia::Virtual { slug }, file_name };
        let longest = "x".repeat(32);
        let of_longest = format!("/v/{longest}");
        let cases = [
            ("/stream/5/7", stream(5, 7, None)),
            ("//stream/x/..//-1001234567890/2147483647", stream(-1_001_234_567_890, i32::MAX, None)),
            ("/stream/-9223372036854775808/1/a%20b.mkv?md5=x", stream(i64::MIN, 1, Some(b"a b.mkv"))),
            ("/stream/5/7/%FF", stream(5, 7, Some(b"\xff"))),
            ("/v/k3x9abc", joined("k3x9abc", None)),
            ("//v/./a%5FB-9/a%20b.mkv?md5=x", joined("a_B-9", Some(b"a b.mkv"))),
            ("/v/5/7", joined("5", Some(b"7"))),
            (&of_longest, joined(&longest, None)),
        ];
        for (target, stream) in cases {
            let uri = Uri::parse(target.as_bytes()).unwrap();
            assert_eq!(StreamTarget::parse(&uri), Ok(stream), "{target}");
            assert_eq!(stream.to_path(), uri.path(), "{target}");
        }
    }

    #[test]
    fn refuses_other_paths() {
        let too_long = format!("/v/{}", "x".repeat(33));
        for target in [
            "/",
            "/stream",
            "/stream/",
            "/stream/5",
            "/stream/5/",
            "/stream/5/7/",
            "/stream/5/7/a/b",
            "/stream/0/7",
            "/stream/5/0",
            "/stream/5/-7",
            "/stream/5/2147483648",
            "/stream/9223372036854775808/7",
            "/stream/+5/7",
            "/stream/05/7",
            "/stream/-0/7",
            "/stream/5/7%20",
            "/Stream/5/7",
            "/v",
            "/v/",
            "/v/abc/",
            "/v/abc/a/b",
            "/v/a.b",
            "/v/a%20b",
            "/v/%C3%A9",
            "/V/abc",
            "/vabc",
            &too_long,
        ] {
            let uri = Uri::parse(target.as_bytes()).unwrap();
            assert_eq!(StreamTarget::parse(&uri), Err(TargetError), "{target}");
        }
    }
}
