//! Texts with gaps: `*` stands for any text, `{name}` too, and keeps what it stood for.

use std::collections::BTreeMap;

/// What gaps with names stood for, for later steps.
pub(crate) type Kept = BTreeMap<String, String>;

#[derive(Debug, PartialEq, Eq)]
enum Part<'p> {
    Text(&'p str),
    Any,
    Keep(&'p str),
}

/// True if the text is one that the pattern stands for. Each gap takes as little as it can.
pub(crate) fn matches(pattern: &str, text: &str, kept: &mut Kept) -> bool {
    let mut found = Kept::new();
    let done = walk(&parts(pattern), text, &mut found);
    if done {
        kept.append(&mut found);
    }
    done
}

/// Puts what was kept in the place of `{name}`; names that nobody kept stay as they are.
pub(crate) fn fill(text: &str, kept: &Kept) -> String {
    let mut filled = text.to_owned();
    for (name, value) in kept {
        filled = filled.replace(&format!("{{{name}}}"), value);
    }
    filled
}

fn parts(pattern: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        if let Some(after) = rest.strip_prefix('*') {
            parts.push(Part::Any);
            rest = after;
        } else if let Some((name, after)) = gap(rest) {
            parts.push(Part::Keep(name));
            rest = after;
        } else {
            let end = (1..rest.len()).find(|&at| starts_gap(rest, at)).unwrap_or(rest.len());
            let (text, after) = rest.split_at(end);
            parts.push(Part::Text(text));
            rest = after;
        }
    }
    parts
}

fn starts_gap(text: &str, at: usize) -> bool {
    text.get(at..).is_some_and(|rest| rest.starts_with('*') || gap(rest).is_some())
}

/// `{name}` at the beginning, and what follows it. Other braces (of JSON, say) are text.
fn gap(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.strip_prefix('{')?.split_once('}')?;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (!name.is_empty() && name.bytes().all(plain)).then_some((name, after))
}

/// What comes first is as good as what comes later: a gap that ends at the next place where it may leaves most to the rest.
fn walk(parts: &[Part<'_>], text: &str, found: &mut Kept) -> bool {
    let mut left = text;
    let mut parts = parts.iter().peekable();
    while let Some(part) = parts.next() {
        if let Part::Text(wanted) = part {
            let Some(after) = left.strip_prefix(wanted) else { return false };
            left = after;
            continue;
        }
        // A gap with a name stands for something, `*` may stand for nothing.
        let least = match part {
            Part::Keep(_) => left.chars().next().map(char::len_utf8),
            Part::Any | Part::Text(_) => Some(0),
        };
        let Some((least, room)) = least.and_then(|least| Some((least, left.get(least..)?))) else { return false };
        let end = match parts.next_if(|next| matches!(next, Part::Text(_))) {
            Some(Part::Text(wanted)) => {
                let last = parts.peek().is_none();
                let at = if last { room.strip_suffix(wanted).map(str::len) } else { room.find(wanted) };
                at.map(|at| (least + at, least + at + wanted.len()))
            }
            _ if parts.peek().is_none() => Some((left.len(), left.len())),
            _ => Some((least, least)),
        };
        let Some((taken, after)) = end.and_then(|(end, next)| Some((left.get(..end)?, left.get(next..)?))) else {
            return false;
        };
        if let Part::Keep(name) = part {
            found.insert((*name).to_owned(), taken.to_owned());
        }
        left = after;
    }
    left.is_empty()
}

#[cfg(test)]
mod tests {
    use super::{Kept, fill, matches};

    #[test]
    fn gaps() {
        let rows = [
            ("", "", true),
            ("", "a", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("*", "", true),
            ("*", "äöü", true),
            ("a*", "a", true),
            ("*b", "aab", true),
            ("a*b*c", "a-b-b-c", true),
            ("*ab", "aab", true),
            ("*a*a", "a", false),
            ("{x}a", "aa", true),
            ("{x}a", "a", false),
            ("{x}{y}", "ä", false),
            ("*{x}*", "äö", true),
            ("a*b*c", "a-b-c-", false),
            ("{x}", "", false),
            ("{x}", "ä", true),
            ("{not a name}", "{not a name}", true),
            ("{\"a\":1}", "{\"a\":1}", true),
        ];
        for (pattern, text, want) in rows {
            assert_eq!(matches(pattern, text, &mut Kept::new()), want, "{pattern:?} {text:?}");
        }
    }

    #[test]
    fn gaps_with_names_are_kept() {
        let mut kept = Kept::new();
        assert!(matches("https://ads.example/?to={back}&t={token}", "https://ads.example/?to=a%2Fb&t=9f", &mut kept));
        assert_eq!(kept.get("back").map(String::as_str), Some("a%2Fb"));
        assert_eq!(fill("x={token}&{other}", &kept), "x=9f&{other}");
        assert!(!matches("{token}!", "zz", &mut kept), "what doesn't match keeps nothing");
        assert_eq!(kept.get("token").map(String::as_str), Some("9f"));
    }
}
