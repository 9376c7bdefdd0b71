//! What operators do to the cache and to what may be served: here first, then at every gateway.

use crate::clock;
use crate::place::PlaceFile;
use crate::selection::{Selection, SelectionError, media};
use crate::takedown::Takedowns;
use async_trait::async_trait;
use broadcast::{Away, Broadcast, Cursor, Listener, Posted, Taken};
use cache::{Cache, Purged, Running, Scope};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use slice::{MediaId, OriginError};
use std::sync::Arc;
use std::time::Duration;
use takedown::{FileError, Record, RecordError, Target, TargetError};

/// How long the other gateways are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Messages that wait for a Redis that is away. Whoever needs more of them may as well purge everything.
const MOST_WAITING: usize = 1000;

/// Does it.
pub(crate) struct Acts {
    cache: Cache,
    takedowns: Arc<Takedowns>,
    way: Option<Broadcast>,
    place: PlaceFile,
    /// What could not be told to the others yet.
    waiting: Mutex<Vec<String>>,
}

/// What gateways tell each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Told {
    Purge {
        what: Selection,
        cut: bool,
    },
    /// A record, as its own line.
    Takedown(String),
}

/// Who else took an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "redis")]
pub(crate) enum Others {
    /// The settings name no Redis.
    None,
    /// It can't be reached. They are told when it can be.
    Away,
    /// So many gateways of so many, this one included.
    Here { took: u64, of: u64 },
}

/// What a purge came to.
#[derive(Debug, Serialize)]
pub(crate) struct PurgeDone {
    /// Of this gateway's cache.
    pub(crate) media: u64,
    pub(crate) slices: u64,
    pub(crate) bytes: u64,
    /// Media whose files could not be deleted; nothing of them is served.
    pub(crate) undeleted: u64,
    /// A tenant was named that has everything.
    pub(crate) everything: bool,
    pub(crate) gateways: Others,
}

/// What a takedown, or the end of one, came to.
#[derive(Debug, Serialize)]
pub(crate) struct TakedownDone {
    pub(crate) target: String,
    /// Of this gateway's cache.
    pub(crate) media: u64,
    pub(crate) slices: u64,
    pub(crate) bytes: u64,
    pub(crate) gateways: Others,
}

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ActError {
    #[error(transparent)]
    Selection(#[from] SelectionError),
    #[error(
        "set takedown.file in the settings, and make it by \"gateway takedown init\": what is taken down must stay so"
    )]
    NotDurable,
    #[error("it is in force, but not on disk, and gone with a restart: {0}")]
    NotSaved(#[from] FileError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("only of a media the content can be taken: write /stream/CHAT/MESSAGE or /v/SLUG, or a link to it")]
    NoContent,
    #[error("its content could not be read: {0}")]
    Unread(String),
    #[error("{0} is not down")]
    NotDown(Target),
}

impl From<OriginError> for ActError {
    fn from(error: OriginError) -> Self {
        Self::Unread(error.to_string())
    }
}

impl Acts {
    pub(crate) fn new(cache: Cache, takedowns: Arc<Takedowns>, way: Option<Broadcast>, place: PlaceFile) -> Self {
        Self { cache, takedowns, way, place, waiting: Mutex::default() }
    }

    /// Purges here and everywhere. `what` names no tenant any more.
    pub(crate) async fn purge(&self, what: Selection, everything: bool, cut: bool) -> Result<PurgeDone, ActError> {
        let Purged { media, slices, bytes, undeleted, .. } = self.purge_here(&what, cut).await?;
        let gateways = self.tell(&Told::Purge { what, cut }).await;
        Ok(PurgeDone { media, slices, bytes, undeleted, everything, gateways })
    }

    /// Takes down, or lifts, what `text` names: a target's own spelling, a path or a link. With `content` it is the content of that media.
    pub(crate) async fn take_down(
        &self,
        text: &str,
        content: bool,
        down: bool,
        by: &str,
        reason: &str,
    ) -> Result<TakedownDone, ActError> {
        if !self.takedowns.is_durable() {
            return Err(ActError::NotDurable);
        }
        let target = match media(text) {
            Some(id) if content => self.content_of(id).await?,
            Some(id) => Target::Media(id),
            None if content => return Err(ActError::NoContent),
            // As an ETag stands in a header, too.
            None => text.replace('"', "").parse()?,
        };
        if !down && self.takedowns.list().find(&target).is_none() {
            return Err(ActError::NotDown(target));
        }
        let now = u64::try_from(clock::unix()).unwrap_or(0);
        let changed = self.takedowns.act(target.clone(), down, now, by, reason).await?;
        let purged = if down { self.purge_down(&target).await } else { Purged::default() };
        let mut gateways = Others::None;
        for record in &changed.news {
            log(record, "by the operator");
            self.post(std::slice::from_ref(record)).await;
            gateways = self.tell(&Told::Takedown(record.to_string())).await;
        }
        changed.saved?;
        let Purged { media, slices, bytes, .. } = purged;
        Ok(TakedownDone { target: target.to_string(), media, slices, bytes, gateways })
    }

