//! When a session may be asked. Pure: `now` is handed in.

use crate::trust::{Standing, Trust};
use mtproto::CallFault;
use std::time::Duration;
use tokio::time::Instant;

/// Telegram's word is in whole seconds, and clocks differ: come a little later rather than a little early.
const FLOOD_MARGIN: Duration = Duration::from_millis(250);

/// What a session's calls told of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    resting_until: Option<Instant>,
    banned: bool,
    answered: bool,
    last_error: Option<&'static str>,
    trust: Vec<(i32, Trust)>,
}

impl Health {
    /// Takes note of the fault of a call to a data-centre, begun at `asked`.
    pub(crate) fn fault(&mut self, dc: i32, fault: &CallFault, asked: Instant, now: Instant) {
        match fault {
            CallFault::Flood { seconds, .. } => self.rest(now + Duration::from_secs(u64::from(*seconds))),
            CallFault::Resting { until } => return self.rest(*until),
            CallFault::Banned(_) => self.banned = true,
            CallFault::Dropped(_) | CallFault::Timeout | CallFault::Unauthorized => {
                self.trust_in(dc).fault(asked, now);
            }
            // Facts about the document or the question, not about the session: were they counted, one bad message would put every
            // session out.
            CallFault::Other(_) | CallFault::Migrate(_) | CallFault::ReferenceExpired => {}
        }
        self.last_error = Some(fault.kind());
    }

    /// Takes note that Telegram's wait ends then. A shorter one told later doesn't cut a longer one short.
    pub(crate) fn rest(&mut self, until: Instant) {
        let until = until + FLOOD_MARGIN;
        self.resting_until = Some(self.resting_until.map_or(until, |known| known.max(until)));
    }

    /// Takes note of an answer from a data-centre to a call begun at `asked`.
    pub(crate) fn success(&mut self, dc: i32, asked: Instant, now: Instant) {
        self.answered = true;
        self.trust_in(dc).success(asked, now);
    }

    /// When the flood wait ends, if there is one.
    pub(crate) fn resting_until(&self, now: Instant) -> Option<Instant> {
        self.resting_until.filter(|until| *until > now)
    }

    /// True when Telegram revoked the account.
    pub(crate) fn is_banned(&self) -> bool {
        self.banned
    }

    /// True when some call was answered.
    pub(crate) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Kind of the last fault.
    pub(crate) fn last_error(&self) -> Option<&'static str> {
        self.last_error
    }

    pub(crate) fn standing(&self, dc: i32, now: Instant) -> Standing {
        let known = self.trust.iter().find(|(known, _)| *known == dc);
        known.map_or(Standing::Trusted, |(_, trust)| trust.standing(now))
    }

    /// What it may do where it may do least.
    pub(crate) fn worst_standing(&self, now: Instant) -> Standing {
        self.standings(now).fold(Standing::Trusted, |worst, (_, standing)| match (worst, standing) {
            (Standing::Out(a), Standing::Out(b)) => Standing::Out(a.max(b)),
            (Standing::Out(until), _) | (_, Standing::Out(until)) => Standing::Out(until),
            (Standing::Probation, _) | (_, Standing::Probation) => Standing::Probation,
            (Standing::Trusted, Standing::Trusted) => Standing::Trusted,
        })
    }

    /// By data-centre that it was asked in.
    pub(crate) fn standings(&self, now: Instant) -> impl Iterator<Item = (i32, Standing)> {
        self.trust.iter().map(move |(dc, trust)| (*dc, trust.standing(now)))
    }

    fn trust_in(&mut self, dc: i32) -> &mut Trust {
        let at = self.trust.iter().position(|(known, _)| *known == dc).unwrap_or_else(|| {
            self.trust.push((dc, Trust::default()));
            self.trust.len() - 1
        });
        &mut self.trust[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::{FLOOD_MARGIN, Health};
    use crate::trust::Standing;
    use mtproto::CallFault;
    use std::time::Duration;
    use tokio::time::Instant;

    fn flood(seconds: u32) -> CallFault {
        CallFault::Flood { seconds, premium_exempt: false }
    }

    #[test]
    fn a_flood_wait_is_obeyed_to_the_second_and_never_cut_short() {
        let (mut health, now) = (Health::default(), Instant::now());
        health.fault(2, &flood(7), now, now);
        health.fault(2, &flood(3), now, now + Duration::from_secs(1));
        let end = now + Duration::from_secs(7);
        assert_eq!(health.resting_until(end - Duration::from_millis(1)), Some(end + FLOOD_MARGIN));
        // What is refused on this side, because of that wait, ends with it, however often.
        (1..7).for_each(|second| {
            health.fault(2, &CallFault::Resting { until: end }, now, now + Duration::from_secs(second));
        });
        assert_eq!(health.resting_until(end), Some(end + FLOOD_MARGIN));
        assert_eq!((health.resting_until(end + FLOOD_MARGIN), health.last_error()), (None, Some("flood")));
    }

    #[test]
    fn one_data_centres_trouble_is_not_anothers_and_bad_questions_are_nobodys() {
        let (mut health, now) = (Health::default(), Instant::now());
        (0..3).for_each(|_| health.fault(4, &CallFault::Timeout, now, now));
        assert!(matches!(health.standing(4, now), Standing::Out(_)));
        health.success(2, now, now);
        assert_eq!(health.standing(2, now), Standing::Trusted);
        assert!(matches!(health.worst_standing(now), Standing::Out(_)));
        for fault in [CallFault::Other("X".into()), CallFault::Migrate(4), CallFault::ReferenceExpired] {
            (0..99).for_each(|_| health.fault(2, &fault, now, now));
        }
        assert_eq!((health.standing(2, now), health.last_error()), (Standing::Trusted, Some("reference-expired")));
    }
}
