use crate::{
    budget::{Budget, Later},
    calendar::{self, Calendar},
    counts::KEPT,
};
use alloc::{
    format,
    string::{String, ToString},
};
use streamvault_sdk::kv;

/// Days that are made up for when nothing was heard of for long. Those before are never written down.
const FARTHEST: i64 = 62;

/// Writes finished days down, each once.
#[derive(Debug)]
pub(crate) struct Rollup {
    /// Seconds into a day from which the day before it counts as finished: the last requests are heard of a little late.
    after: i64,
    /// Last day of which this instance knows that all before it are written down.
    done: Option<i64>,
}

impl Rollup {
    pub(crate) fn after(after: i64) -> Self {
        Self { after, done: None }
    }

    /// Writes down what is finished now, the oldest day first, so that a later call goes on where this one must stop. Other instances
    /// and gateways do the same; the first one counts.
    pub(crate) fn bring_up(
        &mut self,
        calendar: &Calendar,
        tenant: &str,
        now: i64,
        budget: &Budget,
    ) -> Result<(), Later> {
        let (day, seconds) = calendar.day(now);
        let today = if seconds >= self.after { day } else { day - 1 };
        if self.done == Some(today) {
            return Ok(());
        }
        // Days before the first one heard of are nobody's.
        budget.spend()?;
        kv::set_if_absent("since", day.to_string(), KEPT)?;
        budget.spend()?;
        let since = kv::get_text("since")?.and_then(|since| since.parse().ok()).unwrap_or(day);
        let mut first = today;
        while first > since.max(today - FARTHEST) {
            budget.spend()?;
            if kv::get(&key(first - 1))?.is_some() {
                break;
            }
            first -= 1;
        }
        for day in first..today {
            let record = record(tenant, day, budget)?;
            budget.spend()?;
            kv::set_if_absent(&key(day), record, KEPT)?;
        }
        budget.spend()?;
        // The store forgets after 400 days.
        kv::set("since", since.to_string(), KEPT)?;
        self.done = Some(today);
        Ok(())
    }
}

fn key(day: i64) -> String {
    format!("rollup:{}", calendar::name(day))
}

fn record(tenant: &str, day: i64, budget: &Budget) -> Result<String, Later> {
    let name = calendar::name(day);
    let number = |what| -> Result<u64, Later> {
        budget.spend()?;
        let text = kv::get_text(&format!("day:{name}:{what}"))?;
        Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
    };
    let (bytes, requests, viewers) = (number("bytes")?, number("requests")?, number("viewers")?);
    // A tenant's id has no character that JSON would escape.
    Ok(format!(r#"{{"tenant":"{tenant}","day":"{name}","bytes":{bytes},"requests":{requests},"viewers":{viewers}}}"#))
}
