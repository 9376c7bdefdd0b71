//! A line of JSON, written member by member. A general serialiser took a tenth of the processor time of a request.

use std::cell::Cell;
use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

thread_local! {
    /// The second written last, and its text up to the fraction: most lines are of the same second as the one before.
    static SECOND: Cell<(u64, [u8; 19])> = const { Cell::new((0, *b"1970-01-01T00:00:00")) };
}

/// A line under way.
pub(crate) struct JsonLine<'a> {
    text: &'a mut Vec<u8>,
    first: bool,
}

impl<'a> JsonLine<'a> {
    /// Opens the object.
    pub(crate) fn begin(text: &'a mut Vec<u8>) -> Self {
        text.push(b'{');
        Self { text, first: true }
    }

    /// A string.
    pub(crate) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        // Without an early end, so that many bytes are looked at at once.
        let odd = value.bytes().fold(false, |odd, byte| odd | (byte < b' ') | (byte == b'"') | (byte == b'\\'));
        if !odd {
            self.text.push(b'"');
            self.text.extend_from_slice(value.as_bytes());
            self.text.push(b'"');
        } else if serde_json::to_writer(&mut *self.text, value).is_err() {
            // A string into memory can't fail; a line that isn't JSON would be worse than a member without its value.
            self.text.extend_from_slice(b"null");
        }
    }

    /// A string, if there is one.
    pub(crate) fn some(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A number that may be negative.
    pub(crate) fn signed(&mut self, name: &str, value: i64) {
        self.name(name);
        self.text.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// Two numbers with a slash between them, as a string.
    pub(crate) fn pair(&mut self, name: &str, first: i64, second: i64) {
        self.name(name);
        self.text.push(b'"');
        self.text.extend_from_slice(itoa::Buffer::new().format(first).as_bytes());
        self.text.push(b'/');
        self.text.extend_from_slice(itoa::Buffer::new().format(second).as_bytes());
        self.text.push(b'"');
    }

    /// Milliseconds, with three places after the point.
    pub(crate) fn milliseconds(&mut self, name: &str, value: Duration) {
        let micros = u64::try_from(value.as_micros()).unwrap_or(u64::MAX);
        self.number(name, micros / 1000);
        self.fraction(micros % 1000);
    }

    /// A date as RFC 3339 has it, in UTC, with milliseconds.
    pub(crate) fn time(&mut self, name: &str, time: SystemTime) {
        self.name(name);
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let (known, mut text) = SECOND.get();
        if known != since.as_secs() {
            let mut into = &mut text[..];
            let second = UNIX_EPOCH + Duration::from_secs(since.as_secs());
            // Four digits of a year: what is longer is cut, and only clocks that are far off have it.
            let _ = write!(into, "{}", humantime::format_rfc3339_seconds(second));
            SECOND.set((since.as_secs(), text));
        }
        self.text.push(b'"');
        self.text.extend_from_slice(&text);
        self.fraction(u64::from(since.subsec_millis()));
        self.text.extend_from_slice(b"Z\"");
    }

    /// Closes the object and the line.
    pub(crate) fn end(self) {
        self.text.extend_from_slice(b"}\n");
    }

    fn name(&mut self, name: &str) {
        if !std::mem::take(&mut self.first) {
            self.text.push(b',');
        }
        self.text.push(b'"');
        self.text.extend_from_slice(name.as_bytes());
        self.text.extend_from_slice(b"\":");
    }

    /// A point and three digits.
    fn fraction(&mut self, thousandths: u64) {
        let digit = |of: u64| b'0' + u8::try_from(thousandths / of % 10).unwrap_or(0);
        self.text.extend_from_slice(&[b'.', digit(100), digit(10), digit(1)]);
    }
}

#[cfg(test)]
mod tests {
    use super::JsonLine;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn members_come_back() {
        let mut text = Vec::new();
        let texts = ["", "plain é", "\"quoted\" \\ \n\u{1}\u{7f}", "\u{2028}"];
        let mut line = JsonLine::begin(&mut text);
        for (name, value) in ["a", "b", "c", "d"].into_iter().zip(texts) {
            line.text(name, value);
        }
        line.some("none", None);
        line.number("most", u64::MAX);
        line.signed("least", i64::MIN);
        line.pair("pair", -100, 7);
        line.milliseconds("short", Duration::from_micros(7));
        line.milliseconds("long", Duration::from_micros(61_234_050));
        for (name, millis) in [("then", 1_700_000_000_007), ("again", 1_700_000_000_999), ("later", 1_700_000_061_000)]
        {
            line.time(name, UNIX_EPOCH + Duration::from_millis(millis));
        }
        line.end();
        assert_eq!(text.last(), Some(&b'\n'));
        let value: serde_json::Value = serde_json::from_slice(&text).unwrap();
        for (name, expected) in ["a", "b", "c", "d"].into_iter().zip(texts) {
            assert_eq!(value[name], expected);
        }
        assert!(value.get("none").is_none());
        assert_eq!(value["pair"], "-100/7");
        assert_eq!((value["most"].as_u64(), value["least"].as_i64()), (Some(u64::MAX), Some(i64::MIN)));
        assert_eq!((value["short"].as_f64(), value["long"].as_f64()), (Some(0.007), Some(61_234.05)));
        assert_eq!(value["then"], "2023-11-14T22:13:20.007Z");
        assert_eq!(value["again"], "2023-11-14T22:13:20.999Z");
        assert_eq!(value["later"], "2023-11-14T22:14:21.000Z");
    }
}
