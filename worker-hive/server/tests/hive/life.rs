//! Starting, restarting, stopping, leaving; what is kept and what is let go.

use crate::rig::{CHANNEL, KIB, MIB, Rig, TOKEN, film, film_bytes, finish, path, sha};
use config::ListenAddress;
use hive_server::{Hive, HiveError, HiveOptions};
use http::Method;
use mtproto::StoreError;
use std::future::pending;
use std::os::unix::fs::FileTypeExt;
use std::time::Duration;
use telegram_sim::{Account, Fault, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use wire::Fault as Told;

const AUTH: (&str, &str) = ("authorization", "Bearer test-token");

#[tokio::test]
async fn a_restart_keeps_keys_peers_and_authorizations() {
    let accounts = vec![Account::bot("bot", 7001), Account::user("user", 7002)];
    // One place each, or the one that is abroad already would take both streams.
    let change = |options: &mut HiveOptions| options.pool.streams_per_session = 1;
    let mut rig = Rig::start_with(accounts, vec![film(4, MIB)], change).await;
    let learned = |rig: &Rig| {
        let counts = rig.counts();
        ["auth.exportAuthorization", "auth.importAuthorization", "channels.getChannels"]
            .map(|method| counts.calls(method))
    };
    // As many streams at once as it takes for both sessions to have gone abroad and learned the channel.
    while learned(&rig)[0] < 2 || learned(&rig)[2] < 1 {
        let open = rig.open(Method::GET, &path(1), &[AUTH]).await;
        let other = rig.get(1, None).await;
        assert!(sha(&other.whole()) == sha(&film_bytes(4, MIB, 0, MIB)));
        finish(open).await.whole();
    }
    let before = learned(&rig);
    assert_eq!(before, [2, 2, 1], "each goes abroad once, and a user needs no question for its channels");
    rig.stop_hive().await;
    let mut options = rig.options();
    change(&mut options);
    rig.run(options).await;
    for _ in 0..2 {
        let open = rig.open(Method::GET, &path(1), &[AUTH]).await;
        rig.get(1, None).await.whole();
        finish(open).await.whole();
    }
    assert_eq!(learned(&rig), before, "asked again for what was known");
}

#[tokio::test]
async fn a_user_finds_its_channels_among_its_dialogs() {
    let rig = Rig::start(vec![Account::user("user", 7002)], vec![film(2, MIB)]).await;
    assert!(sha(&rig.get(1, None).await.whole()) == sha(&film_bytes(2, MIB, 0, MIB)));
    let counts = rig.counts();
    assert_eq!((counts.calls("messages.getDialogs"), counts.calls("channels.getChannels")), (1, 0));
}

#[tokio::test]
async fn premium_is_found_out_and_comes_first() {
    let accounts = vec![Account::user("plain", 7001), Account::user("rich", 7002).premium()];
    let rig = Rig::start(accounts, vec![film(2, MIB)]).await;
    rig.until_metric("hive_session_up{session=\"rich\"} 1").await;
    rig.until("both are known", |counts| counts.calls("messages.getDialogs") == 2).await;
    for _ in 0..3 {
        rig.get(1, None).await.whole();
    }
    assert_eq!(rig.counts().calls_of("upload.getFile", "plain", 2), 0);
}

#[tokio::test]
async fn whoever_leaves_stops_the_fetching_and_frees_the_session() {
    let rig = Rig::start_with(vec![Account::bot("bot", 7001)], vec![film(2, 200 * MIB)], |options| {
        options.pool.streams_per_session = 1;
        options.pool.admission = Duration::from_millis(300);
    })
    .await;
    let response = rig.open(Method::GET, &path(1), &[AUTH]).await;
    // The one place is taken: another stream is told so, a description isn't refused.
    let busy = rig.get(1, None).await;
    assert_eq!((busy.fault(), busy.headers["retry-after"].to_str().unwrap()), (Some(Told::NoSession), "1"));
    assert!(rig.head(1).await.status.is_success());
    drop(response);
    rig.until_metric("hive_session_streams{session=\"bot\"} 0").await;
    rig.until_metric("hive_bodies 0").await;
    let counts = rig.counts();
    // What the reader never took is bounded by the window and the socket's buffers, far below the file.
    assert!(counts.bytes["bot"] < 60 * MIB, "{}", counts.bytes["bot"]);
    assert!(sha(&rig.get(1, Some((0, 64 * KIB))).await.whole()) == sha(&film_bytes(2, 200 * MIB, 0, 64 * KIB + 1)));
}

#[tokio::test]
async fn stopping_lets_transfers_finish_unless_there_is_a_hurry() {
    for hurry in [false, true] {
        let mut rig = Rig::start(vec![Account::bot("bot", 7001)], vec![film(2, 40 * MIB)]).await;
        let response = rig.open(Method::GET, &path(1), &[AUTH]).await;
        let hive = rig.take_hive();
        let stop =
            tokio::spawn(async move { if hurry { hive.stop(async {}).await } else { hive.stop(pending()).await } });
        let answer = if hurry {
            // Nobody reads while it stops: what is cut can't have been in the buffers whole.
            stop.await.unwrap();
            finish(response).await
        } else {
            let answer = finish(response).await;
            stop.await.unwrap();
            answer
        };
        assert_eq!(answer.broken.is_some(), hurry);
        assert!(answer.body == film_bytes(2, 40 * MIB, 0, answer.body.len().try_into().unwrap()));
        assert!(!rig.path_in_folder("store/bot.session-wal").exists(), "the journal is folded in");
    }
}

#[tokio::test]
async fn unix_sockets_are_taken_over_from_the_dead_only() {
    let mut rig = Rig::start(vec![Account::bot("bot", 7001)], vec![film(2, MIB)]).await;
    rig.stop_hive().await;
    let socket = rig.path_in_folder("hive.sock");
    // What a killed hive leaves behind.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut options = rig.options();
    options.listen = ListenAddress::Unix(socket.clone());
    let hive = Hive::start(options.clone()).await.unwrap();
    let mut stream = UnixStream::connect(&socket).await.unwrap();
    let request =
        format!("HEAD {} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\r\n", path(1));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.contains(&format!("x-location-chat-id: -100{CHANNEL}")) && answer.contains("content-length: 1048576")
    );
    let mut second = options.clone();
    second.store = rig.path_in_folder("another");
    assert!(matches!(Hive::start(second).await, Err(HiveError::Listen { .. })), "two hives on one socket");
    assert!(UnixStream::connect(&socket).await.is_ok(), "the refused one must not have taken the socket away");
    hive.stop(pending()).await;
    assert!(!socket.exists());
    std::fs::File::create(&socket).unwrap();
    assert!(
        matches!(Hive::start(options).await, Err(HiveError::Listen { .. })),
        "a file that is no socket is not ours"
    );
    assert!(!socket.metadata().unwrap().file_type().is_socket());
}

