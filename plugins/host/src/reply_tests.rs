//! What replies hold, one row each.

use super::{AdsReply, BadReply, PolicyReply, ads, policy, tenant, tenants};
use crate::bindings::exports::streamvault::plugin::{ads as wit_ads, policy as wit_policy};
use crate::verdict::{ByteRange, Limits, TenantStatus};
use std::sync::Arc;
use std::time::Duration;

fn no_limits() -> wit_policy::Limits {
    wit_policy::Limits {
        bytes_per_second: None,
        viewer_streams: None,
        tenant_streams: None,
        expires: None,
        ranges: Vec::new(),
        viewer: None,
        keep: None,
    }
}

#[test]
fn destinations() {
    let long = format!("https://a.test/{}", "a".repeat(4_096 - 15));
    let longer = format!("{long}a");
    let bad = Err(BadReply::Url("redirect"));
    let odd = Err(BadReply::Characters("redirect"));
    let rows: [(&str, Result<(), BadReply>); 32] = [
        ("https://a.test/path?q=1#f", Ok(())),
        ("HTTP://a.test", Ok(())),
        ("https://a.test:8443/", Ok(())),
        ("https://[::1]:8443/", Ok(())),
        ("https://xn--bcher-kva.test/", Ok(())),
        ("https://a.test?next=https://b@c/", Ok(())),
        ("/", Ok(())),
        ("/pay/now?x=1", Ok(())),
        (&long, Ok(())),
        (&longer, Err(BadReply::TooLong("redirect"))),
        ("", Err(BadReply::TooLong("redirect"))),
        ("//evil.test/", bad),
        ("/\\evil.test/", bad),
        ("\\\\evil.test/", bad),
        ("https:/evil.test", bad),
        ("https:///evil.test", bad),
        ("https://", bad),
        ("https://good.test@evil.test/", bad),
        ("https://good.test\\@evil.test/", bad),
        ("https://.evil.test/", bad),
        ("javascript:alert(1)", bad),
        ("JaVaScRiPt:alert(1)", bad),
        ("data:text/html,x", bad),
        ("ftp://a.test/", bad),
        ("httpss://a.test/", bad),
        ("relative/path", bad),
        ("https://a.test/\r\nSet-Cookie: a=b", odd),
        ("/a\nb", odd),
        ("/a\0b", odd),
        ("/a b", odd),
        ("/a\tb", odd),
        ("https://bücher.test/", odd),
    ];
    for (url, want) in rows {
        let got = policy(wit_policy::Verdict::Redirect(url.to_owned()));
        assert_eq!(got, want.map(|()| PolicyReply::Redirect(url.to_owned())), "{url:?}");
    }
}

#[test]
fn denials() {
    let long = "é".repeat(200);
    let longer = "é".repeat(201);
    let rows = [
        (400, "no", Ok(())),
        (499, "", Ok(())),
        (503, "later", Ok(())),
        (403, long.as_str(), Ok(())),
        (403, longer.as_str(), Err(BadReply::TooLong("denial.text"))),
        (200, "ok", Err(BadReply::OutOfBounds("denial.status"))),
        (302, "go", Err(BadReply::OutOfBounds("denial.status"))),
        (500, "x", Err(BadReply::OutOfBounds("denial.status"))),
        (0, "x", Err(BadReply::OutOfBounds("denial.status"))),
        (403, "a\nb", Err(BadReply::Characters("denial.text"))),
        (403, "a\u{202e}b", Err(BadReply::Characters("denial.text"))),
        (403, "a\u{200f}b", Err(BadReply::Characters("denial.text"))),
        (403, "a\u{61c}b", Err(BadReply::Characters("denial.text"))),
        (403, "a\u{2067}b", Err(BadReply::Characters("denial.text"))),
        (403, "a\u{85}b", Err(BadReply::Characters("denial.text"))),
    ];
    for (status, text, want) in rows {
        let got = policy(wit_policy::Verdict::Deny(wit_policy::Denial { status, text: text.to_owned() }));
        assert_eq!(got, want.map(|()| PolicyReply::Deny { status, text: text.to_owned() }), "{status} {text:?}");
    }
}

