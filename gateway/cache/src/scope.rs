//! Which media a purge, a check or a list is about, as ranges over media in their order. Pure.

use slice::{ETag, MediaId, Slug};
use std::collections::BTreeSet;
use std::fmt;
use std::ops::RangeInclusive;

/// Some of the media that a cache knows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Everything.
    All,
    /// One media.
    Media(MediaId),
    /// What lies in these chats: a tenant's media are those of its channels. Virtual files with a part in one of them too, and
    /// those of which the origin hasn't said since the start where their parts lie.
    Chats(BTreeSet<i64>),
    /// Media by the beginning of their path.
    Prefix(PathPrefix),
    /// All media that are at this version: a document keeps its tag wherever it was forwarded to. Looks at every media.
    Document(ETag),
}

/// The beginning of media's paths, as operators write it: `/stream/-100123/`, `/stream/-100123/45`, `/v/abc`. A media's path
/// ends in `/` here: `/stream/-100123/4` begins those of messages 4 and 45, `/stream/-100123/4/` that of message 4
/// alone. A `*` at the end is taken for nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPrefix {
    text: Box<str>,
    ranges: Vec<RangeInclusive<MediaId>>,
}

/// The text begins no media's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not the beginning of a media's path; write /stream/<chat id>/<message id>, /v/<slug>, or less of these")]
pub struct PrefixError;

