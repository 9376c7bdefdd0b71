//! Telethon and Kurigram, from PyPI and unmodified, sign in, list, fetch and download: with seeded keys and with the
//! full key exchange, at home and abroad.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use telegram_sim::{Account, Channel, Document, Sim, World, rsa_public_pem};

const CHANNEL: i64 = 1_700_000_001;

fn world() -> World {
    let mut channel = Channel::new(CHANNEL, "Films")
        .with_text(1, "welcome")
        .with_document(2, home())
        .with_document(3, foreign())
        .with_document(4, small())
        .with_text(5, "and a last word");
    channel.username = Some("films".to_owned());
    World::new(3)
        .with_account(Account::bot("bot-1", 7_000_000_001))
        .with_account(Account::user("user-1", 5_000_000_001).premium())
        .with_account(Account::user("user-4", 5_000_000_004).at_home_on(4))
        .with_channel(channel)
}

fn home() -> Document {
    Document::generated("home.mp4", 2, 3_000_001, 21)
}

fn foreign() -> Document {
    Document::generated("foreign.mkv", 4, 3_000_001, 22)
}

fn small() -> Document {
    Document::generated("small.bin", 4, 200_001, 23)
}

fn expected(document: &Document) -> Value {
    let mut bytes = vec![0; document.size as usize];
    document.content.read_at(0, &mut bytes).unwrap();
    let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({ "name": document.name, "size": document.size, "sha256": sha256 })
}

/// The interpreter with the clients installed; made on the first use.
fn python() -> PathBuf {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/setup.sh");
    let output = Command::new(&setup).output().expect("clients/setup.sh can be run");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    PathBuf::from(String::from_utf8(output.stdout).unwrap().trim())
}

/// Runs a check with Telethon; returns what it saw.
fn check(sim: &Sim, account: &str, transport: &str, sign_in: Value) -> Value {
    check_with("telethon_check.py", sim, account, transport, sign_in)
}

