use super::PolicyTiers;
use streamvault_sdk::{
    Level, Policy, Verdict,
    config::Value,
    signature::Key,
    testing::{Request, logged, setting},
};

/// The manifest's defaults, then what a test says.
fn defaults() {
    setting("free_values", ["free"]);
    setting("premium_values", ["premium"]);
    setting("banned_values", ["banned"]);
    setting("free_bytes_per_second", 500_000);
    setting("free_viewer_streams", 1);
    setting("premium_viewer_streams", 4);
    setting("keep_seconds", 10);
}

fn free() -> Verdict {
    Verdict::allow().bytes_per_second(500_000).viewer_streams(1).keep(10)
}

fn premium() -> Verdict {
    Verdict::allow().viewer_streams(4).keep(10)
}

fn decide(request: Request) -> Verdict {
    PolicyTiers::load().expect("settings hold").decide(&request.build())
}

fn status(request: Request) -> u16 {
    match decide(request) {
        Verdict::Allow(_) => 200,
        Verdict::Deny { status, .. } => status,
        Verdict::Redirect(_) => 302,
    }
}

#[test]
fn a_claim_names_the_tier() {
    defaults();
    let cases = [
        ("free", free()),
        ("premium", premium()),
        ("gold", free()),
        ("", free()),
        (r#"["user","premium"]"#, premium()),
        (r#"["premium", "free"]"#, premium()),
        (r#"["free"]"#, free()),
        ("[]", free()),
        ("true", free()),
    ];
    for (claim, wanted) in cases {
        assert_eq!(decide(Request::new().claim("tier", claim)), wanted, "{claim}");
    }
    assert_eq!(decide(Request::new().claim("sub", "anna")), free(), "no claim");
    for claim in ["banned", r#"["premium","banned"]"#] {
        assert_eq!(status(Request::new().claim("tier", claim)), 403, "{claim}");
    }
}

#[test]
fn an_invalid_token_is_no_anonymous_viewer() {
    defaults();
    setting("anonymous", "premium");
    assert_eq!(status(Request::new().invalid_token()), 401);
}

#[test]
fn who_has_no_token_gets_what_the_settings_say() {
    defaults();
    assert_eq!(decide(Request::new()), free());
    setting("anonymous", "premium");
    assert_eq!(decide(Request::new()), premium());
    setting("anonymous", "refuse");
    assert_eq!(status(Request::new()), 401);
    setting("verified", "refuse");
    assert_eq!(status(Request::new().claim("sub", "anna")), 401);
    setting("anonymous", "gold");
    assert!(PolicyTiers::load().is_err());
}

#[test]
fn banned_viewers_are_named_by_subject_or_address() {
    defaults();
    setting("banned_viewers", ["anna", "192.0.2.66"]);
    assert_eq!(status(Request::new().claim("sub", "anna").claim("tier", "premium")), 403);
    assert_eq!(status(Request::new().remote_address(Some("192.0.2.66"))), 403);
    assert_eq!(status(Request::new()), 200);
}

#[test]
fn a_ban_that_ends_without_a_token_is_told() {
    let told = |banned_viewers: &[&str], banned_values: &[&str], anonymous: &str| {
        let texts = |texts: &[&str]| Value::Texts(texts.iter().map(ToString::to_string).collect());
        setting("banned_viewers", texts(banned_viewers));
        setting("banned_values", texts(banned_values));
        setting("anonymous", anonymous);
        let before = logged().len();
        PolicyTiers::load().expect("settings hold");
        logged()[before..].iter().any(|(level, line)| *level == Level::Warn && line.contains("anonymous"))
    };
    defaults();
    assert!(told(&[], &["kicked"], "free"));
    assert!(told(&["anna"], &[], "premium"));
    assert!(told(&["192.0.2.66", "anna"], &[], "free"));
    for holds in [
        told(&["anna"], &["banned"], "refuse"),
        told(&["192.0.2.66", "2001:db8::1"], &[], "free"),
        told(&[], &[], "free"),
        told(&[], &["banned"], "free"),
    ] {
        assert!(!holds);
    }
    // It is as it says.
    setting("banned_viewers", ["anna"]);
    assert_eq!(status(Request::new().claim("sub", "anna")), 403);
    assert_eq!(status(Request::new()), 200);
    setting("anonymous", "refuse");
    assert_eq!(status(Request::new()), 401);
}

#[test]
fn a_signed_parameter_holds_for_its_link_only() {
    defaults();
    setting("tier_parameter", "tier");
    assert!(PolicyTiers::load().is_err(), "unsigned without a word of the operator");
    setting("tier_parameter_secret", "0123456789abcdef");
    let signature = |path: &str| Key::new("0123456789abcdef", "tier").sign(&["premium", path, "1900000000"]);
    let here = format!("premium.{}", signature("/stream/-1001/7/film.mkv"));
    assert_eq!(decide(Request::new().query("tier", &here)), premium());
    assert_eq!(decide(Request::new().query("tier", &here).path("/stream/-1001/8/film.mkv")), free());
    for forged in ["premium", "premium.", "free", &here.replace("premium", "banned"), &here[..here.len() - 1]] {
        assert_eq!(decide(Request::new().query("tier", forged)), free(), "{forged}");
    }
    // A token says more than a link.
    assert_eq!(decide(Request::new().query("tier", &here).claim("tier", "free")), free());
}

#[test]
fn a_plain_parameter_is_believed_with_a_warning() {
    defaults();
    setting("tier_parameter", "tier");
    setting("tier_parameter_trust", "plain");
    assert_eq!(decide(Request::new().query("tier", "premium")), premium());
    assert_eq!(status(Request::new().query("tier", "banned")), 403);
    assert!(logged().iter().any(|(level, _)| *level == Level::Warn));
}

#[test]
fn pages_elsewhere_are_refused() {
    defaults();
    setting("referer_hosts", ["tv.example", "*.partner.example"]);
    let cases = [
        ("https://tv.example/film?7", 200),
        ("HTTPS://TV.example:8443/", 200),
        ("https://tv.example./", 200),
        ("https://a.partner.example/", 200),
        ("https://films.example/", 200),
        ("https://partner.example/", 403),
        ("https://tv.example.evil.example/", 403),
        ("https://evil.example/?https://tv.example/", 403),
        ("https://tv.example@evil.example/", 403),
        ("https://evil.example\\@tv.example/", 403),
        ("https://nottv.example/", 403),
        ("tv.example", 403),
        ("android-app://tv.example", 403),
        ("https://", 403),
        ("", 200),
    ];
    for (referer, wanted) in cases {
        assert_eq!(status(Request::new().header("referer", referer)), wanted, "{referer}");
    }
    assert_eq!(status(Request::new().header("origin", "https://evil.example")), 403);
    assert_eq!(status(Request::new().header("origin", "null")), 200);
    setting("referer_empty", "refuse");
    assert_eq!(status(Request::new()), 403);
    assert_eq!(status(Request::new().header("origin", "https://tv.example")), 200);
    setting("referer_hosts", ["https://tv.example"]);
    assert!(PolicyTiers::load().is_err());
}

#[test]
fn countries_are_allowed_or_denied() {
    defaults();
    let at = |country: &str| status(Request::new().header("cf-ipcountry", country));
    setting("country_deny", ["KP"]);
    assert_eq!((at("DE"), at("kp"), at("XX"), at("T1"), status(Request::new())), (200, 451, 451, 451, 451));
    setting("country_unknown", "allow");
    assert_eq!((at("XX"), status(Request::new())), (200, 200));
    setting("country_allow", ["de", "AT"]);
    assert_eq!((at("DE"), at("AT"), at("FR"), at("KP")), (200, 200, 451, 451));
    setting("country_header", "x-country-code");
    assert_eq!(status(Request::new().header("x-country-code", "FR")), 451);
    setting("country_allow", ["Germany"]);
    assert!(PolicyTiers::load().is_err());
}

#[test]
fn a_preview_is_the_first_bytes_of_the_free_tier() {
    defaults();
    setting("free_preview_bytes", 1_000_000);
    setting("tenant_streams", 200);
    assert_eq!(decide(Request::new()), free().tenant_streams(200).range(0, 999_999));
    assert_eq!(decide(Request::new().claim("tier", "premium")), premium().tenant_streams(200));
}

#[test]
fn a_bound_below_the_contract_s_is_told_when_the_settings_are_read() {
    defaults();
    setting("premium_bytes_per_second", 1_023);
    assert!(PolicyTiers::load().is_err());
    setting("premium_bytes_per_second", 1_024);
    assert!(PolicyTiers::load().is_ok());
}
