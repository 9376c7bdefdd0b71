//! Bounds on fills: so many at once in all, and so many of one media. Who finds no place waits in line, first come, first
//! served; who leaves the line leaves no gap.

use crate::config::CacheConfig;
use crate::version::Version;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places of all media.
pub(crate) struct Places(Arc<Semaphore>);

/// What one fill holds as long as it runs; the two transfers of a seek into the middle of a slice hold one together.
#[derive(Debug)]
pub(crate) struct Place {
    _all: OwnedSemaphorePermit,
    _of_media: OwnedSemaphorePermit,
}

impl Places {
    pub(crate) fn new(config: &CacheConfig) -> Self {
        Self(places(config.max_fills))
    }

    /// A place that is free now. Never one that somebody in line is to have.
    pub(crate) fn at_hand(&self, version: &Version) -> Option<Arc<Place>> {
        let of_media = version.places.clone().try_acquire_owned().ok()?;
        let all = self.0.clone().try_acquire_owned().ok()?;
        Some(Arc::new(Place { _all: all, _of_media: of_media }))
    }

    /// The next place. The line of the media comes before the line of all: one film with many seekers takes no more of that
    /// than its bound. Dropping the future leaves the line.
    pub(crate) async fn next(&self, version: &Version) -> Option<Arc<Place>> {
        // Neither is ever closed.
        let of_media = version.places.clone().acquire_owned().await.ok()?;
        let all = self.0.clone().acquire_owned().await.ok()?;
        Some(Arc::new(Place { _all: all, _of_media: of_media }))
    }
}

/// So many places.
pub(crate) fn places(count: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS)))
}
