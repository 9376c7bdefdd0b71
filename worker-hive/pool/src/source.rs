//! What the pool needs of a session.

use bytes::Bytes;
use mtproto::{Account, CallFault, LocateFault, Location, MessageRef};
use std::future::Future;

/// A session that documents can be asked of. [`mtproto::Account`] is the one outside tests.
pub trait Source: Send + Sync + 'static {
    /// Names the session in logs and metrics.
    fn name(&self) -> &str;

    /// True when Telegram favours the account.
    fn is_premium(&self) -> bool;

    /// See [`mtproto::Account::locate`].
    fn locate(&self, message: MessageRef) -> impl Future<Output = Result<Location, LocateFault>> + Send;

    /// See [`mtproto::Account::get_chunk`].
    fn get_chunk(
        &self,
        location: &Location,
        offset: u64,
        limit: u32,
    ) -> impl Future<Output = Result<Bytes, CallFault>> + Send;
}

impl Source for Account {
    fn name(&self) -> &str {
        self.name()
    }

    fn is_premium(&self) -> bool {
        self.is_premium()
    }

    async fn locate(&self, message: MessageRef) -> Result<Location, LocateFault> {
        self.locate(message).await
    }

    async fn get_chunk(&self, location: &Location, offset: u64, limit: u32) -> Result<Bytes, CallFault> {
        self.get_chunk(location, offset, limit).await
    }
}
