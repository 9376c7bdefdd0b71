//! `slice`, `proxy_cache*` and the bounds of one request: what the gateway has once for all tenants.

use crate::ledger::Ledger;
use crate::scope::Scope;
use crate::tree::Directive;
use crate::units::{size, size_text, time, time_text};
use std::collections::BTreeMap;

/// What our settings take for a slice.
const SMALLEST_SLICE: u64 = 64 << 10;
const LARGEST_SLICE: u64 = 8 << 20;
const LONGEST_TRUST_SECONDS: u64 = 366 * 86_400;

/// Keys of a section and their values as TOML; the first place that names one has it.
pub(crate) type Section = BTreeMap<&'static str, String>;

/// What is not a tenant's.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) cache: Section,
    pub(crate) limits: Section,
    pub(crate) log: Section,
    pub(crate) threads: Option<u32>,
}

impl Shared {
    /// Learns what holds at a place whose links are signed.
    pub(crate) fn read(&mut self, scope: &Scope<'_>, ledger: &mut Ledger) {
        self.slice(scope, ledger);
        self.path(scope, ledger);
        self.trust(scope, ledger);
        self.locks(scope, ledger);
        self.limits(scope, ledger);
        if let Some(directive) = scope.one("worker_processes") {
            match directive.argument(0).parse::<u32>() {
                Ok(threads @ 1..=1024) => {
                    ledger.take(directive);
                    self.threads.get_or_insert(threads);
                }
                _ if directive.argument(0) == "auto" => ledger.take(directive),
                _ => ledger.note(directive, "see threads"),
            }
        }
        if let Some(directive) = scope.one("access_log") {
            let path = directive.argument(0);
            if path == "off" {
                ledger.take(directive);
                self.log.entry("access").or_insert_with(|| "\"off\"".to_owned());
            } else if path.starts_with('/') && !path.contains('$') {
                ledger.note(directive, "the lines are JSON objects; written beside nginx's own file");
                let path = format!("{path}.json");
                self.log.entry("access").or_insert_with(|| format!("{{ file = {} }}", toml::Value::from(path)));
            }
        }
    }

    fn slice(&mut self, scope: &Scope<'_>, ledger: &mut Ledger) {
        let Some(directive) = scope.one("slice") else { return };
        match size(directive.argument(0)) {
            Some(bytes) if bytes > 0 => {
                let slice = bytes.checked_next_power_of_two().unwrap_or(LARGEST_SLICE);
                let slice = slice.clamp(SMALLEST_SLICE, LARGEST_SLICE);
                if slice == bytes {
                    ledger.take(directive);
                } else {
                    let text = format!("slices are powers of two from 64KiB to 8MiB: {}", size_text(slice));
                    ledger.note(directive, &text);
                }
                put(&mut self.cache, "slice_size", size_text(slice));
            }
            Some(_) => ledger.note(directive, "the cache always goes by slices"),
            None => ledger.note(directive, "is no size; see cache.slice_size"),
        }
    }

    fn path(&mut self, scope: &Scope<'_>, ledger: &mut Ledger) {
        let zone = scope.one("proxy_cache").map(|directive| directive.argument(0));
        let Some(zone) = zone.filter(|zone| *zone != "off") else { return };
        if let Some(directive) = scope.one("proxy_cache") {
            ledger.take(directive);
        }
        let of_zone = |directive: &&Directive| {
            let name = directive.arguments.iter().find_map(|argument| argument.strip_prefix("keys_zone="));
            name.is_some_and(|name| name.split(':').next() == Some(zone))
        };
        let Some(directive) = scope.every("proxy_cache_path").find(of_zone) else { return };
        ledger.note(directive, "its folder is not taken over: the cache's files are of another form, and fill anew");
        for argument in &directive.arguments {
            let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
            match (name, size(value), time(value)) {
                ("max_size", Some(bytes), _) if bytes >= LARGEST_SLICE => {
                    put(&mut self.cache, "max_size", size_text(bytes))
                }
                ("min_free", Some(bytes), _) => put(&mut self.cache, "min_free", size_text(bytes)),
                ("inactive", _, Some(time)) if time.as_secs() >= 1 => put(&mut self.cache, "inactive", time_text(time)),
                ("max_size" | "min_free" | "inactive", ..) => {
                    ledger.note(directive, &format!("{name} can't be carried over"))
                }
                _ => {}
            }
        }
        // nginx drops after ten minutes what it isn't told to keep.
        self.cache.entry("inactive").or_insert_with(|| "\"10m\"".to_owned());
    }

