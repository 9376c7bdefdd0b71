//! Slugs that are made, not chosen. Pure.

use wire::Slug;

/// Digits and small letters without 0 and o, 1 and l: read out, written down and typed in without a mistake.
const ALPHABET: &[u8; 32] = b"23456789abcdefghijkmnpqrstuvwxyz";
const CHARACTERS: u32 = 7;

/// The slug of the lowest 35 bits: five for each character, so that random bits give every slug alike.
pub(crate) fn slug_of(bits: u64) -> Option<Slug> {
    let mut text = String::with_capacity(8);
    for place in 0..CHARACTERS {
        let digit = usize::try_from(bits >> (5 * place) & 31).ok()?;
        text.push(char::from(*ALPHABET.get(digit)?));
    }
    Slug::parse(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::{ALPHABET, slug_of};
    use std::collections::HashSet;

    #[test]
    fn every_character_is_one_of_its_own() {
        assert_eq!(ALPHABET.iter().collect::<HashSet<_>>().len(), 32);
        assert!(!ALPHABET.iter().any(|c| b"01lo".contains(c)));
    }

    #[test]
    fn every_bit_of_the_lowest_35_counts_and_no_other() {
        assert_eq!(slug_of(0).unwrap().as_str(), "2222222");
        assert_eq!(slug_of(u64::MAX).unwrap().as_str(), "zzzzzzz");
        assert_eq!(slug_of(1 << 35), slug_of(0));
        let slugs: HashSet<_> = (0..35).map(|bit| slug_of(1 << bit).unwrap()).collect();
        assert_eq!(slugs.len(), 35);
    }
}