#[test]
fn limits() {
    let range = |first, last| wit_policy::ByteRange { first, last };
    let parts = |list: &[(u64, u64)]| Limits {
        ranges: Some(list.iter().map(|&(first, last)| ByteRange { first, last }).collect()),
        ..Limits::default()
    };
    let with = |change: fn(&mut wit_policy::Limits)| {
        let mut limits = no_limits();
        change(&mut limits);
        limits
    };
    let rows = [
        (no_limits(), Ok(Limits::default())),
        (with(|l| l.bytes_per_second = Some(1_024)), Ok(Limits { bytes_per_second: Some(1_024), ..Limits::default() })),
        (with(|l| l.bytes_per_second = Some(1_023)), Err(BadReply::OutOfBounds("bytes-per-second"))),
        (with(|l| l.viewer_streams = Some(0)), Err(BadReply::OutOfBounds("viewer-streams"))),
        (with(|l| l.tenant_streams = Some(0)), Err(BadReply::OutOfBounds("tenant-streams"))),
        (with(|l| l.expires = Some(0)), Ok(Limits { expires: Some(0), ..Limits::default() })),
        (with(|l| l.viewer = Some("a".repeat(256))), Ok(Limits { viewer: Some("a".repeat(256)), ..Limits::default() })),
        (with(|l| l.viewer = Some("a".repeat(257))), Err(BadReply::TooLong("viewer"))),
        (with(|l| l.viewer = Some(String::new())), Err(BadReply::TooLong("viewer"))),
        (with(|l| l.viewer = Some("a\r\nb".into())), Err(BadReply::Characters("viewer"))),
        (wit_policy::Limits { ranges: vec![range(5, 4)], ..no_limits() }, Err(BadReply::Range)),
        (wit_policy::Limits { ranges: vec![range(0, 0); 257], ..no_limits() }, Err(BadReply::TooLong("ranges"))),
        (
            wit_policy::Limits { ranges: vec![range(8, 9), range(0, 3), range(2, 5), range(6, 6)], ..no_limits() },
            Ok(parts(&[(0, 6), (8, 9)])),
        ),
        (
            wit_policy::Limits { ranges: vec![range(0, u64::MAX), range(7, u64::MAX)], ..no_limits() },
            Ok(parts(&[(0, u64::MAX)])),
        ),
    ];
    for (limits, want) in rows {
        let shown = format!("{limits:?}");
        assert_eq!(
            policy(wit_policy::Verdict::Allow(limits)),
            want.map(|limits| PolicyReply::Allow(limits, None)),
            "{shown}"
        );
    }
}

#[test]
fn how_long_a_verdict_holds() {
    let out = Err(BadReply::OutOfBounds("keep"));
    for (seconds, want) in [(0, out), (1, Ok(1)), (60, Ok(60)), (61, out), (u32::MAX, out)] {
        let verdict = wit_policy::Verdict::Allow(wit_policy::Limits { keep: Some(seconds), ..no_limits() });
        let want = want.map(|want| PolicyReply::Allow(Limits::default(), Some(Duration::from_secs(want))));
        assert_eq!(policy(verdict), want, "{seconds}");
    }
}

#[test]
fn cookies() {
    type Row<'a> = (&'a [(&'a str, &'a str)], Result<(), BadReply>);
    let named = ["gate".to_owned(), "vip".to_owned()];
    let long = "a".repeat(1_024);
    let longer = "a".repeat(1_025);
    let rows: [Row<'_>; 16] = [
        (&[("gate", "v1.abc-_=/+")], Ok(())),
        (&[("gate", "")], Ok(())),
        (&[("gate", "1"), ("vip", "2")], Ok(())),
        (&[("gate", &long)], Ok(())),
        (&[("gate", &longer)], Err(BadReply::TooLong("cookie.value"))),
        (&[("session", "1")], Err(BadReply::ForeignCookie)),
        (&[("Gate", "1")], Err(BadReply::ForeignCookie)),
        (&[("gate; Domain=evil.test", "1")], Err(BadReply::ForeignCookie)),
        (&[("gate", "1"), ("gate", "2")], Err(BadReply::DoubleCookie)),
        (&[("gate", "1"), ("vip", "1"), ("gate", "1"), ("vip", "1"), ("gate", "1")], Err(BadReply::TooLong("cookies"))),
        (&[("gate", "a; Domain=evil.test")], Err(BadReply::Characters("cookie.value"))),
        (&[("gate", "a\r\nLocation: x")], Err(BadReply::Characters("cookie.value"))),
        (&[("gate", "a\"b")], Err(BadReply::Characters("cookie.value"))),
        (&[("gate", "a,b")], Err(BadReply::Characters("cookie.value"))),
        (&[("gate", "a\\b")], Err(BadReply::Characters("cookie.value"))),
        (&[("gate", "é")], Err(BadReply::Characters("cookie.value"))),
    ];
    for (list, want) in rows {
        let cookies: Vec<_> = list
            .iter()
            .map(|(name, value)| wit_ads::Cookie { name: (*name).to_owned(), value: (*value).to_owned(), max_age: 60 })
            .collect();
        let set = ads(wit_ads::Verdict::SetCookies(cookies.clone()), &named);
        assert_eq!(set.map(|_| ()), want, "{list:?}");
        let sent = ads(wit_ads::Verdict::Redirect(wit_ads::Redirection { url: "/x".into(), cookies }), &named);
        assert_eq!(sent.map(|_| ()), want, "{list:?}");
    }
    assert_eq!(ads(wit_ads::Verdict::Proceed, &[]), Ok(AdsReply::Proceed(Vec::new())));
    let away = wit_ads::Redirection { url: "//evil.test".into(), cookies: Vec::new() };
    assert_eq!(ads(wit_ads::Verdict::Redirect(away), &[]), Err(BadReply::Url("redirection.url")));
}

