//! Sessions that viewers ended: what gateways tell each other of them.
//!
//! Anybody can be a guest and sign out, as often as rates allow. So these go by a log of their own: what operators do must never be pushed
//! out of theirs, and whoever misses some of these looks at the marks, where all that is in force stands, and loses nothing else by it.

use crate::acts::Told;
use crate::clock;
use crate::kin::Kin;
use crate::redis_server::server;
use async_trait::async_trait;
use broadcast::{Away, Broadcast, Cursor, Listener};
use config::gateway::Redis;
use identity::{By, Kind, Revoked};
use redis_link::AddressError;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Marks that Redis keeps, as many as each gateway.
const MOST_MARKS: usize = 100_000;

/// What was ended by viewers, here and everywhere.
pub(crate) struct SignOuts {
    revoked: Arc<Revoked>,
    way: Option<Broadcast>,
    kin: Arc<Kin>,
    /// Something was not told.
    behind: AtomicBool,
}

/// A message.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Message {
    /// This one, until then.
    Ended { entry: String, until: i64 },
    /// Some that stand among the marks.
    Look,
}

/// By which gateways tell each other. Connects nowhere yet.
pub(crate) fn way(redis: &Redis) -> Result<Broadcast, AddressError> {
    let prefix = format!("{}-signouts", redis.prefix);
    Ok(Broadcast::at(server(redis)?, &prefix, redis.timeout.get(), Cursor::default()))
}

impl SignOuts {
    pub(crate) fn new(revoked: Arc<Revoked>, way: Option<Broadcast>, kin: Arc<Kin>) -> Self {
        Self { revoked, way, kin, behind: AtomicBool::new(false) }
    }

    /// Tokens of a session hold no more until a second since 1970, by which the last of them has expired: here from now on, elsewhere as soon as
    /// it is heard of. While Redis is away that is when it is back.
    pub(crate) async fn end(&self, tenant: &str, sid: &str, until: i64) {
        let entry = Revoked::entry(tenant, Kind::Session, sid);
        self.learn(&[(entry.clone(), until)]);
        if let Ok(body) = serde_json::to_string(&Told::Revoke { entry: entry.clone(), until, by_viewer: true }) {
            self.kin.tell(&body, None);
        }
        let Some(way) = &self.way else { return };
        if let Err(error) = tell(way, entry, until).await {
            self.behind.store(true, Ordering::Release);
            tracing::warn!(%error, tenant, "other gateways learn that a session is over when Redis is back");
        }
    }

    /// Follows what the others tell, for as long as the gateway runs.
    pub(crate) async fn follow(&self) {
        match &self.way {
            Some(way) => way.follow(self).await,
            None => std::future::pending().await,
        }
    }

    /// Learns before anybody is served which sessions ended meanwhile.
    ///
    /// # Errors
    /// Redis is away.
    pub(crate) async fn catch_up(&self) -> Result<(), Away> {
        match &self.way {
            Some(way) => way.catch_up(self).await,
            None => Ok(()),
        }
    }

    fn learn(&self, entries: &[(String, i64)]) {
        let now = clock::unix();
        for (entry, until) in entries {
            // Of viewers' there is always room.
            let _ = self.revoked.add(entry, *until, now, By::Viewer);
        }
    }

    async fn look(&self) -> Result<(), Away> {
        if let Some(way) = &self.way {
            self.learn(&way.marks(clock::unix()).await?);
        }
        Ok(())
    }
}

/// First for gateways to come, then for those that are there.
async fn tell(way: &Broadcast, entry: String, until: i64) -> Result<(), Away> {
    way.mark(&[(entry.clone(), until)]).await?;
    way.trim_marks(clock::unix(), MOST_MARKS).await?;
    publish(way, &Message::Ended { entry, until }).await
}

async fn publish(way: &Broadcast, message: &Message) -> Result<(), Away> {
    match serde_json::to_string(message) {
        Ok(body) => way.publish(&body).await.map(drop),
        // Two words and a number can be written.
        Err(_) => Ok(()),
    }
}

#[async_trait]
impl Listener for SignOuts {
    /// Both sides learn what the other has.
    async fn joined(&self) -> Result<(), Away> {
        let Some(way) = &self.way else { return Ok(()) };
        way.mark(&self.revoked.all(By::Viewer, clock::unix())).await?;
        self.look().await?;
        if self.behind.load(Ordering::Acquire) {
            publish(way, &Message::Look).await?;
            self.behind.store(false, Ordering::Release);
        }
        Ok(())
    }

    async fn heard(&self, body: &str, own: bool) {
        match serde_json::from_str(body) {
            _ if own => {}
            Ok(Message::Ended { entry, until }) => self.learn(&[(entry, until)]),
            Ok(Message::Look) | Err(_) => self.missed().await,
        }
    }

    /// All that is in force stands among the marks.
    async fn missed(&self) {
        if let Err(error) = self.look().await {
            tracing::warn!(%error, "sessions that ended elsewhere are learnt when Redis is back");
        }
    }

    async fn reached(&self, _place: &Cursor) {}
}
