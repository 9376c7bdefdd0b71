//! A reader: exactly the bytes of its range, in order, or an error. From the disk where they are, from fills as they come,
//! from the origin if the disk won't.

use crate::claims::{ReaderId, Step};
use crate::direct::Direct;
use crate::fill::{Failure, Fill, Reach};
use crate::piece::{Piece, Want};
use crate::places::Place;
use crate::run::{Lead, Part, launch};
use crate::shared::Shared;
use crate::status::{CacheStatus, Freshness, Presence, ReadError};
use crate::store::Files;
use crate::version::{Doom, Version};
use bytes::Bytes;
use slice::{ByteRange, OriginError};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;

mod line;
mod parting;
mod pieces;

/// Further than this into a missing slice, a reader's bytes are asked for before the slice's head.
const TAIL_FIRST: u64 = 256 * 1024;
/// What a tail's first byte is aligned to.
const TAIL_ALIGN: u64 = 4096;
/// Others' fills of one slice that may fail under a reader before it gives up. The origin has retried each already, so a
/// reader's own fill is its last: a silent hive costs it one window of retries, not two.
const TRIES: u32 = 2;

/// Where the bytes at the reader's position come from. Good until the end of the slice, which is pinned.
enum Source {
    Unknown,
    Disk,
    Fill(Arc<Fill>),
    Direct(Direct),
    /// From nowhere any more.
    Failed(ReadError),
}

/// What a reader does after looking at the claims.
enum Act {
    Use(Source),
    Verify,
    Wait,
    /// Wait in line for a place.
    Line,
    GoDirect,
    Fail(ReadError),
}

