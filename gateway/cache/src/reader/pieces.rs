//! Bytes of an extent file, for the reader at their place: told of, copied out of memory, or waited for.

use super::{Reader, Source};
use crate::disk::Ready;
use crate::patience::Undone;
use crate::piece::{Piece, Stretch, Want};
use crate::pool::Lane;
use std::sync::atomic::Ordering;

impl Reader {
    /// True if the slice at `pos` has to be looked at anew, as its bytes have left memory: what the device says they are is
    /// believed once the checksum was. Once for each time that this happens: the check loads them.
    fn alarm(&self) -> bool {
        if self.version.alarms.load(Ordering::SeqCst) != self.alarms {
            return true;
        }
        let slice = self.version.geometry.slice_of(self.pos);
        !self.checked
            && self.version.with(|claims, _| {
                let suspect = claims.suspect(slice);
                if suspect {
                    self.version.alarms.fetch_add(1, Ordering::SeqCst);
                }
                suspect
            })
    }

    /// Up to `there` bytes that the extent file has. `None`: the source is another one now, or has to be found anew.
    pub(super) async fn piece(&mut self, there: u64, want: Want) -> Option<Piece> {
        if !self.has_files().await {
            self.go_direct();
            return None;
        }
        let files = self.files.clone()?;
        let most = match want {
            Want::Bytes(most) => most,
            Want::Stretch => {
                match self.shared.store.is_in_memory(&files, self.pos, there) {
                    Some(true) if self.version.alarms.load(Ordering::SeqCst) == self.alarms => {
                        return Some(Piece::Stretch(Stretch { files, at: self.pos, len: there }));
                    }
                    Some(true) => {
                        self.source = Source::Unknown;
                        return None;
                    }
                    // Some of it may be: the read below tells, and finds what a stretch may be told of behind it.
                    Some(false) | None => self.shared.config().piece,
                }
            }
        };
        let len = usize::try_from(there).unwrap_or(usize::MAX).min(most);
        let mut buffer = self.shared.buffers.take(len);
        match self.shared.store.read_ready(&files, buffer.as_mut(), self.pos) {
            Ready::Bytes(got) if self.version.alarms.load(Ordering::SeqCst) == self.alarms => {
                self.checked = false;
                self.shared.counters.bytes_read.add(got as u64);
                return Some(Piece::Bytes(buffer.freeze(got)));
            }
            Ready::Bytes(_) => {
                self.source = Source::Unknown;
                return None;
            }
            Ready::WouldBlock if self.alarm() => {
                self.source = Source::Unknown;
                return None;
            }
            Ready::WouldBlock | Ready::Unknown => {}
        }
        if self.shared.reads_past_disk(&self.version) {
            self.go_direct();
            return None;
        }
        let (at, ahead) = (self.pos, self.until);
        let read = self.shared.disk(Lane::Read, Some(&self.version), move |shared| {
            let done = shared.store.read(&files, buffer.as_mut(), at, ahead);
            done.inspect_err(|error| shared.disk_error(error)).map(|()| buffer)
        });
        match read.await {
            Ok(buffer) => {
                self.shared.counters.bytes_read.add(len as u64);
                Some(Piece::Bytes(buffer.freeze(len)))
            }
            Err(Undone::Stuck(stuck)) => {
                self.keep_pin(stuck);
                self.go_direct();
                None
            }
            Err(Undone::Failed) => {
                let slice = self.version.geometry.slice_of(self.pos);
                self.version.with(|claims, _| claims.lose(slice));
                self.go_direct();
                None
            }
        }
    }
}
