//! The way of every request, on one page. Each step takes what the step before it made:
//!
//! accept → tenant → service → link → takedowns → right → viewer → rates → policy → media and ads → plan → open
//!
//! What it returns is ready to be written; everything that can still become a clear status has happened by then.
//!
//! Its future has room for the largest of its states, and each request makes one: what a step does rarely, or beside a call that costs far
//! more, is in a box (`Box::pin`; DECISIONS.md has the figures).

use crate::accept::accept;
use crate::access_log::{Entry, RequestId};
use crate::authorize::authorize;
use crate::clear::{Cleared, clear};
use crate::edge::Edge;
use crate::entitle::entitle;
use crate::identify::identify;
use crate::permit::permit;
use crate::plan::{Ready, plan};
use crate::rates::tell;
use crate::refusal::Refusal;
use crate::remote::Remote;
use crate::service::{self, Body, Next};
use crate::small::Small;
use crate::takedown::pass;
use crate::traced::step;
use http::request::Parts;
use plugin_package::Hook;
use std::pin::pin;
use std::time::Duration;

/// One request as the HTTP layer hands it over.
pub(crate) struct Incoming<'a> {
    pub(crate) request_id: RequestId,
    pub(crate) head: &'a Parts,
    /// The request target as it was sent.
    pub(crate) target: &'a [u8],
    pub(crate) remote: Option<&'a Remote>,
    /// Over TLS, as far as the viewer is concerned.
    pub(crate) secure: bool,
    /// Viewers without TLS are sent to this port.
    pub(crate) https_port: Option<u16>,
    /// The answer can be sent out of files.
    pub(crate) sends_stretches: bool,
    /// What came after the head.
    pub(crate) body: &'a Body,
    /// Seconds since the Unix epoch.
    pub(crate) now: i64,
    /// The edge's own clock, which never goes back.
    pub(crate) tick: Duration,
}

/// What a request is answered with.
#[expect(
    clippy::large_enum_variant,
    reason = "one for each request, which nobody keeps: a box would cost films an allocation"
)]
pub(crate) enum Answered {
    /// Bytes of a film, or why the client needs none.
    Media(Ready),
    /// Something of the gateway's own.
    Small(Small),
}

/// Decides one request, and tells `entry` what each step learnt.
pub(crate) async fn answer(edge: &Edge, incoming: &Incoming<'_>, entry: &mut Entry) -> Result<Answered, Refusal> {
    let accepted = accept(incoming)?;
    entry.host.clone_from(&accepted.host);

    if let Some(small) = service::challenge(edge, &accepted).await {
        return Ok(Answered::Small(small));
    }
    let resolved = edge.directory.resolve(accepted, &edge.plugins, incoming.tick, incoming.now);
    let tenanted = step("tenant", pin!(resolved)).await;
    let tenanted = tenanted.inspect_err(|refusal| entry.tenant = refusal.tenant())?;
    entry.tenant = Some(tenanted.tenant.id.clone());
    entry.hsts = tenanted.tenant.hsts.clone().filter(|_| incoming.secure);
    let tenanted = match step("service", pin!(service::serve(edge, tenanted, incoming))).await? {
        Next::Media(tenanted) => tenanted,
        Next::Answered(small) => return Ok(Answered::Small(small)),
    };
    let policy = edge.plugins.chain(Hook::Policy, &tenanted.tenant.id);
    let ads = edge.plugins.chain(Hook::Ads, &tenanted.tenant.id);

    let signed = authorize(tenanted, &edge.identities, incoming.now)?;
    let unlisted = pass(signed, &edge.takedowns)?;
    let authorized = step("right", pin!(entitle(unlisted, &edge.cache))).await?;
    entry.authorized(&authorized);
    let identified = identify(authorized, &edge.identities, incoming).await;
    let passed = step("rates", pin!(edge.rates.check_stream(&identified, incoming.tick))).await?;

    let judged = permit(identified, policy.as_ref(), ads.as_ref(), incoming);
    let permitted = step("policy", pin!(judged)).await?;
    entry.viewer = Some(permitted.identified.viewer.clone());

    let mut cleared = step("media", pin!(clear(permitted, &edge.cache, ads))).await?;
    let planned = plan(&cleared, edge, incoming).await?;
    let opened = match step("open", pin!(planned.open())).await {
        // Replaced between its description and its first byte: described again, once.
        Err(Refusal::Origin(slice::OriginError::Changed)) => Box::pin(opened_again(&mut cleared, edge, incoming)).await,
        opened => opened,
    };
    let mut ready = opened?;
    tell(&mut ready.head.fields, passed.policy_field(), passed.limit_field());
    Ok(Answered::Media(ready))
}

async fn opened_again(cleared: &mut Cleared<'_>, edge: &Edge, incoming: &Incoming<'_>) -> Result<Ready, Refusal> {
    cleared.again(&edge.cache).await?;
    step("open again", pin!(plan(cleared, edge, incoming).await?.open())).await
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
            https_port: None,
            sends_stretches: false,
            body: &Body::None,
            now: 0,
            tick,
        }
    }
}
