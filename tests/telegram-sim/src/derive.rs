//! Everything that looks random in the world comes from here: a hash of the world's seed and a label, so that two
//! runs with one seed hand out the same keys, access hashes, references and salts.

use sha2::{Digest, Sha256};

/// Hashes `seed`, `label` and `parts` into 32 bytes.
pub(crate) fn bytes32(seed: u64, label: &str, parts: &[i64]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update((label.len() as u64).to_le_bytes());
    hasher.update(label.as_bytes());
    for part in parts {
        hasher.update(part.to_le_bytes());
    }
    hasher.finalize().into()
}

/// A number that is never 0: clients read an access hash or a salt of 0 as "none".
pub(crate) fn number(seed: u64, label: &str, parts: &[i64]) -> i64 {
    let bytes = bytes32(seed, label, parts);
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[..8]);
    i64::from_le_bytes(eight) | 1
}

/// An authorization key: 256 bytes, eight hashes side by side.
pub(crate) fn auth_key(seed: u64, account: i64, dc: i32) -> [u8; 256] {
    let mut key = [0; 256];
    for (index, part) in key.chunks_exact_mut(32).enumerate() {
        part.copy_from_slice(&bytes32(seed, "auth-key", &[account, i64::from(dc), index as i64]));
    }
    key
}

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Eight bytes of the generated content of `seed`: fast, seekable and without a pattern a
/// wrong offset could hide in.
fn block(seed: u64, index: u64) -> u64 {
    // SplitMix64's finaliser: every bit of the index moves every bit of the result.
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Fills `out` with generated content, beginning `offset` bytes into it.
pub(crate) fn fill(seed: u64, offset: u64, out: &mut [u8]) {
    let mut index = offset / 8;
    let skip = (offset % 8) as usize;
    let mut rest = out;
    if skip != 0 {
        let take = rest.len().min(8 - skip);
        let (head, tail) = rest.split_at_mut(take);
        head.copy_from_slice(&block(seed, index).to_le_bytes()[skip..skip + take]);
        index += 1;
        rest = tail;
    }
    let mut words = rest.chunks_exact_mut(8);
    for word in &mut words {
        word.copy_from_slice(&block(seed, index).to_le_bytes());
        index += 1;
    }
    let last = words.into_remainder();
    let len = last.len();
    last.copy_from_slice(&block(seed, index).to_le_bytes()[..len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_content_is_the_same_from_every_offset() {
        let mut whole = vec![0; 1000];
        fill(7, 0, &mut whole);
        for offset in 0..40 {
            for len in 0..40 {
                let mut part = vec![0; len];
                fill(7, offset as u64, &mut part);
                assert_eq!(part, whole[offset..offset + len], "offset {offset} len {len}");
            }
        }
    }

    #[test]
    fn labels_and_parts_do_not_run_into_each_other() {
        assert_ne!(number(1, "ab", &[]), number(1, "a", &[]));
        assert_ne!(number(1, "a", &[1, 2]), number(1, "a", &[2, 1]));
        assert_ne!(number(1, "a", &[]), number(2, "a", &[]));
    }
}
