//! Where a follower is in the log, and what it still has to hear. Pure.

use std::fmt;
use std::str::FromStr;

/// A place in the log: behind one message, or before all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// The message's number; 0 is before the first.
    pub(crate) number: u64,
    /// The message's tag.
    pub(crate) tag: String,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number, self.tag)
    }
}

/// A text is no place in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no place in a log")]
pub struct CursorError;

impl FromStr for Cursor {
    type Err = CursorError;

    fn from_str(text: &str) -> Result<Self, CursorError> {
        let (number, tag) = text.split_once(' ').ok_or(CursorError)?;
        let number = number.parse().map_err(|_| CursorError)?;
        let sound = (number == 0) == tag.is_empty() && tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if sound { Ok(Self { number, tag: tag.to_owned() }) } else { Err(CursorError) }
    }
}

/// One message of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Redis' own id of it.
    pub(crate) id: String,
    pub(crate) place: Cursor,
    /// Tag of the message before it.
    pub(crate) before: String,
    /// Who published it.
    pub(crate) from: String,
    pub(crate) body: String,
}

/// What a follower at some place must be told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct News<'a> {
    /// Messages between its place and these are not there any more.
    pub(crate) missed: bool,
    pub(crate) messages: &'a [Message],
    pub(crate) now: Cursor,
}

/// What `messages`, the log as far as it is kept, hold for a follower at `cursor`. `head` is where the log was a moment before.
pub(crate) fn news<'a>(cursor: &Cursor, head: &Cursor, messages: &'a [Message]) -> News<'a> {
    // The last run of messages that follow each other: what stands before a break was published to another Redis, so to say.
    let follows = |pair: &[Message]| matches!(pair, [a, b] if b.before == a.place.tag);
    let whole = messages.windows(2).rposition(|pair| !follows(pair)).map_or(0, |at| at + 1);
    let run = messages.get(whole..).unwrap_or_default();
    let next = run.iter().position(|message| message.before == cursor.tag && message.place.number == cursor.number + 1);
    if let Some(next) = next {
        let messages = run.get(next..).unwrap_or_default();
        let now = messages.last().map_or_else(|| cursor.clone(), |last| last.place.clone());
        return News { missed: false, messages, now };
    }
    let last = run.last().map(|message| &message.place).filter(|last| last.number >= head.number).unwrap_or(head);
    News { missed: last != cursor, messages: &[], now: last.clone() }
}

#[cfg(test)]
mod tests {
    use super::{Cursor, Message, news};

    fn at(number: u64, tag: &str) -> Cursor {
        Cursor { number, tag: tag.to_owned() }
    }

    fn message(number: u64, before: &str, tag: &str) -> Message {
        let text = String::new();
        Message { id: text.clone(), place: at(number, tag), before: before.to_owned(), from: text.clone(), body: text }
    }

    #[test]
    fn a_follower_hears_what_it_lacks_or_that_it_missed_some() {
        let log = [message(3, "b", "c"), message(4, "c", "d"), message(5, "d", "e")];
        // Where it was, what it hears, whether it missed some.
        for (cursor, heard, missed) in [
            (at(5, "e"), 0, false),
            (at(4, "d"), 1, false),
            (at(2, "b"), 3, false),
            (at(1, "a"), 0, true),
            (at(0, ""), 0, true),
            (at(4, "x"), 0, true),
            (at(9, "z"), 0, true),
        ] {
            let news = news(&cursor, &at(5, "e"), &log);
            assert_eq!((news.messages.len(), news.missed), (heard, missed), "{cursor:?}");
            assert_eq!(news.now, at(5, "e"), "{cursor:?}");
        }
    }

    #[test]
    fn an_empty_log_is_judged_by_its_head() {
        assert!(!news(&at(0, ""), &at(0, ""), &[]).missed);
        assert!(!news(&at(7, "g"), &at(7, "g"), &[]).missed);
        let behind = news(&at(6, "f"), &at(7, "g"), &[]);
        assert!(behind.missed);
        assert_eq!(behind.now, at(7, "g"));
    }

    #[test]
    fn a_message_that_came_after_the_head_was_read_is_heard() {
        let log = [message(1, "", "a"), message(2, "a", "b")];
        let news = news(&at(1, "a"), &at(1, "a"), &log);
        assert_eq!((news.missed, news.messages.len(), news.now), (false, 1, at(2, "b")));
    }

    #[test]
    fn a_break_in_the_log_is_a_loss_for_who_was_before_it() {
        let log = [message(1, "", "a"), message(9, "?", "i"), message(10, "i", "j")];
        for (cursor, heard, missed) in [(at(0, ""), 0, true), (at(1, "a"), 0, true), (at(9, "i"), 1, false)] {
            let news = news(&cursor, &at(10, "j"), &log);
            assert_eq!((news.messages.len(), news.missed), (heard, missed), "{cursor:?}");
        }
    }

    #[test]
    fn places_are_read_as_they_were_written() {
        for place in [at(0, ""), at(12, "abc9")] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for bad in ["", "1", "1 ", "0 a", "x a", "1 a b", "1 a\n"] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?}");
        }
    }
}
