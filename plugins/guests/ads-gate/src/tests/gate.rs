use crate::AdsGate;
use streamvault_sdk::{
    Ads, AdsVerdict, Cookie, Level, kv,
    testing::{Request, advance, break_store, keys, logged, setting},
};

fn gate() -> AdsGate {
    setting("gate_url", "https://ad.example/{tenant}?to={return}&x=1");
    setting("secret", "a secret of the tests");
    setting("heavy_bytes", 1_000);
    setting("paid_values", ["premium"]);
    AdsGate::load().expect("settings hold")
}

fn heavy() -> Request {
    Request::new().file(1_000, "video/mp4")
}

fn decide(gate: &AdsGate, request: &Request) -> AdsVerdict {
    gate.decide(&request.build())
}

/// Where the verdict sends the viewer, decoded as the ad's page would.
fn back(verdict: AdsVerdict) -> String {
    let AdsVerdict::Redirect { url, cookies } = verdict else { panic!("{verdict:?} is no redirect") };
    assert!(cookies.is_empty());
    let escaped = url.strip_prefix("https://ad.example/films?to=").and_then(|rest| rest.strip_suffix("&x=1"));
    escaped
        .expect(&url)
        .replace("%3A", ":")
        .replace("%2F", "/")
        .replace("%3F", "?")
        .replace("%3D", "=")
        .replace("%26", "&")
}

fn ticket(verdict: AdsVerdict) -> String {
    let back = back(verdict);
    let (address, ticket) = back.split_once("&ticket=").expect("a ticket");
    assert_eq!(address, "https://films.example/stream/-1001/7/film.mkv?md5=token&expires=1900000000");
    ticket.into()
}

fn pass(verdict: AdsVerdict) -> Cookie {
    let AdsVerdict::Serve(cookies) = verdict else { panic!("{verdict:?} doesn't serve") };
    cookies.into_iter().next().expect("a pass")
}

#[test]
fn who_returns_from_the_ad_gets_the_file_and_a_pass() {
    let gate = gate();
    let ticket = ticket(decide(&gate, &heavy()));
    assert_eq!(keys(), [""; 0], "nothing is stored for who only asks");
    let cookie = pass(decide(&gate, &heavy().query("ticket", &ticket)));
    assert_eq!((cookie.name.as_str(), cookie.max_age), ("sv_pass", 6 * 3_600));
    let with = heavy().cookie("sv_pass", &cookie.value);
    assert_eq!(decide(&gate, &with), AdsVerdict::serve());
    assert_eq!(decide(&gate, &with.clone().media(-1001, 8)), AdsVerdict::serve(), "a pass is for all files");
    advance(6 * 3_600 - 1);
    assert_eq!(decide(&gate, &with), AdsVerdict::serve());
    advance(1);
    back(decide(&gate, &with));
}

#[test]
fn light_files_and_paying_viewers_see_no_gate() {
    let gate = gate();
    for free in [Request::new(), Request::new().file(999, "video/mp4"), heavy().claim("tier", "premium")] {
        assert_eq!(decide(&gate, &free), AdsVerdict::serve(), "{free:?}");
    }
    back(decide(&gate, &heavy().claim("tier", "free")));
    setting("heavy_types", ["video/*", "application/zip"]);
    let gate = AdsGate::load().expect("settings hold");
    back(decide(&gate, &Request::new().file(1_000, "Video/MP4; codecs=x")));
    back(decide(&gate, &Request::new().file(1_000, "application/zip")));
    assert_eq!(decide(&gate, &Request::new().file(1_000, "application/pdf")), AdsVerdict::serve());
}

#[test]
fn a_ticket_is_good_once_in_time_for_one_viewer_and_file() {
    let gate = gate();
    let good = ticket(decide(&gate, &heavy()));
    let with = |ticket: &str| heavy().query("ticket", ticket);
    let (end, rest) = good.split_once('.').unwrap();
    let later = format!("{}.{rest}", end.parse::<u64>().unwrap() + 60);
    let strange = [
        with(&good).tenant("other"),
        with(&good).remote_address(Some("192.0.2.9")),
        with(&good).media(-1001, 8),
        with(&later),
        with(&good.replace('.', ".0")),
        with(&good[..good.len() - 1]),
        with(&format!("{good}.")),
        with(""),
        with("..."),
    ];
    for (at, request) in strange.iter().enumerate() {
        assert!(matches!(decide(&gate, request), AdsVerdict::Redirect { .. }), "{at}");
    }
    advance(15 * 60 - 1);
    pass(decide(&gate, &with(&good)));
    assert!(matches!(decide(&gate, &with(&good)), AdsVerdict::Redirect { .. }), "replayed");
    let old = ticket_of_another(&gate);
    advance(15 * 60);
    assert!(matches!(
        decide(&gate, &heavy().remote_address(Some("192.0.2.9")).query("ticket", &old)),
        AdsVerdict::Redirect { .. }
    ));
}

