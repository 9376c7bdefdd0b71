//! The interface for manifests: what is kept, what is refused, and how it is told.

use crate::rig::{Answer, CHANNEL, MIB, Rig};
use http::{Method, StatusCode};
use serde_json::Value;
use telegram_sim::{Account, Channel, Document, Fault, Rule, World};

const CHAT: i64 = -1_000_000_000_000 - CHANNEL;

/// Messages 1 to 7: three parts out of order, two volumes, another part with a number that is there already, and a text.
async fn rig() -> Rig {
    let names = ["a.mkv.002", "a.mkv.003", "a.mkv.001", "a.part1.rar", "a.part2.rar", "a.mkv.01"];
    let mut channel = Channel::new(CHANNEL, "films");
    for (id, name) in (1..).zip(names) {
        channel = channel.with_document(id, Document::generated(name, 2, MIB + u64::try_from(id).unwrap(), 5));
    }
    let channel = channel.with_text(7, "no film");
    Rig::start_in(World::new(7).with_channel(channel).with_account(Account::bot("bot", 7001)), |_| {}).await
}

fn parts(messages: &[i32], more: &str) -> String {
    let list: Vec<String> = messages.iter().map(|id| format!("{{\"chat_id\":{CHAT},\"message_id\":{id}}}")).collect();
    format!("{{\"parts\":[{}]{more}}}", list.join(","))
}

fn json(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&answer.body)))
}

fn messages(manifest: &Value) -> Vec<i64> {
    manifest["parts"].as_array().unwrap().iter().map(|part| part["message_id"].as_i64().unwrap()).collect()
}

async fn get(rig: &Rig, path: &str) -> Answer {
    rig.ask(Method::GET, path, &[]).await
}

#[tokio::test]
async fn a_manifest_is_made_found_put_again_and_removed() {
    let mut rig = rig().await;
    let made = rig.send(Method::POST, "/v1/virtual", &[], &parts(&[1, 2, 3], ",\"order\":\"names\"")).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let manifest = json(&made);
    let slug = manifest["slug"].as_str().unwrap();
    assert!(slug.len() == 7 && made.headers["location"] == format!("/v1/virtual/{slug}").as_str(), "{slug}");
    assert_eq!((messages(&manifest), manifest["name"].as_str()), (vec![3, 1, 2], Some("a.mkv")));
    assert_eq!(
        (manifest["size"].as_u64(), manifest["content_type"].as_str()),
        (Some(3 * MIB + 6), Some("video/x-matroska"))
    );
    let etag = manifest["etag"].as_str().unwrap();
    assert_eq!(made.headers["etag"], format!("\"{etag}\"").as_str());
    let path = format!("/v1/virtual/{slug}");
    assert_eq!(json(&get(&rig, &path).await), manifest);
    let head = rig.ask(Method::HEAD, &format!("/v1/media/v/{slug}"), &[]).await;
    assert_eq!(head.headers["etag"], made.headers["etag"], "media and manifest go by one tag");

    // The same again, in whatever words, changes nothing; then a name, then an order.
    let again = rig.send(Method::PUT, &path, &[], &parts(&[3, 1, 2], ",\"name\":\"a.mkv\"")).await;
    assert_eq!((again.status, json(&again)), (StatusCode::OK, manifest.clone()));
    let renamed = json(&rig.send(Method::PUT, &path, &[], &parts(&[3, 1, 2], ",\"name\":\"b.mkv\"")).await);
    assert_eq!((renamed["name"].as_str(), &renamed["etag"]), (Some("b.mkv"), &manifest["etag"]));
    let turned = json(&rig.send(Method::PUT, &path, &[], &parts(&[1, 3, 2], ",\"name\":\"b.mkv\"")).await);
    assert_ne!(turned["etag"], manifest["etag"]);

    // Chosen slugs, and changes only where they are meant.
    let only_new = [("if-none-match", "*")];
    let chosen = rig.send(Method::PUT, "/v1/virtual/My-film_1", &only_new, &parts(&[3], "")).await;
    assert_eq!((chosen.status, json(&chosen)["slug"].as_str()), (StatusCode::CREATED, Some("My-film_1")));
    let taken = rig.send(Method::PUT, "/v1/virtual/My-film_1", &only_new, &parts(&[1], ",\"name\":\"x\"")).await;
    assert_eq!((taken.status, json(&taken)["error"].as_str()), (StatusCode::PRECONDITION_FAILED, Some("unexpected")));
    let old = format!("\"{etag}\"");
    for method in [Method::PUT, Method::DELETE] {
        let stale = rig.send(method, &path, &[("if-match", &old)], &parts(&[3], "")).await;
        assert_eq!(stale.status, StatusCode::PRECONDITION_FAILED);
    }

    // What is kept outlives the process.
    let options = rig.options();
    rig.stop_hive().await;
    rig.run(options).await;
    assert_eq!(json(&get(&rig, &path).await), turned);
    assert_eq!(rig.ask(Method::DELETE, &path, &[]).await.status, StatusCode::NO_CONTENT);
    assert_eq!(rig.ask(Method::DELETE, &path, &[]).await.status, StatusCode::NOT_FOUND);
    assert_eq!(get(&rig, &path).await.status, StatusCode::NOT_FOUND);
    assert_eq!(rig.ask(Method::HEAD, &format!("/v1/media/v/{slug}"), &[]).await.fault(), Some(wire::Fault::NotFound));
}

