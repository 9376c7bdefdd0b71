//! A queue between requests and the file that their lines go to, and the thread that empties it.
//!
//! Lines are gathered while the thread sleeps and written many at a time: waking it for each line would cost more than the line does.

use parking_lot::{Condvar, Mutex};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long lines wait for others to be written with.
const GATHER: Duration = Duration::from_millis(10);
/// Bytes that don't wait any longer.
const PLENTY: usize = 256 << 10;
/// Bytes that may wait while the target is slower than the requests. Lines beyond are dropped.
const MOST: usize = 8 << 20;
/// How long the end of the process waits for a target that takes nothing.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The end that takes lines. Never blocks on the target.
pub(crate) struct LineQueue {
    shared: Arc<Shared>,
}

/// Has what is queued written when it is dropped.
pub(crate) struct WriterGuard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is something to do for the thread.
    work: Condvar,
    /// The thread is done.
    done: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    lines: Vec<u8>,
    closing: bool,
    done: bool,
    /// The thread waits for a first line, and has to be woken for it.
    asleep: bool,
}

/// Starts the thread that writes to `sink`.
///
/// # Errors
/// If the thread can't be started.
pub(crate) fn start(sink: Box<dyn Write + Send>) -> std::io::Result<(LineQueue, WriterGuard)> {
    let shared = Arc::new(Shared::default());
    let writer = Arc::clone(&shared);
    let thread = std::thread::Builder::new().name("access-log".to_owned()).spawn(move || writer.run(sink))?;
    Ok((LineQueue { shared: Arc::clone(&shared) }, WriterGuard { shared, thread: Some(thread) }))
}

impl LineQueue {
    /// Queues a whole line, its end included; or drops it, and counts that.
    pub(crate) fn push(&self, line: &[u8]) {
        let shared = &self.shared;
        let mut state = shared.state.lock();
        if state.closing || state.lines.len().saturating_add(line.len()) > MOST {
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = state.lines.len();
        state.lines.extend_from_slice(line);
        let plenty = before < PLENTY && state.lines.len() >= PLENTY;
        if state.asleep || plenty {
            state.asleep = false;
            drop(state);
            shared.work.notify_one();
        }
    }

    /// Lines that were dropped.
    pub(crate) fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn run(&self, mut sink: Box<dyn Write + Send>) {
        let mut lines = Vec::new();
        while self.next(&mut lines) {
            // A target that fails loses the batch. There is nobody to tell but the counter, and the next batch may succeed.
            if sink.write_all(&lines).and_then(|()| sink.flush()).is_err() {
                let lost = lines.iter().filter(|byte| **byte == b'\n').count();
                self.dropped.fetch_add(u64::try_from(lost).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
            lines.clear();
            // What a burst needed is not kept for ever.
            lines.shrink_to(PLENTY);
        }
        self.state.lock().done = true;
        self.done.notify_all();
    }

    /// Waits for lines and takes them; `false` when there are none and never will be.
    fn next(&self, lines: &mut Vec<u8>) -> bool {
        let mut state = self.state.lock();
        while state.lines.is_empty() && !state.closing {
            state.asleep = true;
            self.work.wait(&mut state);
        }
        state.asleep = false;
        if state.lines.len() < PLENTY && !state.closing {
            self.work.wait_for(&mut state, GATHER);
        }
        std::mem::swap(&mut state.lines, lines);
        !lines.is_empty() || !state.closing
    }
}

impl Drop for WriterGuard {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        state.closing = true;
        self.shared.work.notify_one();
        if !state.done {
            self.shared.done.wait_for(&mut state, LAST_WORDS);
        }
        let done = state.done;
        drop(state);
        if done && let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, start};
    use parking_lot::Mutex;
    use std::io::{self, Write};
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// Tells of each write, and takes it when it is told to.
    struct Slow {
        begun: Sender<()>,
        go_on: Receiver<bool>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.begun.send(());
            if !self.go_on.recv().unwrap_or(true) {
                return Err(io::Error::other("full"));
            }
            self.written.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_come_whole_and_in_order_and_the_last_ones_too() {
        let (begun, begins) = channel();
        let (go_on, goes_on) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (queue, guard) = start(Box::new(Slow { begun, go_on: goes_on, written: written.clone() })).unwrap();
        queue.push(b"0\n");
        begins.recv().unwrap();
        let wanted: Vec<u8> = (0..1000).flat_map(|line| format!("{line}\n").into_bytes()).collect();
        (1..1000).for_each(|line| queue.push(format!("{line}\n").as_bytes()));
        drop(go_on);
        drop(guard);
        assert_eq!((written.lock().clone(), queue.dropped()), (wanted, 0));
        queue.push(b"late\n");
        assert_eq!(queue.dropped(), 1);
    }

    #[test]
    fn a_target_that_stops_costs_lines_and_nothing_else() {
        let (begun, begins) = channel();
        let (go_on, goes_on) = channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let (queue, guard) = start(Box::new(Slow { begun, go_on: goes_on, written: written.clone() })).unwrap();
        queue.push(b"first\n");
        begins.recv().unwrap();
        let long = vec![b'x'; MOST / 4];
        (0..6).for_each(|_| queue.push(&long));
        assert_eq!(queue.dropped(), 2, "beyond what may wait");
        queue.push(b"short\n");
        assert_eq!(queue.dropped(), 3);
        go_on.send(false).unwrap();
        begins.recv().unwrap();
        assert_eq!(queue.dropped(), 4, "the batch that failed");
        queue.push(b"next\n");
        drop(go_on);
        drop(guard);
        assert!(written.lock().ends_with(b"xnext\n"));
    }
}
