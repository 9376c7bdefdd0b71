//! Fourth step, and more: what must not be served is judged right after the link, again once the media is described, and for as long as its bytes go out.
//!
//! It outranks everything that comes after the link: rights, plugins and what is kept of their verdicts, the cache.

use crate::authorize::Signed;
use crate::refusal::Refusal;
use arc_swap::ArcSwap;
use cache::{Media, ReadError};
use quick_cache::sync::Cache;
use sha2::{Digest, Sha256};
use slice::{ByteRange, ETag, MediaId, MediaMeta};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
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
    file: Option<Arc<ListFile>>,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
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

/// What a change came to.
pub(crate) struct Changed {
    /// Records that count now and did not before.
    pub(crate) news: Vec<Arc<Record>>,
    /// Whether they will after a restart.
    pub(crate) saved: Result<(), FileError>,
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
        let (file, list) = opened.map_or_else(|| (None, List::default()), |(file, list)| (Some(Arc::new(file)), list));
        Ok(Self {
            list: ArcSwap::from_pointee(list),
            epoch: AtomicU64::new(0),
            changes: watch::Sender::new(()),
            heads: Cache::new(MOST_HEADS),
            file,
            changing: tokio::sync::Mutex::default(),
        })
    }

    /// Whether what is taken down stays so after a restart.
    pub(crate) fn is_durable(&self) -> bool {
        self.file.is_some()
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
            refuse(&list, &Target::Content(self.content(media).await?))?;
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

    /// One act of this gateway's operator: later than everything that is known here.
    pub(crate) async fn act(
        &self,
        target: Target,
        down: bool,
        at: u64,
        by: &str,
        reason: &str,
    ) -> Result<Changed, RecordError> {
        let _one = self.changing.lock().await;
        let record = Record::new(target, self.list.load().next_version(), down, at, by, reason)?;
        Ok(self.merge([record]).await)
    }

    /// What other gateways know.
    pub(crate) async fn learn(&self, records: impl IntoIterator<Item = Record>) -> Changed {
        let _one = self.changing.lock().await;
        self.merge(records).await
    }

    /// In force first, on disk second: a disk that fails must not keep anything in service.
    async fn merge(&self, records: impl IntoIterator<Item = Record>) -> Changed {
        let mut list = List::clone(&self.list.load());
        let mut news = Vec::new();
        for record in records {
            let target = record.target.clone();
            if list.merge(record) {
                news.extend(list.last(&target).cloned());
            }
        }
        if news.is_empty() {
            return Changed { news, saved: Ok(()) };
        }
        let list = Arc::new(list);
        self.list.store(list.clone());
        self.epoch.fetch_add(1, Ordering::Release);
        self.changes.send_replace(());
        let saved = match &self.file {
            Some(file) => {
                let file = file.clone();
                // A thread that died has written nothing that anybody can rely on.
                let died =
                    |error| FileError::Disk { path: "takedown.file".into(), source: std::io::Error::other(error) };
                tokio::task::spawn_blocking(move || file.save(&list)).await.unwrap_or_else(|error| Err(died(error)))
            }
            None => Ok(()),
        };
        Changed { news, saved }
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
    use super::judge_parts;
    use crate::refusal::Refusal;
    use slice::{ETag, MediaMeta, Spans};
    use takedown::{List, Record};

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
}
