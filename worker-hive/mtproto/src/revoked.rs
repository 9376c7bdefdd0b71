//! The end of an account, said once.

use crate::fault::CallFault;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio_util::sync::CancellationToken;

/// Shared by an account and all its connections.
#[derive(Default)]
pub(crate) struct Revoked {
    said: AtomicBool,
    key_gone: CancellationToken,
}

impl Revoked {
    /// Tells the operator, the first time.
    pub(crate) fn say(&self, account: &str, reason: &str) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::error!(account, reason, "Telegram doesn't accept the account any more: sign it in again");
        }
    }

    /// The home data-centre doesn't know the account's key. Another key would be worth nothing, so no connection asks for one.
    pub(crate) fn key_is_gone(&self, account: &str) {
        self.say(account, &Self::no_key().to_string());
        self.key_gone.cancel();
    }

    pub(crate) fn is_key_gone(&self) -> bool {
        self.key_gone.is_cancelled()
    }

    /// Returns once the key is gone, with what callers are told.
    pub(crate) async fn until_key_is_gone(&self) -> CallFault {
        self.key_gone.cancelled().await;
        Self::no_key()
    }

    pub(crate) fn no_key() -> CallFault {
        CallFault::Banned("the home data-centre doesn't know its key".to_owned())
    }
}
