//! Sixth step: policy plugins decide, and their limits and the tenant's become one.

use crate::entitle::Authorized;
use crate::facts;
use crate::flow::Incoming;
use crate::identify::{Identified, NamedBy};
use crate::refusal::Refusal;
use config::ByteSize;
use limits::Bounds;
use plugin_host::{Chain, Limits, Policy, Request};
use slice::ByteRange;
use std::sync::Arc;

/// A request that plugins let through. Only this step makes one, and the cache is asked for nothing less.
pub(crate) struct Permitted<'a> {
    pub(crate) identified: Identified<'a>,
    /// What plugins saw of the request, if any was asked or will be.
    pub(crate) request: Option<Arc<Request>>,
    pub(crate) bounds: Bounds,
    /// Parts that may be read; `None` for all.
    pub(crate) windows: Option<Vec<ByteRange>>,
    /// Last second (since 1970) at which bytes may go out, where a policy named one.
    pub(crate) until: Option<i64>,
}

/// Asks the policy chain, if there is one. `later` says that ads hooks will want to know about the request too.
pub(crate) async fn permit<'a>(
    mut identified: Identified<'a>,
    policy: Option<&Chain>,
    later: Option<&Chain>,
    incoming: &Incoming<'_>,
) -> Result<Permitted<'a>, Refusal> {
    let visible = [policy, later];
    let request =
        (policy.is_some() || later.is_some()).then(|| Arc::new(facts::request(&identified, visible, incoming)));
    let allowed = match (policy, &request) {
        (Some(policy), Some(request)) => decided(policy.policy(request).await)?,
        _ => Limits::default(),
    };
    let until = expiry(&identified.authorized, allowed.expires, incoming.now)?;
    let tenant = &identified.authorized.tenant.limits;
    let rate = |size: Option<ByteSize>| size.map(ByteSize::bytes);
    let allowed = allowed.and(Limits {
        viewer_streams: tenant.viewer_streams,
        tenant_streams: tenant.streams,
        bytes_per_second: rate(tenant.viewer_bytes_per_second),
        ..Limits::default()
    });
    let bounds = Bounds {
        viewer_streams: allowed.viewer_streams,
        tenant_streams: allowed.tenant_streams,
        viewer_rate: allowed.bytes_per_second,
        tenant_rate: rate(tenant.bytes_per_second),
    };
    let window = |range: plugin_host::ByteRange| ByteRange { start: range.first, end: range.last.saturating_add(1) };
    let windows = allowed.ranges.map(|ranges| ranges.into_iter().map(window).collect());
    if let Some(viewer) = allowed.viewer {
        (identified.viewer, identified.named_by) = (viewer, NamedBy::Policy);
    }
    Ok(Permitted { identified, request, bounds, windows, until })
}

fn decided(policy: Policy) -> Result<Limits, Refusal> {
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
