//! Bounds of the gateway's settings.

use crate::address::ListenAddress;
use crate::gateway::{AccessLog, Cache, GatewaySettings, HiveLink, Limits, Link, Tenant};
use crate::load::Rules;
use crate::report::Report;
use crate::secret::Secret;
use std::collections::BTreeMap;

/// Slices are at least this large, or their sidecar would not pay off, and at most [`LARGEST_SLICE`], or a seek would
/// fetch too much.
const SMALLEST_SLICE: u64 = 64 << 10;
const LARGEST_SLICE: u64 = 8 << 20;
/// A run is one request to the hive; above this many slices, one slow run would hold too much of the hive's window.
const LONGEST_RUN: u32 = 1024;
const MOST_THREADS: usize = 1024;
const MOST_RANGES: usize = 1000;

impl Rules for GatewaySettings {
    fn check(&self, report: &mut Report<'_>) {
        self.check_listeners(report);
        let threads = self.threads.is_none_or(|threads| threads.get() <= MOST_THREADS);
        report.require(threads, "threads", "must be at most 1024");
        check_hive(&self.hive, report);
        check_cache(&self.cache, report);
        check_limits(&self.limits, report);
        if let AccessLog::File(path) = &self.log.access {
            report.require_absolute(path, "log.access.file");
        }
        check_tenants(&self.tenant, report);
    }

    fn secrets(&self) -> Vec<(String, &Secret)> {
        let mut secrets = vec![("hive.token".to_owned(), &self.hive.token)];
        for (tenant, settings) in self.tenant.iter().enumerate() {
            for (index, entry) in settings.link.secrets.iter().enumerate() {
                secrets.push((format!("tenant[{tenant}].link.secrets[{index}].secret"), &entry.secret));
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
            if let Some(tls) = &listener.tls {
                report.require_absolute(&tls.certificate, &format!("{key}.tls.certificate"));
                report.require_absolute(&tls.key, &format!("{key}.tls.key"));
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
    report.require((1..=LONGEST_RUN).contains(&cache.max_run), "cache.max_run", "must be from 1 to 1024");
    let is_first = (1..=cache.max_run.max(1)).contains(&cache.first_run);
    report.require(is_first, "cache.first_run", "must be from 1 to cache.max_run");
    report.require(cache.orphan_budget <= LONGEST_RUN, "cache.orphan_budget", "must be at most 1024");
}

fn check_limits(limits: &Limits, report: &mut Report<'_>) {
    report.require((1..=MOST_RANGES).contains(&limits.max_ranges), "limits.max_ranges", "must be from 1 to 1000");
    report.require_positive(limits.write_timeout, "limits.write_timeout");
    report.require_positive(limits.keepalive, "limits.keepalive");
    let rate = limits.min_send_rate.is_none_or(|rate| rate.bytes() > 0);
    report.require(rate, "limits.min_send_rate", "must be more than 0B; leave it out for no bound");
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_'))
}

fn check_tenants(tenants: &[Tenant], report: &mut Report<'_>) {
    report.require(!tenants.is_empty(), "tenant", "needs at least one [[tenant]]");
    let mut ids = BTreeMap::new();
    let mut domains = BTreeMap::new();
    for (index, tenant) in tenants.iter().enumerate() {
        let key = format!("tenant[{index}]");
        report.require(is_name(&tenant.id), &format!("{key}.id"), "must be 1 to 64 of a-z, 0-9, \"-\" and \"_\"");
        if let Some(earlier) = ids.insert(&tenant.id, index) {
            report.problem(&format!("{key}.id"), format!("is the id of tenant[{earlier}] already"));
        }
        report.require(!tenant.domains.is_empty(), &format!("{key}.domains"), "needs at least one domain");
        for (position, domain) in tenant.domains.iter().enumerate() {
            if let Some(earlier) = domains.insert(domain, index) {
                let message = format!("{domain} leads to tenant[{earlier}] already");
                report.problem(&format!("{key}.domains[{position}]"), message);
            }
        }
        check_link(&tenant.link, &format!("{key}.link"), report);
    }
}

fn check_link(link: &Link, key: &str, report: &mut Report<'_>) {
    let expression = format!("{key}.expression");
    let names = |variable: &str| {
        link.expression.contains(&format!("${variable}")) || link.expression.contains(&format!("${{{variable}}}"))
    };
    // A secret spelt out in the expression, as nginx has it, would show in every print of the settings.
    report.require(names("secret"), &expression, "must contain $secret, in the place of the secret");
    let expires = names("secure_link_expires") || names(&format!("arg_{}", link.expires_parameter));
    report.require(expires, &expression, "must contain $secure_link_expires, or anybody could extend a link's life");
    let path = names("uri") || names("document_uri");
    report.require(path, &expression, "must contain $uri, or one link would open every media");
    for (name, parameter) in
        [("token_parameter", &link.token_parameter), ("expires_parameter", &link.expires_parameter)]
    {
        let plain = !parameter.is_empty()
            && parameter.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        report.require(plain, &format!("{key}.{name}"), "must be letters, digits, \"-\" and \"_\"");
    }
    let distinct = !link.token_parameter.eq_ignore_ascii_case(&link.expires_parameter);
    report.require(distinct, &format!("{key}.expires_parameter"), "must differ from token_parameter");
    report.require(!link.secrets.is_empty(), &format!("{key}.secrets"), "needs at least one secret");
    for (index, entry) in link.secrets.iter().enumerate() {
        let id = format!("{key}.secrets[{index}].id");
        report.require(is_name(&entry.id), &id, "must be 1 to 64 of a-z, 0-9, \"-\" and \"_\"");
        let earlier = link.secrets.iter().take(index).any(|other| other.id == entry.id);
        report.require(!earlier, &id, "is the id of another secret already");
    }
}
