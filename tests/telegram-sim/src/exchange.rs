//! The key exchange that a client without a key begins with: `req_pq` to `dh_gen_ok`.
//!
//! One per connection. Anything out of order or wrong ends it, and the connection gets 404, as on a real data-centre.

use grammers_crypto::aes::ige_decrypt;
use grammers_crypto::generate_key_data_from_nonce;
use grammers_tl_types::{Cursor, Deserializable, Serializable, enums, functions, name_for_id, types};
use num_bigint::BigUint;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::clock::unix_now;
use crate::crypto::AuthKey;
use crate::ige;
use crate::message::Fields;
use crate::numbers::{DH_GENERATOR, PQ, dh_prime, fingerprint, padded, rsa_decrypt};
use crate::query::arguments;
use crate::state::Shared;

type Nonces = ([u8; 16], [u8; 16]);

/// How far a client has come.
#[derive(Default)]
pub(crate) enum Exchange {
    #[default]
    Start,
    Asked(Nonces),
    Offered {
        nonces: Nonces,
        new_nonce: [u8; 32],
        secret: BigUint,
    },
}

impl Exchange {
    /// Takes the client's step and returns the server's; `None` ends the exchange.
    pub(crate) fn step(&mut self, shared: &Shared, dc: i32, body: &[u8]) -> Option<Vec<u8>> {
        let mut fields = Fields(body);
        let method = name_for_id(fields.u32().ok()?);
        match (method, std::mem::take(self)) {
            ("req_pq" | "req_pq_multi", _) => {
                let nonce = fields.array().ok()?;
                let server_nonce = rand::random();
                *self = Self::Asked((nonce, server_nonce));
                let answer = types::ResPq {
                    nonce,
                    server_nonce,
                    pq: PQ.0.to_be_bytes().to_vec(),
                    server_public_key_fingerprints: vec![fingerprint()],
                };
                Some(enums::ResPq::Pq(answer).to_bytes())
            }
            ("req_DH_params", Self::Asked(nonces)) => self.offer(nonces, &arguments(fields.0).ok()?),
            ("set_client_DH_params", Self::Offered { nonces, new_nonce, secret }) => {
                accept(shared, dc, nonces, &new_nonce, &secret, &arguments(fields.0).ok()?)
            }
            _ => None,
        }
    }

