//! What an operator sets: keys, issuer, audience, leeway.

use secrecy::SecretString;
use std::fmt;

/// How many keys a verifier takes. A token that names none of them costs one signature check for each key of its
/// algorithm, so this also bounds what a forged one costs.
pub(crate) const MAX_KEYS: usize = 8;

/// Bytes a shared secret has at least. Every viewer holds a token to test guesses on, at leisure and unseen.
pub(crate) const MIN_SECRET: usize = 32;

/// Seconds that clocks may be apart at most. More would be a longer expiry by another name.
pub(crate) const MAX_LEEWAY: u32 = 300;

/// How a token is signed (RFC 7518 §3.1, RFC 8037). Exactly these: each more is one more way to be confused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC with SHA-256, by a shared secret.
    Hs256,
    /// HMAC with SHA-384, by a shared secret.
    Hs384,
    /// HMAC with SHA-512, by a shared secret.
    Hs512,
    /// RSASSA-PKCS1-v1_5 with SHA-256, modulus of 2,048 to 8,192 bits.
    Rs256,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// Ed25519.
    EdDsa,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Hs256, Self::Hs384, Self::Hs512, Self::Rs256, Self::Es256, Self::EdDsa];

    /// The name in settings, logs and tokens: `HS256`, …, `EdDSA`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hs256 => "HS256",
            Self::Hs384 => "HS384",
            Self::Hs512 => "HS512",
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    /// The algorithm of that name, case mattering as it does in tokens.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// Whether its key is a shared secret rather than a public key.
    #[must_use]
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Hs256 | Self::Hs384 | Self::Hs512)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A public key's own numbers, as key sets have them (RFC 7518 §6). Big-endian.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// For RS256.
    Rsa {
        /// `n`.
        modulus: Vec<u8>,
        /// `e`.
        exponent: Vec<u8>,
    },
    /// For ES256: `04`, x, y, of 65 bytes.
    P256(Vec<u8>),
    /// For `EdDSA`: 32 bytes.
    Ed25519(Vec<u8>),
}

/// A key, the one algorithm it is for, and the name by which tokens (`kid`) and logs call it. Wiped on drop, never printed.
#[derive(Clone, Debug)]
pub struct Key {
    pub(crate) id: String,
    pub(crate) algorithm: Algorithm,
    pub(crate) material: Material,
}

/// What a key is made of.
#[derive(Clone, Debug)]
pub(crate) enum Material {
    /// A shared secret, or PEM.
    Text(SecretString),
    Public(PublicKey),
}

impl Key {
    /// A key. `material` is the shared secret as it is (at least 32 bytes; no base64 is undone), or the public key in PEM
    /// (`PUBLIC KEY`, or `RSA PUBLIC KEY`).
    #[must_use]
    pub fn new(id: impl Into<String>, algorithm: Algorithm, material: impl Into<SecretString>) -> Self {
        Self { id: id.into(), algorithm, material: Material::Text(material.into()) }
    }

    /// A public key by its numbers. Its kind says which algorithm it is for.
    #[must_use]
    pub fn public(id: impl Into<String>, key: PublicKey) -> Self {
        let algorithm = match key {
            PublicKey::Rsa { .. } => Algorithm::Rs256,
            PublicKey::P256(_) => Algorithm::Es256,
            PublicKey::Ed25519(_) => Algorithm::EdDsa,
        };
        Self { id: id.into(), algorithm, material: Material::Public(key) }
    }
}

/// Which tokens are believed.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Keys, 1 to 8, or none where there are `published` ones. A token whose `kid` is the id of one is checked with that one only, any other token with each key of its
    /// algorithm.
    pub keys: Vec<Key>,
    /// The issuer (`iss`) that a token must have. Without one any issuer is good: the key speaks for it.
    pub issuer: Option<String>,
    /// The audience that a token must have in its `aud`. Without one a token that has an `aud` is refused, since it was meant
    /// for somebody who has a name (RFC 7519 §4.1.3).
    pub audience: Option<String>,
    /// Seconds that our clock and the issuer's may be apart: 0 to 300.
    pub leeway: u32,
    /// The issuer publishes keys, too: [`crate::Verifier::publish`] takes them.
    pub published: bool,
}

impl Rules {
    /// Rules that ask for nothing but one of these keys.
    #[must_use]
    pub fn new(keys: Vec<Key>) -> Self {
        Self { keys, issuer: None, audience: None, leeway: 0, published: false }
    }
}

/// The rules would not protect anything, or contradict themselves.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RulesError {
    /// No key, or more than 8.
    #[error("between 1 and {MAX_KEYS} viewer keys are needed, not {0}")]
    KeyCount(usize),
    /// A key without an id, or two with the same one.
    #[error("viewer key ids must be unique and not empty: {0:?}")]
    KeyId(String),
    /// A shared secret that can be guessed.
    #[error("the secret of viewer key {0:?} is shorter than {MIN_SECRET} bytes")]
    ShortSecret(String),
    /// A public key, or a certificate, in the place of a shared secret: whoever reads it could sign tokens.
    #[error("viewer key {0:?} is a public key in PEM, but {1} needs a shared secret")]
    PublicSecret(String, Algorithm),
    /// No public key of that algorithm.
    #[error("viewer key {0:?} is no {1} public key: {2}")]
    PublicKey(String, Algorithm, &'static str),
    /// Empty issuer or audience.
    #[error("issuer and audience must not be empty; leave them out to not ask for any")]
    EmptyName,
    /// The leeway is more than 300 seconds.
    #[error("the leeway is at most {MAX_LEEWAY} seconds, not {0}")]
    Leeway(u32),
    /// Somebody else in this process gave `jsonwebtoken` its cryptography. A fault of the build, not of the rules.
    #[error("jsonwebtoken already uses other cryptography in this process")]
    ForeignCrypto,
}
