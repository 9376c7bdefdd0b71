//! Encryption of single cells of a session file: XChaCha20-Poly1305 with a fresh random nonce for each write.
//!
//! A sealed cell is 24 bytes of nonce, the cell's bytes encrypted, and a tag of 16 bytes. The tag covers where the cell is (the
//! file's own number, column and row), so that a cell moved elsewhere does not open. That a whole file is put back to an older state
//! of its own can't be told.

use crate::key::StoreKey;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use secrecy::zeroize::Zeroizing;

const NONCE: usize = 24;
/// What the proof of the right key is when it is open.
const PROOF: &[u8] = b"the key fits";

/// A cell that is secret.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'a> {
    /// Auth key of a data-centre.
    Key(i32),
    /// Access hash of a peer.
    Hash(i64),
    /// Value of a setting.
    Setting(&'a str),
    /// Proof of the right key.
    Proof,
}

/// What one encrypted file is read and written with.
pub(crate) struct Seal {
    cipher: XChaCha20Poly1305,
    file: [u8; 16],
}

impl Seal {
    pub(crate) fn new(key: &StoreKey, file: [u8; 16]) -> Self {
        Self { cipher: XChaCha20Poly1305::new(key.expose().into()), file }
    }

    pub(crate) fn file(&self) -> [u8; 16] {
        self.file
    }

    pub(crate) fn seal(&self, cell: Cell<'_>, plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE] = rand::random();
        let payload = Payload { msg: plain, aad: &self.place(cell) };
        // Fails for more bytes than one nonce can encrypt, 256 GiB. An empty cell opens for nobody: a loss, not a leak.
        let body = self.cipher.encrypt(&XNonce::from(nonce), payload).unwrap_or_default();
        [nonce.as_slice(), &body].concat()
    }

    /// The plain bytes; nothing when the cell was changed, moved, or sealed with another key.
    pub(crate) fn open(&self, cell: Cell<'_>, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, body) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: body, aad: &self.place(cell) };
        self.cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }

    /// Kept in the file, so that a wrong key is told from damage.
    pub(crate) fn proof(&self) -> Vec<u8> {
        self.seal(Cell::Proof, PROOF)
    }

    pub(crate) fn fits(&self, proof: &[u8]) -> bool {
        self.open(Cell::Proof, proof).is_some_and(|open| *open == PROOF)
    }

    fn place(&self, cell: Cell<'_>) -> Vec<u8> {
        let (column, row) = match cell {
            Cell::Key(dc) => (1_u8, i64::from(dc).to_be_bytes().to_vec()),
            Cell::Hash(peer) => (2, peer.to_be_bytes().to_vec()),
            Cell::Setting(name) => (3, name.as_bytes().to_vec()),
            Cell::Proof => (4, Vec::new()),
        };
        [b"svse".as_slice(), &self.file, &[column], &row].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::{Cell, Seal};
    use crate::key::StoreKey;

    fn key(digit: &str) -> StoreKey {
        StoreKey::parse(&digit.repeat(64)).unwrap()
    }

    #[test]
    fn a_cell_opens_in_its_own_place_only() {
        let seal = Seal::new(&key("1"), [7; 16]);
        let cells = [Cell::Key(2), Cell::Key(4), Cell::Hash(2), Cell::Hash(-2), Cell::Setting("route"), Cell::Proof];
        for (at, cell) in cells.into_iter().enumerate() {
            let sealed = seal.seal(cell, b"secret");
            assert!(!sealed.windows(6).any(|window| window == b"secret"));
            for (other, place) in cells.into_iter().enumerate() {
                assert_eq!(seal.open(place, &sealed).is_some(), at == other);
            }
            assert!(Seal::new(&key("1"), [8; 16]).open(cell, &sealed).is_none(), "another file");
            assert!(Seal::new(&key("2"), [7; 16]).open(cell, &sealed).is_none(), "another key");
            assert_ne!(sealed, seal.seal(cell, b"secret"), "a nonce is used once");
        }
    }

    #[test]
    fn any_change_of_a_cell_is_seen() {
        let seal = Seal::new(&key("1"), [7; 16]);
        let sealed = seal.seal(Cell::Key(2), &[9; 256]);
        assert_eq!(*seal.open(Cell::Key(2), &sealed).unwrap(), [9; 256]);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal.open(Cell::Key(2), &changed).is_none(), "byte {at}");
            assert!(seal.open(Cell::Key(2), &sealed[..at]).is_none(), "cut at {at}");
        }
    }

    #[test]
    fn the_proof_fits_its_key_alone() {
        let proof = Seal::new(&key("1"), [7; 16]).proof();
        assert!(Seal::new(&key("1"), [7; 16]).fits(&proof));
        assert!(!Seal::new(&key("2"), [7; 16]).fits(&proof));
    }
}
