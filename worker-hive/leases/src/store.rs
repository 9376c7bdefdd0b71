//! Where the ledger is.

use crate::clock;
use crate::ledger::Ledger;
use crate::protocol::{Beat, Reply, StoreFailure};
use crate::redis_store::RedisStore;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(crate) enum Store {
    Process(Arc<Mutex<Ledger>>),
    Redis(Box<RedisStore>),
}

impl Store {
    pub(crate) async fn beat(&mut self, beat: &Beat, patience: Duration) -> Result<Reply, StoreFailure> {
        match self {
            Self::Process(ledger) => ledger
                .lock()
                .beat(clock::now(), "", beat)
                .map_err(|theirs| StoreFailure::Refused(format!("other hives have a lease time of {theirs} ms"))),
            Self::Redis(store) => store.beat(beat, patience).await,
        }
    }
}
