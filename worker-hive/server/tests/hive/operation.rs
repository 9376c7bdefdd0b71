//! What an operator sees, and what many streams cost Telegram.
#![expect(clippy::disallowed_methods, reason = "compares with the hive's own clock")]

use crate::rig::{KIB, MIB, Rig, film, film_bytes, finish, path, sha};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use telegram_sim::{Account, Fault, Rule, Shape};
use tracing_subscriber::EnvFilter;

const AUTH: (&str, &str) = ("authorization", "Bearer test-token");

async fn sessions(rig: &Rig) -> Vec<Value> {
    let (status, text) = rig.admin("/v1/sessions").await;
    assert_eq!(status, StatusCode::OK);
    let mut listing: Value = serde_json::from_str(&text).unwrap();
    let mut sessions: Vec<Value> = serde_json::from_value(listing["sessions"].take()).unwrap();
    sessions.sort_by_key(|session| session["name"].as_str().unwrap().to_owned());
    sessions
}

#[tokio::test]
async fn sessions_are_listed_as_they_stand() {
    let accounts = vec![Account::bot("ann", 7001), Account::user("ben", 7002).premium()];
    let rig = Rig::start(accounts, vec![film(4, 3 * MIB)]).await;
    rig.until("both are known", |counts| counts.calls("users.getUsers") == 2).await;
    rig.until_metric("hive_session_state{session=\"ann\",state=\"ready\"} 1").await;
    rig.until_metric("hive_session_state{session=\"ben\",state=\"ready\"} 1").await;
    rig.get(1, None).await.whole();
    let listed = sessions(&rig).await;
    assert_eq!(listed.len(), 2);
    let (ann, ben) = (&listed[0], &listed[1]);
    assert_eq!((ann["kind"].as_str(), ann["premium"].as_bool()), (Some("bot"), Some(false)));
    assert_eq!((ben["kind"].as_str(), ben["premium"].as_bool()), (Some("user"), Some(true)));
    assert_eq!(
        (ben["home_dc"].as_i64(), ben["cap"].as_u64(), ben["state"].as_str()),
        (Some(2), Some(15), Some("ready"))
    );
    assert!(ben["flood_until"].is_null() && ben["last_error"].is_null(), "{ben}");
    let dcs: Vec<_> = ben["dcs"].as_array().unwrap().iter().map(|dc| dc["dc"].as_i64().unwrap()).collect();
    assert_eq!(dcs, [2, 4]);
    assert!(ben["dcs"][1]["connections"].as_u64() >= Some(1) && ben["dcs"][1]["window"].as_u64() >= Some(1), "{ben}");
    rig.until_metric("hive_session_calls_total{class=\"authorization\",session=\"ben\"} 2").await;

    rig.sim.faults().add(Rule::on("upload.getFile", Fault::FloodWait(600)).account("ben"));
    rig.get(1, None).await.whole();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let ben = &sessions(&rig).await[1];
    assert_eq!((ben["state"].as_str(), ben["last_error"].as_str()), (Some("flood"), Some("flood")));
    assert!((now + 590..=now + 602).contains(&ben["flood_until"].as_u64().unwrap()), "{ben}");
    let calls = rig.counts().calls_of("upload.getFile", "ben", 4);
    rig.get(1, None).await.whole();
    assert_eq!(rig.counts().calls_of("upload.getFile", "ben", 4), calls, "asked while it rests");
    rig.sim.world().ban("ann", None).unwrap();
    let _ = rig.ask(Method::GET, &path(1), &[("cache-control", "no-cache")]).await;
    assert_eq!(sessions(&rig).await[0]["state"].as_str(), Some("banned"));
}

