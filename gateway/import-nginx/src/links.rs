//! `secure_link` and `secure_link_md5` as rules of a tenant's links.

use crate::ledger::Ledger;
use crate::scope::Scope;
use crate::tree::Directive;
use link::{LinkKey, LinkRules, Verifier};
use secrecy::{ExposeSecret, SecretString};

/// How links are signed, apart from nginx's words.
#[derive(Clone, Debug)]
pub(crate) struct LinkSettings {
    pub(crate) expression: String,
    pub(crate) token_parameter: String,
    pub(crate) expires_parameter: String,
    pub(crate) secret: SecretString,
}

impl LinkSettings {
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let words = |of: &Self| (of.expression.clone(), of.token_parameter.clone(), of.expires_parameter.clone());
        words(self) == words(other) && self.secret.expose_secret() == other.secret.expose_secret()
    }
}

/// Parts of a template.
#[derive(Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// The rules that hold at a place, or none, with the reason noted.
pub(crate) fn read(scope: &Scope<'_>, ledger: &mut Ledger) -> Option<LinkSettings> {
    let template = scope.one("secure_link_md5")?;
    let Some(link) = scope.one("secure_link") else {
        ledger.note(template, "there is no secure_link beside it, so nginx checks nothing");
        return None;
    };
    let Some((token_parameter, expires_parameter)) = parameters(link.argument(0)) else {
        ledger.note(link, "links here have token and expiry in two query parameters: \"$arg_NAME,$arg_NAME\"");
        ledger.note(template, "see secure_link");
        return None;
    };
    let settings = match expression(template, scope, ledger) {
        Ok((expression, secret)) => LinkSettings { expression, token_parameter, expires_parameter, secret },
        Err(reason) => {
            ledger.note(template, &reason);
            return None;
        }
    };
    let mut rules = LinkRules::nginx(vec![LinkKey::new("imported", settings.secret.clone())]);
    rules.expires_param.clone_from(&settings.expires_parameter);
    for scheme in &mut rules.schemes {
        scheme.param.clone_from(&settings.token_parameter);
        scheme.expression.clone_from(&settings.expression);
    }
    if let Err(error) = Verifier::new(rules) {
        ledger.note(template, &error.to_string());
        return None;
    }
    ledger.take(template);
    ledger.take(link);
    Some(settings)
}

/// The names of `$arg_md5,$arg_expires`.
fn parameters(text: &str) -> Option<(String, String)> {
    let (token, expires) = text.split_once(',')?;
    let name = |text: &str| match parts(text.trim()).ok()?.as_slice() {
        [Part::Variable(name)] => name.strip_prefix("arg_").filter(|name| !name.is_empty()).map(str::to_owned),
        _ => None,
    };
    Some((name(token)?, name(expires)?))
}

/// Our expression, and the secret out of it.
fn expression(template: &Directive, scope: &Scope<'_>, ledger: &mut Ledger) -> Result<(String, SecretString), String> {
    let mut parts = parts(template.argument(0))?;
    put_in(&mut parts, scope, ledger);
    let secret = parts.iter().enumerate().filter_map(|(at, part)| match part {
        Part::Text(text) if !text.trim().is_empty() => Some((text.trim().len(), at)),
        _ => None,
    });
    // The last of the longest: nginx's documentation has it at the end.
    let (_, at) = secret.max().ok_or("there is no secret in it: anybody can sign such links")?;
    let mut text = String::new();
    let mut secret = String::new();
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Text(word) if index == at => {
                // What is hashed is the same wherever the secret is taken to begin.
                let word_start = word.len() - word.trim_start().len();
                let word_end = word.trim_end().len();
                secret.push_str(&word[word_start..word_end]);
                text.push_str(&word[..word_start]);
                text.push_str("${secret}");
                text.push_str(&word[word_end..]);
            }
            Part::Text(word) => text.push_str(word),
            Part::Variable(name) => text.push_str(&format!("${{{name}}}")),
        }
    }
    Ok((text, SecretString::from(secret)))
}

/// Puts the texts of variables that were `set` in their places, and joins neighbours.
fn put_in(parts: &mut Vec<Part>, scope: &Scope<'_>, ledger: &mut Ledger) {
    let mut joined: Vec<Part> = Vec::new();
    for part in parts.drain(..) {
        let part = match part {
            Part::Variable(name) => {
                let same = |text: &str| text.strip_prefix('$').is_some_and(|known| known.eq_ignore_ascii_case(&name));
                let found = scope.every("set").find(|set| same(set.argument(0)));
                match found.filter(|set| !set.argument(1).contains('$')) {
                    Some(set) => {
                        ledger.take(set);
                        Part::Text(set.argument(1).to_owned())
                    }
                    None => Part::Variable(name),
                }
            }
            text @ Part::Text(_) => text,
        };
        match (joined.last_mut(), part) {
            (Some(Part::Text(before)), Part::Text(text)) => before.push_str(&text),
            (_, part) => joined.push(part),
        }
    }
    *parts = joined;
}

/// Splits `text$name${name}text`.
fn parts(template: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        if at > 0 {
            parts.push(Part::Text(rest[..at].to_owned()));
        }
        let after = &rest[at + 1..];
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (name, left) = match after.strip_prefix('{') {
            Some(braced) => braced.split_once('}').ok_or("a ${ has no end")?,
            None => after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len())),
        };
        if name.is_empty() || !name.chars().all(is_name) {
            return Err("a $ has no variable's name after it".to_owned());
        }
        parts.push(Part::Variable(name.to_ascii_lowercase()));
        rest = left;
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

/// Settles `if ($secure_link = "") { return 403; }` and `if ($secure_link = "0") { return 410; }`.
pub(crate) fn verdicts(level: &[Directive], ledger: &mut Ledger) {
    for block in level.iter().filter(|directive| directive.name == "if") {
        let condition = block.arguments.join(" ");
        let condition: String = condition.chars().filter(|c| !c.is_whitespace() && !matches!(c, '(' | ')')).collect();
        let (ours, what) = match condition.as_str() {
            "$secure_link=" => ("403", "is not valid"),
            "$secure_link=0" => ("410", "has expired"),
            _ => continue,
        };
        match block.children() {
            [only] if only.name == "return" && only.argument(0) == ours => ledger.take(block),
            _ => ledger.note(block, &format!("here, a link that {what} is {ours}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, parameters, parts};

    #[test]
    fn templates_are_split_as_nginx_does() {
        let variable = |name: &str| Part::Variable(name.to_owned());
        let text = |text: &str| Part::Text(text.to_owned());
        assert_eq!(parts("$Uri s").unwrap(), [variable("uri"), text(" s")]);
        assert_eq!(parts("a${uri}b$c-d").unwrap(), [text("a"), variable("uri"), text("b"), variable("c"), text("-d")]);
        for wrong in ["$", "${uri", "${}", "a$-b"] {
            assert!(parts(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_two_arguments_are_parameters() {
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(parameters("$arg_md5,$arg_expires"), pair("md5", "expires"));
        assert_eq!(parameters("${arg_st}, $arg_E"), pair("st", "e"));
        for other in ["$arg_md5", "$cookie_md5,$arg_expires", "$arg_md5,", "$1,$2", "$arg_,$arg_e", "$arg_a-b,$arg_e"] {
            assert_eq!(parameters(other), None, "{other}");
        }
    }
}
