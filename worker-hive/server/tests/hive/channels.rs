//! The list of channels, as the command asks for it.

use crate::rig::{CHANNEL, Rig, film};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use telegram_sim::{Account, Fault, Rule};

async fn list(rig: &Rig) -> Value {
    serde_json::from_slice(&rig.ask(Method::GET, "/v1/channels", &[]).await.whole()).unwrap()
}

#[tokio::test]
async fn users_list_their_channels_and_bots_none() {
    let accounts = vec![Account::bot("bot", 7001), Account::user("ann", 7002), Account::user("ben", 7003)];
    let rig = Rig::start(accounts, vec![film(2, 1000)]).await;
    let expected = json!({ "chat_id": -1_000_000_000_000 - CHANNEL, "title": "films", "username": null, "sessions": ["ann", "ben"] });
    for _ in 0..3 {
        assert_eq!(list(&rig).await, json!({ "channels": [expected], "faults": [] }));
    }
    assert_eq!(rig.counts().calls("messages.getDialogs"), 2, "whoever asks again costs the accounts nothing");
    let without_token = rig.ask_raw(Method::GET, "/v1/channels", &[]).await;
    assert_eq!((without_token.status, without_token.body.is_empty()), (StatusCode::UNAUTHORIZED, false));
}

#[tokio::test]
async fn who_could_not_be_asked_is_said() {
    let mut rig = Rig::start(vec![Account::user("ann", 7002)], vec![film(2, 1000)]).await;
    rig.stop_hive().await;
    rig.sim.faults().add(Rule::on("messages.getDialogs", Fault::FloodWait(300)));
    rig.run(rig.options()).await;
    let listing = list(&rig).await;
    assert_eq!(listing["channels"], json!([]), "{listing}");
    let said = listing["faults"][0]["fault"].as_str().unwrap();
    assert!(listing["faults"][0]["session"] == "ann" && said.starts_with("the account must wait "), "{said}");
}
