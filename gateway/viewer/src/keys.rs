//! Operators' keys in the form that signatures are checked with, refused at the start if they could never work.

use crate::rules::{Algorithm, Key, MIN_SECRET, Material, PublicKey, RulesError};
use jsonwebtoken::DecodingKey;
use secrecy::ExposeSecret;
use spki::{
    ObjectIdentifier, SubjectPublicKeyInfoRef,
    der::{Decode, Document, Encode, Header, Reader, SliceReader, Tag, asn1::UintRef},
};
use std::ops::RangeInclusive;

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");

/// Bytes of an uncompressed point on P-256, the only form that `ring` reads: `04`, x, y.
const P256_POINT: usize = 65;
/// Bytes of an Ed25519 public key.
const ED25519_KEY: usize = 32;
/// Bytes of the RSA moduli that `ring` takes.
const RSA_MODULUS: RangeInclusive<usize> = 256..=1024;

/// Reads a key's material.
pub(crate) fn decoding_key(key: &Key) -> Result<DecodingKey, RulesError> {
    let text = match &key.material {
        Material::Text(text) => text.expose_secret(),
        Material::Public(public) => {
            return by_numbers(public).map_err(|why| RulesError::PublicKey(key.id.clone(), key.algorithm, why));
        }
    };
    if key.algorithm.is_shared() {
        if text.contains("-----BEGIN") {
            return Err(RulesError::PublicSecret(key.id.clone(), key.algorithm));
        }
        if text.len() < MIN_SECRET {
            return Err(RulesError::ShortSecret(key.id.clone()));
        }
        return Ok(DecodingKey::from_secret(text.as_bytes()));
    }
    public_key(key.algorithm, text).map_err(|why| RulesError::PublicKey(key.id.clone(), key.algorithm, why))
}

fn by_numbers(key: &PublicKey) -> Result<DecodingKey, &'static str> {
    match key {
        PublicKey::Rsa { modulus, exponent } => {
            let numbers = || {
                let mut body = UintRef::new(modulus)?.to_der()?;
                body.extend(UintRef::new(exponent)?.to_der()?);
                let mut der = Header::new(Tag::Sequence, body.len().try_into()?).to_der()?;
                der.extend(body);
                Ok::<_, spki::der::Error>(der)
            };
            rsa(&numbers().map_err(|_| "its numbers are none of RSA")?)
        }
        PublicKey::P256(point) if point.len() == P256_POINT && point.first() == Some(&4) => {
            Ok(DecodingKey::from_ec_der(point))
        }
        PublicKey::P256(_) => Err("its point is not written out in 65 bytes"),
        PublicKey::Ed25519(bytes) if bytes.len() == ED25519_KEY => Ok(DecodingKey::from_ed_der(bytes)),
        PublicKey::Ed25519(_) => Err("it has not 32 bytes"),
    }
}

fn public_key(algorithm: Algorithm, pem: &str) -> Result<DecodingKey, &'static str> {
    let (label, document) =
        Document::from_pem(pem.trim_ascii()).map_err(|_| "it is not PEM, which has lines of 64 characters")?;
    match label {
        "PUBLIC KEY" => {}
        "RSA PUBLIC KEY" if algorithm == Algorithm::Rs256 => return rsa(document.as_bytes()),
        "CERTIFICATE" => return Err("it is a certificate; `openssl x509 -pubkey -noout` prints its public key"),
        "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            return Err(
                "it is a private key, which belongs to the issuer; `openssl pkey -pubout` prints the public key",
            );
        }
        _ => return Err("it is PEM of something else"),
    }
    let info = SubjectPublicKeyInfoRef::from_der(document.as_bytes()).map_err(|_| "its PEM holds no public key")?;
    let bits = info.subject_public_key.as_bytes().ok_or("its PEM holds no public key")?;
    let curve = || info.algorithm.parameters_oid().ok();
    match algorithm {
        Algorithm::Rs256 if info.algorithm.oid == RSA => rsa(bits),
        Algorithm::Es256 if info.algorithm.oid == EC && curve() == Some(P256) => match bits {
            [4, ..] if bits.len() == P256_POINT => Ok(DecodingKey::from_ec_der(bits)),
            _ => Err("its point is compressed; `openssl ec -conv_form uncompressed` writes it out"),
        },
        Algorithm::Es256 if info.algorithm.oid == EC => Err("it is on another curve than P-256"),
        Algorithm::EdDsa if info.algorithm.oid == ED25519 && bits.len() == ED25519_KEY => {
            Ok(DecodingKey::from_ed_der(bits))
        }
        _ => Err("it is of another kind"),
    }
}

/// RFC 8017 A.1.1: a sequence of modulus and exponent.
fn rsa(der: &[u8]) -> Result<DecodingKey, &'static str> {
    let modulus = SliceReader::new(der)
        .and_then(|mut reader| {
            reader.sequence(|fields: &mut SliceReader<'_>| {
                let modulus = UintRef::decode(fields)?;
                UintRef::decode(fields)?;
                Ok::<_, spki::der::Error>(modulus.as_bytes().len())
            })
        })
        .map_err(|_| "its PEM holds no RSA public key")?;
    if RSA_MODULUS.contains(&modulus) {
        Ok(DecodingKey::from_rsa_der(der))
    } else {
        Err("its modulus has fewer than 2,048 bits, or more than 8,192")
    }
}
