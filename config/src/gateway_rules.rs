//! Bounds of the gateway's settings.

use crate::address::ListenAddress;
use crate::gateway::{AccessLog, Cache, GatewaySettings, HiveLink, Limits, Redis};
use crate::identity_rules::warn_of_memory;
use crate::load::Rules;
use crate::redis_section::check_redis;
use crate::report::Report;
use crate::secret::Secret;
use crate::tenant_rules::{NAME, check_tenants, is_name};
use crate::traces::Traces;
use std::time::Duration;

/// Slices are at least this large, or their sidecar would not pay off, and at most [`LARGEST_SLICE`], or a seek would
/// fetch too much.
const SMALLEST_SLICE: u64 = 64 << 10;
const LARGEST_SLICE: u64 = 8 << 20;
/// A run is one request to the hive; above this many slices, one slow run would hold too much of the hive's window.
const LONGEST_RUN: u32 = 1024;
/// An edit is found out that late.
const LONGEST_TRUST: Duration = Duration::from_secs(366 * 86_400);
const MOST_THREADS: usize = 1024;
const MOST_RANGES: usize = 1000;
const MOST_INSTANCES: u32 = 10_000;
const SHORTEST_INACTIVE: Duration = Duration::from_secs(1);
const SHORTEST_WATCH: Duration = Duration::from_millis(100);
const DAY: Duration = Duration::from_secs(86_400);

impl Rules for GatewaySettings {
    fn check(&self, report: &mut Report<'_>) {
        self.check_listeners(report);
        self.check_certificates(report);
        let threads = self.threads.is_none_or(|threads| threads.get() <= MOST_THREADS);
        report.require(threads, "threads", "must be at most 1024");
        check_hive(&self.hive, report);
        self.check_peers(report);
        check_cache(&self.cache, report);
        check_limits(&self.limits, report);
        self.connections.check(report);
        if let Some(path) = &self.takedown.file {
            report.require_absolute(path, "takedown.file");
        }
        if let AccessLog::File(path) = &self.log.access {
            report.require_absolute(path, "log.access.file");
        }
        self.admin.check(report);
        self.tenants.check(report);
        self.report.check(report);
        if let Some(traces) = &self.traces {
            traces.check(report);
        }
        self.check_plugins(report);
        check_tenants(&self.tenant, self.tenants.folder.is_some(), report);
    }

    fn secrets(&self) -> Vec<(String, &Secret)> {
        let mut secrets = vec![("hive.token".to_owned(), &self.hive.token)];
        let external = self.certificates.acme.iter().filter_map(|acme| acme.external_account.as_ref());
        secrets.extend(external.map(|account| ("certificates.acme.external_account.key".to_owned(), &account.key)));
        secrets.extend(self.admin.secrets());
        secrets.extend(self.tenants.key.iter().map(|key| ("tenants.key".to_owned(), key)));
        secrets.extend(self.peers.iter().map(|peers| ("peers.token".to_owned(), &peers.token)));
        secrets.extend(self.redis.iter().flat_map(Redis::secrets));
        secrets.extend(self.traces.as_ref().and_then(Traces::secret));
        for (tenant, settings) in self.tenant.iter().enumerate() {
            for (index, entry) in settings.link.secrets.iter().enumerate() {
                secrets.push((format!("tenant[{tenant}].link.secrets[{index}].secret"), &entry.secret));
            }
            for (index, entry) in settings.viewer.iter().flat_map(|viewer| &viewer.keys).enumerate() {
                secrets.push((format!("tenant[{tenant}].viewer.keys[{index}].key"), &entry.key));
            }
        }
        secrets
    }
}

impl GatewaySettings {
    fn check_listeners(&self, report: &mut Report<'_>) {
        report.require(!self.listen.is_empty(), "listen", "needs at least one address");
        for (index, listener) in self.listen.iter().enumerate() {
            let key = format!("listen[{index}]");
            let any_port = matches!(listener.address, ListenAddress::Tcp(address) if address.port() == 0);
            let earlier = self.listen.iter().take(index).any(|other| other.address == listener.address);
            report.require(any_port || !earlier, &format!("{key}.address"), "is listened on already");
            let admin = listener.address == ListenAddress::Tcp(self.admin.address);
            report.require(any_port || !admin, &format!("{key}.address"), "is the address of admin");
            self.check_tls(listener, &key, report);
        }
    }
}

impl GatewaySettings {
    fn check_peers(&self, report: &mut Report<'_>) {
        let Some(peers) = &self.peers else { return };
        peers.check(report);
        let any_port = matches!(peers.listen, ListenAddress::Tcp(address) if address.port() == 0);
        let public = self.listen.iter().any(|listener| listener.address == peers.listen);
        report.require(any_port || !public, "peers.listen", "is an address for viewers");
        let admin = peers.listen == ListenAddress::Tcp(self.admin.address);
        report.require(any_port || !admin, "peers.listen", "is the address of admin");
        let same = peers.token.expose() == self.hive.token.expose();
        report.require(!same, "peers.token", "is the hive's token: take another one");
    }
}

