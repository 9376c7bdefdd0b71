//! The server's half of two-step verification: Telegram's SRP, as <https://core.telegram.org/api/srp> writes it down.
//!
//! The server never sees the password: it keeps a verifier, proves nothing, and checks the client's proof.

use hmac::Hmac;
use num_bigint::BigUint;
use sha2::{Digest, Sha256, Sha512};

use crate::numbers::{DH_GENERATOR, dh_prime, padded};

/// Telegram's own count.
const ITERATIONS: u32 = 100_000;

/// What a server keeps of a password, and what it tells clients about it.
pub(crate) struct Verifier {
    pub(crate) salt1: Vec<u8>,
    pub(crate) salt2: Vec<u8>,
    v: BigUint,
}

/// One question, good for one answer.
pub(crate) struct Challenge {
    pub(crate) id: i64,
    b: BigUint,
    g_b: [u8; 256],
    verifier: Verifier,
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

fn number(bytes: &[u8]) -> BigUint {
    BigUint::from_bytes_be(bytes)
}

fn generator() -> BigUint {
    BigUint::from(DH_GENERATOR)
}

impl Verifier {
    pub(crate) fn new(password: &str, salt1: Vec<u8>, salt2: Vec<u8>) -> Self {
        let salted = |data: &[u8], salt: &[u8]| hash(&[salt, data, salt]);
        let first = salted(&salted(password.as_bytes(), &salt1), &salt2);
        let mut derived = [0; 64];
        // Fails for an empty output alone.
        let _ = pbkdf2::pbkdf2::<Hmac<Sha512>>(&first, &salt1, ITERATIONS, &mut derived);
        let x = number(&salted(&derived, &salt2));
        let v = generator().modpow(&x, &dh_prime());
        Self { salt1, salt2, v }
    }
}

impl Challenge {
    pub(crate) fn new(verifier: Verifier, id: i64, secret: &[u8; 256]) -> Self {
        let (prime, b) = (dh_prime(), number(secret));
        let k = number(&hash(&[&padded(&prime), &padded(&generator())]));
        let g_b = padded(&((k * &verifier.v + generator().modpow(&b, &prime)) % &prime));
        Self { id, b, g_b, verifier }
    }

    /// What the client is sent.
    pub(crate) fn g_b(&self) -> &[u8; 256] {
        &self.g_b
    }

    pub(crate) fn salts(&self) -> (Vec<u8>, Vec<u8>) {
        (self.verifier.salt1.clone(), self.verifier.salt2.clone())
    }

    /// Whether the client that sent `g_a` and this proof knows the password.
    pub(crate) fn proves(&self, g_a: &[u8], proof: &[u8]) -> bool {
        let prime = dh_prime();
        let a = number(g_a);
        // A multiple of the prime would make the shared number 0 whatever the password.
        if g_a.len() > 256 || a == BigUint::ZERO || a >= prime {
            return false;
        }
        let g_a = padded(&a);
        let u = number(&hash(&[&g_a, &self.g_b]));
        let shared = (a * self.verifier.v.modpow(&u, &prime) % &prime).modpow(&self.b, &prime);
        let key = hash(&[&padded(&shared)]);
        let mut p_and_g = hash(&[&padded(&prime)]);
        p_and_g.iter_mut().zip(hash(&[&padded(&generator())])).for_each(|(p, g)| *p ^= g);
        let salts = (hash(&[&self.verifier.salt1]), hash(&[&self.verifier.salt2]));
        hash(&[&p_and_g, &salts.0, &salts.1, &g_a, &self.g_b, &key]) == *proof
    }
}

#[cfg(test)]
mod tests {
    use grammers_crypto::two_factor_auth::calculate_2fa;

    use super::{Challenge, Verifier};
    use crate::numbers::{DH_GENERATOR, dh_prime};

    #[test]
    fn the_right_password_proves_itself_and_no_other_does() {
        let verifier = Verifier::new("correct horse", vec![1; 8], vec![2; 16]);
        let challenge = Challenge::new(verifier, 5, &[0x5a; 256]);
        let prove = |password: &str| {
            let (prime, g) = (dh_prime().to_bytes_be(), DH_GENERATOR as i32);
            let (salt1, salt2) = challenge.salts();
            calculate_2fa(&salt1, &salt2, &prime, &g, challenge.g_b().to_vec(), vec![0xa5; 256], password)
        };
        let (proof, g_a) = prove("correct horse");
        assert!(challenge.proves(&g_a, &proof));
        assert!(!challenge.proves(&g_a[1..], &proof), "another number");
        assert!(!challenge.proves(&[], &proof) && !challenge.proves(&dh_prime().to_bytes_be(), &proof));
        assert!(!challenge.proves(&g_a, &proof[1..]), "a short proof");
        let (proof, g_a) = prove("wrong horse");
        assert!(!challenge.proves(&g_a, &proof));
    }
}
