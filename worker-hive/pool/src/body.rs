//! The bytes of a range, in order, as they arrive.

use crate::fault::PoolFault;
use crate::fetch::{Fetched, Order, Transfer};
use crate::hedge::Front;
use crate::places::Lease;
use crate::plan::Plan;
use crate::pool::{Inner, Opened};
use crate::source::Source;
use crate::window::Window;
use bytes::Bytes;
use futures_core::Stream;
use mtproto::{Location, MessageRef};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument;

/// Yields exactly the range or ends with an error; never ends early without one. Dropping it cancels what is under way.
///
/// A window of chunks is under way or waiting at any time; memory is bounded by it.
pub struct Body<S: Source> {
    transfer: Arc<Transfer<S>>,
    plan: std::iter::Peekable<Plan>,
    window: Window,
    slots: VecDeque<Slot>,
    /// Chunks asked for so far.
    asked: u64,
    /// How many that were at the last setback: trouble of those is the same trouble.
    asked_at_setback: u64,
    /// The reader has been waiting for the next chunk already.
    waiting: bool,
    /// The first chunk's deadline, until it is asked for: what the lookup took is not given again.
    first_by: Option<Instant>,
    primed: Option<Result<Bytes, PoolFault>>,
    ended: bool,
}

struct Slot {
    task: AbortOnDropHandle<Result<Fetched, PoolFault>>,
    number: u64,
    /// Told once when the reader waits for this chunk.
    front: Option<oneshot::Sender<()>>,
    /// A stream's next chunk needs none, so that each gets on however many there are.
    _buffer: Option<OwnedSemaphorePermit>,
}

impl<S: Source> Body<S> {
    pub(crate) fn new(
        pool: Arc<Inner<S>>,
        message: MessageRef,
        location: &Location,
        lease: Arc<Lease<S>>,
        range: Range<u64>,
        first_by: Instant,
    ) -> Self {
        let (config, identity) = (&pool.config, location.identity);
        let plan = Plan::new(range.start, range.end.min(identity.size()), config.chunk, config.first_chunk);
        let window = Window::new(config.window_start, config.window_max);
        Self {
            plan: plan.peekable(),
            window,
            slots: VecDeque::new(),
            asked: 0,
            asked_at_setback: 0,
            waiting: false,
            first_by: Some(first_by),
            primed: None,
            ended: range.end > identity.size(),
            transfer: Arc::new(Transfer::new(pool, message, identity, location.dc, lease)),
        }
    }

    /// Waits for the first bytes, so that a fault before any of them can still be answered properly.
    ///
    /// # Errors
    /// [`PoolFault`], which the body then won't yield again.
    pub async fn prime(&mut self) -> Result<(), PoolFault> {
        if self.primed.is_some() {
            return Ok(());
        }
        match poll_fn(|cx| self.poll_chunk(cx)).await {
            Some(Err(fault)) => Err(fault),
            first => {
                self.primed = first;
                Ok(())
            }
        }
    }

    /// Opens the message that will be read after this body: on the session that this one is read from, in its place among that
    /// session's streams, if the session can see the message; else as [`crate::Pool::open`] does. The body goes on meanwhile.
    ///
    /// # Errors
    /// The future's, as [`crate::Pool::open`]'s.
    pub fn open_next(&self, message: MessageRef) -> impl Future<Output = Result<Opened<S>, PoolFault>> + Send + use<S> {
        Arc::clone(&self.transfer.pool).open_beside(message, self.transfer.lease())
    }

    fn top_up(&mut self) {
        while self.slots.len() < self.window.size() && self.plan.peek().is_some() {
            let buffer = match self.slots.is_empty() {
                true => None,
                false => match Arc::clone(&self.transfer.pool.buffer).try_acquire_owned() {
                    Ok(permit) => Some(permit),
                    Err(_) => return,
                },
            };
            let Some(chunk) = self.plan.next() else { return };
            let first_by = self.first_by.take();
            let deadline = first_by.unwrap_or_else(|| Instant::now() + self.transfer.pool.config.deadline);
            let (front, reached) = oneshot::channel();
            let order = Order { chunk, urgent: first_by.is_some(), front: Front::new(reached), deadline };
            let fetch = traces::step("chunk", Arc::clone(&self.transfer).fetch(order), |_| true);
            let fetch = fetch.in_current_span();
            let task = AbortOnDropHandle::new(tokio::spawn(fetch));
            self.slots.push_back(Slot { task, number: self.asked, front: Some(front), _buffer: buffer });
            self.asked += 1;
        }
    }

    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, PoolFault>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        self.top_up();
        let Some(front) = self.slots.front_mut() else {
            self.ended = true;
            return Poll::Ready(None);
        };
        let result = match Pin::new(&mut front.task).poll(cx) {
            Poll::Ready(result) => result,
            Poll::Pending => {
                self.waiting = true;
                if let Some(front) = front.front.take() {
                    let _ = front.send(());
                }
                return Poll::Pending;
            }
        };
        let number = self.slots.pop_front().map_or(0, |slot| slot.number);
        let fetched = result.unwrap_or_else(|_| Err(PoolFault::Reset("a chunk's task died".to_owned())));
        match fetched {
            Ok(fetched) => {
                let all_here = !self.slots.is_empty() && self.slots.iter().all(|slot| slot.task.is_finished());
                if fetched.troubled {
                    if number >= self.asked_at_setback {
                        self.asked_at_setback = self.asked;
                        self.window.setback();
                    }
                } else if !self.waiting && all_here {
                    self.window.idle();
                } else {
                    self.window.delivered(fetched.bytes.len(), self.waiting || !all_here, Instant::now());
                }
                self.waiting = false;
                self.top_up();
                Poll::Ready(Some(Ok(fetched.bytes)))
            }
            Err(fault) => {
                self.ended = true;
                self.slots.clear();
                Poll::Ready(Some(Err(fault)))
            }
        }
    }
}

impl<S: Source> Stream for Body<S> {
    type Item = Result<Bytes, PoolFault>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(first) = self.primed.take() {
            return Poll::Ready(Some(first));
        }
        let next = ready!(self.poll_chunk(cx));
        Poll::Ready(next)
    }
}
