//! A run: one transfer from the origin into a stretch of slices, as a task that outlives the reader that started it.

use crate::claims::RunId;
use crate::fill::{Failure, Fill, Reach, Task};
use crate::patience::{Stuck, Undone};
use crate::places::Place;
use crate::pool::Lane;
use crate::shared::{Shared, Work};
use crate::store::Files;
use crate::version::{Doom, Version};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use parking_lot::Mutex;
use slice::{ByteRange, OriginBody, OriginError};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use xxhash_rust::xxh3::Xxh3Default;

/// Bytes written at once. What arrives during a write is written by the next: the slower the disk, the larger the writes.
const BATCH: usize = 512 * 1024;
/// Bytes of older slices given up when the disk is full.
const GIVE_UP: u64 = 4 * BATCH as u64;

/// A run that was claimed and is to be started.
pub(crate) struct Lead {
    pub(crate) run: RunId,
    pub(crate) fill: Arc<Fill>,
    /// Bytes to ask for.
    pub(crate) bytes: ByteRange,
    pub(crate) part: Part,
    pub(crate) place: Arc<Place>,
}

/// What of its slices a run fetches.
#[derive(Clone)]
pub(crate) enum Part {
    /// All of them.
    Whole,
    /// From the middle of the first one, which is made whole by somebody else.
    Tail,
    /// The bytes before a tail. Starts when the tail has its first byte, and makes the slice whole when both are done.
    Head(Arc<Fill>),
}

/// Starts a run on the current runtime.
pub(crate) fn launch(shared: &Arc<Shared>, version: &Arc<Version>, lead: Lead) {
    shared.counters.running_fills.add(1);
    let Lead { run, fill, bytes, part, place } = lead;
    let mut job = Job {
        shared: shared.clone(),
        version: version.clone(),
        run,
        fill,
        // What stands if the task is dropped half-way: its runtime ended, or it panicked.
        outcome: Err(Failure::Origin(OriginError::Unreachable)),
        place: Some(place),
        stuck: Mutex::default(),
        _work: shared.work(),
    };
    let task = async move {
        job.outcome = tokio::select! {
            biased;
            // Its claims are others' already, and it waits for nothing but the origin.
            () = job.fill.abandoned() => Ok(()),
            outcome = job.fetch(bytes, part) => outcome,
        };
        match job.outcome {
            Err(Failure::Origin(OriginError::Changed)) => {
                job.shared.discard_soon(job.version.clone(), Doom::Changed);
            }
            Err(Failure::Origin(OriginError::Gone | OriginError::NotFound)) => job.shared.distrust(job.version.media),
            _ => {}
        }
        let stuck = job.stuck.lock().take();
        if let Some(stuck) = stuck {
            // Readers go on elsewhere now. The claims stay until the disk is done: nobody writes or evicts what it may yet write.
            job.fill.close(job.outcome.err());
            drop(job.place.take());
            stuck.await;
        }
    };
    tokio::spawn(traces::detached("fill", task));
}

/// A running run. Dropping it ends the run: claims are freed, litter is cleared, readers are told.
struct Job {
    shared: Arc<Shared>,
    version: Arc<Version>,
    run: RunId,
    fill: Arc<Fill>,
    outcome: Result<(), Failure>,
    /// A disk call that the run has given up waiting for.
    stuck: Mutex<Option<Stuck>>,
    /// Given back when the claims are free, or sooner if only the disk keeps them.
    place: Option<Arc<Place>>,
    /// The last field: dropped last.
    _work: Work,
}

/// Writes bytes in order, and seals each slice that it has seen from its first byte to its last.
struct Writer {
    version: Arc<Version>,
    files: Arc<Files>,
    at: u64,
    hasher: Box<Xxh3Default>,
    /// This slice isn't sealed here.
    skip: Option<u32>,
}

impl Job {
    async fn fetch(&self, bytes: ByteRange, part: Part) -> Result<(), Failure> {
        match part {
            Part::Head(tail) => self.head(bytes, &tail).await,
            Part::Whole => self.stretch(bytes, false).await,
            Part::Tail => self.stretch(bytes, true).await,
        }
    }

    async fn stretch(&self, bytes: ByteRange, is_tail: bool) -> Result<(), Failure> {
        let geometry = self.version.geometry;
        let (files, body) = tokio::join!(self.files(), self.open(bytes));
        // A changed media outranks a disk fault.
        let mut body = body?;
        let mut writer = Box::new(Writer {
            version: self.version.clone(),
            files: files?,
            at: bytes.start,
            hasher: Box::default(),
            skip: is_tail.then(|| geometry.slice_of(bytes.start)),
        });
        loop {
            let at = writer.at;
            if at >= self.limit(at) {
                return Ok(());
            }
            let batch = self.gather(&mut body, bytes.end - at).await?;
            let last = at + batch.iter().map(|chunk| chunk.len() as u64).sum::<u64>();
            // From here on no split cuts before `last`; what was cut off meanwhile isn't ours to write.
            let limit = self.limit(last - 1).min(last);
            if at >= limit {
                return Ok(());
            }
            let batch = cut(batch, limit - at);
            let (back, done) =
                self.blocking(move |shared| writer.write(shared, &batch).map(|done| (writer, done))).await?;
            writer = back;
            self.publish(writer.at, &done);
            self.wrote(writer.at - at).await;
        }
    }

