//! One account's connections to one data-centre.
//!
//! The first few are always there. More are opened one at a time, while calls wait for their turn and each one opened brings its
//! share of bytes ([`Growth`]); what is not needed any more is closed by its link's supervisor, and opened again before a new one is
//! made.

use crate::ask::Ask;
use crate::fault::CallFault;
use crate::growth::Growth;
use crate::link::{Link, LinkOwner, LinkState, Ready};
use crate::schema::StoreError;
use crate::slots::{FIRST, Slot, Slots};
use crate::tally::{Connections, Tally};
use grammers_tl_types::RemoteCall;
use grammers_tl_types::functions::auth::ImportAuthorization;
use parking_lot::{Mutex, RwLock};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// All but the first connection begin within this time.
const STAGGER: Duration = Duration::from_millis(50);

/// Several warm connections that share the account's key for the data-centre.
pub(crate) struct Datacentre {
    owner: LinkOwner,
    links: RwLock<Vec<Arc<Member>>>,
    changed: watch::Receiver<u64>,
    tally: Arc<Tally>,
    slots: Arc<Slots>,
    growth: Mutex<Growth>,
    /// Guards export and import of the authorization: Telegram limits both.
    pub(crate) gate: Arc<tokio::sync::Mutex<Gate>>,
    /// Authorizations carried here so far, so that of many calls refused at once only one asks for the next. Changed under the gate.
    pub(crate) imports: AtomicU64,
}

/// A link, and when it was last of use: one that is not for long is closed.
struct Member {
    link: Link,
    number: usize,
    wanted: Arc<watch::Sender<Instant>>,
}

/// What came of carrying the authorization here.
#[derive(Default)]
pub(crate) struct Gate {
    /// It isn't tried again for now.
    pub(crate) closed: Option<Closed>,
    /// The data-centre refused the key itself, and no authorization was taken since.
    pub(crate) key_refused: bool,
    /// Exported, sent here, and the answer was lost: it may have been taken, and is sent again rather than exported again.
    pub(crate) unsettled: Option<ImportAuthorization>,
}

/// Until when the authorization isn't carried, since when, and why.
pub(crate) struct Closed {
    pub(crate) since: Instant,
    pub(crate) until: Instant,
    pub(crate) fault: CallFault,
}

impl Closed {
    pub(crate) fn during(pause: Duration, fault: CallFault) -> Self {
        let since = Instant::now();
        Self { since, until: since + pause, fault }
    }
}

/// One account and data-centre as they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DatacentreReport {
    /// Its connections.
    pub connections: Connections,
    /// Calls that were sent and not answered yet.
    pub in_flight: usize,
    /// Chunks that may be under way at once.
    pub window: usize,
    /// Chunks that wait for their turn.
    pub waiting: usize,
}

impl Datacentre {
    pub(crate) fn start(owner: LinkOwner, changed: watch::Receiver<u64>) -> Self {
        let first = owner.config.connections_min.clamp(1, owner.config.connections.max(1));
        let this = Self {
            links: RwLock::default(),
            changed,
            tally: Arc::clone(&owner.tally),
            slots: Arc::new(Slots::new(first, owner.config.call_timeout)),
            growth: Mutex::default(),
            gate: Arc::default(),
            imports: AtomicU64::new(0),
            owner,
        };
        // The first connects at once for the first caller; the rest spread out, as many accounts may start together.
        for number in 0..first {
            this.open(if number == 0 { Duration::ZERO } else { STAGGER.mul_f64(rand::random()) });
        }
        this
    }

    fn open(&self, delay: Duration) {
        let mut links = self.links.write();
        let number = links.len();
        let wanted = Arc::new(watch::Sender::new(Instant::now()));
        let owner = LinkOwner { crowded: Arc::clone(&wanted), ..self.owner.clone() };
        links.push(Arc::new(Member { link: Link::start(owner, delay, number > 0), number, wanted }));
    }

    /// Calls over the least busy warm connection, waiting for one if none is warm yet.
    pub(crate) async fn call<R: RemoteCall>(
        &self,
        request: &R,
        limit: Duration,
        turn: Option<(Slot, &Ask)>,
    ) -> Result<Vec<u8>, CallFault> {
        let deadline = Instant::now() + limit;
        let other_than = turn.as_ref().and_then(|(_, ask)| ask.other_than());
        let (member, ready) = self.warm(deadline, other_than).await?;
        // Another call may have been told to wait while this one waited for a connection.
        self.owner.rest.obey(&self.owner.permission, Instant::now())?;
        let Some((slot, ask)) = turn else { return member.link.call(&ready, request, deadline, None).await };
        ask.send_over(member.number, Instant::now());
        let answer = member.link.call(&ready, request, deadline, Some(slot)).await;
        if let Ok(body) = &answer {
            self.growth.lock().answered(body.len());
        }
        answer
    }

    /// Waits for this chunk's turn.
    pub(crate) async fn slot(&self, ask: &Ask) -> Result<Slot, CallFault> {
        if !self.slots.is_free(ask.is_urgent()) {
            self.grow();
        }
        let slot = self.slots.take(ask.is_urgent()).await.ok_or(CallFault::Timeout)?;
        Ok(slot.holding(ask.held()))
    }

