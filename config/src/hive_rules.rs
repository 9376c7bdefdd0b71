//! Bounds of the hive's settings.

use crate::address::ListenAddress;
use crate::gateway_rules::check_token;
use crate::load::Rules;
use crate::report::Report;
use crate::secret::Secret;
use crate::tenant_rules::{NAME, is_name};
use crate::traces::Traces;
use crate::units::ByteSize;
use crate::worker_hive::{HiveSettings, Pool, SharedLeases, Telegram};
use std::time::Duration;

/// Telegram takes offsets and limits in steps of 4 KiB.
const SMALLEST_CHUNK: u64 = 4 << 10;
/// A full 1 MiB chunk is over what the client library takes in one message.
const LARGEST_CHUNK: u64 = 512 << 10;
/// Telegram closes connections above some twenty of them to one data-centre.
const MOST_CONNECTIONS: usize = 16;
const MOST_STREAMS: usize = 1000;
const LARGEST_WINDOW: usize = 64;
const LONGEST_QUEUE: usize = 10_000;
/// More would be load, not help.
const MOST_HEDGES: usize = 20;

/// Beats and tries are parts of it, and a busy machine must make them in time.
const SHORTEST_LEASE: Duration = Duration::from_secs(2);
const LONGEST_LEASE: Duration = Duration::from_secs(600);

impl Rules for HiveSettings {
    fn check(&self, report: &mut Report<'_>) {
        check_token(&self.token, "token", report);
        let is_admin = self.listen == ListenAddress::Tcp(self.admin.address) && self.admin.address.port() != 0;
        report.require(!is_admin, "listen", "is the address of admin");
        report.require_absolute(&self.store.folder, "store.folder");
        if let Some(file) = &self.store.key_file {
            report.require_absolute(file, "store.key_file");
        }
        if let Some(file) = &self.catalog.file {
            report.require_absolute(file, "catalog.file");
        }
        check_telegram(&self.telegram, report);
        check_pool(&self.pool, report);
        if let Some(traces) = &self.traces {
            traces.check(report);
        }
        if let Some(redis) = &self.redis {
            check_leases(redis, report);
        }
        let versions = |is_v6| self.route.bind.iter().filter(|address| address.is_ipv6() == is_v6).count();
        let once = versions(false) <= 1 && versions(true) <= 1;
        report.require(once, "route.bind", "must have at most one address of each IP version");
    }

    fn secrets(&self) -> Vec<(String, &Secret)> {
        let mut secrets = vec![("token".to_owned(), &self.token)];
        secrets.extend(self.traces.as_ref().and_then(Traces::secret));
        secrets.extend(self.redis.as_ref().map(|redis| ("redis.url".to_owned(), &redis.url)));
        secrets.extend(self.route.url.as_ref().map(|url| ("route.url".to_owned(), url)));
        secrets.extend(self.telegram.api_hash.as_ref().map(|hash| ("telegram.api_hash".to_owned(), hash)));
        secrets
    }
}

fn check_leases(redis: &SharedLeases, report: &mut Report<'_>) {
    let url = ["redis://", "redis+unix://", "unix://"];
    let known = url.iter().any(|scheme| redis.url.expose().starts_with(scheme));
    report.require(known, "redis.url", "must begin with redis:// or redis+unix://");
    report.require(is_name(&redis.prefix), "redis.prefix", NAME);
    report.require(redis.hive.as_deref().is_none_or(is_name), "redis.hive", NAME);
    let lease = (SHORTEST_LEASE..=LONGEST_LEASE).contains(&redis.lease.get());
    report.require(lease, "redis.lease", "must be from 2s to 10m");
}

fn check_telegram(telegram: &Telegram, report: &mut Report<'_>) {
    if let Some(file) = &telegram.rsa_keys {
        report.require_absolute(file, "telegram.rsa_keys");
        let others = !telegram.data_centres.is_empty();
        report.require(
            others,
            "telegram.rsa_keys",
            "would lock Telegram's own data-centres out: name data_centres too",
        );
    }
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
    let least = (1..=MOST_CONNECTIONS).contains(&pool.connections_min);
    report.require(least, "pool.connections_min", "must be from 1 to 16");
    for (streams, key) in [
        (pool.streams_per_session, "pool.streams_per_session"),
        (pool.streams_premium, "pool.streams_premium"),
        (pool.streams_standard, "pool.streams_standard"),
    ] {
        report.require((1..=MOST_STREAMS).contains(&streams), key, "must be from 1 to 1000");
    }
    report.require(pool.queue <= LONGEST_QUEUE, "pool.queue", "must be at most 10000");
    report.require(pool.hedges_percent <= MOST_HEDGES, "pool.hedges_percent", "must be at most 20");
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
    report.require_positive(pool.keep_alive, "pool.keep_alive");
    report.require_positive(pool.idle, "pool.idle");
    let deadline = pool.chunk_deadline >= pool.call_timeout;
    report.require(deadline, "pool.chunk_deadline", "must be at least pool.call_timeout");
    let window = pool.retry_window <= pool.chunk_deadline;
    report.require(window, "pool.retry_window", "must be at most pool.chunk_deadline");
}
