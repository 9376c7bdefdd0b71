//! What an operator sets: keys, schemes, parameter names and templates.

use crate::expression::Expression;
use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// How a token is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// nginx's `secure_link_md5`: MD5 over the template, in which `$secret` stands for the secret word.
    NginxMd5,
    /// HMAC-SHA-256 over the template, the secret being the key.
    HmacSha256,
    /// A token that opens everything at and below a path: [`crate::PrefixRequest`].
    PathPrefix,
}

impl Scheme {
    /// The name in settings and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NginxMd5 => "nginx-md5",
            Self::HmacSha256 => "hmac-sha256",
            Self::PathPrefix => "path-prefix",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A secret and the name that logs call it by. The secret is wiped on drop and never printed.
#[derive(Clone, Debug)]
pub struct LinkKey {
    pub(crate) id: String,
    pub(crate) secret: SecretString,
    pub(crate) scheme: Option<Scheme>,
}

impl LinkKey {
    /// A key. The id never appears in a link; it only tells which of several active secrets made it.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self { id: id.into(), secret: secret.into(), scheme: None }
    }

    /// The same key for one scheme alone: during a move from one scheme to another the new secret then never signs by the weaker one.
    /// Path-prefix tokens are made and checked with any key.
    #[must_use]
    pub fn only(self, scheme: Scheme) -> Self {
        Self { scheme: Some(scheme), ..self }
    }

    pub(crate) fn is_for(&self, scheme: Scheme) -> bool {
        self.scheme.is_none_or(|only| only == scheme)
    }
}

/// One scheme that is switched on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemeRules {
    /// How tokens are made.
    pub scheme: Scheme,
    /// Query parameter that holds the token: `[A-Za-z0-9_-]`, at most 32 characters.
    pub param: String,
    /// What is hashed: text with `$secure_link_expires`, `$uri`, `$remote_addr`, `$host`, `$arg_NAME`, `$secret`.
    pub expression: String,
}

impl SchemeRules {
    /// nginx's scheme under the names its documentation uses: `md5`, `"$secure_link_expires$uri $secret"`.
    #[must_use]
    pub fn nginx_md5() -> Self {
        Self {
            scheme: Scheme::NginxMd5,
            param: "md5".to_owned(),
            expression: "$secure_link_expires$uri $secret".to_owned(),
        }
    }

    /// The stronger scheme: parameter `sig`, `"$secure_link_expires$uri"` under the key.
    #[must_use]
    pub fn hmac_sha256() -> Self {
        Self { scheme: Scheme::HmacSha256, param: "sig".to_owned(), expression: "$secure_link_expires$uri".to_owned() }
    }
}

/// The rules of one tenant's links.
#[derive(Clone, Debug)]
pub struct LinkRules {
    /// Active secrets, 1 to 16. A link made with any of them is good; the first one signs.
    pub keys: Vec<LinkKey>,
    /// Schemes that are on, each at most once. Of those whose parameter a link carries the first decides alone. The first key
    /// signs by the first of them that it is for.
    pub schemes: Vec<SchemeRules>,
    /// Query parameter that holds the expiry, seconds since the Unix epoch.
    pub expires_param: String,
    /// Refuse MD5 tokens that nginx takes though they are not the canonical text: padding, stray last bits.
    pub strict: bool,
    /// Query parameter that holds the id by which a link can be revoked. Every template must then begin with it, as in
    /// `"$arg_id $secure_link_expires$uri $secret"`; a link without one is good, and can't be revoked.
    pub id_param: Option<String>,
    /// Query parameter that holds a path-prefix token. With it, such tokens are on, also as the first segment of a path.
    pub prefix_param: Option<String>,
}

impl LinkRules {
    /// The rules under which links of an nginx set-up stay good: MD5 only, nginx's leniency, `md5` and `expires`.
    #[must_use]
    pub fn nginx(keys: Vec<LinkKey>) -> Self {
        Self {
            keys,
            schemes: vec![SchemeRules::nginx_md5()],
            expires_param: "expires".to_owned(),
            strict: false,
            id_param: None,
            prefix_param: None,
        }
    }
}

