//! What came of a question, as a table that a file can be compared with.

use plugin_host::{Ads, ByteRange, Cookie, Failure, Limits, Playlist, Policy, TenantRecord, TenantStatus};
use std::time::Duration;
use toml::{Table, Value};

/// Keys that an expectation may name, for each kind of question.
pub(crate) const POLICY: &[&str] = &[
    "verdict",
    "status",
    "text",
    "redirect",
    "bytes_per_second",
    "viewer_streams",
    "tenant_streams",
    "expires",
    "ranges",
    "viewer",
    "keep",
    "failure",
    "reason",
    "kv",
];
pub(crate) const ADS: &[&str] = &["verdict", "redirect", "cookies", "failure", "reason", "kv"];
pub(crate) const PLAYLIST: &[&str] = &["verdict", "text", "failure", "reason", "kv"];
pub(crate) const TENANT: &[&str] = &[
    "verdict",
    "id",
    "domains",
    "status",
    "link_secrets",
    "channels",
    "brand",
    "message",
    "support_url",
    "streams",
    "bytes_per_second",
    "failure",
    "reason",
    "kv",
];
pub(crate) const OBSERVE: &[&str] = &["verdict", "failure", "kv"];

pub(crate) fn policy(policy: Policy) -> Table {
    match policy {
        Policy::Allow(limits, keep) => self::limits(limits, keep),
        Policy::Deny { status, text, .. } => {
            table([("verdict", "deny".into()), ("status", i64::from(status).into()), ("text", text.into())])
        }
        Policy::Redirect { url, .. } => table([("verdict", "redirect".into()), ("redirect", url.into())]),
        Policy::Failed { failure, .. } => failed(&failure),
    }
}

pub(crate) fn ads(ads: Ads) -> Table {
    let (mut answer, cookies) = match ads {
        Ads::Proceed { cookies } => (table([("verdict", "proceed".into())]), cookies),
        Ads::Redirect { url, cookies, .. } => {
            (table([("verdict", "redirect".into()), ("redirect", url.into())]), cookies)
        }
        Ads::Failed { failure, .. } => return failed(&failure),
    };
    if !cookies.is_empty() {
        let cookie = |cookie: Cookie| (cookie.name, format!("{}; Max-Age={}", cookie.value, cookie.max_age).into());
        answer.insert("cookies".to_owned(), Value::Table(cookies.into_iter().map(cookie).collect()));
    }
    answer
}

/// `text` is what the plugin was asked about.
pub(crate) fn playlist(playlist: Playlist, text: &str) -> Table {
    match playlist {
        Playlist::Unchanged => table([("verdict", "unchanged".into()), ("text", text.into())]),
        Playlist::Rewritten(text) => table([("verdict", "rewritten".into()), ("text", text.into())]),
        Playlist::Failed { failure, .. } => failed(&failure),
    }
}

pub(crate) fn tenant(record: Option<TenantRecord>) -> Table {
    let Some(record) = record else { return table([("verdict", "unknown".into())]) };
    let status = match record.status {
        TenantStatus::Active => "active".to_owned(),
        TenantStatus::PastDue(until) => format!("past-due {until}"),
        TenantStatus::Suspended => "suspended".to_owned(),
    };
    let texts = |texts: Vec<String>| Value::Array(texts.into_iter().map(Value::String).collect());
    let mut answer = table([("verdict", "found".into()), ("id", record.id.into()), ("status", status.into())]);
    let domains: Vec<String> = record.domains.iter().map(ToString::to_string).collect();
    let lists = [
        ("domains", texts(domains)),
        ("link_secrets", texts(record.link_secrets)),
        ("channels", Value::Array(record.channels.into_iter().map(Value::Integer).collect())),
    ];
    for (key, list) in lists {
        if list.as_array().is_some_and(|list| !list.is_empty()) {
            answer.insert(key.to_owned(), list);
        }
    }
    put(&mut answer, "brand", record.branding.name);
    put(&mut answer, "message", record.branding.message);
    put(&mut answer, "support_url", record.branding.support_url);
    put(&mut answer, "streams", record.streams.map(i64::from));
    put(&mut answer, "bytes_per_second", record.bytes_per_second.map(number));
    answer
}

pub(crate) fn failed(failure: &Failure) -> Table {
    let (word, reason) = (failure.word(), failure.to_string());
    table([("verdict", "failed".into()), ("failure", word.into()), ("reason", reason.into())])
}

pub(crate) fn heard(failure: Option<&'static str>) -> Table {
    match failure {
        None => table([("verdict", "heard".into())]),
        Some(word) => table([("verdict", "failed".into()), ("failure", word.into())]),
    }
}

fn limits(limits: Limits, keep: Option<Duration>) -> Table {
    let mut answer = table([("verdict", "allow".into())]);
    put(&mut answer, "bytes_per_second", limits.bytes_per_second.map(number));
    put(&mut answer, "viewer_streams", limits.viewer_streams.map(i64::from));
    put(&mut answer, "tenant_streams", limits.tenant_streams.map(i64::from));
    put(&mut answer, "expires", limits.expires.map(number));
    let range = |range: ByteRange| Value::String(format!("{}-{}", range.first, range.last));
    put(&mut answer, "ranges", limits.ranges.map(|ranges| ranges.into_iter().map(range).collect::<Vec<_>>()));
    put(&mut answer, "viewer", limits.viewer);
    put(&mut answer, "keep", keep.map(|keep| number(keep.as_secs())));
    answer
}

fn table<const N: usize>(pairs: [(&str, Value); N]) -> Table {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn put(answer: &mut Table, key: &str, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        answer.insert(key.to_owned(), value.into());
    }
}

/// TOML's numbers have 63 bits.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
