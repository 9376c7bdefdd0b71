//! Third step: the path names a media, and the link's signature opens it.

use crate::accept::Method;
use crate::refusal::Refusal;
use crate::tenant::Tenanted;
use http::HeaderMap;
use link::{Grant, LinkRequest, StreamTarget, Verdict};
use slice::MediaId;

/// A request that may have its media. Only this step makes one, so nothing looks into the cache before it.
pub(crate) struct Authorized<'a> {
    pub(crate) headers: &'a HeaderMap,
    pub(crate) method: Method,
    pub(crate) grant: Grant,
    pub(crate) media: MediaId,
}

/// Judges the link. A path that is no stream is told so before its signature is looked at: there is nothing behind it.
pub(crate) fn authorize(tenanted: Tenanted<'_>, now: i64) -> Result<Authorized<'_>, Refusal> {
    let Tenanted { accepted, tenant } = tenanted;
    let target = StreamTarget::parse(&accepted.uri).map_err(|_| Refusal::NoSuchPath)?;
    let media = MediaId { chat_id: target.chat_id, message_id: target.message_id };
    let remote = accepted.remote.map(|address| address.to_string());
    let request = LinkRequest { uri: &accepted.uri, host: Some(&accepted.host), remote_addr: remote.as_deref(), now };
    match tenant.links.check(&request) {
        Verdict::Valid(grant) => {
            Ok(Authorized { headers: &accepted.head.headers, method: accepted.method, grant, media })
        }
        Verdict::Expired(_) => Err(Refusal::LinkExpired),
        Verdict::Invalid(reason) => Err(Refusal::LinkInvalid(reason)),
    }
}