    async fn head(&self, bytes: ByteRange, tail: &Fill) -> Result<(), Failure> {
        let slice = self.version.geometry.slice_of(bytes.start);
        // The tail is what a viewer waits for: it has the line to itself until it flows.
        expect(tail.wait(bytes.end).await)?;
        let (files, body) = tokio::join!(self.files(), self.open(bytes));
        let (mut body, files) = (body?, files?);
        let mut at = bytes.start;
        while at < bytes.end {
            let batch = self.gather(&mut body, bytes.end - at).await?;
            if at >= self.limit(at) {
                // Abandoned: the slice is another's.
                return Ok(());
            }
            let files = files.clone();
            let end = self.blocking(move |shared| shared.write_all(&files, &batch, at)).await?;
            self.publish(end, &[]);
            self.wrote(end - at).await;
            at = end;
        }
        // The hive's stream is free for others while the tail takes its time.
        drop(body);
        self.fill.set(Task::Follows);
        let version = self.version.clone();
        let end = self.version.geometry.end(slice);
        expect(tail.wait(end - 1).await)?;
        self.fill.set(Task::Works);
        if self.limit(end - 1) < end {
            return Ok(());
        }
        self.blocking(move |shared| {
            let checksum =
                shared.store.checksum(&files, bytes.start..end).inspect_err(|error| shared.disk_error(error))?;
            shared.commit(&files, slice, checksum)?;
            shared.measure(&version, &files);
            Ok(())
        })
        .await?;
        self.publish(bytes.end, &[slice]);
        Ok(())
    }

    /// Asks the origin, and holds it to the pinned version.
    async fn open(&self, bytes: ByteRange) -> Result<Body, Failure> {
        self.shared.counters.fills.add(1);
        let meta = &self.version.meta;
        self.fill.set(Task::Asks);
        let opened = self.shared.origin.open(self.version.media, &meta.etag, bytes).await;
        self.fill.set(Task::Works);
        let opened = opened.map_err(Failure::Origin)?;
        if opened.meta.etag != meta.etag {
            return Err(Failure::Origin(OriginError::Changed));
        }
        if opened.meta.size != meta.size {
            return Err(Failure::Origin(OriginError::Protocol));
        }
        Ok(Body { stream: opened.body, end: None })
    }

    /// The next bytes. What follows asks `limit` before it writes: the fill may have been abandoned just now.
    async fn gather(&self, body: &mut Body, left: u64) -> Result<Vec<Bytes>, Failure> {
        self.fill.set(Task::Asks);
        let batch = body.gather(left).await;
        self.fill.set(Task::Works);
        batch
    }

    /// The version's files, made if need be, and room for what is to come.
    async fn files(&self) -> Result<Arc<Files>, Failure> {
        let version = self.version.clone();
        self.blocking(move |shared| {
            let files = match shared.files(&version, true) {
                Err(error) if error.kind() == io::ErrorKind::StorageFull => {
                    shared.give_up(GIVE_UP);
                    shared.files(&version, true)
                }
                files => files,
            };
            shared.make_room();
            files
        })
        .await
    }

    /// Where the run ends, in bytes, once it writes byte `upto`.
    fn limit(&self, upto: u64) -> u64 {
        let geometry = self.version.geometry;
        let stop = match self.version.is_withdrawn() {
            true => 0,
            false => self.version.with(|claims, _| claims.reserve(self.run, geometry.slice_of(upto))),
        };
        geometry.start(stop).min(geometry.size())
    }

    /// Readers may have the bytes up to `to`; these slices are whole.
    fn publish(&self, to: u64, done: &[u32]) {
        self.version.stalls.store(0, Ordering::Relaxed);
        self.fill.publish(to);
        if done.is_empty() {
            return;
        }
        let queue: Vec<u32> = self
            .version
            .with(|claims, _| done.iter().copied().filter(|&slice| claims.complete(self.run, slice)).collect());
        self.shared.keeper.insert(&self.version, &queue);
        self.shared.unsynced.touch(&self.version);
    }

    /// Books bytes and makes room for them. After they were published: viewers don't wait for holes to be punched, the next
    /// write does.
    async fn wrote(&self, bytes: u64) {
        self.shared.counters.bytes_filled.add(bytes);
        if self.shared.keeper.is_due(&self.shared.counters, bytes) || self.shared.store.is_handed_over() {
            self.shared.chore(|shared| shared.make_room()).await;
        }
    }