fn ticket_of_another(gate: &AdsGate) -> String {
    ticket(decide(gate, &heavy().remote_address(Some("192.0.2.9"))))
}

#[test]
fn a_pass_is_for_its_tenant_and_viewer() {
    let gate = gate();
    let ticket = ticket(decide(&gate, &heavy().claim("sub", "anna")));
    let pass = pass(decide(&gate, &heavy().claim("sub", "anna").query("ticket", &ticket))).value;
    let with = heavy().cookie("sv_pass", &pass);
    assert_eq!(
        decide(&gate, &with.clone().claim("sub", "anna").remote_address(Some("192.0.2.9"))),
        AdsVerdict::serve()
    );
    for strange in [
        with.clone().claim("sub", "bert"),
        with.clone(),
        with.clone().claim("sub", "anna").tenant("other"),
        heavy().claim("sub", "anna").cookie("sv_pass", &ticket),
        heavy().claim("sub", "anna").cookie("sv_pass", "9999999999."),
    ] {
        assert!(matches!(decide(&gate, &strange), AdsVerdict::Redirect { .. }), "{strange:?}");
    }
    setting("secret", "another secret of the tests");
    let other = AdsGate::load().expect("settings hold");
    back(decide(&other, &with.claim("sub", "anna")));
}

#[test]
fn players_without_cookies_go_on_with_the_file_they_returned_for() {
    setting("players", true);
    let gate = gate();
    let ticket = ticket(decide(&gate, &heavy()));
    pass(decide(&gate, &heavy().query("ticket", &ticket)));
    let again = heavy().query("ticket", &ticket).range("bytes=1000-");
    assert_eq!(decide(&gate, &again), AdsVerdict::serve());
    assert_eq!(decide(&gate, &heavy()), AdsVerdict::serve());
    back(decide(&gate, &heavy().remote_address(Some("192.0.2.9"))));
    assert!(matches!(decide(&gate, &heavy().media(-1001, 8)), AdsVerdict::Redirect { .. }));
    advance(6 * 3_600);
    back(decide(&gate, &heavy()));
}

#[test]
fn a_browser_that_goes_round_is_led_out() {
    let gate = gate();
    setting("rounds", 2);
    let gate_of_two = AdsGate::load().expect("settings hold");
    let bad = heavy().query("ticket", "forged");
    for _ in 0..2 {
        back(decide(&gate_of_two, &bad));
    }
    assert_eq!(decide(&gate_of_two, &bad), AdsVerdict::redirect("https://ad.example/films?to=&x=1"));
    back(decide(&gate_of_two, &heavy()));
    setting("stuck_url", "/cookies.html");
    let stuck = AdsGate::load().expect("settings hold");
    assert_eq!(decide(&stuck, &bad), AdsVerdict::redirect("/cookies.html"));
    advance(600);
    back(decide(&gate, &bad));
}

#[test]
fn a_store_that_is_away_costs_ads_not_viewers() {
    setting("players", true);
    let gate = gate();
    let ticket = ticket(decide(&gate, &heavy()));
    break_store(Some(kv::Error::Unavailable));
    back(decide(&gate, &heavy()));
    pass(decide(&gate, &heavy().query("ticket", &ticket)));
    assert!(logged().iter().all(|(level, _)| *level == Level::Warn) && !logged().is_empty());
}

#[test]
fn settings_that_don_t_fit_are_told() {
    let _ = gate();
    for (name, value) in [
        ("gate_url", "https://ad.example/"),
        ("gate_url", "ad.example/{return}"),
        ("gate_url", "https://ad.example/a b{return}"),
        ("secret", "short"),
        ("stuck_url", "javascript:alert(1)"),
        ("bind", "cookie"),
    ] {
        setting("stuck_url", "");
        setting("bind", "viewer");
        let _ = gate();
        setting(name, value);
        assert!(AdsGate::load().is_err(), "{name} = {value}");
    }
}
