//! Which of several hives is asked. Pure: `now` is handed in.
//!
//! Each media has its own order of the hives, the same in every gateway, so that a fleet asks one hive for one film. A hive that can't be
//! reached is left alone for a while that doubles, then asked by one request at a time until one is answered.

use std::time::Duration;
use tokio::time::Instant;

const QUARANTINE_FIRST: Duration = Duration::from_millis(500);
const QUARANTINE_LAST: Duration = Duration::from_secs(30);
/// A hive that had no session to spare is asked after the others for so long, or for as long as it said, up to the second bound.
const BUSY: Duration = Duration::from_secs(1);
const BUSY_LAST: Duration = Duration::from_secs(5);

/// How a hive took a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// It answered, whatever it said.
    Answered,
    /// It has nobody who could answer for so long, if it knows.
    Busy(Option<Duration>),
    /// No connection, no answer, or a broken one.
    Lost,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    /// Hash of its address, whatever its place among the others.
    name: u64,
    losses: u32,
    quarantined_until: Option<Instant>,
    /// When the one request began that tries it out after its quarantine.
    probed_at: Option<Instant>,
    busy_until: Option<Instant>,
}

/// The health of all hives.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    members: Vec<Member>,
    /// How long a request that tries a hive out keeps others off it.
    probe: Duration,
}

