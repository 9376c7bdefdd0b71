//! How a reader comes to the disk, and how it parts from it.

use super::{Reader, Source};
use crate::claims::ReaderId;
use crate::direct::Direct;
use crate::patience::{Stuck, Undone};
use crate::pool::Lane;
use crate::shared::Shared;
use crate::version::Version;
use slice::ByteRange;
use std::sync::Arc;

impl Reader {
    /// Sees to it that the version's files are open. False: they can't be.
    pub(super) async fn has_files(&mut self) -> bool {
        if self.files.is_none() {
            self.files = self.shared.open.at_hand(&self.version);
        }
        if self.files.is_none() {
            let version = self.version.clone();
            if self.shared.reads_past_disk(&version) {
                return false;
            }
            let opened = self.shared.disk(Lane::Read, Some(&self.version), move |shared| shared.files(&version, false));
            match opened.await {
                Ok(files) => self.files = Some(files),
                Err(Undone::Stuck(stuck)) => self.keep_pin(stuck),
                Err(Undone::Failed) => {}
            }
        }
        self.files.is_some()
    }

    /// The rest comes straight from the origin: a bad disk costs the hive, not the viewer.
    pub(super) fn go_direct(&mut self) {
        self.shared.counters.directs.add(1);
        let rest = ByteRange { start: self.pos, end: self.end };
        self.source = Source::Direct(Direct::new(self.version.media, self.version.meta.clone(), rest));
        self.leave();
    }

    /// Leaves, but for the pin, which goes when the disk is done with the slice.
    pub(super) fn keep_pin(&mut self, stuck: Stuck) {
        let Some(id) = self.id.take() else { return };
        let (shared, version, mark) = (self.shared.clone(), self.version.clone(), self.shared.work());
        tokio::spawn(async move {
            stuck.await;
            leave(&shared, &version, id);
            drop(shared);
            drop(mark);
        });
    }

    pub(super) fn leave(&mut self) {
        if let Some(id) = self.id.take() {
            leave(&self.shared, &self.version, id);
        }
    }
}

fn leave(shared: &Arc<Shared>, version: &Arc<Version>, id: ReaderId) {
    shared.stamp(version);
    let litter = version.with(|claims, _| {
        claims.leave(id);
        claims.take_litter()
    });
    shared.clear(version, litter);
}
