//! Bytes, requests and viewers of each tenant, by day and month, for bills.
//!
//! `README.md` is for operators. What is counted lies in the store, in numbers that can be read as they are; a finished day
//! is written down once more as one record. A count that the store doesn't take is kept and tried with the next batch.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod calendar;
mod counts;
mod rollup;

use alloc::string::String;
use calendar::Calendar;
use core::cell::RefCell;
use counts::Counts;
use rollup::Rollup;
use streamvault_sdk::{Finished, Observe, clock, config, warn};

/// The plugin with its settings, and what the store has not taken yet.
#[derive(Debug)]
pub struct UsageMeter {
    calendar: Calendar,
    counts: RefCell<Counts>,
    rollup: RefCell<Rollup>,
}

impl Observe for UsageMeter {
    fn load() -> Result<Self, String> {
        let minutes = |name, default| config::integer(name).unwrap_or(default) * 60;
        Ok(Self {
            calendar: Calendar::new(minutes("utc_offset_minutes", 0)),
            counts: RefCell::default(),
            rollup: RefCell::new(Rollup::after(minutes("rollup_after_minutes", 10))),
        })
    }

    fn batch(&self, tenant: &str, finished: &[Finished]) -> Result<(), String> {
        let mut counts = self.counts.borrow_mut();
        counts.add(&self.calendar, finished);
        if let Err(error) = counts.store() {
            warn!("usage is not stored yet and will be tried again: {error}");
            return Ok(());
        }
        let now = i64::try_from(clock::seconds()).unwrap_or(i64::MAX);
        if let Err(error) = self.rollup.borrow_mut().bring_up(&self.calendar, tenant, now) {
            warn!("finished days are not written down yet: {error}");
        }
        Ok(())
    }
}

streamvault_sdk::observe!(UsageMeter);

#[cfg(test)]
mod tests;
