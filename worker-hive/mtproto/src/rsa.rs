//! The public keys by which a data-centre proves that it is one, before there is any other key.

use grammers_tl_types::Serializable;
use num_bigint::BigUint;
use sha1::{Digest, Sha1};
use std::fmt;
use std::sync::Arc;

const BEGIN: &str = "-----BEGIN RSA PUBLIC KEY-----";
const END: &str = "-----END RSA PUBLIC KEY-----";
/// The exchange pads to exactly so many bits.
const BITS: u64 = 2048;

/// Telegram's key for its data-centres, as published at <https://my.telegram.org/apps>.
const PRODUCTION: &str = concat!(
    "e8bb3305c0b52c6cf2afdf7637313489e63e05268e5badb601af417786472e5f93b85438968e20e6729a301c0afc121b",
    "f7151f834436f7fda680847a66bf64accec78ee21c0b316f0edafe2f41908da7bd1f4a5107638eeb67040ace472a14f9",
    "0d9f7c2b7def99688ba3073adb5750bb02964902a359fe745d8170e36876d4fd8a5d41b2a76cbff9a13267eb9580b2d0",
    "6d10357448d20d9da2191cb5d8c93982961cdfdeda629e37f1fb09a0722027696032fe61ed663db7a37f6f263d370f69",
    "db53a0dc0a1748bdaaff6209d5645485e6e001d1953255757e4b8e42813347b11da6ab500fd0ace7e6dfa3736199ccaf",
    "9397ed0745a427dcfa6cd67bcb1acff3",
);

/// Telegram's key for its test data-centres.
const TEST: &str = concat!(
    "c8c11d635691fac091dd9489aedced2932aa8a0bcefef05fa800892d9b52ed03200865c9e97211cb2ee6c7ae96d3fb0e",
    "15aeffd66019b44a08a240cfdd2868a85e1f54d6fa5deaa041f6941ddf302690d61dc476385c2fa655142353cb4e4b59",
    "f6e5b6584db76fe8b1370263246c010c93d011014113ebdf987d093f9d37c2be48352d69a1683f8f6e6c2167983c761e",
    "3ab169fde5daaa12123fa1beab621e4da5935e9c198f82f35eae583a99386d8110ea6bd1abb0f568759f62694419ea5f",
    "69847c43462abef858b4cb5edc84e7b9226cd7bd7e183aa974a712c079dde85b9dc063b8a5c08e8f859c0ee5dcd824c7",
    "807f20153361a7f63cfd2a433a1be7f5",
);

/// The exponent of both.
const EXPONENT: u32 = 65537;

/// Keys that a data-centre may hold. Telegram's own by default.
#[derive(Clone)]
pub struct RsaKeys(Arc<[Key]>);

struct Key {
    modulus: BigUint,
    exponent: BigUint,
    fingerprint: i64,
}

/// The text holds no key that could be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RsaKeyError {
    /// No block of the right name.
    #[error("no `BEGIN RSA PUBLIC KEY` (PKCS #1) block")]
    NoKey,
    /// A block whose content is no key.
    #[error("RSA key {0} is damaged")]
    Damaged(usize),
    /// The exchange is written for one length.
    #[error("RSA key {0} has {1} bits instead of 2048")]
    Length(usize, u64),
}

impl RsaKeys {
    /// Telegram's own keys, for its data-centres and its test data-centres.
    #[must_use]
    pub fn telegram() -> Self {
        let key = |hex: &str| {
            // Constants of this file, all digits: a test sees that their fingerprints are Telegram's.
            let modulus = BigUint::parse_bytes(hex.as_bytes(), 16).unwrap_or_default();
            Key::new(modulus, EXPONENT.into())
        };
        Self([key(PRODUCTION), key(TEST)].into())
    }

    /// Reads the keys of a simulator or a private data-centre: one or more PKCS #1 blocks, the form that Telegram publishes its own in.
    ///
    /// # Errors
    /// [`RsaKeyError`]. Keys are counted from 1.
    pub fn from_pem(text: &str) -> Result<Self, RsaKeyError> {
        let blocks = text.split(BEGIN).skip(1).enumerate();
        let keys = blocks.map(|(index, block)| key(index + 1, block)).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() { Err(RsaKeyError::NoKey) } else { Ok(Self(keys.into())) }
    }

