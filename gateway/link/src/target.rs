//! What a signed path asks for.

use crate::uri::Uri;

/// `/stream/{chat_id}/{message_id}[/{file name}]`: the document of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StreamTarget<'u> {
    /// Chat in bot-API form, never 0.
    pub chat_id: i64,
    /// Message id inside the chat, 1 or more.
    pub message_id: i32,
    /// The name that the link gives the file: one segment, never empty, any bytes but `/` and NUL. It is for people and
    /// players; it chooses nothing.
    pub file_name: Option<&'u [u8]>,
}

/// The path asks for nothing that is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected /stream/{{chat_id}}/{{message_id}}, perhaps with a file name")]
pub struct TargetError;

impl<'u> StreamTarget<'u> {
    /// Reads the normalised path. Numbers have one spelling, so that one media has one path.
    ///
    /// # Errors
    /// [`TargetError`] for any other path.
    pub fn parse(uri: &'u Uri) -> Result<Self, TargetError> {
        let rest = uri.path().strip_prefix(b"/stream/").ok_or(TargetError)?;
        let mut segments = rest.splitn(3, |byte| *byte == b'/');
        let chat_id = segments.next().and_then(canonical).filter(|id| *id != 0).ok_or(TargetError)?;
        let message_id = segments.next().and_then(canonical).and_then(|id| i32::try_from(id).ok());
        let message_id = message_id.filter(|id| *id >= 1).ok_or(TargetError)?;
        let file_name = segments.next();
        if file_name.is_some_and(|name| name.is_empty() || name.contains(&b'/')) {
            return Err(TargetError);
        }
        Ok(Self { chat_id, message_id, file_name })
    }

    /// The decoded path, ready to be signed.
    #[must_use]
    pub fn to_path(&self) -> Vec<u8> {
        let mut path = format!("/stream/{}/{}", self.chat_id, self.message_id).into_bytes();
        if let Some(name) = self.file_name {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        path
    }
}

fn canonical(digits: &[u8]) -> Option<i64> {
    let number: i64 = str::from_utf8(digits).ok()?.parse().ok()?;
    // Printing it back is the shortest way to refuse `+5`, `-0` and `007`.
    (number.to_string().as_bytes() == digits).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{StreamTarget, TargetError};
    use crate::uri::Uri;

    #[test]
    fn reads_media_paths() {
        let stream = |chat_id, message_id, file_name| StreamTarget { chat_id, message_id, file_name };
        let cases = [
            ("/stream/5/7", stream(5, 7, None)),
            ("//stream/x/..//-1001234567890/2147483647", stream(-1_001_234_567_890, i32::MAX, None)),
            ("/stream/-9223372036854775808/1/a%20b.mkv?md5=x", stream(i64::MIN, 1, Some(b"a b.mkv"))),
            ("/stream/5/7/%FF", stream(5, 7, Some(b"\xff"))),
        ];
        for (target, stream) in cases {
            let uri = Uri::parse(target.as_bytes()).unwrap();
            assert_eq!(StreamTarget::parse(&uri), Ok(stream), "{target}");
            assert_eq!(stream.to_path(), uri.path(), "{target}");
        }
    }

    #[test]
    fn refuses_other_paths() {
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
            "/v/5/7",
        ] {
            let uri = Uri::parse(target.as_bytes()).unwrap();
            assert_eq!(StreamTarget::parse(&uri), Err(TargetError), "{target}");
        }
    }
}
