//! Whose plugins are run: detached Ed25519 signatures.

use ed25519_dalek::VerifyingKey;
use ed25519_dalek::pkcs8::DecodePublicKey;

/// Whose signatures count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// Any of these may have signed.
    pub keys: Vec<TrustedKey>,
    /// Refuse plugins without a signature. One that is there must be good in any case, once there are keys.
    pub require_signature: bool,
}

/// A public key and the name that messages call it by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedKey {
    id: String,
    key: VerifyingKey,
}

/// Why a key or a signature doesn't hold. No message contains key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a PEM text with an Ed25519 public key.
    #[error("not a PEM text with an Ed25519 public key (\"-----BEGIN PUBLIC KEY-----\")")]
    PublicKey,
    /// A key of small order, for which anybody can sign.
    #[error("a weak key, for which anybody could sign")]
    WeakKey,
}

impl TrustedKey {
    /// Reads a public key as `gateway plugin keygen` or `openssl pkey -pubout` writes it.
    ///
    /// # Errors
    /// [`TrustError::PublicKey`], [`TrustError::WeakKey`].
    pub fn from_pem(id: impl Into<String>, pem: &str) -> Result<Self, TrustError> {
        let key = VerifyingKey::from_public_key_pem(pem.trim()).map_err(|_| TrustError::PublicKey)?;
        if key.is_weak() { Err(TrustError::WeakKey) } else { Ok(Self { id: id.into(), key }) }
    }

    /// Its name in messages.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}