/// The rules would not protect anything, or contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// No key, or more than [`MAX_KEYS`].
    #[error("between 1 and {MAX_KEYS} link keys are needed, not {0}")]
    KeyCount(usize),
    /// A key without an id, or two with the same one.
    #[error("link key ids must be unique and not empty: {0:?}")]
    KeyId(String),
    /// An empty secret.
    #[error("the secret of link key {0:?} is empty")]
    EmptySecret(String),
    /// No scheme.
    #[error("no link scheme is on; use nginx-md5 or hmac-sha256")]
    NoScheme,
    /// A scheme is listed twice.
    #[error("link scheme {0} is listed twice")]
    SchemeTwice(Scheme),
    /// A scheme has no template, or a key is for a scheme that is not on.
    #[error("no link can be signed by {0} here")]
    SchemeOff(Scheme),
    /// The template does not begin with the id, or what follows it could be taken for a part of it.
    #[error("the {scheme} template must begin with $arg_{param} and a blank, else a link's id could be changed")]
    UnsignedId {
        /// Whose template.
        scheme: Scheme,
        /// The id's parameter.
        param: String,
    },
    /// A parameter name is empty, too long, outside its alphabet or used twice.
    #[error("parameter name {0:?} is used twice, or is not 1 to 32 characters of A-Z a-z 0-9 _ -")]
    Param(String),
    /// A `$` without a name behind it, or a `${` without its end.
    #[error("the template {0:?} has a $ without a variable name; nginx has no way to write a literal $ either")]
    BadTemplate(String),
    /// No such variable.
    #[error("there is no variable ${name}; did you mean ${nearest}?")]
    UnknownVariable {
        /// As it was written.
        name: String,
        /// The known name that is closest to it.
        nearest: &'static str,
    },
    /// The template leaves the path, the expiry or the secret out, so that anybody could change it.
    #[error("the {scheme} template must contain {missing}, else links can be forged")]
    Unsigned {
        /// Whose template.
        scheme: Scheme,
        /// What to add.
        missing: &'static str,
    },
    /// The template names a parameter that holds a token, which is not known before it is made.
    #[error("the {scheme} template has $arg_{param}, but no token can sign a token")]
    SignsToken {
        /// Whose template.
        scheme: Scheme,
        /// The token's parameter.
        param: String,
    },
}

/// Each wrong token costs a hash per key, so the number is bounded; rotation needs two or three.
pub(crate) const MAX_KEYS: usize = 16;

impl LinkRules {
    pub(crate) fn validate(&self) -> Result<Vec<Expression>, RulesError> {
        if !(1..=MAX_KEYS).contains(&self.keys.len()) {
            return Err(RulesError::KeyCount(self.keys.len()));
        }
        for (index, key) in self.keys.iter().enumerate() {
            if key.id.is_empty() || self.keys[..index].iter().any(|other| other.id == key.id) {
                return Err(RulesError::KeyId(key.id.clone()));
            }
            if key.secret.expose_secret().is_empty() {
                return Err(RulesError::EmptySecret(key.id.clone()));
            }
            if let Some(only) = key.scheme
                && !self.schemes.iter().any(|rules| rules.scheme == only)
            {
                return Err(RulesError::SchemeOff(only));
            }
        }
        if self.schemes.is_empty() {
            return Err(RulesError::NoScheme);
        }
        let mut params = vec![self.expires_param.as_str()];
        let mut expressions = Vec::with_capacity(self.schemes.len());
        check_param(&self.expires_param, &[])?;
        for param in [&self.id_param, &self.prefix_param].into_iter().flatten() {
            check_param(param, &params)?;
            params.push(param);
        }
        for (index, rules) in self.schemes.iter().enumerate() {
            if self.schemes[..index].iter().any(|other| other.scheme == rules.scheme) {
                return Err(RulesError::SchemeTwice(rules.scheme));
            }
            if rules.scheme == Scheme::PathPrefix {
                return Err(RulesError::SchemeOff(rules.scheme));
            }
            check_param(&rules.param, &params)?;
            params.push(&rules.param);
            expressions.push(self.expression(rules)?);
        }
        Ok(expressions)
    }

    fn expression(&self, rules: &SchemeRules) -> Result<Expression, RulesError> {
        let expression = Expression::parse(&rules.expression)?;
        let keyed = rules.scheme == Scheme::HmacSha256;
        let needs = [
            (expression.uses_uri(), "$uri"),
            (expression.uses_expires(&self.expires_param), "$secure_link_expires"),
            (keyed || expression.uses_secret(), "$secret"),
        ];
        if let Some((_, missing)) = needs.into_iter().find(|(there, _)| !there) {
            return Err(RulesError::Unsigned { scheme: rules.scheme, missing });
        }
        let tokens = self.schemes.iter().map(|other| &other.param).chain(&self.prefix_param);
        if let Some(param) = tokens.into_iter().find(|param| expression.uses_arg(param)) {
            return Err(RulesError::SignsToken { scheme: rules.scheme, param: param.clone() });
        }
        if let Some(param) = self.id_param.as_ref().filter(|param| !expression.begins_with_arg(param)) {
            return Err(RulesError::UnsignedId { scheme: rules.scheme, param: param.clone() });
        }
        Ok(expression)
    }
}