#[tokio::test]
async fn the_list_comes_in_pages() {
    let rig = rig().await;
    for slug in ["c", "a", "b"] {
        rig.send(Method::PUT, &format!("/v1/virtual/{slug}"), &[], &parts(&[3], "")).await;
    }
    let slugs = |page: &Value| -> Vec<String> {
        page["files"].as_array().unwrap().iter().map(|file| file["slug"].as_str().unwrap().to_owned()).collect()
    };
    let first = json(&get(&rig, "/v1/virtual?limit=2").await);
    assert_eq!((slugs(&first), first["next"].as_str()), (vec!["a".to_owned(), "b".to_owned()], Some("b")));
    let second = json(&get(&rig, "/v1/virtual?after=b&limit=2").await);
    assert_eq!((slugs(&second), second.get("next")), (vec!["c".to_owned()], None));
    let all = json(&get(&rig, "/v1/virtual").await);
    assert_eq!((slugs(&all).len(), all.get("next"), &all["files"][0]["parts"]), (3, None, &Value::from(1)));
    for query in ["?limit=0", "?limit=1001", "?limit=x", "?limit=+1", "?after=a/b", "?more=1", "?after"] {
        assert_eq!(get(&rig, &format!("/v1/virtual{query}")).await.status, StatusCode::BAD_REQUEST, "{query}");
    }
}

