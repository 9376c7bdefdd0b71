//! The verdict on a token.

use crate::{
    claims::{Claims, Viewer},
    crypto,
    keys::decoding_key,
    rules::{Algorithm, Key, MAX_KEYS, MAX_LEEWAY, Rules, RulesError},
};
use arc_swap::ArcSwap;
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, errors::ErrorKind};
use quick_cache::{Weighter, sync::Cache};
use ring::digest::{SHA256, digest};
use serde_json::Value;
use std::{collections::HashSet, sync::Arc};

/// Bytes of the longest token that is looked at, as much as servers take of one header.
const MAX_TOKEN: usize = 8 * 1024;

/// Keys of an issuer that are taken: each costs a forged token that names none of them a signature check.
const MAX_PUBLISHED: usize = 16;

/// Bytes of token text whose claims are kept, of one verifier: of some 3,500 usual tokens. The claims take a few times as much.
const CACHE_WEIGHT: u64 = 1 << 20;
/// From this the cache takes the number of its shards, at most 32: each then has room for the longest token.
const CACHE_ITEMS: usize = 1024;

/// Why a token is not believed. Holds nothing of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    /// More than 8 KiB.
    #[error("longer than 8 KiB")]
    TooLong,
    /// No JWS in compact form, or its header is no JSON with an algorithm that exists (`none` doesn't).
    #[error("not a signed JSON web token")]
    Malformed,
    /// The header has `crit`: parts that must be understood, and we understand none (RFC 7515 §4.1.11).
    #[error("asks for extensions")]
    Critical,
    /// No key has its algorithm, or the key that it names has another.
    #[error("of an algorithm that no key has")]
    Algorithm,
    /// It names a key that nobody has, and no other made its signature; the issuer may have published a new one since.
    #[error("of a key that is not known")]
    UnknownKey,
    /// No key made its signature.
    #[error("the signature does not hold")]
    Signature,
    /// Signed, though its claims are no JSON object, have a name twice, a time that is no number, or a subject that is a list
    /// or an object.
    #[error("the claims are not readable")]
    Claims,
    /// Good for ever, which no token may be.
    #[error("without an expiry")]
    NoExpiry,
    /// Past its expiry, leeway included. The second of expiry itself is past.
    #[error("expired")]
    Expired,
    /// Before its `nbf`, leeway included.
    #[error("not good yet")]
    Early,
    /// Of another issuer, or of none.
    #[error("of another issuer")]
    Issuer,
    /// For another audience, for none, or for one though we have no name.
    #[error("for another audience")]
    Audience,
}

/// Verifies tokens by fixed rules. Shared by all threads; remembers tokens that held, so that a viewer's next range
/// costs a hash and not a signature.
#[derive(Debug)]
pub struct Verifier {
    rules: Rules,
    fixed: Vec<Arc<LoadedKey>>,
    now: ArcSwap<InForce>,
}

/// Keys, and tokens that held by them: what held by a key that is gone holds no more.
#[derive(Debug)]
struct InForce {
    keys: Vec<Arc<LoadedKey>>,
    published: bool,
    leeway: i64,
    held: Cache<[u8; 32], Held, ByToken>,
}

#[derive(Debug)]
struct LoadedKey {
    id: String,
    algorithm: jsonwebtoken::Algorithm,
    key: DecodingKey,
    validation: Validation,
}

/// A token that held, and while it does.
#[derive(Clone, Debug)]
struct Held {
    viewer: Arc<Viewer>,
    from: i64,
    until: i64,
    length: u64,
}

#[derive(Clone, Debug)]
struct ByToken;

impl Weighter<[u8; 32], Held> for ByToken {
    fn weight(&self, _: &[u8; 32], held: &Held) -> u64 {
        held.length
    }
}

impl Verifier {
    /// A verifier.
    ///
    /// # Errors
    /// [`RulesError`] if a key can't be read or is too weak, or the rules contradict themselves.
    pub fn new(rules: Rules) -> Result<Self, RulesError> {
        crypto::install()?;
        let none = rules.keys.is_empty() && !rules.published;
        if none || rules.keys.len() > MAX_KEYS {
            return Err(RulesError::KeyCount(rules.keys.len()));
        }
        if rules.leeway > MAX_LEEWAY {
            return Err(RulesError::Leeway(rules.leeway));
        }
        if [&rules.issuer, &rules.audience].into_iter().flatten().any(String::is_empty) {
            return Err(RulesError::EmptyName);
        }
        let mut ids = HashSet::new();
        if let Some(key) = rules.keys.iter().find(|key| key.id.is_empty() || !ids.insert(&key.id)) {
            return Err(RulesError::KeyId(key.id.clone()));
        }
        let load = |key| LoadedKey::new(key, &rules).map(Arc::new);
        let fixed = rules.keys.iter().map(load).collect::<Result<Vec<_>, _>>()?;
        let now = ArcSwap::from_pointee(InForce::new(fixed.clone(), &rules));
        Ok(Self { rules, fixed, now })
    }

    /// Takes the keys that the issuer publishes now, in the place of those that it published before. Keys that can't be used are passed
    /// over, and so are those that have the id of a key of the rules; gives how many there are then. Of secrets none is one.
    pub fn publish(&self, keys: &[Key]) -> usize {
        let fixed = |key: &&Key| self.rules.keys.iter().all(|own| own.id != key.id);
        let public = keys.iter().filter(|key| self.rules.published && !key.algorithm.is_shared()).filter(fixed);
        let loaded: Vec<_> =
            public.filter_map(|key| LoadedKey::new(key, &self.rules).ok()).map(Arc::new).take(MAX_PUBLISHED).collect();
        let count = loaded.len();
        let all = self.fixed.iter().cloned().chain(loaded).collect();
        self.now.store(Arc::new(InForce::new(all, &self.rules)));
        count
    }

