//! Signed values: HMAC-SHA-256 over a list of parts, as base64url without padding. Feature `signature`.

use alloc::string::String;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Length of a signature's text.
pub const LENGTH: usize = 43;

/// A key for signed values of one kind.
#[derive(Clone)]
pub struct Key(Hmac<Sha256>);

impl core::fmt::Debug for Key {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter.write_str("Key([secret])")
    }
}

impl Key {
    /// A key from a secret of any length (32 random bytes are enough, fewer than 16 are not).
    ///
    /// `purpose` goes into each signature: what was signed for one purpose is worth nothing for another.
    #[must_use]
    pub fn new(secret: &str, purpose: &str) -> Self {
        // HMAC takes keys of any length.
        let mut mac =
            Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap_or_else(|_| Hmac::new(&Default::default()));
        add(&mut mac, purpose);
        Self(mac)
    }

    /// The signature of these parts, in this order. It covers where each part ends.
    #[must_use]
    pub fn sign(&self, parts: &[&str]) -> String {
        encode(&self.over(parts).finalize().into_bytes())
    }

    /// Whether a text is the signature of these parts. Takes the same time wherever it differs.
    #[must_use]
    pub fn verify(&self, parts: &[&str], signature: &str) -> bool {
        decode(signature).is_some_and(|bytes| self.over(parts).verify_slice(&bytes).is_ok())
    }

    fn over(&self, parts: &[&str]) -> Hmac<Sha256> {
        let mut mac = self.0.clone();
        for part in parts {
            add(&mut mac, part);
        }
        mac
    }
}

/// Parts end with a line feed, which none of them may hold: frontends sign with one call of their language's HMAC.
fn add(mac: &mut Hmac<Sha256>, part: &str) {
    for piece in part.split('\n') {
        mac.update(piece.as_bytes());
        mac.update(b"\n");
    }
}

const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(LENGTH);
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0, |bits: u32, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for digit in 0..=group.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

/// The one text of each signature: no padding, no stray bits at its end.
fn decode(text: &str) -> Option<[u8; 32]> {
    if text.len() != LENGTH {
        return None;
    }
    let mut bytes = [0; 32];
    let (mut bits, mut held, mut filled) = (0_u32, 0, 0);
    for digit in text.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'-' => 62,
            b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes[filled] = u8::try_from(bits >> held).ok()?;
            filled += 1;
            bits &= (1 << held) - 1;
        }
    }
    (bits == 0).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Key, LENGTH, decode, encode};

    #[test]
    fn a_signature_is_hmac_sha256_over_lines() {
        // printf 'tier\npremium\n/stream/1\n' | openssl dgst -sha256 -hmac secret -binary | basenc --base64url
        let signature = Key::new("secret", "tier").sign(&["premium", "/stream/1"]);
        assert_eq!(signature, KNOWN);
    }
    const KNOWN: &str = "MJbPwijnX9UjKeKKVz20uq4ogc1kjdVTqK41RThW_1Q";

    #[test]
    fn only_the_very_parts_verify() {
        let key = Key::new("secret", "tier");
        let signature = key.sign(&["a", "bc"]);
        assert_eq!(signature.len(), LENGTH);
        assert!(key.verify(&["a", "bc"], &signature));
        assert!(!key.verify(&["ab", "c"], &signature));
        assert!(!key.verify(&["a", "bc", ""], &signature));
        assert!(!Key::new("secret", "cookie").verify(&["a", "bc"], &signature));
        assert!(!Key::new("other", "tier").verify(&["a", "bc"], &signature));
        for wrong in ["", "A", &signature[1..], &format!("{signature}A"), &signature.to_uppercase()] {
            assert!(!key.verify(&["a", "bc"], wrong), "{wrong}");
        }
    }

    #[test]
    fn each_signature_has_one_text() {
        for seed in 0..=255_u8 {
            let bytes: [u8; 32] = core::array::from_fn(|place| seed.wrapping_mul(31).wrapping_add(place as u8 * 7));
            let text = encode(&bytes);
            assert_eq!(decode(&text), Some(bytes));
            let mut stray = text.into_bytes();
            stray[LENGTH - 1] += 1;
            assert_eq!(decode(core::str::from_utf8(&stray).unwrap()), None);
        }
    }
}
