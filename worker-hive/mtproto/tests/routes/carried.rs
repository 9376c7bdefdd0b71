//! What goes through: both data-centres, the making of a key, and every byte, whatever the route; and nothing past it.

use crate::proxies::{Kind, LEAVES_FROM, Manner, Proxy};
use crate::rig::{ABROAD, HOME, Rig, config, has_ipv6, until, world};
use mtproto::{IpVersions, Route};
use std::net::{IpAddr, SocketAddr};
use telegram_sim::Sim;

const LOGIN: &str = "us%20er%40%25:pa%20ss%3Aw%C3%B6rd%2F%3F%23";
const SECRET: [u8; 16] = *b"sixteen bytes!!!";
const SECRET_HEX: &str = "7369787465656e206279746573212121";

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn proxies_carry_everything_and_nothing_goes_past_them() {
    let table = [
        (Kind::Socks, Manner::Open, "socks5://"),
        (Kind::Socks, Manner::Login, "socks5://"),
        (Kind::Http, Manner::Open, "http://"),
        (Kind::Http, Manner::Login, "http://"),
    ];
    for (kind, manner, scheme) in table {
        let sim = Sim::start(world()).unwrap();
        let proxy = Proxy::start(kind, manner).await;
        let login = if manner == Manner::Login { format!("{LOGIN}@") } else { String::new() };
        let route = Route::parse(&format!("{scheme}{login}{}", proxy.address)).unwrap();
        let rig = Rig::start(sim, config(route));
        rig.fetch().await;
        assert_eq!(rig.sources(), [LEAVES_FROM], "{kind:?} {manner:?}");
        let counts = rig.counts();
        assert!(counts.accepted.values().sum::<u64>() <= u64::try_from(proxy.through()).unwrap(), "{counts:?}");
        assert_eq!((counts.calls("auth.exportAuthorization"), counts.calls("auth.importAuthorization")), (1, 1));
    }
}

#[tokio::test]
async fn an_mtproxy_carries_everything_and_nothing_goes_past_it() {
    for (prefix, as_link) in [("", false), ("dd", false), ("dd", true)] {
        let sim = Sim::start(world()).unwrap();
        let at = sim.put_mtproxy(SECRET).unwrap();
        let secret = format!("{prefix}{SECRET_HEX}");
        let text = if as_link {
            format!("https://t.me/proxy?server={}&port={}&secret={secret}", at.ip(), at.port())
        } else {
            format!("mtproxy://{secret}@{at}")
        };
        let rig = Rig::start(sim, config(Route::parse(&text).unwrap()));
        rig.fetch().await;
        let counts = rig.counts();
        assert!(counts.accepted_from.is_empty() && counts.turned_away == 0, "{counts:?}");
        assert!(counts.fronted[&HOME] > 0 && counts.fronted[&ABROAD] > 0, "{counts:?}");
    }
}

#[tokio::test]
async fn a_session_s_own_route_wins_over_the_hive_s() {
    let sim = Sim::start(world()).unwrap();
    let proxy = Proxy::start(Kind::Socks, Manner::Open).await;
    let other = Proxy::start(Kind::Http, Manner::Open).await;
    let hive = Route::parse(&format!("http://{}", other.address)).unwrap();
    let own = format!("socks5://{}", proxy.address);
    let rig = Rig::start_with(sim, config(hive), |_| {}, Some(&own));
    rig.fetch().await;
    assert_eq!(rig.account.route().to_string(), own);
    assert!(proxy.through() > 0 && other.through() == 0);
    let kept = rig.folder.setting("bot", mtproto::Setting::Route).unwrap();
    assert_eq!(kept.as_deref(), Some(own.as_str()));
}

#[tokio::test]
async fn connections_leave_from_the_bound_address() {
    let sim = Sim::start(world()).unwrap();
    let rig = Rig::start(sim, config(Route::parse("direct?bind=127.0.0.2").unwrap()));
    rig.fetch().await;
    assert_eq!(rig.sources(), [address("127.0.0.2")]);
}

#[tokio::test]
async fn ipv6_is_used_when_it_is_chosen() {
    let (v4, v6) = (address("127.0.0.1"), address("::1"));
    for (ip, source) in [(IpVersions::V4, v4), (IpVersions::V6, v6), (IpVersions::Any, v6)] {
        let sim = Sim::start(world()).unwrap();
        if !has_ipv6(&sim) {
            return;
        }
        let rig = Rig::start(sim, config(Route::direct().with_ip(ip)));
        rig.fetch().await;
        assert_eq!(rig.sources(), [source], "{ip}");
    }
}

#[tokio::test]
async fn ipv4_takes_over_when_ipv6_leads_nowhere() {
    let sim = Sim::start(world()).unwrap();
    // A port that nobody listens on as long as this lives.
    let Ok(nobody) = std::net::UdpSocket::bind("[::1]:0") else { return };
    let port = nobody.local_addr().unwrap().port();
    let dead = |seed: &mut serde_json::Value| {
        let dcs = seed["dcs"].as_array_mut().unwrap();
        for id in [HOME, ABROAD] {
            dcs.push(serde_json::json!({ "id": id, "ip": "::1", "port": port }));
        }
    };
    let rig = Rig::start_with(sim, config(Route::direct().with_ip(IpVersions::Any)), dead, None);
    rig.fetch().await;
    assert_eq!(rig.sources(), [address("127.0.0.1")]);
}

#[tokio::test]
async fn a_proxy_on_ipv6_and_a_target_on_ipv6_are_reached() {
    let sim = Sim::start(world()).unwrap();
    if !has_ipv6(&sim) {
        return;
    }
    for kind in [Kind::Socks, Kind::Http] {
        let sim = Sim::start(world()).unwrap();
        assert!(has_ipv6(&sim));
        let proxy = Proxy::start_at(kind, Manner::Open, SocketAddr::from((address("::1"), 0))).await;
        let scheme = if kind == Kind::Socks { "socks5" } else { "http" };
        let route = Route::parse(&format!("{scheme}://{}?ip=6", proxy.address)).unwrap();
        let rig = Rig::start(sim, config(route));
        rig.fetch().await;
        assert_eq!(rig.sources(), [address("::1")]);
        assert!(proxy.through() > 0);
    }
}

/// `localhost` is the one name that every machine's resolver knows.
#[tokio::test]
async fn a_proxy_s_name_is_looked_up() {
    let sim = Sim::start(world()).unwrap();
    let proxy = Proxy::start(Kind::Socks, Manner::Open).await;
    let route = Route::parse(&format!("socks5://localhost:{}", proxy.address.port())).unwrap();
    let rig = Rig::start(sim, config(route));
    rig.account.bring_up().await.unwrap();
    assert_eq!(rig.sources(), [LEAVES_FROM]);
    until("both connections", || proxy.through() >= 2).await;
}
