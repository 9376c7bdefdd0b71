//! The end of an account, said once.

use crate::fault::CallFault;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio_util::sync::CancellationToken;

/// Shared by an account and all its connections.
#[derive(Default)]
pub(crate) struct Revoked {
    said: AtomicBool,
    key_gone: CancellationToken,
    /// How often the home data-centre has taken the account's key.
    known: AtomicU64,
}

/// What one connection has been told of its key: that the home data-centre doesn't know it, so many times in a row.
#[derive(Default)]
pub(crate) struct Doubt {
    times: u32,
    known: u64,
}

/// The word that a key is unknown comes before anything is proved: whoever is on the way can say it, and so can a data-centre in
/// trouble. It is believed when one connection hears it so many times, with its pauses between, and none was better received meanwhile.
const BELIEVED: u32 = 3;

impl Revoked {
    /// Tells the operator, the first time.
    pub(crate) fn say(&self, account: &str, reason: &str) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::error!(account, reason, "Telegram doesn't accept the account any more: sign it in again");
        }
    }

    /// A connection to the home data-centre is warm.
    pub(crate) fn key_is_known(&self) {
        self.known.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes note that the home data-centre told a connection that it doesn't know the account's key. True when that is believed:
    /// another key would be worth nothing, so no connection asks for one.
    pub(crate) fn doubts_key(&self, doubt: &mut Doubt, account: &str) -> bool {
        let known = self.known.load(Ordering::Relaxed);
        doubt.times = if doubt.known == known { doubt.times + 1 } else { 1 };
        doubt.known = known;
        if doubt.times >= BELIEVED {
            self.say(account, &Self::no_key().to_string());
            self.key_gone.cancel();
        }
        self.is_key_gone()
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

#[cfg(test)]
mod tests {
    use super::{Doubt, Revoked};

    #[test]
    fn a_key_is_given_up_when_one_connection_is_refused_three_times_and_none_is_taken_meanwhile() {
        let revoked = Revoked::default();
        let (mut one, mut other) = (Doubt::default(), Doubt::default());
        assert!(!revoked.doubts_key(&mut one, "a") && !revoked.doubts_key(&mut one, "a"));
        assert!(!revoked.doubts_key(&mut other, "a") && !revoked.doubts_key(&mut other, "a"));
        revoked.key_is_known();
        assert!(!revoked.doubts_key(&mut one, "a") && !revoked.doubts_key(&mut one, "a") && !revoked.is_key_gone());
        assert!(revoked.doubts_key(&mut one, "a") && revoked.is_key_gone());
        assert!(revoked.doubts_key(&mut other, "a"), "what one believes all do");
    }
}
