//! The face: a request comes in, and may go on or not.

use crate::bucket::{Bucket, Route, RouteRates, Scope, Standing, Verdict, Who, buckets, key};
use crate::fields;
use crate::month::Month;
use crate::quota::{Account, Quotas};
use crate::remote::{Opened, Remote, hex};
use crate::streams::{Full, Name, Streams, has_room};
use crate::table::{MOST, Table};
use parking_lot::Mutex;
use redis_link::Server;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// How long what a gateway said of its streams holds.
pub(crate) const LEASE: Duration = Duration::from_secs(10);

/// What the gateways share, and where.
#[derive(Clone, Debug)]
pub struct FleetConfig {
    /// Where Redis is.
    pub server: Server,
    /// First part of every key.
    pub prefix: String,
    /// Longest time of one call, and so what a request waits at most for a Redis that has just gone. Some tens of milliseconds.
    pub timeout: Duration,
    /// How many gateways there are, until Redis has said so.
    pub gateways: u64,
}

/// Rates, streams and quotas of all tenants: one for the whole process.
#[derive(Debug)]
pub struct Rates {
    table: Mutex<Table>,
    pub(crate) remote: Option<Remote>,
    pub(crate) quotas: Quotas,
    pub(crate) streams: Streams,
    pub(crate) released: Notify,
    pub(crate) changed_hands: Notify,
    /// Gateways that share Redis, as far as is known.
    pub(crate) gateways: AtomicU64,
    counters: [RouteCounters; Route::ALL.len()],
}

#[derive(Debug, Default)]
struct RouteCounters {
    passed: AtomicU64,
    limited: AtomicU64,
    alone: AtomicU64,
}

/// A request may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passed {
    standings: Vec<Standing>,
}

/// A request came too soon.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more {} requests of one {} than {} in {:?}", .route.word(), .scope.word(), .rate.tokens(), .rate.window())]
pub struct Limited {
    /// What it was for.
    pub route: Route,
    /// Whose bucket is empty; of several the first.
    pub scope: Scope,
    rate: crate::meter::Rate,
    standings: Vec<Standing>,
}

impl Passed {
    /// The value of `RateLimit-Policy`; `None` if nothing bounds the request.
    #[must_use]
    pub fn policy_field(&self) -> Option<String> {
        fields::policy(&self.standings)
    }

    /// The value of `RateLimit`; `None` if nothing bounds the request.
    #[must_use]
    pub fn limit_field(&self) -> Option<String> {
        fields::limit(&self.standings)
    }
}

impl Limited {
    /// When to come again: whole seconds, at least one.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        fields::retry_after(&self.standings)
    }

    /// The value of `RateLimit-Policy`.
    #[must_use]
    pub fn policy_field(&self) -> Option<String> {
        fields::policy(&self.standings)
    }

    /// The value of `RateLimit`.
    #[must_use]
    pub fn limit_field(&self) -> Option<String> {
        fields::limit(&self.standings)
    }
}

impl Rates {
    /// Connects nowhere: [`Rates::run`] does. `file` keeps what tenants sent in the month over restarts; `unix` is the time in seconds since
    /// 1970.
    ///
    /// # Errors
    /// The file is there and can't be read.
    pub fn new(fleet: Option<FleetConfig>, file: Option<PathBuf>, unix: i64) -> io::Result<Self> {
        let fresh = || hex(&rand::random::<[u8; 8]>());
        let quotas = Quotas::open(file, &fresh(), fleet.is_some(), unix)?;
        let gateways = AtomicU64::new(fleet.as_ref().map_or(1, |fleet| fleet.gateways.max(1)));
        let names = [quotas.name().to_owned(), fresh()];
        let remote = fleet.map(|fleet| Remote::new(fleet.server, &fleet.prefix, names, fleet.timeout));
        Ok(Self {
            table: Mutex::new(Table::new(MOST)),
            remote,
            quotas,
            streams: Streams::default(),
            released: Notify::new(),
            changed_hands: Notify::new(),
            gateways,
            counters: Default::default(),
        })
    }