    /// Follows what the others do, for as long as the gateway runs.
    pub(crate) async fn follow(&self) {
        match &self.way {
            Some(way) => way.follow(self).await,
            None => std::future::pending().await,
        }
    }

    async fn content_of(&self, id: MediaId) -> Result<Target, ActError> {
        let media = self.cache.media(id).await?;
        let content = self.takedowns.content(&media).await.map_err(|error| ActError::Unread(error.to_string()))?;
        Ok(Target::Content(content))
    }

    async fn purge_here(&self, what: &Selection, cut: bool) -> Result<Purged, SelectionError> {
        let scope = what.scope()?;
        let running = if cut { Running::Cut } else { Running::Finish };
        let purged = self.cache.purge(&scope, running).await;
        let Purged { media, slices, undeleted, .. } = purged;
        tracing::warn!(?what, cut, media, slices, undeleted, "purged");
        Ok(purged)
    }

    /// Deletes the bytes of what is down. Nothing of them was served since it is: this is about the disk alone.
    async fn purge_down(&self, target: &Target) -> Purged {
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

    /// Tells all gateways, and waits a moment for them.
    async fn tell(&self, told: &Told) -> Others {
        let Some(way) = &self.way else { return Others::None };
        let Ok(body) = serde_json::to_string(told) else { return Others::Away };
        let taken = match way.publish(&body).await {
            Ok(number) => way.taken(number, PATIENCE).await,
            Err(away) => {
                let mut waiting = self.waiting.lock();
                if waiting.len() < MOST_WAITING {
                    waiting.push(body);
                }
                Err(away)
            }
        };
        match taken {
            Ok(Taken { by, of }) => Others::Here { took: by, of },
            Err(_) => Others::Away,
        }
    }

    /// Puts records where gateways that come later find them. If that fails it is done when Redis is back.
    async fn post(&self, records: &[Arc<Record>]) {
        if let Some(way) = &self.way
            && let Err(error) = way.post(&posted(records)).await
        {
            tracing::warn!(%error, "a takedown could not be left for gateways to come; it is when Redis is back");
        }
    }

    async fn learn(&self, records: Vec<Record>) {
        let changed = self.takedowns.learn(records).await;
        for record in &changed.news {
            log(record, "by another gateway");
            if record.down {
                self.purge_down(&record.target).await;
            }
        }
        if let Err(error) = changed.saved {
            tracing::error!(%error, "takedowns of other gateways are in force, but not on disk");
        }
        if !changed.news.is_empty() && !self.takedowns.is_durable() {
            tracing::warn!("takedowns of other gateways are in force only while Redis has them: set takedown.file");
        }
    }
}

#[async_trait]
impl Listener for Acts {
    /// Both sides learn what the other has of the list; and what waited is told.
    async fn joined(&self) -> Result<(), Away> {
        let Some(way) = &self.way else { return Ok(()) };
        let lines = way.post(&posted(&self.takedowns.list().records())).await?;
        let read = |line: String| {
            line.parse::<Record>()
                .inspect_err(|error| tracing::error!(%error, "a takedown in Redis can't be read"))
                .ok()
        };
        self.learn(lines.into_iter().filter_map(read).collect()).await;
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (at, body) in waiting.iter().enumerate() {
            if let Err(away) = way.publish(body).await {
                self.waiting.lock().extend(waiting.iter().skip(at).cloned());
                return Err(away);
            }
        }
        Ok(())
    }

    async fn heard(&self, body: &str, own: bool) {
        // Done before it was told.
        if own {
            return;
        }
        match serde_json::from_str(body) {
            Ok(Told::Purge { what, cut }) => match self.purge_here(&what, cut).await {
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(%error, "another gateway's purge can't be understood");
                    self.missed().await;
                }
            },
            Ok(Told::Takedown(line)) => match line.parse() {
                Ok(record) => self.learn(vec![record]).await,
                Err(error) => tracing::error!(%error, "another gateway's takedown can't be understood"),
            },
            Err(error) => {
                tracing::error!(%error, "another gateway's message can't be understood: is it of another release?");
                self.missed().await;
            }
        }
    }

    /// Takedowns are on the board. Of purges nobody knows what they were: so everything goes. What runs goes on: it is served what was
    /// good when it began.
    async fn missed(&self) {
        let purged = self.cache.purge(&Scope::All, Running::Finish).await;
        tracing::warn!(media = purged.media, "purges were missed while Redis was out of reach: everything is purged");
    }

    async fn reached(&self, place: &Cursor) {
        self.place.write(place).await;
    }
}

fn posted(records: &[Arc<Record>]) -> Vec<Posted> {
    let post = |record: &Arc<Record>| Posted {
        key: record.target.to_string(),
        rank: record.version,
        firm: record.down,
        text: record.to_string(),
    };
    records.iter().map(post).collect()
}

fn log(record: &Record, who: &str) {
    let Record { target, version, by, reason, .. } = record;
    let what = if record.down { "taken down" } else { "lifted" };
    tracing::warn!(%target, version, by, reason, "{what} {who}");
}
