//! Disk calls off the event loop, and what becomes of those who wait for them when the disk is slow, stuck or sick.

use crate::breaker::Breaker;
use crate::handover::Withheld;
use crate::pool::{Lane, Lost, Pending};
use crate::shared::{Shared, Work};
use crate::version::Version;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use rustix::io::Errno;
use std::convert::Infallible;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// The longest time between two probes of a sick disk.
const PROBE: Duration = Duration::from_secs(1);

/// How the disk is. Reading and writing fail apart: a full disk still gives back what it has.
#[derive(Debug, Default)]
pub(crate) struct Health {
    reads: Breaker,
    writes: Breaker,
    /// There while a thread probes; dropped, it ends the thread.
    probing: Mutex<Option<Sender<Infallible>>>,
}

/// Why a disk call is of no use to who waited for it.
pub(crate) enum Undone {
    /// It failed, and was counted, or it was never begun.
    Failed,
    /// It is still at work.
    Stuck(Stuck),
}

/// The disk took too long.
#[derive(Debug)]
pub(crate) struct OutOfPatience;

/// Ends when the call does. What the call works on must be kept until then.
pub(crate) type Stuck = BoxFuture<'static, ()>;

/// A version counts as stuck while one of these lives.
struct Mark(Arc<Shared>, Arc<Version>);

impl Mark {
    fn new(shared: &Arc<Shared>, version: &Arc<Version>) -> Self {
        version.stuck(true);
        shared.counters.disk_stuck.add(1);
        Self(shared.clone(), version.clone())
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let Self(shared, version) = self;
        version.stuck(false);
        shared.counters.disk_stuck.sub(1);
    }
}

/// What a queued call holds on to. In this order: once nothing is at work, the folder is free.
struct Hold(Arc<Shared>, Work);