#[tokio::test]
async fn a_wrong_part_is_refused_with_its_number_and_the_reason() {
    let rig = rig().await;
    let put = async |body: &str| {
        let answer = rig.send(Method::PUT, "/v1/virtual/film", &[], body).await;
        (answer.status.as_u16(), json(&answer))
    };
    let one = |id: i32, more: &str| format!("{{\"chat_id\":{CHAT},\"message_id\":{id}{more}}}");
    let of = |list: &[String], more: &str| format!("{{\"parts\":[{}]{more}}}", list.join(","));
    let named = ",\"name\":\"x\"";
    let foreign = "{\"chat_id\":-1009999999999,\"message_id\":1}".to_owned();
    for (body, part, reason) in [
        (parts(&[3, 99], named), Some(2), "no session sees"),
        (parts(&[7, 3], named), Some(1), "carries no document"),
        (of(&[one(3, ""), one(1, ""), foreign], named), Some(3), "no session sees"),
        (of(&[one(3, ""), one(1, ",\"size\":5")], named), Some(2), "1048577 bytes"),
        (of(&[one(3, ",\"etag\":\"x\"")], named), Some(1), "not the one"),
        (of(&[one(0, "")], named), Some(1), "no such message"),
        (parts(&[3, 1, 3], named), None, "part 3 is the same message as part 1"),
        (parts(&[], named), None, "1 to 1000 parts, not 0"),
        (parts(&[3], ",\"name\":\"a/b\""), None, "the name"),
        (parts(&[3], ",\"name\":\"x\",\"content_type\":\"video\""), None, "type/subtype"),
        (parts(&[1, 2], ",\"order\":\"names\""), None, "part 1 is missing"),
        (parts(&[3, 2], ",\"order\":\"names\""), None, "part 2 is missing"),
        (parts(&[3, 1, 6], ",\"order\":\"names\""), None, "part 1 is there twice"),
        (parts(&[4, 5], ",\"order\":\"names\""), Some(1), "RAR"),
        (parts(&[1, 3], ""), None, "another order"),
    ] {
        let (status, problem) = put(&body).await;
        let told = problem["message"].as_str().unwrap();
        assert!(status == 422 && told.contains(reason), "{body}: {status} {problem}");
        assert_eq!(problem.get("part").and_then(Value::as_u64), part, "{body}: {problem}");
        assert_eq!(problem.get("message_id").is_some(), part.is_some());
    }
    for body in ["", "{", "[]", "{\"parts\":[],\"x\":1}"] {
        assert_eq!(put(body).await.0, 400, "{body}");
    }
    assert_eq!(put(&format!("{{\"parts\":[]{}}}", " ".repeat(600_000))).await.0, 413);
    assert_eq!(get(&rig, "/v1/virtual/film").await.status, StatusCode::NOT_FOUND, "nothing of all that was kept");
    // What passes is told as such: the manifest may be right.
    rig.sim.faults().add(Rule::on("channels.getMessages", Fault::FloodWait(900)));
    let flooded = rig.send(Method::PUT, "/v1/virtual/film", &[], &parts(&[3, 1], named)).await;
    assert_eq!(
        (flooded.status, json(&flooded)["error"].as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, Some("flood-wait"))
    );
    let wait: u64 = flooded.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((800..=901).contains(&wait) && json(&flooded)["part"] == 1, "{wait}");
}

#[tokio::test]
async fn strangers_and_other_methods_get_nowhere() {
    let rig = rig().await;
    for (method, path) in
        [(Method::GET, "/v1/virtual"), (Method::DELETE, "/v1/virtual/film"), (Method::PUT, "/v1/virtual/film")]
    {
        for headers in [&[][..], &[("authorization", "Bearer x")]] {
            let answer = rig.ask_raw(method.clone(), path, headers).await;
            assert_eq!(answer.fault(), Some(wire::Fault::Unauthorized), "{method} {path}");
        }
    }
    for (method, path, status, allow) in [
        (Method::DELETE, "/v1/virtual", 405, Some("GET, POST")),
        (Method::POST, "/v1/virtual/film", 405, Some("GET, PUT, DELETE")),
        (Method::PATCH, "/v1/virtual/film", 405, Some("GET, PUT, DELETE")),
        (Method::GET, "/v1/virtual/fi.lm", 400, None),
        (Method::GET, "/v1/virtual/fi%2Flm", 400, None),
        (Method::GET, "/v1/virtual/film?x=1", 400, None),
        (Method::GET, "/v1/virtual/a/b", 400, None),
        (Method::GET, "/v1/virtual/", 400, None),
    ] {
        let answer = rig.ask(method.clone(), path, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{method} {path}");
        let told = answer.headers.get("allow").and_then(|allow| allow.to_str().ok());
        assert!(allow.is_none() || told == allow, "{method} {path}: {told:?}");
    }
    for headers in
        [&[("if-none-match", "\"x\"")][..], &[("if-match", "x")], &[("if-match", "*"), ("if-none-match", "*")]]
    {
        assert_eq!(rig.send(Method::PUT, "/v1/virtual/film", headers, &parts(&[3], "")).await.status.as_u16(), 400);
    }
    assert_eq!(rig.counts().calls("channels.getMessages"), 0, "none of these cost Telegram a question");
}
