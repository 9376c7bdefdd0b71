//! Whose plugins are run: detached Ed25519 signatures.
//!
//! A signature is made over `streamvault plugin signature v1\0`, the sha256 of `plugin.toml` and the sha256 of the component, in
//! this order. The manifest is part of it, since it says what the component may see and use; the text in front keeps a
//! signature from meaning anything elsewhere. Its file is the 64 bytes in base64, on one line.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use config::Secret;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use rand::TryRng;
use sha2::{Digest, Sha256};

const DOMAIN: &[u8] = b"streamvault plugin signature v1\0";

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

/// Why a key can't be had or used. No message contains key material.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Not a PEM text with an Ed25519 public key.
    #[error("not a PEM text with an Ed25519 public key (\"-----BEGIN PUBLIC KEY-----\")")]
    PublicKey,
    /// Not a PEM text with an Ed25519 private key.
    #[error("not a PEM text with an Ed25519 private key (\"-----BEGIN PRIVATE KEY-----\", not encrypted)")]
    PrivateKey,
    /// A key of small order, for which anybody can sign.
    #[error("a weak key, for which anybody could sign")]
    WeakKey,
    /// The system has no randomness to give.
    #[error("the system gave no randomness")]
    Randomness,
}

impl TrustedKey {
    /// Reads a public key as [`generate_keys`] or `openssl pkey -pubout` writes it.
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

/// A new pair of keys, both PEM.
#[derive(Clone, Debug)]
pub struct KeyPair {
    /// PKCS #8, not encrypted: for the author's eyes only.
    pub private_pem: Secret,
    /// What operators name in `plugins.trusted_keys`.
    pub public_pem: String,
}

/// Makes a pair of keys that sign plugins.
///
/// # Errors
/// [`TrustError::Randomness`].
pub fn generate_keys() -> Result<KeyPair, TrustError> {
    let mut seed = [0; 32];
    rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(|_| TrustError::Randomness)?;
    // Without the public half, which OpenSSL refuses to find in a private key.
    let private = KeypairBytes { secret_key: seed, public_key: None };
    let private = private.to_pkcs8_pem(Default::default()).map_err(|_| TrustError::PrivateKey)?;
    let public = SigningKey::from_bytes(&seed).verifying_key();
    Ok(KeyPair {
        private_pem: Secret::inline(private.as_str()).map_err(|_| TrustError::PrivateKey)?,
        public_pem: public.to_public_key_pem(Default::default()).map_err(|_| TrustError::PublicKey)?,
    })
}

/// The text of a signature file.
pub(crate) fn sign(private_pem: &str, manifest: &[u8], wasm: &[u8]) -> Result<String, TrustError> {
    let key = SigningKey::from_pkcs8_pem(private_pem.trim()).map_err(|_| TrustError::PrivateKey)?;
    let signature = key.sign(&message(manifest, wasm));
    Ok(format!("{}\n", STANDARD.encode(signature.to_bytes())))
}

impl Trust {
    /// Id of the key that made this signature over these very bytes.
    pub(crate) fn signer(&self, signature: &[u8], manifest: &[u8], wasm: &[u8]) -> Option<&str> {
        let bytes = STANDARD.decode(signature.trim_ascii()).ok()?;
        let signature = Signature::from_bytes(&bytes.try_into().ok()?);
        let message = message(manifest, wasm);
        // Strict: one signature has one spelling, and no key of small order passes.
        let signer = self.keys.iter().find(|trusted| trusted.key.verify_strict(&message, &signature).is_ok())?;
        Some(&signer.id)
    }
}

fn message(manifest: &[u8], wasm: &[u8]) -> Vec<u8> {
    [DOMAIN, &Sha256::digest(manifest), &Sha256::digest(wasm)].concat()
}
