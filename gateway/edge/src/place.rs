//! Where this gateway's cache is in the log of purges: a small file in the cache folder, so that it goes when the cache goes.

use broadcast::Cursor;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const NAME: &str = "purges.place";

/// The file.
pub(crate) struct PlaceFile {
    path: Arc<Path>,
    failed: AtomicBool,
    /// Another process keeps it.
    paused: AtomicBool,
}

impl PlaceFile {
    /// In this cache folder.
    pub(crate) fn new(folder: &Path) -> Self {
        Self { path: folder.join(NAME).into(), failed: AtomicBool::new(false), paused: AtomicBool::new(false) }
    }

    /// Writes nothing from now on: what this process has heard, the one that has the folder may not have.
    pub(crate) fn pause(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }

    /// The place; the beginning if there is none to be read, from where every purge is heard again, or all are taken for missed.
    pub(crate) fn read(&self) -> Cursor {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        text.trim_end().parse().unwrap_or_default()
    }

    /// Not synced: an older place, too, is one to go on from. A disk that fails is told of once.
    pub(crate) async fn write(&self, place: &Cursor) {
        if self.paused.load(Ordering::Acquire) {
            return;
        }
        let (path, text) = (self.path.clone(), format!("{place}\n"));
        let written = tokio::task::spawn_blocking(move || replace(&path, &text)).await;
        let failed = !matches!(written, Ok(Ok(())));
        if failed && !self.failed.swap(failed, Ordering::Relaxed) {
            tracing::warn!("the place in the log of purges can't be kept; after a restart purges are heard again");
        }
        self.failed.store(failed, Ordering::Relaxed);
    }
}

#[expect(clippy::disallowed_methods, reason = "this file owns its own small file")]
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let new: PathBuf = path.with_extension("new");
    std::fs::write(&new, text)?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::PlaceFile;
    use broadcast::Cursor;

    #[tokio::test]
    async fn a_place_is_kept_and_a_bad_one_is_the_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let file = PlaceFile::new(folder.path());
        assert_eq!(file.read(), Cursor::default());
        let place: Cursor = "7 abc".parse().unwrap();
        file.write(&place).await;
        assert_eq!(PlaceFile::new(folder.path()).read(), place);
        super::replace(&folder.path().join("purges.place"), "7 ab\nc").unwrap();
        assert_eq!(file.read(), Cursor::default());
        PlaceFile::new(&folder.path().join("gone")).write(&place).await;
    }
}
