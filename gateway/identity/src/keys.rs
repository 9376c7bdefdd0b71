//! The ring of a tenant's keys: the first signs, all verify.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use ring::{digest, hmac};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use std::fmt;
use viewer::{Algorithm, Key, PublicKey};

/// Keys of one ring: as many as a token may be tried with.
const MOST_KEYS: usize = 8;
/// Bytes of the shortest secret: every viewer holds a token to test guesses on.
const SHORTEST_SECRET: usize = 32;

/// How tokens are signed (RFC 7518 §3.1, RFC 8037).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignAlgorithm {
    /// HMAC with SHA-256, by a secret that nobody else knows.
    Hs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl SignAlgorithm {
    pub(crate) fn of_viewer(self) -> Algorithm {
        match self {
            Self::Hs256 => Algorithm::Hs256,
            Self::Es256 => Algorithm::Es256,
            Self::EdDsa => Algorithm::EdDsa,
        }
    }
}

/// A key as the operator has it. Wiped on drop, never printed.
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// The `kid` of its tokens: 1 to 64 characters.
    pub id: String,
    /// The one algorithm that it is for.
    pub algorithm: SignAlgorithm,
    /// The secret as it is, at least 32 bytes; or a private key as PEM (PKCS#8, `PRIVATE KEY`).
    pub material: SecretString,
}

/// No ring of keys. Holds nothing of a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key, or more than 8.
    #[error("between 1 and {MOST_KEYS} identity keys are needed, not {0}")]
    Count(usize),
    /// A secret that can be guessed, or a PEM in its place.
    #[error("the secret of identity key {0:?} must have at least {SHORTEST_SECRET} bytes and be no PEM")]
    Secret(String),
    /// No private key of that algorithm.
    #[error(
        "identity key {0:?} is no private key for {1}: write it by \"openssl genpkey -algorithm {2}\" (BEGIN PRIVATE KEY)"
    )]
    Private(String, &'static str, &'static str),
    /// The rules for verifying don't hold together.
    #[error("identity keys: {0}")]
    Rules(#[from] viewer::RulesError),
}

enum Signer {
    Mac(hmac::Key),
    Es256(Box<EcdsaKeyPair>),
    EdDsa(Ed25519KeyPair),
}

/// A key that can sign.
struct Ready {
    id: String,
    algorithm: SignAlgorithm,
    signer: Signer,
}

/// The keys.
pub(crate) struct KeyRing {
    keys: Vec<Ready>,
    /// Nonces of ES256.
    random: SystemRandom,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|key| &key.id)).finish()
    }
}

impl KeyRing {
    pub(crate) fn new(keys: &[SigningKey]) -> Result<Self, KeyError> {
        if !(1..=MOST_KEYS).contains(&keys.len()) {
            return Err(KeyError::Count(keys.len()));
        }
        let random = SystemRandom::new();
        let keys = keys.iter().map(|key| ready(key, &random)).collect::<Result<_, _>>()?;
        Ok(Self { keys, random })
    }

    /// The name and algorithm of the key that signs.
    pub(crate) fn head(&self) -> Option<(&str, &'static str)> {
        self.keys.first().map(|key| (key.id.as_str(), key.algorithm.of_viewer().name()))
    }

    /// A signature by the first key. `None` if ring can't sign, which it doesn't say why.
    pub(crate) fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        Some(match &self.keys.first()?.signer {
            Signer::Mac(key) => hmac::sign(key, message).as_ref().to_vec(),
            Signer::Es256(pair) => pair.sign(&self.random, message).ok()?.as_ref().to_vec(),
            Signer::EdDsa(pair) => pair.sign(message).as_ref().to_vec(),
        })
    }

    /// The public keys as a key set (RFC 7517). Secrets are not in it.
    pub(crate) fn published(&self) -> Value {
        let entry = |key: &Ready| {
            let base = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
            match &key.signer {
                Signer::Mac(_) => None,
                Signer::EdDsa(pair) => Some(json!({
                    "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key.id,
                    "x": base(pair.public_key().as_ref()),
                })),
                Signer::Es256(pair) => {
                    let (x, y) = pair.public_key().as_ref().get(1..)?.split_at_checked(32)?;
                    Some(json!({
                        "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": key.id,
                        "x": base(x), "y": base(y),
                    }))
                }
            }
        };
        json!({ "keys": self.keys.iter().filter_map(entry).collect::<Vec<_>>() })
    }

    /// What verifies tokens of these keys.
    pub(crate) fn verifying(&self, given: &[SigningKey]) -> Vec<Key> {
        let verifying = |(ready, given): (&Ready, &SigningKey)| match &ready.signer {
            Signer::Mac(_) => Key::new(ready.id.clone(), Algorithm::Hs256, given.material.clone()),
            Signer::Es256(pair) => Key::public(ready.id.clone(), PublicKey::P256(pair.public_key().as_ref().to_vec())),
            Signer::EdDsa(pair) => {
                Key::public(ready.id.clone(), PublicKey::Ed25519(pair.public_key().as_ref().to_vec()))
            }
        };
        self.keys.iter().zip(given).map(verifying).collect()
    }
}

fn ready(key: &SigningKey, random: &SystemRandom) -> Result<Ready, KeyError> {
    let text = key.material.expose_secret();
    let private = |name: &'static str, how: &'static str| KeyError::Private(key.id.clone(), name, how);
    let signer = match key.algorithm {
        SignAlgorithm::Hs256 if text.len() < SHORTEST_SECRET || text.contains("-----BEGIN") => {
            return Err(KeyError::Secret(key.id.clone()));
        }
        SignAlgorithm::Hs256 => Signer::Mac(hmac::Key::new(hmac::HMAC_SHA256, text.as_bytes())),
        SignAlgorithm::Es256 => {
            let failed = || private("ES256", "ec -pkeyopt ec_paramgen_curve:P-256");
            let der = pkcs8(text).ok_or_else(failed)?;
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der, random);
            Signer::Es256(Box::new(pair.map_err(|_| failed())?))
        }
        SignAlgorithm::EdDsa => {
            let failed = || private("EdDSA", "ed25519");
            let der = pkcs8(text).ok_or_else(failed)?;
            // Unchecked: OpenSSL writes no public key beside the private one that could be compared.
            Signer::EdDsa(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| failed())?)
        }
    };
    Ok(Ready { id: key.id.clone(), algorithm: key.algorithm, signer })
}

/// The DER inside of PEM (RFC 7468 §10).
fn pkcs8(pem: &str) -> Option<Zeroizing<Vec<u8>>> {
    let body = pem.split_once("-----BEGIN PRIVATE KEY-----")?.1.split_once("-----END PRIVATE KEY-----")?.0;
    let text = Zeroizing::new(body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect::<Vec<u8>>());
    STANDARD.decode(&*text).ok().map(Zeroizing::new)
}

/// SHA-256.
pub(crate) fn hash(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    // ring's digest of SHA-256 has 32 bytes.
    digest.as_ref().try_into().unwrap_or([0; 32])
}
