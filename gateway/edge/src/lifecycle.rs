//! Where a gateway's process stands between its start and its end, and the end.

use config::gateway::Limits;
use prometheus::IntGauge;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What is left of a drain's time for the ends of transfers that did not end by themselves: each has a log line.
const LAST: Duration = Duration::from_secs(4);
/// How often the drain looks whether it is done.
const LOOK: Duration = Duration::from_millis(20);
/// A process that is replaced lives at least so long: who was accepted by it and is shaking hands over TLS is no connection yet.
const SETTLE: Duration = Duration::from_secs(10);

/// How far the process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Serves whoever comes.
    #[default]
    Serving,
    /// New connections are another process's. What is open here is served to its end.
    Replaced,
    /// Ends when no request runs any more.
    Ending,
    /// Ends now.
    Ended,
}

/// Bounds of the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainLimits {
    /// After SIGTERM.
    pub(crate) ending: Duration,
    /// After an upgrade.
    pub(crate) replaced: Duration,
}

/// One process's.
pub(crate) struct Lifecycle {
    phase: watch::Sender<Phase>,
    /// Viewers' connections.
    connections: AtomicUsize,
    /// Those of them that are only read from until their clients close.
    lingering: AtomicUsize,
    /// A successor is being started, or serves.
    upgrading: AtomicBool,
    /// It is being started: an end waits until it serves or is gone.
    starting: AtomicBool,
    pub(crate) limits: DrainLimits,
}

/// Counts a connection until it is dropped.
pub(crate) struct Connected(Arc<Lifecycle>);

/// Counts a connection that was answered for the last time, and whose client still reads.
#[derive(Debug)]
pub(crate) struct Lingers(Connected);

