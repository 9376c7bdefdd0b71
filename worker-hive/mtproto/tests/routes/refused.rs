//! Routes that lead nowhere: said clearly, within the time that a connect has, and never gone around.

use crate::proxies::{Kind, LEAVES_FROM, Manner, Proxy};
use crate::rig::{HOME, Rig, config, until, world};
use mtproto::{CallFault, ClientConfig, Route};
use std::net::SocketAddr;
use std::time::Duration;
use telegram_sim::Sim;

const WRONG: &str = "wr0ngUser:wr0ngPassword";

fn failures(rig: &Rig, label: &str) -> u64 {
    let connections = rig.account.connections();
    connections.iter().filter(|it| it.dc == HOME).filter_map(|it| it.failed.get(label)).sum()
}

#[tokio::test]
async fn what_is_wrong_is_said_and_nothing_is_gone_around() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let table = [
        (Kind::Socks, Some(Manner::Login), WRONG, "proxy-denied", "refuses user or password"),
        (Kind::Socks, Some(Manner::Login), "", "proxy-denied", "refuses user or password"),
        (Kind::Http, Some(Manner::Login), WRONG, "proxy-denied", "refuses user or password"),
        (Kind::Http, Some(Manner::Login), "", "proxy-denied", "refuses user or password"),
        (Kind::Socks, Some(Manner::Hang), "", "timeout", "no answer in time"),
        (Kind::Http, Some(Manner::Hang), WRONG, "timeout", "no answer in time"),
        (Kind::Socks, Some(Manner::Stranger), "", "proxy-strange", "no such proxy"),
        (Kind::Http, Some(Manner::Stranger), "", "proxy-strange", "no such proxy"),
        (Kind::Socks, None, "", "proxy", "the proxy: "),
        (Kind::Http, None, "", "proxy", "the proxy: "),
    ];
    for (kind, manner, login, label, words) in table {
        let sim = Sim::start(world()).unwrap();
        let proxy = match manner {
            Some(manner) => Some(Proxy::start(kind, manner).await),
            None => None,
        };
        let at = proxy.as_ref().map_or(nobody, |proxy| proxy.address);
        let scheme = if kind == Kind::Socks { "socks5" } else { "http" };
        let at_sign = if login.is_empty() { "" } else { "@" };
        let route = Route::parse(&format!("{scheme}://{login}{at_sign}{at}")).unwrap();
        let connect_timeout = Duration::from_millis(if label == "timeout" { 200 } else { 5000 });
        let rig = Rig::start(sim, ClientConfig { connect_timeout, ..config(route) });
        until(label, || failures(&rig, label) >= 2).await;
        let fault = rig.account.bring_up().await.unwrap_err();
        let said = format!("{fault} {fault:?} {} {:?}", rig.account.route(), rig.account.route());
        assert!(fault.to_string().contains(words) && !said.contains("wr0ng"), "{kind:?} {manner:?}: {said}");
        assert_eq!(rig.counts().accepted.values().sum::<u64>(), 0, "{kind:?} {manner:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_can_not_reach_the_data_centre_says_so() {
    for (kind, scheme, code) in [(Kind::Socks, "socks5", "5"), (Kind::Http, "http", "502")] {
        let sim = Sim::start(world()).unwrap();
        sim.set_reachability(HOME, telegram_sim::Reachability::Refused);
        let proxy = Proxy::start(kind, Manner::Open).await;
        let rig = Rig::start(sim, config(Route::parse(&format!("{scheme}://{}", proxy.address)).unwrap()));
        until("a refusal", || failures(&rig, "proxy-refused") > 0).await;
        let fault = rig.account.bring_up().await.unwrap_err();
        assert_eq!(fault, CallFault::Dropped(format!("the proxy refuses to connect, with code {code}")));
    }
}

#[tokio::test]
async fn a_wrong_mtproxy_secret_leads_nowhere() {
    let sim = Sim::start(world()).unwrap();
    let at = sim.put_mtproxy([1; 16]).unwrap();
    let rig = Rig::start(sim, config(Route::parse(&format!("mtproxy://dd{}@{at}", "02".repeat(16))).unwrap()));
    until("being turned away", || rig.counts().turned_away > 2).await;
    assert!(rig.account.bring_up().await.is_err());
    assert_eq!(rig.counts().accepted.values().sum::<u64>(), 0);
}

#[tokio::test]
async fn a_proxy_that_dies_is_waited_for_and_not_gone_around() {
    let sim = Sim::start(world()).unwrap();
    let proxy = Proxy::start(Kind::Socks, Manner::Open).await;
    let at: SocketAddr = proxy.address;
    let rig = Rig::start(sim, config(Route::parse(&format!("socks5://{at}")).unwrap()));
    rig.fetch().await;
    let location = rig.locate(1).await;
    drop(proxy);
    until("failed reconnects", || failures(&rig, "proxy") >= 4).await;
    assert!(rig.exact(&location, 0, 4096).await.is_err());
    assert_eq!(rig.counts().open.values().sum::<u64>(), 0);
    let _again = Proxy::start_at(Kind::Socks, Manner::Open, at).await;
    let mut tries = 0;
    while let Err(fault) = rig.exact(&location, 0, 4096).await {
        assert!(tries < 1000, "{fault}");
        tries += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.sources(), [LEAVES_FROM]);
    let home = &rig.account.connections()[0];
    // A dying proxy's socket ends in order or by a reset, as something lay in it unread or not; and a call that was
    // under way may say so before the connection's own end is seen.
    let ended: u64 = ["closed", "broken", "complaint"].iter().filter_map(|end| home.ended.get(end)).sum();
    assert!(home.made > 2 && ended >= 2, "{home:?}");
}

#[tokio::test]
async fn a_route_that_can_not_be_read_opens_no_account() {
    let sim = Sim::start(world()).unwrap();
    let rig = Rig::start(sim, config(Route::direct()));
    rig.folder.set_setting("bot", mtproto::Setting::Route, Some("ftp://s3cret@h:1")).unwrap();
    let error = mtproto::Account::open(&rig.folder, "bot", std::sync::Arc::new(config(Route::direct()))).unwrap_err();
    assert!(error.to_string().starts_with("the session's route: ") && !error.to_string().contains("s3cret"), "{error}");
}
