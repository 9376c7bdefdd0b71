//! The cache's own threads for disk calls: few, so that a disk that answers nobody takes these and no others, and shared out, so
//! that neither one film nor one kind of call can take them all.

use parking_lot::{Condvar, Mutex};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::oneshot;

/// Calls that may wait for a thread. A disk that is so far behind is of no use to a viewer.
const QUEUE: usize = 1024;
/// How long a thread waits for work before it ends.
const IDLE: Duration = Duration::from_secs(20);

const QUEUED: u8 = 0;
const BEGUN: u8 = 1;
const GIVEN_UP: u8 = 2;

/// What a call is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A viewer waits for bytes that are on disk.
    Read,
    /// A slice is checked, and out of use until it is.
    Check,
    /// A fill brings bytes to the disk.
    Write,
    /// Room is made, files are deleted: nobody waits, or nobody has to.
    Chore,
}

impl Lane {
    /// If its turn is long in coming, it may as well not come: nothing but who waits for it depends on it.
    pub(crate) fn is_dispensable(self) -> bool {
        matches!(self, Self::Read | Self::Write)
    }
}

/// A call's outcome to come. The call runs to its end whether or not this is kept.
#[derive(Debug)]
pub(crate) struct Pending<R> {
    state: Arc<AtomicU8>,
    outcome: oneshot::Receiver<R>,
}

/// The call panicked, or was given up or refused before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lost;

/// See the module. Dropped, it finishes what is queued and ends its threads.
pub(crate) struct Pool {
    inner: Arc<Inner>,
    borrows: bool,
}

struct Inner {
    state: Mutex<State>,
    work: Condvar,
    threads: usize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    threads: usize,
    idle: usize,
    lanes: [usize; 4],
    /// Threads at work for a film, by its version.
    films: HashMap<u64, usize>,
    closed: bool,
}

struct Job {
    lane: Lane,
    film: Option<u64>,
    work: Box<dyn FnOnce() + Send>,
}

impl<R> Pending<R> {
    /// Takes a call back that no thread has begun. False: one has, and the call goes on.
    pub(crate) fn give_up(&self) -> bool {
        self.state.compare_exchange(QUEUED, GIVEN_UP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }
}

impl<R> Future for Pending<R> {
    type Output = Result<R, Lost>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(context).map_err(|_| Lost)
    }
}

impl Pool {
    /// At most so many threads, made when they are needed.
    pub(crate) fn new(threads: usize) -> Self {
        let inner = Inner { state: Mutex::default(), work: Condvar::new(), threads: threads.max(4) };
        Self { inner: Arc::new(inner), borrows: false }
    }

    /// The blocking threads of whatever runtime asks: its clock, if it is stopped, doesn't run on while they work.
    pub(crate) fn borrowed() -> Self {
        let mut pool = Self::new(0);
        pool.borrows = true;
        pool
    }

    /// Queues a call. If too many wait, it is refused, and lost, unless it is indispensable: those are bounded by the slices that
    /// they are for.
    pub(crate) fn run<R: Send + 'static>(
        &self,
        lane: Lane,
        film: Option<u64>,
        work: impl FnOnce() -> R + Send + 'static,
    ) -> Pending<R> {
        let (tell, outcome) = oneshot::channel();
        let state = Arc::new(AtomicU8::new(QUEUED));
        let begins = state.clone();
        let work = move || {
            if begins.compare_exchange(QUEUED, BEGUN, Ordering::AcqRel, Ordering::Acquire).is_ok() {
                // Whoever asked may have left.
                let _ = tell.send(work());
            }
        };
        match tokio::runtime::Handle::try_current().ok().filter(|_| self.borrows) {
            Some(runtime) => drop(runtime.spawn_blocking(work)),
            None => self.inner.submit(Job { lane, film, work: Box::new(work) }),
        }
        Pending { state, outcome }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.inner.state.lock().closed = true;
        self.inner.work.notify_all();
    }
}

impl Inner {
    fn submit(self: &Arc<Self>, job: Job) {
        let mut state = self.state.lock();
        if job.lane.is_dispensable() && state.queue.len() >= QUEUE {
            drop(state);
            // Outside of the lock: what a job holds may submit another one when it is dropped.
            drop(job);
            return;
        }
        state.queue.push_back(job);
        if state.idle > 0 {
            drop(state);
            self.work.notify_one();
        } else if state.threads < self.threads {
            state.threads += 1;
            drop(state);
            let inner = self.clone();
            let spawned = std::thread::Builder::new().name("cache-disk".to_owned()).spawn(move || inner.serve());
            if let Err(error) = spawned {
                self.state.lock().threads -= 1;
                tracing::warn!(%error, "no thread for the cache's disk");
            }
        }
    }

