//! The exchange that makes a key with a data-centre: <https://core.telegram.org/mtproto/auth_key>, the client's side.
//!
//! Pure: no socket, no clock, and whoever calls brings the noise. Each step consumes the one before it, so that none can be taken twice or
//! left out. The MTProto library has this exchange too, with Telegram's public keys fixed inside it; this one takes any.

use crate::factor::factor;
use crate::rsa::RsaKeys;
use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
use grammers_crypto::two_factor_auth::check_p_and_g;
use grammers_crypto::{AuthKey, generate_key_data_from_nonce};
use grammers_mtproto::authentication::Finished;
use grammers_tl_types::{Cursor, Deserializable, Serializable, enums, functions, types};
use num_bigint::BigUint;
use sha1::{Digest, Sha1};

/// The prime that Telegram uses, known to be a good one; another is examined at length.
const KNOWN_PRIME: &str = concat!(
    "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4db",
    "fa336f6e0ac925139543aed44cce7c3720fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f64",
    "2477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4a4a695811051907e162753b56b0f6b41",
    "0dba74d8a84b2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4",
    "e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf",
    "6f4fadf034b10403119cd8e3b92fcc5b",
);
/// Generators that go with [`KNOWN_PRIME`].
const KNOWN_GENERATORS: [i32; 5] = [3, 4, 5, 6, 7];
const LENGTH: usize = 256;
const SHA1: usize = 20;

/// What made the exchange fail. Nothing in it is secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExchangeFault {
    /// Somebody mixed two exchanges up, or answers for the server.
    #[error("key exchange: an answer to another question")]
    Nonce,
    #[error("key exchange: the server holds none of the RSA keys known here")]
    UnknownKey,
    #[error("key exchange: the server's numbers can't be trusted: {0}")]
    Numbers(&'static str),
    #[error("key exchange: the server's answer can't be read")]
    Unreadable,
    #[error("key exchange: the server gave up")]
    Refused,
}

/// True for a prime and a generator that keep a secret.
pub(crate) fn is_sound_group(prime: &[u8], generator: i32) -> bool {
    let known = BigUint::parse_bytes(KNOWN_PRIME.as_bytes(), 16).is_some_and(|known| known == number(prime));
    if known {
        return KNOWN_GENERATORS.contains(&generator);
    }
    // The library panics at others.
    (2..=7).contains(&generator) && check_p_and_g(prime, &generator)
}

fn number(bytes: &[u8]) -> BigUint {
    BigUint::from_bytes_be(bytes)
}

/// True when a power of the generator is neither tiny nor huge, as those give the secret away.
fn is_sound_power(power: &BigUint, prime: &BigUint) -> bool {
    let edge = BigUint::from(1_u32) << (BITS - 64);
    *power >= edge && *power <= prime - &edge
}

const BITS: usize = LENGTH * 8;

/// `req_pq_multi` was sent.
pub(crate) struct Asked {
    nonce: [u8; 16],
}

/// `req_DH_params` was sent.
pub(crate) struct Proved {
    nonce: [u8; 16],
    server_nonce: [u8; 16],
    new_nonce: [u8; 32],
}

/// `set_client_DH_params` was sent.
pub(crate) struct Agreed {
    nonce: [u8; 16],
    server_nonce: [u8; 16],
    new_nonce: [u8; 32],
    key: AuthKey,
    server_time: i32,
}

/// Begins an exchange.
pub(crate) fn ask(nonce: [u8; 16]) -> (functions::ReqPqMulti, Asked) {
    (functions::ReqPqMulti { nonce }, Asked { nonce })
}

