//! When to ask the hive again. Pure: time comes in as a duration since the first failure.

use std::time::Duration;

/// What went wrong on one try, reduced to what the retry decision needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Asking again can't help.
    Final,
    /// Asking again may help, not before the wait if there is one.
    Passing(Option<Duration>),
}

const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long to pause before try number `tries + 1`, or `None` to give up.
///
/// The pause doubles from 25 ms to 1 s, or is what the hive asked for if that is longer, and never ends after `window`,
/// counted from the first failure since bytes last flowed: a hive that restarts within the window costs a viewer a pause,
/// a hive that stays away costs a clear error in bounded time. `spread` (any number, say a hash of the media) shifts
/// the pause by up to a quarter, so that all transfers of a restarted hive don't come back in the same millisecond.
pub(crate) fn pause(
    trouble: Trouble,
    tries: u32,
    elapsed: Duration,
    window: Duration,
    spread: u64,
) -> Option<Duration> {
    let Trouble::Passing(asked) = trouble else { return None };
    let doubled = FIRST_PAUSE.saturating_mul(1 << tries.min(6)).min(LONGEST_PAUSE);
    let quarter = u64::try_from(doubled.as_micros() / 4).unwrap_or(0).max(1);
    let pause = asked.unwrap_or_default().max(doubled + Duration::from_micros(spread % quarter));
    (elapsed + pause <= window).then_some(pause)
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_PAUSE, Trouble, pause};
    use proptest::prelude::{any, prop_assert, proptest};
    use std::time::Duration;

    const WINDOW: Duration = Duration::from_secs(20);

    #[test]
    fn final_trouble_is_not_retried() {
        assert_eq!(pause(Trouble::Final, 0, Duration::ZERO, WINDOW, 0), None);
    }

    #[test]
    fn a_wait_longer_than_the_window_is_not_begun() {
        let asked = Trouble::Passing(Some(WINDOW + Duration::from_secs(1)));
        assert_eq!(pause(asked, 0, Duration::ZERO, WINDOW, 0), None);
        let asked = Trouble::Passing(Some(Duration::from_secs(3)));
        assert_eq!(pause(asked, 0, Duration::ZERO, WINDOW, 0), Some(Duration::from_secs(3)));
    }

    proptest! {
        #[test]
        fn pauses_are_bounded_and_end_inside_the_window(tries in any::<u32>(), elapsed in 0u64..30_000, spread in any::<u64>()) {
            let elapsed = Duration::from_millis(elapsed);
            match pause(Trouble::Passing(None), tries, elapsed, WINDOW, spread) {
                Some(pause) => {
                    prop_assert!(pause <= LONGEST_PAUSE + LONGEST_PAUSE / 4);
                    prop_assert!(elapsed + pause <= WINDOW);
                }
                None => prop_assert!(elapsed + LONGEST_PAUSE + LONGEST_PAUSE / 4 > WINDOW),
            }
        }
    }
}
