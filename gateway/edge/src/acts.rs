//! What operators do to the cache and to what may be served: in force here first, then at every gateway. Files are deleted last: others wait for no disk
//! of this one, nor this one for another act's.

mod done;
mod settle;

pub(crate) use done::{ActError, Others, PurgeDone, RevokeDone, TakedownDone};

use crate::clock;
use crate::kin::{Kin, Side};
use crate::place::PlaceFile;
use crate::reload::HandedOver;
use crate::selection::{Selection, media};
use crate::takedown::Takedowns;
use async_trait::async_trait;
use broadcast::{Away, Broadcast, Cursor, Listener, Posted, Taken};
use cache::{Cache, Purged, Running, Scope};
use identity::{By, Kind, Revoked};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use settle::{Due, Left};
use slice::MediaId;
use std::sync::Arc;
use std::time::Duration;
use takedown::{FileError, Record, Target};

/// How long the other gateways are waited for.
const PATIENCE: Duration = Duration::from_secs(1);
/// Messages that wait for a Redis that is away. Whoever needs more of them may as well purge everything.
const MOST_WAITING: usize = 1000;

/// Does it.
pub(crate) struct Acts {
    cache: Cache,
    takedowns: Arc<Takedowns>,
    revoked: Arc<Revoked>,
    way: Option<Broadcast>,
    place: PlaceFile,
    left: Left,
    /// What could not be told to the others yet.
    waiting: Mutex<Vec<String>>,
    /// Processes of this same gateway: of an upgrade, the one before and the one after.
    pub(crate) kin: Arc<Kin>,
}

/// What gateways tell each other.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Told {
    Purge {
        what: Selection,
        cut: bool,
    },
    /// A record, as its own line.
    Takedown(String),
    /// What is revoked, and until when. By a viewer only from process to process of one gateway: others hear it from `sign_outs`.
    Revoke {
        entry: String,
        until: i64,
        #[serde(default)]
        by_viewer: bool,
    },
}

impl Acts {
    pub(crate) fn new(
        cache: Cache,
        takedowns: Arc<Takedowns>,
        revoked: Arc<Revoked>,
        way: Option<Broadcast>,
        place: PlaceFile,
        kin: Arc<Kin>,
    ) -> Self {
        let (left, waiting) = Default::default();
        Self { cache, takedowns, revoked, way, place, left, waiting, kin }
    }

    /// The files are another process's from now on: the list of takedowns, and the place in the log of purges. Blocks. False: the disk is stuck, and
    /// nothing is changed.
    #[must_use]
    pub(crate) fn hand_over(&self, patience: Duration) -> bool {
        self.place.pause(true);
        let handed_over = self.takedowns.hand_over(patience);
        if !handed_over {
            self.place.pause(false);
        }
        handed_over
    }

    /// They are this one's again.
    pub(crate) fn take_back(&self) -> Result<(), FileError> {
        self.place.pause(false);
        self.takedowns.take_back()
    }

    /// Tells the process that takes over what is in no file.
    pub(crate) fn tell_successor(&self) {
        for by in [By::Operator, By::Viewer] {
            for (entry, until) in self.revoked.all(by, clock::unix()) {
                self.tell_kin(&Told::Revoke { entry, until, by_viewer: by == By::Viewer });
            }
        }
    }

    /// Revokes a tenant's link, session or token until a second since 1970, here and everywhere.
    pub(crate) async fn revoke(&self, tenant: &str, kind: Kind, id: &str, until: i64) -> Result<RevokeDone, ActError> {
        let entry = Revoked::entry(tenant, kind, id);
        self.revoked.add(&entry, until, clock::unix(), By::Operator)?;
        let mark = async {
            if let Some(way) = &self.way
                && let Err(error) = way.mark(&[(entry.clone(), until)]).await
            {
                tracing::warn!(%error, "a revocation could not be left for gateways to come; it is when Redis is back");
            }
        };
        let told = Told::Revoke { entry: entry.clone(), until, by_viewer: false };
        let (gateways, ()) = tokio::join!(self.tell(&told), mark);
        Ok(RevokeDone { until, gateways })
    }

