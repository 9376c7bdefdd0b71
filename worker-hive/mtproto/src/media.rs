//! What a message's document is, in words that the pool may know.

use std::fmt;

/// A message, named as Telegram's bot API names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageRef {
    /// Chat in bot-API form: channels and supergroups are `-100…`; small groups (negative) and users (positive) are never found.
    pub chat_id: i64,
    /// Message id inside the chat, 1 or more.
    pub message_id: i32,
}

/// Names the bytes of a document, whichever account asks. Equal identities mean equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    document_id: i64,
    size: u64,
}

impl Identity {
    /// A document's id and its size in bytes.
    #[must_use]
    pub fn new(document_id: i64, size: u64) -> Self {
        Self { document_id, size }
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(self) -> u64 {
        self.size
    }

    /// A strong validator without quotes, in the alphabet `[0-9a-f-]`, at most 33 characters.
    #[must_use]
    pub fn etag(self) -> String {
        format!("{:016x}-{:x}", self.document_id, self.size)
    }
}

/// Where one account finds a document. Worthless to any other account: hash and reference are the account's own.
#[derive(Clone)]
pub struct Location {
    /// Names the bytes.
    pub identity: Identity,
    /// Data-centre that holds the document.
    pub dc: i32,
    /// Media type as the uploader gave it; any text.
    pub mime_type: String,
    /// File name as the uploader gave it; any text.
    pub file_name: Option<String>,
    /// Date of the message or of its last edit, seconds since the Unix epoch.
    pub date: Option<u64>,
    pub(crate) document_id: i64,
    pub(crate) access_hash: i64,
    pub(crate) file_reference: Vec<u8>,
}

impl Location {
    /// The same document in another data-centre, when Telegram said that it moved.
    #[must_use]
    pub fn moved_to(&self, dc: i32) -> Self {
        Self { dc, ..self.clone() }
    }

    /// True when both carry the same permission to download, so that asking with one after the other failed is in vain.
    #[must_use]
    pub fn same_reference(&self, other: &Self) -> bool {
        self.document_id == other.document_id && self.file_reference == other.file_reference
    }

    /// A location that no account knows, for tests of code above the connection.
    #[must_use]
    pub fn synthetic(identity: Identity, dc: i32, file_reference: Vec<u8>) -> Self {
        Self {
            identity,
            dc,
            mime_type: "application/octet-stream".to_owned(),
            file_name: None,
            date: None,
            document_id: identity.document_id,
            access_hash: 0,
            file_reference,
        }
    }
}

/// Leaves out the access hash and the reference: both are permissions.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Location")
            .field("identity", &self.identity)
            .field("dc", &self.dc)
            .field("mime_type", &self.mime_type)
            .field("file_name", &self.file_name)
            .field("date", &self.date)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, Location};

    #[test]
    fn etags_tell_documents_and_sizes_apart_and_stay_in_the_alphabet() {
        let tags: Vec<String> = [(1, 2), (2, 1), (-1, 0), (i64::MIN, u64::MAX)]
            .iter()
            .map(|(id, size)| Identity::new(*id, *size).etag())
            .collect();
        for (index, tag) in tags.iter().enumerate() {
            assert!(tag.len() <= 64 && tag.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{tag}");
            assert!(!tags[..index].contains(tag));
        }
    }

    #[test]
    fn debug_shows_no_permission() {
        let location = Location::synthetic(Identity::new(5, 6), 2, b"secret-reference".to_vec());
        let text = format!("{location:?}");
        assert!(!text.contains("115, 101, 99") && !text.contains("access_hash"), "{text}");
    }
}
