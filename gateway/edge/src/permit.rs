//! Seventh step: policy plugins decide, and their limits and the tenant's become one.

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
use std::time::Duration;

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
    let visible = [policy, later].map(|chain| chain.map(Chain::visible));
    let facts = || Arc::new(facts::request(&identified, visible, incoming));
    let (allowed, asked) = match policy {
        Some(policy) => allowed(policy, &identified, incoming, facts).await?,
        None => (Limits::default(), None),
    };
    let request = asked.or_else(|| later.map(|_| facts()));
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
        (identified.viewer, identified.named_by) = (viewer.into(), NamedBy::Policy);
    }
    Ok(Permitted { identified, request, bounds, windows, until })
}

/// What the policy chain allows; and what it saw of the request, if it had to be asked.
async fn allowed(
    policy: &Chain,
    identified: &Identified<'_>,
    incoming: &Incoming<'_>,
    facts: impl Fn() -> Arc<Request>,
) -> Result<(Limits, Option<Arc<Request>>), Refusal> {
    let liken = || policy.liken(|parts| facts::liken(identified, policy.visible(), incoming, parts));
    let like = if policy.keeps() { liken() } else { None };
    if let Some(limits) = like.and_then(|like| policy.kept(like, incoming.tick)) {
        return Ok((limits, None));
    }
    let request = facts();
    let (limits, keep) = decided(Box::pin(policy.policy(&request)).await)?;
    if let Some(keep) = keep
        && let Some(like) = like.or_else(liken)
    {
        policy.keep(like, &limits, incoming.tick + keep);
    }
    Ok((limits, Some(request)))
}

fn decided(policy: Policy) -> Result<(Limits, Option<Duration>), Refusal> {
    match policy {
        Policy::Allow(limits, keep) => Ok((limits, keep)),
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
