//! What must come of a question, compared with what did.
//!
//! Texts are patterns ([`crate::pattern`]). What an answer has beyond what is expected is a difference too, so that a limit or
//! a cookie doesn't come in unseen; but for sentences that are there to be read, which count only if they are named.

use crate::diff;
use crate::pattern::{Kept, matches};
use toml::{Table, Value};

/// For people; compared only if named.
const SENTENCES: [&str; 3] = ["verdict", "text", "reason"];

/// Why `expected` can't be what is expected: a key that no such answer has.
pub(crate) fn unknown(expected: &Table, known: &[&str]) -> Option<String> {
    if expected.get("kv").is_some_and(|kv| !kv.is_table()) {
        return Some("expect.kv: must be a table of keys and their values".to_owned());
    }
    let key = expected.keys().find(|key| !known.contains(&key.as_str()))?;
    Some(format!("expect.{key}: unknown; known here: {}", known.join(", ")))
}

/// Lines that tell the differences; none if there are none.
pub(crate) fn compare(expected: &Table, actual: &Table, kept: &mut Kept) -> Vec<String> {
    let mut lines = Vec::new();
    for (key, wanted) in expected.iter().filter(|(key, _)| *key != "kv") {
        match actual.get(key) {
            Some(found) if same(wanted, found, kept) => {}
            found => differ(key, Some(wanted), found, &mut lines),
        }
    }
    for (key, found) in actual {
        if !expected.contains_key(key) && !SENTENCES.contains(&key.as_str()) {
            differ(key, None, Some(found), &mut lines);
        }
    }
    // Why is what one wants to know first.
    if let Some(reason) = actual.get("reason").filter(|_| !lines.is_empty() && !expected.contains_key("reason")) {
        lines.push(format!("  reason = {reason}"));
    }
    lines
}

/// The same for one key of the store; `false` expects that it is absent.
pub(crate) fn compare_kv(key: &str, wanted: &Value, found: Option<&str>, kept: &mut Kept) -> Vec<String> {
    let mut lines = Vec::new();
    let found = found.map(|text| Value::String(text.to_owned()));
    let fits = match (&found, wanted) {
        (None, Value::Boolean(false)) => true,
        (Some(found), wanted) => same(wanted, found, kept),
        (None, _) => false,
    };
    if !fits {
        differ(&format!("kv.{key:?}"), Some(wanted), found.as_ref().or(Some(&Value::Boolean(false))), &mut lines);
    }
    lines
}

fn same(wanted: &Value, found: &Value, kept: &mut Kept) -> bool {
    match (wanted, found) {
        (Value::String(wanted), Value::String(found)) => matches(wanted, found, kept),
        (Value::Array(wanted), Value::Array(found)) => {
            wanted.len() == found.len() && wanted.iter().zip(found).all(|(wanted, found)| same(wanted, found, kept))
        }
        (Value::Table(wanted), Value::Table(found)) => {
            wanted.len() == found.len()
                && wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| same(wanted, found, kept)))
        }
        _ => wanted == found,
    }
}

fn differ(key: &str, wanted: Option<&Value>, found: Option<&Value>, lines: &mut Vec<String>) {
    if let (Some(Value::String(wanted)), Some(Value::String(found))) = (wanted, found)
        && (wanted.contains('\n') || found.contains('\n'))
    {
        lines.push(format!("  {key}:"));
        lines.extend(diff::lines(wanted, found).into_iter().map(|line| format!("  {line}")));
        return;
    }
    lines.extend(wanted.map(|wanted| format!("- {key} = {wanted}")));
    lines.extend(found.map(|found| format!("+ {key} = {found}")));
}

#[cfg(test)]
mod tests {
    use super::{compare, compare_kv, unknown};
    use crate::pattern::Kept;
    use toml::{Table, Value};

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    fn differences(expected: &str, actual: &str) -> Vec<String> {
        compare(&table(expected), &table(actual), &mut Kept::new())
    }

    #[test]
    fn what_fits() {
        let rows = [
            ("verdict = \"allow\"", "verdict = \"allow\""),
            ("status = 403", "verdict = \"deny\"\nstatus = 403\ntext = \"No.\""),
            ("redirect = \"https://a/*\"", "verdict = \"redirect\"\nredirect = \"https://a/b\""),
            ("cookies = { a = \"*; Max-Age=5\" }", "cookies = { a = \"xyz; Max-Age=5\" }"),
            ("ranges = [\"0-9\"]", "ranges = [\"0-9\"]"),
        ];
        for (expected, actual) in rows {
            assert_eq!(differences(expected, actual), Vec::<String>::new(), "{expected}");
        }
    }

    #[test]
    fn what_differs() {
        let rows: [(&str, &str, &[&str]); 6] = [
            ("verdict = \"allow\"", "verdict = \"deny\"", &["- verdict = \"allow\"", "+ verdict = \"deny\""]),
            ("streams = 1", "streams = 2", &["- streams = 1", "+ streams = 2"]),
            ("streams = 1", "", &["- streams = 1"]),
            ("", "streams = 2", &["+ streams = 2"]),
            (
                "cookies = { a = \"1\" }",
                "cookies = { a = \"1\", b = \"2\" }",
                &["- cookies = { a = \"1\" }", "+ cookies = { a = \"1\", b = \"2\" }"],
            ),
            (
                "verdict = \"allow\"",
                "verdict = \"failed\"\nfailure = \"trap\"\nreason = \"why\"",
                &["- verdict = \"allow\"", "+ verdict = \"failed\"", "+ failure = \"trap\"", "  reason = \"why\""],
            ),
        ];
        for (expected, actual, wanted) in rows {
            assert_eq!(differences(expected, actual), wanted, "{expected} {actual}");
        }
    }

    #[test]
    fn texts_differ_by_lines() {
        let lines = differences("text = \"a\\nb\\nc\\n\"", "text = \"a\\nx\\nc\\n\"");
        assert_eq!(lines, ["  text:", "    a", "  - b", "  + x", "    c"]);
    }

    #[test]
    fn keys_of_the_store() {
        let kv = |wanted: Value, found: Option<&str>| compare_kv("k", &wanted, found, &mut Kept::new());
        assert!(kv("1*".into(), Some("123")).is_empty());
        assert!(kv(false.into(), None).is_empty());
        assert_eq!(kv("1".into(), None), ["- kv.\"k\" = \"1\"", "+ kv.\"k\" = false"]);
        assert_eq!(kv(false.into(), Some("1")), ["- kv.\"k\" = false", "+ kv.\"k\" = \"1\""]);
    }

    #[test]
    fn unknown_keys() {
        assert_eq!(unknown(&table("status = 1"), &["status"]), None);
        assert_eq!(
            unknown(&table("staus = 1"), &["status"]).as_deref(),
            Some("expect.staus: unknown; known here: status")
        );
    }
}
