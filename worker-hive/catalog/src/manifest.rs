//! What a virtual file is. Pure.

use sha2::{Digest, Sha256};
use std::collections::HashSet;
use wire::{Entity, Slug, Spans};

/// Most parts of a virtual file: 4 TB in parts of 4 GB.
pub const MOST_PARTS: usize = 1000;
/// SQLite's integers are signed.
const LARGEST: u64 = i64::MAX as u64;
/// As in the identities of documents, which stand in a part.
const LONGEST_IDENTITY: usize = 64;

/// One message's document, and which one it was when it was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// Chat in bot-API form, never 0.
    pub chat_id: i64,
    /// Message id inside the chat, 1 or more.
    pub message_id: i32,
    /// Length in bytes, 1 or more.
    pub size: u64,
    /// The document's own ETag: 1 to 64 characters of `[0-9A-Za-z_-]`.
    pub identity: String,
}

/// A virtual file without a slug: checked, so that whatever is made of one can be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub(crate) name: String,
    pub(crate) content_type: String,
    pub(crate) parts: Vec<Part>,
}

/// A virtual file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// Its name in paths.
    pub slug: Slug,
    /// The file's name, for people and players: 1 to 255 bytes without `/` and control characters.
    pub name: String,
    /// Media type.
    pub content_type: String,
    /// Its parts in order: 1 to [`MOST_PARTS`], no message twice.
    pub parts: Vec<Part>,
    /// Seconds since the Unix epoch.
    pub created: u64,
    /// When it last became another, seconds since the Unix epoch.
    pub changed: u64,
    /// Names the bytes, and the messages that they come from; without quotes.
    pub etag: String,
}

/// Why parts are no virtual file. Parts are counted from 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DraftError {
    /// The name can't stand in a header or a path.
    #[error("the name must have 1 to 255 bytes, and no / or control character among them")]
    Name,
    /// The media type is none.
    #[error("the content type must be type/subtype")]
    ContentType,
    /// No parts, or too many.
    #[error("there must be 1 to {MOST_PARTS} parts, not {0}")]
    Count(usize),
    /// A part is no message with a document in it.
    #[error("part {0} has no chat, message, size or identity of the allowed form")]
    Part(usize),
    /// A message is there twice.
    #[error("part {again} is the same message as part {first}")]
    Twice {
        /// Where it is first.
        first: usize,
        /// Where it is again.
        again: usize,
    },
    /// The parts lie in too many chats.
    #[error("the parts lie in {0} chats, and {most} is the most", most = Spans::MOST_CHATS)]
    Chats(usize),
    /// Their lengths' sum is absurd.
    #[error("the parts are too long together")]
    Size,
}

impl Draft {
    /// Checks what is to become a virtual file.
    ///
    /// # Errors
    /// [`DraftError`], the first that there is.
    pub fn new(name: &str, content_type: &str, parts: Vec<Part>) -> Result<Self, DraftError> {
        if !(1..=255).contains(&name.len()) || name.chars().any(|c| c == '/' || c.is_control()) {
            return Err(DraftError::Name);
        }
        if !Entity::is_content_type(content_type) {
            return Err(DraftError::ContentType);
        }
        if !(1..=MOST_PARTS).contains(&parts.len()) {
            return Err(DraftError::Count(parts.len()));
        }
        let (mut total, mut chats) = (0_u64, HashSet::new());
        for (index, part) in parts.iter().enumerate() {
            let identity = (1..=LONGEST_IDENTITY).contains(&part.identity.len())
                && part.identity.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            if part.chat_id == 0 || part.message_id < 1 || part.size == 0 || !identity {
                return Err(DraftError::Part(index + 1));
            }
            let message = (part.chat_id, part.message_id);
            if let Some(first) = parts.iter().take(index).position(|p| (p.chat_id, p.message_id) == message) {
                return Err(DraftError::Twice { first: first + 1, again: index + 1 });
            }
            chats.insert(part.chat_id);
            total = total.checked_add(part.size).filter(|total| *total <= LARGEST).ok_or(DraftError::Size)?;
        }
        if chats.len() > Spans::MOST_CHATS {
            return Err(DraftError::Chats(chats.len()));
        }
        Ok(Self { name: name.to_owned(), content_type: content_type.to_owned(), parts })
    }

    /// Names the bytes: other documents, another order or another type give another tag, and so do other messages with the same
    /// documents, because rights are judged by the chats. The name is not in it: whoever renames a film keeps what is cached of it.
    pub(crate) fn etag(&self) -> String {
        let mut hash = Sha256::new();
        // Each text with its length, so that no two manifests are spelled alike.
        let mut text = |text: &str| {
            hash.update(u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
            hash.update(text.as_bytes());
        };
        text(&self.content_type);
        for part in &self.parts {
            text(&format!("{}/{}/{}", part.chat_id, part.message_id, part.size));
            text(&part.identity);
        }
        let digest = hash.finalize();
        let hex: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        format!("v{hex}-{:x}", size_of(&self.parts))
    }
}

impl Manifest {
    pub(crate) fn new(slug: Slug, draft: Draft, created: u64, changed: u64) -> Self {
        let etag = draft.etag();
        let Draft { name, content_type, parts } = draft;
        Self { slug, name, content_type, parts, created, changed, etag }
    }