impl GatewaySettings {
    fn check_plugins(&self, report: &mut Report<'_>) {
        let shared = &self.plugins;
        report.require_absolute(&shared.code_folder, "plugins.code_folder");
        report.require_absolute(&shared.secrets_folder, "plugins.secrets_folder");
        report.require(
            (1..=MOST_INSTANCES).contains(&shared.instances),
            "plugins.instances",
            "must be from 1 to 10000",
        );
        report.require_positive(shared.tenant_ttl, "plugins.tenant_ttl");
        if let Some(watch) = shared.watch {
            report.require(watch.get() >= SHORTEST_WATCH, "plugins.watch", "must be at least 100ms");
        }
        let signed = !shared.require_signature || !shared.trusted_keys.is_empty();
        report.require(signed, "plugins.require_signature", "needs plugins.trusted_keys");
        for (index, key) in shared.trusted_keys.iter().enumerate() {
            report.require(is_name(&key.id), &format!("plugins.trusted_keys[{index}].id"), NAME);
            report.require_absolute(&key.file, &format!("plugins.trusted_keys[{index}].file"));
        }
        for (index, address) in self.hive.addresses.iter().enumerate() {
            let earlier = self.hive.addresses.iter().take(index).any(|other| other == address);
            report.require(!earlier, &format!("hive.addresses[{index}]"), "is there already");
        }
        match &self.redis {
            Some(redis) => check_redis(redis, report),
            None => warn_of_memory(&self.tenant, report),
        }
        for (index, plugin) in self.plugin.iter().enumerate() {
            let key = format!("plugin[{index}]");
            report.require(is_name(&plugin.name), &format!("{key}.name"), NAME);
            if let Some(earlier) = self.plugin.iter().take(index).position(|other| other.name == plugin.name) {
                report.problem(&format!("{key}.name"), format!("is the name of plugin[{earlier}] already"));
            }
            report.require_absolute(&plugin.folder, &format!("{key}.folder"));
            let share = plugin.canary.is_none_or(|share| (0.0..=1.0).contains(&share));
            report.require(share, &format!("{key}.canary"), "must be from 0 to 1");
            let pin =
                plugin.sha256.as_ref().is_none_or(|pin| pin.len() == 64 && pin.bytes().all(|b| b.is_ascii_hexdigit()));
            report.require(pin, &format!("{key}.sha256"), "must be 64 hexadecimal digits");
            let some = plugin.tenants.as_ref().is_none_or(|tenants| !tenants.is_empty());
            report.require(some, &format!("{key}.tenants"), "needs at least one tenant; leave it out for all");
            for (position, id) in plugin.tenants.iter().flatten().enumerate() {
                let place = format!("{key}.tenants[{position}]");
                report.require(is_name(id), &place, NAME);
                if !self.tenant.iter().any(|tenant| tenant.id == *id) {
                    report.warn(
                        &place,
                        "no [[tenant]] has this id: the plugin guards nobody, unless a tenant plugin finds it",
                    );
                }
            }
        }
    }
}

/// The token goes into an HTTP header, as one word.
pub(crate) fn check_token(token: &Secret, key: &str, report: &mut Report<'_>) {
    let is_word = token.expose().bytes().all(|byte| byte.is_ascii_graphic());
    report.require(is_word, key, "must be visible ASCII without spaces");
}

fn check_hive(hive: &HiveLink, report: &mut Report<'_>) {
    check_token(&hive.token, "hive.token", report);
    report.require_positive(hive.connect_timeout, "hive.connect_timeout");
    report.require_positive(hive.response_timeout, "hive.response_timeout");
    report.require_positive(hive.idle_timeout, "hive.idle_timeout");
}

fn check_cache(cache: &Cache, report: &mut Report<'_>) {
    report.require_absolute(&cache.folder, "cache.folder");
    let slice = cache.slice_size.bytes();
    let is_slice = slice.is_power_of_two() && (SMALLEST_SLICE..=LARGEST_SLICE).contains(&slice);
    report.require(is_slice, "cache.slice_size", "must be a power of two from 64KiB to 8MiB");
    report.require(cache.max_size.bytes() >= slice, "cache.max_size", "must be at least cache.slice_size");
    let inactive = cache.inactive.is_none_or(|inactive| inactive.get() >= SHORTEST_INACTIVE);
    report.require(inactive, "cache.inactive", "must be at least 1s; leave it out to keep what there is room for");
    report.require((1..=LONGEST_RUN).contains(&cache.max_run), "cache.max_run", "must be from 1 to 1024");
    let is_first = (1..=cache.max_run.max(1)).contains(&cache.first_run);
    report.require(is_first, "cache.first_run", "must be from 1 to cache.max_run");
    let ttl = cache.metadata_ttl.get() <= LONGEST_TRUST;
    report.require(ttl, "cache.metadata_ttl", "must be at most 366d");
    report.require(cache.min_uses > 0, "cache.min_uses", "must be at least 1");
    report.require(cache.max_fills > 0, "cache.max_fills", "must be at least 1");
    report.require(cache.max_fills_per_media > 0, "cache.max_fills_per_media", "must be at least 1");
    report.require_positive(cache.lock_age, "cache.lock_age");
    report.require(cache.orphan_budget <= LONGEST_RUN, "cache.orphan_budget", "must be at most 1024");
    let is_patience = (Duration::from_millis(10)..=Duration::from_secs(3600)).contains(&cache.disk_patience.get());
    report.require(is_patience, "cache.disk_patience", "must be from 10ms to 1h");
    report.require(cache.sync_interval.get() <= DAY, "cache.sync_interval", "must be at most a day");
}

fn check_limits(limits: &Limits, report: &mut Report<'_>) {
    report.require((1..=MOST_RANGES).contains(&limits.max_ranges), "limits.max_ranges", "must be from 1 to 1000");
    report.require_positive(limits.write_timeout, "limits.write_timeout");
    report.require_positive(limits.keepalive, "limits.keepalive");
    let rate = limits.min_send_rate.is_none_or(|rate| rate.bytes() > 0);
    report.require(rate, "limits.min_send_rate", "must be more than 0B; leave it out for no bound");
    for (key, limit) in [("limits.drain", limits.drain), ("limits.upgrade_drain", limits.upgrade_drain)] {
        let is_limit = (Duration::from_secs(1)..=DAY).contains(&limit.get());
        report.require(is_limit, key, "must be from 1s to 1d");
    }
}
