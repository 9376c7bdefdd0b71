//! One account's connections to one data-centre.

use crate::fault::CallFault;
use crate::link::{Link, LinkOwner, LinkState, Ready};
use grammers_tl_types::RemoteCall;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Several warm connections that share the account's key for the data-centre.
pub(crate) struct Datacentre {
    links: Vec<Link>,
    changed: watch::Receiver<u64>,
    turn: AtomicUsize,
    /// Guards export and import of the authorization: Telegram limits both.
    pub(crate) gate: tokio::sync::Mutex<Gate>,
}

/// When the authorization was last tried, and what came of it.
#[derive(Default)]
pub(crate) struct Gate {
    pub(crate) closed_until: Option<(Instant, CallFault)>,
    /// Authorizations carried here so far, so that of many calls refused at once only one asks for the next.
    pub(crate) imports: u64,
}

impl Datacentre {
    pub(crate) fn start(owner: &LinkOwner, changed: watch::Receiver<u64>) -> Self {
        Self {
            links: (0..owner.config.connections.max(1)).map(|_| Link::start(owner.clone())).collect(),
            changed,
            turn: AtomicUsize::new(0),
            gate: tokio::sync::Mutex::default(),
        }
    }

    /// Calls over the least busy warm connection, waiting for one if none is warm yet.
    pub(crate) async fn call<R: RemoteCall>(&self, request: &R, limit: Duration) -> Result<Vec<u8>, CallFault> {
        let deadline = Instant::now() + limit;
        let (link, ready) = timeout_at(deadline, self.ready()).await.map_err(|_| CallFault::Timeout)??;
        link.call(&ready, request, deadline.saturating_duration_since(Instant::now())).await
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

    /// Waits until at least one connection is warm, or all have failed.
    pub(crate) async fn ready(&self) -> Result<(&Link, Ready), CallFault> {
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            let mut down = None;
            let mut connecting = false;
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
                }
            }
            if let Some((_, link, ready)) = best {
                return Ok((link, ready));
            }
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
