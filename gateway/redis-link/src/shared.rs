//! The connection that all callers share.

use crate::server::{Connection, Server};
use parking_lot::Mutex;
use redis::{RedisError, RedisResult};
use std::time::Duration;

/// Why an operation brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Redis said so, or the connection broke.
    // Not the error's own text: it may quote the address.
    #[error("{}", .0.code().unwrap_or(.0.category()))]
    Redis(RedisError),
    /// Nothing came in time. Whether the operation was done is not known.
    #[error("no answer in time")]
    Silent,
}

/// One connection for all, made when it is first needed.
#[derive(Debug)]
pub struct Shared {
    server: Server,
    timeout: Duration,
    slot: Mutex<Slot>,
    /// Held while a connection is made, so that callers who come meanwhile wait for the same one.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Slot {
    connection: Option<Connection>,
    /// Counts connections, so that the failure of an old one is not held against its successor.
    generation: u64,
}

impl Shared {
    /// Connects nowhere yet. `timeout` is for one operation, with connecting if need be.
    #[must_use]
    pub fn new(server: Server, timeout: Duration) -> Self {
        Self { server, timeout, slot: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// Runs one operation within the timeout.
    ///
    /// # Errors
    /// [`Failure`]. After one that speaks against the connection itself, the next operation gets a new one.
    pub async fn run<T>(&self, operation: impl AsyncFnOnce(Connection) -> RedisResult<T>) -> Result<T, Failure> {
        let work = async {
            let (connection, generation) = self.connection(self.timeout).await?;
            operation(connection).await.inspect_err(|error| {
                if is_lost(error) {
                    self.forget(generation);
                }
            })
        };
        match tokio::time::timeout(self.timeout, work).await {
            Ok(done) => done.map_err(Failure::Redis),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// As [`Self::run`], for callers who don't count failures themselves: after silence, too, the next operation gets a new connection. One
    /// that hangs is not waited for twice.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run_once<T>(&self, operation: impl AsyncFnOnce(Connection) -> RedisResult<T>) -> Result<T, Failure> {
        self.run(operation).await.inspect_err(|failure| {
            if matches!(failure, Failure::Silent) {
                self.replace();
            }
        })
    }

    /// Connects, if there is no connection, within a time of its own: a look-up of the master and a few round trips may well take longer than
    /// an operation may.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn ready(&self, patience: Duration) -> Result<(), Failure> {
        match tokio::time::timeout(patience, self.connection(patience)).await {
            Ok(made) => made.map(drop).map_err(Failure::Redis),
            Err(_) => Err(Failure::Silent),
        }
    }

    /// Has the next operation connect anew: for callers who have seen nothing but failures for a while.
    pub fn replace(&self) {
        let generation = self.slot.lock().generation;
        self.forget(generation);
    }

    async fn connection(&self, patience: Duration) -> RedisResult<(Connection, u64)> {
        if let Some(there) = self.there() {
            return Ok(there);
        }
        let _one = self.connecting.lock().await;
        if let Some(there) = self.there() {
            return Ok(there);
        }
        let connection = self.server.connect(patience, self.timeout).await?;
        let mut slot = self.slot.lock();
        slot.generation += 1;
        slot.connection = Some(connection.clone());
        Ok((connection, slot.generation))
    }

    fn there(&self) -> Option<(Connection, u64)> {
        let slot = self.slot.lock();
        Some((slot.connection.clone()?, slot.generation))
    }

    fn forget(&self, generation: u64) {
        let mut slot = self.slot.lock();
        if slot.generation == generation {
            slot.connection = None;
        }
    }
}

/// Whether the next operation would fare no better on the same connection: it broke, or its server is no master any more.
fn is_lost(error: &RedisError) -> bool {
    error.is_unrecoverable_error()
        || error.is_connection_dropped()
        || error.code().is_some_and(|code| matches!(code, "READONLY" | "NOAUTH" | "MASTERDOWN"))
}