/// Yields a range of a media version piece by piece. Dropping it ends its interest; fills go on within their budget.
pub struct Reader {
    shared: Arc<Shared>,
    version: Arc<Version>,
    id: Option<ReaderId>,
    status: CacheStatus,
    pos: u64,
    end: u64,
    /// One past the last byte that `source` stands for.
    until: u64,
    source: Source,
    files: Option<Arc<Files>>,
    failures: u32,
    /// The version's alarms when it was last looked at.
    alarms: u64,
    /// The slice at `pos` was waited for to be checked, and no byte of it was found in memory since.
    checked: bool,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>, version: Arc<Version>, range: ByteRange, freshness: Freshness) -> Self {
        let end = range.end.min(version.geometry.size());
        let pos = range.start.min(end);
        let slices = version.geometry.cover(ByteRange { start: pos, end });
        let (reads_past, fills_past) = (shared.reads_past_disk(&version), shared.begins_no_fill(&version));
        let (presence, id) = version.with(|claims, doom| {
            let presence = match claims.presence(slices.clone()) {
                _ if doom.is_some() || reads_past => Presence::Dropped,
                Presence::None if fills_past => Presence::Dropped,
                presence => presence,
            };
            (presence, (!slices.is_empty() && !reads_past).then(|| claims.join(slices)))
        });
        let counters = &shared.counters;
        let counter = match presence {
            Presence::Whole => &counters.hits,
            Presence::Part => &counters.partials,
            Presence::Coming => &counters.joins,
            Presence::None => &counters.misses,
            Presence::Dropped => &counters.bypasses,
        };
        counter.add(1);
        shared.stamp(&version);
        let status = CacheStatus::of(presence, freshness);
        if matches!(status, CacheStatus::Stale | CacheStatus::Updating) {
            counters.stale.add(1);
        }
        Self {
            shared,
            version,
            id,
            status,
            pos,
            end,
            until: pos,
            source: Source::Unknown,
            files: None,
            failures: 0,
            alarms: 0,
            checked: false,
        }
    }

    /// What the range met when it was planned, and how well known the version was.
    #[must_use]
    pub fn status(&self) -> CacheStatus {
        self.status
    }

    /// Where in the media the next byte is.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.pos
    }

    /// Bytes still to come.
    #[must_use]
    pub fn remaining(&self) -> u64 {
        self.end - self.pos
    }

    /// The next piece, of at most `piece` bytes; `None` after the last. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`ReadError`]. The range is then not whole, and never will be by this reader: asked again, it says the same.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ReadError> {
        self.next_bytes(usize::MAX).await
    }

    /// As [`Self::next`], of at most `most` bytes.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_bytes(&mut self, most: usize) -> Result<Option<Bytes>, ReadError> {
        let most = most.clamp(1, self.shared.config().piece);
        match self.step(Want::Bytes(most)).await? {
            Some(Piece::Bytes(bytes)) => Ok(Some(bytes)),
            // Only told of to `next_piece`.
            Some(Piece::Stretch(_)) | None => Ok(None),
        }
    }

    /// As [`Self::next`], but may answer with a stretch of the extent file, which the caller sends from there, and says by
    /// [`Self::sent`] how far it came. Until then the same bytes are told of again.
    ///
    /// # Errors
    /// As [`Self::next`].
    pub async fn next_piece(&mut self) -> Result<Option<Piece>, ReadError> {
        self.step(Want::Stretch).await
    }

    /// The first `bytes` of the stretch told of last went out.
    pub fn sent(&mut self, bytes: u64) {
        let bytes = bytes.min(self.until.saturating_sub(self.pos));
        self.pos += bytes;
        self.checked = false;
        self.shared.counters.bytes_read.add(bytes);
    }

    async fn step(&mut self, want: Want) -> Result<Option<Piece>, ReadError> {
        if self.pos == self.end {
            self.leave();
            return Ok(None);
        }
        let version = self.version.clone();
        // Pinned here: a choice that is given the future itself keeps room for it twice.
        let next = version.unless_withdrawn(pin!(self.advance(want))).await;
        if let Err(error) = next {
            self.source = Source::Failed(error);
            self.leave();
        }
        next
    }

    async fn advance(&mut self, want: Want) -> Result<Option<Piece>, ReadError> {
        while self.pos < self.end {
            let found = match &mut self.source {
                Source::Direct(direct) => {
                    let next = direct.next(&self.shared).await;
                    if next == Err(ReadError::Changed) {
                        self.shared.discard_soon(self.version.clone(), Doom::Changed);
                    }
                    let piece = next?;
                    self.pos += piece.len() as u64;
                    return Ok(Some(Piece::Bytes(piece)));
                }
                Source::Failed(error) => return Err(*error),
                _ if self.pos >= self.until => None,
                Source::Unknown => None,
                Source::Disk => Some(Reach::Bytes(self.until - self.pos)),
                Source::Fill(fill) => Some(match fill.look(self.pos) {
                    Some(reach) => reach,
                    None => self.shared.wait_for(&self.version, fill, self.pos, self.id).await,
                }),
            };
            match found {
                None => self.locate().await?,
                Some(Reach::Ended(failure)) => self.after(failure)?,
                Some(Reach::Bytes(there)) => {
                    let there = there.min(self.until - self.pos);
                    if let Some(piece) = self.piece(there, want).await {
                        if let Piece::Bytes(bytes) = &piece {
                            self.pos += bytes.len() as u64;
                        }
                        return Ok(Some(piece));
                    }
                }
            }
        }
        self.leave();
        Ok(None)
    }

    /// Finds out where the bytes of the slice at `pos` come from, starting runs where nobody has.
    async fn locate(&mut self) -> Result<(), ReadError> {
        let geometry = self.version.geometry;
        let slice = geometry.slice_of(self.pos);
        if self.pos >= self.until {
            self.failures = 0;
            self.checked = false;
            self.until = geometry.end(slice).min(self.end);
            self.shared.note_use(&self.version, slice);
            // The last slice's source says nothing about this one, and the future may be dropped before there is another.
            self.source = Source::Unknown;
        }
        let version = self.version.clone();
        let mut act = self.look(slice, None);
        loop {
            match act {
                Act::Use(Source::Disk) if !self.has_files().await => self.go_direct(),
                Act::Use(source) => self.source = source,
                Act::GoDirect => self.go_direct(),
                Act::Fail(error) => return Err(error),
                Act::Line => {
                    act = Box::pin(self.stand_in_line(slice)).await?;
                    continue;
                }
                Act::Wait if self.shared.reads_past_disk(&self.version) => self.go_direct(),
                Act::Verify | Act::Wait => {
                    self.checked = true;
                    // Made before the work starts, or before another look: it is woken by what settles from here on.
                    let settled = version.settled.notified();
                    if matches!(act, Act::Verify) {
                        self.shared.check_soon(&self.version, self.files.clone(), slice);
                    } else {
                        act = self.look(slice, None);
                        if !matches!(act, Act::Wait) {
                            continue;
                        }
                    }
                    // The disk may be stuck with it. Whoever checks or clears the slice has that counted.
                    if self.shared.patiently(settled).await.is_err() {
                        self.go_direct();
                        return Ok(());
                    }
                    act = self.look(slice, None);
                    continue;
                }
            }
            return Ok(());
        }
    }

    /// One look at the claims: moves the pin, and claims what this reader has to start, if there is a place for it.
    fn look(&mut self, slice: u32, mut place: Option<Arc<Place>>) -> Act {
        // Before the claims: an alarm from here on is told by the difference.
        self.alarms = self.version.alarms.load(Ordering::SeqCst);
        let Some(id) = self.id else { return Act::GoDirect };
        let fills_past = self.shared.begins_no_fill(&self.version);
        let (mut leads, mut unverified, mut litter) = (Vec::new(), None, Vec::new());
        let (places, version) = (&self.shared.places, &self.version);
        let act = self.version.with(|claims, doom| {
            claims.enter(id, slice);
            litter = claims.take_litter();
            let step = claims.step(id, || {
                place = place.take().or_else(|| places.at_hand(version));
                // What isn't going to start needs none.
                place.is_some() || doom.is_some()
            });
            let act = match (step, doom) {
                (Step::Present, _) => Act::Use(Source::Disk),
                (Step::Verify, _) => Act::Verify,
                (Step::Busy, _) => Act::Wait,
                (Step::Full, _) => Act::Line,
                (Step::Join(fill), _) => Act::Use(Source::Fill(fill)),
                (Step::Start(_), Some(Doom::Changed)) => Act::Fail(ReadError::Changed),
                (Step::Start(_), Some(Doom::Dropped)) => Act::GoDirect,
                (Step::Start(_), None) if fills_past => Act::GoDirect,
                (Step::Start(slices), None) => {
                    let Some(place) = place.take() else { return Act::Line };
                    let geometry = self.version.geometry;
                    let bytes = geometry.bytes(&slices);
                    if self.pos - bytes.start > TAIL_FIRST {
                        let from = self.pos / TAIL_ALIGN * TAIL_ALIGN;
                        let tail = Fill::new(from, id);
                        let head = Fill::head(bytes.start, tail.clone());
                        let run = claims.begin(slice + 1..slices.end, slice, id, tail.clone());
                        let rest = ByteRange { start: from, end: bytes.end };
                        leads.push(Lead {
                            run,
                            fill: tail.clone(),
                            bytes: rest,
                            part: Part::Tail,
                            place: place.clone(),
                        });
                        let run = claims.begin(slice..slice + 1, slice, id, head.clone());
                        let first = ByteRange { start: bytes.start, end: from };
                        leads.push(Lead { run, fill: head.clone(), bytes: first, part: Part::Head(tail), place });
                        Act::Use(Source::Fill(head))
                    } else {
                        let fill = Fill::new(bytes.start, id);
                        let run = claims.begin(slices, slice, id, fill.clone());
                        leads.push(Lead { run, fill: fill.clone(), bytes, part: Part::Whole, place });
                        Act::Use(Source::Fill(fill))
                    }
                }
            };
            if !matches!(act, Act::Use(_)) || doom.is_some() || fills_past {
                return act;
            }
            unverified = claims.verify_ahead(id);
            let mut place = None;
            let may_start = || {
                place = places.at_hand(version);
                place.is_some()
            };
            if let Some(slices) = claims.ahead(id, may_start)
                && let Some(place) = place
            {
                let bytes = self.version.geometry.bytes(&slices);
                let fill = Fill::new(bytes.start, id);
                let run = claims.begin(slices.clone(), slices.start, id, fill.clone());
                leads.push(Lead { run, fill, bytes, part: Part::Whole, place });
            }
            act
        });
        self.shared.clear(&self.version, litter);
        if !leads.is_empty() {
            // Others in line may want these slices.
            self.version.settled.notify_waiters();
        }
        for lead in leads {
            launch(&self.shared, &self.version, lead);
        }
        if let Some(next) = unverified {
            self.shared.check_soon(&self.version, self.files.clone(), next);
        }
        act
    }

    /// What the end of a fill means for a reader that still needs bytes of it.
    fn after(&mut self, failure: Option<Failure>) -> Result<(), ReadError> {
        let source = std::mem::replace(&mut self.source, Source::Unknown);
        let is_own = matches!(source, Source::Fill(fill) if Some(fill.leader) == self.id);
        match failure {
            // Cut short, for others' sake: look again who has the slice.
            None => Ok(()),
            Some(Failure::Disk) => {
                self.go_direct();
                Ok(())
            }
            Some(Failure::Origin(error)) => {
                self.failures += 1;
                let is_final = matches!(error, OriginError::Changed | OriginError::NotFound | OriginError::Gone);
                if is_final || is_own || self.failures >= TRIES { Err(error.into()) } else { Ok(()) }
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.leave();
    }
}
