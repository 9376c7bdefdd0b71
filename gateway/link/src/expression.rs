//! The template of what is hashed, in nginx's own words: text with `$name` and `${name}`.

use crate::args::arg;
use crate::rules::RulesError;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Vec<u8>),
    Expires,
    Uri,
    RemoteAddr,
    Host,
    Secret,
    Arg(Vec<u8>),
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expression {
    parts: Vec<Part>,
}

/// What the variables stand for in one request.
#[derive(Clone, Copy)]
pub(crate) struct Values<'a> {
    pub(crate) expires: &'a [u8],
    pub(crate) uri: &'a [u8],
    pub(crate) query: &'a [u8],
    pub(crate) host: &'a [u8],
    pub(crate) remote_addr: &'a [u8],
}

/// Names as nginx has them, but for `secret`, which takes the place of the secret word written into nginx's template.
const NAMES: [(&str, Part); 6] = [
    ("secure_link_expires", Part::Expires),
    ("uri", Part::Uri),
    ("document_uri", Part::Uri),
    ("remote_addr", Part::RemoteAddr),
    ("host", Part::Host),
    ("secret", Part::Secret),
];

impl Expression {
    /// Parses a template. A name is the longest run of letters, digits and `_`, in any case; there is no way to write a
    /// literal `$`, as in nginx.
    pub(crate) fn parse(template: &str) -> Result<Self, RulesError> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(at) = rest.find('$') {
            push_text(&mut parts, &rest[..at]);
            let after = &rest[at + 1..];
            let (name, left) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').ok_or_else(|| RulesError::BadTemplate(template.to_owned()))?,
                None => after.split_at(after.find(|c| !is_name_char(c)).unwrap_or(after.len())),
            };
            if name.is_empty() || !name.chars().all(is_name_char) {
                return Err(RulesError::BadTemplate(template.to_owned()));
            }
            parts.push(variable(name)?);
            rest = left;
        }
        push_text(&mut parts, rest);
        Ok(Self { parts })
    }

    pub(crate) fn uses_secret(&self) -> bool {
        self.parts.contains(&Part::Secret)
    }

    pub(crate) fn uses_uri(&self) -> bool {
        self.parts.contains(&Part::Uri)
    }

    pub(crate) fn uses_remote_addr(&self) -> bool {
        self.parts.contains(&Part::RemoteAddr)
    }

    pub(crate) fn uses_host(&self) -> bool {
        self.parts.contains(&Part::Host)
    }

    /// True when the expiry is part of what is hashed, under either name that nginx has for it.
    pub(crate) fn uses_expires(&self, expires_param: &str) -> bool {
        self.parts.contains(&Part::Expires) || self.uses_arg(expires_param)
    }

    pub(crate) fn uses_arg(&self, param: &str) -> bool {
        let param = param.as_bytes();
        self.parts.iter().any(|part| matches!(part, Part::Arg(name) if name.eq_ignore_ascii_case(param)))
    }

    /// True when the argument comes first and a blank follows, which no argument's value has in it.
    pub(crate) fn begins_with_arg(&self, param: &str) -> bool {
        let [Part::Arg(name), Part::Text(text), ..] = self.parts.as_slice() else { return false };
        name.eq_ignore_ascii_case(param.as_bytes()) && text.starts_with(b" ")
    }

    /// Hands the filled-in template to `sink` piece by piece, so that no copy of the secret stays behind in freed memory.
    /// What is unknown is empty, as in nginx.
    pub(crate) fn feed(&self, values: Values<'_>, secret: &[u8], mut sink: impl FnMut(&[u8])) {
        for part in &self.parts {
            sink(match part {
                Part::Text(text) => text,
                Part::Expires => values.expires,
                Part::Uri => values.uri,
                Part::RemoteAddr => values.remote_addr,
                Part::Host => values.host,
                Part::Secret => secret,
                Part::Arg(name) => arg(values.query, name).unwrap_or_default(),
            });
        }
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.as_bytes().to_vec()));
    }
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn variable(name: &str) -> Result<Part, RulesError> {
    let lower = name.to_ascii_lowercase();
    if let Some(argument) = lower.strip_prefix("arg_").filter(|argument| !argument.is_empty()) {
        return Ok(Part::Arg(argument.as_bytes().to_vec()));
    }
    if let Some((_, part)) = NAMES.iter().find(|(known, _)| *known == lower) {
        return Ok(part.clone());
    }
    let near = NAMES.iter().map(|(known, _)| *known).chain(["arg_NAME"]);
    let near = near.max_by(|a, b| strsim::jaro_winkler(a, &lower).total_cmp(&strsim::jaro_winkler(b, &lower)));
    let near = near.unwrap_or("uri");
    Err(RulesError::UnknownVariable { name: name.to_owned(), nearest: near })
}

#[cfg(test)]
mod tests {
    use super::{Expression, Values};
    use crate::rules::RulesError;

    const VALUES: Values<'_> =
        Values { expires: b"17", uri: b"/a", query: b"u=%41&V=b", host: b"h", remote_addr: b"::1" };

    #[test]
    fn fills_in_like_nginx() {
        let cases: &[(&str, &str)] = &[
            ("", ""),
            ("$secure_link_expires$uri $secret", "17/a s"),
            ("${secure_link_expires}0${URI}x$remote_addr", "170/ax::1"),
            ("$host-$arg_u-$arg_v-$arg_none.", "h-%41-b-."),
            ("$document_uri é", "/a é"),
        ];
        for (template, text) in cases {
            let expression = Expression::parse(template).unwrap();
            let mut filled = Vec::new();
            expression.feed(VALUES, b"s", |piece| filled.extend_from_slice(piece));
            assert_eq!(filled, text.as_bytes(), "{template}");
        }
    }

    #[test]
    fn refuses_with_the_nearest_name() {
        for (template, near) in [
            ("$secure_link_expire", "secure_link_expires"),
            ("$remote_adr", "remote_addr"),
            ("${secre}", "secret"),
            ("$arg_", "arg_NAME"),
            ("$url", "uri"),
        ] {
            let error = Expression::parse(template).unwrap_err();
            assert!(matches!(&error, RulesError::UnknownVariable { nearest, .. } if *nearest == near), "{template}");
        }
        for template in ["$", "a$ b", "${uri", "${}", "${u-i}", "$$uri"] {
            assert!(matches!(Expression::parse(template), Err(RulesError::BadTemplate(_))), "{template}");
        }
    }

    #[test]
    fn knows_what_it_covers() {
        let expression = Expression::parse("$arg_Expires$uri").unwrap();
        assert!(expression.uses_expires("expires") && expression.uses_uri() && !expression.uses_secret());
        assert!(!expression.uses_expires("e"));
    }
}
