//! Bytes, requests and viewers of each tenant, by day and month, for bills.
//!
//! `README.md` is for operators. What is counted lies in the store, in numbers that can be read as they are; a finished day
//! is written down once more as one record. What the store doesn't take waits for the next batch; what it may have taken is never
//! brought again.
#![cfg_attr(target_family = "wasm", no_std)]

extern crate alloc;

mod budget;
mod calendar;
mod counts;
mod rollup;

use alloc::string::String;
use budget::{Budget, Later};
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
        let budget = Budget::of_one_call();
        let mut counts = self.counts.borrow_mut();
        counts.add(&self.calendar, finished);
        match counts.store(&budget) {
            // What was waiting may belong to a day that is about to be written down.
            Err(Later::Spent) => return Ok(()),
            Err(error) => {
                warn!("usage is not stored yet and will be tried again: {error}");
                return Ok(());
            }
            Ok(()) => {}
        }
        let now = i64::try_from(clock::seconds()).unwrap_or(i64::MAX);
        match self.rollup.borrow_mut().bring_up(&self.calendar, tenant, now, &budget) {
            Ok(()) | Err(Later::Spent) => {}
            Err(error) => warn!("finished days are not written down yet: {error}"),
        }
        Ok(())
    }
}

streamvault_sdk::observe!(UsageMeter);

#[cfg(test)]
mod tests;
