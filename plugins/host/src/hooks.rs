//! How each hook is put to a guest, and its answer checked and counted.

use crate::bindings::exports::streamvault::plugin::{ads, observe, policy, tenants};
use crate::bindings::streamvault::plugin::requests;
use crate::call::Ask;
use crate::edits;
use crate::failure::Failure;
use crate::guest::Guest;
use crate::imports::Handle;
use crate::reply::BadReply;
use crate::state::State;
use crate::verdict::{Finished, PlaylistKind};
use std::borrow::Cow;
use std::sync::Arc;
use wasmtime::component::Resource;
use wasmtime::{Result, Store};

/// The number in a handle says nothing; see [`Handle`].
fn handle() -> Resource<Handle> {
    Resource::new_borrow(0)
}

/// A slot asks the generations of its own hook only, so that this is never seen.
fn other_hook<T>() -> Result<T> {
    Err(wasmtime::Error::msg("the instance has another hook"))
}

pub(crate) struct AskPolicy;

impl Ask for AskPolicy {
    type Reply = policy::Verdict;
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    async fn put(self, guest: &Guest, store: &mut Store<State>) -> Result<Self::Reply> {
        let Guest::Policy(guest) = guest else { return other_hook() };
        guest.call_on_request(store, handle()).await
    }
}

pub(crate) struct AskAds;

impl Ask for AskAds {
    type Reply = ads::Verdict;
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    async fn put(self, guest: &Guest, store: &mut Store<State>) -> Result<Self::Reply> {
        let Guest::Ads(guest) = guest else { return other_hook() };
        guest.call_on_request(store, handle()).await
    }
}

pub(crate) struct AskPlaylist<'a> {
    pub(crate) kind: PlaylistKind,
    pub(crate) text: Cow<'a, str>,
}

impl Ask for AskPlaylist<'_> {
    type Reply = Vec<ads::Edit>;
    type Owned = AskPlaylist<'static>;

    fn into_owned(self) -> Self::Owned {
        AskPlaylist { kind: self.kind, text: Cow::Owned(self.text.into_owned()) }
    }

    async fn put(self, guest: &Guest, store: &mut Store<State>) -> Result<Self::Reply> {
        let Guest::Ads(guest) = guest else { return other_hook() };
        let kind = match self.kind {
            PlaylistKind::HlsMaster => ads::PlaylistKind::HlsMaster,
            PlaylistKind::HlsMedia => ads::PlaylistKind::HlsMedia,
            PlaylistKind::Vast => ads::PlaylistKind::Vast,
        };
        guest.call_on_playlist(store, handle(), kind, &self.text).await
    }

    /// An edit may replace all of it.
    fn more_bytes(&self) -> usize {
        edits::longest(self.text.len())
    }
}

pub(crate) struct AskTenant<'a> {
    pub(crate) host: Cow<'a, str>,
}

impl Ask for AskTenant<'_> {
    type Reply = tenants::Resolution;
    type Owned = AskTenant<'static>;

    fn into_owned(self) -> Self::Owned {
        AskTenant { host: Cow::Owned(self.host.into_owned()) }
    }

    async fn put(self, guest: &Guest, store: &mut Store<State>) -> Result<Self::Reply> {
        let Guest::Tenant(guest) = guest else { return other_hook() };
        guest.call_resolve(store, &self.host).await
    }
}

pub(crate) struct AskObserve {
    pub(crate) tenant: Arc<str>,
    pub(crate) batch: Arc<[observe::Finished]>,
}

impl Ask for AskObserve {
    type Reply = ();
    type Owned = Self;

    fn into_owned(self) -> Self {
        self
    }

    async fn put(self, guest: &Guest, store: &mut Store<State>) -> Result<()> {
        let Guest::Observe(guest) = guest else { return other_hook() };
        guest.call_on_log(store, &self.tenant, &self.batch).await
    }
}

/// The contract's form of a batch, made once for all plugins that hear of it.
pub(crate) fn batch(finished: Vec<Finished>) -> Arc<[observe::Finished]> {
    let one = |finished: Finished| observe::Finished {
        request_id: finished.request_id,
        time: finished.time,
        media: requests::Media { chat_id: finished.media.chat_id, message_id: finished.media.message_id },
        viewer: finished.viewer,
        status: finished.status,
        outcome: finished.outcome,
        cache: finished.cache,
        bytes: finished.bytes,
        milliseconds: finished.milliseconds,
    };
    finished.into_iter().map(one).collect()
}

impl From<BadReply> for Failure {
    fn from(bad: BadReply) -> Self {
        Self::Reply(bad)
    }
}
