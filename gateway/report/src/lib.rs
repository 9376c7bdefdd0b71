//! What a day came to: requests, bytes, viewers, dead links, by tenant.
//!
//! What it does: counts what ends, keeps sums for as long as the process runs (for metrics) and for each day of UTC (for reports), and can be
//! put away and taken up again, so that a restart does not cost a day. What it refuses to do: look at a clock, write a file, remember who
//! watched what: of viewers it keeps a sketch that counts them and tells none. Who calls it: the edge, once for each request. What stays
//! true: its memory has a bound, whatever comes: [`MOST_TENANTS`] tenants have a name and the rest are one, [`MOST_LINKS`] dead links are
//! counted; no request waits but for another one's few additions.

mod day;
mod heavy;
mod ledger;
mod report;
mod sums;
mod text;

pub use day::Day;
pub use heavy::MOST_LINKS;
pub use ledger::{Ended, Kept, Ledger, MOST_TENANTS, OTHER};
pub use report::{DeadLink, Report, Storage, TenantReport};
pub use sums::{CacheUse, Dead, Sums, Verdict};