    /// Takes one request from the address's, the identity's and the tenant's bucket of a route, or from none. A route without rates is
    /// free: no lock, no call. `now` is a clock that never goes back, the same for all calls.
    ///
    /// With Redis that is one call of one script. Without, or while it is gone, this gateway decides by itself: see the crate's rule.
    ///
    /// # Errors
    /// [`Limited`].
    pub async fn check(
        &self,
        route: Route,
        rates: &RouteRates,
        who: &Who<'_>,
        now: Duration,
    ) -> Result<Passed, Limited> {
        let buckets = buckets(route, rates, who);
        if buckets.is_empty() {
            return Ok(Passed { standings: Vec::new() });
        }
        let [stream, sign, auth, api] = &self.counters;
        let counters = match route {
            Route::Stream => stream,
            Route::Sign => sign,
            Route::Auth => auth,
            Route::Api => api,
        };
        let verdict = match self.ask(&buckets, who.tenant, now).await {
            Some(verdict) => verdict,
            None => {
                counters.alone.fetch_add(1, Ordering::Relaxed);
                self.table.lock().decide(&buckets, self.gateways(), now)
            }
        };
        let Verdict { passed, standings } = verdict;
        if passed {
            counters.passed.fetch_add(1, Ordering::Relaxed);
            return Ok(Passed { standings });
        }
        counters.limited.fetch_add(1, Ordering::Relaxed);
        let empty = standings.iter().find(|standing| !standing.wait().is_zero()).or(standings.first()).copied();
        Err(match empty {
            Some(Standing { scope, rate, .. }) => Limited { route, scope, rate, standings },
            // Never: there is at least one bucket.
            None => return Ok(Passed { standings }),
        })
    }

    /// Redis' decision; `None` if there is no Redis, or none that answers.
    async fn ask(&self, buckets: &[Bucket], tenant: &str, now: Duration) -> Option<Verdict> {
        let remote = self.remote.as_ref().filter(|remote| remote.is_there())?;
        let weight = self.gateways();
        let owed: Vec<u64> = {
            let mut table = self.table.lock();
            buckets.iter().map(|bucket| table.owed(bucket, weight, now)).collect()
        };
        let owing = Owing { rates: self, buckets, owed: &owed, weight, now, told: false };
        let verdict = Box::pin(remote.decide(tenant, buckets, &owed)).await.ok()?;
        owing.told();
        let mut table = self.table.lock();
        for (bucket, standing) in buckets.iter().zip(&verdict.standings) {
            table.see(bucket, standing.level, now);
        }
        Some(verdict)
    }

    /// A tenant's bytes of this month, which may be `bound` at most.
    #[must_use]
    pub fn account(&self, tenant: &Arc<str>, bound: u64) -> Arc<Account> {
        self.quotas.account(tenant, bound)
    }

    /// How long until the next month begins.
    #[must_use]
    pub fn rest_of_month(unix: i64) -> Duration {
        Month::rest(unix)
    }

