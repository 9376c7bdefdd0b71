//! `POST /sign`: a link for who has an identity, if a stream by that link would be let through.

use super::auth::{object, seconds};
use super::{Body, Denial, read};
use crate::accept::{Accepted, Method};
use crate::authorize::Signed;
use crate::directory::Tenanted;
use crate::edge::Edge;
use crate::entitle::entitle;
use crate::flow::Incoming;
use crate::identify::{Identity, Who};
use crate::permit::permit;
use crate::refusal::Refusal;
use crate::selection::media_of;
use crate::small::Small;
use crate::takedown::pass;
use crate::tenant::Tenant;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use link::{Grant, PrefixRequest, Scheme, SignRequest, Uri};
use plugin_package::Hook;
use serde::Deserialize;
use serde_json::json;

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// The link's path, escaped as in a link.
    path: String,
    /// Seconds that the link is good.
    ttl: Option<i64>,
}

/// A link, and what it can be revoked by.
struct Made {
    url: String,
    id: Option<String>,
}

pub(super) async fn answer(
    edge: &Edge,
    tenanted: Tenanted<'_>,
    incoming: &Incoming<'_>,
    who: Who,
) -> Result<Small, Refusal> {
    let Tenanted { accepted, tenant, alone } = tenanted;
    let sign = tenant.sign.as_ref().ok_or(Refusal::NoSuchPath)?;
    match &who.identity {
        Identity::Anonymous => return Err(Denial::NoIdentity.into()),
        Identity::Invalid => return Err(Denial::BadIdentity("forged, expired, revoked or another's").into()),
        Identity::Verified(viewer) => {
            let guest = viewer.claims().get("guest").and_then(serde_json::Value::as_bool).unwrap_or(false);
            if guest && !sign.guests {
                return Err(Denial::Guests.into());
            }
        }
    }
    let Wanted { path, ttl } = read::json(incoming)?;
    let uri = Uri::parse(path.as_bytes()).map_err(|_| Denial::Malformed("no path"))?;
    if !path.starts_with('/') || !uri.query().is_empty() {
        return Err(Denial::Malformed("a path that is more than a path").into());
    }
    let ttl = ttl.unwrap_or_else(|| seconds(sign.ttl));
    if !(1..=seconds(sign.max_ttl)).contains(&ttl) {
        return Err(Denial::Malformed("a ttl that is longer than it may be").into());
    }
    let expires = incoming.now.saturating_add(ttl);
    let media = media_of(&uri).ok_or(Refusal::NoSuchPath)?;

    // From here on as a request for the media would go, whose link this is.
    let (target, wanted) = (uri.to_encoded_path(), uri.path().to_vec());
    let asked = Incoming { target: target.as_bytes(), body: &Body::None, ..*incoming };
    let accepted = Accepted { method: Method::Get, uri, ..accepted };
    let grant = Grant { key_id: tenant.links.signs_with(), scheme: Scheme::HmacSha256, expires, id: None };
    let policy = edge.plugins.chain(Hook::Policy, &tenant.id);
    let signed = Signed { accepted, tenant: tenant.clone(), alone, grant, expired: false, media };
    let unlisted = pass(signed, &edge.takedowns)?;
    let authorized = entitle(unlisted, &edge.cache).await?;
    let permitted = permit(who.of(authorized), policy.as_ref(), None, &asked).await?;

    let expires = permitted.until.map_or(expires, |until| until.min(expires));
    let accepted = &permitted.identified.authorized.accepted;
    let Made { url, id } = made(&tenant, accepted, &wanted, expires, sign.bind_address)?;
    object(&json!({ "url": url, "expires": expires, "id": id }))
}

fn made(
    tenant: &Tenant,
    accepted: &Accepted<'_>,
    path: &[u8],
    expires: i64,
    bind_address: bool,
) -> Result<Made, Refusal> {
    let failed = |_| Refusal::Internal("a link can't be signed");
    let id = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
    let address = accepted.remote.map(|remote| &*remote.text);
    let links = &tenant.links;
    if bind_address && !links.binds_address() {
        // Over a unix socket nobody has an address, and a link for nobody would be one for all.
        let remote_addr =
            Some(address.ok_or(Refusal::Internal("a link is to be bound to an address, and there is none"))?);
        let request = PrefixRequest { prefix: path, expires, key_id: None, remote_addr, id: Some(&id) };
        let token = links.sign_prefix(&request).map_err(failed)?;
        let (url, param) = (link::escaped(path), links.prefix_param().unwrap_or_default());
        return Ok(Made { url: format!("{url}?{param}={token}"), id: Some(id) });
    }
    let id = links.has_ids().then_some(id);
    let request = SignRequest {
        host: Some(&accepted.host),
        remote_addr: address,
        id: id.as_deref(),
        ..SignRequest::new(path, expires)
    };
    Ok(Made { url: links.sign(&request).map_err(failed)?, id })
}
