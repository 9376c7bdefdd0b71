//! Free, premium and banned viewers: who may stream what, how fast, how many at once; and from which pages and countries.
//!
//! `README.md` is for operators. The rules are asked in an order that spends least on those who are refused: token, tier,
//! page, country. What can't be known counts as refused, unless a setting says otherwise.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod hosts;
mod origin;
mod tier;

use alloc::{format, string::String};
use origin::{Country, Pages};
use streamvault_sdk::{Policy, Request, Verdict, config};
use tier::{Tier, Tiers};

/// The plugin with its settings.
#[derive(Debug)]
pub struct PolicyTiers {
    tiers: Tiers,
    pages: Option<Pages>,
    country: Option<Country>,
    free: Verdict,
    premium: Verdict,
    banned: Verdict,
}

impl Policy for PolicyTiers {
    fn load() -> Result<Self, String> {
        let premium = limits("premium")?;
        let mut free = limits("free")?;
        if let Some(bytes) = positive("free_preview_bytes") {
            free = free.range(0, bytes - 1);
        }
        Ok(Self {
            tiers: Tiers::load()?,
            pages: Pages::load()?,
            country: Country::load()?,
            free,
            premium,
            banned: Verdict::deny(403, config::text("banned_text").unwrap_or("This account may not stream.")),
        })
    }

    fn decide(&self, request: &Request) -> Verdict {
        let allowed = match self.tiers.of(request) {
            None => return Verdict::deny(401, "The sign-in has expired. Sign in again."),
            Some(Tier::Free) => &self.free,
            Some(Tier::Premium) => &self.premium,
            Some(Tier::Banned) => return self.banned.clone(),
            Some(Tier::Unknown) => return Verdict::deny(401, "Sign in to stream."),
        };
        if self.pages.as_ref().is_some_and(|pages| !pages.allow(request)) {
            return Verdict::deny(403, "This video can't be played from that page.");
        }
        if self.country.as_ref().is_some_and(|country| !country.allows(request)) {
            return Verdict::deny(451, "This video is not available in your country.");
        }
        allowed.clone()
    }
}

fn limits(tier: &str) -> Result<Verdict, String> {
    let mut verdict = Verdict::allow();
    if let Some(bytes) = positive(&format!("{tier}_bytes_per_second")) {
        if bytes < 1_024 {
            return Err(format!("{tier}_bytes_per_second is 0 (no bound) or at least 1024, not {bytes}"));
        }
        verdict = verdict.bytes_per_second(bytes);
    }
    if let Some(streams) = positive(&format!("{tier}_viewer_streams")) {
        verdict = verdict.viewer_streams(u32::try_from(streams).unwrap_or(u32::MAX));
    }
    if let Some(streams) = positive("tenant_streams") {
        verdict = verdict.tenant_streams(u32::try_from(streams).unwrap_or(u32::MAX));
    }
    // Nothing but the request and the settings is looked at.
    if let Some(seconds) = positive("keep_seconds") {
        verdict = verdict.keep(u32::try_from(seconds).unwrap_or(u32::MAX));
    }
    Ok(verdict)
}

/// A bound; 0 is none.
fn positive(name: &str) -> Option<u64> {
    config::integer(name).and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
}

streamvault_sdk::policy!(PolicyTiers);

#[cfg(test)]
mod tests;