    /// Counts a request among the streams that a viewer and its tenant have over all gateways; `bounds` are theirs. To be asked for once
    /// this gateway itself has room. Costs a call of Redis for a stream that isn't going on here already, and nothing without Redis.
    ///
    /// While Redis is gone this gateway's own count of the viewer stands (it was looked at before), and of the tenant's bound it has its
    /// share, or what the others had left.
    ///
    /// # Errors
    /// [`Full`] if it would be one too many.
    pub async fn open(
        self: &Arc<Self>,
        tenant: &Arc<str>,
        viewer: &str,
        stream: &str,
        bounds: (Option<u32>, Option<u32>),
    ) -> Result<Option<StreamPlace>, Full> {
        let Some(remote) = self.remote.as_ref().filter(|_| bounds != (None, None)) else { return Ok(None) };
        let (viewer, stream) = (key(&[tenant, viewer]), key(&[stream]));
        let question = self.streams.join(tenant, viewer, stream);
        // Given back if the answer is no, or if nobody waits for it any more.
        let place = StreamPlace { rates: Arc::clone(self), tenant: Arc::clone(tenant), viewer, stream };
        if let Some(question) = question {
            let name = hex(&stream);
            let opened = remote.open(tenant, &question.held, &name, bounds, question.here, LEASE);
            match Box::pin(opened).await {
                Ok(Opened { verdict: 0, elsewhere }) => self.streams.learn(tenant, elsewhere),
                Ok(Opened { verdict: 1, .. }) => return Err(Full::Viewer),
                Ok(Opened { elsewhere, .. }) => {
                    self.streams.learn(tenant, elsewhere);
                    return Err(Full::Tenant);
                }
                Err(_) if has_room(bounds.1, question.here, question.elsewhere, self.gateways()) => {}
                Err(_) => return Err(Full::Tenant),
            }
            self.streams.sure(tenant, &viewer, &stream);
        }
        Ok(Some(place))
    }

    /// Gateways that share the rates, as far as is known.
    #[must_use]
    pub fn gateways(&self) -> u64 {
        self.gateways.load(Ordering::Relaxed).max(1)
    }

    /// The figures.
    #[must_use]
    pub fn stats(&self) -> RateStats {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let routes = Route::ALL.iter().zip(&self.counters).map(|(route, counters)| RouteStats {
            route: *route,
            passed: load(&counters.passed),
            limited: load(&counters.limited),
            alone: load(&counters.alone),
        });
        RateStats {
            routes: routes.collect(),
            buckets: self.table.lock().len() as u64,
            gateways: self.gateways(),
            redis_away: u64::from(self.remote.as_ref().is_some_and(|remote| !remote.is_there())),
            redis_failures: self.remote.as_ref().map_or(0, Remote::failures),
            sent: self.quotas.sent(),
        }
    }
}

/// What was let through without Redis is told once; if the call came to nothing, it is still to be told.
struct Owing<'a> {
    rates: &'a Rates,
    buckets: &'a [Bucket],
    owed: &'a [u64],
    weight: u64,
    now: Duration,
    told: bool,
}

impl Owing<'_> {
    fn told(mut self) {
        self.told = true;
    }
}

impl Drop for Owing<'_> {
    fn drop(&mut self) {
        if self.told || self.owed.iter().all(|owed| *owed == 0) {
            return;
        }
        let mut table = self.rates.table.lock();
        for (bucket, owed) in self.buckets.iter().zip(self.owed) {
            table.still_owed(bucket, *owed, self.weight, self.now);
        }
    }
}

/// A request's place among the streams of all gateways. Dropping it gives the place back.
#[derive(Debug)]
#[must_use = "the place is given back when it is dropped"]
pub struct StreamPlace {
    rates: Arc<Rates>,
    tenant: Arc<str>,
    viewer: Name,
    stream: Name,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        if self.rates.streams.leave(&self.tenant, self.viewer, self.stream) {
            self.rates.released.notify_one();
        }
    }
}

/// What was decided, and how things stand.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RateStats {
    /// Decisions, by route.
    pub routes: Vec<RouteStats>,
    /// Gauge: buckets in memory.
    pub buckets: u64,
    /// Gauge: gateways that share Redis, this one included.
    pub gateways: u64,
    /// Gauge: 1 while there should be a Redis and none answers.
    pub redis_away: u64,
    /// Calls of Redis that brought no answer.
    pub redis_failures: u64,
    /// Gauge: bytes of this month by tenant, of those with a quota.
    pub sent: Vec<(Arc<str>, u64)>,
}

/// Decisions about one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RouteStats {
    /// Which.
    pub route: Route,
    /// Requests that went on.
    pub passed: u64,
    /// Requests that came too soon.
    pub limited: u64,
    /// Of both, those that this gateway decided by itself.
    pub alone: u64,
}
