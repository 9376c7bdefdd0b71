//! Bytes of tenants in a month: counted here, added up over the gateways in Redis, kept in a file over restarts.
//!
//! Each gateway has a name and says what it sent itself; the sum is what all say. So nothing is counted twice, a Redis that lost its
//! memory is told again within a second, and a gateway alone goes on from its own file.
//!
//! When another process takes the gateway's place, that one goes on with name and file, and this one under a name of its own.

use crate::month::Month;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One tenant's bytes of this month.
#[derive(Debug, Default)]
pub struct Account {
    /// Sent by this gateway.
    own: AtomicU64,
    /// Sent by others, as far as is known.
    others: AtomicU64,
    /// The bound that was named last; 0 for none.
    bound: AtomicU64,
}

impl Account {
    /// Counts bytes that went out.
    pub fn add(&self, bytes: u64) {
        self.own.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Whether the month's bytes are used up.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let bound = self.bound.load(Ordering::Relaxed);
        bound > 0 && self.sent() >= bound
    }

    /// What was sent here counts among the others' from now on. Gives it.
    fn lend(&self) -> u64 {
        let own = self.own.swap(0, Ordering::Relaxed);
        self.others.fetch_add(own, Ordering::Relaxed);
        own
    }

    fn take_back(&self, own: u64) {
        self.own.fetch_add(own, Ordering::Relaxed);
        // Never below nothing.
        let less = |others: u64| Some(others.saturating_sub(own));
        let _ = self.others.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// Bytes that all gateways have sent this month, as far as is known here.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.own.load(Ordering::Relaxed).saturating_add(self.others.load(Ordering::Relaxed))
    }
}

/// What is on disk.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Book {
    name: String,
    month: String,
    sent: BTreeMap<String, u64>,
}

/// All tenants' accounts.
#[derive(Debug)]
pub(crate) struct Quotas {
    name: String,
    /// Others know it by that name, so the file is to have it before anybody has sent anything.
    shared: bool,
    file: Option<PathBuf>,
    inner: Mutex<Inner>,
    /// One at a time writes.
    writing: Mutex<()>,
}

/// Who counts under the gateway's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// This process.
    Ours,
    /// Another one, if it comes to serve. Until that is known nobody is told anything.
    HandedOver,
    /// Another one. This one counts what it sends since under a name of its own.
    Apart,
}

#[derive(Debug)]
struct Inner {
    month: Month,
    accounts: HashMap<Arc<str>, Arc<Account>>,
    written: Book,
    whose: Whose,
    /// What was handed over, should it come back.
    lent: Vec<(Arc<Account>, u64)>,
}

impl Quotas {
    /// Goes on where the file ends, if it has one of this month. `fresh` is a name for a gateway that has none, `shared` if others are told it.
    ///
    /// # Errors
    /// A file that is there and can't be read, or isn't one of ours: to begin anew would forget what was sent.
    pub(crate) fn open(file: Option<PathBuf>, fresh: &str, shared: bool, unix: i64) -> io::Result<Self> {
        let month = Month::of(unix);
        let book = file.as_deref().map(read).transpose()?.flatten().unwrap_or_default();
        let name = if book.name.is_empty() { fresh.to_owned() } else { book.name.clone() };
        let mut accounts = HashMap::new();
        if book.month.parse() == Ok(month) {
            for (tenant, sent) in &book.sent {
                let account = Account { own: AtomicU64::new(*sent), ..Account::default() };
                accounts.insert(Arc::from(tenant.as_str()), Arc::new(account));
            }
        }
        let inner = Inner { month, accounts, written: book, whose: Whose::Ours, lent: Vec::new() };
        Ok(Self { name, shared, file, inner: Mutex::new(inner), writing: Mutex::default() })
    }

    /// Who this gateway is, for as long as its file lasts.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// A tenant's account, with the bound that its settings name now.
    pub(crate) fn account(&self, tenant: &Arc<str>, bound: u64) -> Arc<Account> {
        let mut inner = self.inner.lock();
        let account = match inner.accounts.get(tenant) {
            Some(account) => Arc::clone(account),
            None => {
                let account = Arc::new(Account::default());
                inner.accounts.insert(Arc::clone(tenant), Arc::clone(&account));
                account
            }
        };
        account.bound.store(bound.max(1), Ordering::Relaxed);
        account
    }

