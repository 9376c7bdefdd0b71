use alloc::{format, string::String};
use core::net::IpAddr;
use streamvault_sdk::{Identity, Request, config, signature::Key, warn};

/// What a viewer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tier {
    Free,
    Premium,
    Banned,
    /// Nobody says, and nobody may be unknown.
    Unknown,
}

/// How a viewer's tier is found.
#[derive(Debug)]
pub(crate) struct Tiers {
    claim: &'static str,
    free: &'static [String],
    premium: &'static [String],
    banned: &'static [String],
    banned_viewers: &'static [String],
    /// Of a verified viewer whose claim names no tier.
    verified: Tier,
    /// Of a viewer without a token.
    anonymous: Tier,
    parameter: Option<Parameter>,
}

/// A tier in the link.
#[derive(Debug)]
struct Parameter {
    name: &'static str,
    /// `None`: believed as it is.
    key: Option<Key>,
}

impl Tiers {
    pub(crate) fn load() -> Result<Self, String> {
        let tiers = Self {
            claim: config::text("tier_claim").unwrap_or("tier"),
            free: config::texts("free_values"),
            premium: config::texts("premium_values"),
            banned: config::texts("banned_values"),
            banned_viewers: config::texts("banned_viewers"),
            verified: named("verified", Tier::Free)?,
            anonymous: named("anonymous", Tier::Free)?,
            parameter: Parameter::load()?,
        };
        if tiers.lets_the_banned_in() {
            warn!("banned viewers stream again if they send no token: set `anonymous = \"refuse\"`");
        }
        Ok(tiers)
    }

    /// Whether a ban holds only as long as the viewer says who he is. An address that is banned needs no token to be known.
    fn lets_the_banned_in(&self) -> bool {
        // The default word alone says nothing about what the operator wants.
        let by_value = self.banned.iter().any(|word| word != "banned");
        let by_subject = self.banned_viewers.iter().any(|viewer| viewer.parse::<IpAddr>().is_err());
        self.anonymous != Tier::Unknown && (by_subject || by_value)
    }

    /// `None`: the viewer's token did not verify.
    pub(crate) fn of(&self, request: &Request) -> Option<Tier> {
        // Only a verified token shows claims, so that most requests need one question for both.
        let claim = request.claim(self.claim);
        let identity = if claim.is_some() { Identity::Verified } else { request.identity() };
        if identity == Identity::Invalid {
            return None;
        }
        if !self.banned_viewers.is_empty() && self.banned_viewers.contains(&request.viewer()) {
            return Some(Tier::Banned);
        }
        let (named, otherwise) = match identity {
            Identity::Verified => (claim.and_then(|claim| self.of_claim(&claim)), self.verified),
            _ => (self.of_parameter(request), self.anonymous),
        };
        Some(named.unwrap_or(otherwise))
    }

    fn of_parameter(&self, request: &Request) -> Option<Tier> {
        self.of_word(&self.parameter.as_ref()?.read(request)?)
    }

    /// A text is one word; a list, as JSON, may hold several, of which the strictest ban and else the best tier counts.
    fn of_claim(&self, claim: &str) -> Option<Tier> {
        let Some(list) = claim.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) else {
            return self.of_word(claim);
        };
        let mut best = None;
        for word in list.split(',') {
            let word = word.trim();
            let word = word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(word);
            best = match (best, self.of_word(word)) {
                (_, Some(Tier::Banned)) => return Some(Tier::Banned),
                (Some(Tier::Premium), _) | (_, Some(Tier::Premium)) => Some(Tier::Premium),
                (known, found) => known.or(found),
            };
        }
        best
    }

    fn of_word(&self, word: &str) -> Option<Tier> {
        let is = |values: &[String]| values.iter().any(|value| value == word);
        if is(self.banned) {
            Some(Tier::Banned)
        } else if is(self.premium) {
            Some(Tier::Premium)
        } else if is(self.free) {
            Some(Tier::Free)
        } else {
            None
        }
    }
}

impl Parameter {
    fn load() -> Result<Option<Self>, String> {
        let Some(name) = config::text("tier_parameter").filter(|name| !name.is_empty()) else { return Ok(None) };
        let secret = config::text("tier_parameter_secret").filter(|secret| !secret.is_empty());
        let key = match (config::text("tier_parameter_trust").unwrap_or("signed"), secret) {
            ("signed", Some(secret)) => Some(Key::new(secret, "tier")),
            ("signed", None) => {
                return Err(format!(
                    "tier_parameter = \"{name}\" needs a tier_parameter_secret, or tier_parameter_trust = \"plain\""
                ));
            }
            ("plain", _) => {
                warn!("the parameter `{name}` is believed as it is: whoever has a link can give himself any tier");
                None
            }
            (other, _) => return Err(format!("tier_parameter_trust is `signed` or `plain`, not `{other}`")),
        };
        Ok(Some(Self { name, key }))
    }

    /// The tier's word. A signature covers it together with what the link signs, so that it can't go to another link.
    fn read(&self, request: &Request) -> Option<String> {
        let mut value = request.query(self.name)?;
        let Some(key) = &self.key else { return Some(value) };
        let dot = value.rfind('.')?;
        let holds = {
            let (word, signature) = (&value[..dot], &value[dot + 1..]);
            key.verify(&[word, &request.path(), &format!("{}", request.link().expires)], signature)
        };
        value.truncate(dot);
        holds.then_some(value)
    }
}

fn named(setting: &str, default: Tier) -> Result<Tier, String> {
    match config::text(setting) {
        None => Ok(default),
        Some("free") => Ok(Tier::Free),
        Some("premium") => Ok(Tier::Premium),
        Some("refuse") => Ok(Tier::Unknown),
        Some(other) => Err(format!("{setting} is `free`, `premium` or `refuse`, not `{other}`")),
    }
}