    /// Verifies a token at the time `now`, seconds since 1970.
    ///
    /// # Errors
    /// [`TokenError`] says why it is not believed. The signature comes before everything that the claims say.
    pub fn verify(&self, token: &str, now: i64) -> Result<Arc<Viewer>, TokenError> {
        self.now.load().verify(token, now)
    }
}

impl InForce {
    fn new(keys: Vec<Arc<LoadedKey>>, rules: &Rules) -> Self {
        let held = Cache::with_weighter(CACHE_ITEMS, CACHE_WEIGHT, ByToken);
        Self { keys, published: rules.published, leeway: rules.leeway.into(), held }
    }

    fn verify(&self, token: &str, now: i64) -> Result<Arc<Viewer>, TokenError> {
        if token.len() > MAX_TOKEN {
            return Err(TokenError::TooLong);
        }
        // By digest: a cache of the tokens themselves would be a store of credentials.
        let digest = digest(&SHA256, token.as_bytes());
        let name = <[u8; 32]>::try_from(digest.as_ref()).map_err(|_| TokenError::Malformed)?;
        if let Some(held) = self.held.get(&name) {
            held.at(now)?;
            return Ok(held.viewer);
        }
        let held = self.check(token)?;
        held.at(now)?;
        let viewer = Arc::clone(&held.viewer);
        self.held.insert(name, held);
        Ok(viewer)
    }

    fn check(&self, token: &str) -> Result<Held, TokenError> {
        let header = decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.crit.is_some() {
            return Err(TokenError::Critical);
        }
        let named = header.kid.as_ref().and_then(|kid| self.keys.iter().find(|key| key.id == *kid));
        let tried = named.map_or(self.keys.as_slice(), std::slice::from_ref);
        let mut last = TokenError::Algorithm;
        for key in tried.iter().filter(|key| key.algorithm == header.alg) {
            match decode::<Claims>(token, &key.key, &key.validation) {
                Ok(data) => return self.held(data.claims, token.len()),
                Err(error) => last = token_error(error.kind()),
            }
            if last != TokenError::Signature {
                return Err(last);
            }
        }
        let unknown = self.published && header.kid.is_some() && named.is_none();
        Err(if unknown { TokenError::UnknownKey } else { last })
    }

    fn held(&self, claims: Claims, length: usize) -> Result<Held, TokenError> {
        let viewer = Viewer::new(claims);
        let expires = match viewer.value("exp") {
            None | Some(Value::Null) => return Err(TokenError::NoExpiry),
            Some(value) => seconds(value, f64::floor)?,
        };
        let from = match viewer.value("nbf") {
            None | Some(Value::Null) => i64::MIN,
            Some(value) => seconds(value, f64::ceil)?.saturating_sub(self.leeway),
        };
        let until = expires.saturating_add(self.leeway);
        Ok(Held { viewer: Arc::new(viewer), from, until, length: length as u64 })
    }
}

impl LoadedKey {
    fn new(key: &Key, rules: &Rules) -> Result<Self, RulesError> {
        let algorithm = match key.algorithm {
            Algorithm::Hs256 => jsonwebtoken::Algorithm::HS256,
            Algorithm::Hs384 => jsonwebtoken::Algorithm::HS384,
            Algorithm::Hs512 => jsonwebtoken::Algorithm::HS512,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
        };
        let mut validation = Validation::new(algorithm);
        // It would ask the system's clock; `Held::at` asks the caller's.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.required_spec_claims.clear();
        if let Some(issuer) = &rules.issuer {
            validation.set_issuer(&[issuer]);
            validation.required_spec_claims.insert("iss".to_owned());
        }
        if let Some(audience) = &rules.audience {
            validation.set_audience(&[audience]);
            validation.required_spec_claims.insert("aud".to_owned());
        }
        Ok(Self { id: key.id.clone(), algorithm, key: decoding_key(key)?, validation })
    }
}

impl Held {
    fn at(&self, now: i64) -> Result<(), TokenError> {
        if now >= self.until {
            Err(TokenError::Expired)
        } else if now < self.from {
            Err(TokenError::Early)
        } else {
            Ok(())
        }
    }
}

/// RFC 7519 §2, NumericDate: a number, perhaps with fractions, which are rounded to the careful side.
fn seconds(value: &Value, round: fn(f64) -> f64) -> Result<i64, TokenError> {
    let Value::Number(number) = value else { return Err(TokenError::Claims) };
    match (number.as_i64(), number.as_u64(), number.as_f64()) {
        (Some(whole), ..) => Ok(whole),
        (_, Some(_), _) => Ok(i64::MAX),
        // The cast stops at the ends of i64, which are as good as never and for ever.
        (.., Some(fraction)) => Ok(round(fraction) as i64),
        _ => Err(TokenError::Claims),
    }
}

fn token_error(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidIssuer => TokenError::Issuer,
        ErrorKind::InvalidAudience => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => TokenError::Audience,
        ErrorKind::MissingRequiredClaim(_) => TokenError::Issuer,
        ErrorKind::InvalidAlgorithm | ErrorKind::UnsupportedAlgorithm | ErrorKind::InvalidKeyFormat => {
            TokenError::Algorithm
        }
        ErrorKind::Base64(_) | ErrorKind::InvalidToken => TokenError::Malformed,
        _ => TokenError::Claims,
    }
}