    async fn blocking<R: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Shared>) -> io::Result<R> + Send + 'static,
    ) -> Result<R, Failure> {
        if self.shared.fills_past_disk(&self.version) {
            return Err(Failure::Disk);
        }
        match self.shared.disk(Lane::Write, Some(&self.version), work).await {
            Ok(done) => Ok(done),
            Err(Undone::Failed) => Err(Failure::Disk),
            Err(Undone::Stuck(stuck)) => {
                *self.stuck.lock() = Some(stuck);
                Err(Failure::Disk)
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        let litter = self.version.with(|claims, _| {
            claims.finish(self.run);
            claims.take_litter()
        });
        self.shared.clear(&self.version, litter);
        if self.outcome.is_err() {
            self.shared.counters.fill_failures.add(1);
        }
        self.fill.close(self.outcome.err());
        self.shared.counters.running_fills.sub(1);
    }
}

impl Writer {
    /// Writes chunks, and returns the slices that this made whole. Blocks.
    fn write(&mut self, shared: &Shared, batch: &[Bytes]) -> io::Result<Vec<u32>> {
        let geometry = self.version.geometry;
        shared.write_all(&self.files, batch, self.at)?;
        let mut done = Vec::new();
        for chunk in batch {
            let mut rest = chunk.as_ref();
            while !rest.is_empty() {
                let slice = geometry.slice_of(self.at);
                let room = usize::try_from(geometry.end(slice) - self.at).unwrap_or(usize::MAX);
                let (here, next) = rest.split_at(room.min(rest.len()));
                self.hasher.update(here);
                self.at += here.len() as u64;
                rest = next;
                if self.at == geometry.end(slice) {
                    let checksum = self.hasher.digest();
                    self.hasher.reset();
                    if self.skip != Some(slice) {
                        shared.commit(&self.files, slice, checksum)?;
                        done.push(slice);
                    }
                }
            }
        }
        if !done.is_empty() {
            shared.measure(&self.version, &self.files);
        }
        Ok(done)
    }
}

impl Shared {
    /// Writes chunks one after the other and returns where they end. On a full disk, gives up older slices and tries again.
    fn write_all(&self, files: &Files, batch: &[Bytes], at: u64) -> io::Result<u64> {
        let mut end = at;
        for chunk in batch {
            let mut written = self.store.write(files, chunk, end);
            if written.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::StorageFull) {
                self.give_up(GIVE_UP);
                written = self.store.write(files, chunk, end);
            }
            written.inspect_err(|error| self.disk_error(error))?;
            end += chunk.len() as u64;
        }
        Ok(end)
    }

    fn commit(&self, files: &Files, slice: u32, checksum: u64) -> io::Result<()> {
        self.store.commit(files, slice, checksum).inspect_err(|error| self.disk_error(error))
    }
}

/// A body that is never polled past its end, and holds a fault back until the bytes before it are used.
struct Body {
    stream: OriginBody,
    end: Option<Failure>,
}

impl Body {
    /// Waits for bytes, then takes what else is there already. More than `left` bytes break the contract, as do fewer.
    async fn gather(&mut self, left: u64) -> Result<Vec<Bytes>, Failure> {
        let (mut batch, mut len) = (Vec::new(), 0);
        while len < BATCH && (len as u64) < left && self.end.is_none() {
            let next = match self.stream.next().now_or_never() {
                None if !batch.is_empty() => break,
                None => self.stream.next().await,
                Some(next) => next,
            };
            match next {
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    len += chunk.len();
                    batch.push(chunk);
                }
                Some(Err(error)) => self.end = Some(Failure::Origin(error)),
                None => self.end = Some(Failure::Origin(OriginError::Protocol)),
            }
        }
        match self.end {
            _ if len as u64 > left => Err(Failure::Origin(OriginError::Protocol)),
            Some(failure) if batch.is_empty() => Err(failure),
            _ => Ok(batch),
        }
    }
}

/// The first `len` bytes of a batch.
fn cut(mut batch: Vec<Bytes>, len: u64) -> Vec<Bytes> {
    let mut left = usize::try_from(len).unwrap_or(usize::MAX);
    for chunk in &mut batch {
        chunk.truncate(left);
        left -= chunk.len();
    }
    batch.retain(|chunk| !chunk.is_empty());
    batch
}

/// A head is of no use without its tail.
fn expect(reach: Reach) -> Result<(), Failure> {
    match reach {
        Reach::Bytes(_) => Ok(()),
        Reach::Ended(failure) => Err(failure.unwrap_or(Failure::Origin(OriginError::Unreachable))),
    }
}
