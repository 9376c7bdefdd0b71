//! The wait that Telegram told an account.

use crate::fault::CallFault;
use crate::permission::Permission;
use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// When the account may ask again. Shared by an account and all its connections: whoever hears of a wait, all obey it, whether or not
/// anybody still waits for the answer that told it.
#[derive(Default)]
pub(crate) struct Rest(Mutex<Option<Instant>>);

impl Rest {
    /// Takes note of a wait of so many whole seconds from `now` on. A shorter one told later doesn't cut a longer one short.
    pub(crate) fn told(&self, seconds: u32, now: Instant) {
        let until = now + Duration::from_secs(u64::from(seconds));
        let mut known = self.0.lock();
        *known = Some(known.map_or(until, |known| known.max(until)));
    }

    /// The end of the wait, if there is one.
    pub(crate) fn until(&self, now: Instant) -> Option<Instant> {
        self.0.lock().filter(|until| *until > now)
    }

    /// Refuses a call without permission, and during a wait: calling nevertheless makes Telegram's waits longer.
    pub(crate) fn obey(&self, permission: &Permission, now: Instant) -> Result<(), CallFault> {
        if !permission.is_given() {
            return Err(CallFault::Dropped("the account may not be used at the moment".to_owned()));
        }
        match self.until(now) {
            Some(until) => Err(CallFault::Resting { until }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Rest;
    use crate::fault::CallFault;
    use crate::permission::Permission;
    use std::time::Duration;
    use tokio::time::Instant;

    #[test]
    fn the_longest_wait_told_is_obeyed_to_its_very_end() {
        let (rest, now, permission) = (Rest::default(), Instant::now(), Permission::always());
        let at = |millis| now + Duration::from_millis(millis);
        assert_eq!(rest.obey(&permission, now), Ok(()));
        rest.told(7, now);
        rest.told(3, at(1000));
        assert_eq!(rest.obey(&permission, at(6999)), Err(CallFault::Resting { until: at(7000) }));
        assert_eq!(rest.obey(&permission, at(7000)), Ok(()));
        rest.told(0, at(7000));
        assert_eq!(rest.until(at(7000)), None);
        permission.withdraw();
        assert!(matches!(rest.obey(&permission, at(7000)), Err(CallFault::Dropped(_))));
    }
}
