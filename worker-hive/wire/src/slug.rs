//! The name of a virtual file.

use std::fmt;

/// Names a virtual file: 1 to [`Slug::LONGEST`] characters of `[0-9A-Za-z_-]`, so that it stands in a path as it is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slug {
    /// First, so that the order is that of the texts: the rest is filled up with zeros.
    bytes: [u8; Slug::LONGEST],
    length: u8,
}

/// The text is no slug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a slug has 1 to {} characters of 0-9, A-Z, a-z, _ and -", Slug::LONGEST)]
pub struct SlugError;

impl Slug {
    /// Most characters of a slug.
    pub const LONGEST: usize = 32;

    /// Checks the text.
    ///
    /// # Errors
    /// [`SlugError`] for a text of another length or with other characters.
    pub fn parse(text: &str) -> Result<Self, SlugError> {
        let mut bytes = [0; Self::LONGEST];
        bytes.get_mut(..text.len()).ok_or(SlugError)?.copy_from_slice(text.as_bytes());
        let fits = text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
        let length = u8::try_from(text.len()).ok().filter(|length| fits && *length > 0).ok_or(SlugError)?;
        Ok(Self { bytes, length })
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..usize::from(self.length)).and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Slug {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slug({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::{Slug, SlugError};

    #[test]
    fn texts_come_back_in_their_order() {
        let longest = "x".repeat(Slug::LONGEST);
        let mut slugs: Vec<Slug> =
            ["b", "a-b", "A_9", "aa", "a", longest.as_str()].map(|text| Slug::parse(text).unwrap()).into();
        slugs.sort_unstable();
        let texts: Vec<&str> = slugs.iter().map(Slug::as_str).collect();
        assert_eq!(texts, ["A_9", "a", "a-b", "aa", "b", longest.as_str()]);
    }

    #[test]
    fn other_texts_are_refused() {
        for text in ["", " ", "a b", "a/b", "a.b", "é", "a\0", "%41", &"x".repeat(Slug::LONGEST + 1)] {
            assert_eq!(Slug::parse(text), Err(SlugError), "{text:?}");
        }
    }
}
