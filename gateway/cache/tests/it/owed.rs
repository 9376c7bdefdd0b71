//! What a cache owes after a crash, film by film, and whether it pays.

use crate::support::{FakeOrigin, Film, SLICE, check, range};
use cache::Cache;
use slice::{ByteRange, MediaId};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What the cache owes us of one film.
#[derive(Debug, Default)]
pub(crate) struct Owed {
    /// Slices that are whole on disk.
    pub(crate) whole: BTreeSet<u64>,
    /// Slices that no crash may take.
    pub(crate) kept: BTreeSet<u64>,
    /// Purged, and nothing has come since.
    pub(crate) purged: bool,
    /// Purged, and no crash may bring it back.
    pub(crate) gone: bool,
}

/// See the module.
pub(crate) struct Ledger {
    pub(crate) origin: Arc<FakeOrigin>,
    pub(crate) films: Vec<(MediaId, Owed)>,
}

impl Ledger {
    pub(crate) fn new(films: &[Film]) -> Self {
        let origin = FakeOrigin::new(SLICE);
        let films = films.iter().zip(1..).map(|(film, message)| {
            let id = MediaId::message(-100, message);
            origin.put(id, *film);
            (id, Owed::default())
        });
        Self { films: films.collect(), origin }
    }

    pub(crate) fn film(&self, at: usize) -> Film {
        self.origin.film(self.films[at].0)
    }

    /// Another film comes in the place of this one.
    pub(crate) fn change(&mut self, at: usize, film: Film) {
        self.origin.put(self.films[at].0, film);
        self.films[at].1 = Owed::default();
    }

    /// Reads and checks a range until nothing is at work any more.
    pub(crate) async fn fetch(&mut self, cache: &Cache, at: usize, wanted: ByteRange) {
        let reader = cache.media(self.films[at].0).await.unwrap().read(wanted);
        // From here on it may be there again.
        (self.films[at].1.purged, self.films[at].1.gone) = (false, false);
        check(reader, self.film(at), wanted).await.unwrap();
        cache.idle().await;
    }

    /// What came back is what was owed, and everything is read once.
    pub(crate) async fn settle(&mut self, cache: &Cache) {
        for at in 0..self.films.len() {
            let film = self.film(at);
            self.origin.forget_log();
            if self.films[at].1.gone {
                self.fetch(cache, at, range(0, film.size)).await;
                // More than once, if there is little room and a slice was evicted before its reader came to it.
                assert!(self.origin.asked() >= film.size, "a purged film came back");
                continue;
            }
            for slice in self.films[at].1.kept.clone() {
                let wanted = range(slice * SLICE, ((slice + 1) * SLICE).min(film.size));
                self.fetch(cache, at, wanted).await;
                assert_eq!(self.origin.opens(), [], "slice {slice} of film {at} was lost");
            }
            self.fetch(cache, at, range(0, film.size)).await;
        }
    }
}

/// The slices of a range.
pub(crate) fn slices(range: ByteRange) -> std::ops::Range<u64> {
    range.start / SLICE..range.end.div_ceil(SLICE)
}
