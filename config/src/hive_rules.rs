//! Bounds of the hive's settings.

use crate::address::ListenAddress;
use crate::gateway_rules::check_token;
use crate::load::Rules;
use crate::report::Report;
use crate::secret::Secret;
use crate::units::ByteSize;
use crate::worker_hive::{HiveSettings, Pool, Telegram};

/// Telegram takes offsets and limits in steps of 4 KiB.
const SMALLEST_CHUNK: u64 = 4 << 10;
/// A full 1 MiB chunk is over what the client library takes in one message.
const LARGEST_CHUNK: u64 = 512 << 10;
/// Telegram closes connections above some twenty of them to one data-centre.
const MOST_CONNECTIONS: usize = 16;
const MOST_STREAMS: usize = 1000;
const LARGEST_WINDOW: usize = 64;

impl Rules for HiveSettings {
    fn check(&self, report: &mut Report<'_>) {
        check_token(&self.token, "token", report);
        let is_admin = self.listen == ListenAddress::Tcp(self.admin.address) && self.admin.address.port() != 0;
        report.require(!is_admin, "listen", "is the address of admin");
        report.require_absolute(&self.store.folder, "store.folder");
        check_telegram(&self.telegram, report);
        check_pool(&self.pool, report);
    }

    fn secrets(&self) -> Vec<(String, &Secret)> {
        let mut secrets = vec![("token".to_owned(), &self.token)];
        secrets.extend(self.telegram.api_hash.as_ref().map(|hash| ("telegram.api_hash".to_owned(), hash)));
        secrets
    }
}

fn check_telegram(telegram: &Telegram, report: &mut Report<'_>) {
    report.require(telegram.api_id.is_none_or(|id| id > 0), "telegram.api_id", "must be more than 0");
    for (index, centre) in telegram.data_centres.iter().enumerate() {
        let key = format!("telegram.data_centres[{index}]");
        report.require((1..=99_999).contains(&centre.id), &format!("{key}.id"), "must be from 1 to 99999");
        report.require(centre.address.port() != 0, &format!("{key}.address"), "must have a port other than 0");
        let earlier = telegram.data_centres.iter().take(index).any(|other| other.id == centre.id);
        report.require(!earlier, &format!("{key}.id"), "is there already");
    }
}

fn check_pool(pool: &Pool, report: &mut Report<'_>) {
    let connections = (1..=MOST_CONNECTIONS).contains(&pool.connections_per_session);
    report.require(connections, "pool.connections_per_session", "must be from 1 to 16");
    let streams = (1..=MOST_STREAMS).contains(&pool.streams_per_session);
    report.require(streams, "pool.streams_per_session", "must be from 1 to 1000");
    report.require((1..=LARGEST_WINDOW).contains(&pool.window_max), "pool.window_max", "must be from 1 to 64");
    let is_start = (1..=pool.window_max.max(1)).contains(&pool.window_start);
    report.require(is_start, "pool.window_start", "must be from 1 to pool.window_max");
    let is_chunk =
        |size: ByteSize| size.bytes().is_power_of_two() && (SMALLEST_CHUNK..=LARGEST_CHUNK).contains(&size.bytes());
    report.require(is_chunk(pool.chunk), "pool.chunk", "must be a power of two from 4KiB to 512KiB");
    let is_first = is_chunk(pool.first_chunk) && pool.first_chunk <= pool.chunk;
    report.require(is_first, "pool.first_chunk", "must be a power of two from 4KiB to pool.chunk");
    report.require_positive(pool.connect_timeout, "pool.connect_timeout");
    report.require_positive(pool.call_timeout, "pool.call_timeout");
    let deadline = pool.chunk_deadline >= pool.call_timeout;
    report.require(deadline, "pool.chunk_deadline", "must be at least pool.call_timeout");
    let window = pool.retry_window <= pool.chunk_deadline;
    report.require(window, "pool.retry_window", "must be at most pool.chunk_deadline");
}
