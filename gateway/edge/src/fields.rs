//! The head of an answer on its way to a viewer.
//!
//! A list, not [`http::HeaderMap`]: an answer has some twelve fields, each of them set once, and filling a table of hashes for them took a
//! twentieth of a small hit's instructions.

use http::header::{HeaderName, HeaderValue};
use http::response::Parts;
use http::{Response, StatusCode};

/// Fields that a head has room for without growing.
const ROOM: usize = 16;

/// Status and fields.
#[derive(Debug)]
pub(crate) struct AnswerHead {
    pub(crate) status: StatusCode,
    pub(crate) fields: Fields,
}

impl AnswerHead {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, fields: Fields(Vec::with_capacity(ROOM)) }
    }

    /// As libraries know it.
    pub(crate) fn into_parts(self) -> Parts {
        let (mut parts, ()) = Response::new(()).into_parts();
        parts.status = self.status;
        parts.headers.reserve(self.fields.0.len());
        for (name, value) in self.fields.0 {
            parts.headers.append(name, value);
        }
        parts
    }
}

/// Header fields in the order in which they are sent.
#[derive(Debug)]
pub(crate) struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// Sets a field that may have been set before: what it had is gone.
    pub(crate) fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.retain(|(other, _)| *other != name);
        self.0.push((name, value));
    }

    /// Adds a value to those that the field has, if it has any.
    pub(crate) fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(HeaderName, HeaderValue)> {
        self.0.iter()
    }
}

#[cfg(test)]
impl Fields {
    /// The values of a field.
    pub(crate) fn of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.to_str().unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::AnswerHead;
    use http::header::{ETAG, VARY};
    use http::{HeaderValue, StatusCode};

    #[test]
    fn a_field_has_the_value_set_last_and_all_that_were_added() {
        let mut head = AnswerHead::new(StatusCode::PARTIAL_CONTENT);
        let value = HeaderValue::from_static;
        head.fields.insert(ETAG, value("\"1\""));
        head.fields.append(VARY, value("Origin"));
        head.fields.insert(ETAG, value("\"2\""));
        head.fields.append(VARY, value("Accept"));
        assert_eq!(head.fields.of("etag").collect::<Vec<_>>(), ["\"2\""]);
        assert_eq!(head.fields.of("vary").collect::<Vec<_>>(), ["Origin", "Accept"]);
        let parts = head.into_parts();
        assert_eq!(parts.status, 206);
        assert_eq!(parts.headers[ETAG], "\"2\"");
        assert_eq!(parts.headers.get_all(VARY).iter().count(), 2);
    }
}
