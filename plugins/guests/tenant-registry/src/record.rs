use crate::domains;
use alloc::{
    borrow::ToOwned,
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};
use serde::Deserialize;
use streamvault_sdk::{Branding, Status, Tenant};

const DAY: u64 = 86_400;

/// A tenant as operators write it. An unknown name is an error: a misspelt `status` must not leave a tenant active.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    id: Option<String>,
    #[serde(default)]
    domains: Vec<String>,
    #[serde(default)]
    status: Standing,
    /// Seconds since 1970.
    past_due_since: Option<u64>,
    grace_days: Option<u64>,
    #[serde(default)]
    link_secrets: Vec<String>,
    #[serde(default)]
    channels: Vec<i64>,
    name: Option<String>,
    message: Option<String>,
    support_url: Option<String>,
    streams: Option<u32>,
    bytes_per_second: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Standing {
    #[default]
    Active,
    PastDue,
    Suspended,
}

impl Record {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    /// The tenant that is meant, with the id and the domain under which it was found, if it was.
    pub(crate) fn tenant(self, id: Option<&str>, domain: Option<&str>, grace_days: u64) -> Result<Tenant, String> {
        let id = match (self.id, id) {
            (Some(own), Some(key)) if own != key => return Err(format!("the record says it is `{own}`'s")),
            (own, key) => own.or_else(|| key.map(ToOwned::to_owned)).ok_or("`id` is missing")?,
        };
        check_id(&id)?;
        let domains = match (self.domains.is_empty(), domain) {
            (true, Some(domain)) => vec![domain.to_owned()],
            (true, None) => return Err("`domains` is missing".into()),
            (false, _) => self.domains,
        };
        domains.iter().try_for_each(|domain| domains::check(domain))?;
        if self.link_secrets.is_empty() {
            return Err("`link_secrets` is missing: without one no link holds".into());
        }
        let status = match (self.status, self.past_due_since) {
            (Standing::Active, _) => Status::Active,
            (Standing::Suspended, _) => Status::Suspended,
            (Standing::PastDue, None) => {
                return Err("a `past-due` tenant needs `past_due_since`, in seconds since 1970".into());
            }
            (Standing::PastDue, Some(since)) => {
                let grace = self.grace_days.unwrap_or(grace_days).saturating_mul(DAY);
                Status::PastDue(since.saturating_add(grace))
            }
        };
        let branding = Branding {
            name: within("name", self.name, 100)?,
            message: within("message", self.message, 500)?,
            support_url: within("support_url", self.support_url, 2_000)?,
        };
        if branding
            .support_url
            .as_deref()
            .is_some_and(|url| !url.starts_with("https://") && !url.starts_with("http://"))
        {
            return Err("`support_url` is no http(s) address".into());
        }
        Ok(Tenant {
            id,
            domains,
            status,
            link_secrets: self.link_secrets,
            channels: self.channels,
            branding,
            streams: self.streams,
            bytes_per_second: self.bytes_per_second,
        })
    }
}

pub(crate) fn check_id(id: &str) -> Result<(), String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if (1..=64).contains(&id.len()) && id.bytes().all(plain) {
        Ok(())
    } else {
        Err(format!("`{id}` is no id: 1 to 64 of a-z, 0-9, - and _"))
    }
}

fn within(name: &str, text: Option<String>, most: usize) -> Result<Option<String>, String> {
    match text {
        Some(text) if text.chars().count() > most => Err(format!("`{name}` has more than {most} characters")),
        text => Ok(text),
    }
}