impl Asked {
    /// Factors the server's number and encrypts the next secret for one of its keys.
    pub(crate) fn prove(
        self,
        answer: enums::ResPq,
        keys: &RsaKeys,
        new_nonce: [u8; 32],
        noise: &[u8; 224],
    ) -> Result<(functions::ReqDhParams, Proved), ExchangeFault> {
        let enums::ResPq::Pq(answer) = answer;
        let Self { nonce } = self;
        let server_nonce = answer.server_nonce;
        if answer.nonce != nonce {
            return Err(ExchangeFault::Nonce);
        }
        let pq = answer.pq.as_slice().try_into().map(u64::from_be_bytes);
        let pq = pq.map_err(|_| ExchangeFault::Numbers("a product of another size"))?;
        if pq < 15 || pq.is_multiple_of(2) {
            return Err(ExchangeFault::Numbers("no product of two primes"));
        }
        let Some((p, q)) = factor(pq).factors else {
            return Err(ExchangeFault::Numbers("no product of two primes"));
        };
        // Without leading zeros, or the server refuses them.
        let bytes = |factor: u64| BigUint::from(factor).to_bytes_be();
        let (p, q) = (bytes(p), bytes(q));
        let inner = types::PQInnerData { pq: answer.pq, p: p.clone(), q: q.clone(), nonce, server_nonce, new_nonce };
        let inner = enums::PQInnerData::Data(inner).to_bytes();
        let encrypted = keys.encrypt(&answer.server_public_key_fingerprints, &inner, noise);
        let (public_key_fingerprint, encrypted_data) = encrypted.ok_or(ExchangeFault::UnknownKey)?;
        let next = functions::ReqDhParams { nonce, server_nonce, p, q, public_key_fingerprint, encrypted_data };
        Ok((next, Proved { nonce, server_nonce, new_nonce }))
    }
}

impl Proved {
    /// Checks the server's half and makes ours out of `secret`.
    pub(crate) fn agree(
        self,
        answer: enums::ServerDhParams,
        secret: &[u8; LENGTH],
        noise: &[u8; 16],
    ) -> Result<(functions::SetClientDhParams, Agreed), ExchangeFault> {
        let Self { nonce, server_nonce, new_nonce } = self;
        let enums::ServerDhParams::Ok(answer) = answer else { return Err(ExchangeFault::Refused) };
        if (answer.nonce, answer.server_nonce) != (nonce, server_nonce) {
            return Err(ExchangeFault::Nonce);
        }
        let (key, iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
        let inner = open(answer.encrypted_answer, &key, &iv)?;
        if (inner.nonce, inner.server_nonce) != (nonce, server_nonce) {
            return Err(ExchangeFault::Nonce);
        }
        if !is_sound_group(&inner.dh_prime, inner.g) {
            return Err(ExchangeFault::Numbers("no safe prime, or no generator of it"));
        }
        let (prime, secret) = (number(&inner.dh_prime), number(secret));
        let generator = BigUint::from(inner.g.unsigned_abs());
        let g_a = number(&inner.g_a);
        let g_b = generator.modpow(&secret, &prime);
        if !is_sound_power(&g_a, &prime) || !is_sound_power(&g_b, &prime) {
            return Err(ExchangeFault::Numbers("a power at the edge"));
        }
        let server_time = inner.server_time;
        let mut shared = [0; LENGTH];
        let bytes = g_a.modpow(&secret, &prime).to_bytes_be();
        shared[LENGTH - bytes.len()..].copy_from_slice(&bytes);
        let inner = types::ClientDhInnerData { nonce, server_nonce, retry_id: 0, g_b: g_b.to_bytes_be() };
        let next = functions::SetClientDhParams { nonce, server_nonce, encrypted_data: seal(inner, &key, &iv, noise) };
        Ok((next, Agreed { nonce, server_nonce, new_nonce, key: AuthKey::from_bytes(shared), server_time }))
    }
}

impl Agreed {
    /// The key, once the server has proved that it has the same. `now` is this machine's time in unix seconds.
    pub(crate) fn finish(self, answer: enums::SetClientDhParamsAnswer, now: i32) -> Result<Finished, ExchangeFault> {
        let Self { nonce, server_nonce, new_nonce, key, server_time } = self;
        // A server that asks for another try is asked from the beginning: that needs no second way through here.
        let enums::SetClientDhParamsAnswer::DhGenOk(answer) = answer else { return Err(ExchangeFault::Refused) };
        let proof = key.calc_new_nonce_hash(&new_nonce, 1);
        if (answer.nonce, answer.server_nonce, answer.new_nonce_hash1) != (nonce, server_nonce, proof) {
            return Err(ExchangeFault::Nonce);
        }
        let mut salt = [0; 8];
        salt.iter_mut().zip(new_nonce.iter().zip(&server_nonce)).for_each(|(salt, (one, other))| *salt = one ^ other);
        let time_offset = server_time.wrapping_sub(now);
        Ok(Finished { auth_key: key.to_bytes(), time_offset, first_salt: i64::from_le_bytes(salt) })
    }
}

fn open(mut data: Vec<u8>, key: &[u8; 32], iv: &[u8; 32]) -> Result<types::ServerDhInnerData, ExchangeFault> {
    if data.len() <= SHA1 || !data.len().is_multiple_of(16) {
        return Err(ExchangeFault::Unreadable);
    }
    ige_decrypt(&mut data, key, iv);
    let (hash, object) = data.split_at(SHA1);
    let mut cursor = Cursor::from_slice(object);
    let enums::ServerDhInnerData::Data(inner) =
        enums::ServerDhInnerData::deserialize(&mut cursor).map_err(|_| ExchangeFault::Unreadable)?;
    let read = object.get(..cursor.pos()).ok_or(ExchangeFault::Unreadable)?;
    if Sha1::digest(read)[..] == *hash { Ok(inner) } else { Err(ExchangeFault::Unreadable) }
}

fn seal(inner: types::ClientDhInnerData, key: &[u8; 32], iv: &[u8; 32], noise: &[u8; 16]) -> Vec<u8> {
    let inner = enums::ClientDhInnerData::Data(inner).to_bytes();
    let mut data = Sha1::digest(&inner).to_vec();
    data.extend_from_slice(&inner);
    let padding = data.len().next_multiple_of(16) - data.len();
    data.extend_from_slice(&noise[..padding]);
    ige_encrypt(&mut data, key, iv);
    data
}

#[cfg(test)]
mod tests {
    use super::{Asked, ExchangeFault, KNOWN_PRIME, LENGTH, Proved, SHA1, ask, is_sound_group, number};
    use crate::rsa::RsaKeys;
    use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
    use grammers_crypto::{AuthKey, generate_key_data_from_nonce};
    use grammers_tl_types::{Cursor, Deserializable, Serializable, enums, types};
    use num_bigint::BigUint;
    use sha1::{Digest, Sha1};

