//! Which tenant serves a host: from the settings, or from records that operators keep in the store.
//!
//! `README.md` is for operators. A record that doesn't hold is an error and never another tenant: the gateway then goes on
//! with the last good answer, and after that refuses the host.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod domains;
mod record;

use alloc::{
    borrow::ToOwned,
    collections::BTreeMap,
    format,
    string::{String, ToString},
    vec::Vec,
};
use record::Record;
use streamvault_sdk::{Resolution, Tenant, Tenants, config, kv};

/// Bytes of a key in the store: the contract's number.
const LONGEST_KEY: usize = 256;

/// The plugin with its settings.
#[derive(Debug)]
pub struct TenantRegistry {
    grace_days: u64,
    /// The settings' tenants, and which of them has a domain.
    tenants: Vec<Tenant>,
    domains: BTreeMap<String, usize>,
    /// Whether the store is asked for hosts that the settings don't have.
    store: bool,
}

impl Tenants for TenantRegistry {
    fn load() -> Result<Self, String> {
        let grace_days = config::integer("grace_days").and_then(|days| u64::try_from(days).ok()).unwrap_or(7);
        let mut registry =
            Self { grace_days, tenants: Vec::new(), domains: BTreeMap::new(), store: config::boolean("store") };
        for (number, text) in config::texts("tenants").iter().enumerate() {
            registry.add(text).map_err(|why| format!("tenants, number {}: {why}", number + 1))?;
        }
        Ok(registry)
    }

    fn resolve(&self, host: &str) -> Result<Resolution, String> {
        // All of the settings first: a closer domain in the store would take a subdomain from their tenant.
        for domain in domains::covering(host) {
            if let Some(tenant) = self.domains.get(&domain).and_then(|place| self.tenants.get(*place)) {
                return Ok(Resolution::Found(tenant.clone()));
            }
        }
        if !self.store {
            return Ok(Resolution::Unknown);
        }
        for domain in domains::covering(host) {
            let key = format!("domain:{domain}");
            // Nobody can have written a longer key, and anybody can send a host that makes one.
            if key.len() <= LONGEST_KEY
                && let Some(id) = read(&key)?
            {
                return self.stored(id.trim(), host, domain).map(Resolution::Found);
            }
        }
        Ok(Resolution::Unknown)
    }
}

impl TenantRegistry {
    fn add(&mut self, text: &str) -> Result<(), String> {
        let tenant = Record::parse(text)?.tenant(None, None, self.grace_days)?;
        if self.tenants.iter().any(|known| known.id == tenant.id) {
            return Err(format!("the tenant `{}` is there already", tenant.id));
        }
        for domain in &tenant.domains {
            if self.domains.insert(domain.to_owned(), self.tenants.len()).is_some() {
                return Err(format!("the domain `{domain}` is another tenant's already"));
            }
        }
        self.tenants.push(tenant);
        Ok(())
    }

    /// A tenant that the store names. The record has the last word: a domain that it doesn't list is not its own, however
    /// the store came to say so.
    fn stored(&self, id: &str, host: &str, domain: String) -> Result<Tenant, String> {
        record::check_id(id).map_err(|why| format!("domain:{domain}: {why}"))?;
        let key = format!("tenant:{id}");
        let Some(text) = read(&key)? else {
            return Err(format!("{key} is not there, but domain:{domain} names it"));
        };
        let tenant = Record::parse(&text)
            .and_then(|record| record.tenant(Some(id), Some(&domain), self.grace_days))
            .map_err(|why| format!("{key}: {why}"))?;
        if self.tenants.iter().any(|known| known.id == tenant.id) {
            return Err(format!("{key}: the settings have a tenant of that id"));
        }
        if !tenant.domains.iter().any(|known| domains::covers(known, host)) {
            return Err(format!("{key}: its domains don't cover `{host}`, which domain:{domain} gives to it"));
        }
        Ok(tenant)
    }
}

fn read(key: &str) -> Result<Option<String>, String> {
    kv::get_text(key).map_err(|error| error.to_string())
}

streamvault_sdk::tenants!(TenantRegistry);

#[cfg(test)]
mod tests;
