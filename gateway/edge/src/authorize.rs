//! Third step: the path names a media, and the link's signature opens it.

use crate::accept::Accepted;
use crate::directory::Tenanted;
use crate::identities::Identities;
use crate::refusal::Refusal;
use crate::selection::media_of;
use crate::tenant::Tenant;
use identity::Kind;
use link::{Grant, LinkRequest, Verdict};
use slice::MediaId;
use std::sync::Arc;

/// A request whose link holds. Only this step makes one, so nothing is asked of plugins, cache or hive before it. After the signature
/// rights are judged, so that whoever can't sign learns nothing about who may serve what.
pub(crate) struct Signed<'a> {
    pub(crate) accepted: Accepted<'a>,
    pub(crate) tenant: Arc<Tenant>,
    /// No other tenant is served.
    pub(crate) alone: bool,
    pub(crate) grant: Grant,
    /// The link's time is over, and the tenant's grace is not: a policy must name a later one.
    pub(crate) expired: bool,
    pub(crate) media: MediaId,
}

/// Judges the link. A path that is no stream is told so before its signature is looked at: there is nothing behind it.
pub(crate) fn authorize<'a>(tenanted: Tenanted<'a>, identities: &Identities, now: i64) -> Result<Signed<'a>, Refusal> {
    let Tenanted { mut accepted, tenant, alone } = tenanted;
    tenant.links.take_token(&mut accepted.uri);
    let media = media_of(&accepted.uri).ok_or(Refusal::NoSuchPath)?;
    let remote_addr = accepted.remote.map(|remote| &*remote.text);
    let request = LinkRequest { uri: &accepted.uri, host: Some(&accepted.host), remote_addr, now };
    let (grant, expired) = match tenant.links.check(&request) {
        Verdict::Valid(grant) => (grant, false),
        Verdict::Expired(grant) if in_grace(&grant, tenant.grace, now) => (grant, true),
        Verdict::Expired(_) => return Err(Refusal::LinkExpired),
        Verdict::Invalid(reason) => return Err(Refusal::LinkInvalid(reason)),
    };
    if grant.id.as_ref().is_some_and(|id| identities.revoked.has(&tenant.id, Kind::Link, id, now)) {
        return Err(Refusal::LinkRevoked);
    }
    Ok(Signed { accepted, tenant, alone, grant, expired, media })
}

fn in_grace(grant: &Grant, grace: std::time::Duration, now: i64) -> bool {
    let grace = i64::try_from(grace.as_secs()).unwrap_or(i64::MAX);
    grace > 0 && now <= grant.expires.saturating_add(grace)
}
