//! The numbers of the key exchange: this simulation's RSA key, and Telegram's prime.
//!
//! The RSA key was drawn once from a fixed seed and guards nothing: everybody who has this source has both halves.

use num_bigint::BigUint;
use sha1::{Digest, Sha1};

const RSA_EXPONENT: u32 = 65537;

const RSA_MODULUS: &str = concat!(
    "ce6be8e7f72e64e3e789f0a2dc616b05c3346885477dfb2cf52415cf64e10bc8dc8dec2a5be7e4df6b26c9ffc6d4c2a5",
    "50f7f5c1354a3af87bf1073df3dfbf7623a00e7354b8424ce6df4b80714a19df108cf73530555ca84c6304d7594a7f32",
    "467ed61a4cfe1359e5656d0d6ba6d9841c594556f8e02872586ed8043b8833173d94e01db7633eb5b297df1550c0cebb",
    "4f4ccc2482ecef1b8d45c34576a37e2f13df20386d2128f8d855b90005a7f934717f147c5b1c262413cbe4d461f7ce76",
    "6dd4d46411a1fef39c14c87574b0fa75353eca35db0ce99eb2ab7e0ddf4ef465ac4c2ea249b42a5b523f6c8fe6ef47fa",
    "6650fc6439c17681fc26f4e717fb141f",
);

const RSA_PRIVATE: &str = concat!(
    "ab3baed8061f3148314127222288997c0d434355144a387b41dbae4ffd9205f198ac0e75d1099bbd8e287e36b45cb81e",
    "e4fcdc9b6ab66a16c8d1d7bd17b9cb1c984ee4cddd4080974489851b465f3ef8e0c4df28fb30448dc3d7fc231c0a055b",
    "d248d318bc37a41bd5847ea33c630b5b611cd8bd5df4acf8b5cd355ac57ba54caba7928a39d8470d02141512caf9721c",
    "99fff51e3bef3bc4e7a1e1e700014209e29ce5adf4a509fc35e434c25f80327edc2dcff7e3bba8457e66fe4e97f4d3a0",
    "3d9532c372a2e072fe43459fbff2c3a5deaa3294789a59b5ba1d64b8f023df96f310a5bff3372ab202dc780f09fff10c",
    "4689cd96d4d686b2c3020411688d0fc1",
);

/// The prime that Telegram uses, and the only one that careful clients take without testing it at length.
const DH_PRIME: &str = concat!(
    "c71caeb9c6b1c9048e6c522f70f13f73980d40238e3e21c14934d037563d930f48198a0aa7c14058229493d22530f4db",
    "fa336f6e0ac925139543aed44cce7c3720fd51f69458705ac68cd4fe6b6b13abdc9746512969328454f18faf8c595f64",
    "2477fe96bb2a941d5bcd1d4ac8cc49880708fa9b378e3c4f3a9060bee67cf9a4a4a695811051907e162753b56b0f6b41",
    "0dba74d8a84b2a14b3144e0ef1284754fd17ed950d5965b4b9dd46582db1178d169c6bc465b0d6ff9ca3928fef5b9ae4",
    "e418fc15e83ebea0f87fa9ff5eed70050ded2849f47bf959d956850ce929851f0d8115f635b105ee2e4e15d04b2454bf",
    "6f4fadf034b10403119cd8e3b92fcc5b",
);

/// The generator that goes with [`dh_prime`].
pub(crate) const DH_GENERATOR: u32 = 3;

/// What the client has to factor, and its factors: two 31-bit primes.
pub(crate) const PQ: (u64, u64, u64) = (0x17ed_4894_1a08_f981, 0x494c_553b, 0x5391_1073);

fn number(hex: &str) -> BigUint {
    // Constants of this file, all digits.
    BigUint::parse_bytes(hex.as_bytes(), 16).unwrap_or_default()
}

pub(crate) fn dh_prime() -> BigUint {
    number(DH_PRIME)
}

/// Undoes a client's RSA: 256 bytes, leading zeros included; `None` for what isn't below the modulus.
pub(crate) fn rsa_decrypt(data: &[u8]) -> Option<[u8; 256]> {
    let (modulus, encrypted) = (number(RSA_MODULUS), BigUint::from_bytes_be(data));
    (encrypted < modulus).then(|| padded(&encrypted.modpow(&number(RSA_PRIVATE), &modulus)))
}

/// A number below 2^2048 as 256 bytes.
pub(crate) fn padded(number: &BigUint) -> [u8; 256] {
    let bytes = number.to_bytes_be();
    let mut padded = [0; 256];
    if let Some(from) = padded.len().checked_sub(bytes.len()) {
        padded[from..].copy_from_slice(&bytes);
    }
    padded
}

/// By which clients name the key: the end of the SHA-1 of its TL form.
pub(crate) fn fingerprint() -> i64 {
    use grammers_tl_types::Serializable;
    let mut bare = Vec::new();
    number(RSA_MODULUS).to_bytes_be().serialize(&mut bare);
    BigUint::from(RSA_EXPONENT).to_bytes_be().serialize(&mut bare);
    let sha = Sha1::digest(&bare);
    let mut end = [0; 8];
    end.copy_from_slice(&sha[12..20]);
    i64::from_le_bytes(end)
}

/// The public key as `BEGIN RSA PUBLIC KEY` (PKCS #1), for clients that let one be added.
pub fn rsa_public_pem() -> String {
    let mut content = der_integer(&number(RSA_MODULUS).to_bytes_be());
    content.extend(der_integer(&BigUint::from(RSA_EXPONENT).to_bytes_be()));
    let key = der(0x30, &content);
    let mut text = String::from("-----BEGIN RSA PUBLIC KEY-----\n");
    let encoded = base64(&key);
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = tail;
    }
    text.push_str("-----END RSA PUBLIC KEY-----\n");
    text
}

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..0x80 => out.push(length as u8),
        0x80..0x100 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

fn der_integer(bytes: &[u8]) -> Vec<u8> {
    // A leading zero keeps a number whose highest bit is set from reading as negative.
    let sign = bytes.first().is_some_and(|first| first & 0x80 != 0);
    der(2, &[if sign { &[0][..] } else { &[] }, bytes].concat())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
