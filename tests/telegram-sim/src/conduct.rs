//! How clients behave, account by account: whether they keep to the waits they are told, and what they ask for at once.
//!
//! A word counts as told when its packet is on the wire: what a broken connection swallowed explains nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::call::Refusal;

/// One account's conduct.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Conduct {
    /// The account's name.
    pub account: String,
    /// Most documents that parts were asked of at the same time, all data-centres together.
    pub documents: usize,
    /// Most getFile calls under way at the same time, by data-centre.
    pub parts: BTreeMap<i32, usize>,
    /// Waits that it was told.
    pub waits: u64,
    /// Calls that came during a wait, by method: how long after it was told the last of them came, in milliseconds. Calls that were
    /// on their way meanwhile come early.
    pub during_waits: BTreeMap<String, u64>,
    /// Authorizations that it got to carry, by the data-centre they are for.
    pub exports: BTreeMap<i32, u64>,
    /// Authorizations that it carried, by the data-centre they are for.
    pub imports: BTreeMap<i32, u64>,
    /// Connections that a fault cut while it asked something, by data-centre.
    pub cuts: BTreeMap<i32, u64>,
    /// Times it was told that nobody is signed in with its key, by data-centre.
    pub unregistered: BTreeMap<i32, u64>,
}

/// Something in an answer that a client has to act upon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    account: String,
    word: Word,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Word {
    Wait(Duration),
    Exported(i32),
    Unregistered(i32),
}

impl Told {
    /// What a refusal tells.
    pub(crate) fn refusal(account: &str, dc: i32, refusal: &Refusal) -> Option<Self> {
        let seconds = ["FLOOD_WAIT_", "FLOOD_PREMIUM_WAIT_"].iter().find_map(|wait| refusal.name.strip_prefix(wait));
        let word = match seconds.and_then(|seconds| seconds.parse().ok()) {
            Some(seconds) => Word::Wait(Duration::from_secs(seconds)),
            None if *refusal == Refusal::unregistered() => Word::Unregistered(dc),
            None => return None,
        };
        Some(Self { account: account.to_owned(), word })
    }

    /// An authorization to carry to `dc`.
    pub(crate) fn exported(account: &str, dc: i32) -> Self {
        Self { account: account.to_owned(), word: Word::Exported(dc) }
    }
}

#[derive(Default)]
struct Account {
    conduct: Conduct,
    /// By document and data-centre, getFile calls under way.
    under_way: BTreeMap<(i64, i32), usize>,
    /// Since when, and until when, it's to wait.
    wait: Option<(Instant, Instant)>,
}

/// What all accounts do.
#[derive(Default)]
pub(crate) struct Book {
    accounts: Mutex<BTreeMap<String, Account>>,
}

impl Book {
    pub(crate) fn snapshot(&self) -> Vec<Conduct> {
        let named = |(name, account): (&String, &Account)| Conduct { account: name.clone(), ..account.conduct.clone() };
        self.accounts.lock().iter().map(named).collect()
    }

    /// Forgets everything but what is under way.
    pub(crate) fn reset(&self) {
        self.accounts.lock().values_mut().for_each(|account| account.conduct = Conduct::default());
    }