    /// A call must wait: one connection more, if that may help.
    fn grow(&self) {
        let now = Instant::now();
        let links = self.links.read().clone();
        let is_warm = |member: &&Arc<Member>| matches!(member.link.state(), LinkState::Ready(_));
        let idle = links.iter().find(|member| matches!(member.link.state(), LinkState::Idle));
        let idle_count = links.iter().filter(|member| matches!(member.link.state(), LinkState::Idle)).count();
        let (warm, opened) = (links.iter().filter(is_warm).count(), links.len() - idle_count);
        if opened >= self.owner.config.connections || !self.growth.lock().waits(warm, opened, now) {
            return;
        }
        match idle {
            Some(member) => drop(member.wanted.send_replace(now)),
            None => self.open(Duration::ZERO),
        }
    }

    pub(crate) fn connections(&self) -> Connections {
        let mut connections = self.tally.counts(self.owner.dc);
        for member in self.links.read().iter() {
            *match member.link.state() {
                LinkState::Ready(_) => &mut connections.open,
                LinkState::Connecting => &mut connections.connecting,
                LinkState::Down(_) => &mut connections.down,
                LinkState::Idle => &mut connections.idle,
            } += 1;
        }
        connections
    }

    pub(crate) fn report(&self) -> DatacentreReport {
        let fill = self.slots.fill();
        DatacentreReport {
            connections: self.connections(),
            in_flight: self.in_flight(),
            window: fill.limit,
            waiting: fill.waiting,
        }
    }

    /// Connections that a call can go over at once.
    pub(crate) fn warm_connections(&self) -> usize {
        self.links.read().iter().filter(|member| matches!(member.link.state(), LinkState::Ready(_))).count()
    }

    /// Calls that were sent and not answered yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.links.read().iter().map(|member| member.link.in_flight()).sum()
    }

    /// Panics every runner that is up.
    #[cfg(test)]
    pub(crate) async fn kill_runners(&self) {
        let links = self.links.read().clone();
        for member in links {
            if let LinkState::Ready(ready) = member.link.state() {
                member.link.kill_runner(&ready).await;
            }
        }
    }

    /// Forgets a key that the data-centre doesn't take any more: its connections end, and the next one makes another.
    pub(crate) async fn forget_key(&self) -> Result<(), StoreError> {
        let _making = self.owner.key_lock.lock().await;
        self.owner.replace_key(None).await.map(drop)
    }

    /// Waits until at least one connection is warm, all have failed, or the time is up.
    pub(crate) async fn ready(&self, deadline: Instant) -> Result<(), CallFault> {
        self.warm(deadline, None).await.map(drop)
    }

    async fn warm(&self, deadline: Instant, other_than: Option<usize>) -> Result<(Arc<Member>, Ready), CallFault> {
        timeout_at(deadline, self.any_warm(other_than)).await.map_err(|_| CallFault::Timeout)?
    }

    async fn any_warm(&self, other_than: Option<usize>) -> Result<(Arc<Member>, Ready), CallFault> {
        let mut changed = self.changed.clone();
        loop {
            changed.borrow_and_update();
            let links = self.links.read().clone();
            let (mut down, mut hope, mut warm, mut in_flight) = (None, false, 0, 0);
            // Ties go to the lowest number: what is not needed is left alone, and closed in the end.
            let mut best: Option<((bool, usize), &Arc<Member>, Ready)> = None;
            for member in &links {
                match member.link.state() {
                    // About to end, and to come back with the new key.
                    LinkState::Ready(ready) if !self.owner.is_current(&ready) => hope = true,
                    LinkState::Ready(ready) => {
                        warm += 1;
                        let load = member.link.in_flight();
                        in_flight += load;
                        let rank = (other_than == Some(member.number), load);
                        if best.as_ref().is_none_or(|(least, ..)| rank < *least) {
                            best = Some((rank, member, ready));
                        }
                    }
                    LinkState::Connecting => hope = true,
                    LinkState::Down(fault) => down = Some(fault),
                    // Only while another one is there. Should that one fail, it is wanted.
                    LinkState::Idle => hope = true,
                }
            }
            self.want(&links, warm, in_flight);
            if let Some((_, member, ready)) = best {
                self.slots.resize(warm);
                return Ok((Arc::clone(member), ready));
            }
            // Callers have other accounts to ask; waiting out the supervisors' pauses here would hide that.
            if let Some(fault) = down.filter(|_| !hope) {
                return Err(fault);
            }
            if changed.changed().await.is_err() {
                return Err(CallFault::Dropped("the data-centre is closed".to_owned()));
            }
        }
    }

    /// Says which links are of use: as many as the calls under way fill, or all when none is warm. Of those that are to be there
    /// beforehand, a second call at once brings back what was closed.
    fn want(&self, links: &[Arc<Member>], warm: usize, in_flight: usize) {
        let now = Instant::now();
        let needed = if warm == 0 {
            links.len()
        } else {
            in_flight.div_ceil(FIRST).max(self.owner.config.connections_min).max(1)
        };
        for member in links.iter().take(needed) {
            let is_open = !matches!(member.link.state(), LinkState::Idle);
            if warm == 0 || is_open || (in_flight > 0 && member.number < self.owner.config.connections_min) {
                member.wanted.send_replace(now);
            }
        }
    }
}