    /// Begins a new month, if it is time.
    pub(crate) fn turn(&self, unix: i64) -> Month {
        let mut inner = self.inner.lock();
        let now = Month::of(unix);
        // Not back, should a clock be set: the old month's sums are gone.
        if now > inner.month {
            inner.month = now;
            inner.lent.clear();
            for account in inner.accounts.values() {
                account.own.store(0, Ordering::Relaxed);
                account.others.store(0, Ordering::Relaxed);
            }
            inner.accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        inner.month
    }

    /// Tenants, with what this process is to tell that it has sent for each, and as whom.
    pub(crate) fn own(&self) -> (Whose, Vec<(Arc<str>, u64)>) {
        let inner = self.inner.lock();
        let own = |(id, account): (&Arc<str>, &Arc<Account>)| (Arc::clone(id), account.own.load(Ordering::Relaxed));
        (inner.whose, inner.accounts.iter().map(own).collect())
    }

    /// Writes the file for the last time: another process goes on with it. Blocks.
    ///
    /// # Errors
    /// The disk's: the other one goes on where the file ends.
    pub(crate) fn hand_over(&self) -> io::Result<()> {
        let _one = self.writing.lock();
        let book = {
            let mut inner = self.inner.lock();
            if inner.whose != Whose::Ours {
                return Ok(());
            }
            let taken: Vec<_> = inner.accounts.iter().map(|(id, account)| (Arc::clone(id), account.lend())).collect();
            inner.whose = Whose::HandedOver;
            inner.lent = inner.accounts.values().zip(&taken).map(|(a, (_, own))| (Arc::clone(a), *own)).collect();
            self.book(&inner, taken)
        };
        self.put(book)
    }

    /// The file is this process's again, and what was sent meanwhile goes into it.
    pub(crate) fn take_back(&self) {
        let mut inner = self.inner.lock();
        if inner.whose == Whose::HandedOver {
            inner.whose = Whose::Ours;
            for (account, own) in std::mem::take(&mut inner.lent) {
                account.take_back(own);
            }
        }
    }

    /// The other process serves.
    pub(crate) fn go_apart(&self) {
        let mut inner = self.inner.lock();
        inner.whose = Whose::Apart;
        inner.lent.clear();
    }

    /// Tenants, with what all gateways have sent for each.
    pub(crate) fn sent(&self) -> Vec<(Arc<str>, u64)> {
        let inner = self.inner.lock();
        let mut all: Vec<_> = inner.accounts.iter().map(|(id, account)| (Arc::clone(id), account.sent())).collect();
        all.sort();
        all
    }

    /// Notes the sum of all gateways, of which `own` is this one's part, if it was told as `whose`.
    pub(crate) fn learn(&self, tenant: &str, month: Month, whose: Whose, own: u64, sum: u64) {
        let inner = self.inner.lock();
        if inner.month == month
            && inner.whose == whose
            && let Some(account) = inner.accounts.get(tenant)
        {
            account.others.store(sum.saturating_sub(own), Ordering::Relaxed);
        }
    }

    /// Writes the file, if anything has changed. Blocks.
    pub(crate) fn write(&self) -> io::Result<()> {
        let _one = self.writing.lock();
        let book = {
            let inner = self.inner.lock();
            if inner.whose != Whose::Ours {
                return Ok(());
            }
            let own = |(id, account): (&Arc<str>, &Arc<Account>)| (Arc::clone(id), account.own.load(Ordering::Relaxed));
            self.book(&inner, inner.accounts.iter().map(own).collect())
        };
        self.put(book)
    }

    /// What is to be written, if it is news.
    fn book(&self, inner: &Inner, own: Vec<(Arc<str>, u64)>) -> Option<Book> {
        let sent: BTreeMap<_, _> =
            own.into_iter().filter(|(_, own)| *own > 0).map(|(id, own)| (id.to_string(), own)).collect();
        let book = Book { name: self.name.clone(), month: inner.month.to_string(), sent };
        let is_nothing = book.sent.is_empty() && inner.written.name.is_empty() && !self.shared;
        (book != inner.written && !is_nothing).then_some(book)
    }

    fn put(&self, book: Option<Book>) -> io::Result<()> {
        let (Some(file), Some(book)) = (&self.file, book) else { return Ok(()) };
        // Whole or not at all: a crash in between leaves the file of before.
        let beside = file.with_extension("new");
        let mut new = std::fs::File::create(&beside)?;
        new.write_all(&serde_json::to_vec(&book)?)?;
        new.sync_data()?;
        std::fs::rename(&beside, file)?;
        self.inner.lock().written = book;
        Ok(())
    }
}

fn read(file: &Path) -> io::Result<Option<Book>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::{Quotas, Whose};
    use crate::month::Month;
    use std::sync::Arc;