fn good_tenant() -> tenants::Tenant {
    tenants::Tenant {
        id: "films".into(),
        domains: vec!["films.test".into(), "*.films.test".into()],
        status: tenants::Status::PastDue(9),
        link_secrets: vec!["main".into(), "2026-11.new".into()],
        channels: vec![-1001, i64::MIN],
        branding: tenants::Branding {
            name: Some("Films".into()),
            message: Some("Back soon".into()),
            support_url: Some("https://help.test/".into()),
        },
        limits: tenants::TenantLimits { streams: Some(1), bytes_per_second: Some(1_024) },
    }
}

#[test]
fn tenants_that_hold() {
    let plugin: Arc<str> = Arc::from("registry");
    for host in ["films.test", "a.films.test", "a.b.films.test"] {
        let record = tenant(&plugin, host, good_tenant(), |_| false).unwrap();
        assert_eq!((record.id.as_str(), record.status), ("films", TenantStatus::PastDue(9)));
        assert_eq!(record.domains.len(), 2);
    }
}

#[test]
fn tenants_that_do_not() {
    type Change = fn(&mut tenants::Tenant);
    let bad = |field| BadReply::Characters(field);
    let rows: [(Change, BadReply); 22] = [
        (|t| t.id = String::new(), BadReply::TooLong("tenant.id")),
        (|t| t.id = "a".repeat(65), BadReply::TooLong("tenant.id")),
        (|t| t.id = "Films".into(), bad("tenant.id")),
        (|t| t.id = "../films".into(), bad("tenant.id")),
        (|t| t.id = "a:b".into(), bad("tenant.id")),
        (|t| t.id = "taken".into(), BadReply::TakenId),
        (|t| t.domains = Vec::new(), BadReply::ForeignHost),
        (|t| t.domains = vec!["music.test".into()], BadReply::ForeignHost),
        (|t| t.domains = vec!["*.asked.films.test".into()], BadReply::ForeignHost),
        (|t| t.domains = vec!["sked.films.test".into(), "*.ilms.test".into()], BadReply::ForeignHost),
        (|t| t.domains.push("*".into()), BadReply::Domain),
        (|t| t.domains.push("a b".into()), BadReply::Domain),
        (|t| t.domains.push("films.test:80".into()), BadReply::Domain),
        (|t| t.domains = vec!["films.test".into(); 1_001], BadReply::TooLong("domains")),
        (|t| t.link_secrets = vec!["../other/main".into()], bad("link-secrets")),
        (|t| t.link_secrets = vec!["..".into()], bad("link-secrets")),
        (|t| t.link_secrets = vec!["a".into(); 17], BadReply::TooLong("link-secrets")),
        (|t| t.channels = vec![1; 10_001], BadReply::TooLong("channels")),
        (|t| t.branding.name = Some("a\u{1b}[2J".into()), bad("branding.name")),
        (|t| t.branding.message = Some("a".repeat(501)), BadReply::TooLong("branding.message")),
        (|t| t.branding.support_url = Some("javascript:alert(1)".into()), BadReply::Url("support-url")),
        (|t| t.limits.streams = Some(0), BadReply::OutOfBounds("limits.streams")),
    ];
    let plugin: Arc<str> = Arc::from("registry");
    for (index, (change, want)) in rows.into_iter().enumerate() {
        let mut record = good_tenant();
        change(&mut record);
        let got = tenant(&plugin, "asked.films.test", record, |id| id == "taken");
        assert_eq!(got, Err(want), "row {index}");
    }
    let same_end = tenants::Tenant { domains: vec!["*.films.test".into()], ..good_tenant() };
    assert_eq!(tenant(&plugin, "evilfilms.test", same_end.clone(), |_| false), Err(BadReply::ForeignHost));
    assert_eq!(tenant(&plugin, "films.test", same_end, |_| false), Err(BadReply::ForeignHost));
}
