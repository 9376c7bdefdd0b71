//! Whether a session is trusted in one data-centre: quarantine after faults in a row, and the way back. Pure: `now` is handed in.

use std::time::Duration;
use tokio::time::Instant;

/// Faults in a row that put a session out.
const FAULTS: u32 = 3;
/// Trials in a row that bring it back.
const TRIALS: u32 = 3;
const OUT_FIRST: Duration = Duration::from_secs(1);
const OUT_LAST: Duration = Duration::from_secs(120);
/// After so long without another quarantine the next one is as short as the first.
const FORGIVEN_AFTER: Duration = Duration::from_secs(120);

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Anything.
    Trusted,
    /// One call at a time, to see.
    Probation,
    /// Nothing until then, unless nobody else is left; then one call at a time.
    Out(Instant),
}

/// The record of one session in one data-centre.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    faults: u32,
    quarantines: u32,
    trials: u32,
    out_until: Option<Instant>,
    /// When it last went out or came back: what calls from before bring is no news.
    turned: Option<Instant>,
}

impl Trust {
    pub(crate) fn standing(&self, now: Instant) -> Standing {
        match self.out_until {
            None => Standing::Trusted,
            Some(until) if until > now => Standing::Out(until),
            Some(_) => Standing::Probation,
        }
    }

    /// A call begun at `asked` failed by the session's fault.
    pub(crate) fn fault(&mut self, asked: Instant, now: Instant) {
        if self.turned.is_some_and(|turned| asked < turned) {
            return;
        }
        self.faults += 1;
        if self.out_until.is_none() && self.faults < FAULTS {
            return;
        }
        let since_turned = self.turned.map(|turned| now.saturating_duration_since(turned));
        if self.out_until.is_none() && since_turned.is_none_or(|since| since >= FORGIVEN_AFTER) {
            self.quarantines = 0;
        }
        let pause = OUT_FIRST.saturating_mul(1 << self.quarantines.min(16)).min(OUT_LAST);
        *self = Self {
            quarantines: self.quarantines.saturating_add(1),
            out_until: Some(now + pause),
            turned: Some(now),
            ..Self::default()
        };
    }

    /// A call begun at `asked` was answered.
    pub(crate) fn success(&mut self, asked: Instant, now: Instant) {
        self.faults = 0;
        if self.out_until.is_none() || self.turned.is_some_and(|turned| asked < turned) {
            return;
        }
        self.trials += 1;
        // One good answer ends the waiting, a few end the doubt.
        self.out_until = self.out_until.map(|until| until.min(now));
        if self.trials >= TRIALS {
            *self = Self { quarantines: self.quarantines, turned: Some(now), ..Self::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{FAULTS, OUT_FIRST, OUT_LAST, Standing, TRIALS, Trust};
    use std::time::Duration;
    use tokio::time::Instant;

    const TICK: Duration = Duration::from_millis(1);

    /// Lets it fail until it is out; for how long.
    fn out(trust: &mut Trust, now: Instant) -> Duration {
        for _ in 0..FAULTS {
            trust.fault(now, now);
            if let Standing::Out(until) = trust.standing(now) {
                return until - now;
            }
        }
        panic!("it is still trusted");
    }

    #[test]
    fn faults_in_a_row_put_it_out_for_longer_each_time() {
        let (mut trust, mut now) = (Trust::default(), Instant::now());
        trust.fault(now, now);
        trust.fault(now, now);
        trust.success(now, now);
        trust.fault(now, now);
        assert_eq!(trust.standing(now), Standing::Trusted);
        let mut pauses = Vec::new();
        let mut pause = out(&mut trust, now);
        for _ in 0..12 {
            pauses.push(pause);
            now += pause;
            assert_eq!(trust.standing(now), Standing::Probation);
            trust.fault(now, now);
            let Standing::Out(until) = trust.standing(now) else { panic!("a trial that fails puts it out at once") };
            pause = until - now;
        }
        assert!(pauses.is_sorted() && pauses[0] == OUT_FIRST && pauses[11] == OUT_LAST, "{pauses:?}");
    }

    #[test]
    fn trials_bring_it_back() {
        let (mut trust, mut now) = (Trust::default(), Instant::now());
        now += out(&mut trust, now);
        for trial in 1..=TRIALS {
            assert_eq!(trust.standing(now), Standing::Probation, "trial {trial}");
            now += TICK;
            trust.success(now, now);
        }
        assert_eq!(trust.standing(now), Standing::Trusted);
        assert_eq!(out(&mut trust, now + TICK), OUT_FIRST * 2, "it was out a moment ago");
        let mut later = trust.clone();
        now += Duration::from_secs(3600);
        (0..TRIALS).for_each(|_| later.success(now, now));
        now += Duration::from_secs(3600);
        assert_eq!(out(&mut later, now), OUT_FIRST, "forgiven");
    }

    #[test]
    fn a_crowd_that_fails_at_once_is_one_fault_and_old_answers_are_no_trial() {
        let (mut trust, asked) = (Trust::default(), Instant::now());
        let now = asked + TICK;
        (0..40).for_each(|_| trust.fault(asked, now));
        assert_eq!(trust.standing(now), Standing::Out(now + OUT_FIRST));
        (0..40).for_each(|_| trust.success(asked, now));
        assert_eq!(trust.standing(now), Standing::Out(now + OUT_FIRST));
        // The last resort: asked although it is out.
        trust.success(now + TICK, now + TICK);
        assert_eq!(trust.standing(now + TICK), Standing::Probation);
    }
}
