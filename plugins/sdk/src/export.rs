//! What the hook macros expand to: between the contract's types and this crate's. No part of the face.
#![allow(missing_docs, reason = "for the macros only")]

pub use crate::bindings::{
    ads,
    ads::exports::streamvault::plugin::ads::{
        Guest as AdsGuest, PlaylistKind as WitPlaylistKind, Verdict as AdsVerdictReply,
    },
    observe,
    observe::exports::streamvault::plugin::observe::Guest as ObserveGuest,
    policy,
    policy::{
        exports::streamvault::plugin::policy::{Guest as PolicyGuest, Verdict as PolicyVerdict},
        streamvault::plugin::requests::Request as WitRequest,
    },
    tenants,
    tenants::exports::streamvault::plugin::tenants::{Guest as TenantsGuest, Resolution as ResolutionReply},
};
pub use crate::runtime::Instance;

use crate::{
    Ads, AdsVerdict, Finished, Media, Observe, PlaylistKind, Policy, Request, Resolution, Status, Tenants, Verdict,
};
use ads::exports::streamvault::plugin::ads as wit_ads;
use alloc::{string::String, vec::Vec};
use policy::exports::streamvault::plugin::policy as wit_policy;
use tenants::exports::streamvault::plugin::tenants as wit_tenants;

pub type Batch = Vec<observe::exports::streamvault::plugin::observe::Finished>;
pub type EditsReply = Vec<wit_ads::Edit>;

pub fn decide(plugin: &impl Policy, request: &WitRequest) -> PolicyVerdict {
    match plugin.decide(Request::of(request)) {
        Verdict::Allow(limits) => PolicyVerdict::Allow(wit_policy::Limits {
            bytes_per_second: limits.bytes_per_second,
            viewer_streams: limits.viewer_streams,
            tenant_streams: limits.tenant_streams,
            expires: limits.expires,
            ranges: limits
                .ranges
                .into_iter()
                .map(|range| wit_policy::ByteRange { first: range.first, last: range.last })
                .collect(),
            viewer: limits.viewer,
            keep: limits.keep,
        }),
        Verdict::Deny { status, text } => PolicyVerdict::Deny(wit_policy::Denial { status, text }),
        Verdict::Redirect(url) => PolicyVerdict::Redirect(url),
    }
}

pub fn gate(plugin: &impl Ads, request: &WitRequest) -> AdsVerdictReply {
    match plugin.decide(Request::of(request)) {
        AdsVerdict::Serve(cookies) if cookies.is_empty() => AdsVerdictReply::Proceed,
        AdsVerdict::Serve(cookies) => AdsVerdictReply::SetCookies(cookies_reply(cookies)),
        AdsVerdict::Redirect { url, cookies } => {
            AdsVerdictReply::Redirect(wit_ads::Redirection { url, cookies: cookies_reply(cookies) })
        }
    }
}

fn cookies_reply(cookies: Vec<crate::Cookie>) -> Vec<wit_ads::Cookie> {
    cookies
        .into_iter()
        .map(|cookie| wit_ads::Cookie { name: cookie.name, value: cookie.value, max_age: cookie.max_age })
        .collect()
}

pub fn playlist(plugin: &impl Ads, request: &WitRequest, kind: WitPlaylistKind, text: &str) -> EditsReply {
    let kind = match kind {
        WitPlaylistKind::HlsMaster => PlaylistKind::HlsMaster,
        WitPlaylistKind::HlsMedia => PlaylistKind::HlsMedia,
        WitPlaylistKind::Vast => PlaylistKind::Vast,
    };
    plugin
        .playlist(Request::of(request), kind, text)
        .into_list()
        .into_iter()
        .map(|edit| wit_ads::Edit { start: edit.start, end: edit.end, text: edit.text })
        .collect()
}

pub fn resolve(plugin: &impl Tenants, host: &str) -> ResolutionReply {
    let tenant = match plugin.resolve(host) {
        Ok(Resolution::Found(tenant)) => tenant,
        Ok(Resolution::Unknown) => return ResolutionReply::Unknown,
        Err(reason) => fail(&reason),
    };
    ResolutionReply::Found(wit_tenants::Tenant {
        id: tenant.id,
        domains: tenant.domains,
        status: match tenant.status {
            Status::Active => wit_tenants::Status::Active,
            Status::PastDue(until) => wit_tenants::Status::PastDue(until),
            Status::Suspended => wit_tenants::Status::Suspended,
        },
        link_secrets: tenant.link_secrets,
        channels: tenant.channels,
        branding: wit_tenants::Branding {
            name: tenant.branding.name,
            message: tenant.branding.message,
            support_url: tenant.branding.support_url,
        },
        limits: wit_tenants::TenantLimits { streams: tenant.streams, bytes_per_second: tenant.bytes_per_second },
    })
}

pub fn batch(plugin: &impl Observe, tenant: &str, batch: Batch) {
    let finished: Vec<Finished> = batch
        .into_iter()
        .map(|one| Finished {
            request_id: one.request_id,
            time: one.time,
            media: Media { chat_id: one.media.chat_id, message_id: one.media.message_id },
            viewer: one.viewer,
            status: one.status,
            outcome: one.outcome,
            cache: one.cache,
            bytes: one.bytes,
            milliseconds: one.milliseconds,
        })
        .collect();
    if let Err(reason) = plugin.batch(tenant, &finished) {
        fail(&reason);
    }
}

impl Request {
    fn of(request: &WitRequest) -> &Self {
        let request: *const WitRequest = request;
        #[expect(unsafe_code, reason = "Request is repr(transparent) over the contract's own type")]
        unsafe {
            &*request.cast()
        }
    }
}

/// A trap is the contract's way to say that there is no answer.
pub(crate) fn fail(reason: &str) -> ! {
    crate::host::log(crate::Level::Error, reason);
    crate::runtime::trap()
}

/// Why a plugin has no instance.
pub(crate) fn refuse(reason: String) -> ! {
    fail(&alloc::format!("settings: {reason}"))
}
