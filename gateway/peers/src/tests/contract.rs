//! What is read of others' requests, and what they are answered.

use super::support::{gateway, meta};
use crate::{Asked, Peers, PeersConfig, PeersError, Refused, Wanted};
use http::request::Parts;
use http::{Request, StatusCode};
use secrecy::SecretString;
use slice::{ByteRange, MediaId, OriginError, Slug, Spans};

const GOOD: [(&str, &str); 2] = [("authorization", "Bearer token"), ("x-streamvault-hop", "that.test:1")];

fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

fn wanted(peers: &Peers, path: &str, range: Option<&str>) -> Wanted {
    let mut headers = GOOD.to_vec();
    headers.extend(range.map(|range| ("range", range)));
    headers.push(("x-request-id", "abc"));
    match peers.read(&head("GET", path, &headers)) {
        Ok(Asked::Media(wanted)) => wanted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn only_the_fleets_own_requests_are_read() {
    let (peers, ..) = gateway(&[]);
    let path = "/v1/media/-5/7";
    let [token, hop] = GOOD;
    for (method, path, headers, code) in [
        ("GET", path, vec![], "unauthorized"),
        ("GET", path, vec![hop], "unauthorized"),
        ("GET", path, vec![("authorization", "Bearer tokem"), hop], "unauthorized"),
        ("HEAD", "/", vec![hop], "unauthorized"),
        ("GET", path, vec![token], "bad-request"),
        ("GET", path, vec![token, hop, hop], "bad-request"),
        ("GET", path, vec![token, ("x-streamvault-hop", "this.test:1")], "bad-request"),
        ("POST", path, vec![token, hop], "bad-request"),
        ("GET", "/", vec![token, hop], "bad-request"),
        ("GET", "/v1/media/-5/7?md5=x&expires=1", vec![token, hop], "bad-request"),
        ("GET", "/stream/-5/7", vec![token, hop], "bad-request"),
        ("GET", "/metrics", vec![token, hop], "bad-request"),
        ("GET", path, vec![token, hop, ("range", "bytes=0-")], "bad-range"),
    ] {
        let refused = peers.read(&head(method, path, &headers)).unwrap_err();
        assert_eq!(refused.code(), code, "{method} {path} {headers:?}");
    }
    assert_eq!(peers.read(&head("HEAD", "/", &GOOD)), Ok(Asked::Life));
    let asked = wanted(&peers, path, None);
    assert_eq!((asked.media, asked.head, asked.from.as_str()), (MediaId::message(-5, 7), false, "that.test:1"));
    assert_eq!(asked.request_id.as_deref(), Some("abc"));
}

#[test]
fn answers_are_those_that_a_gateway_takes() {
    let (peers, ..) = gateway(&[]);
    let part = wanted(&peers, "/v1/media/-5/7", Some("bytes=2-7"));
    let range = part.accept(&meta()).unwrap();
    assert_eq!(range, ByteRange { start: 2, end: 8 });
    let answer = part.head_of(&meta(), range).unwrap();
    assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
    for (name, value) in [("content-range", "bytes 2-7/10"), ("content-length", "6"), ("etag", "\"v1\"")] {
        assert_eq!(answer.headers()[name], value);
    }
    let outside = wanted(&peers, "/v1/media/-5/7", Some("bytes=2-10")).accept(&meta()).unwrap_err().response();
    assert_eq!((outside.status().as_u16(), &outside.headers()["content-range"]), (416, &"bytes */10".parse().unwrap()));
    let changed = slice::MediaMeta { etag: slice::ETag::new("v2"), ..meta() };
    let pinned = [GOOD[0], GOOD[1], ("if-match", "\"v1\"")];
    let Ok(Asked::Media(pinned)) = peers.read(&head("GET", "/v1/media/-5/7", &pinned)) else { panic!("not read") };
    assert_eq!(pinned.accept(&changed).unwrap_err().code(), "changed");
    // Rights to a virtual file are judged by its chats.
    let file = wanted(&peers, "/v1/media/v/abc", None);
    assert_eq!(file.media, MediaId::Virtual(Slug::parse("abc").unwrap()));
    let whole = ByteRange { start: 0, end: 10 };
    assert!(file.head_of(&meta(), whole).is_err());
    let spans = Some(Spans { chat_id: -5, message_id: 7, chats: vec![-5, -6] });
    let answer = file.head_of(&slice::MediaMeta { spans, ..meta() }, whole).unwrap();
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-media-chats"]), (200, &"-5, -6".parse().unwrap()));
}

#[test]
fn every_error_has_a_fault() {
    for (error, code) in [
        (OriginError::NotFound, "not-found"),
        (OriginError::Gone, "gone"),
        (OriginError::Changed, "changed"),
        (OriginError::Busy { retry_after: None }, "flood-wait"),
        (OriginError::Timeout, "timeout"),
        (OriginError::Unreachable, "upstream-reset"),
        (OriginError::Protocol, "upstream-reset"),
    ] {
        let response = Refused::from(error).response();
        assert_eq!(response.headers()["x-hive-fault"], code);
        assert!(response.status().is_client_error() || response.status().is_server_error());
    }
}

#[test]
fn a_gateway_is_a_member_of_its_fleet() {
    let (peers, hive, _) = gateway(&[]);
    drop(peers);
    let second = std::time::Duration::from_secs(1);
    let config = PeersConfig {
        own: hive_client::HiveAddress::Tcp("this.test:1".to_owned()),
        members: vec![],
        token: SecretString::from("token"),
        connect_timeout: second,
        patience: second,
        response_timeout: second,
        max_idle: 0,
        max_transfers: 64,
    };
    assert!(matches!(Peers::new(config, hive), Err(PeersError::NotAMember)));
}