#[tokio::test]
async fn an_empty_store_is_said_so() {
    let mut rig = Rig::start(vec![Account::bot("bot", 7001)], vec![film(2, 1)]).await;
    rig.stop_hive().await;
    let mut options = rig.options();
    options.store = rig.path_in_folder("empty");
    assert!(matches!(Hive::start(options).await, Err(HiveError::NoSessions)));
}

#[tokio::test]
async fn a_second_hive_on_the_same_sessions_is_refused_before_it_touches_them() {
    let mut rig = Rig::start(vec![Account::bot("bot", 7001)], vec![film(2, MIB)]).await;
    rig.get(1, None).await.whole();
    // Its own two connections begin one after the other: only when both are there does a third one tell.
    rig.until("the warm connections", |counts| counts.accepted.values().sum::<u64>() == 2).await;
    let accepted = rig.counts().accepted;
    let refused = Hive::start(rig.options()).await.map(|_| ()).unwrap_err();
    assert!(matches!(refused, HiveError::Store(StoreError::InUse(_))), "{refused}");
    assert!(refused.to_string().contains("in use by another run"), "{refused}");
    // Not even when it is the address that is taken.
    rig.stop_hive().await;
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut options = rig.options();
    options.listen = ListenAddress::Tcp(taken.local_addr().unwrap());
    assert!(matches!(Hive::start(options).await, Err(HiveError::Listen { .. })));
    assert_eq!(rig.counts().accepted, accepted, "it connected to Telegram");
    // The one that failed and the one that stopped left the store free.
    let options = rig.options();
    rig.run(options).await;
    rig.get(1, None).await.whole();
}

#[tokio::test]
async fn a_reader_that_stands_still_loses_its_place_and_a_slow_telegram_costs_nobody_his() {
    let rig = Rig::start_with(vec![Account::bot("bot", 7001)], vec![film(2, 200 * MIB)], |options| {
        options.pool.streams_per_session = 1;
        options.stall = Duration::from_millis(300);
    })
    .await;
    let stuck = rig.open(Method::GET, &path(1), &[AUTH]).await;
    rig.until_metric("hive_session_streams{session=\"bot\"} 0").await;
    let slow = Rule::on("upload.getFile", Fault::Delay(900)).offset(2 * MIB, 3 * MIB);
    rig.sim.faults().add(slow);
    assert!(sha(&rig.get(1, Some((0, 4 * MIB - 1))).await.whole()) == sha(&film_bytes(2, 200 * MIB, 0, 4 * MIB)));
    let late = finish(stuck).await;
    assert!(late.broken.is_some());
    assert!(late.body == film_bytes(2, 200 * MIB, 0, late.body.len().try_into().unwrap()));
    rig.until_metric("hive_bodies 0").await;
}

#[tokio::test]
async fn an_account_that_is_lost_at_the_start_is_shown_and_its_silence_is_no_absence() {
    let mut rig = Rig::start(vec![Account::bot("ann", 7001), Account::bot("ben", 7002)], vec![film(2, MIB)]).await;
    rig.stop_hive().await;
    rig.sim.faults().add(Rule::on("users.getUsers", Fault::Error(401, "USER_DEACTIVATED".into())).account("ann"));
    for method in ["channels.getChannels", "channels.getMessages"] {
        rig.sim.faults().add(Rule::on(method, Fault::Error(400, "CHANNEL_PRIVATE".into())).account("ben"));
    }
    let options = rig.options();
    rig.run(options).await;
    rig.until_metric("hive_session_up{session=\"ann\"} 0").await;
    rig.until_metric("hive_session_up{session=\"ben\"} 1").await;
    // Only ann could see the film, and nobody can tell whether it is still there.
    assert_eq!(rig.get(1, None).await.fault(), Some(Told::NoSession));
    rig.sim.faults().clear();
    rig.ask(Method::GET, &path(1), &[("cache-control", "no-cache")]).await.whole();
    assert_eq!(rig.admin("/healthz").await.0, http::StatusCode::OK);
}