/// Many streams of one media, on two accounts: permissions that expire are asked for once by each account.
#[tokio::test]
async fn one_expiry_costs_one_lookup_for_each_account() {
    let size = 24 * MIB;
    let rig =
        Rig::start_with(vec![Account::bot("ann", 7001), Account::bot("ben", 7002)], vec![film(2, size)], |options| {
            options.pool.location_ttl = Duration::from_secs(600);
        })
        .await;
    rig.sim.set_shape(Shape { connection_bytes_per_second: 4 * MIB, ..Shape::default() });
    let mut open = Vec::new();
    for _ in 0..6 {
        open.push(rig.open(Method::GET, &path(1), &[AUTH]).await);
    }
    let before: Vec<_> = ["ann", "ben"].map(|name| rig.counts().calls_of("channels.getMessages", name, 2)).into();
    assert_eq!(before, [1, 1], "the accounts share the streams");
    rig.sim.world().expire_references(None).unwrap();
    let want = sha(&film_bytes(2, size, 0, size));
    let bodies: Vec<_> = open.into_iter().map(|response| tokio::spawn(finish(response))).collect();
    for body in bodies {
        assert!(sha(&body.await.unwrap().whole()) == want);
    }
    let after: Vec<_> = ["ann", "ben"].map(|name| rig.counts().calls_of("channels.getMessages", name, 2)).into();
    assert_eq!(after, [2, 2]);
}

/// What is written to the log while it lives.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One thread runs everything of the hive here, so that one default hears it all.
#[tokio::test]
async fn each_call_of_a_request_is_logged_with_the_requests_id() {
    let written = Written::default();
    let writer = written.clone();
    let log = tracing_subscriber::fmt()
        .json()
        .with_env_filter(EnvFilter::new("info,mtproto=debug"))
        .with_writer(move || writer.clone())
        .finish();
    let _default = tracing::subscriber::set_default(log);
    let rig = Rig::start(vec![Account::bot("bot", 7001)], vec![film(4, 2 * MIB)]).await;
    rig.until_metric("hive_session_state{session=\"bot\",state=\"ready\"} 1").await;
    written.0.lock().clear();
    rig.ask(Method::GET, &path(1), &[("x-request-id", "from-the-gateway-7")]).await.whole();
    let text = String::from_utf8(written.0.lock().clone()).unwrap();
    let mut methods = Vec::new();
    for line in text.lines() {
        let entry: Value = serde_json::from_str(line).unwrap();
        if entry["fields"]["message"] == "call" {
            let id = entry["spans"].as_array().and_then(|spans| spans.iter().find_map(|span| span["id"].as_str()));
            assert_eq!(id, Some("from-the-gateway-7"), "{line}");
            methods.push(entry["fields"]["method"].as_str().unwrap().to_owned());
        }
    }
    for method in ["channels.getMessages", "auth.exportAuthorization", "auth.importAuthorization", "upload.getFile"] {
        assert!(methods.iter().any(|seen| seen == method), "{method} is not among {methods:?}");
    }
    assert!(!text.contains("test-token"));
}

/// As many streams as there are places, and more: the sim sees no account with more documents at once than its cap.
#[tokio::test]
async fn no_account_carries_more_than_its_cap() {
    let documents = (0..8).map(|extra| film(2, 4 * MIB + extra * KIB)).collect();
    let rig = Rig::start_with(vec![Account::bot("ann", 7001), Account::bot("ben", 7002)], documents, |options| {
        options.pool.streams_standard = 2;
    })
    .await;
    rig.sim.set_shape(Shape { rtt_ms: 10, connection_bytes_per_second: 8 * MIB, ..Shape::default() });
    let bodies = (1..=8).map(|message| rig.get(message, None));
    let bodies = futures_util::future::join_all(bodies).await;
    for (extra, body) in (0..8).zip(bodies) {
        let size = 4 * MIB + extra * KIB;
        assert!(sha(&body.whole()) == sha(&film_bytes(2, size, 0, size)));
    }
    let conduct = rig.counts().conduct;
    assert_eq!(conduct.len(), 2);
    assert!(conduct.iter().all(|account| (1..=2).contains(&account.documents)), "{conduct:?}");
    rig.until_metric("hive_queue_length 0").await;
}
