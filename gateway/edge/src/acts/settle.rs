//! What is left to do once an act is in force: files are deleted, the list is saved. Nobody waits for it but the note of how far the log of acts was
//! done: after a crash, what was not finished is heard once more.

use super::Acts;
use crate::selection::{Selection, SelectionError};
use broadcast::Cursor;
use cache::{Purged, Purging, Running, Scope};
use futures_util::StreamExt;
use futures_util::stream::poll_fn;
use takedown::Target;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// Of what is left to do, so much is begun at once. The cache itself deletes with few threads.
const AT_ONCE: usize = 100;

/// What is left to do.
#[derive(Debug)]
pub(super) enum Due {
    /// Files are being deleted.
    Files(Purging),
    /// What is down is to be deleted.
    Down(Target),
    /// The list of takedowns is to be saved.
    List,
    /// Somebody else does it, and drops the other end when it is done.
    Elsewhere(oneshot::Receiver<()>),
    /// The gateway is here in the log, once all before this is done.
    Place(Cursor),
}

/// It, in order.
pub(super) struct Left {
    add: UnboundedSender<Due>,
    due: tokio::sync::Mutex<UnboundedReceiver<Due>>,
}

impl Default for Left {
    fn default() -> Self {
        let (add, due) = unbounded_channel();
        Self { add, due: tokio::sync::Mutex::new(due) }
    }
}

impl Left {
    pub(super) fn add(&self, due: Due) {
        // The receiver lives as long as this does.
        let _ = self.add.send(due);
    }

    /// Until what this gives is dropped, nothing that comes after counts as done.
    pub(super) fn elsewhere(&self) -> oneshot::Sender<()> {
        let (done, waits) = oneshot::channel();
        self.add(Due::Elsewhere(waits));
        done
    }
}

impl Acts {
    /// Does it, for as long as the gateway runs.
    pub(crate) async fn settle(&self) {
        let mut due = self.left.due.lock().await;
        let mut done = poll_fn(|context| due.poll_recv(context)).map(|due| self.settle_one(due)).buffered(AT_ONCE);
        while let Some(place) = done.next().await {
            if let Some(place) = place {
                self.place.write(&place).await;
            }
        }
    }

    async fn settle_one(&self, due: Due) -> Option<Cursor> {
        match due {
            Due::Place(place) => return Some(place),
            Due::Elsewhere(done) => drop(done.await),
            Due::Files(purging) => log_purged("of another gateway", purging.done().await),
            Due::Down(target) => drop(self.purge_down(&target).await),
            Due::List => {
                if let Err(error) = self.takedowns.save().await {
                    tracing::error!(%error, "takedowns of other gateways are in force, but not on disk");
                }
            }
        }
        None
    }

    /// Nothing of it is served any more when this returns.
    pub(super) async fn begin_purge(&self, what: &Selection, cut: bool) -> Result<Purging, SelectionError> {
        let scope = what.scope()?;
        let running = if cut { Running::Cut } else { Running::Finish };
        let purging = self.cache.begin_purge(&scope, running).await;
        tracing::warn!(?what, cut, media = purging.so_far().media, "purged");
        Ok(purging)
    }

    /// Deletes the bytes of what is down. Nothing of them was served since it is: this is about the disk alone.
    pub(super) async fn purge_down(&self, target: &Target) -> Purged {
        let scope = match target {
            Target::Media(id) => Scope::Media(*id),
            Target::Chat(chat) => Scope::Chats([*chat].into()),
            Target::Document(etag) => Scope::Document(etag.clone()),
            Target::Content(content) => {
                let mut all = Purged::default();
                for listed in self.cache.list(&Scope::All, None, usize::MAX).await {
                    if listed.size == content.size
                        && let Ok(media) = self.cache.media(listed.media).await
                        && self.takedowns.content(&media).await.ok() == Some(*content)
                    {
                        let purged = self.cache.purge(&Scope::Media(listed.media), Running::Cut).await;
                        all.media += purged.media;
                        all.slices += purged.slices;
                        all.bytes += purged.bytes;
                    }
                }
                return all;
            }
        };
        self.cache.purge(&scope, Running::Cut).await
    }
}

/// The end of a purge.
pub(super) fn log_purged(whose: &str, purged: Purged) {
    let Purged { media, slices, undeleted, .. } = purged;
    tracing::info!(media, slices, undeleted, "the files of a purge {whose} are deleted");
}
