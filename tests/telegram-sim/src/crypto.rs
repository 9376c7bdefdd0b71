//! MTProto 2.0 message encryption, seen from the server.
//!
//! `grammers_crypto` has the client's half only: it encrypts with the client's part of the key and decrypts with the
//! server's. A server does the opposite, so the key derivation is written out here and only AES-IGE is borrowed.

use grammers_crypto::aes::ige_decrypt;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::ige;

/// Bytes in front of the ciphertext: key id and message key.
pub(crate) const HEADER: usize = 24;

/// An authorization key and the id that clients name it by.
pub(crate) struct AuthKey {
    bytes: [u8; 256],
    id: i64,
    aux_hash: [u8; 8],
}

impl AuthKey {
    pub(crate) fn new(bytes: [u8; 256]) -> Self {
        let sha = Sha1::digest(bytes);
        let mut id = [0; 8];
        id.copy_from_slice(&sha[12..20]);
        let mut aux_hash = [0; 8];
        aux_hash.copy_from_slice(&sha[..8]);
        Self { bytes, id: i64::from_le_bytes(id), aux_hash }
    }

    pub(crate) fn id(&self) -> i64 {
        self.id
    }

    /// The proof in the last step of the key exchange that both sides hold this key.
    pub(crate) fn new_nonce_hash(&self, new_nonce: &[u8; 32], number: u8) -> [u8; 16] {
        let sha = Sha1::new().chain_update(new_nonce).chain_update([number]).chain_update(self.aux_hash).finalize();
        let mut hash = [0; 16];
        hash.copy_from_slice(&sha[4..20]);
        hash
    }

    /// Key and initialisation vector of one message; `x` is 0 for the client's messages and 8 for the server's.
    fn derive(&self, msg_key: &[u8], x: usize) -> ([u8; 32], [u8; 32]) {
        let a = Sha256::new().chain_update(msg_key).chain_update(&self.bytes[x..x + 36]).finalize();
        let b = Sha256::new().chain_update(&self.bytes[40 + x..76 + x]).chain_update(msg_key).finalize();
        let mut key = [0; 32];
        key[..8].copy_from_slice(&a[..8]);
        key[8..24].copy_from_slice(&b[8..24]);
        key[24..].copy_from_slice(&a[24..32]);
        let mut iv = [0; 32];
        iv[..8].copy_from_slice(&b[..8]);
        iv[8..24].copy_from_slice(&a[8..24]);
        iv[24..].copy_from_slice(&b[24..32]);
        (key, iv)
    }

    fn msg_key(&self, plaintext: &[u8], x: usize) -> [u8; 16] {
        let large = Sha256::new().chain_update(&self.bytes[88 + x..120 + x]).chain_update(plaintext).finalize();
        let mut msg_key = [0; 16];
        msg_key.copy_from_slice(&large[8..24]);
        msg_key
    }

    /// Decrypts a client's message in place and returns its plaintext, or `None` when it isn't one.
    pub(crate) fn open<'a>(&self, message: &'a mut [u8]) -> Option<&'a [u8]> {
        let (header, body) = message.split_at_mut_checked(HEADER)?;
        // The padded transport adds some bytes to the whole blocks.
        let blocks = body.len() / 16 * 16;
        let body = body.get_mut(..blocks).filter(|body| !body.is_empty())?;
        let msg_key = &header[8..];
        let (key, iv) = self.derive(msg_key, 0);
        ige_decrypt(body, &key, &iv);
        (self.msg_key(body, 0) == *msg_key).then_some(&*body)
    }

    /// Encrypts in place what stands in `buffer` after `start + HEADER`, and fills in the header.
    pub(crate) fn seal(&self, buffer: &mut Vec<u8>, start: usize) {
        let body = start + HEADER;
        // At least 12 bytes of padding, up to the next multiple of 16.
        let unpadded = buffer.len() - body + 12;
        let padding: [u8; 32] = rand::random();
        let count = 12 + (16 - unpadded % 16) % 16;
        buffer.extend_from_slice(&padding[..count]);
        let msg_key = self.msg_key(&buffer[body..], 8);
        let (key, iv) = self.derive(&msg_key, 8);
        ige::encrypt(&mut buffer[body..], &key, &iv);
        buffer[start..start + 8].copy_from_slice(&self.id.to_le_bytes());
        buffer[start + 8..body].copy_from_slice(&msg_key);
    }
}

#[cfg(test)]
mod tests {
    use grammers_crypto::{AuthKey as ClientKey, DequeBuffer, decrypt_data_v2, encrypt_data_v2};

    use super::*;
    use crate::derive;

    #[test]
    fn a_client_reads_what_the_server_seals() {
        let bytes = derive::auth_key(1, 2, 3);
        for len in [0, 1, 15, 16, 17, 1000] {
            let text: Vec<u8> = (0..len).map(|i| i as u8).collect();
            let mut buffer = vec![0; 5 + HEADER];
            buffer.extend_from_slice(&text);
            AuthKey::new(bytes).seal(&mut buffer, 5);
            let opened = decrypt_data_v2(&mut buffer[5..], &ClientKey::from_bytes(bytes)).unwrap();
            assert_eq!(opened[..len], text);
            assert!(opened.len() - len >= 12);
        }
    }

    #[test]
    fn the_server_opens_what_a_client_seals_and_nothing_else() {
        let bytes = derive::auth_key(1, 2, 3);
        let mut buffer = DequeBuffer::with_capacity(64, 64);
        buffer.extend(*b"sixteen and some bytes");
        encrypt_data_v2(&mut buffer, &ClientKey::from_bytes(bytes));
        let sealed = buffer[..].to_vec();
        let key = AuthKey::new(bytes);
        assert!(key.open(&mut sealed.clone()).unwrap().starts_with(b"sixteen and some bytes"));
        for index in 8..sealed.len() {
            let mut broken = sealed.clone();
            broken[index] ^= 1;
            assert!(key.open(&mut broken).is_none(), "byte {index}");
        }
        for len in 0..HEADER + 16 {
            assert!(key.open(&mut sealed[..len].to_vec()).is_none(), "length {len}");
        }
    }
}