    /// `from_kin`: it is passed on by whoever heard it.
    fn learn_revoked(&self, entries: Vec<(String, i64)>, by: By, from_kin: bool) {
        let now = clock::unix();
        let mut full = 0;
        for (entry, until) in entries {
            match self.revoked.add(&entry, until, now, by) {
                Ok(true) if !from_kin => {
                    self.tell_kin(&Told::Revoke { entry, until, by_viewer: by == By::Viewer });
                }
                Ok(_) => {}
                Err(_) => full += 1,
            }
        }
        if full > 0 {
            tracing::error!(
                full,
                "revocations of other gateways are not in force here: there are too many; change the secrets"
            );
        }
    }

    /// Purges here and everywhere. `what` names no tenant any more.
    pub(crate) async fn purge(&self, what: Selection, everything: bool, cut: bool) -> Result<PurgeDone, ActError> {
        let purging = self.begin_purge(&what, cut).await?;
        let done = self.left.elsewhere();
        let told = Told::Purge { what, cut };
        let delete = async {
            let purged = purging.done().await;
            drop(done);
            purged
        };
        let (gateways, purged) = tokio::join!(self.tell(&told), delete);
        settle::log_purged("of the operator", purged);
        let Purged { media, slices, bytes, undeleted, .. } = purged;
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
        if self.takedowns.is_handed_over() {
            // Who has the list is told, and saves it.
            if !self.kin.has_successor() {
                return Err(HandedOver.into());
            }
        } else if !self.takedowns.is_durable() {
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
        let news = self.takedowns.act(target.clone(), down, now, by, reason)?;
        let deleted = self.left.elsewhere();
        // Whoever serves beside this process, and everybody else, before any disk is waited for.
        let tell = async {
            let mut gateways = Others::None;
            for record in &news {
                log(record, "by the operator");
                let told = Told::Takedown(record.to_string());
                (gateways, ()) = tokio::join!(self.tell(&told), self.post(std::slice::from_ref(record)));
            }
            gateways
        };
        let (gateways, saved) = tokio::join!(tell, self.takedowns.save());
        let purged = if down { self.purge_down(&target).await } else { Purged::default() };
        drop(deleted);
        saved?;
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

    /// Learns what others know, before anybody is served: neighbours in time, then other gateways.
    ///
    /// # Errors
    /// Redis is away.
    pub(crate) async fn catch_up(&self) -> Result<(), Away> {
        while let Some(told) = self.kin.told_by_now() {
            self.heard_of_kin(told).await;
        }
        match &self.way {
            Some(way) => way.catch_up(self).await,
            None => Ok(()),
        }
    }

    /// Does what the neighbours in time tell, for as long as the gateway runs.
    pub(crate) async fn follow_kin(&self) {
        loop {
            self.heard_of_kin(self.kin.next().await).await;
        }
    }

    async fn heard_of_kin(&self, (side, body): (Side, String)) {
        self.kin.tell(&body, Some(side));
        self.take(&body, true).await;
    }

    async fn content_of(&self, id: MediaId) -> Result<Target, ActError> {
        let media = self.cache.media(id).await?;
        let content = self.takedowns.content(&media).await.map_err(|error| ActError::Unread(error.to_string()))?;
        Ok(Target::Content(content))
    }

    /// Tells all gateways, and waits a moment for them.
    async fn tell(&self, told: &Told) -> Others {
        let Ok(body) = serde_json::to_string(told) else { return Others::Away };
        self.kin.tell(&body, None);
        let Some(way) = &self.way else { return Others::None };
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

    fn tell_kin(&self, told: &Told) {
        if self.kin.is_there()
            && let Ok(body) = serde_json::to_string(told)
        {
            self.kin.tell(&body, None);
        }
    }

    /// In force at once; what is known already is deleted once more, should that have been cut off.
    fn learn(&self, records: Vec<Record>, from_kin: bool) {
        let targets: Vec<Target> = records.iter().map(|record| record.target.clone()).collect();
        let news = self.takedowns.learn(records);
        for record in &news {
            log(record, "by another gateway");
            if !from_kin {
                // While an upgrade is under way it may be the only way to the one that takes over.
                self.tell_kin(&Told::Takedown(record.to_string()));
            }
        }
        let list = self.takedowns.list();
        for target in targets.into_iter().filter(|target| list.find(target).is_some()) {
            self.left.add(Due::Down(target));
        }
        if !news.is_empty() {
            self.left.add(Due::List);
            if !self.takedowns.is_durable() && !self.takedowns.is_handed_over() {
                tracing::warn!("takedowns of other gateways are in force only while Redis has them: set takedown.file");
            }
        }
    }

    /// What somebody else did is in force here when this returns; what is left of it is settled behind.
    async fn take(&self, body: &str, from_kin: bool) {
        match serde_json::from_str(body) {
            Ok(Told::Purge { what, cut }) => match self.begin_purge(&what, cut).await {
                Ok(purging) => self.left.add(Due::Files(purging)),
                Err(error) => {
                    tracing::error!(%error, "another gateway's purge can't be understood");
                    self.missed().await;
                }
            },
            Ok(Told::Takedown(line)) => match line.parse() {
                Ok(record) => self.learn(vec![record], from_kin),
                Err(error) => tracing::error!(%error, "another gateway's takedown can't be understood"),
            },
            Ok(Told::Revoke { entry, until, by_viewer }) => {
                let by = if by_viewer { By::Viewer } else { By::Operator };
                self.learn_revoked(vec![(entry, until)], by, from_kin);
            }
            Err(error) => {
                tracing::error!(%error, "another gateway's message can't be understood: is it of another release?");
                self.missed().await;
            }
        }
    }
}

/// What can't wait until somebody gets to it: a takedown that a neighbour in time tells is in force at once, and on its way to the disk. The rest of it,
/// and every other act, is done by [`Acts::follow_kin`].
pub(crate) fn at_once(takedowns: &Arc<Takedowns>, body: &str) {
    if let Ok(Told::Takedown(line)) = serde_json::from_str(body)
        && let Ok(record) = line.parse::<Record>()
    {
        for record in takedowns.learn([record]) {
            log(&record, "by another process of this gateway");
        }
        takedowns.save_soon();
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
        // Only what is news: a year's list is not deleted anew whenever Redis is back.
        let known = self.takedowns.list();
        let is_news = |record: &Record| known.last(&record.target).is_none_or(|known| **known != *record);
        self.learn(lines.into_iter().filter_map(read).filter(is_news).collect(), false);
        let now = clock::unix();
        way.mark(&self.revoked.all(By::Operator, now)).await?;
        self.learn_revoked(way.marks(now).await?, By::Operator, false);
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
        if !own {
            self.take(body, false).await;
        }
    }

    /// Takedowns are on the board. Of purges nobody knows what they were: so everything goes. What runs goes on: it is served what was
    /// good when it began.
    async fn missed(&self) {
        if let Some(way) = &self.way {
            match way.marks(clock::unix()).await {
                Ok(marks) => self.learn_revoked(marks, By::Operator, false),
                Err(error) => tracing::warn!(%error, "revocations of other gateways are learnt when Redis is back"),
            }
        }
        let purging = self.cache.begin_purge(&Scope::All, Running::Finish).await;
        let media = purging.so_far().media;
        self.left.add(Due::Files(purging));
        tracing::warn!(media, "purges were missed while Redis was out of reach: everything is purged");
    }

    async fn reached(&self, place: &Cursor) {
        self.left.add(Due::Place(place.clone()));
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
