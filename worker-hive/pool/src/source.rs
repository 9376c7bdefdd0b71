//! What the pool needs of a session.

use bytes::Bytes;
use mtproto::{Account, Ask, CallFault, DatacentreReport, LocateFault, Location, MessageRef, Reach};
use std::future::Future;
use tokio::time::Instant;

/// A session that documents can be asked of. [`mtproto::Account`] is the one outside tests.
pub trait Source: Send + Sync + 'static {
    /// Names the session in logs and metrics.
    fn name(&self) -> &str;

    /// True when Telegram favours the account.
    fn is_premium(&self) -> bool;

    /// True for a bot, false for a user.
    fn is_bot(&self) -> bool {
        false
    }

    /// The data-centre where messages are looked up.
    fn home_dc(&self) -> i32 {
        0
    }

    /// What it takes to fetch from a data-centre.
    fn reach(&self, _dc: i32) -> Reach {
        Reach::Warm
    }

    /// Connections to a data-centre that a call can go over at once.
    fn warm_connections(&self, _dc: i32) -> usize {
        1
    }

    /// Its data-centres as they stand.
    fn datacentres(&self) -> Vec<DatacentreReport> {
        Vec::new()
    }

    /// Calls made so far, by what they were for.
    fn calls(&self) -> Vec<(&'static str, u64)> {
        Vec::new()
    }

    /// Until when it doesn't ask, as it was told to wait, whoever heard so.
    fn rests_until(&self) -> Option<Instant> {
        None
    }

    /// See [`mtproto::Account::locate`].
    fn locate(&self, message: MessageRef) -> impl Future<Output = Result<Location, LocateFault>> + Send;

    /// See [`mtproto::Account::get_chunk`].
    fn get_chunk(
        &self,
        location: &Location,
        offset: u64,
        limit: u32,
        ask: &Ask,
    ) -> impl Future<Output = Result<Bytes, CallFault>> + Send;
}

impl Source for Account {
    fn name(&self) -> &str {
        self.name()
    }

    fn is_premium(&self) -> bool {
        self.is_premium()
    }

    fn is_bot(&self) -> bool {
        self.is_bot()
    }

    fn home_dc(&self) -> i32 {
        self.home_dc()
    }

    fn reach(&self, dc: i32) -> Reach {
        self.reach(dc)
    }

    fn warm_connections(&self, dc: i32) -> usize {
        self.warm_connections(dc)
    }

    fn datacentres(&self) -> Vec<DatacentreReport> {
        self.datacentres()
    }

    fn calls(&self) -> Vec<(&'static str, u64)> {
        self.calls()
    }

    fn rests_until(&self) -> Option<Instant> {
        self.rests_until()
    }

    async fn locate(&self, message: MessageRef) -> Result<Location, LocateFault> {
        self.locate(message).await
    }

    async fn get_chunk(&self, location: &Location, offset: u64, limit: u32, ask: &Ask) -> Result<Bytes, CallFault> {
        self.get_chunk(location, offset, limit, ask).await
    }
}
