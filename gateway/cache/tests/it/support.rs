//! An origin that a test holds in its hand, and readers that check every byte against it.

use bytes::Bytes;
use cache::{Cache, CacheConfig, ReadError, Reader};
use slice::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginError, SliceOrigin, Spans};
use std::collections::{HashMap, VecDeque};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, watch};

pub(crate) const SLICE: u64 = 64 * 1024;
pub(crate) const CHUNK: u64 = 16 * 1024;
pub(crate) const FILM: MediaId = MediaId::message(-100_500, 7);

/// How a transfer goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Ends with this error after so many bytes.
    After(u64, OriginError),
    /// Ends cleanly after so many bytes.
    Short(u64),
    /// Yields so many bytes too many.
    Long(u64),
    /// Claims to be of another version.
    OtherVersion,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Film {
    pub(crate) size: u64,
    pub(crate) seed: u64,
}

/// What has happened at the origin.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    pub(crate) opens: Vec<ByteRange>,
    pub(crate) describes: u64,
    pub(crate) bodies: usize,
    pub(crate) sent: u64,
}

pub(crate) struct FakeOrigin {
    films: Mutex<HashMap<MediaId, Film>>,
    spans: Mutex<HashMap<MediaId, Spans>>,
    faults: Mutex<VecDeque<Fault>>,
    describe_faults: Mutex<VecDeque<OriginError>>,
    /// What every question and transfer is answered with.
    away: Mutex<Option<OriginError>>,
    /// A permit lets one chunk out; by the first byte of the transfer.
    gates: Mutex<HashMap<u64, Arc<Semaphore>>>,
    describe_gate: Mutex<Option<Arc<Semaphore>>>,
    pub(crate) log: watch::Sender<Log>,
}

struct Body {
    origin: Arc<FakeOrigin>,
    film: Film,
    at: u64,
    end: u64,
    fail: Option<(u64, Option<OriginError>)>,
    gate: Option<Arc<Semaphore>>,
    failed: bool,
}

impl Drop for Body {
    fn drop(&mut self) {
        self.origin.log.send_modify(|log| log.bodies -= 1);
    }
}

pub(crate) struct Origin(pub(crate) Arc<FakeOrigin>);

impl FakeOrigin {
    pub(crate) fn new(size: u64) -> Arc<Self> {
        let films = HashMap::from([(FILM, Film { size, seed: 1 })]);
        Arc::new(Self {
            films: Mutex::new(films),
            spans: Mutex::default(),
            faults: Mutex::default(),
            describe_faults: Mutex::default(),
            away: Mutex::default(),
            gates: Mutex::default(),
            describe_gate: Mutex::default(),
            log: watch::Sender::default(),
        })
    }

    pub(crate) fn put(&self, id: MediaId, film: Film) {
        self.films.lock().unwrap().insert(id, film);
    }

    /// Says where a virtual file's parts lie.
    pub(crate) fn span(&self, id: MediaId, spans: Spans) {
        self.spans.lock().unwrap().insert(id, spans);
    }

    pub(crate) fn remove(&self, id: MediaId) {
        self.films.lock().unwrap().remove(&id);
    }

    pub(crate) fn film(&self, id: MediaId) -> Film {
        self.films.lock().unwrap()[&id]
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.faults.lock().unwrap().push_back(fault);
    }

    pub(crate) fn heal(&self) {
        self.faults.lock().unwrap().clear();
    }

    pub(crate) fn fail_describe(&self, error: OriginError) {
        self.describe_faults.lock().unwrap().push_back(error);
    }

    /// Answers everything with this error from now on, or as usual again.
    pub(crate) fn away(&self, error: Option<OriginError>) {
        *self.away.lock().unwrap() = error;
    }

    /// Holds transfers that start at byte `start`; a permit lets out one chunk.
    pub(crate) fn gate(&self, start: u64) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.gates.lock().unwrap().insert(start, gate.clone());
        gate
    }

    pub(crate) fn gate_describe(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.describe_gate.lock().unwrap() = Some(gate.clone());
        gate
    }

    pub(crate) fn opens(&self) -> Vec<ByteRange> {
        self.log.borrow().opens.clone()
    }

    pub(crate) fn asked(&self) -> u64 {
        self.opens().iter().map(|range| range.len()).sum()
    }

    pub(crate) fn forget_log(&self) {
        self.log.send_modify(|log| log.opens.clear());
    }

    pub(crate) async fn until(&self, what: impl FnMut(&Log) -> bool) {
        self.log.subscribe().wait_for(what).await.unwrap();
    }
}