    /// One thread's life.
    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(Job { lane, film, work }) = self.take(&mut state) {
                drop(state);
                // A panic is told to whoever waits by the lost outcome; the thread has others to serve.
                let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                state = self.state.lock();
                state.finish(lane, film);
                // What this call had to end for may be more than the one that this thread takes next.
                if state.queue.len() > 1 && state.idle > 0 {
                    self.work.notify_one();
                }
                continue;
            }
            if state.closed && state.queue.is_empty() {
                break;
            }
            state.idle += 1;
            let bored = self.work.wait_for(&mut state, IDLE).timed_out();
            state.idle -= 1;
            if bored && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }

    /// The first call in the queue that may run now.
    fn take(&self, state: &mut State) -> Option<Job> {
        let at = state.queue.iter().position(|job| self.may_run(state, job))?;
        let job = state.queue.remove(at)?;
        state.lanes[job.lane as usize] += 1;
        if let Some(film) = job.film {
            *state.films.entry(film).or_insert(0) += 1;
        }
        Some(job)
    }

    fn may_run(&self, state: &State, job: &Job) -> bool {
        let running = |lane: Lane| state.lanes[lane as usize];
        let has_room = match job.lane {
            // Two are left for fills and chores, whatever viewers ask for.
            Lane::Read | Lane::Check => running(Lane::Read) + running(Lane::Check) < self.threads - 2,
            Lane::Write => running(Lane::Write) < self.threads / 2,
            Lane::Chore => running(Lane::Chore) < self.threads / 4,
        };
        let film = job.film.and_then(|film| state.films.get(&film)).copied().unwrap_or(0);
        has_room && film < self.threads / 2
    }
}

impl State {
    fn finish(&mut self, lane: Lane, film: Option<u64>) {
        self.lanes[lane as usize] -= 1;
        if let Some(film) = film
            && let Some(running) = self.films.get_mut(&film)
        {
            *running -= 1;
            if *running == 0 {
                self.films.remove(&film);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Lane, Lost, Pool, QUEUE};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// A call that is stuck until the sender is dropped, once it has said that it began.
    fn stuck(pool: &Pool, lane: Lane, film: u64) -> (Sender<()>, super::Pending<()>, Receiver<()>) {
        let ((release, stuck), (tell, begun)) = (channel::<()>(), channel());
        let pending = pool.run(lane, Some(film), move || {
            tell.send(()).unwrap();
            let _ = stuck.recv();
        });
        (release, pending, begun)
    }

    #[tokio::test]
    async fn a_stuck_film_leaves_threads_to_others() {
        let pool = Pool::new(8);
        let mut held: Vec<_> = (0..20).map(|_| stuck(&pool, Lane::Read, 1)).collect();
        assert_eq!(pool.run(Lane::Read, Some(2), || 7).await, Ok(7));
        assert_eq!(pool.run(Lane::Write, Some(2), || 8).await, Ok(8));
        // Half of the threads are at work for it, the others' turn has not come: they can be taken back.
        let given_up = held.iter().filter(|(_, pending, _)| pending.give_up()).count();
        assert_eq!(given_up, 16);
        for (release, pending, begun) in held.drain(..) {
            drop(release);
            assert_eq!(pending.await.is_ok(), begun.recv().is_ok());
        }
    }

    #[tokio::test]
    async fn stuck_lanes_leave_threads_to_others() {
        for (lane, other) in [(Lane::Read, Lane::Write), (Lane::Write, Lane::Chore), (Lane::Chore, Lane::Read)] {
            let pool = Pool::new(8);
            let held: Vec<_> = (0..20).map(|film| stuck(&pool, lane, film)).collect();
            assert_eq!(pool.run(other, None, || 7).await, Ok(7), "{other:?} beside {lane:?}");
            drop(held);
        }
    }

    #[tokio::test]
    async fn too_many_wait_in_vain_and_chores_never_do() {
        let pool = Pool::new(4);
        let mut held: Vec<_> = (0..2).map(|film| stuck(&pool, Lane::Read, film)).collect();
        held.iter().for_each(|(.., begun)| begun.recv().unwrap());
        held.extend((0..QUEUE as u64).map(|film| stuck(&pool, Lane::Read, film)));
        assert_eq!(pool.run(Lane::Read, None, || ()).await, Err(Lost));
        assert_eq!(pool.run(Lane::Chore, None, || 5).await, Ok(5));
        let check = pool.run(Lane::Check, None, || 6);
        drop(held);
        assert_eq!(check.await, Ok(6));
    }

    #[tokio::test]
    async fn a_panic_is_told_and_costs_no_thread() {
        let pool = Pool::new(4);
        for _ in 0..10 {
            assert_eq!(pool.run(Lane::Write, Some(1), || panic!("on purpose")).await, Err::<(), _>(Lost));
        }
        assert_eq!(pool.run(Lane::Write, Some(1), || 1).await, Ok(1));
    }

    #[tokio::test]
    async fn what_is_queued_is_done_when_the_pool_goes() {
        let pool = Pool::new(4);
        let calls: Vec<_> = (0..100).map(|n| pool.run(Lane::Chore, None, move || n)).collect();
        drop(pool);
        for (n, call) in calls.into_iter().enumerate() {
            assert_eq!(call.await, Ok(n));
        }
    }
}