    /// Length of all parts in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        size_of(&self.parts)
    }

    /// The messages behind it, as the wire tells them; `None` only for a manifest without parts, which no catalog gives.
    #[must_use]
    pub fn spans(&self) -> Option<Spans> {
        let first = self.parts.first()?;
        let mut chats = Vec::new();
        for part in &self.parts {
            if !chats.contains(&part.chat_id) {
                chats.push(part.chat_id);
            }
        }
        Some(Spans { chat_id: first.chat_id, message_id: first.message_id, chats })
    }
}

fn size_of(parts: &[Part]) -> u64 {
    parts.iter().fold(0, |sum, part| sum.saturating_add(part.size))
}

#[cfg(test)]
mod tests {
    use super::{Draft, DraftError, Manifest, Part};
    use http::HeaderMap;
    use std::collections::HashSet;
    use wire::{Entity, Slug};

    fn part(chat_id: i64, message_id: i32) -> Part {
        Part { chat_id, message_id, size: 10, identity: format!("{chat_id:x}-{message_id:x}") }
    }

    fn draft(name: &str, content_type: &str, parts: &[Part]) -> Result<Draft, DraftError> {
        Draft::new(name, content_type, parts.to_vec())
    }

    #[test]
    fn whatever_is_other_has_another_etag_but_the_name() {
        let parts = [part(-5, 1), part(-6, 2)];
        let tag = |parts: &[Part]| draft("a", "video/mp4", parts).unwrap().etag();
        let mut tags = HashSet::from([tag(&parts)]);
        let other = |change: &dyn Fn(&mut Part)| {
            let mut parts = parts.to_vec();
            parts.iter_mut().take(1).for_each(change);
            tag(&parts)
        };
        assert!(tags.insert(other(&|part| part.chat_id = -7)));
        assert!(tags.insert(other(&|part| part.message_id = 9)));
        assert!(tags.insert(other(&|part| part.size = 11)));
        assert!(tags.insert(other(&|part| part.identity = "x".into())));
        assert!(tags.insert(tag(&[part(-6, 2), part(-5, 1)])));
        assert!(tags.insert(tag(&parts[..1])));
        assert!(tags.insert(draft("a", "video/webm", &parts).unwrap().etag()));
        assert!(!tags.insert(draft("b", "video/mp4", &parts).unwrap().etag()));
        // Every tag is one of the wire's.
        for etag in tags {
            let entity = Entity { etag, size: 1, content_type: "a/b".into(), last_modified: None, file_name: None };
            entity.write(&mut HeaderMap::new()).unwrap();
        }
    }

    #[test]
    fn what_can_not_be_served_is_no_draft() {
        let parts = [part(-5, 1), part(-5, 2)];
        let long = "x".repeat(256);
        for name in ["", "a/b", "a\nb", long.as_str()] {
            assert_eq!(draft(name, "a/b", &parts), Err(DraftError::Name), "{name:?}");
        }
        assert_eq!(draft("a", "video", &parts), Err(DraftError::ContentType));
        assert_eq!(draft("a", "a/b", &[]), Err(DraftError::Count(0)));
        let many: Vec<Part> = (1..=1001).map(|id| part(-5, id)).collect();
        assert_eq!(draft("a", "a/b", &many), Err(DraftError::Count(1001)));
        assert!(draft("a", "a/b", &many[..1000]).is_ok());
        let spread: Vec<Part> = (1..=65).map(|id| part(-id, 1)).collect();
        assert_eq!(draft("a", "a/b", &spread), Err(DraftError::Chats(65)));
        assert_eq!(
            draft("a", "a/b", &[part(-5, 1), part(-5, 2), part(-5, 1)]),
            Err(DraftError::Twice { first: 1, again: 3 })
        );
        for bad in [
            Part { chat_id: 0, ..part(-5, 1) },
            Part { message_id: 0, ..part(-5, 1) },
            Part { size: 0, ..part(-5, 1) },
            Part { identity: "a\"".into(), ..part(-5, 1) },
            Part { identity: String::new(), ..part(-5, 1) },
        ] {
            assert_eq!(draft("a", "a/b", &[part(-5, 9), bad]), Err(DraftError::Part(2)));
        }
        let huge = Part { size: i64::MAX as u64, ..part(-5, 1) };
        assert!(draft("a", "a/b", std::slice::from_ref(&huge)).is_ok());
        assert_eq!(draft("a", "a/b", &[huge, part(-5, 2)]), Err(DraftError::Size));
    }

    #[test]
    fn spans_name_each_chat_once_and_the_first_part() {
        let draft = draft("a", "a/b", &[part(-6, 3), part(-5, 1), part(-6, 4)]).unwrap();
        let manifest = Manifest::new(Slug::parse("s").unwrap(), draft, 1, 2);
        let spans = manifest.spans().unwrap();
        assert_eq!((spans.chat_id, spans.message_id, spans.chats.as_slice()), (-6, 3, &[-6, -5][..]));
        assert_eq!(manifest.size(), 30);
    }
}