    fn trust(&mut self, scope: &Scope<'_>, ledger: &mut Ledger) {
        for directive in scope.all("proxy_cache_valid") {
            let Some((last, codes)) = directive.arguments.split_last() else { continue };
            let Some(span) = time(last).filter(|span| span.as_secs() <= LONGEST_TRUST_SECONDS) else {
                ledger.note(directive, "is not a time up to 366d; see cache.metadata_ttl");
                continue;
            };
            let has = |code: &str| codes.iter().any(|known| known == code);
            let mut used = false;
            // Without codes it is for 200, 301 and 302.
            for (key, holds) in [
                ("metadata_ttl", codes.is_empty() || has("200") || has("206") || has("any")),
                ("not_found_ttl", has("404") || has("any")),
                ("gone_ttl", has("410") || has("any")),
            ] {
                if holds {
                    used = true;
                    put(&mut self.cache, key, time_text(span));
                }
            }
            if used && (codes.is_empty() || has("200") || has("206") || has("any")) {
                ledger.note(directive, "so long may a film that was edited or deleted be served; cache.metadata_ttl");
            } else if used {
                ledger.take(directive);
            } else {
                ledger.note(directive, "such answers are not cached");
            }
        }
        if let Some(directive) = scope.one("proxy_cache_use_stale") {
            let has = |word: &str| directive.arguments.iter().any(|known| known == word);
            ledger.take(directive);
            if has("off") || !(has("error") || has("timeout") || has("updating")) {
                put(&mut self.cache, "stale_if_error", "0s".to_owned());
            }
            if has("off") || !has("updating") {
                put(&mut self.cache, "stale_while_revalidate", "0s".to_owned());
            }
        }
    }

    fn locks(&mut self, scope: &Scope<'_>, ledger: &mut Ledger) {
        if let Some(directive) = scope.one("proxy_cache_lock") {
            match directive.argument(0) {
                "on" => ledger.take(directive),
                _ => ledger.note(directive, "who asks for what is being fetched always joins"),
            }
        }
        if let Some(directive) = scope.one("proxy_cache_lock_age") {
            match time(directive.argument(0)) {
                Some(age) if !age.is_zero() => {
                    ledger.take(directive);
                    put(&mut self.cache, "lock_age", time_text(age));
                }
                _ => ledger.note(directive, "see cache.lock_age"),
            }
        }
        if let Some(directive) = scope.one("proxy_cache_min_uses") {
            match directive.argument(0).parse::<u8>() {
                Ok(uses @ 1..) => {
                    ledger.take(directive);
                    self.cache.entry("min_uses").or_insert_with(|| uses.to_string());
                }
                _ => ledger.note(directive, "see cache.min_uses: from 1 to 255"),
            }
        }
    }

    fn limits(&mut self, scope: &Scope<'_>, ledger: &mut Ledger) {
        for (name, key) in [("keepalive_timeout", "keepalive"), ("send_timeout", "write_timeout")] {
            let Some(directive) = scope.one(name) else { continue };
            match time(directive.argument(0)) {
                Some(span) if !span.is_zero() => {
                    ledger.take(directive);
                    put(&mut self.limits, key, time_text(span));
                }
                _ => ledger.note(directive, &format!("see limits.{key}: more than 0s")),
            }
        }
        if let Some(directive) = scope.one("max_ranges") {
            match directive.argument(0).parse::<u16>() {
                Ok(ranges @ 1..=1000) => {
                    ledger.take(directive);
                    self.limits.entry("max_ranges").or_insert_with(|| ranges.to_string());
                }
                _ => ledger.note(directive, "see limits.max_ranges: from 1 to 1000"),
            }
        }
    }
}

fn put(section: &mut Section, key: &'static str, value: String) {
    section.entry(key).or_insert_with(|| toml::Value::from(value).to_string());
}
