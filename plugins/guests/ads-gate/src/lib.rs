//! Heavy files against a visit to an ad; ad breaks in HLS playlists and VAST responses.
//!
//! `README.md` is for operators. Who asks for a heavy file without a pass is sent to the ad with an address to return to; that
//! address carries a ticket, signed and good once, and who returns with it gets the file and a pass for some hours.
//! Nothing is stored for those who never return.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod breaks;
mod gate;
mod heavy;
mod ticket;

use alloc::string::String;
use breaks::Breaks;
use gate::Gate;
use streamvault_sdk::{AdPods, Ads, AdsVerdict, Edits, Identity, PlaylistKind, Request, config};

/// The plugin with its settings.
#[derive(Debug)]
pub struct AdsGate {
    gate: Option<Gate>,
    breaks: Breaks,
    vast: &'static [String],
    paid: Paid,
}

impl Ads for AdsGate {
    fn load() -> Result<Self, String> {
        let vast = config::texts("vast_tags");
        vast.iter().try_for_each(|address| breaks::check_address("vast_tags", address))?;
        let paid = Paid { claim: config::text("paid_claim").unwrap_or("tier"), values: config::texts("paid_values") };
        Ok(Self { gate: Gate::load()?, breaks: Breaks::load()?, vast, paid })
    }

    fn decide(&self, request: &Request) -> AdsVerdict {
        match &self.gate {
            Some(gate) if gate.heavy.is(request) && !self.paid.is(request) => gate.decide(request),
            _ => AdsVerdict::serve(),
        }
    }

    fn playlist(&self, request: &Request, kind: PlaylistKind, text: &str) -> Edits {
        if self.paid.is(request) {
            return Edits::none();
        }
        match kind {
            PlaylistKind::HlsMaster => Edits::none(),
            PlaylistKind::HlsMedia => self.breaks.put_into(text),
            PlaylistKind::Vast => {
                let mut edits = Edits::none();
                if let Some(pods) = AdPods::parse(text) {
                    let wrappers = self.vast.iter().map(|address| AdPods::wrapper("streamvault", address));
                    pods.add(wrappers, &mut edits);
                }
                edits
            }
        }
    }
}

/// Viewers who see no ads.
#[derive(Debug)]
struct Paid {
    claim: &'static str,
    values: &'static [String],
}

impl Paid {
    fn is(&self, request: &Request) -> bool {
        !self.values.is_empty()
            && request.identity() == Identity::Verified
            && request.claim(self.claim).is_some_and(|claim| self.values.contains(&claim))
    }
}

streamvault_sdk::ads!(AdsGate);

#[cfg(test)]
mod tests;
