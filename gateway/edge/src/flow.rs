//! The way of every request, on one page. Each step takes what the step before it made:
//!
//! accept → tenant → link → takedowns → right → viewer → policy → media and ads → plan → open
//!
//! What it returns is ready to be written; everything that can still become a clear status has happened by then.

use crate::accept::accept;
use crate::access_log::{Entry, RequestId};
use crate::authorize::authorize;
use crate::clear::clear;
use crate::edge::Edge;
use crate::entitle::entitle;
use crate::identify::identify;
use crate::permit::permit;
use crate::plan::{Ready, plan};
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::takedown::pass;
use http::request::Parts;
use plugin_package::Hook;
use std::time::Duration;

/// One request as the HTTP layer hands it over.
pub(crate) struct Incoming<'a> {
    pub(crate) request_id: RequestId,
    pub(crate) head: &'a Parts,
    /// The request target as it was sent.
    pub(crate) target: &'a [u8],
    pub(crate) remote: Option<&'a Remote>,
    /// Over TLS.
    pub(crate) secure: bool,
    /// The answer can be sent out of files.
    pub(crate) sends_stretches: bool,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
    /// The edge's own clock, which never goes back.
    pub(crate) tick: Duration,
}

/// Decides one request, and tells `entry` what each step learnt.
pub(crate) async fn answer(edge: &Edge, incoming: &Incoming<'_>, entry: &mut Entry) -> Result<Ready, Refusal> {
    let accepted = accept(incoming)?;
    entry.host.clone_from(&accepted.host);

    let tenanted = edge.directory.resolve(accepted, &edge.plugins, incoming.tick, incoming.now).await;
    let tenanted = tenanted.inspect_err(|refusal| entry.tenant = refusal.tenant())?;
    entry.tenant = Some(tenanted.tenant.id.clone());
    let policy = edge.plugins.chain(Hook::Policy, &tenanted.tenant.id);
    let ads = edge.plugins.chain(Hook::Ads, &tenanted.tenant.id);

    let signed = authorize(tenanted, incoming.now)?;
    let unlisted = pass(signed, &edge.takedowns)?;
    let authorized = entitle(unlisted, &edge.cache).await?;
    entry.authorized(&authorized);
    let identified = identify(authorized, incoming.now);

    let permitted = permit(identified, policy.as_ref(), ads.as_ref(), incoming).await?;
    entry.viewer = Some(permitted.identified.viewer.clone());

    let mut cleared = clear(permitted, &edge.cache, ads).await?;
    let planned = plan(&cleared, &edge.limiter, &edge.labelled, edge.limits.max_ranges, incoming.tick).await?;
    match planned.open().await {
        // Replaced between its description and its first byte: described again, once.
        Err(Refusal::Origin(slice::OriginError::Changed)) => {
            cleared.again(&edge.cache).await?;
            plan(&cleared, &edge.limiter, &edge.labelled, edge.limits.max_ranges, incoming.tick).await?.open().await
        }
        opened => opened,
    }
}

#[cfg(test)]
impl<'a> Incoming<'a> {
    /// A request for `/` that nobody sent.
    pub(crate) fn of_test(head: &'a Parts) -> Self {
        let tick = Duration::ZERO;
        Self {
            request_id: RequestId::new(0),
            head,
            target: b"/",
            remote: None,
            secure: false,
            sends_stretches: false,
            now: 0,
            tick,
        }
    }
}