fn tag(film: Film) -> ETag {
    ETag::new(&format!("{:x}-{:x}", film.seed, film.size))
}

fn meta(film: Film) -> MediaMeta {
    MediaMeta {
        etag: tag(film),
        size: film.size,
        content_type: "video/mp4".to_owned(),
        last_modified: Some(1_700_000_000),
        file_name: Some("film.mp4".to_owned()),
        spans: None,
    }
}

#[async_trait::async_trait]
impl SliceOrigin for Origin {
    async fn describe(&self, media: MediaId) -> Result<MediaMeta, OriginError> {
        let gate = self.0.describe_gate.lock().unwrap().clone();
        self.0.log.send_modify(|log| log.describes += 1);
        if let Some(gate) = gate {
            gate.acquire().await.unwrap().forget();
        }
        if let Some(error) = *self.0.away.lock().unwrap() {
            return Err(error);
        }
        if let Some(error) = self.0.describe_faults.lock().unwrap().pop_front() {
            return Err(error);
        }
        let spans = self.0.spans.lock().unwrap().get(&media).cloned();
        let films = self.0.films.lock().unwrap();
        films.get(&media).map(|film| MediaMeta { spans, ..meta(*film) }).ok_or(OriginError::NotFound)
    }

    async fn open(&self, media: MediaId, etag: &ETag, range: ByteRange) -> Result<Opened, OriginError> {
        assert!(!range.is_empty(), "an empty range was asked for");
        self.0.log.send_modify(|log| log.opens.push(range));
        if let Some(error) = *self.0.away.lock().unwrap() {
            return Err(error);
        }
        let film = *self.0.films.lock().unwrap().get(&media).ok_or(OriginError::Gone)?;
        assert!(range.end <= film.size || *etag != tag(film), "a range past the end was asked for: {range:?}");
        if tag(film) != *etag {
            return Err(OriginError::Changed);
        }
        let mut meta = meta(film);
        let (mut end, mut fail) = (range.end, None);
        match self.0.faults.lock().unwrap().pop_front() {
            None => {}
            Some(Fault::After(0, error)) => return Err(error),
            Some(Fault::After(bytes, error)) => fail = Some((range.start + bytes, Some(error))),
            Some(Fault::Short(bytes)) => fail = Some((range.start + bytes, None)),
            Some(Fault::Long(bytes)) => end += bytes,
            Some(Fault::OtherVersion) => meta.etag = ETag::new("other"),
        }
        self.0.log.send_modify(|log| log.bodies += 1);
        let gate = self.0.gates.lock().unwrap().get(&range.start).cloned();
        let body = Body { origin: self.0.clone(), film, at: range.start, end, fail, gate, failed: false };
        let body = futures_util::stream::unfold(body, |mut body| async move {
            assert!(!std::mem::replace(&mut body.failed, false), "a body was polled past its error");
            if body.at == body.end {
                return None;
            }
            if let Some(gate) = body.gate.clone() {
                gate.acquire().await.unwrap().forget();
            }
            let stop = body.fail.map_or(body.end, |(at, _)| at.min(body.end));
            if let (true, Some((_, error))) = (body.at >= stop, body.fail) {
                body.failed = true;
                let error = error?;
                return Some((Err(error), body));
            }
            // What is too much comes in one chunk with what isn't.
            let end = if stop - body.at < CHUNK + 16 { stop } else { body.at + CHUNK };
            let bytes = Bytes::from(source(body.film, ByteRange { start: body.at, end }));
            body.origin.log.send_modify(|log| log.sent += end - body.at);
            body.at = end;
            Some((Ok(bytes), body))
        });
        Ok(Opened { meta, body: Box::pin(body) })
    }
}

/// The bytes of a film, anywhere, from its seed alone; none of its 8-byte words is like another.
pub(crate) fn source(film: Film, range: ByteRange) -> Vec<u8> {
    let first = range.start / 8;
    let words = (first..range.end.div_ceil(8)).flat_map(|word| {
        let mut x = word.wrapping_add(film.seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(1);
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)).to_le_bytes()
    });
    let skip = usize::try_from(range.start - first * 8).unwrap();
    words.skip(skip).take(usize::try_from(range.len()).unwrap()).collect()
}

