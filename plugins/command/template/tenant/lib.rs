//! Tenants out of the settings and the store: the settings say who has which domain, a key in the store suspends one.
//!
//! Each entry of the setting `tenants` is `DOMAIN TENANT CHANNEL...`. A key `suspended:TENANT` in the plugin's store, whatever its
//! value, puts the maintenance page up until it is gone.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::{format, string::String, vec, vec::Vec};
use streamvault_sdk::{Branding, Resolution, Status, Tenant, Tenants, config, kv};

/// The settings, read once for each instance.
#[derive(Debug)]
pub struct Plugin {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    domain: &'static str,
    tenant: &'static str,
    channels: Vec<i64>,
}

impl Entry {
    fn parse(text: &'static str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let (domain, tenant) = (words.next()?, words.next()?);
        let channels = words
            .map(|word| word.parse().ok())
            .collect::<Option<Vec<i64>>>()?;
        Some(Self {
            domain,
            tenant,
            channels,
        })
    }

    /// `films.example` covers itself, `*.films.example` one label more.
    fn covers(&self, host: &str) -> bool {
        match self.domain.strip_prefix("*.") {
            Some(parent) => host.split_once('.').is_some_and(|(_, rest)| rest == parent),
            None => self.domain == host,
        }
    }
}

impl Tenants for Plugin {
    fn load() -> Result<Self, String> {
        let entry = |text: &'static String| {
            Entry::parse(text)
                .ok_or_else(|| format!("tenants: {text:?} is not `DOMAIN TENANT CHANNEL...`"))
        };
        Ok(Self {
            entries: config::texts("tenants")
                .iter()
                .map(entry)
                .collect::<Result<_, _>>()?,
        })
    }

    fn resolve(&self, host: &str) -> Result<Resolution, String> {
        let Some(entry) = self.entries.iter().find(|entry| entry.covers(host)) else {
            return Ok(Resolution::Unknown);
        };
        let suspended = kv::get(&format!("suspended:{}", entry.tenant))
            .map_err(|error| format!("{error}"))?
            .is_some();
        Ok(Resolution::Found(Tenant {
            id: entry.tenant.into(),
            domains: vec![entry.domain.into()],
            status: if suspended {
                Status::Suspended
            } else {
                Status::Active
            },
            // The gateway finds it as TENANT/main in its plugins.secrets_folder.
            link_secrets: vec!["main".into()],
            channels: entry.channels.clone(),
            branding: Branding {
                name: Some(entry.tenant.into()),
                ..Branding::default()
            },
            ..Tenant::default()
        }))
    }
}

streamvault_sdk::tenants!(Plugin);

#[cfg(test)]
mod tests {
    use super::Plugin;
    use core::time::Duration;
    use streamvault_sdk::{Resolution, Status, Tenant, Tenants, kv, testing};

    fn resolve(host: &str) -> Option<Tenant> {
        testing::setting(
            "tenants",
            [
                "films.example films -1001",
                "*.shows.example shows -1002 -1003",
            ],
        );
        match Plugin::load()
            .expect("the settings fit")
            .resolve(host)
            .expect("the store answers")
        {
            Resolution::Found(tenant) => Some(tenant),
            Resolution::Unknown => None,
        }
    }

    #[test]
    fn domains() {
        let id = |host| resolve(host).map(|tenant| tenant.id);
        assert_eq!(id("films.example").as_deref(), Some("films"));
        assert_eq!(id("a.shows.example").as_deref(), Some("shows"));
        assert_eq!(
            (
                id("a.films.example"),
                id("shows.example"),
                id("a.b.shows.example")
            ),
            (None, None, None)
        );
        assert_eq!(
            resolve("a.shows.example").map(|tenant| tenant.channels),
            Some(vec![-1002, -1003])
        );
    }

    #[test]
    fn a_key_suspends() {
        kv::set("suspended:films", "for tests", Duration::from_secs(60))
            .expect("the store takes it");
        assert_eq!(
            resolve("films.example").map(|tenant| tenant.status),
            Some(Status::Suspended)
        );
        testing::advance(61);
        assert_eq!(
            resolve("films.example").map(|tenant| tenant.status),
            Some(Status::Active)
        );
    }

    #[test]
    fn entries_that_are_none() {
        testing::setting("tenants", ["films.example"]);
        assert!(Plugin::load().is_err());
    }
}
