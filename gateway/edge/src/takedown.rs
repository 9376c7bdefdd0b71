//! Fourth step, and more: what must not be served is judged right after the link, again once the media is described, and for as long as its bytes go out.
//!
//! It outranks everything that comes after the link: rights, plugins and what is kept of their verdicts, the cache.

use crate::authorize::Signed;
use crate::refusal::Refusal;
use arc_swap::ArcSwap;
use cache::{Media, ReadError};
use parking_lot::Mutex;
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use slice::{ByteRange, ETag, MediaId, MediaMeta};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use takedown::{Content, FileError, HEAD, List, ListFile, Record, RecordError, Target};
use tokio::sync::watch;

/// Versions whose first bytes' digests are remembered.
const MOST_HEADS: usize = 10_000;

/// The list that counts now.
pub(crate) struct Takedowns {
    list: ArcSwap<List>,
    /// Counts changes of the list. Moves after the list does, and is read before it: who judged by an older list judges again.
    epoch: AtomicU64,
    changes: watch::Sender<()>,
    /// Digests of versions' first bytes, where some entry had their size.
    heads: Cache<ETag, [u8; 32]>,
    /// Where the settings have it.
    path: Option<PathBuf>,
    /// While it is this process's to change. Locked for as long as a save takes, by threads that may block.
    file: Mutex<Option<Held>>,
    /// Somebody is about to save, and will save what is in force by then.
    saving: AtomicBool,
    /// Whose the file is.
    held: AtomicBool,
    /// One change at a time.
    changing: Mutex<()>,
}

/// The file, and what is in it.
struct Held {
    file: ListFile,
    saved: Arc<List>,
}

/// A request whose link holds, and of whose media the list says nothing. Only this step makes one, and nobody else is asked about less.
pub(crate) struct Unlisted<'a> {
    pub(crate) signed: Signed<'a>,
    pub(crate) watch: Watch,
}

/// What a request was judged by.
#[derive(Clone)]
pub(crate) struct Watch {
    takedowns: Arc<Takedowns>,
    since: u64,
}

/// The right of an answer to go on: gone as soon as its media is taken down.
pub(crate) struct Standing {
    takedowns: Arc<Takedowns>,
    since: AtomicU64,
    id: MediaId,
    media: Media,
}

/// Judges what the path alone says: media and chat.
pub(crate) fn pass<'a>(signed: Signed<'a>, takedowns: &Arc<Takedowns>) -> Result<Unlisted<'a>, Refusal> {
    let since = takedowns.epoch.load(Ordering::Acquire);
    takedowns.judge_path(signed.media)?;
    Ok(Unlisted { signed, watch: Watch { takedowns: takedowns.clone(), since } })
}

impl Watch {
    /// Judges what a version is: where its parts lie, its document, its content.
    pub(crate) async fn judge(&self, id: MediaId, media: &Media) -> Result<(), Refusal> {
        self.takedowns.judge(id, media).await
    }

    /// For an answer out of this version, which was judged.
    pub(crate) fn standing(&self, id: MediaId, media: &Media) -> Arc<Standing> {
        let since = AtomicU64::new(self.since);
        Arc::new(Standing { takedowns: self.takedowns.clone(), since, id, media: media.clone() })
    }
}

#[cfg(test)]
impl Watch {
    /// By an empty list.
    pub(crate) fn of_test() -> Self {
        let takedowns = Takedowns::open(&config::gateway::Takedown::default()).unwrap();
        Self { takedowns: Arc::new(takedowns), since: 0 }
    }
}

impl Standing {
    /// Judges again if the list has changed. Costs one load if it has not.
    pub(crate) async fn check(&self) -> Result<(), Refusal> {
        let epoch = self.takedowns.epoch.load(Ordering::Acquire);
        if self.since.load(Ordering::Relaxed) == epoch {
            return Ok(());
        }
        self.takedowns.judge(self.id, &self.media).await?;
        self.since.store(epoch, Ordering::Relaxed);
        Ok(())
    }