impl PathPrefix {
    /// Reads a prefix.
    ///
    /// # Errors
    /// [`PrefixError`] for what no media's path begins with, such as a file name behind a message id, and for what is
    /// shorter than `/stream/` or `/v/`.
    pub fn parse(text: &str) -> Result<Self, PrefixError> {
        let path = text.strip_suffix('*').unwrap_or(text);
        let ranges = match (path.strip_prefix("/stream/"), path.strip_prefix("/v/")) {
            (Some(rest), _) => messages(rest),
            (_, Some(rest)) => slugs(rest),
            _ => None,
        };
        let ranges = ranges.filter(|ranges| !ranges.is_empty()).ok_or(PrefixError)?;
        Ok(Self { text: path.into(), ranges })
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Scope {
    /// Where its media are. Virtual files of [`Scope::Chats`] are elsewhere: the map knows where.
    pub(crate) fn ranges(&self) -> Vec<RangeInclusive<MediaId>> {
        match self {
            Self::All | Self::Document(_) => {
                let mut all = chats(i64::MIN, i64::MAX).into_iter().collect::<Vec<_>>();
                all.extend(slugs("").unwrap_or_default());
                all
            }
            Self::Media(id) => vec![*id..=*id],
            Self::Chats(of) => of.iter().filter_map(|&chat| chats(chat, chat)).collect(),
            Self::Prefix(prefix) => prefix.ranges.clone(),
        }
    }

    /// Whether a media of which nothing is known could be meant.
    pub(crate) fn may_mean(&self, id: MediaId) -> bool {
        let is_part = matches!((self, id), (Self::Chats(_), MediaId::Virtual(_)));
        is_part || self.ranges().iter().any(|range| range.contains(&id))
    }

    /// Whether a media in these ranges is meant, by its version.
    pub(crate) fn takes(&self, etag: &ETag) -> bool {
        !matches!(self, Self::Document(document) if document != etag)
    }
}

fn chats(from: i64, to: i64) -> Option<RangeInclusive<MediaId>> {
    (from <= to).then(|| MediaId::message(from, i32::MIN)..=MediaId::message(to, i32::MAX))
}

fn messages(path: &str) -> Option<Vec<RangeInclusive<MediaId>>> {
    let Some((chat, message)) = path.split_once('/') else {
        return Some(numbers(path)?.into_iter().filter_map(|(from, to)| chats(from, to)).collect());
    };
    let chat_id = chat.parse::<i64>().ok().filter(|id| id.to_string() == chat)?;
    if let Some(message) = message.strip_suffix('/') {
        let message_id = message.parse::<i32>().ok().filter(|id| id.to_string() == message)?;
        return Some(vec![MediaId::message(chat_id, message_id)..=MediaId::message(chat_id, message_id)]);
    }
    let clip = |id: i64| i32::try_from(id.clamp(i32::MIN.into(), i32::MAX.into())).unwrap_or_default();
    let fits = |&(from, to): &(i64, i64)| from <= i32::MAX.into() && to >= i32::MIN.into();
    let range = |(from, to)| MediaId::message(chat_id, clip(from))..=MediaId::message(chat_id, clip(to));
    Some(numbers(message)?.into_iter().filter(fits).map(range).collect())
}

/// The numbers whose decimal text begins so.
fn numbers(text: &str) -> Option<Vec<(i64, i64)>> {
    let (digits, is_negative) = text.strip_prefix('-').map_or((text, false), |digits| (digits, true));
    match (digits, is_negative) {
        ("", false) => return Some(vec![(i64::MIN, i64::MAX)]),
        ("", true) => return Some(vec![(i64::MIN, -1)]),
        ("0", false) => return Some(vec![(0, 0)]),
        _ if digits.starts_with('0') || digits.len() > 19 || !digits.bytes().all(|b| b.is_ascii_digit()) => {
            return None;
        }
        _ => {}
    }
    let first: i128 = digits.parse().ok()?;
    let signed = |number: i128| i64::try_from(if is_negative { -number } else { number });
    let mut found = Vec::new();
    let mut power = 1;
    // Each further digit is one more stretch: 12 begins 12, 120 to 129, 1200 to 1299, and so on.
    while let Ok(near) = signed(first * power) {
        let far = signed((first + 1) * power - 1).unwrap_or(if is_negative { i64::MIN } else { i64::MAX });
        found.push((near.min(far), near.max(far)));
        power *= 10;
    }
    Some(found)
}

fn slugs(text: &str) -> Option<Vec<RangeInclusive<MediaId>>> {
    if let Some(whole) = text.strip_suffix('/') {
        let slug = MediaId::Virtual(Slug::parse(whole).ok()?);
        return Some(vec![slug..=slug]);
    }
    // The first and the last character that a slug may have.
    let first = Slug::parse(if text.is_empty() { "-" } else { text }).ok()?;
    let last = Slug::parse(&format!("{text:z<width$}", width = Slug::LONGEST)).ok()?;
    Some(vec![MediaId::Virtual(first)..=MediaId::Virtual(last)])
}

#[cfg(test)]
mod tests {
    use super::{PathPrefix, Scope};
    use slice::{ETag, MediaId, Slug};

    fn path(id: MediaId) -> String {
        match id {
            MediaId::Message { .. } => format!("/stream/{id}/"),
            MediaId::Virtual(_) => format!("/{id}/"),
        }
    }

    fn some() -> Vec<MediaId> {
        let chats =
            [i64::MIN, -1_001_234_567_890, -1_001_234, -100_123, -1_001, -100, -1, 0, 1, 10, 12, 129, 130, i64::MAX];
        let messages = [1, 4, 40, 45, 49, 50, 450, 4_500_000, i32::MAX];
        let slugs = ["-", "A", "abc", "abcd", "ab", "abz", "b", "zz", "_x", "0", &"z".repeat(32)];
        let messages =
            chats.iter().flat_map(|&chat| messages.iter().map(move |&message| MediaId::message(chat, message)));
        messages.chain(slugs.iter().map(|slug| MediaId::Virtual(Slug::parse(slug).unwrap()))).collect()
    }

    #[test]
    fn a_prefix_takes_what_begins_with_it_and_nothing_else() {
        let mut prefixes: Vec<String> = some().into_iter().map(path).collect();
        for whole in prefixes.clone() {
            let shortest = if whole.starts_with("/stream/") { 8 } else { 3 };
            prefixes.extend((shortest..whole.len()).map(|end| whole[..end].to_owned()));
        }
        for text in prefixes {
            for text in [text.clone(), text.clone() + "*"] {
                let prefix = PathPrefix::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
                let ranges = Scope::Prefix(prefix).ranges();
                for id in some() {
                    let taken = ranges.iter().filter(|range| range.contains(&id)).count();
                    let begins = path(id).starts_with(text.trim_end_matches('*'));
                    assert_eq!(taken, usize::from(begins), "{text} and {id}");
                }
            }
        }
    }

    #[test]
    fn other_texts_are_refused() {
        let texts = [
            "",
            "/",
            "*",
            "/s",
            "/stream",
            "stream/1/",
            "/streams/1",
            "/stream//",
            "/stream/x",
            "/stream/01",
            "/stream/-0",
            "/stream/--1",
            "/stream/+1",
            "/stream/1/2/film.mp4",
            "/stream/1/02",
            "/stream/1/2//",
            "/stream/ 1",
            "/stream/-/",
            "/stream/99999999999999999999",
            "/stream/1/4294967296",
            "/v",
            "/v//",
            "/v/a.b",
            "/v/a/b",
            "/v/é",
            "/v/%41",
            "/stream/*/1",
            "/V/a",
        ];
        for text in texts {
            assert!(PathPrefix::parse(text).is_err(), "{text:?}");
        }
        assert!(PathPrefix::parse(&format!("/v/{}", "x".repeat(33))).is_err());
    }

    #[test]
    fn the_other_scopes() {
        let taken = |scope: &Scope| {
            let ranges = scope.ranges();
            some().into_iter().filter(|id| ranges.iter().any(|range| range.contains(id))).collect::<Vec<_>>()
        };
        assert_eq!(taken(&Scope::All), some());
        assert_eq!(taken(&Scope::Document(ETag::new("a"))), some());
        let one = MediaId::message(-100, 45);
        assert_eq!(taken(&Scope::Media(one)), [one]);
        assert_eq!(taken(&Scope::Chats([-100, 12, 77].into())).len(), 18);
        assert!(Scope::Document(ETag::new("a")).takes(&ETag::new("a")));
        assert!(!Scope::Document(ETag::new("a")).takes(&ETag::new("b")));
    }
}