    const NONCE: [u8; 16] = [1; 16];
    const SERVER_NONCE: [u8; 16] = [2; 16];
    const NEW_NONCE: [u8; 32] = [3; 32];
    /// 0x494c553b times 0x53911073.
    const PQ: u64 = 0x17ed_4894_1a08_f981;
    /// Telegram's, as its keys are the default.
    const FINGERPRINT: i64 = 0xd09d_1d85_de64_fd85_u64.cast_signed();

    fn prime() -> BigUint {
        BigUint::parse_bytes(KNOWN_PRIME.as_bytes(), 16).unwrap()
    }

    fn prove(change: impl FnOnce(&mut types::ResPq)) -> Result<Proved, ExchangeFault> {
        let (_, asked): (_, Asked) = ask(NONCE);
        let mut answer = types::ResPq {
            nonce: NONCE,
            server_nonce: SERVER_NONCE,
            pq: PQ.to_be_bytes().to_vec(),
            server_public_key_fingerprints: vec![7, FINGERPRINT],
        };
        change(&mut answer);
        let proved = asked.prove(answer.into(), &RsaKeys::telegram(), NEW_NONCE, &[4; 224]);
        proved.map(|(request, proved)| {
            assert_eq!((request.p, request.q), (vec![0x49, 0x4c, 0x55, 0x3b], vec![0x53, 0x91, 0x10, 0x73]));
            assert_eq!((request.public_key_fingerprint, request.encrypted_data.len()), (FINGERPRINT, LENGTH));
            proved
        })
    }

    #[test]
    fn the_servers_product_and_keys_are_checked() {
        assert!(prove(|_| {}).is_ok());
        let numbers = |result: Result<Proved, _>| matches!(result, Err(ExchangeFault::Numbers(_)));
        assert!(prove(|answer| answer.nonce = [9; 16]).is_err_and(|fault| fault == ExchangeFault::Nonce));
        assert!(numbers(prove(|answer| answer.pq.truncate(7))));
        // The last one is prime: the library's factoring would take hours.
        for pq in [0, 1, PQ - 1, 18_446_744_073_709_551_557] {
            assert!(numbers(prove(|answer| answer.pq = u64::to_be_bytes(pq).to_vec())), "{pq}");
        }
        let unknown = prove(|answer| answer.server_public_key_fingerprints = vec![7]);
        assert!(unknown.is_err_and(|fault| fault == ExchangeFault::UnknownKey));
    }