    /// Returns when the media is taken down, or can't be judged by the list as it is then.
    pub(crate) async fn ended(&self) {
        let mut changes = self.takedowns.changes.subscribe();
        while self.check().await.is_ok() {
            if changes.changed().await.is_err() {
                // The list lives as long as this does.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Takedowns {
    /// Reads the list. Without a file there is none but what other gateways tell.
    ///
    /// # Errors
    /// A file that is not whole: nothing may be served then.
    pub(crate) fn open(settings: &config::gateway::Takedown) -> Result<Self, FileError> {
        let opened = settings.file.as_ref().map(|path| ListFile::open(path)).transpose()?;
        let (file, list) = opened.map_or_else(|| (None, List::default()), |(file, list)| (Some(file), list));
        let list = Arc::new(list);
        let file = file.map(|file| Held { file, saved: list.clone() });
        Ok(Self {
            path: settings.file.clone(),
            list: ArcSwap::new(list),
            epoch: AtomicU64::new(0),
            changes: watch::Sender::new(()),
            heads: Cache::new(MOST_HEADS),
            held: AtomicBool::new(file.is_some()),
            file: Mutex::new(file),
            saving: AtomicBool::new(false),
            changing: Mutex::default(),
        })
    }

    /// Whether what is taken down stays so after a restart.
    pub(crate) fn is_durable(&self) -> bool {
        self.held.load(Ordering::Acquire)
    }

    /// The file is another process's: what is in force here is in it, and nothing more is written. What is heard is still in force here. Blocks, for
    /// as long as a save is under way. False: that took longer than `patience`; nothing is changed then.
    #[must_use]
    pub(crate) fn hand_over(&self, patience: Duration) -> bool {
        // What changes from here on is the other one's to save.
        if !self.held.swap(false, Ordering::AcqRel) {
            return true;
        }
        let Some(mut file) = self.file.try_lock_for(patience) else {
            self.held.store(true, Ordering::Release);
            return false;
        };
        if let Some(Err(error)) = file.as_mut().map(|held| held.save(&self.list())) {
            tracing::error!(%error, "the list of takedowns is handed over as it was saved last, and the rest told");
        }
        *file = None;
        true
    }

    /// The file is this process's again, with what came to be in force meanwhile: nobody else saves that any more. Blocks.
    ///
    /// # Errors
    /// Somebody has it, it is not whole, or it can't be written.
    pub(crate) fn take_back(&self) -> Result<(), FileError> {
        let mut file = self.file.lock();
        if let (None, Some(path)) = (&*file, &self.path) {
            let (opened, list) = ListFile::open(path)?;
            // Whoever had it may have saved what it was told.
            self.learn(list.records().iter().map(|record| Record::clone(record)));
            let mut held = Held { file: opened, saved: Arc::new(list) };
            let saved = held.save(&self.list());
            *file = Some(held);
            self.held.store(true, Ordering::Release);
            saved?;
        }
        Ok(())
    }

    pub(crate) fn is_handed_over(&self) -> bool {
        self.path.is_some() && !self.is_durable()
    }

    pub(crate) fn list(&self) -> Arc<List> {
        self.list.load_full()
    }

    pub(crate) fn judge_path(&self, id: MediaId) -> Result<(), Refusal> {
        let list = self.list.load();
        if list.is_empty() {
            return Ok(());
        }
        refuse(&list, &Target::Media(id))?;
        match id {
            MediaId::Message { chat_id, .. } => refuse(&list, &Target::Chat(chat_id)),
            MediaId::Virtual(_) => Ok(()),
        }
    }

    pub(crate) async fn judge(&self, id: MediaId, media: &Media) -> Result<(), Refusal> {
        self.judge_path(id)?;
        let list = self.list.load_full();
        if list.is_empty() {
            return Ok(());
        }
        let meta = media.meta();
        refuse(&list, &Target::Document(meta.etag.clone()))?;
        judge_parts(&list, meta)?;
        if list.has_size(meta.size) {
            refuse(&list, &Target::Content(Box::pin(self.content(media)).await?))?;
        }
        Ok(())
    }

    /// What uploads of the same bytes have in common. The first bytes are read once per version.
    pub(crate) async fn content(&self, media: &Media) -> Result<Content, ReadError> {
        let MediaMeta { etag, size, .. } = media.meta();
        if let Some(sha256) = self.heads.get(etag) {
            return Ok(Content { size: *size, sha256 });
        }
        let mut digest = Sha256::new();
        if *size > 0 {
            let mut reader = media.read(ByteRange { start: 0, end: HEAD.min(*size) });
            while let Some(piece) = reader.next().await? {
                digest.update(&piece);
            }
        }
        let sha256 = digest.finalize().into();
        self.heads.insert(etag.clone(), sha256);
        Ok(Content { size: *size, sha256 })
    }

    /// One act of this gateway's operator: later than everything that is known here. In force when this returns; to be saved.
    pub(crate) fn act(
        &self,
        target: Target,
        down: bool,
        at: u64,
        by: &str,
        reason: &str,
    ) -> Result<Vec<Arc<Record>>, RecordError> {
        let _one = self.changing.lock();
        let record = Record::new(target, self.list.load().next_version(), down, at, by, reason)?;
        Ok(self.merge([record]))
    }

    /// What others know. Gives what was not known here. In force when this returns; to be saved.
    pub(crate) fn learn(&self, records: impl IntoIterator<Item = Record>) -> Vec<Arc<Record>> {
        let _one = self.changing.lock();
        self.merge(records)
    }

    /// In force first, on disk second: a disk that fails must not keep anything in service, nor from being told to others.
    fn merge(&self, records: impl IntoIterator<Item = Record>) -> Vec<Arc<Record>> {
        let mut list = List::clone(&self.list.load());
        let mut news = Vec::new();
        for record in records {
            let target = record.target.clone();
            if list.merge(record) {
                news.extend(list.last(&target).cloned());
            }
        }
        if !news.is_empty() {
            self.list.store(Arc::new(list));
            self.epoch.fetch_add(1, Ordering::Release);
            self.changes.send_replace(());
        }
        news
    }

    /// Returns when what is in force is on disk, if it is this process's to write. A save that was begun goes on to its end.
    ///
    /// # Errors
    /// The disk's.
    pub(crate) async fn save(self: &Arc<Self>) -> Result<(), FileError> {
        let this = self.clone();
        // A thread that died has written nothing that anybody can rely on.
        let died = |error| FileError::Disk { path: "takedown.file".into(), source: std::io::Error::other(error) };
        tokio::task::spawn_blocking(move || this.save_now()).await.unwrap_or_else(|error| Err(died(error)))
    }

    /// The same from outside of every runtime, behind the caller's back.
    pub(crate) fn save_soon(self: &Arc<Self>) {
        if self.saving.swap(true, Ordering::AcqRel) {
            return;
        }
        let this = self.clone();
        let save = move || {
            if let Err(error) = this.save_now() {
                tracing::error!(%error, "takedowns are in force, but not on disk");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("takedowns".to_owned()).spawn(save) {
            self.saving.store(false, Ordering::Release);
            tracing::error!(%error, "takedowns are in force, but not on disk");
        }
    }

    fn save_now(&self) -> Result<(), FileError> {
        let mut file = self.file.lock();
        // Who comes from here on may have news that this save misses.
        self.saving.store(false, Ordering::Release);
        file.as_mut().map_or(Ok(()), |held| held.save(&self.list()))
    }
}

impl Held {
    fn save(&mut self, list: &Arc<List>) -> Result<(), FileError> {
        if !Arc::ptr_eq(&self.saved, list) {
            self.file.save(list)?;
            self.saved = list.clone();
        }
        Ok(())
    }
}

/// A virtual file's parts, as far as the hive tells of them: every chat, and the first part's message.
fn judge_parts(list: &List, meta: &MediaMeta) -> Result<(), Refusal> {
    let Some(spans) = &meta.spans else { return Ok(()) };
    refuse(list, &Target::Media(MediaId::message(spans.chat_id, spans.message_id)))?;
    spans.chats.iter().try_for_each(|chat| refuse(list, &Target::Chat(*chat)))
}

fn refuse(list: &List, target: &Target) -> Result<(), Refusal> {
    match list.find(target) {
        Some(record) => Err(Refusal::TakenDown(record.clone())),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Takedowns, judge_parts};
    use crate::refusal::Refusal;
    use slice::{ETag, MediaMeta, Spans};
    use std::sync::Arc;
    use std::time::Duration;
    use takedown::{List, ListFile, Record};

    #[test]
    fn a_virtual_file_goes_with_its_chats_and_its_first_message() {
        let spans = Some(Spans { chat_id: -5, message_id: 7, chats: vec![-5, -6] });
        let (content_type, etag) = ("video/mp4".to_owned(), ETag::new("v1"));
        let meta = MediaMeta { etag, size: 10, content_type, last_modified: None, file_name: None, spans };
        for (target, down) in [
            ("chat:-5", true),
            ("chat:-6", true),
            ("chat:-7", false),
            ("/stream/-5/7", true),
            ("/stream/-5/8", false),
            ("/stream/-6/7", false),
        ] {
            let mut list = List::default();
            list.merge(Record::new(target.parse().unwrap(), 1, true, 0, "a", "x").unwrap());
            let judged = judge_parts(&list, &meta);
            assert_eq!(matches!(judged, Err(Refusal::TakenDown(_))), down, "{target}");
        }
    }

    #[test]
    fn what_is_acted_on_while_another_process_has_the_file_is_in_it_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("takedowns");
        ListFile::create(&path).unwrap();
        let settings = config::gateway::Takedown { file: Some(path.clone()) };
        let takedowns = Arc::new(Takedowns::open(&settings).unwrap());
        let act = |target: &str| takedowns.act(target.parse().unwrap(), true, 0, "a", "b").unwrap();
        // Not saved by itself; a hand-over leaves nothing behind.
        act("chat:-1");
        assert!(takedowns.hand_over(Duration::from_secs(1)) && !takedowns.is_durable() && takedowns.is_handed_over());
        let (theirs, list) = ListFile::open(&path).unwrap();
        assert_eq!(list.records().len(), 1);
        act("chat:-2");
        takedowns.save_now().unwrap();
        assert!(takedowns.list().find(&"chat:-2".parse().unwrap()).is_some(), "in force");
        assert!(takedowns.take_back().is_err() && takedowns.is_handed_over(), "the other one lives");
        // It has saved what it was told, and dies.
        let mut told = list;
        told.merge(Record::new("chat:-3".parse().unwrap(), 9, true, 0, "a", "b").unwrap());
        theirs.save(&told).unwrap();
        drop(theirs);
        takedowns.take_back().unwrap();
        assert!(takedowns.is_durable());
        for target in ["chat:-1", "chat:-2", "chat:-3"] {
            let target = target.parse().unwrap();
            assert!(takedowns.list().find(&target).is_some(), "{target} in force");
            assert!(ListFile::read(&path).unwrap().find(&target).is_some(), "{target} on disk");
        }
        // A save that is under way is waited for, and not for ever.
        let busy = takedowns.file.lock();
        assert!(!takedowns.hand_over(Duration::from_millis(1)) && takedowns.is_durable());
        drop(busy);
    }
}