    fn offer(&mut self, nonces: Nonces, asked: &functions::ReqDhParams) -> Option<Vec<u8>> {
        let (nonce, server_nonce) = nonces;
        let factors = (number(&asked.p), number(&asked.q));
        if (asked.nonce, asked.server_nonce) != nonces || asked.public_key_fingerprint != fingerprint() {
            return None;
        }
        if factors != (Some(PQ.1), Some(PQ.2)) {
            return None;
        }
        let data = unpad(rsa_decrypt(&asked.encrypted_data)?)?;
        let inner = enums::PQInnerData::from_bytes(&data).ok()?;
        let (sent, new_nonce) = match inner {
            enums::PQInnerData::Data(inner) => ((inner.nonce, inner.server_nonce), inner.new_nonce),
            enums::PQInnerData::Dc(inner) => ((inner.nonce, inner.server_nonce), inner.new_nonce),
            // Temporary keys have to be bound to a permanent one, which is left out here.
            enums::PQInnerData::Temp(_) | enums::PQInnerData::TempDc(_) => return None,
        };
        if sent != nonces {
            return None;
        }
        let secret = BigUint::from_bytes_be(&rand::random::<[u8; 32]>()) << 1024_u32 | BigUint::from(1_u32);
        let prime = dh_prime();
        let answer = enums::ServerDhInnerData::Data(types::ServerDhInnerData {
            nonce,
            server_nonce,
            g: DH_GENERATOR as i32,
            g_a: padded(&BigUint::from(DH_GENERATOR).modpow(&secret, &prime)).to_vec(),
            dh_prime: prime.to_bytes_be(),
            server_time: unix_now(),
        })
        .to_bytes();
        let mut encrypted_answer = Sha1::digest(&answer).to_vec();
        encrypted_answer.extend_from_slice(&answer);
        encrypted_answer.resize(encrypted_answer.len().next_multiple_of(16), 0);
        let (key, iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
        ige::encrypt(&mut encrypted_answer, &key, &iv);
        *self = Self::Offered { nonces, new_nonce, secret };
        Some(enums::ServerDhParams::Ok(types::ServerDhParamsOk { nonce, server_nonce, encrypted_answer }).to_bytes())
    }
}

fn accept(
    shared: &Shared,
    dc: i32,
    nonces: Nonces,
    new_nonce: &[u8; 32],
    secret: &BigUint,
    asked: &functions::SetClientDhParams,
) -> Option<Vec<u8>> {
    let (nonce, server_nonce) = nonces;
    if (asked.nonce, asked.server_nonce) != nonces || !asked.encrypted_data.len().is_multiple_of(16) {
        return None;
    }
    let (key, iv) = generate_key_data_from_nonce(&server_nonce, new_nonce);
    let mut data = asked.encrypted_data.clone();
    ige_decrypt(&mut data, &key, &iv);
    let inner = hashed(&data)?;
    let enums::ClientDhInnerData::Data(inner) = enums::ClientDhInnerData::from_bytes(&inner).ok()?;
    let (prime, g_b) = (dh_prime(), BigUint::from_bytes_be(&inner.g_b));
    // The bounds that the protocol asks both sides to check: a tiny or a huge number gives the key away.
    let edge = BigUint::from(1_u32) << (2048_u32 - 64);
    if (inner.nonce, inner.server_nonce) != nonces || g_b < edge || g_b > &prime - &edge {
        return None;
    }
    let bytes = padded(&g_b.modpow(secret, &prime));
    let new_nonce_hash1 = AuthKey::new(bytes).new_nonce_hash(new_nonce, 1);
    let mut salt = [0; 8];
    for (index, byte) in salt.iter_mut().enumerate() {
        *byte = new_nonce[index] ^ server_nonce[index];
    }
    shared.add_key(dc, bytes, i64::from_le_bytes(salt));
    let answer = types::DhGenOk { nonce, server_nonce, new_nonce_hash1 };
    Some(enums::SetClientDhParamsAnswer::DhGenOk(answer).to_bytes())
}

fn number(bytes: &[u8]) -> Option<u64> {
    BigUint::from_bytes_be(bytes).try_into().ok()
}

/// Takes off the padding of today's clients, or the older one: a SHA-1, the data, and noise.
fn unpad(block: [u8; 256]) -> Option<Vec<u8>> {
    let (key, encrypted) = block.split_at(32);
    let mut temp_key = [0; 32];
    for ((byte, key), hash) in temp_key.iter_mut().zip(key).zip(Sha256::digest(encrypted)) {
        *byte = key ^ hash;
    }
    let mut data = encrypted.to_vec();
    ige_decrypt(&mut data, &temp_key, &[0; 32]);
    let hash = data.split_off(192);
    data.reverse();
    if Sha256::new().chain_update(temp_key).chain_update(&data).finalize()[..] == hash[..] {
        return Some(data);
    }
    match block {
        [0, ref rest @ ..] => hashed(rest),
        _ => None,
    }
}

/// The object behind a SHA-1 of itself, if it matches; what follows it is noise.
fn hashed(data: &[u8]) -> Option<Vec<u8>> {
    let (hash, data) = data.split_at_checked(20)?;
    let mut cursor = Cursor::from_slice(data);
    let read = match name_for_id(Fields(data).u32().ok()?) {
        "client_DH_inner_data" => enums::ClientDhInnerData::deserialize(&mut cursor).is_ok(),
        _ => enums::PQInnerData::deserialize(&mut cursor).is_ok(),
    };
    let object = data.get(..cursor.pos())?;
    (read && Sha1::digest(object)[..] == *hash).then(|| object.to_vec())
}
