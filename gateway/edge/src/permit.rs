//! Sixth step: policy plugins decide, and their limits and the tenant's become one.

use crate::entitle::Authorized;
use crate::facts;
use crate::flow::Incoming;
use crate::identify::{Identified, Identity};
use crate::refusal::Refusal;
use config::ByteSize;
use limits::Bounds;
use plugin_host::{Chain, Policy, Request};
use slice::ByteRange;
use std::sync::Arc;

/// A request that plugins let through. Only this step makes one, and the cache is asked for nothing less.
pub(crate) struct Permitted<'a> {
    pub(crate) identified: Identified<'a>,
    /// What plugins saw of the request, if any was asked or will be.
    pub(crate) request: Option<Arc<Request>>,
    /// Whom streams and bytes are counted under.
    pub(crate) viewer: String,
    /// What kind of name that is: an account may not use up what an address of the same spelling has.
    pub(crate) named_by: NamedBy,
    pub(crate) bounds: Bounds,
    /// Parts that may be read; `None` for all.
    pub(crate) windows: Option<Vec<ByteRange>>,
    /// Last second (since 1970) at which bytes may go out, where a policy named one.
    pub(crate) until: Option<i64>,
}

/// Who gave a viewer its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NamedBy {
    Address,
    Token,
    Policy,
}

impl NamedBy {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Token => "token",
            Self::Policy => "policy",
        }
    }
}

/// Asks the policy chain, if there is one. `later` says that ads hooks will want to know about the request too.
pub(crate) async fn permit<'a>(
    identified: Identified<'a>,
    policy: Option<&Chain>,
    later: Option<&Chain>,
    incoming: &Incoming<'_>,
) -> Result<Permitted<'a>, Refusal> {
    let visible = [policy, later];
    let request =
        (policy.is_some() || later.is_some()).then(|| Arc::new(facts::request(&identified, visible, incoming)));
    let allowed = match (policy, &request) {
        (Some(policy), Some(request)) => decided(policy.policy(request).await)?,
        _ => plugin_host::Limits::default(),
    };
    let until = expiry(&identified.authorized, allowed.expires, incoming.now)?;
    let tenant = &identified.authorized.tenant.limits;
    let rate = |size: Option<ByteSize>| size.map(ByteSize::bytes);
    let bounds = Bounds {
        viewer_streams: tighter(allowed.viewer_streams, tenant.viewer_streams),
        tenant_streams: tighter(allowed.tenant_streams, tenant.streams),
        viewer_rate: tighter(allowed.bytes_per_second, rate(tenant.viewer_bytes_per_second)),
        tenant_rate: rate(tenant.bytes_per_second),
    };
    let window = |range: plugin_host::ByteRange| ByteRange { start: range.first, end: range.last.saturating_add(1) };
    let windows = allowed.ranges.map(|ranges| ranges.into_iter().map(window).collect());
    let (viewer, named_by) = match (allowed.viewer, &identified.identity) {
        (Some(viewer), _) => (viewer, NamedBy::Policy),
        (None, Identity::Verified(_)) => (identified.viewer(), NamedBy::Token),
        (None, _) => (identified.viewer(), NamedBy::Address),
    };
    Ok(Permitted { identified, request, viewer, named_by, bounds, windows, until })
}

fn decided(policy: Policy) -> Result<plugin_host::Limits, Refusal> {
    match policy {
        Policy::Allow(limits) => Ok(limits),
        Policy::Deny { plugin, status, text } => Err(Refusal::Denied { plugin, status, text }),
        Policy::Redirect { plugin, url } => Err(Refusal::Redirected { plugin, url, cookies: Vec::new() }),
        Policy::Failed { plugin, failure } => Err(Refusal::PluginFailed { plugin, reason: failure.to_string() }),
    }
}

/// A policy's expiry stands in the place of the link's. Within the tenant's grace it may lie after it; the link has been
/// found to be at most that old already.
fn expiry(authorized: &Authorized<'_>, named: Option<u64>, now: i64) -> Result<Option<i64>, Refusal> {
    let grace = i64::try_from(authorized.tenant.grace.as_secs()).unwrap_or(i64::MAX);
    let latest = authorized.grant.expires.saturating_add(grace);
    let named = named.map(|named| i64::try_from(named).unwrap_or(i64::MAX).min(latest));
    match named {
        Some(until) if until < now => Err(Refusal::LinkExpired),
        None if authorized.expired => Err(Refusal::LinkExpired),
        named => Ok(named),
    }
}

fn tighter<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) | (None, one) => one,
    }
}
