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
        .filter(|address| !address.is_empty())
        .expect(&url)
        .replace("%3A", ":")
        .replace("%2F", "/")
        .replace("%3F", "?")
        .replace("%3D", "=")
        .replace("%26", "&")
}

/// A ticket, when the ad is over.
fn ticket(verdict: AdsVerdict) -> String {
    advance(5);
    fresh_ticket(verdict)
}

fn fresh_ticket(verdict: AdsVerdict) -> String {
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
    let pieces: Vec<&str> = good.split('.').collect();
    let moved = |piece: usize, by: i64| {
        let time = pieces[piece].parse::<i64>().unwrap() + by;
        let mut pieces: Vec<String> = pieces.iter().map(ToString::to_string).collect();
        pieces[piece] = time.to_string();
        pieces.join(".")
    };
    let strange = [
        with(&good).tenant("other"),
        with(&good).remote_address(Some("192.0.2.9")),
        with(&good).media(-1001, 8),
        with(&moved(0, -60)),
        with(&moved(1, 60)),
        with(&good.replace('.', ".0")),
        with(&good[..good.len() - 1]),
        with(&format!("{good}.")),
        with(""),
        with("..."),
    ];
    for (at, request) in strange.iter().enumerate() {
        assert!(matches!(decide(&gate, request), AdsVerdict::Redirect { .. }), "{at}");
    }
    advance(15 * 60 - 6);
    pass(decide(&gate, &with(&good)));
    assert!(matches!(decide(&gate, &with(&good)), AdsVerdict::Redirect { .. }), "replayed");
    let another = heavy().remote_address(Some("192.0.2.9"));
    let old = ticket(decide(&gate, &another));
    advance(15 * 60 - 5);
    assert!(matches!(decide(&gate, &another.query("ticket", &old)), AdsVerdict::Redirect { .. }));
}

#[test]
fn a_ticket_is_good_only_after_the_ad() {
    setting("min_visit_seconds", 30);
    let gate = gate();
    let early = fresh_ticket(decide(&gate, &heavy()));
    let with = heavy().query("ticket", &early);
    for _ in 0..2 {
        assert!(matches!(decide(&gate, &with), AdsVerdict::Redirect { .. }), "the ad again");
        advance(15);
    }
    pass(decide(&gate, &with));
    setting("min_visit_seconds", 0);
    let gate = AdsGate::load().expect("settings hold");
    let at_once = fresh_ticket(decide(&gate, &heavy()));
    pass(decide(&gate, &heavy().query("ticket", &at_once)));
}

#[test]
fn an_address_too_long_loses_what_the_link_did_not_bring() {
    let gate = gate();
    for long in [
        heavy().query("pad", &"x".repeat(4_000)),
        (0..60).fold(heavy(), |request, number| request.query(&format!("pad{number}"), &"%20".repeat(20))),
    ] {
        let ticket = ticket(decide(&gate, &long));
        pass(decide(&gate, &heavy().query("ticket", &ticket)));
        assert!(matches!(decide(&gate, &long), AdsVerdict::Redirect { .. }), "without the pass");
    }
    // More parameters than a call has time for, and a path for which there is no room.
    let many = (0..2_000).fold(heavy(), |request, number| request.query(&number.to_string(), ""));
    for hopeless in [many, heavy().path(&format!("/{}", "p".repeat(4_096)))] {
        assert_eq!(decide(&gate, &hopeless), AdsVerdict::redirect("https://ad.example/films?to=&x=1"));
    }
    assert_eq!(back(decide(&gate, &heavy().query("t", "5"))).matches("&t=5&ticket=").count(), 1, "what fits stays");
}

#[test]
fn what_anybody_can_write_leaves_nothing_in_the_store() {
    let gate = gate();
    let good = ticket(decide(&gate, &heavy()));
    for number in 0..20 {
        let forged = good.replacen(&good[good.len() - 20..], &format!("{number:020}"), 1);
        for forged in [&forged, "forged", "1.2.3.4"] {
            back(decide(&gate, &heavy().query("ticket", forged).remote_address(Some(&format!("192.0.2.{number}")))));
            back(decide(&gate, &heavy().query("ticket", forged)));
        }
    }
    assert_eq!(keys(), [""; 0]);
}

#[test]
fn a_full_store_makes_no_ticket_good_for_ever() {
    let gate = gate();
    let with = heavy().query("ticket", &ticket(decide(&gate, &heavy())));
    break_store(Some(kv::Error::Full));
    for _ in 0..10 {
        back(decide(&gate, &with));
    }
    break_store(None);
    pass(decide(&gate, &with));
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
    // Its own ticket, which it has used; without cookies it has nothing else to show.
    let bad = heavy().query("ticket", &ticket(decide(&gate, &heavy())));
    pass(decide(&gate, &bad));
    for _ in 0..2 {
        back(decide(&gate_of_two, &bad));
    }
    assert_eq!(decide(&gate_of_two, &bad), AdsVerdict::redirect("https://ad.example/films?to=&x=1"));
    back(decide(&gate_of_two, &heavy()));
    // Behind the same address, but somebody else.
    let neighbour = heavy().claim("sub", "ben");
    let theirs = neighbour.clone().query("ticket", &ticket(decide(&gate, &neighbour)));
    pass(decide(&gate_of_two, &theirs));
    back(decide(&gate_of_two, &theirs));
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
        ("gate_url", &format!("https://ad.example/{}?{{return}}", "{tenant}".repeat(40))),
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
    setting("bind", "viewer");
    let _ = gate();
    setting("ticket_minutes", 1);
    setting("min_visit_seconds", 60);
    assert!(AdsGate::load().is_err(), "no ticket would be good");
}
