//! Following the log: from the place where this gateway was, for as long as the process lives.

use crate::broadcast::{Away, Broadcast, away, tag};
use crate::log::{Cursor, Message, news};
use crate::scripts::MOST;
use async_trait::async_trait;
use redis::Value;
use redis::aio::MultiplexedConnection;
use std::collections::HashMap;
use std::time::Duration;

/// How long a read waits for a message. Between two, a gateway says that it is there.
const BLOCK: Duration = Duration::from_secs(2);
/// How long to rest before a Redis that was away is tried again.
const REST: Duration = Duration::from_secs(1);
/// A gateway that said nothing for so long is forgotten.
const FORGET: Duration = Duration::from_secs(60);

/// Who follows.
#[async_trait]
pub trait Listener: Send + Sync {
    /// Redis is there, for the first time or again: what is on the board may have changed.
    ///
    /// # Errors
    /// What kept the board away.
    async fn joined(&self) -> Result<(), Away>;

    /// A message; `own` if this gateway published it.
    async fn heard(&self, body: &str, own: bool);

    /// Messages are lost for this gateway: the most careful thing must be done that any of them could have asked for.
    async fn missed(&self);

    /// Everything up to here is done. To be told again after a restart, or what came before is heard once more.
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
                tracing::warn!(%error, "purges and takedowns reach this gateway alone until Redis is back; it goes on serving");
            }
            tokio::time::sleep(REST).await;
        }
    }

    async fn session(&self, listener: &dyn Listener, was_away: &mut bool) -> Result<std::convert::Infallible, Away> {
        let mut connection = self.connect(BLOCK).await?;
        let cursor = self.cursor();
        let mut call = self.call(&self.scripts().join);
        let head = self.ask(call.arg(cursor.number).arg(&cursor.tag).arg(tag()).arg(MOST)).await.map(place)?;
        listener.joined().await?;
        if std::mem::take(was_away) {
            tracing::info!("Redis is back");
        }
        let kept: Entries = redis::cmd("XRANGE")
            .arg(self.log())
            .arg("-")
            .arg("+")
            .query_async(&mut connection)
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
        let mut last = messages.last().map_or_else(|| "0-0".to_owned(), |message| message.id.clone());
        loop {
            let head = self.tell().await?;
            let cursor = self.cursor();
            if head.number < cursor.number {
                return Err(Away("it has lost its memory".to_owned()));
            }
            let messages = self.read(&mut connection, &last).await?;
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

    async fn read(&self, connection: &mut MultiplexedConnection, last: &str) -> Result<Vec<Message>, Away> {
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
