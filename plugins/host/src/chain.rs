//! The plugins of one hook that are asked about one tenant, in order.

use crate::bindings::exports::streamvault::plugin::tenants;
use crate::counters::Decision;
use crate::edits;
use crate::failure::Failure;
use crate::hooks::{AskAds, AskObserve, AskPlaylist, AskPolicy, AskTenant, batch};
use crate::kept::{Kept, Likeness, Likening};
use crate::reply::{self, AdsReply, PolicyReply};
use crate::request::Request;
use crate::slot::Slot;
use crate::verdict::{Ads, Cookie, Failed, Finished, Limits, Playlist, PlaylistKind, Policy, TenantRecord};
use plugin_package::Visible;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

/// The plugins of one hook that are asked about one tenant, in order. At least one.
///
/// A chain is a picture of the moment at which it was taken: calls on it end with the generations that were in service then, whatever
/// is loaded meanwhile. Take it for a request, not for longer.
#[derive(Clone)]
pub struct Chain {
    pub(crate) tenant: Arc<str>,
    pub(crate) members: Arc<Members>,
}

/// What chains of the same plugins share.
pub(crate) struct Members {
    pub(crate) slots: Vec<Arc<Slot>>,
    pub(crate) visible: Visible,
    /// None while a canary is on trial: its share is one of requests, not of viewers.
    pub(crate) kept: Option<Kept>,
}

impl std::fmt::Debug for Chain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let plugins: Vec<&str> = self.members.slots.iter().map(|slot| slot.plugin.as_ref()).collect();
        f.debug_struct("Chain").field("tenant", &self.tenant).field("plugins", &plugins).finish()
    }
}

impl Chain {
    /// The headers and cookies that any plugin of the chain may see: the only ones that [`Request`] need hold.
    #[must_use]
    pub fn visible(&self) -> &Visible {
        &self.members.visible
    }

    /// The length in bytes of the longest playlist that any plugin of an ads chain wants to see.
    #[must_use]
    pub fn longest_playlist(&self) -> u32 {
        let generations = self.members.slots.iter().flat_map(|slot| slot.in_service());
        generations.map(|generation| generation.shared.limits.playlist).max().unwrap_or_default()
    }

    /// Whether policy hooks have said to keep a verdict, so that it makes sense to [`liken`](Self::liken) a request.
    #[must_use]
    pub fn keeps(&self) -> bool {
        self.members.kept.as_ref().is_some_and(Kept::any)
    }

    /// What makes a request like another: `parts` must take in everything that a policy hook can see of it, but for its id and range.
    /// None where verdicts aren't kept.
    pub fn liken(&self, parts: impl FnOnce(&mut Likening)) -> Option<Likeness> {
        Some(self.members.kept.as_ref()?.liken(parts))
    }

    /// What policy hooks allowed a request like this one, and said to keep longer than `now`. They are not called, but are counted as
    /// having decided.
    #[must_use]
    pub fn kept(&self, like: Likeness, now: Duration) -> Option<Limits> {
        let limits = self.members.kept.as_ref()?.get(like, now)?;
        self.members.slots.iter().for_each(|slot| slot.counters.decided(Decision::Kept));
        Some(limits)
    }

    /// Keeps what [`policy`](Self::policy) allowed. `until` is on the clock of [`kept`](Self::kept).
    pub fn keep(&self, like: Likeness, limits: &Limits, until: Duration) {
        if let Some(kept) = &self.members.kept {
            kept.keep(like, limits, until);
        }
    }

    /// Asks policy hooks: the first that refuses or redirects is final, limits add up to the tightest.
    pub async fn policy(&self, request: &Arc<Request>) -> Policy {
        let mut limits = Limits::default();
        let mut keep = Some(Duration::MAX);
        for slot in &self.members.slots {
            let check = |_: &_, verdict| reply::policy(verdict).map_err(Failure::from);
            match slot.ask(&self.tenant, &request.id, Some(request), AskPolicy, check).await {
                Ok(PolicyReply::Allow(more, time)) => {
                    slot.counters.decided(Decision::Allow);
                    limits = limits.and(more);
                    keep = keep.min(time);
                }
                Ok(PolicyReply::Deny { status, text }) => {
                    slot.counters.decided(Decision::Deny);
                    return Policy::Deny { plugin: Arc::clone(&slot.plugin), status, text };
                }
                Ok(PolicyReply::Redirect(url)) => {
                    slot.counters.decided(Decision::Redirect);
                    return Policy::Redirect { plugin: Arc::clone(&slot.plugin), url };
                }
                Err(failure) if slot.fails_closed() => {
                    return Policy::Failed { plugin: Arc::clone(&slot.plugin), failure };
                }
                // What was not asked about said nothing of how long that holds.
                Err(_) => keep = None,
            }
        }
        Policy::Allow(limits, keep)
    }

