//! Brings committed slices to the device, now and then and off everybody's way: what a finished pass covered survives a power
//! cut. Nobody waits for it but who asks to.

use crate::shared::Shared;
use crate::version::Version;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The longest rest after a version.
const REST: Duration = Duration::from_secs(1);

/// Versions with slices committed since they were last synced.
pub(crate) struct Unsynced {
    versions: Mutex<HashMap<u64, Weak<Version>>>,
    /// One pass at a time: who asks for one may rely on what an earlier one has taken.
    pass: Mutex<()>,
    /// Ends the thread when it is dropped.
    _alive: Sender<Infallible>,
}

impl Unsynced {
    /// The second is the thread's end of it, for [`start`].
    pub(crate) fn new() -> (Self, Receiver<Infallible>) {
        let (alive, ends) = channel();
        (Self { versions: Mutex::default(), pass: Mutex::default(), _alive: alive }, ends)
    }

    /// Slices of this version were committed.
    pub(crate) fn touch(&self, version: &Arc<Version>) {
        self.versions.lock().entry(version.incarnation).or_insert_with(|| Arc::downgrade(version));
    }
}

/// Has a thread sync every `interval` for as long as the cache lives.
///
/// # Errors
/// No thread could be made.
pub(crate) fn start(shared: &Arc<Shared>, ends: Receiver<Infallible>, interval: Duration) -> io::Result<()> {
    let shared = Arc::downgrade(shared);
    let run = move || {
        while ends.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
            let Some(shared) = shared.upgrade() else { return };
            let work = shared.work();
            pass(&shared, true);
            // In this order: once nothing is at work, the folder is free.
            drop(shared);
            drop(work);
        }
    };
    std::thread::Builder::new().name("cache-sync".to_owned()).spawn(run).map(drop)
}

/// Syncs what is committed by now: extent files, sidecars, folders. With `gently`, rests after each version for as long as it
/// took, so that fills have the device for at least half of the time. False: something could not be synced. Blocks.
pub(crate) fn pass(shared: &Shared, gently: bool) -> bool {
    let _pass = shared.unsynced.pass.lock();
    let versions = std::mem::take(&mut *shared.unsynced.versions.lock());
    let mut good = true;
    for version in versions.into_values().filter_map(|version| version.upgrade()) {
        // Nothing is owed to a purged version.
        if version.is_doomed() {
            continue;
        }
        let took = sync(shared, &version).unwrap_or_else(|error| {
            // A purge may have come in between. What did not reach a failing device is not marked as unwritten any more, so to
            // try again would succeed for no reason: the slices' checksums tell what is left of them.
            if !version.is_doomed() {
                shared.disk_error(&error);
                good = false;
            }
            Duration::ZERO
        });
        if gently {
            std::thread::sleep(took.min(REST));
        }
    }
    if let Err(error) = shared.store.sync_folders() {
        shared.disk_error(&error);
        good = false;
    }
    good
}

#[expect(clippy::disallowed_methods, reason = "a disk call is timed, to rest for as long")]
fn sync(shared: &Shared, version: &Arc<Version>) -> io::Result<Duration> {
    let begun = Instant::now();
    // Opened again if need be, and by the list of open files, so that a pass takes no more descriptors than readers do.
    shared.store.sync(&*shared.open.get(version, &shared.store, false)?)?;
    shared.counters.synced.add(1);
    Ok(begun.elapsed())
}