    /// A call came.
    pub(crate) fn asked(&self, account: &str, method: &str) {
        let now = Instant::now();
        let mut accounts = self.accounts.lock();
        let Some(account) = accounts.get_mut(account) else { return };
        let Some((since, _)) = account.wait.filter(|(_, until)| now < *until) else { return };
        let after = u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX);
        let last = account.conduct.during_waits.entry(method.to_owned()).or_default();
        *last = after.max(*last);
    }

    /// A part is asked for, until the returned value is dropped.
    pub(crate) fn part(self: &Arc<Self>, account: &str, dc: i32, document: i64) -> UnderWay {
        let mut accounts = self.accounts.lock();
        let known = accounts.entry(account.to_owned()).or_default();
        *known.under_way.entry((document, dc)).or_default() += 1;
        let parts: usize = known.under_way.iter().filter(|((_, here), _)| *here == dc).map(|(_, parts)| parts).sum();
        let documents: std::collections::BTreeSet<_> = known.under_way.keys().map(|(document, _)| document).collect();
        known.conduct.documents = known.conduct.documents.max(documents.len());
        let most = known.conduct.parts.entry(dc).or_default();
        *most = parts.max(*most);
        UnderWay { book: Arc::clone(self), account: account.to_owned(), of: (document, dc) }
    }

    /// An authorization was taken.
    pub(crate) fn imported(&self, account: &str, dc: i32) {
        *self.accounts.lock().entry(account.to_owned()).or_default().conduct.imports.entry(dc).or_default() += 1;
    }

    /// A connection is cut instead of answering, or within the answer.
    pub(crate) fn cut(&self, account: &str, dc: i32) {
        *self.accounts.lock().entry(account.to_owned()).or_default().conduct.cuts.entry(dc).or_default() += 1;
    }

    /// An answer is on the wire.
    pub(crate) fn told(&self, told: Told) {
        let now = Instant::now();
        let mut accounts = self.accounts.lock();
        let account = accounts.entry(told.account).or_default();
        match told.word {
            Word::Wait(time) => {
                account.conduct.waits += 1;
                // Told again meanwhile, as the calls that were on their way are: one wait, as long as the longest.
                let (since, until) = account.wait.filter(|(_, until)| now < *until).unwrap_or((now, now));
                account.wait = Some((since, until.max(now + time)));
            }
            Word::Exported(dc) => *account.conduct.exports.entry(dc).or_default() += 1,
            Word::Unregistered(dc) => *account.conduct.unregistered.entry(dc).or_default() += 1,
        }
    }
}

/// A getFile call under way.
pub(crate) struct UnderWay {
    book: Arc<Book>,
    account: String,
    of: (i64, i32),
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut accounts = self.book.accounts.lock();
        let Some(account) = accounts.get_mut(&self.account) else { return };
        if let Some(parts) = account.under_way.get_mut(&self.of) {
            *parts -= 1;
            if *parts == 0 {
                account.under_way.remove(&self.of);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_lasts_from_the_first_word_to_the_last_end() {
        let book = Book::default();
        let wait =
            |seconds| Told::refusal("a", 2, &Refusal::new(420, format!("FLOOD_PREMIUM_WAIT_{seconds}"))).unwrap();
        let last = || book.snapshot()[0].during_waits.get("upload.getFile").copied();
        book.told(wait(2));
        tokio::time::advance(Duration::from_secs(1)).await;
        book.told(wait(3));
        assert_eq!(last(), None);
        tokio::time::advance(Duration::from_millis(2_999)).await;
        book.asked("a", "upload.getFile");
        assert_eq!(last(), Some(3_999));
        tokio::time::advance(Duration::from_millis(1)).await;
        book.asked("a", "upload.getFile");
        assert_eq!((last(), book.snapshot()[0].waits), (Some(3_999), 2));
        book.asked("b", "upload.getFile");
        assert_eq!(book.snapshot().len(), 1);
    }

    #[test]
    fn what_is_under_way_is_counted_by_document_and_by_data_centre() {
        let book = Arc::new(Book::default());
        let parts = [(2, 7), (2, 7), (2, 8), (4, 8)].map(|(dc, document)| book.part("a", dc, document));
        drop(parts);
        drop(book.part("a", 2, 9));
        let seen = book.snapshot().remove(0);
        assert_eq!((seen.documents, seen.parts), (2, BTreeMap::from([(2, 3), (4, 1)])));
    }

    #[test]
    fn words_that_count() {
        let of = |code, name: &str| Told::refusal("a", 4, &Refusal::new(code, name)).map(|told| told.word);
        assert_eq!(of(420, "FLOOD_WAIT_7"), Some(Word::Wait(Duration::from_secs(7))));
        assert_eq!(of(401, "AUTH_KEY_UNREGISTERED"), Some(Word::Unregistered(4)));
        assert_eq!((of(401, "USER_DEACTIVATED"), of(303, "FILE_MIGRATE_2")), (None, None));
    }
}
