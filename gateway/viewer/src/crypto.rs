//! `jsonwebtoken`'s cryptography, done by `ring`. It verifies and does not sign.

use crate::rules::RulesError;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey,
    crypto::{CryptoProvider, JwtVerifier, KeyUtils},
    errors::{Error, ErrorKind},
    signature,
};
use ring::{
    hmac,
    signature::{
        ECDSA_P256_SHA256_FIXED, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
    },
};
use std::sync::LazyLock;

static PROVIDER: CryptoProvider = CryptoProvider {
    signer_factory: |_, _| Err(unsupported()),
    verifier_factory: verifier,
    // For key sets, which nobody here reads. The crate's own stand-ins would panic.
    key_utils: KeyUtils {
        rsa_pub_components_from_private_key: |_| Err(unsupported()),
        rsa_pub_components_from_public_key: |_| Err(unsupported()),
        ec_pub_components_from_private_key: |_, _| Err(unsupported()),
        ed_pub_components_from_private_key: |_, _| Err(unsupported()),
        compute_digest: |_, _| Err(unsupported()),
    },
};

/// Whether [`PROVIDER`] is the one that this process uses. The crate takes one for the whole process, once.
static INSTALLED: LazyLock<bool> = LazyLock::new(|| PROVIDER.install_default().is_ok());

/// Makes sure that tokens are verified by `ring`. Without this `jsonwebtoken` panics at the first token.
pub(crate) fn install() -> Result<(), RulesError> {
    if *INSTALLED { Ok(()) } else { Err(RulesError::ForeignCrypto) }
}

fn unsupported() -> Error {
    ErrorKind::UnsupportedAlgorithm.into()
}

/// The family of the key is asked for again here, below the rules: bytes of a public key must never become a MAC key.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    if key.family() != algorithm.family() {
        return Err(ErrorKind::InvalidKeyFormat.into());
    }
    let bytes = key.try_get_as_bytes()?;
    let mac = |hash| Box::new(Mac { algorithm: *algorithm, key: hmac::Key::new(hash, bytes) }) as Box<dyn JwtVerifier>;
    let public = |scheme: &'static dyn VerificationAlgorithm| {
        Box::new(Public { algorithm: *algorithm, key: UnparsedPublicKey::new(scheme, bytes.to_vec()) })
            as Box<dyn JwtVerifier>
    };
    match (key.family(), algorithm) {
        (AlgorithmFamily::Hmac, Algorithm::HS256) => Ok(mac(hmac::HMAC_SHA256)),
        (AlgorithmFamily::Hmac, Algorithm::HS384) => Ok(mac(hmac::HMAC_SHA384)),
        (AlgorithmFamily::Hmac, Algorithm::HS512) => Ok(mac(hmac::HMAC_SHA512)),
        (AlgorithmFamily::Rsa, Algorithm::RS256) => Ok(public(&RSA_PKCS1_2048_8192_SHA256)),
        (AlgorithmFamily::Ec, Algorithm::ES256) => Ok(public(&ECDSA_P256_SHA256_FIXED)),
        (AlgorithmFamily::Ed, Algorithm::EdDSA) => Ok(public(&ED25519)),
        _ => Err(unsupported()),
    }
}

/// A shared secret. `ring` compares in constant time.
struct Mac {
    algorithm: Algorithm,
    key: hmac::Key,
}

impl signature::Verifier<Vec<u8>> for Mac {
    fn verify(&self, message: &[u8], tag: &Vec<u8>) -> Result<(), signature::Error> {
        hmac::verify(&self.key, message, tag).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Mac {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

/// A public key.
struct Public {
    algorithm: Algorithm,
    key: UnparsedPublicKey<Vec<u8>>,
}

impl signature::Verifier<Vec<u8>> for Public {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> Result<(), signature::Error> {
        self.key.verify(message, signature).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Public {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}