pub(crate) fn range(start: u64, end: u64) -> ByteRange {
    ByteRange { start, end }
}

pub(crate) fn config(folder: &Path) -> CacheConfig {
    let mut config = CacheConfig::new(folder);
    config.slice_size = u32::try_from(SLICE).unwrap();
    config.min_free = 0;
    // A pass would hold the folder's lock for a moment after the cache is dropped.
    config.sync_interval = std::time::Duration::ZERO;
    // A clock that a test has stopped would run through any patience while the disk works.
    config.disk_patience = std::time::Duration::ZERO;
    config
}

pub(crate) fn open(config: CacheConfig, origin: &Arc<FakeOrigin>) -> Cache {
    // A cache that was dropped lets go of its folder when the last of its tasks is done.
    for _ in 0..2000 {
        match Cache::open(config.clone(), Arc::new(Origin(origin.clone()))) {
            Err(cache::OpenError::InUse(_)) => std::thread::sleep(std::time::Duration::from_millis(5)),
            opened => return opened.unwrap(),
        }
    }
    panic!("the folder stays in use")
}

/// Reads to the end, checking every piece as it comes.
pub(crate) async fn check(reader: Reader, film: Film, range: ByteRange) -> Result<(), ReadError> {
    check_to(reader, film, range).await.1
}

/// Reads to the end or an error, and says where that was.
pub(crate) async fn check_to(mut reader: Reader, film: Film, range: ByteRange) -> (u64, Result<(), ReadError>) {
    let (mut at, end) = (range.start, range.end.min(film.size).max(range.start));
    loop {
        match reader.next().await {
            Err(error) => return (at, Err(error)),
            Ok(None) => {
                assert_eq!(at, end, "a read ended cleanly before its range did");
                return (at, Ok(()));
            }
            Ok(Some(piece)) => {
                assert!(!piece.is_empty() && piece.len() <= 64 * 1024, "a piece of {} bytes", piece.len());
                let next = at + piece.len() as u64;
                assert!(next <= end, "more than the range");
                assert!(piece == source(film, ByteRange { start: at, end: next }), "wrong bytes in {at}..{next}");
                at = next;
            }
        }
    }
}

/// Reads and checks a range of the film through a fresh look-up.
pub(crate) async fn fetch(cache: &Cache, origin: &FakeOrigin, wanted: ByteRange) {
    let reader = cache.media(FILM).await.unwrap().read(wanted);
    check(reader, origin.film(FILM), wanted).await.unwrap();
}

/// The cache's files with this ending.
pub(crate) fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let Ok(shards) = std::fs::read_dir(folder.join("v1")) else { return found };
    for shard in shards {
        let files = std::fs::read_dir(shard.unwrap().path()).unwrap().map(|file| file.unwrap().path());
        found.extend(files.filter(|path| path.extension().is_some_and(|it| it == ending)));
    }
    found
}

#[expect(clippy::disallowed_methods, reason = "a folder of this test's own")]
pub(crate) fn remove_all(folder: &Path) {
    std::fs::remove_dir_all(folder).unwrap();
}

/// Plays random worlds by seed; `STREAMVAULT_SEED` replays the one that failed, `STREAMVAULT_WORLDS` plays more of them.
pub(crate) async fn worlds<F: Future<Output = ()> + Send + 'static>(count: usize, play: impl Fn(u64) -> F) {
    if let Ok(seed) = std::env::var("STREAMVAULT_SEED") {
        return play(seed.parse().expect("a number")).await;
    }
    let count = std::env::var("STREAMVAULT_WORLDS").map_or(count, |count| count.parse().expect("a number"));
    for _ in 0..count {
        let seed = rand::random();
        let played = tokio::spawn(play(seed)).await;
        assert!(played.is_ok(), "replay with STREAMVAULT_SEED={seed}");
    }
}

/// Bytes that the cache's extent files have blocks for.
pub(crate) fn disk_usage(folder: &Path) -> u64 {
    files(folder, "data").iter().map(|path| std::fs::metadata(path).unwrap().blocks() * 512).sum()
}

/// Bytes that extent files and sidecars have blocks for.
pub(crate) fn sum_of_blocks(folder: &Path) -> u64 {
    let all = files(folder, "data").into_iter().chain(files(folder, "meta"));
    all.map(|path| std::fs::metadata(path).unwrap().blocks() * 512).sum()
}
