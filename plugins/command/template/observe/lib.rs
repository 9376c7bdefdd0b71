//! Counts what each tenant's viewers fetched, by day: bytes, requests and viewers.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

use alloc::{format, string::String};
use core::time::Duration;
use streamvault_sdk::{Finished, Observe, config, kv};

const DAY_MS: u64 = 86_400_000;

/// The settings, read once for each instance.
#[derive(Debug)]
pub struct Plugin {
    keep: Duration,
}

impl Observe for Plugin {
    fn load() -> Result<Self, String> {
        let days = config::integer("keep_days")
            .and_then(|days| days.try_into().ok())
            .unwrap_or(90_u64);
        Ok(Self {
            keep: Duration::from_secs(days * 86_400),
        })
    }

    /// The store is the tenant's own, so that its name need not be in the keys.
    fn batch(&self, _tenant: &str, finished: &[Finished]) -> Result<(), String> {
        // One addition for each day of the batch, which is mostly one, and not for each request: each may go to Redis.
        let mut at = 0;
        while let Some(first) = finished.get(at) {
            let day = first.time / DAY_MS;
            let same = finished[at..]
                .iter()
                .take_while(|one| one.time / DAY_MS == day)
                .count();
            let requests = &finished[at..at + same];
            let bytes: u64 = requests.iter().map(|one| one.bytes).sum();
            self.add(&format!("bytes:{day}"), bytes)?;
            self.add(&format!("requests:{day}"), same as u64)?;
            for viewer in requests
                .iter()
                .map(|one| &one.viewer)
                .filter(|viewer| !viewer.is_empty())
            {
                kv::count_distinct(&format!("viewers:{day}"), viewer, self.keep)
                    .map_err(|error| format!("{error}"))?;
            }
            at += same;
        }
        Ok(())
    }
}

impl Plugin {
    fn add(&self, key: &str, number: u64) -> Result<(), String> {
        let number = i64::try_from(number).unwrap_or(i64::MAX);
        kv::increment(key, number, self.keep)
            .map(drop)
            .map_err(|error| format!("{key}: {error}"))
    }
}

streamvault_sdk::observe!(Plugin);

#[cfg(test)]
mod tests {
    use super::{DAY_MS, Plugin};
    use streamvault_sdk::{Finished, Media, Observe, kv, testing};

    fn finished(day: u64, bytes: u64) -> Finished {
        Finished {
            request_id: "00000000000000a1".into(),
            time: day * DAY_MS + 5,
            media: Media {
                chat_id: -1001,
                message_id: 7,
            },
            viewer: "anna".into(),
            status: 206,
            outcome: "served".into(),
            cache: "HIT".into(),
            bytes,
            milliseconds: 12,
        }
    }

    #[test]
    fn days_add_up() {
        testing::setting("keep_days", 30);
        let plugin = Plugin::load().expect("the settings fit");
        plugin
            .batch(
                "films",
                &[finished(1, 100), finished(1, 50), finished(2, 7)],
            )
            .expect("the store takes it");
        plugin
            .batch("films", &[finished(1, 1)])
            .expect("the store takes it");
        let number = |key| kv::get_text(key).expect("the store answers");
        assert_eq!(number("bytes:1").as_deref(), Some("151"));
        assert_eq!(number("bytes:2").as_deref(), Some("7"));
        assert_eq!(number("requests:1").as_deref(), Some("3"));
    }

    #[test]
    fn a_store_that_is_away_loses_the_batch_and_says_so() {
        testing::break_store(Some(kv::Error::Unavailable));
        let plugin = Plugin::load().expect("the settings fit");
        assert!(plugin.batch("films", &[finished(1, 1)]).is_err());
    }
}