    /// Asks ads hooks: the first that redirects is final, cookies add up (a later one of the same name wins).
    pub async fn ads(&self, request: &Arc<Request>) -> Ads {
        let mut cookies: Vec<Cookie> = Vec::new();
        for slot in &self.members.slots {
            let check = |generation: &crate::generation::Generation, verdict| {
                reply::ads(verdict, &generation.shared.visible.cookies).map_err(Failure::from)
            };
            match slot.ask(&self.tenant, &request.id, Some(request), AskAds, check).await {
                Ok(AdsReply::Proceed(more)) => {
                    slot.counters.decided(if more.is_empty() { Decision::Proceed } else { Decision::SetCookies });
                    add(&mut cookies, more);
                }
                Ok(AdsReply::Redirect { url, cookies: more }) => {
                    slot.counters.decided(Decision::Redirect);
                    add(&mut cookies, more);
                    return Ads::Redirect { plugin: Arc::clone(&slot.plugin), url, cookies };
                }
                Err(failure) if slot.fails_closed() => {
                    return Ads::Failed { plugin: Arc::clone(&slot.plugin), failure };
                }
                Err(_) => {}
            }
        }
        Ads::Proceed { cookies }
    }

    /// Has ads hooks rewrite a playlist, each with the text that the one before it left. Those whose `limits.playlist` is shorter
    /// than the text are left out.
    pub async fn playlist(&self, request: &Arc<Request>, kind: PlaylistKind, text: &str) -> Playlist {
        let longest = edits::longest(text.len());
        let mut rewritten: Option<String> = None;
        for slot in &self.members.slots {
            let now = rewritten.as_deref().unwrap_or(text);
            let wants = |most: u32| usize::try_from(most).is_ok_and(|most| now.len() <= most);
            if slot.choose(&request.id).is_ok_and(|generation| !wants(generation.shared.limits.playlist)) {
                continue;
            }
            let check = |_: &_, list: Vec<_>| edits::apply(now, &list, longest).map_err(Failure::from);
            let ask = AskPlaylist { kind, text: Cow::Borrowed(now) };
            match slot.ask(&self.tenant, &request.id, Some(request), ask, check).await {
                Ok(Some(text)) => {
                    slot.counters.decided(Decision::Rewritten);
                    rewritten = Some(text);
                }
                Ok(None) => slot.counters.decided(Decision::Proceed),
                Err(failure) if slot.fails_closed() => {
                    return Playlist::Failed { plugin: Arc::clone(&slot.plugin), failure };
                }
                Err(_) => {}
            }
        }
        rewritten.map_or(Playlist::Unchanged, Playlist::Rewritten)
    }

    /// Asks tenant hooks for the tenant of a host (lower case, without port and final dot). The first that knows it is final.
    /// `taken` says which ids belong to the gateway's settings.
    ///
    /// # Errors
    /// A hook that fails closed failed: the ones after it are not asked, since the host could be its.
    pub async fn tenant(
        &self,
        host: &str,
        taken: &(dyn Fn(&str) -> bool + Sync),
    ) -> Result<Option<TenantRecord>, Failed> {
        for slot in &self.members.slots {
            let check = |_: &_, resolution| match resolution {
                tenants::Resolution::Unknown => Ok(None),
                tenants::Resolution::Found(found) => Ok(Some(reply::tenant(&slot.plugin, host, found, taken)?)),
            };
            match slot.ask(&self.tenant, host, None, AskTenant { host: Cow::Borrowed(host) }, check).await {
                Ok(Some(tenant)) => {
                    slot.counters.decided(Decision::Found);
                    return Ok(Some(tenant));
                }
                Ok(None) => slot.counters.decided(Decision::Unknown),
                Err(failure) if slot.fails_closed() => {
                    return Err(Failed { plugin: Arc::clone(&slot.plugin), failure });
                }
                Err(_) => {}
            }
        }
        Ok(None)
    }

    /// Tells observe hooks what has ended, at most 256 requests of this chain's tenant at once. Failing loses the batch for that
    /// hook, is counted, and touches nobody.
    pub async fn observe(&self, finished: Vec<Finished>) {
        let batch = batch(finished);
        let key = batch.first().map_or("", |first| first.request_id.as_str());
        for slot in &self.members.slots {
            let ask = AskObserve { tenant: Arc::clone(&self.tenant), batch: Arc::clone(&batch) };
            if slot.ask(&self.tenant, key, None, ask, |_, ()| Ok(())).await.is_ok() {
                slot.counters.decided(Decision::Heard);
            }
        }
    }
}

fn add(cookies: &mut Vec<Cookie>, more: Vec<Cookie>) {
    for cookie in more {
        cookies.retain(|earlier| earlier.name != cookie.name);
        cookies.push(cookie);
    }
}
