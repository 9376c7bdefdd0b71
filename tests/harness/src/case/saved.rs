//! What a case remembers from one step to the next: texts by name, and cookies by jar.

use crate::{Answer, Failure};
use percent_encoding::percent_decode_str;
use std::collections::BTreeMap;

/// Texts by name, and cookies by jar.
#[derive(Debug, Default)]
pub(super) struct Saved {
    texts: BTreeMap<String, String>,
    jars: BTreeMap<String, BTreeMap<String, String>>,
}

impl Saved {
    /// Puts saved texts in the place of `{NAME}`, and times in that of `{now}`, `{now+SECONDS}` and `{now-SECONDS}`.
    pub(super) fn fill(&self, word: &str, now: i64) -> String {
        let mut filled =
            self.texts.iter().fold(word.to_owned(), |word, (name, text)| word.replace(&format!("{{{name}}}"), text));
        while let Some(begin) = filled.find("{now") {
            let Some(length) = filled.get(begin..).and_then(|rest| rest.find('}')) else { break };
            let offset = filled.get(begin + 4..begin + length).unwrap_or_default();
            let Ok(offset) = (if offset.is_empty() { Ok(0) } else { offset.parse::<i64>() }) else { break };
            filled.replace_range(begin..=begin + length, &(now + offset).to_string());
        }
        filled
    }

    /// Remembers a text.
    pub(super) fn keep(&mut self, name: &str, text: String) {
        self.texts.insert(name.to_owned(), text);
    }

    /// The `Cookie` header that a jar gives; `None` if it is empty.
    pub(super) fn cookies(&self, jar: &str) -> Option<String> {
        let pairs = self.jars.get(jar)?.iter().map(|(name, value)| format!("{name}={value}"));
        Some(pairs.collect::<Vec<_>>().join("; ")).filter(|cookies| !cookies.is_empty())
    }

    /// Puts an answer's cookies into a jar, as a browser would; that they belong to a host is the case's to mind.
    pub(super) fn receive(&mut self, jar: &str, answer: &Answer) {
        let jar = self.jars.entry(jar.to_owned()).or_default();
        for field in answer.headers.get_all("set-cookie").iter().filter_map(|field| field.to_str().ok()) {
            let mut parts = field.split("; ");
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { continue };
            if parts.any(|part| part == "Max-Age=0") {
                jar.remove(name);
            } else {
                jar.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// `save NAME header HEADER`, or `save NAME param PARAMETER of HEADER`: the parameter of the URL in that header, decoded.
    pub(super) fn save(&mut self, words: &[&str], answer: &Answer) -> Result<(), Failure> {
        let header =
            |name: &str| answer.header(name).ok_or_else(|| Failure::from(format!("there is no header {name}")));
        let (name, text) = match words {
            [name, "header", from] => (name, header(from)?.to_owned()),
            [name, "param", parameter, "of", from] => {
                let url = header(from)?;
                let query = url.split_once('?').map_or("", |(_, query)| query);
                let found = query.split('&').find_map(|pair| pair.strip_prefix(parameter)?.strip_prefix('='));
                let found = found.ok_or_else(|| format!("{url} has no parameter {parameter}"))?;
                (name, percent_decode_str(found).decode_utf8()?.into_owned())
            }
            _ => return Err("expected: save NAME header HEADER, or save NAME param PARAMETER of HEADER".into()),
        };
        self.keep(name, text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Saved;

    #[test]
    fn names_and_times_are_filled_in() {
        let mut saved = Saved::default();
        saved.keep("back", "http://a/?x=1".to_owned());
        assert_eq!(
            saved.fill("{back}&y={now-10}.{now}.{now+5}{other}{nowhere}", 100),
            "http://a/?x=1&y=90.100.105{other}{nowhere}"
        );
    }
}
