//! Where a virtual file's bytes come from: whoever serves it must have a right to every one of these chats.

use crate::entity::EntityError;
use crate::media::{HEADER_CHAT_ID, HEADER_MESSAGE_ID, canonical};
use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

const CHAT: HeaderName = HeaderName::from_static(HEADER_CHAT_ID);
const MESSAGE: HeaderName = HeaderName::from_static(HEADER_MESSAGE_ID);
/// Every chat, divided by `, `, in order of its first part.
const CHATS: HeaderName = HeaderName::from_static("x-media-chats");

/// The messages behind a virtual file, as far as rights and people need to know. On each of its 200, 206 and HEAD answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Spans {
    /// Chat of the first part, in bot-API form.
    pub chat_id: i64,
    /// Message of the first part, 1 or more.
    pub message_id: i32,
    /// Every chat that a part lies in, each once, the first part's first: 1 to [`Spans::MOST_CHATS`].
    pub chats: Vec<i64>,
}

impl Spans {
    /// Bounds the header at some 1.4 kB.
    pub const MOST_CHATS: usize = 64;

    /// Writes the headers.
    ///
    /// # Errors
    /// [`EntityError::Invalid`] when the chats are none, too many, not each once, or don't begin with the first part's: a bug of the
    /// caller.
    pub fn write(&self, headers: &mut HeaderMap) -> Result<(), EntityError> {
        if !self.is_sound() {
            return Err(EntityError::Invalid("x-media-chats"));
        }
        let list: Vec<String> = self.chats.iter().map(i64::to_string).collect();
        let list = HeaderValue::try_from(list.join(", ")).map_err(|_| EntityError::Invalid("x-media-chats"))?;
        headers.insert(CHAT, HeaderValue::from(self.chat_id));
        headers.insert(MESSAGE, HeaderValue::from(self.message_id));
        headers.insert(CHATS, list);
        Ok(())
    }

    /// Reads what [`Spans::write`] wrote. Nothing is left out or guessed: rights are judged by it.
    ///
    /// # Errors
    /// [`EntityError`] when a header is missing, there twice, or not of the contract's form.
    pub fn read(headers: &HeaderMap) -> Result<Self, EntityError> {
        let number =
            |name: &HeaderName, label| canonical(text(headers, name, label)?).ok_or(EntityError::Invalid(label));
        let chat_id = number(&CHAT, "x-location-chat-id")?;
        let message_id = number(&MESSAGE, "x-location-msg-id")?;
        let message_id = i32::try_from(message_id).map_err(|_| EntityError::Invalid("x-location-msg-id"))?;
        let chats = text(headers, &CHATS, "x-media-chats")?.split(", ").map(canonical).collect::<Option<Vec<i64>>>();
        let spans = Self { chat_id, message_id, chats: chats.ok_or(EntityError::Invalid("x-media-chats"))? };
        if spans.is_sound() { Ok(spans) } else { Err(EntityError::Invalid("x-media-chats")) }
    }

    fn is_sound(&self) -> bool {
        let once =
            |(index, chat): (usize, &i64)| *chat != 0 && !self.chats.iter().take(index).any(|other| other == chat);
        self.message_id >= 1
            && self.chats.len() <= Self::MOST_CHATS
            && self.chats.first() == Some(&self.chat_id)
            && self.chats.iter().enumerate().all(once)
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName, label: &'static str) -> Result<&'a str, EntityError> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Err(EntityError::Missing(label)),
        (Some(value), None) => value.to_str().map_err(|_| EntityError::Invalid(label)),
        (Some(_), Some(_)) => Err(EntityError::Invalid(label)),
    }
}

#[cfg(test)]
mod tests {
    use super::Spans;
    use crate::entity::EntityError;
    use http::HeaderMap;

    fn spans(chats: &[i64]) -> Spans {
        Spans { chat_id: chats.first().copied().unwrap_or(-1), message_id: 7, chats: chats.to_vec() }
    }

    #[test]
    fn round_trips() {
        let many: Vec<i64> = (1..=64).map(|chat| -1_000_000_000_000 - chat).collect();
        for chats in [&[-1_001][..], &[-1_002, -1_001], &[i64::MIN, i64::MAX], &many] {
            let mut headers = HeaderMap::new();
            spans(chats).write(&mut headers).unwrap();
            assert_eq!(Spans::read(&headers), Ok(spans(chats)));
        }
    }

    #[test]
    fn what_rights_are_judged_by_is_whole_or_an_error() {
        let many: Vec<i64> = (1..=65).collect();
        for chats in [&[][..], &[5, 0], &[5, 6, 5], &many] {
            assert!(spans(chats).write(&mut HeaderMap::new()).is_err(), "{chats:?}");
        }
        assert!(Spans { chat_id: 6, ..spans(&[5, 6]) }.write(&mut HeaderMap::new()).is_err());
        let mut good = HeaderMap::new();
        spans(&[-5, -6]).write(&mut good).unwrap();
        for name in ["x-location-chat-id", "x-location-msg-id", "x-media-chats"] {
            let mut headers = good.clone();
            headers.remove(name);
            assert!(matches!(Spans::read(&headers), Err(EntityError::Missing(_))), "{name}");
            headers.clone_from(&good);
            headers.append(name, "-6".parse().unwrap());
            assert!(matches!(Spans::read(&headers), Err(EntityError::Invalid(_))), "{name} twice");
        }
        for list in ["", "-5,-6", "-5, -5", "-6, -5", "-5, 06", "-5, ", "x", "-5, 99999999999999999999"] {
            let mut headers = good.clone();
            headers.insert("x-media-chats", list.parse().unwrap());
            assert!(Spans::read(&headers).is_err(), "{list}");
        }
    }
}
