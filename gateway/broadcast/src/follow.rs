//! Following the log: from the place where this gateway was, for as long as the process lives.

use crate::broadcast::{Away, Broadcast, away, tag};
use crate::log::{Cursor, Message, news};
use crate::scripts::MOST;
use async_trait::async_trait;
use redis::Value;
use redis_link::Connection;
use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

/// How long a read waits for a message. Between two, a gateway says how far it is.
const BLOCK: Duration = Duration::from_secs(2);
/// How often a gateway says that it is there, whatever it does.
const LIFE: Duration = Duration::from_secs(2);
/// How long to rest before a Redis that was away is tried again.
const REST: Duration = Duration::from_secs(1);
/// A gateway that said nothing for so long is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// Who follows. What takes long is not to be waited for: until a message is done no further one is heard, and whoever published it is told
/// that it is not taken.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Redis is there, for the first time or again: what is on the board may have changed.
    ///
    /// # Errors
    /// What kept the board away.
    async fn joined(&self) -> Result<(), Away>;

    /// A message; `own` if this gateway published it. When this returns the message counts as taken: it is to be in force by then.
    async fn heard(&self, body: &str, own: bool);

    /// Messages are lost for this gateway: the most careful thing must be done that any of them could have asked for.
    async fn missed(&self);

    /// Everything up to here is in force. To be told again after a restart, or what came before is heard once more: so who has more to do about a
    /// message keeps the place before it until that is done.
    async fn reached(&self, place: &Cursor);
}

type Entries = Vec<(String, HashMap<String, String>)>;

impl Broadcast {
    /// Follows without end. Says once that Redis is away, and once that it is back.
    pub async fn follow(&self, listener: &dyn Listener) {
        let mut is_away = false;
        loop {
            let Err(error) = self.session(listener, &mut is_away).await;
            if !std::mem::replace(&mut is_away, true) {
                tracing::warn!(log = self.log(), %error, "gateways don't hear of each other until Redis is back; this one goes on serving");
            }
            tokio::time::sleep(REST).await;
        }
    }

    /// Does once what [`Self::follow`] begins with: learns what is on the board and what was published since this gateway's place. For a
    /// start, before anybody is served. Connections are not kept: whoever follows may do so from another runtime.
    ///
    /// # Errors
    /// [`Away`]. Some of it may have been learnt.
    pub async fn catch_up(&self, listener: &dyn Listener) -> Result<(), Away> {
        let _no_longer = Unlink(self);
        let mut connection = self.connect(BLOCK).await?;
        self.begin(&mut connection, listener).await.map(drop)
    }

    async fn session(&self, listener: &dyn Listener, was_away: &mut bool) -> Result<Infallible, Away> {
        let mut connection = self.connect(BLOCK).await?;
        let last = self.begin(&mut connection, listener).await?;
        if std::mem::take(was_away) {
            tracing::info!("Redis is back");
        }
        tokio::select! {
            ended = self.go_on(&mut connection, listener, last) => ended,
            never = self.show_life() => match never {},
        }
    }

    /// Joins, and hears what the log has for this gateway. Gives the id of the last message.
    async fn begin(&self, connection: &mut Connection, listener: &dyn Listener) -> Result<String, Away> {
        let cursor = self.cursor();
        let mut call = self.call(&self.scripts().join);
        let head = self.ask(call.arg(cursor.number).arg(&cursor.tag).arg(tag()).arg(MOST)).await.map(place)?;
        listener.joined().await?;
        let kept: Entries = redis::cmd("XRANGE")
            .arg(self.log())
            .arg("-")
            .arg("+")
            .query_async(connection)
            .await
            .map_err(|error| away(&error))?;
        let messages = kept.into_iter().map(message).collect::<Result<Vec<_>, Away>>()?;
        let news = news(&cursor, &head, &messages);
        if news.missed {
            listener.missed().await;
        }
        for message in news.messages {
            listener.heard(&message.body, message.from == self.name()).await;
        }
        self.reach(listener, &cursor, news.now).await;
        Ok(messages.last().map_or_else(|| "0-0".to_owned(), |message| message.id.clone()))
    }

    async fn go_on(
        &self,
        connection: &mut Connection,
        listener: &dyn Listener,
        mut last: String,
    ) -> Result<Infallible, Away> {
        loop {
            let head = self.tell().await?;
            let cursor = self.cursor();
            if head.number < cursor.number {
                return Err(Away("it has lost its memory".to_owned()));
            }
            let messages = self.read(connection, &last).await?;
            // The log went on without a message that could be read.
            if messages.is_empty() && head != cursor {
                listener.missed().await;
                self.reach(listener, &cursor, head).await;
                continue;
            }
            for message in messages {
                let before = self.cursor();
                if message.before == before.tag {
                    listener.heard(&message.body, message.from == self.name()).await;
                } else {
                    listener.missed().await;
                }
                last = message.id;
                self.reach(listener, &before, message.place).await;
            }
        }
    }

    /// Says that this gateway is there, also while it is busy with a message: else it would be counted among those that are gone, and a
    /// message as taken by all.
    async fn show_life(&self) -> Infallible {
        loop {
            tokio::time::sleep(LIFE).await;
            // That Redis is away is found out by who reads.
            let _ = self.tell().await;
        }
    }

    async fn reach(&self, listener: &dyn Listener, before: &Cursor, now: Cursor) {
        if *before != now {
            listener.reached(&now).await;
        }
        self.set_cursor(now);
    }

    /// Says that this gateway is there and how far it has come. Gives the log's head.
    async fn tell(&self) -> Result<Cursor, Away> {
        let mut call = self.call(&self.scripts().tell);
        self.ask(call.arg(self.name()).arg(self.cursor().number).arg(FORGET.as_millis())).await.map(place)
    }

    async fn read(&self, connection: &mut Connection, last: &str) -> Result<Vec<Message>, Away> {
        let mut read = redis::cmd("XREAD");
        read.arg("COUNT").arg(100).arg("BLOCK").arg(BLOCK.as_millis()).arg("STREAMS").arg(self.log()).arg(last);
        let answer: Value = read.query_async(connection).await.map_err(|error| away(&error))?;
        if answer == Value::Nil {
            return Ok(Vec::new());
        }
        let streams: Vec<(String, Entries)> = redis::from_redis_value(answer).map_err(|_| strange())?;
        streams.into_iter().flat_map(|(_, entries)| entries).map(message).collect()
    }
}

/// Drops the connection at its end, also when it is cut short.
struct Unlink<'a>(&'a Broadcast);

impl Drop for Unlink<'_> {
    fn drop(&mut self) {
        self.0.unlink();
    }
}

fn place((number, tag): (u64, String)) -> Cursor {
    Cursor { number, tag }
}

fn message((id, mut fields): (String, HashMap<String, String>)) -> Result<Message, Away> {
    let mut field = |name: &str| fields.remove(name).ok_or_else(strange);
    let number = field("number")?.parse().map_err(|_| strange())?;
    let place = Cursor { number, tag: field("tag")? };
    Ok(Message { id, place, before: field("before")?, from: field("from")?, body: field("body")? })
}

fn strange() -> Away {
    Away("an answer of another form".to_owned())
}