fn check_param(name: &str, taken: &[&str]) -> Result<(), RulesError> {
    let plain = (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if plain && !taken.iter().any(|other| other.eq_ignore_ascii_case(name)) {
        return Ok(());
    }
    Err(RulesError::Param(name.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{LinkKey, LinkRules, RulesError, Scheme, SchemeRules};

    fn with(change: impl FnOnce(&mut LinkRules)) -> Result<(), RulesError> {
        let mut rules = LinkRules::nginx(vec![LinkKey::new("a", "s"), LinkKey::new("b", "t")]);
        rules.schemes.push(SchemeRules::hmac_sha256());
        change(&mut rules);
        rules.validate().map(|_| ())
    }

    #[test]
    fn rules_that_protect_nothing_are_refused() {
        assert_eq!(with(|_| ()), Ok(()));
        assert_eq!(with(|r| r.keys.clear()), Err(RulesError::KeyCount(0)));
        assert_eq!(with(|r| r.keys[1].id = "a".into()), Err(RulesError::KeyId("a".into())));
        assert_eq!(with(|r| r.keys[1].secret = "".into()), Err(RulesError::EmptySecret("b".into())));
        assert_eq!(with(|r| r.schemes.clear()), Err(RulesError::NoScheme));
        assert_eq!(with(|r| r.schemes[1].scheme = Scheme::NginxMd5), Err(RulesError::SchemeTwice(Scheme::NginxMd5)));
        for name in ["", "MD5", "Expires", "a=b", "ä"] {
            assert_eq!(with(|r| r.schemes[1].param = name.into()), Err(RulesError::Param(name.into())), "{name}");
        }
        for (index, template, missing) in [
            (0, "$secure_link_expires $secret", "$uri"),
            (0, "$uri $secret", "$secure_link_expires"),
            (0, "$secure_link_expires$uri s3cret", "$secret"),
            (1, "$uri", "$secure_link_expires"),
        ] {
            let error = with(|r| r.schemes[index].expression = template.into()).unwrap_err();
            assert!(matches!(error, RulesError::Unsigned { missing: m, .. } if m == missing), "{template}: {error}");
        }
        assert_eq!(with(|r| r.schemes[0].expression = "$arg_expires$uri$secret".into()), Ok(()));
        for param in ["md5", "sig"] {
            let template = format!("$secure_link_expires$uri$secret$Arg_{param}");
            let error = RulesError::SignsToken { scheme: Scheme::NginxMd5, param: param.into() };
            assert_eq!(with(|r| r.schemes[0].expression = template), Err(error));
        }
        assert_eq!(with(|r| r.schemes[0].scheme = Scheme::PathPrefix), Err(RulesError::SchemeOff(Scheme::PathPrefix)));
        let hmac_alone = with(|r| {
            r.schemes.remove(1);
            r.keys[1] = LinkKey::new("b", "t").only(Scheme::HmacSha256);
        });
        assert_eq!(hmac_alone, Err(RulesError::SchemeOff(Scheme::HmacSha256)));
        assert_eq!(with(|r| r.prefix_param = Some("Sig".into())), Err(RulesError::Param("sig".into())));
    }

    /// A signed text must have one reading: no other id, expiry and path give it. Ids hold no blank, expiries are digits, paths
    /// begin with a slash.
    #[test]
    fn ids_stand_first_and_a_blank_follows() {
        for (template, good) in [
            ("$arg_id $secure_link_expires$uri $secret", true),
            ("${ARG_ID} $secure_link_expires$uri $secret", true),
            ("$arg_id$secure_link_expires$uri $secret", false),
            ("$arg_id|$secure_link_expires$uri $secret", false),
            ("$secure_link_expires$uri $secret $arg_id", false),
            ("$secure_link_expires$uri $secret", false),
            (" $arg_id $secure_link_expires$uri $secret", false),
        ] {
            let done = with(|r| {
                r.schemes.truncate(1);
                r.id_param = Some("id".into());
                r.schemes[0].expression = template.into();
            });
            let error = RulesError::UnsignedId { scheme: Scheme::NginxMd5, param: "id".into() };
            assert_eq!(done, if good { Ok(()) } else { Err(error) }, "{template}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let rules = LinkRules::nginx(vec![LinkKey::new("id-1", "hunter2")]);
        let text = format!("{rules:?}");
        assert!(text.contains("id-1") && !text.contains("hunter2"), "{text}");
    }
}
