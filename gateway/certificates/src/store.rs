//! Where ordered certificates are kept.

use crate::chain::{Chain, ChainError};
use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use std::time::Duration;

/// A certificate with its chain, and its key, as PEM: one text, so that it is stored and read as a whole.
#[derive(Clone, Debug)]
pub struct Bundle(SecretString);

impl Bundle {
    /// Key and certificates, whichever comes first.
    #[must_use]
    pub fn new(pem: String) -> Self {
        Self(SecretString::from(pem))
    }

    /// Both texts as one.
    #[must_use]
    pub fn of(certificates: &str, key: &str) -> Self {
        Self::new(format!("{}\n{}", key.trim_end(), certificates))
    }

    /// The text, with the key.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What is in it, ready for handshakes.
    ///
    /// # Errors
    /// [`ChainError`] of a text that was damaged.
    pub fn chain(&self) -> Result<Chain, ChainError> {
        let text = self.expose().as_bytes();
        Chain::from_pem(text, text)
    }
}

/// The store can't be asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file.
    #[error("{0}: {1}")]
    File(String, std::io::Error),
    /// Redis; its own words may hold an address with a password.
    #[error("Redis can't be asked")]
    Redis,
}

/// The right to order for a name, until its time is over.
#[derive(Debug, PartialEq, Eq)]
pub struct Claim {
    /// For whom.
    pub name: String,
    /// Tells this one from a later one of somebody else's.
    pub(crate) value: u64,
}

/// Keeps bundles by name, the account with the authority, and what gateways that share it must tell each other.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The bundle for a name.
    async fn load(&self, name: &str) -> Result<Option<Bundle>, StoreError>;
    /// Keeps a bundle, in the place of the one before.
    async fn save(&self, name: &str, bundle: &Bundle) -> Result<(), StoreError>;
    /// Lets go of a bundle.
    async fn remove(&self, name: &str) -> Result<(), StoreError>;
    /// All names with bundles, each with a mark that is another one when its bundle is.
    async fn kept(&self) -> Result<Vec<(String, String)>, StoreError>;
    /// The account with this authority: JSON with a key in it.
    async fn account(&self, authority: &str) -> Result<Option<SecretString>, StoreError>;
    /// Keeps it.
    async fn save_account(&self, authority: &str, account: &SecretString) -> Result<(), StoreError>;
    /// Of several gateways one may order for a name at a time, for `time` at most. `None`: another one does.
    async fn claim(&self, name: &str, time: Duration) -> Result<Option<Claim>, StoreError>;
    /// The order is over. A claim whose time was over before is nobody's to give back.
    async fn release(&self, claim: Claim);
    /// Lets other gateways answer a challenge, for `time`.
    async fn post_challenge(&self, token: &str, authorization: &str, time: Duration) -> Result<(), StoreError>;
    /// What a gateway posted.
    async fn challenge(&self, token: &str) -> Result<Option<String>, StoreError>;
    /// Whether other gateways see what is kept here.
    fn is_shared(&self) -> bool;
}
