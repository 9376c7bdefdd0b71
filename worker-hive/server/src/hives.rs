//! `GET /v1/hives`: every account of all hives that share them, as they tell each other.

use leases::{Leases, Seen};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

/// `names` are those of this hive's store, by lease id.
pub(crate) fn listing(leases: &Leases, names: &HashMap<i64, String>) -> Value {
    let accounts: Vec<Value> =
        leases.seen().iter().map(|seen| describe(seen, names.get(&seen.account).map(String::as_str))).collect();
    json!({ "hive": leases.hive(), "hives": leases.hives(), "away": leases.is_away(), "accounts": accounts })
}

/// How the accounts are shared out, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Shares {
    /// Hives that are heard of, this one included.
    pub(crate) hives: usize,
    /// The store of leases does not answer.
    pub(crate) away: bool,
    /// Accounts that this hive has, that others have, and of this hive's store that nobody has.
    pub(crate) here: usize,
    pub(crate) elsewhere: usize,
    pub(crate) nobodys: usize,
}

pub(crate) fn shares(leases: &Leases, names: &HashMap<i64, String>) -> Shares {
    Shares { hives: leases.hives(), away: leases.is_away(), ..counted(&leases.seen(), names) }
}

fn counted(seen: &[Seen], names: &HashMap<i64, String>) -> Shares {
    let here = seen.iter().filter(|seen| seen.mine).count();
    let had: HashSet<i64> = seen.iter().filter(|seen| seen.hive.is_some()).map(|seen| seen.account).collect();
    let nobodys = names.keys().filter(|account| !had.contains(account)).count();
    Shares { here, elsewhere: had.len() - here, nobodys, ..Shares::default() }
}

/// True when sessions that are to run, by lease id, are nobody's: no hive has a single one of them. While the store of leases is away
/// nobody knows.
pub(crate) fn are_nobodys(leases: &Leases, names: &HashMap<i64, String>) -> bool {
    !leases.is_away() && are_free(&leases.seen(), names)
}

fn are_free(seen: &[Seen], names: &HashMap<i64, String>) -> bool {
    let is_had = |seen: &Seen| seen.hive.is_some() && names.contains_key(&seen.account);
    !names.is_empty() && !seen.iter().any(is_had)
}

fn describe(seen: &Seen, name: Option<&str>) -> Value {
    json!({
        // As text: readers of JSON that have doubles only would change it.
        "lease": seen.account.to_string(),
        "name": name,
        "hive": seen.hive,
        "here": seen.mine,
        "streams": seen.load.streams,
        "bytes_per_second": seen.load.bytes_per_second,
        "flood_seconds": seen.load.rests_for.as_millis().div_ceil(1000),
        "wanted_by": seen.wanted_by,
    })
}

#[cfg(test)]
mod tests {
    use super::{Shares, are_free, counted, describe};
    use leases::{Load, Seen};
    use std::collections::HashMap;
    use std::time::Duration;

    #[test]
    fn sessions_are_nobodys_if_no_hive_has_one_of_them() {
        let seen = |account, hive: Option<&str>| {
            let hive = hive.map(str::to_owned);
            Seen { account, hive, mine: false, load: Load::default(), wanted_by: None, fence: 1 }
        };
        let names = HashMap::from([(7, "ann".to_owned()), (8, "ben".to_owned())]);
        assert!(are_free(&[], &names) && are_free(&[seen(7, None), seen(9, Some("of other stores"))], &names));
        assert!(!are_free(&[seen(7, None), seen(8, Some("b"))], &names));
        assert!(!are_free(&[], &HashMap::new()), "all are out of service, and that is as the operator wants it");
    }

    #[test]
    fn ids_are_text_and_waits_are_rounded_up() {
        let load = Load { streams: 2, bytes_per_second: 9, rests_for: Duration::from_millis(1001) };
        let seen = Seen { account: i64::MIN, hive: Some("a".into()), mine: false, load, wanted_by: None, fence: 7 };
        let told = describe(&seen, Some("bot"));
        assert_eq!((told["lease"].as_str(), told["flood_seconds"].as_u64()), (Some("-9223372036854775808"), Some(2)));
        assert_eq!((told["name"].as_str(), told["wanted_by"].is_null()), (Some("bot"), true));
    }

    #[test]
    fn who_has_how_many() {
        let seen = |account, hive: Option<&str>, mine| {
            let load = Load { streams: 0, bytes_per_second: 0, rests_for: Duration::ZERO };
            Seen { account, hive: hive.map(str::to_owned), mine, load, wanted_by: None, fence: 1 }
        };
        let table =
            [seen(1, Some("a"), true), seen(2, Some("b"), false), seen(3, None, false), seen(9, Some("b"), false)];
        let names = [1, 2, 3, 4].map(|account| (account, account.to_string())).into();
        let want = Shares { here: 1, elsewhere: 2, nobodys: 2, ..Shares::default() };
        assert_eq!(counted(&table, &names), want);
    }
}
