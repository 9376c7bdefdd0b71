//! Keys and clocks that are not as they should be, against a simulated data-centre.

use crate::sim_rig::{CHANNEL, MESSAGE, Rig, SIZE, until};
use crate::{Ask, CallFault, MessageRef};
use std::time::Duration;
use telegram_sim::{Account as SimAccount, Channel, Document, Fault, Rule, When};

#[tokio::test]
async fn an_account_whose_home_key_is_gone_is_given_up() {
    let rig = Rig::start_with(SimAccount::bot("bot", 7001), 2, |seed| seed["auth_keys"]["2"] = "5a".repeat(256).into());
    loop {
        // Once is not believed: nothing is proved yet by whoever says so.
        match rig.account.bring_up().await.unwrap_err() {
            CallFault::Banned(_) => break,
            CallFault::Dropped(_) | CallFault::Timeout => tokio::time::sleep(Duration::from_millis(5)).await,
            other => panic!("{other}"),
        }
    }
    let tried = rig.accepted();
    assert!((3..=6).contains(&tried), "three times each connection, at most: {tried}");
    for _ in 0..50 {
        assert!(matches!(rig.account.bring_up().await, Err(CallFault::Banned(_))));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(rig.accepted(), tried);
}

#[tokio::test]
async fn one_word_that_the_home_key_is_unknown_ends_no_account() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    rig.sim.faults().add(Rule::on("help.getConfig", Fault::Transport(404)).when(When::First(2)));
    until("the account", || rig.account.warm_connections(2) == 2).await;
    rig.account.bring_up().await.unwrap();
}

#[tokio::test]
async fn a_clock_that_is_an_hour_fast_costs_one_connection() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 2);
    // Nothing has run yet but the start: as if this machine's clock were ahead.
    rig.account.clock.set(3600);
    until("both connections", || rig.account.warm_connections(2) == 2).await;
    rig.account.bring_up().await.unwrap();
    assert!(rig.account.clock.offset().abs() < 60);
    assert!(rig.accepted() <= 4, "each link connects twice: {}", rig.accepted());
}

#[tokio::test]
async fn a_key_that_one_connection_replaces_is_replaced_for_all() {
    let rig = Rig::start(SimAccount::bot("bot", 7001), 4);
    let location = rig.account.locate(MESSAGE).await.unwrap();
    rig.exact(&location, 0, 4096).await;
    until("both connections", || rig.account.warm_connections(4) == 2).await;
    let exports = rig.calls("auth.exportAuthorization");
    // One connection goes, and on its way back the data-centre, or somebody in its name, doesn't know the key.
    rig.sim.faults().add(Rule::on("help.getConfig", Fault::Transport(404)).dc(4).when(When::Nth(1)));
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::Drop).when(When::Nth(1)));
    for round in 0..60 {
        for call in rig.ask(&location, round * 8192, 2, 4096) {
            match call.await.unwrap() {
                Ok(_) | Err(CallFault::Dropped(_) | CallFault::Timeout) => {}
                other => panic!("round {round}: {other:?}"),
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    until("both connections", || rig.account.warm_connections(4) == 2).await;
    rig.exact(&location, 0, 4096).await;
    assert_eq!(rig.calls("auth.exportAuthorization"), exports + 1);
    let ended = rig.account.connections().into_iter().find(|seen| seen.dc == 4).unwrap().ended;
    // Twice, if it was quick enough to be back while the new key was being written.
    assert!(ended.get("rekeyed").is_some_and(|times| *times <= 2), "{ended:?}");
}

#[tokio::test]
async fn a_key_refused_abroad_is_the_loss_of_that_key_alone() {
    let channel = Channel::new(CHANNEL, "films")
        .with_document(1, Document::generated("f.mkv", 4, SIZE, 5))
        .with_document(2, Document::generated("g.mkv", 2, SIZE, 5));
    let rig = Rig::start_in(SimAccount::bot("bot", 7001), channel, |_| {});
    let far = rig.account.locate(MESSAGE).await.unwrap();
    let near = rig.account.locate(MessageRef { message_id: 2, ..MESSAGE }).await.unwrap();
    let refused = Fault::Error(406, "AUTH_KEY_DUPLICATED".into());
    rig.sim.faults().add(Rule::on("auth.importAuthorization", refused).dc(4));
    let key = rig.account.store.dc(4).unwrap().auth_key;
    assert_eq!(rig.account.get_chunk(&far, 0, 4096, &Ask::new(false)).await, Err(CallFault::Unauthorized));
    rig.exact(&near, 0, 4096).await;
    rig.sim.faults().clear();
    let mut answer = Err(CallFault::Unauthorized);
    while matches!(answer, Err(CallFault::Unauthorized | CallFault::Dropped(_) | CallFault::Timeout)) {
        tokio::time::sleep(Duration::from_millis(20)).await;
        answer = rig.account.get_chunk(&far, 0, 4096, &Ask::new(false)).await;
    }
    answer.unwrap();
    let made = rig.account.store.dc(4).unwrap().auth_key;
    assert!(made.is_some() && made != key);
    assert_eq!(rig.calls("auth.exportAuthorization"), 2);
}