impl Shared {
    /// Runs a chore on the pool, to its end whether or not the outcome is waited for; `idle` waits for it.
    pub(crate) fn blocking<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Arc<Self>) -> R + Send + 'static,
    ) -> Pending<R> {
        self.submit(Lane::Chore, None, work)
    }

    /// Waits for a chore, but no longer than a viewer would: it goes on by itself.
    pub(crate) async fn chore(self: &Arc<Self>, work: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let done = self.disk(Lane::Chore, None, move |shared| {
            work(shared);
            Ok(())
        });
        let _ = done.await;
    }

    fn submit<R: Send + 'static>(
        self: &Arc<Self>,
        lane: Lane,
        version: Option<&Arc<Version>>,
        work: impl FnOnce(&Arc<Self>) -> R + Send + 'static,
    ) -> Pending<R> {
        let hold = Hold(self.clone(), self.work());
        self.pool.run(lane, version.map(|version| version.incarnation), move || {
            let Hold(shared, work_mark) = hold;
            let done = work(&shared);
            drop(shared);
            drop(work_mark);
            done
        })
    }

    /// Runs a disk call on the pool and waits for it as long as `disk_patience`. Its outcome is booked on the disk's health.
    /// Queued at once, whether or not it is waited for.
    pub(crate) fn disk<R, W>(
        self: &Arc<Self>,
        lane: Lane,
        version: Option<&Arc<Version>>,
        work: W,
    ) -> impl Future<Output = Result<R, Undone>> + Send + use<R, W>
    where
        R: Send + 'static,
        W: FnOnce(&Arc<Self>) -> io::Result<R> + Send + 'static,
    {
        let pending = self.submit(lane, version, work);
        self.clone().wait(lane, version.cloned(), pending)
    }

    /// Waits for the disk's doing, but no longer than `disk_patience`.
    pub(crate) async fn patiently<R>(&self, done: impl Future<Output = R>) -> Result<R, OutOfPatience> {
        let patience = self.config().disk_patience;
        if patience.is_zero() {
            return Ok(done.await);
        }
        tokio::time::timeout(patience, done).await.map_err(|_| OutOfPatience)
    }

    async fn wait<R: Send + 'static>(
        self: Arc<Self>,
        lane: Lane,
        version: Option<Arc<Version>>,
        mut pending: Pending<io::Result<R>>,
    ) -> Result<R, Undone> {
        match self.patiently(&mut pending).await {
            Ok(Ok(Ok(done))) => {
                self.breaker(lane).succeeded();
                Ok(done)
            }
            Ok(Ok(Err(error))) => {
                if is_the_disks(&error) {
                    self.suffer(lane);
                }
                Err(Undone::Failed)
            }
            Ok(Err(Lost)) => Err(Undone::Failed),
            Err(OutOfPatience) => {
                self.counters.disk_timeouts.add(1);
                self.suffer(lane);
                if lane.is_dispensable() && pending.give_up() {
                    return Err(Undone::Failed);
                }
                let mark = version.map(|version| Mark::new(&self, &version));
                let returned = async move {
                    let _ = pending.await;
                    drop(mark);
                };
                Err(Undone::Stuck(returned.boxed()))
            }
        }
    }

    /// The disk is not to be asked for this version's bytes: it is sick, or stuck with some of them.
    pub(crate) fn reads_past_disk(&self, version: &Version) -> bool {
        let is_closed_for_good = || self.store.is_handed_over() && !version.is_open();
        self.health.reads.is_sick() || version.is_stuck() || is_closed_for_good()
    }

    /// The disk is not to be given bytes of this version.
    pub(crate) fn fills_past_disk(&self, version: &Version) -> bool {
        self.health.writes.is_sick() || self.reads_past_disk(version)
    }

    /// No fill of this version is to be begun: the disk is not to be given its bytes, or not more than those that are coming.
    pub(crate) fn begins_no_fill(&self, version: &Version) -> bool {
        let is_full = self.store.is_handed_over() && self.out_of_room.load(Ordering::Relaxed);
        is_full || self.fills_past_disk(version)
    }

    fn breaker(&self, lane: Lane) -> &Breaker {
        match lane {
            Lane::Read | Lane::Check => &self.health.reads,
            Lane::Write | Lane::Chore => &self.health.writes,
        }
    }

    fn suffer(self: &Arc<Self>, lane: Lane) {
        if !self.breaker(lane).failed() {
            return;
        }
        tracing::error!(?lane, "the cache's disk is sick: what it would do is passed by until it answers a probe");
        let mut probing = self.health.probing.lock();
        // Under the lock, as its end is set: the thread that finds the disk well comes later.
        self.counters.disk_sick.set(1);
        if probing.is_some() {
            return;
        }
        let (alive, ends) = channel();
        *probing = Some(alive);
        drop(probing);
        let (shared, every) = (Arc::downgrade(self), self.probe_interval());
        // A thread of its own: those of the pool may all be stuck, and the probe may be.
        let spawned = std::thread::Builder::new()
            .name("cache-probe".to_owned())
            .spawn(move || probe_until_well(&shared, &ends, every));
        if spawned.is_err() {
            // Nobody would ever find out that the disk is well again.
            self.recover(&self.health.reads);
            self.recover(&self.health.writes);
            self.is_well();
        }
    }

    fn probe_interval(&self) -> Duration {
        let patience = self.config().disk_patience;
        if patience.is_zero() { PROBE } else { (patience / 2).min(PROBE) }
    }

    fn recover(&self, breaker: &Breaker) {
        if breaker.recovered() {
            tracing::info!("the cache's disk answers again");
        }
    }

    /// Ends the probing if there is nothing to probe.
    fn is_well(&self) -> bool {
        let mut probing = self.health.probing.lock();
        // Under the lock: whoever finds the disk sick from here on starts another thread.
        if self.health.reads.is_sick() || self.health.writes.is_sick() {
            return false;
        }
        *probing = None;
        self.counters.disk_sick.set(0);
        true
    }
}

fn probe_until_well(shared: &Weak<Shared>, ends: &Receiver<Infallible>, every: Duration) {
    while ends.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
        let Some(shared) = shared.upgrade() else { return };
        let hold = Hold(shared.clone(), shared.work());
        if shared.health.writes.is_sick() && shared.store.probe_writes().is_ok() {
            shared.recover(&shared.health.writes);
        }
        if shared.health.reads.is_sick() && shared.store.probe_reads().is_ok() {
            shared.recover(&shared.health.reads);
        }
        let is_well = shared.is_well();
        drop(shared);
        drop(hold);
        if is_well {
            return;
        }
    }
}

/// False for what says nothing about the disk: files that were deleted or are another process's, and a process that has too many open.
fn is_the_disks(error: &io::Error) -> bool {
    Withheld::of(error).is_none()
        && error.kind() != io::ErrorKind::NotFound
        && !matches!(Errno::from_io_error(error), Some(Errno::MFILE | Errno::NFILE))
}
