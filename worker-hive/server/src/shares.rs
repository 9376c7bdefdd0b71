//! How accounts are spread over hives. Pure.

use std::time::Duration;

/// An account that this hive could run and doesn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) name: String,
    /// How long nobody has had it; none when somebody has.
    pub(crate) free_for: Option<Duration>,
}

/// How many of `accounts` one of `hives` should have.
pub(crate) fn fair(accounts: usize, hives: usize) -> usize {
    accounts.div_ceil(hives.max(1))
}

/// Which accounts to ask for now. Below its share a hive asks for as many as it lacks, free ones first, and for those of others too,
/// so that they see that it lacks some. From its share on it takes only what nobody wanted for two lease times.
pub(crate) fn to_ask(
    mut candidates: Vec<Candidate>,
    accounts: usize,
    mine: usize,
    hives: usize,
    ttl: Duration,
) -> Vec<String> {
    let lacks = fair(accounts, hives).saturating_sub(mine);
    // The longest free first; what is another's comes last.
    candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.free_for));
    let left_over = |candidate: &Candidate| candidate.free_for.is_some_and(|free| free >= ttl * 2);
    let asked = candidates.iter().enumerate().filter(|(at, candidate)| *at < lacks || left_over(candidate));
    asked.map(|(_, candidate)| candidate.name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::{Candidate, fair, to_ask};
    use std::time::Duration;

    const TTL: Duration = Duration::from_secs(10);

    fn candidates(list: &[(&str, Option<u64>)]) -> Vec<Candidate> {
        let one = |(name, free): &(&str, Option<u64>)| Candidate {
            name: (*name).to_owned(),
            free_for: free.map(Duration::from_secs),
        };
        list.iter().map(one).collect()
    }

    #[test]
    fn shares_are_fair_and_nobody_is_left_alone() {
        assert_eq!([fair(5, 1), fair(5, 2), fair(1, 3), fair(0, 2), fair(5, 0)], [5, 3, 1, 0, 5]);
    }

    #[test]
    fn who_lacks_asks_and_who_has_enough_waits() {
        let list = candidates(&[("theirs", None), ("new", Some(0)), ("old", Some(25))]);
        // The only hive takes all there is.
        assert_eq!(to_ask(list.clone(), 3, 0, 1, TTL), ["old", "new", "theirs"]);
        // One is lacking: a free one. What nobody wants comes too.
        assert_eq!(to_ask(list.clone(), 4, 1, 2, TTL), ["old"]);
        assert_eq!(to_ask(list.clone(), 4, 2, 2, TTL), ["old"]);
        let young = candidates(&[("theirs", None), ("new", Some(19))]);
        assert!(to_ask(young.clone(), 4, 2, 2, TTL).is_empty());
        // Lacking and nothing free: the others are told.
        assert_eq!(to_ask(candidates(&[("theirs", None)]), 4, 1, 2, TTL), ["theirs"]);
    }
}