fn check_with(script: &str, sim: &Sim, account: &str, transport: &str, sign_in: Value) -> Value {
    let seed = sim.seeds().into_iter().find(|seed| seed.account == account).unwrap();
    let address = sim.dc_addr(seed.home_dc).unwrap();
    let mut job = json!({
        "ip": address.ip().to_string(),
        "port": address.port(),
        "dc": seed.home_dc,
        "api_id": seed.api_id,
        "api_hash": seed.api_hash,
        "rsa": rsa_public_pem(),
        "old_padding": false,
        "transport": transport,
        "user": !seed.bot,
        "username": "films",
        "channel": CHANNEL,
        "chat": -1_000_000_000_000 - CHANNEL,
        "user_id": seed.user_id,
        "messages": [2, 3],
    });
    let fields = sign_in.as_object().cloned().unwrap();
    job.as_object_mut().unwrap().extend(fields);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.json");
    serde_json::to_writer(std::fs::File::create(&path).unwrap(), &job).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(script);
    let output = Command::new(python()).arg(script).arg(&path).output().unwrap();
    assert!(output.status.success(), "{transport}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn assert_downloads(seen: &Value) {
    assert_eq!(seen["bytes"]["2"], expected(&home()));
    assert_eq!(seen["bytes"]["3"], expected(&foreign()));
}

fn auth_key(sim: &Sim, account: &str) -> Value {
    let seed = sim.seeds().into_iter().find(|seed| seed.account == account).unwrap();
    json!({ "auth_key": seed.auth_keys[&seed.home_dc] })
}

#[test]
fn a_user_with_a_seeded_key_lists_and_downloads() {
    let sim = Sim::start(world()).unwrap();
    let seen = check(&sim, "user-1", "full", auth_key(&sim, "user-1"));
    assert_eq!(seen["me"], 5_000_000_001_i64);
    assert_eq!(seen["dialogs"], json!([[CHANNEL, "Films"]]));
    assert_eq!(seen["history"], json!([5, 4, 3, 2, 1]));
    assert_eq!(seen["reverse"], json!([1, 2, 3, 4, 5]));
    assert_eq!(seen["resolved"], CHANNEL);
    assert_downloads(&seen);
    assert_eq!(sim.counters().snapshot().calls("auth.exportAuthorization"), 1);
}

/// Telethon keeps one key and exchanges those of other data-centres anew, so a seeded key on the other one is met from there.
#[test]
fn a_user_with_a_seeded_key_on_the_other_data_centre_lists_and_downloads() {
    let sim = Sim::start(world()).unwrap();
    let seen = check(&sim, "user-4", "full", auth_key(&sim, "user-4"));
    assert_eq!(seen["me"], 5_000_000_004_i64);
    assert_eq!(seen["history"], json!([5, 4, 3, 2, 1]));
    assert_downloads(&seen);
    let counts = sim.counters().snapshot();
    assert_eq!(counts.calls("auth.exportAuthorization"), 1, "for data-centre 2 alone");
    assert!(counts.calls_of("upload.getFile", "user-4", 4) > 0 && counts.calls_of("upload.getFile", "user-4", 2) > 0);
}

#[test]
fn a_bot_with_a_seeded_key_downloads_over_every_transport() {
    for transport in ["full", "abridged", "intermediate", "obfuscated"] {
        let sim = Sim::start(world()).unwrap();
        let mut job = auth_key(&sim, "bot-1");
        // Telethon obfuscates in Python, some 0.5 MB/s.
        job["messages"] = if transport == "obfuscated" { json!([4]) } else { json!([2, 3, 4]) };
        let seen = check(&sim, "bot-1", transport, job);
        assert_eq!(seen["bytes"]["4"], expected(&small()), "{transport}");
        if transport != "obfuscated" {
            assert_downloads(&seen);
        }
    }
}

/// At home and, by the number that its first bytes name, abroad; nothing goes past the proxy.
#[test]
fn a_bot_downloads_through_the_mtproxy_in_front() {
    let key = "00112233445566778899aabbccddeeff";
    for (transport, secret) in
        [("abridged", key.to_owned()), ("intermediate", key.to_owned()), ("padded", format!("dd{key}"))]
    {
        let sim = Sim::start(world()).unwrap();
        let bytes: Vec<u8> = (0..16).map(|n| n * 0x11).collect();
        let proxy = sim.put_mtproxy(bytes.try_into().unwrap()).unwrap();
        let mut job = auth_key(&sim, "bot-1");
        // Telethon's cipher for this is in Python.
        job["messages"] = json!([4]);
        job["proxy"] = json!([proxy.ip().to_string(), proxy.port(), secret]);
        let seen = check(&sim, "bot-1", &format!("mtproxy-{transport}"), job);
        assert_eq!(seen["bytes"]["4"], expected(&small()), "{transport}");
        let counts = sim.counters().snapshot();
        assert!(counts.fronted[&2] > 0 && counts.fronted[&4] > 0, "{transport}: {counts:?}");
        assert!(counts.accepted_from.is_empty() && counts.turned_away == 0, "{transport}: {counts:?}");
    }
}

#[test]
fn a_bot_signs_in_with_its_token_after_the_key_exchange() {
    for old_padding in [false, true] {
        let sim = Sim::start(world()).unwrap();
        let sign_in = json!({ "bot_token": "7000000001:bot-1", "old_padding": old_padding });
        assert_downloads(&check(&sim, "bot-1", "full", sign_in));
    }
}

#[test]
fn a_user_signs_in_with_phone_and_code_after_the_key_exchange() {
    let sim = Sim::start(world()).unwrap();
    let sign_in = json!({ "phone": "999660000001", "code": "12345" });
    let seen = check(&sim, "user-1", "abridged", sign_in);
    assert_eq!(seen["dialogs"], json!([[CHANNEL, "Films"]]));
    assert_downloads(&seen);
}

#[test]
fn a_user_signs_in_with_a_password_after_a_wrong_code_and_a_wrong_password() {
    let mut world = world();
    world.accounts.push(Account::user("user-2", 5_000_000_002).with_password("pässword 2", Some("the second")));
    let sim = Sim::start(world).unwrap();
    let sign_in = json!({
        "phone": "+99966 0000002",
        "code": ["11111", "12345"],
        "passwords": ["wrong", "pässword 2"],
        "messages": [2],
    });
    let seen = check(&sim, "user-2", "abridged", sign_in);
    assert_eq!((&seen["me"], &seen["bytes"]["2"]), (&json!(5_000_000_002_i64), &expected(&home())));
}

/// Telethon begins on the data-centre it's told and follows the error to the account's own.
#[test]
fn sign_in_follows_accounts_home() {
    for (account, sign_in) in [
        ("user-4", json!({ "phone": "999660000004", "code": "12345", "messages": [3] })),
        ("bot-4", json!({ "bot_token": "7000000004:bot-4", "messages": [3] })),
    ] {
        let mut world = world();
        world.accounts.push(Account::bot("bot-4", 7_000_000_004).at_home_on(4));
        let sim = Sim::start(world).unwrap();
        let mut job = sign_in;
        let address = sim.dc_addr(2).unwrap();
        job.as_object_mut().unwrap().extend([("dc".to_owned(), json!(2)), ("port".to_owned(), json!(address.port()))]);
        let seen = check(&sim, account, "full", job);
        assert_eq!(seen["bytes"]["3"], expected(&foreign()), "{account}");
    }
}

#[test]
fn a_login_token_is_accepted_by_another_session() {
    for (account, home) in [("user-1", 2), ("user-4", 4), ("user-2", 2)] {
        let mut world = world();
        world.accounts.push(Account::user("user-2", 5_000_000_002).with_password("pw", None));
        let sim = Sim::start(world).unwrap();
        let accepting = sim.dc_addr(home).unwrap().port();
        let key = auth_key(&sim, account)["auth_key"].clone();
        let job = json!({
            "dc": 2,
            "port": sim.dc_addr(2).unwrap().port(),
            "phone_session": { "dc": home, "port": accepting, "auth_key": key },
            "passwords": ["pw"],
            "messages": [4],
        });
        let seen = check(&sim, account, "full", job);
        assert_eq!(seen["bytes"]["4"], expected(&small()), "{account}");
        let counts = sim.counters().snapshot();
        assert_eq!(counts.calls("auth.exportLoginToken"), 2, "{account}: heard of it, and asked again");
        assert_eq!(counts.calls("auth.importLoginToken"), u64::from(home == 4), "{account}");
    }
}

#[test]
fn kurigram_with_a_seeded_key_lists_and_downloads() {
    let sim = Sim::start(world()).unwrap();
    let seen = check_with("kurigram_check.py", &sim, "user-1", "abridged", auth_key(&sim, "user-1"));
    assert_eq!(seen["me"], 5_000_000_001_i64);
    assert_eq!(seen["dialogs"], json!([-1_001_700_000_001_i64]));
    assert_eq!(seen["history"], json!([5, 4, 3, 2, 1]));
    assert_downloads(&seen);
    let seen = check_with("kurigram_check.py", &sim, "bot-1", "abridged", auth_key(&sim, "bot-1"));
    assert_downloads(&seen);
}
