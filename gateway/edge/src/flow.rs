//! The way of every request, on one page. Each step takes what the step before it made:
//!
//! accept → tenant → link → (policy and ad hooks will stand here) → plan → open
//!
//! What it returns is ready to be written; everything that can still become a clear status has happened by then.

use crate::accept::accept;
use crate::access_log::Entry;
use crate::authorize::authorize;
use crate::edge::Edge;
use crate::plan::{Ready, plan};
use crate::refusal::Refusal;
use http::request::Parts;
use std::net::IpAddr;

/// One request as the HTTP layer hands it over.
pub(crate) struct Incoming<'a> {
    pub(crate) head: &'a Parts,
    /// The request target as it was sent.
    pub(crate) target: &'a [u8],
    pub(crate) remote: Option<IpAddr>,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
}

/// Decides one request, and tells `entry` what each step learnt.
pub(crate) async fn answer(edge: &Edge, incoming: &Incoming<'_>, entry: &mut Entry) -> Result<Ready, Refusal> {
    let accepted = accept(incoming.head, incoming.target, incoming.remote)?;
    entry.host.clone_from(&accepted.host);

    let tenanted = edge.tenants.resolve(accepted)?;
    entry.tenant = Some(tenanted.tenant.id.clone());

    let authorized = authorize(tenanted, incoming.now)?;
    entry.media = Some(authorized.media.to_string());
    entry.link_key = Some(authorized.grant.key_id.to_string());
    entry.link_expires = Some(authorized.grant.expires);

    let planned = plan(&authorized, &edge.cache, edge.limits.max_ranges).await?;
    match planned.open().await {
        // Replaced between its description and its first byte: described again, once.
        Err(Refusal::Origin(slice::OriginError::Changed)) => {
            plan(&authorized, &edge.cache, edge.limits.max_ranges).await?.open().await
        }
        opened => opened,
    }
}
