//! A tenant with its secrets, for a place that others can read: one text that only who has the key can make or read.

use crate::entry::Entry;
use crate::record::Record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hmac::{Hmac, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::fmt;

/// What the key is for: another use of the same text has another key.
const PURPOSE: &[u8] = b"streamvault tenants 1";

/// Seals and opens with one key.
pub struct Sealer {
    cipher: XChaCha20Poly1305,
}

/// A tenant that came sealed.
#[derive(Debug)]
pub struct Unsealed(pub Entry);

#[derive(Serialize, Deserialize)]
struct Content {
    id: String,
    record: Record,
    secrets: BTreeMap<String, String>,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// By a text that all gateways have.
    #[must_use]
    pub fn new(key: &SecretString) -> Option<Self> {
        let mut mac = Hmac::<Sha256>::new_from_slice(key.expose_secret().as_bytes()).ok()?;
        mac.update(PURPOSE);
        let key = mac.finalize().into_bytes();
        XChaCha20Poly1305::new_from_slice(&key).ok().map(|cipher| Self { cipher })
    }

    /// `nonce` has to be random: with 24 bytes none comes twice (draft-irtf-cfrg-xchacha §3).
    #[must_use]
    pub fn seal(&self, entry: &Entry, nonce: [u8; 24]) -> Option<String> {
        let secrets = entry.secrets.iter().map(|(name, secret)| (name.clone(), secret.expose_secret().to_owned()));
        let content = Content { id: entry.id.clone(), record: entry.record.clone(), secrets: secrets.collect() };
        let plain = SecretString::from(serde_json::to_string(&content).ok()?);
        let payload = Payload { msg: plain.expose_secret().as_bytes(), aad: PURPOSE };
        let sealed = self.cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        Some(STANDARD_NO_PAD.encode([nonce.as_slice(), &sealed].concat()))
    }

    /// `None`: it was sealed by another key, or changed since.
    #[must_use]
    pub fn open(&self, text: &str) -> Option<Unsealed> {
        let bytes = STANDARD_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<24>()?;
        let payload = Payload { msg: sealed, aad: PURPOSE };
        let plain = self.cipher.decrypt(&XNonce::from(*nonce), payload).ok()?;
        let Content { id, record, secrets } = serde_json::from_slice(&plain).ok()?;
        let secrets = secrets.into_iter().map(|(name, secret)| (name, SecretString::from(secret))).collect();
        Some(Unsealed(Entry { id, record, secrets }))
    }
}

#[cfg(test)]
mod tests {
    use super::Sealer;
    use crate::entry::Entry;
    use crate::entry::tests::settings;

    #[test]
    fn only_who_has_the_key_reads_it() {
        let sealer = Sealer::new(&"a key of at least 32 characters!".into()).unwrap();
        let entry = Entry::new("a", settings("a.example"), "the-secret".into(), ("ops", 100), None);
        let sealed = sealer.seal(&entry, [7; 24]).unwrap();
        assert!(!sealed.contains("the-secret") && !sealed.contains("example"));
        let opened = sealer.open(&sealed).unwrap().0;
        assert_eq!((opened.id, opened.record), (entry.id.clone(), entry.record.clone()));
        assert!(opened.secrets.contains_key("s1"));
        assert!(Sealer::new(&"another key of 32 characters, too".into()).unwrap().open(&sealed).is_none());
        let mut changed = sealed.clone().into_bytes();
        changed[40] = if changed[40] == b'A' { b'B' } else { b'A' };
        for bad in [String::from_utf8(changed).unwrap(), sealed[..20].to_owned(), String::new(), "ä".to_owned()] {
            assert!(sealer.open(&bad).is_none(), "{bad}");
        }
    }
}
