//! A cache of very many slices: what its index takes, how long a start takes until the first byte is out, and a purge.
//!
//! ```text
//! cargo run --release -p cache --example million -- [FILMS] [SLICES PER FILM] [FOLDER]
//! ```
//! One million slices of 1 MiB by default, in 1000 films of 100 chats, all zeros: extent files are nothing but holes, and only
//! sidecars are written. Prints one `name value` a line, for the benchmarks to read. Exits 1 if something isn't as it must be.
#![expect(clippy::print_stdout, reason = "its results go to standard output")]

#[allow(dead_code, reason = "the cache's own module, of which writing is a part")]
#[path = "../src/format.rs"]
mod format;
#[allow(dead_code, reason = "the cache's own module, of which this needs the counting")]
#[path = "../src/geometry.rs"]
mod geometry;

use cache::{Cache, CacheConfig, Running, Scope};
use slice::{ByteRange, ETag, MediaId, MediaMeta, Opened, OriginError, SliceOrigin};
use std::error::Error;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

const SLICE: u32 = 1 << 20;
const CHATS: u64 = 100;

/// Knows every film; none of its bytes is ever asked for.
struct Films {
    slices: u64,
}

#[async_trait::async_trait]
impl SliceOrigin for Films {
    async fn describe(&self, media: MediaId) -> Result<MediaMeta, OriginError> {
        Ok(meta(media, self.slices))
    }

    async fn open(&self, _: MediaId, _: &ETag, _: ByteRange) -> Result<Opened, OriginError> {
        Err(OriginError::Unreachable)
    }
}

fn film(n: u64) -> MediaId {
    let chat_id = -1_000_000_000_000 - i64::try_from(n % CHATS).unwrap_or_default();
    MediaId::message(chat_id, i32::try_from(n / CHATS).unwrap_or(i32::MAX))
}

fn meta(media: MediaId, slices: u64) -> MediaMeta {
    MediaMeta {
        etag: ETag::new(&format!("{:016x}-{:x}", xxh3_64(media.to_string().as_bytes()), slices * u64::from(SLICE))),
        size: slices * u64::from(SLICE),
        content_type: "video/mp4".to_owned(),
        last_modified: Some(1_700_000_000),
        file_name: Some(format!("A film of {media}.mp4").replace('/', "-")),
        spans: None,
    }
}

/// Writes the folder that a cache would have left behind.
fn build(folder: &Path, films: u64, slices: u64) -> Result<(), Box<dyn Error>> {
    let zeros = xxh3_64(&vec![0; SLICE as usize]);
    for n in 0..films {
        let (media, incarnation) = (film(n), n + 1);
        let meta = meta(media, slices);
        let stem = format::stem(media, &meta.etag, incarnation);
        let shard = folder.join("v1").join(stem.get(..2).unwrap_or("00"));
        fs::create_dir_all(&shard)?;
        File::create_new(shard.join(format!("{stem}.data")))?.set_len(meta.size)?;
        let mut sidecar = format::Header { media, meta, slice_size: SLICE, incarnation }.encode()?;
        for slice in 0..u32::try_from(slices)? {
            sidecar.extend_from_slice(&format::record(incarnation, slice, zeros));
        }
        File::create_new(shard.join(format!("{stem}.meta")))?.write_all(&sidecar)?;
    }
    Ok(())
}

/// Bytes of the process that are in memory.
fn resident() -> Result<u64, Box<dyn Error>> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1024)
}

fn print(name: &str, value: f64) {
    println!("{name} {value:.2}");
}

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

async fn first_byte(cache: &Cache, n: u64) -> Result<(), Box<dyn Error>> {
    let mut reader = cache.media(film(n)).await?.read(ByteRange { start: 3 << 20, end: (3 << 20) + 65_536 });
    let piece = reader.next().await?.ok_or("an empty range")?;
    if piece.iter().any(|byte| *byte != 0) {
        return Err("wrong bytes".into());
    }
    Ok(())
}

/// The longest that a look-up takes as long as `going`.
async fn longest_look_up(cache: Cache, films: u64, going: Arc<AtomicBool>) -> Duration {
    let (mut longest, mut n) = (Duration::ZERO, 0);
    while going.load(Ordering::SeqCst) {
        let started = now();
        // Of a chat that is not purged.
        if n % CHATS != 7 {
            let _ = cache.media(film(n)).await;
        }
        longest = longest.max(started.elapsed());
        n = (n + 1) % films;
        tokio::task::yield_now().await;
    }
    longest
}

#[expect(clippy::disallowed_methods, reason = "a benchmark's clock")]
fn now() -> Instant {
    Instant::now()
}

async fn measure(folder: &Path, films: u64, slices: u64) -> Result<(), Box<dyn Error>> {
    let config = CacheConfig { max_size: u64::MAX / 2, min_free: 0, scrub_rate: 0, ..CacheConfig::new(folder) };
    let (before, started) = (resident()?, now());
    let cache = Cache::open(config, Arc::new(Films { slices }))?;
    print("open_ms", milliseconds(started));
    first_byte(&cache, films / 2).await?;
    print("open_to_first_hit_ms", milliseconds(started));
    let stats = cache.stats();
    if (stats.media, stats.slices) != (films, films * slices) {
        return Err(format!("not all was found: {stats:?}").into());
    }
    let index = resident()?.saturating_sub(before) as f64;
    print("index_mib", index / f64::from(1 << 20));
    print("index_bytes_per_slice", index / (films * slices) as f64);
    let going = Arc::new(AtomicBool::new(true));
    let looking = tokio::spawn(longest_look_up(cache.clone(), films, going.clone()));
    let started = now();
    let MediaId::Message { chat_id, .. } = film(7) else { return Err("no chat".into()) };
    let purged = cache.purge(&Scope::Chats([chat_id].into()), Running::Cut).await;
    print("purge_one_chat_ms", milliseconds(started));
    going.store(false, Ordering::SeqCst);
    print("longest_look_up_meanwhile_ms", looking.await?.as_secs_f64() * 1e3);
    print("purged_media", purged.media as f64);
    print("purged_slices", purged.slices as f64);
    if purged.slices != films / CHATS * slices {
        return Err(format!("not all was purged: {purged:?}").into());
    }
    let started = now();
    cache.purge(&Scope::All, Running::Cut).await;
    print("purge_all_ms", milliseconds(started));
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let films = arguments.next().map_or(Ok(1_000), |films| films.parse::<u64>())?.next_multiple_of(CHATS);
    let slices = arguments.next().map_or(Ok(1_000), |slices| slices.parse::<u64>())?.max(4);
    let parent = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::Builder::new().prefix("million-").tempdir_in(parent)?;
    let started = now();
    build(folder.path(), films, slices)?;
    print("films", films as f64);
    print("slices", (films * slices) as f64);
    print("build_ms", milliseconds(started));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(measure(folder.path(), films, slices))
}
