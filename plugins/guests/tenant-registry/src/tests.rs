use super::TenantRegistry;
use core::time::Duration;
use streamvault_sdk::{
    Resolution, Status, Tenant, Tenants, kv,
    testing::{self, break_store, setting},
};

const FILMS: &str =
    r#"{"id":"films","domains":["films.example","*.films.example"],"link_secrets":["main"],"channels":[-1001]}"#;

fn resolve(host: &str) -> Result<Resolution, String> {
    testing::resolve(&TenantRegistry::load()?, host)
}

fn found(host: &str) -> Tenant {
    match resolve(host) {
        Ok(Resolution::Found(tenant)) => tenant,
        other => panic!("{host}: {other:?}"),
    }
}

fn store(key: &str, value: &str) {
    kv::set(key, value, Duration::from_secs(1_000)).expect("the store takes it");
}

#[test]
fn the_settings_tenants_are_found_by_host_and_wildcard() {
    setting("tenants", [FILMS, r#"{"id":"b","domains":["a.films.example"],"link_secrets":["k"]}"#]);
    for (host, id) in [
        ("films.example", "films"),
        ("x.films.example", "films"),
        ("x.y.films.example", "films"),
        ("a.films.example", "b"),
    ] {
        assert_eq!(found(host).id, id, "{host}");
    }
    for host in ["example", "notfilms.example", "films.example.evil", "store.example"] {
        store("domain:store.example", "stored");
        assert_eq!(resolve(host), Ok(Resolution::Unknown), "{host}");
    }
}

#[test]
fn records_of_the_store_are_found() {
    setting("store", true);
    store("domain:tv.example", "tv\n");
    store("domain:*.tv.example", "tv");
    store(
        "tenant:tv",
        r#"{"domains":["tv.example","*.tv.example"],"link_secrets":["a","b"],"channels":[-1002,-1003],"name":"TV","message":"Soon.",
            "support_url":"https://help.example/","streams":100,"bytes_per_second":1000000}"#,
    );
    let tenant = found("www.tv.example");
    assert_eq!((tenant.id.as_str(), tenant.status, tenant.streams), ("tv", Status::Active, Some(100)));
    assert_eq!((tenant.link_secrets, tenant.channels), (vec!["a".to_string(), "b".to_string()], vec![-1002, -1003]));
    assert_eq!(tenant.branding.message.as_deref(), Some("Soon."));
    assert_eq!(resolve("example"), Ok(Resolution::Unknown));
}

#[test]
fn a_record_without_domains_has_the_one_it_was_found_under() {
    setting("store", true);
    store("domain:*.tv.example", "tv");
    store("tenant:tv", r#"{"link_secrets":["a"]}"#);
    assert_eq!(found("www.tv.example").domains, ["*.tv.example"]);
}

#[test]
fn a_record_that_doesn_t_hold_is_no_answer() {
    setting("store", true);
    setting("tenants", [FILMS]);
    store("domain:tv.example", "tv");
    let cases = [
        ("{", "EOF"),
        (r#"{"id":"other","link_secrets":["a"]}"#, "other"),
        (r#"{"domains":["else.example"],"link_secrets":["a"]}"#, "cover"),
        (r#"{"domains":["TV.example"],"link_secrets":["a"]}"#, "lower case"),
        (r#"{"statu":"suspended","link_secrets":["a"]}"#, "statu"),
        (r#"{"status":"paused","link_secrets":["a"]}"#, "paused"),
        (r#"{"status":"past-due","link_secrets":["a"]}"#, "past_due_since"),
        (r#"{"support_url":"javascript:x","link_secrets":["a"]}"#, "support_url"),
        ("{}", "link_secrets"),
    ];
    assert!(resolve("tv.example").unwrap_err().contains("tenant:tv"));
    for (record, word) in cases {
        store("tenant:tv", record);
        let why = resolve("tv.example").unwrap_err();
        assert!(why.contains(word), "{record}: {why}");
    }
    store("domain:tv.example", "films");
    store("tenant:films", r#"{"link_secrets":["a"]}"#);
    assert!(resolve("tv.example").unwrap_err().contains("settings"), "the store can't take over the settings' tenant");
    for id in ["../etc", "", &"t".repeat(300)] {
        store("domain:tv.example", id);
        let why = resolve("tv.example").unwrap_err();
        assert!(why.contains("is no id"), "{id}: {why}");
    }
}

#[test]
fn a_host_longer_than_any_key_is_nobody_s() {
    setting("store", true);
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(53), "example".into()].join(".");
    for cut in 0..3 {
        // 253 to 251 bytes, with `domain:` up to 260.
        assert_eq!(resolve(&long[cut..]), Ok(Resolution::Unknown), "{}", long.len() - cut);
    }
    assert_eq!(resolve(&"x".repeat(4_096)), Ok(Resolution::Unknown));
    assert_eq!(resolve(&"x.".repeat(2_000)), Ok(Resolution::Unknown));
    store("domain:*.example", "tv");
    store("tenant:tv", r#"{"link_secrets":["a"]}"#);
    assert_eq!(found(&long).id, "tv", "shorter keys are still looked at");
}

#[test]
fn the_store_takes_no_subdomain_from_a_tenant_of_the_settings() {
    setting("store", true);
    setting("tenants", [FILMS]);
    for domain in ["a.films.example", "*.a.films.example", "*.films.example"] {
        store(&format!("domain:{domain}"), "thief");
        store("tenant:thief", &format!(r#"{{"domains":["{domain}"],"link_secrets":["a"]}}"#));
        for host in ["a.films.example", "b.a.films.example", "films.example"] {
            assert_eq!(found(host).id, "films", "{domain}, {host}");
        }
    }
}

#[test]
fn a_store_that_is_away_is_no_unknown_host() {
    setting("store", true);
    setting("tenants", [FILMS]);
    break_store(Some(kv::Error::Unavailable));
    assert!(resolve("tv.example").is_err());
    assert_eq!(found("films.example").id, "films", "what the settings know needs no store");
}

#[test]
fn grace_ends_so_many_days_after_the_bill_was_due() {
    let record =
        |more: &str| format!(r#"{{"id":"a","domains":["a.example"],"link_secrets":["k"],"status":"past-due"{more}}}"#);
    let status = |more: &str| {
        setting("tenants", [record(more).as_str()]);
        found("a.example").status
    };
    assert_eq!(status(r#","past_due_since":1000"#), Status::PastDue(1_000 + 7 * 86_400));
    assert_eq!(status(r#","past_due_since":1000,"grace_days":0"#), Status::PastDue(1_000));
    setting("grace_days", 30);
    assert_eq!(status(r#","past_due_since":1000"#), Status::PastDue(1_000 + 30 * 86_400));
    setting("tenants", [r#"{"id":"a","domains":["a.example"],"link_secrets":["k"],"status":"suspended"}"#]);
    assert_eq!(found("a.example").status, Status::Suspended);
}

#[test]
fn settings_that_don_t_fit_are_told() {
    let same_domain = FILMS.replace("\"films\"", "\"other\"");
    for wrong in [
        FILMS,
        same_domain.as_str(),
        "{",
        r#"{"domains":["a.example"],"link_secrets":["k"]}"#,
        r#"{"id":"a","link_secrets":["k"]}"#,
    ] {
        setting("tenants", [FILMS, wrong]);
        assert!(TenantRegistry::load().unwrap_err().starts_with("tenants, number 2: "), "{wrong}");
    }
}
