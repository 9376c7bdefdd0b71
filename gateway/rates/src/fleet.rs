//! What runs beside the requests: finding out whether Redis is there, how many gateways are, and what they have sent.

use crate::quota::{Quotas, Whose};
use crate::rates::{LEASE, Rates};
use crate::remote::Remote;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two beats; and while Redis is gone.
const BEAT: Duration = Duration::from_secs(1);
const BEAT_AWAY: Duration = Duration::from_millis(250);
/// Beats between two renewals of all streams, of which several must fail before a lease is over.
const RENEW: u32 = 2;
/// Beats between two looks at whether the file has to be written.
const WRITE: u32 = 10;
/// A gateway that left is counted for so long: one that is only slow must not have the others widen their shares.
const REMEMBER: Duration = Duration::from_secs(60);
/// Viewers that one call tells of.
const BATCH: usize = 500;
/// How long a month's sums are kept.
const KEEP: Duration = Duration::from_secs(40 * 86_400);

impl Rates {
    /// Keeps this gateway in touch with the others, and the file up to date. Ends never. `tick` is the clock of [`Rates::check`], `unix` the
    /// seconds since 1970.
    pub async fn run(self: &Arc<Self>, tick: impl Fn() -> Duration, unix: impl Fn() -> i64) {
        let mut highest = (self.gateways(), tick());
        let mut away = false;
        for round in 0_u32.. {
            let was_away = away;
            if let Some(remote) = &self.remote {
                self.beat(remote, &mut away, &mut highest, tick()).await;
            }
            let month = self.quotas.turn(unix());
            if let Some(remote) = self.remote.as_ref().filter(|remote| remote.is_there()) {
                let (whose, own) = self.quotas.own();
                for (tenant, own) in own.into_iter().filter(|_| whose != Whose::HandedOver) {
                    let apart = whose == Whose::Apart;
                    if let Ok(sum) = remote.sent(apart, &tenant, &month.to_string(), own, KEEP).await {
                        self.quotas.learn(&tenant, month, whose, own, sum);
                    }
                }
                // Streams go by another name before another process has the gateway's. They keep it, should that one not come up.
                let moves = whose != Whose::Ours && remote.go_apart();
                if moves {
                    self.release(remote).await;
                }
                // One that is back may have forgotten all.
                if round.is_multiple_of(RENEW) || was_away || moves {
                    self.hold(remote, true).await;
                }
            }
            if round.is_multiple_of(WRITE) {
                self.keep().await;
            }
            self.rest(if away { BEAT_AWAY } else { BEAT }).await;
        }
    }

    /// Until the next beat, which comes at once when a request found Redis gone; meanwhile it tells at once of streams that ended.
    async fn rest(&self, time: Duration) {
        let told = async {
            loop {
                self.released.notified().await;
                if let Some(remote) = self.remote.as_ref().filter(|remote| remote.is_there()) {
                    self.hold(remote, false).await;
                }
            }
        };
        let lost = async {
            match &self.remote {
                Some(remote) => remote.lost().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = told => {}
            () = lost => {}
            () = self.changed_hands.notified() => {}
            () = tokio::time::sleep(time) => {}
        }
    }

    async fn beat(&self, remote: &Remote, away: &mut bool, highest: &mut (u64, Duration), now: Duration) {
        match remote.beat().await {
            Ok(gateways) => {
                if gateways >= highest.0 || now.saturating_sub(highest.1) > REMEMBER {
                    *highest = (gateways.max(1), now);
                }
                self.gateways.store(highest.0, Ordering::Relaxed);
                remote.set_there(true);
                if std::mem::take(away) {
                    tracing::info!(gateways, "Redis is back: rates hold over all gateways");
                }
            }
            Err(failure) => {
                remote.set_there(false);
                remote.reconnect();
                if !std::mem::replace(away, true) {
                    let gateways = self.gateways();
                    tracing::warn!(%failure, gateways, "Redis is gone: this gateway keeps its share of the rates by itself; streams go on");
                }
            }
        }
    }

    /// Tells of streams: of all, or of what has changed.
    async fn hold(&self, remote: &Remote, all: bool) {
        for (tenant, here, held) in self.streams.news(all) {
            for (at, batch) in held.chunks(BATCH).enumerate() {
                match remote.hold(&tenant, here, batch, LEASE).await {
                    Ok(elsewhere) => self.streams.learn(&tenant, elsewhere),
                    // Told again with the next renewal, those who have ended, too; or over with the lease.
                    Err(_) => {
                        self.streams.put_back(&tenant, held.iter().skip(at * BATCH).map(|held| held.viewer));
                        break;
                    }
                }
            }
        }
    }

    /// Takes back what the gateway's name holds. What can't be taken back is over with the lease.
    async fn release(&self, remote: &Remote) {
        for (tenant, _, held) in self.streams.news(true) {
            for batch in held.chunks(BATCH) {
                if remote.release(&tenant, batch, LEASE).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Leaves the gateway's name and file to another process: writes the file for the last time. Blocks.
    ///
    /// # Errors
    /// The disk's. It is handed over nevertheless, and the other one goes on where the file ends.
    pub fn hand_over(&self) -> std::io::Result<()> {
        let written = self.quotas.hand_over();
        self.changed_hands.notify_one();
        written
    }

    /// The other process did not come up: name and file are this one's again.
    pub fn take_back(&self) {
        self.quotas.take_back();
    }

    /// The other process serves: what this one sends from now on it counts under a name of its own. Without Redis nobody hears of it.
    pub fn go_apart(&self) {
        self.quotas.go_apart();
    }

    async fn keep(self: &Arc<Self>) {
        let rates = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || rates.write()).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "what tenants sent this month can't be written down; a restart would forget it");
        }
    }

    /// Writes down what tenants sent. Blocks. For the end of the process; [`Rates::run`] does it now and then.
    ///
    /// # Errors
    /// The disk's.
    pub fn write(&self) -> std::io::Result<()> {
        Quotas::write(&self.quotas)
    }
}