/// Counts an answer until its connection is closed.
pub(crate) struct Closing(Arc<Lifecycle>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.lingering.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Connected {
    /// From here on an end waits for it, too.
    pub(crate) fn lingers(self) -> Lingers {
        self.0.lingering.fetch_add(1, Ordering::AcqRel);
        Lingers(self)
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Drop for Lingers {
    fn drop(&mut self) {
        self.0.0.lingering.fetch_sub(1, Ordering::AcqRel);
    }
}

impl std::fmt::Debug for Connected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connected")
    }
}

impl Lifecycle {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            phase: watch::Sender::default(),
            connections: AtomicUsize::new(0),
            lingering: AtomicUsize::new(0),
            upgrading: AtomicBool::new(false),
            starting: AtomicBool::new(false),
            limits: DrainLimits { ending: limits.drain.get(), replaced: limits.upgrade_drain.get() },
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Goes on to a later phase; never back.
    pub(crate) fn reach(&self, phase: Phase) {
        self.phase.send_if_modified(|now| {
            let later = *now < phase;
            *now = phase.max(*now);
            later
        });
    }

    /// Returns once the process is to serve no new connections.
    pub(crate) async fn leaves(&self) {
        // The sender lives as long as `self`.
        let _ = self.phase.subscribe().wait_for(|phase| *phase > Phase::Serving).await;
    }

    /// Its connections go on although the server stops: each gets an answer to its next request.
    pub(crate) fn is_replaced(&self) -> bool {
        self.phase() == Phase::Replaced
    }

    pub(crate) fn connected(self: &Arc<Self>) -> Connected {
        self.connections.fetch_add(1, Ordering::AcqRel);
        Connected(self.clone())
    }

    /// False: a successor is being started already, or has taken over.
    pub(crate) fn begin_upgrade(&self) -> bool {
        let begins = self.phase() == Phase::Serving && !self.upgrading.swap(true, Ordering::AcqRel);
        if begins {
            self.starting.store(true, Ordering::Release);
        }
        begins
    }

    /// The successor serves. False: this process was told to end before, and so is the successor to.
    #[must_use]
    pub(crate) fn replace(&self) -> bool {
        let replaced = self.phase.send_if_modified(|now| {
            let serves = *now == Phase::Serving;
            if serves {
                *now = Phase::Replaced;
            }
            serves
        });
        if replaced {
            self.starting.store(false, Ordering::Release);
        }
        replaced
    }

    /// It came to nothing.
    pub(crate) fn abandon_upgrade(&self) {
        self.upgrading.store(false, Ordering::Release);
        self.starting.store(false, Ordering::Release);
    }

    /// Counts until it is dropped as a request does, for an end: an answer is on its way, or its connection is being closed in order.
    pub(crate) fn closing(self: &Arc<Self>) -> Closing {
        self.lingering.fetch_add(1, Ordering::AcqRel);
        Closing(self.clone())
    }
}

/// What a drain sees when it looks.
#[derive(Clone, Copy, Debug)]
struct Look {
    phase: Phase,
    /// Since the process left service, and since it was told to end.
    left_for: Duration,
    ending_for: Duration,
    /// Requests run, or their answers are being read.
    requests: bool,
    connections: bool,
    /// Somebody is told of acts through this process alone.
    relays: bool,
    /// A successor is being started, which nobody else would end.
    starts: bool,
}

/// Nobody is waited for any more: what still runs is cut.
fn is_over(look: &Look, limits: &DrainLimits) -> bool {
    let patience = |limit: Duration| limit.saturating_sub(LAST.min(limit / 4));
    match look.phase {
        Phase::Serving => false,
        Phase::Replaced => {
            let idle = !look.requests && !look.connections && !look.relays && look.left_for >= SETTLE;
            idle || look.left_for >= patience(limits.replaced)
        }
        Phase::Ending => !look.requests && !look.starts || look.ending_for >= patience(limits.ending),
        Phase::Ended => true,
    }
}

/// Watches from a thread of its own, and calls `end` when a drain is over. pingora by itself would wait for the whole time, whether or
/// not anybody is left. `close` is called before, so that each transfer that is cut ends with its log line.
pub(crate) fn watch(
    lifecycle: Arc<Lifecycle>,
    requests: IntGauge,
    relays: impl Fn() -> bool + Send + 'static,
    close: impl FnOnce() + Send + 'static,
    end: impl FnOnce() + Send + 'static,
) -> std::io::Result<()> {
    let drain = move || {
        let (mut left_for, mut ending_for) = (Duration::ZERO, Duration::ZERO);
        loop {
            let look = Look {
                phase: lifecycle.phase(),
                left_for,
                ending_for,
                requests: requests.get() > 0 || lifecycle.lingering.load(Ordering::Acquire) > 0,
                connections: lifecycle.connections.load(Ordering::Acquire) > 0,
                relays: relays(),
                starts: lifecycle.starting.load(Ordering::Acquire),
            };
            if is_over(&look, &lifecycle.limits) {
                break;
            }
            std::thread::sleep(LOOK);
            if look.phase >= Phase::Replaced {
                left_for += LOOK;
            }
            if look.phase >= Phase::Ending {
                ending_for += LOOK;
            }
        }
        close();
        let mut waited = Duration::ZERO;
        while requests.get() > 0 && waited < LAST {
            std::thread::sleep(LOOK);
            waited += LOOK;
        }
        end();
    };
    std::thread::Builder::new().name("drain".to_owned()).spawn(drain).map(drop)
}

#[cfg(test)]
mod tests {
    use super::{DrainLimits, Lifecycle, Look, Phase, is_over};
    use config::gateway::Limits;
    use std::time::Duration;

    #[test]
    fn a_drain_is_over_when_nobody_is_left_or_its_time_is() {
        let seconds = Duration::from_secs;
        let limits = DrainLimits { ending: seconds(30), replaced: seconds(3600) };
        let look = |phase, left, ending, who: &str| Look {
            phase,
            left_for: seconds(left),
            ending_for: seconds(ending),
            requests: who.contains("request"),
            connections: who.contains("connection"),
            relays: who.contains("relay"),
            starts: who.contains("successor"),
        };
        for (phase, left, ending, who, over) in [
            (Phase::Serving, 0, 0, "", false),
            (Phase::Replaced, 9, 0, "", false),
            (Phase::Replaced, 10, 0, "", true),
            (Phase::Replaced, 10, 0, "connection", false),
            (Phase::Replaced, 3595, 0, "request connection", false),
            (Phase::Replaced, 3596, 0, "request connection", true),
            (Phase::Replaced, 100, 0, "relay", false),
            (Phase::Ending, 0, 0, "", true),
            (Phase::Ending, 0, 0, "connection", true),
            (Phase::Ending, 0, 0, "successor", false),
            (Phase::Ending, 26, 26, "successor", true),
            (Phase::Ending, 9999, 25, "request", false),
            (Phase::Ending, 26, 26, "request", true),
            (Phase::Ended, 0, 0, "request", true),
        ] {
            assert_eq!(is_over(&look(phase, left, ending, who), &limits), over, "{phase:?} {left} {ending} {who}");
        }
        // A limit that is shorter than what is set aside for the ends.
        let short = DrainLimits { ending: seconds(1), ..limits };
        assert!(!is_over(&look(Phase::Ending, 0, 0, "request"), &short));
        assert!(is_over(&look(Phase::Ending, 1, 1, "request"), &short));
    }

    #[test]
    fn phases_go_one_way_and_upgrades_come_one_at_a_time() {
        let lifecycle = Lifecycle::new(&Limits::default());
        assert!(lifecycle.begin_upgrade() && !lifecycle.begin_upgrade());
        lifecycle.abandon_upgrade();
        assert!(lifecycle.begin_upgrade());
        assert!(lifecycle.replace());
        lifecycle.abandon_upgrade();
        assert!(lifecycle.is_replaced() && !lifecycle.begin_upgrade());
        lifecycle.reach(Phase::Ending);
        lifecycle.reach(Phase::Replaced);
        assert_eq!(lifecycle.phase(), Phase::Ending);
        let told = Lifecycle::new(&Limits::default());
        told.reach(Phase::Ending);
        assert!(!told.replace() && told.phase() == Phase::Ending);
    }
}