    /// In November 2026.
    const NOW: i64 = 1_795_304_400;
    const NEXT_MONTH: i64 = NOW + 778_800;

    #[test]
    fn a_month_is_spent_by_all_gateways_together_and_the_next_begins_at_nothing() {
        let quotas = Quotas::open(None, "one", false, NOW).unwrap();
        let tenant = Arc::from("t");
        let account = quotas.account(&tenant, 100);
        account.add(60);
        assert!(!account.is_spent());
        quotas.learn("t", Month::of(NOW), Whose::Ours, 50, 90);
        assert_eq!((account.sent(), account.is_spent()), (100, true));
        // A bound that is raised counts for those that run, too.
        quotas.account(&tenant, 200);
        assert!(!account.is_spent());
        quotas.turn(NEXT_MONTH);
        assert_eq!(account.sent(), 0);
        // An answer about the old month comes late; a clock that is set back changes nothing.
        quotas.learn("t", Month::of(NOW), Whose::Ours, 0, 1_000);
        quotas.turn(NOW);
        assert_eq!(account.sent(), 0);
    }

    #[test]
    fn the_file_goes_on_where_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sent.json");
        let tenant = Arc::from("t");
        let open = |fresh, now| Quotas::open(Some(file.clone()), fresh, false, now).unwrap();
        let quotas = open("one", NOW);
        quotas.write().unwrap();
        assert!(!file.exists(), "nothing to say yet");
        quotas.account(&tenant, 100).add(70);
        quotas.write().unwrap();
        let quotas = open("two", NOW);
        assert_eq!((quotas.name(), quotas.account(&tenant, 100).sent()), ("one", 70));
        let quotas = open("three", NEXT_MONTH);
        assert_eq!((quotas.name(), quotas.account(&tenant, 100).sent()), ("one", 0));
        // What can't be read is not begun anew in silence.
        #[expect(clippy::disallowed_methods, reason = "a test's own file")]
        std::fs::write(&file, "{").unwrap();
        assert!(Quotas::open(Some(file.clone()), "four", false, NOW).is_err());
    }

    #[test]
    fn a_process_that_is_replaced_leaves_name_and_file_and_counts_on_by_itself() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("sent.json");
        let tenant = Arc::from("t");
        let open = |fresh| Quotas::open(Some(file.clone()), fresh, true, NOW).unwrap();
        let old = open("one");
        old.write().unwrap();
        assert_eq!(open("two").name(), "one", "a name that others know stays, though nothing was sent");
        let account = old.account(&tenant, 1_000);
        account.add(70);
        old.hand_over().unwrap();
        account.add(5);
        old.write().unwrap();
        assert_eq!((account.sent(), old.own().1), (75, vec![(tenant.clone(), 5)]));
        // Late news about what was told before.
        old.learn("t", Month::of(NOW), Whose::Ours, 60, 60);
        assert_eq!(account.sent(), 75);
        let new = open("three");
        assert_eq!((new.name(), new.account(&tenant, 1_000).sent()), ("one", 70), "not what was sent since");
        // The new one does not come up.
        old.take_back();
        assert_eq!((account.sent(), old.own().1), (75, vec![(tenant.clone(), 75)]));
        old.write().unwrap();
        // The next one does.
        old.hand_over().unwrap();
        old.go_apart();
        let new = open("four");
        new.account(&tenant, 1_000).add(10);
        account.add(20);
        new.write().unwrap();
        old.write().unwrap();
        assert_eq!(open("five").account(&tenant, 1_000).sent(), 85);
        assert_eq!(old.own(), (Whose::Apart, vec![(tenant.clone(), 20)]));
        old.learn("t", Month::of(NOW), Whose::Apart, 20, 105);
        assert_eq!(account.sent(), 105);
    }
}
