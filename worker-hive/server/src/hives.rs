//! `GET /v1/hives`: every account of all hives that share them, as they tell each other.

use leases::{Leases, Seen};
use serde_json::{Value, json};
use std::collections::HashMap;

/// `names` are those of this hive's store, by lease id.
pub(crate) fn listing(leases: &Leases, names: &HashMap<i64, String>) -> Value {
    let accounts: Vec<Value> =
        leases.seen().iter().map(|seen| describe(seen, names.get(&seen.account).map(String::as_str))).collect();
    json!({ "hive": leases.hive(), "hives": leases.hives(), "away": leases.is_away(), "accounts": accounts })
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
    use super::describe;
    use leases::{Load, Seen};
    use std::time::Duration;

    #[test]
    fn ids_are_text_and_waits_are_rounded_up() {
        let load = Load { streams: 2, bytes_per_second: 9, rests_for: Duration::from_millis(1001) };
        let seen = Seen { account: i64::MIN, hive: Some("a".into()), mine: false, load, wanted_by: None, fence: 7 };
        let told = describe(&seen, Some("bot"));
        assert_eq!((told["lease"].as_str(), told["flood_seconds"].as_u64()), (Some("-9223372036854775808"), Some(2)));
        assert_eq!((told["name"].as_str(), told["wanted_by"].is_null()), (Some("bot"), true));
    }
}
