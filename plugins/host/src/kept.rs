//! Verdicts that policy hooks said may be kept: requests alike go without a call.

use crate::verdict::Limits;
use quick_cache::sync::Cache;
use rand::RngExt;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Verdicts of one chain's plugins at once; some 200 bytes each, and up to 4 KiB more where a verdict names ranges.
const MOST: usize = 8_192;

/// What makes a request like another, in 128 bits under a key of this chain's own: whoever makes requests can't make two of them meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Likeness(u128);

/// Takes in what makes a request like another. Each part counts with its length, so that none can look like its neighbour.
pub struct Likening(SipHasher13);

impl Likening {
    /// Begins with nothing. The keys must be nobody's to guess where requests are strangers'.
    #[must_use]
    pub fn new(keys: (u64, u64)) -> Self {
        Self(SipHasher13::new_with_keys(keys.0, keys.1))
    }

    /// What was taken in, as one figure. Figures under other keys say nothing of each other.
    #[must_use]
    pub fn finish(self) -> Likeness {
        Likeness(self.0.finish128().as_u128())
    }

    /// A text, or any bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.write_usize(bytes.len());
        self.0.write(bytes);
    }

    /// A number, a flag, a case.
    pub fn number(&mut self, number: u64) {
        self.0.write_u64(number);
    }
}

/// The verdicts that are kept. Begins empty with every change of any plugin, since that makes new chains.
pub(crate) struct Kept {
    keys: (u64, u64),
    /// Whether there ever was one: chains that keep none spend nothing on comparing requests.
    any: AtomicBool,
    verdicts: Cache<Likeness, (Limits, Duration)>,
}

impl Kept {
    pub(crate) fn new() -> Self {
        let mut dice = rand::rng();
        let keys = (dice.random(), dice.random());
        Self { keys, any: AtomicBool::new(false), verdicts: Cache::new(MOST) }
    }

    pub(crate) fn any(&self) -> bool {
        self.any.load(Ordering::Relaxed)
    }

    pub(crate) fn liken(&self, parts: impl FnOnce(&mut Likening)) -> Likeness {
        let mut likening = Likening::new(self.keys);
        parts(&mut likening);
        likening.finish()
    }

    pub(crate) fn get(&self, like: Likeness, now: Duration) -> Option<Limits> {
        self.verdicts.get(&like).filter(|(_, until)| now < *until).map(|(limits, _)| limits)
    }

    pub(crate) fn keep(&self, like: Likeness, limits: &Limits, until: Duration) {
        self.any.store(true, Ordering::Relaxed);
        self.verdicts.insert(like, (limits.clone(), until));
    }
}

#[cfg(test)]
mod tests {
    use super::Kept;
    use crate::verdict::Limits;
    use std::time::Duration;

    #[test]
    fn kept_for_its_time_and_for_its_like_only() {
        let kept = Kept::new();
        let like = |parts: &[&str]| kept.liken(|all| parts.iter().for_each(|part| all.bytes(part.as_bytes())));
        let limits = Limits { viewer_streams: Some(3), ..Limits::default() };
        assert!(!kept.any());
        kept.keep(like(&["ab", "c"]), &limits, Duration::from_secs(10));
        assert!(kept.any());
        for (parts, second, found) in [
            (&["ab", "c"][..], 0, true),
            (&["ab", "c"], 9, true),
            (&["ab", "c"], 10, false),
            (&["a", "bc"], 0, false),
            (&["abc"], 0, false),
            (&["ab", "c", ""], 0, false),
        ] {
            let got = kept.get(like(parts), Duration::from_secs(second));
            assert_eq!(got, found.then(|| limits.clone()), "{parts:?} at {second}");
        }
        let other = Kept::new();
        assert_ne!(other.liken(|all| all.number(1)), kept.liken(|all| all.number(1)), "the keys are its own");
    }
}