    /// What an honest server answers, until it is changed.
    fn answer(change: impl FnOnce(&mut types::ServerDhInnerData), secret: &BigUint) -> enums::ServerDhParams {
        let mut inner = types::ServerDhInnerData {
            nonce: NONCE,
            server_nonce: SERVER_NONCE,
            g: 3,
            g_a: BigUint::from(3_u32).modpow(secret, &prime()).to_bytes_be(),
            dh_prime: prime().to_bytes_be(),
            server_time: 1000,
        };
        change(&mut inner);
        let inner = enums::ServerDhInnerData::Data(inner).to_bytes();
        let mut encrypted_answer = [&Sha1::digest(&inner)[..], &inner].concat();
        encrypted_answer.resize(encrypted_answer.len().next_multiple_of(16), 0);
        let (key, iv) = generate_key_data_from_nonce(&SERVER_NONCE, &NEW_NONCE);
        ige_encrypt(&mut encrypted_answer, &key, &iv);
        types::ServerDhParamsOk { nonce: NONCE, server_nonce: SERVER_NONCE, encrypted_answer }.into()
    }

    #[test]
    fn both_sides_come_to_the_same_key() {
        let secret = number(&[0x77; LENGTH]);
        let (request, agreed) =
            prove(|_| {}).unwrap().agree(answer(|_| {}, &secret), &[0x5a; LENGTH], &[6; 16]).unwrap();
        let (key, iv) = generate_key_data_from_nonce(&SERVER_NONCE, &NEW_NONCE);
        let mut sent = request.encrypted_data;
        ige_decrypt(&mut sent, &key, &iv);
        let mut cursor = Cursor::from_slice(&sent[SHA1..]);
        let enums::ClientDhInnerData::Data(inner) = enums::ClientDhInnerData::deserialize(&mut cursor).unwrap();
        assert_eq!(Sha1::digest(&sent[SHA1..][..cursor.pos()])[..], sent[..SHA1]);
        let shared = number(&inner.g_b).modpow(&secret, &prime()).to_bytes_be();
        let key = AuthKey::from_bytes(shared.try_into().unwrap());
        let proof = |number| types::DhGenOk {
            nonce: NONCE,
            server_nonce: SERVER_NONCE,
            new_nonce_hash1: key.calc_new_nonce_hash(&NEW_NONCE, number),
        };
        let made = agreed.finish(proof(1).into(), 990).unwrap();
        assert_eq!((made.auth_key, made.time_offset), (key.to_bytes(), 10));
        assert_eq!(made.first_salt, i64::from_le_bytes([1; 8]), "3 xor 2, eight times");
        let (_, agreed) = prove(|_| {}).unwrap().agree(answer(|_| {}, &secret), &[0x5a; LENGTH], &[6; 16]).unwrap();
        assert!(agreed.finish(proof(2).into(), 990).is_err_and(|fault| fault == ExchangeFault::Nonce));
    }

    #[test]
    fn numbers_that_give_the_secret_away_are_refused() {
        let agree = |answer| prove(|_| {}).unwrap().agree(answer, &[0x5a; LENGTH], &[6; 16]).map(drop);
        let secret = number(&[0x77; LENGTH]);
        type Change = fn(&mut types::ServerDhInnerData);
        let numbers: [Change; 6] = [
            |inner| inner.g_a = vec![1],
            |inner| inner.g_a = vec![0xff; 240],
            |inner| inner.g_a = (prime() - BigUint::from(1_u32)).to_bytes_be(),
            |inner| inner.g = 2,
            |inner| inner.g = -3,
            |inner| inner.dh_prime = vec![0xff; LENGTH],
        ];
        for (index, change) in numbers.into_iter().enumerate() {
            assert!(matches!(agree(answer(change, &secret)), Err(ExchangeFault::Numbers(_))), "{index}");
        }
        assert_eq!(agree(answer(|inner| inner.nonce = [9; 16], &secret)), Err(ExchangeFault::Nonce));
        let garbage = |length| types::ServerDhParamsOk {
            nonce: NONCE,
            server_nonce: SERVER_NONCE,
            encrypted_answer: vec![8; length],
        };
        for length in [0, 16, 20, 32, 592] {
            assert_eq!(agree(garbage(length).into()), Err(ExchangeFault::Unreadable), "{length}");
        }
        assert!(!is_sound_group(&[7], 3) && !is_sound_group(&prime().to_bytes_be(), 1));
    }
}