impl Fleet {
    /// Of hives with these addresses, as text.
    pub(crate) fn new(addresses: &[impl AsRef<[u8]>], probe: Duration) -> Self {
        let member = |address: &[u8]| Member { name: hash_of(address), ..Member::default() };
        let mut members: Vec<Member> = addresses.iter().map(|address| member(address.as_ref())).collect();
        if members.is_empty() {
            members.push(Member::default());
        }
        Self { members, probe }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// The hive to ask for a media of this hash, none of `skip`. One that is in quarantine is taken only when no other is left.
    pub(crate) fn pick(&mut self, hash: u64, skip: &[bool], now: Instant) -> Option<usize> {
        let rank = |at: usize| {
            let member = &self.members[at];
            (member.rank(now, self.probe), std::cmp::Reverse(score(hash, member.name)))
        };
        let is_left = |at: &usize| !skip.get(*at).copied().unwrap_or(false);
        let best = (0..self.members.len()).filter(is_left).min_by_key(|at| rank(*at))?;
        let member = &mut self.members[best];
        if member.losses > 0 {
            member.probed_at = Some(now);
        }
        Some(best)
    }

    /// Takes note of what came of a request.
    pub(crate) fn note(&mut self, at: usize, conduct: Conduct, now: Instant) {
        let Some(member) = self.members.get_mut(at) else { return };
        match conduct {
            Conduct::Answered => *member = Member { name: member.name, ..Member::default() },
            Conduct::Busy(wait) => {
                let busy_until = Some(now + wait.unwrap_or(BUSY).clamp(BUSY, BUSY_LAST));
                *member = Member { name: member.name, busy_until, ..Member::default() };
            }
            Conduct::Lost => {
                // Requests that were under way together say it once.
                if member.quarantined_until.is_none_or(|until| until <= now) {
                    let pause = QUARANTINE_FIRST.saturating_mul(1 << member.losses.min(10)).min(QUARANTINE_LAST);
                    member.quarantined_until = Some(now + pause);
                    member.losses = member.losses.saturating_add(1);
                }
                member.probed_at = None;
            }
        }
    }

    /// For each hive: true while it is left alone.
    pub(crate) fn quarantined(&self, now: Instant) -> Vec<bool> {
        self.members.iter().map(|member| member.quarantined_until.is_some_and(|until| until > now)).collect()
    }
}

impl Member {
    /// The lower the better.
    fn rank(&self, now: Instant, probe: Duration) -> u8 {
        let probing = self.probed_at.is_some_and(|at| at + probe > now);
        match (self.quarantined_until, self.busy_until) {
            (Some(until), _) if until > now => 3,
            (Some(_), _) if probing => 2,
            (None, Some(until)) if until > now => 1,
            _ => 0,
        }
    }
}

/// FNV-1a: the same in every gateway, whatever it was compiled with.
pub(crate) fn hash_of(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// Rendezvous hashing: a hive that comes or goes moves only the media that it has or had.
fn score(hash: u64, name: u64) -> u64 {
    let mut mixed = hash ^ name.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for _ in 0..2 {
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^= mixed >> 27;
    }
    mixed
}

#[cfg(test)]
mod tests {
    use super::{BUSY, Conduct, Fleet, QUARANTINE_FIRST, QUARANTINE_LAST};
    use std::time::Duration;
    use tokio::time::Instant;

    const PROBE: Duration = Duration::from_secs(2);

    const ADDRESSES: [&str; 3] = ["10.0.0.1:9000", "10.0.0.2:9000", "/run/streamvault/hive.sock"];

    #[test]
    fn media_are_spread_and_stay_where_they_are() {
        let now = Instant::now();
        let mut counts = [0; 3];
        for hash in 0..3000_u64 {
            let hash = hash.wrapping_mul(0x2545_f491_4f6c_dd1d);
            let pick =
                |addresses: &[&'static str]| addresses[Fleet::new(addresses, PROBE).pick(hash, &[], now).unwrap()];
            let picked = pick(&ADDRESSES);
            counts[ADDRESSES.iter().position(|address| *address == picked).unwrap()] += 1;
            let others: Vec<&str> = ADDRESSES.into_iter().rev().collect();
            assert_eq!(pick(&others), picked, "its place in the list is nothing to it");
            // Whichever goes, the first of the list too.
            for gone in ADDRESSES.into_iter().filter(|gone| *gone != picked) {
                let left: Vec<&str> = ADDRESSES.into_iter().filter(|address| *address != gone).collect();
                assert_eq!(pick(&left), picked, "it moved though its hive did not");
            }
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_dead_are_left_alone_tried_by_one_and_taken_back() {
        let mut now = Instant::now();
        let mut fleet = Fleet::new(&ADDRESSES[..2], PROBE);
        let first = fleet.pick(7, &[], now).unwrap();
        let other = 1 - first;
        for _ in 0..5 {
            fleet.note(first, Conduct::Lost, now);
        }
        assert_eq!((fleet.pick(7, &[], now), fleet.quarantined(now)[first]), (Some(other), true));
        // With nobody else left it is asked all the same.
        let skip = [first != 0, first != 1];
        assert_eq!(fleet.pick(7, &skip, now), Some(first));
        now += QUARANTINE_FIRST;
        assert_eq!(fleet.pick(7, &[], now), Some(other), "one request tries it out, above");
        now += PROBE;
        assert_eq!([fleet.pick(7, &[], now), fleet.pick(7, &[], now)], [Some(first), Some(other)]);
        fleet.note(first, Conduct::Lost, now);
        now += QUARANTINE_FIRST;
        assert!(fleet.quarantined(now)[first], "longer this time");
        now += QUARANTINE_LAST;
        assert_eq!(fleet.pick(7, &[], now), Some(first));
        fleet.note(first, Conduct::Answered, now);
        assert_eq!([fleet.pick(7, &[], now), fleet.pick(7, &[], now)], [Some(first), Some(first)]);
    }

    #[test]
    fn the_busy_come_last_for_a_moment() {
        let now = Instant::now();
        let mut fleet = Fleet::new(&ADDRESSES[..2], PROBE);
        let first = fleet.pick(7, &[], now).unwrap();
        fleet.note(first, Conduct::Busy(None), now);
        assert_eq!(fleet.pick(7, &[], now), Some(1 - first));
        fleet.note(1 - first, Conduct::Lost, now);
        assert_eq!(fleet.pick(7, &[], now), Some(first), "better busy than dead");
        assert_eq!(fleet.pick(7, &[true, true], now), None);
        fleet.note(1 - first, Conduct::Answered, now);
        assert_eq!(fleet.pick(7, &[], now + BUSY), Some(first));
    }
}
