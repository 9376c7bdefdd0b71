//! AES-256-IGE, encrypting only: most of what a simulated data-centre spends its time on.
//!
//! `grammers_crypto` has it too, but enters the cipher anew for each block of sixteen bytes, which costs more than the
//! block itself. Here the loop runs inside the cipher's backend. IGE chains every block to the one before, so that this
//! is all there is to gain.

use aes::Aes256;
use aes::cipher::consts::U16;
use aes::cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit};

struct Chain<'a> {
    buffer: &'a mut [u8],
    iv: &'a [u8; 32],
}

impl BlockSizeUser for Chain<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Chain<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let (mut cipher_before, mut plain_before) = ([0; 16], [0; 16]);
        cipher_before.copy_from_slice(&self.iv[..16]);
        plain_before.copy_from_slice(&self.iv[16..]);
        let (mut cipher_before, mut plain_before) =
            (u128::from_ne_bytes(cipher_before), u128::from_ne_bytes(plain_before));
        for bytes in self.buffer.as_chunks_mut::<16>().0 {
            let plain = u128::from_ne_bytes(*bytes);
            let mut block = (plain ^ cipher_before).to_ne_bytes().into();
            backend.encrypt_block_inplace(&mut block);
            cipher_before = u128::from_ne_bytes(block.into()) ^ plain_before;
            plain_before = plain;
            *bytes = cipher_before.to_ne_bytes();
        }
    }
}

/// Encrypts in place; the length has to be a multiple of 16.
pub(crate) fn encrypt(buffer: &mut [u8], key: &[u8; 32], iv: &[u8; 32]) {
    Aes256::new(key.into()).encrypt_with_backend(Chain { buffer, iv });
}

#[cfg(test)]
mod tests {
    use grammers_crypto::aes::ige_decrypt;

    use super::*;
    use crate::derive;

    #[test]
    fn what_is_encrypted_here_is_decrypted_there() {
        for blocks in [0, 1, 2, 3, 100] {
            let mut plain = vec![0; blocks * 16];
            derive::fill(1, 0, &mut plain);
            let (key, iv) = (derive::bytes32(1, "key", &[]), derive::bytes32(1, "iv", &[]));
            let mut buffer = plain.clone();
            encrypt(&mut buffer, &key, &iv);
            assert_eq!(buffer == plain, blocks == 0);
            ige_decrypt(&mut buffer, &key, &iv);
            assert_eq!(buffer, plain);
        }
    }
}