    /// The first of these fingerprints whose key is known, and data encrypted for it with Telegram's padding.
    pub(crate) fn encrypt(&self, known: &[i64], data: &[u8], noise: &[u8; 224]) -> Option<(i64, Vec<u8>)> {
        let key = known.iter().find_map(|wanted| self.0.iter().find(|key| key.fingerprint == *wanted))?;
        // The library takes decimals.
        let (modulus, exponent) = (key.modulus.to_string(), key.exponent.to_string());
        let library = grammers_crypto::rsa::Key::new(&modulus, &exponent)?;
        Some((key.fingerprint, grammers_crypto::rsa::encrypt_hashed(data, &library, noise)))
    }
}

impl Default for RsaKeys {
    fn default() -> Self {
        Self::telegram()
    }
}

/// By fingerprint: a key's digits help nobody who reads a log.
impl fmt::Debug for RsaKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| format!("{:016x}", key.fingerprint))).finish()
    }
}

impl Key {
    fn new(modulus: BigUint, exponent: BigUint) -> Self {
        let mut bare = Vec::new();
        modulus.to_bytes_be().serialize(&mut bare);
        exponent.to_bytes_be().serialize(&mut bare);
        let sha = Sha1::digest(&bare);
        let mut end = [0; 8];
        end.copy_from_slice(&sha[12..20]);
        Self { modulus, exponent, fingerprint: i64::from_le_bytes(end) }
    }
}

fn key(number: usize, block: &str) -> Result<Key, RsaKeyError> {
    use base64::Engine;
    let damaged = || RsaKeyError::Damaged(number);
    let (body, _) = block.split_once(END).ok_or_else(damaged)?;
    let body: String = body.split_whitespace().collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body).map_err(|_| damaged())?;
    let (sequence, rest) = der_value(&der, 0x30).ok_or_else(damaged)?;
    let (modulus, tail) = der_value(sequence, 0x02).ok_or_else(damaged)?;
    let (exponent, end) = der_value(tail, 0x02).ok_or_else(damaged)?;
    if !rest.is_empty() || !end.is_empty() {
        return Err(damaged());
    }
    let (modulus, exponent) = (BigUint::from_bytes_be(modulus), BigUint::from_bytes_be(exponent));
    match modulus.bits() {
        BITS => Ok(Key::new(modulus, exponent)),
        bits => Err(RsaKeyError::Length(number, bits)),
    }
}

/// The value of the DER element that `bytes` begins with, and what follows it.
fn der_value(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes {
        [found, short @ 0..=0x7f, rest @ ..] if *found == tag => (usize::from(*short), rest),
        [found, 0x81, length, rest @ ..] if *found == tag => (usize::from(*length), rest),
        [found, 0x82, high, low, rest @ ..] if *found == tag => (usize::from(*high) << 8 | usize::from(*low), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::{RsaKeyError, RsaKeys};

    #[test]
    fn telegrams_keys_have_telegrams_fingerprints() {
        assert_eq!(format!("{:?}", RsaKeys::default()), r#"["d09d1d85de64fd85", "b25898df208d2603"]"#);
    }

    #[test]
    fn keys_are_read_from_pem() {
        let pem = telegram_sim::rsa_public_pem();
        let keys = RsaKeys::from_pem(&format!("a comment\n{pem}\n{pem}")).unwrap();
        assert_eq!(keys.0.len(), 2);
        assert_eq!(keys.0[0].fingerprint, keys.0[1].fingerprint);
        assert!(
            keys.encrypt(&[1, keys.0[0].fingerprint], b"data", &[7; 224]).is_some_and(|(_, sent)| sent.len() == 256)
        );
        assert!(keys.encrypt(&[1], b"data", &[7; 224]).is_none());
    }

    #[test]
    fn what_is_no_key_is_told_apart() {
        let pem = telegram_sim::rsa_public_pem();
        assert_eq!(RsaKeys::from_pem("").err(), Some(RsaKeyError::NoKey));
        assert_eq!(RsaKeys::from_pem(&pem.replace("RSA PUBLIC", "PUBLIC")).err(), Some(RsaKeyError::NoKey));
        assert_eq!(RsaKeys::from_pem(&pem[..200]).err(), Some(RsaKeyError::Damaged(1)));
        assert_eq!(RsaKeys::from_pem(&format!("{pem}{}", pem.replace('M', "N"))).err(), Some(RsaKeyError::Damaged(2)));
        let short = "-----BEGIN RSA PUBLIC KEY-----\nMAcCAgzhAgER\n-----END RSA PUBLIC KEY-----";
        assert_eq!(RsaKeys::from_pem(short).err(), Some(RsaKeyError::Length(1, 12)));
    }
}
