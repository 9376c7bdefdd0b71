//! One account's connections to one data-centre.

use crate::fault::CallFault;
use crate::link::{Link, LinkOwner, LinkState, Ready};
use crate::slots::{Slot, Slots};
use crate::tally::{Connections, Tally};
use grammers_tl_types::RemoteCall;
use grammers_tl_types::functions::auth::ImportAuthorization;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// All but the first connection begin within this time.
const STAGGER: Duration = Duration::from_millis(50);

/// Several warm connections that share the account's key for the data-centre.
pub(crate) struct Datacentre {
    links: Vec<Link>,
    changed: watch::Receiver<u64>,
    crowded: Arc<watch::Sender<Instant>>,
    tally: Arc<Tally>,
    dc: i32,
    turn: AtomicUsize,
    slots: Arc<Slots>,
    /// Guards export and import of the authorization: Telegram limits both.
    pub(crate) gate: Arc<tokio::sync::Mutex<Gate>>,
    /// Authorizations carried here so far, so that of many calls refused at once only one asks for the next. Changed under the gate.
    pub(crate) imports: AtomicU64,
}

/// What came of carrying the authorization here.
#[derive(Default)]
pub(crate) struct Gate {
    /// Until when it isn't tried again, and why.
    pub(crate) closed_until: Option<(Instant, CallFault)>,
    /// Exported, sent here, and the answer was lost: it may have been taken, and is sent again rather than exported again.
    pub(crate) unsettled: Option<ImportAuthorization>,
}

impl Datacentre {
    pub(crate) fn start(owner: &LinkOwner, changed: watch::Receiver<u64>) -> Self {
        let connections = owner.config.connections.max(1);
        Self {
            // The first connects at once for the first caller; the rest spread out, as many accounts may start together.
            links: (0..connections)
                .map(|n| {
                    let delay = if n == 0 { Duration::ZERO } else { STAGGER.mul_f64(rand::random()) };
                    Link::start(owner.clone(), delay, n > 0)
                })
                .collect(),
            slots: Arc::new(Slots::new(connections, owner.config.call_timeout)),
            changed,
            crowded: Arc::clone(&owner.crowded),
            tally: Arc::clone(&owner.tally),
            dc: owner.dc,
            turn: AtomicUsize::new(0),
            gate: Arc::default(),
            imports: AtomicU64::new(0),
        }
    }

    /// Calls over the least busy warm connection, waiting for one if none is warm yet.
    pub(crate) async fn call<R: RemoteCall>(
        &self,
        request: &R,
        limit: Duration,
        slot: Option<Slot>,
    ) -> Result<Vec<u8>, CallFault> {
        let deadline = Instant::now() + limit;
        let (link, ready) = self.ready(deadline).await?;
        link.call(&ready, request, deadline, slot).await
    }

    /// Waits for this chunk's turn.
    pub(crate) async fn slot(&self) -> Result<Slot, CallFault> {
        self.slots.take().await.ok_or(CallFault::Timeout)
    }

    /// How its connections are, and how they were.
    pub(crate) fn connections(&self) -> Connections {
        let mut connections = self.tally.counts(self.dc);
        for link in &self.links {
            *match link.state() {
                LinkState::Ready(_) => &mut connections.open,
                LinkState::Connecting => &mut connections.connecting,
                LinkState::Down(_) => &mut connections.down,
                LinkState::Idle => &mut connections.idle,
            } += 1;
        }
        connections
    }

    /// Calls that were sent and not answered yet.
    #[cfg(test)]
    pub(crate) fn in_flight(&self) -> usize {
        self.links.iter().map(Link::in_flight).sum()
    }

    /// Panics every runner that is up.
    #[cfg(test)]
    pub(crate) async fn kill_runners(&self) {
        for link in &self.links {
            if let LinkState::Ready(ready) = link.state() {
                link.kill_runner(&ready).await;
            }
        }
    }

    /// Waits until at least one connection is warm, all have failed, or the time is up.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<(&Link, Ready), CallFault> {
        timeout_at(deadline, self.any_ready()).await.map_err(|_| CallFault::Timeout)?
    }

    async fn any_ready(&self) -> Result<(&Link, Ready), CallFault> {
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            let mut down = None;
            let mut connecting = false;
            let mut idle = false;
            let mut best: Option<(usize, &Link, Ready)> = None;
            let turn = self.turn.fetch_add(1, Ordering::Relaxed);
            for offset in 0..self.links.len() {
                let link = &self.links[(turn + offset) % self.links.len()];
                match link.state() {
                    LinkState::Ready(ready) => {
                        let load = link.in_flight();
                        if best.as_ref().is_none_or(|(least, ..)| load < *least) {
                            best = Some((load, link, ready));
                        }
                    }
                    LinkState::Connecting => connecting = true,
                    LinkState::Down(fault) => down = Some(fault),
                    LinkState::Idle => idle = true,
                }
            }
            // Links that were closed for want of work are wanted when those that are up have work already, or none is up.
            if best.as_ref().is_none_or(|(load, ..)| *load > 0) {
                self.crowded.send_replace(Instant::now());
            }
            if let Some((_, link, ready)) = best {
                return Ok((link, ready));
            }
            connecting |= idle;
            // Callers have other accounts to ask; waiting out the supervisors' pauses here would hide that.
            if let Some(fault) = down.filter(|_| !connecting) {
                return Err(fault);
            }
            if changed.changed().await.is_err() {
                return Err(CallFault::Dropped("the data-centre is closed".to_owned()));
            }
        }
    }
}
