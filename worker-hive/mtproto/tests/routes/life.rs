//! How long connections live: pinged, closed when one is enough, and given up when nothing answers.

use crate::rig::{ABROAD, HOME, Rig, config, until, world};
use mtproto::{ClientConfig, Connections, Route};
use std::sync::Arc;
use std::time::Duration;
use telegram_sim::{Fault, Reachability, Rule, Sim};

/// Far longer than a test.
const NEVER: Duration = Duration::from_secs(3600);

fn at(rig: &Rig, dc: i32) -> Connections {
    rig.account.connections().into_iter().find(|it| it.dc == dc).unwrap()
}

#[tokio::test]
async fn idle_connections_are_pinged_and_stay() {
    let keep_alive = Duration::from_millis(20);
    let rig =
        Rig::start(Sim::start(world()).unwrap(), ClientConfig { keep_alive, idle: NEVER, ..config(Route::direct()) });
    until("both connections", || at(&rig, HOME).open == 2).await;
    until("pings", || rig.counts().pings > 20).await;
    assert_eq!((at(&rig, HOME).made, at(&rig, HOME).ended.len()), (2, 0));
    assert_eq!(rig.counts().accepted[&HOME], 2);
}

#[tokio::test]
async fn a_data_centre_that_fell_silent_is_noticed_though_nobody_asks() {
    let (keep_alive, call_timeout) = (Duration::from_millis(50), Duration::from_millis(500));
    let sim = Sim::start(world()).unwrap();
    let config = ClientConfig { keep_alive, call_timeout, connect_timeout: call_timeout, ..config(Route::direct()) };
    let rig = Rig::start(sim, config);
    until("both connections", || at(&rig, HOME).open == 2).await;
    rig.sim.set_reachability(HOME, Reachability::Silent);
    until("the end of both", || at(&rig, HOME).ended.get("silent") == Some(&2)).await;
    until("connects that fail", || at(&rig, HOME).failed.get("timeout").is_some_and(|count| *count > 1)).await;
    rig.sim.set_reachability(HOME, Reachability::Up);
    until("new connections", || at(&rig, HOME).open == 2).await;
    rig.account.bring_up().await.unwrap();
}

#[tokio::test]
async fn connections_that_are_not_needed_close_but_for_one_and_come_back_with_the_crowd() {
    let sim = Sim::start(world()).unwrap();
    let config = ClientConfig {
        connections_min: 4,
        connections: 4,
        idle: Duration::from_millis(300),
        ..config(Route::direct())
    };
    let rig = Arc::new(Rig::start(sim, config));
    rig.fetch().await;
    for dc in [HOME, ABROAD] {
        until("three of four closed", || (at(&rig, dc).open, at(&rig, dc).idle) == (1, 3)).await;
        until("the data-centre to see it", || rig.counts().open[&dc] == 1).await;
        assert_eq!(at(&rig, dc).ended.into_iter().collect::<Vec<_>>(), [("idle", 3)]);
    }
    let location = rig.locate(2).await;
    let made = at(&rig, ABROAD).made;
    // One after the other: one connection is enough.
    for _ in 0..5 {
        rig.exact(&location, 0, 4096).await.unwrap();
    }
    assert_eq!((at(&rig, ABROAD).open, at(&rig, ABROAD).made), (1, made));
    // Crowds: served at once by the one that is there, until others are back.
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::Delay(20)));
    let mut crowds = 0;
    while at(&rig, ABROAD).made == made {
        crowds += 1;
        assert!(crowds < 200, "nobody came back");
        let asking = (0..32).map(|n| {
            let (rig, location) = (Arc::clone(&rig), location.clone());
            tokio::spawn(async move { rig.exact(&location, n * 4096, 4096).await })
        });
        for answer in asking.collect::<Vec<_>>() {
            answer.await.unwrap().unwrap();
        }
    }
    assert_eq!(at(&rig, HOME).open, 1, "the crowd was abroad");
    rig.sim.faults().clear();
    until("all but one closed again", || (at(&rig, ABROAD).open, at(&rig, ABROAD).idle) == (1, 3)).await;
    assert_eq!(rig.counts().calls("auth.exportAuthorization"), 1);
}

#[tokio::test]
async fn a_crowd_is_served_though_the_connection_that_was_kept_is_lost() {
    let sim = Sim::start(world()).unwrap();
    let config = ClientConfig { idle: Duration::from_millis(200), ..config(Route::direct()) };
    let rig = Rig::start(sim, config);
    rig.account.bring_up().await.unwrap();
    until("one closed", || (at(&rig, HOME).open, at(&rig, HOME).idle) == (1, 1)).await;
    rig.sim.set_reachability(HOME, Reachability::Refused);
    until("the other lost", || at(&rig, HOME).down == 1).await;
    rig.sim.set_reachability(HOME, Reachability::Up);
    let mut tries = 0;
    while rig.account.bring_up().await.is_err() {
        assert!(tries < 1000);
        tries += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
