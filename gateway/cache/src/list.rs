//! What the cache holds, for people who ask.

use crate::cache::Cache;
use crate::map::Walk;
use crate::scope::Scope;
use slice::{ETag, MediaId};

/// A media with bytes in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listed {
    /// The media.
    pub media: MediaId,
    /// Its version.
    pub etag: ETag,
    /// Whole size in bytes, cached or not.
    pub size: u64,
    /// Slices on disk.
    pub slices: u32,
    /// Slices that the whole media has.
    pub slices_of: u32,
    /// Bytes of slices on disk or on their way.
    pub bytes_held: u64,
    /// Bytes that its files have blocks for.
    pub bytes_on_disk: u64,
    /// Reads under way.
    pub readers: usize,
    /// When somebody last began or ended a read, in Unix seconds as [`Cache::tend`] was told them.
    pub last_read: Option<u64>,
}

impl Cache {
    /// At most `limit` media of a scope that have bytes in the cache, in order of their ids; those behind `after`, to go on
    /// where the last list ended. A scope is walked in strides: it need not be one moment's picture.
    pub async fn list(&self, what: &Scope, after: Option<MediaId>, limit: usize) -> Vec<Listed> {
        let mut walk = match after {
            Some(media) => Walk::after(what.clone(), media, &mut self.shared.map.lock()),
            None => Walk::new(what.clone()),
        };
        let mut listed = Vec::new();
        while listed.len() < limit {
            let more = walk.step(&mut self.shared.map.lock(), |media, entry| {
                let Some(version) = &entry.version else { return true };
                let (slices, bytes_held, readers) =
                    version.with(|claims, _| (claims.on_disk(), claims.charge(), claims.readers()));
                if bytes_held > 0 {
                    listed.push(Listed {
                        media,
                        etag: version.meta.etag.clone(),
                        size: version.geometry.size(),
                        slices,
                        slices_of: version.geometry.slices(),
                        bytes_held,
                        bytes_on_disk: version.blocks(),
                        readers,
                        last_read: version.last_read(),
                    });
                }
                listed.len() < limit
            });
            if !more {
                break;
            }
            tokio::task::yield_now().await;
        }
        listed
    }
}
