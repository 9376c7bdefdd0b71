//! The face: publishing, counting who took it, and the connection for both.

use crate::log::Cursor;
use crate::scripts::{MOST, Scripts};
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, Script, ScriptInvocation};
use redis_link::{Connection, Server};
use std::fmt;
use std::time::Duration;

/// A gateway that wasn't heard of for so long is not waited for.
const ALIVE: Duration = Duration::from_secs(7);
/// How often it is counted who took a message.
const LOOK: Duration = Duration::from_millis(20);
/// Least time for one operation: a fleet's purge is worth more patience than a plugin's counter.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no broadcast.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a Redis address; write redis://[user:password@]host:port/db or redis+unix:///path")]
pub struct SetupError;

/// Redis can't be reached, or refuses. Whether something was done is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Redis: {0}")]
pub struct Away(pub(crate) String);

/// Who took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    /// Gateways that did.
    pub by: u64,
    /// Gateways that are there.
    pub of: u64,
}

/// One gateway's way to all of them.
pub struct Broadcast {
    server: Server,
    keys: [String; 5],
    marked: String,
    timeout: Duration,
    scripts: Scripts,
    /// Who this is, for as long as the process lives.
    name: String,
    link: Mutex<Option<Connection>>,
    /// Where this gateway is in the log.
    cursor: Mutex<Cursor>,
}

impl fmt::Debug for Broadcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Broadcast").field("keys", &self.keys).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Broadcast {
    /// By way of a single Redis, by its address: see [`Self::at`].
    ///
    /// # Errors
    /// [`SetupError`].
    pub fn new(url: &str, prefix: &str, timeout: Duration, cursor: Cursor) -> Result<Self, SetupError> {
        Server::single(url).map(|server| Self::at(server, prefix, timeout, cursor)).map_err(|_| SetupError)
    }

    /// Connects when it is first used, and again whenever it must. Every key starts with `prefix`. `cursor` is where this gateway was when
    /// it ended last.
    #[must_use]
    pub fn at(server: Server, prefix: &str, timeout: Duration, cursor: Cursor) -> Self {
        // The braces make the keys one hash slot.
        let keys = ["state", "log", "alive", "seen", "board"].map(|key| format!("{prefix}:{{gateways}}:{key}"));
        Self {
            server,
            keys,
            marked: format!("{prefix}:{{gateways}}:marks"),
            timeout: timeout.max(LEAST_TIMEOUT),
            scripts: Scripts::new(),
            name: tag(),
            link: Mutex::default(),
            cursor: Mutex::new(cursor),
        }
    }

    /// Publishes a message to all gateways that there are and will be, this one included. Gives its number.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn publish(&self, body: &str) -> Result<u64, Away> {
        let Cursor { number, tag: last } = self.cursor();
        let mut call = self.call(&self.scripts.publish);
        call.arg(number).arg(last).arg(tag()).arg(MOST).arg(&self.name).arg(body);
        self.ask(&call).await
    }

    /// Waits until every gateway that is there took a message, but at most `patience`; says how many did.
    ///
    /// # Errors
    /// [`Away`].
    pub async fn taken(&self, number: u64, patience: Duration) -> Result<Taken, Away> {
        let mut last = self.count(number).await?;
        let wait = async {
            while last.by < last.of || last.of == 0 {
                tokio::time::sleep(LOOK).await;
                last = self.count(number).await?;
            }
            Ok(())
        };
        match tokio::time::timeout(patience, wait).await {
            Ok(Err(away)) => Err(away),
            Ok(Ok(())) | Err(_) => Ok(last),
        }
    }

    async fn count(&self, number: u64) -> Result<Taken, Away> {
        let mut call = self.call(&self.scripts.count);
        let (by, of) = self.ask(call.arg(number).arg(ALIVE.as_millis())).await?;
        Ok(Taken { by, of })
    }

    /// The next question connects anew.
    pub(crate) fn unlink(&self) {
        *self.link.lock() = None;
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A call of a script, with the keys of all.
    pub(crate) fn call<'s>(&self, script: &'s Script) -> ScriptInvocation<'s> {
        let mut call = script.prepare_invoke();
        for key in &self.keys {
            call.key(key);
        }
        call
    }

    pub(crate) fn log(&self) -> &str {
        let [_, log, ..] = &self.keys;
        log
    }

    pub(crate) fn board(&self) -> &str {
        let [.., board] = &self.keys;
        board
    }

    pub(crate) fn marked(&self) -> &str {
        &self.marked
    }

    pub(crate) fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    pub(crate) fn cursor(&self) -> Cursor {
        self.cursor.lock().clone()
    }

    pub(crate) fn set_cursor(&self, cursor: Cursor) {
        *self.cursor.lock() = cursor;
    }

    /// A connection of one's own, on which an answer may take `wait` and the timeout.
    pub(crate) async fn connect(&self, wait: Duration) -> Result<Connection, Away> {
        self.server.connect(self.timeout, self.timeout + wait).await.map_err(|error| away(&error))
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, call: &ScriptInvocation<'_>) -> Result<T, Away> {
        self.run(async |mut connection| call.invoke_async(&mut connection).await).await
    }

    pub(crate) async fn command<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Away> {
        self.run(async |mut connection| command.query_async(&mut connection).await).await
    }

    /// One question, over the connection that is there or a new one.
    async fn run<T>(&self, question: impl AsyncFnOnce(Connection) -> RedisResult<T>) -> Result<T, Away> {
        let link = self.link.lock().clone();
        let connection = match link {
            Some(connection) => connection,
            None => {
                let connection = self.connect(Duration::ZERO).await?;
                *self.link.lock() = Some(connection.clone());
                connection
            }
        };
        let answer = question(connection).await;
        answer.map_err(|error| {
            self.unlink();
            away(&error)
        })
    }
}

/// Not the error's own text: it may quote the address.
pub(crate) fn away(error: &RedisError) -> Away {
    Away(error.code().map_or_else(|| error.category().to_owned(), str::to_owned))
}

pub(crate) fn tag() -> String {
    format!("{:016x}", rand::random::<u64>())
}
