//! What gateways and strangers send, and what they get.

use crate::rig::{CHANNEL, MIB, Rig, TOKEN, film, film_bytes, path, sha};
use config::ListenAddress;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper_util::rt::{TokioExecutor, TokioIo};
use telegram_sim::{Account, Fault, Rule};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wire::Fault as Told;

type Refused<'a> = (Method, &'a str, &'a [(&'a str, &'a str)], Told);

async fn rig() -> Rig {
    Rig::start(vec![Account::bot("bot", 7001)], vec![film(2, 3 * MIB), film(2, 0)]).await
}

#[tokio::test]
async fn descriptions_carry_the_whole_contract() {
    let rig = rig().await;
    let head = rig.ask(Method::HEAD, &path(1), &[("x-request-id", "from-the-gateway")]).await;
    let entity = wire::Entity::read(&head.headers).unwrap();
    assert_eq!((entity.size, entity.content_type.as_str()), (3 * MIB, "video/x-matroska"));
    assert_eq!((entity.file_name.as_deref(), entity.last_modified), (Some("film.mkv"), Some(1_700_000_000)));
    assert_eq!(head.headers["x-location-chat-id"], format!("-100{CHANNEL}").as_str());
    assert_eq!(
        (&head.headers["x-location-msg-id"], &head.headers["x-request-id"]),
        (&"1".parse().unwrap(), &"from-the-gateway".parse().unwrap())
    );
    assert!(head.body.is_empty());
    let lookups = rig.counts().calls("channels.getMessages");
    let get = rig
        .ask(
            Method::GET,
            &path(1),
            &[("range", "bytes=1048576-1048580"), ("if-match", head.headers["etag"].to_str().unwrap())],
        )
        .await;
    assert_eq!(get.headers["etag"], head.headers["etag"]);
    assert_eq!(get.whole(), film_bytes(2, 3 * MIB, MIB, MIB + 5));
    assert_eq!(rig.counts().calls("channels.getMessages"), lookups, "known for as long as the settings say");
    rig.ask(Method::HEAD, &path(1), &[("cache-control", "no-cache")]).await;
    assert_eq!(rig.counts().calls("channels.getMessages"), lookups + 1);
    let empty = rig.get(2, None).await;
    assert_eq!((empty.status, empty.headers["content-length"].to_str().unwrap()), (StatusCode::OK, "0"));
    assert_eq!(empty.whole(), b"");
}

#[tokio::test]
async fn every_other_request_gets_a_clear_fault() {
    let rig = rig().await;
    let good = path(1);
    let cases: &[Refused<'_>] = &[
        (Method::GET, &good, &[("range", "bytes=0-3145728")], Told::BadRange),
        (Method::GET, &good, &[("range", "bytes=3145728-3145729")], Told::BadRange),
        (Method::GET, &good, &[("range", "bytes=5-")], Told::BadRange),
        (Method::GET, &good, &[("range", "bytes=0-1,5-6")], Told::BadRange),
        (Method::GET, &good, &[("range", "bytes=0-18446744073709551615")], Told::BadRange),
        (Method::GET, &good, &[("if-match", "\"other\"")], Told::Changed),
        (Method::HEAD, &good, &[("if-match", "W/\"x\"")], Told::Changed),
        (Method::POST, &good, &[], Told::BadRequest),
        (Method::DELETE, &good, &[], Told::BadRequest),
        (Method::GET, "/", &[], Told::BadRequest),
        (Method::GET, "/v1/media/1/2/3", &[], Told::BadRequest),
        (Method::GET, "/v1/media/1/%32", &[], Told::BadRequest),
        (Method::GET, "/v1/media/99999999999999999999/1", &[], Told::BadRequest),
        (Method::GET, "/v1/media/-9223372036854775808/1", &[], Told::NotFound),
        (Method::GET, "/v1/media/-1000000000000/1", &[], Told::NotFound),
        (Method::GET, &format!("{good}?x=1"), &[], Told::BadRequest),
        (Method::GET, &good, &[("x-location-chat-id", "1")], Told::BadRequest),
    ];
    for (method, path, headers, expected) in cases {
        let answer = rig.ask(method.clone(), path, headers).await;
        assert_eq!(answer.fault(), Some(*expected), "{method} {path} {headers:?}");
        assert_eq!(answer.status, expected.status());
        if *method != Method::HEAD {
            let body: wire::FaultBody = serde_json::from_slice(&answer.body).unwrap();
            assert_eq!(body.fault, expected.code());
        }
    }
    let outside = rig.get(2, Some((0, 0))).await;
    assert_eq!(
        (outside.fault(), outside.headers["content-range"].to_str().unwrap()),
        (Some(Told::BadRange), "bytes */0")
    );
    let wrong: &[&[(&str, &str)]] = &[&[], &[("authorization", "Bearer x")], &[("authorization", "Basic test-token")]];
    for headers in wrong {
        let answer = rig.ask_raw(Method::GET, &good, headers).await;
        assert_eq!(answer.fault(), Some(Told::Unauthorized), "{headers:?}");
    }
    assert_eq!(rig.counts().calls("upload.getFile"), 0, "none of these cost Telegram a byte");
}

#[tokio::test]
async fn garbage_on_the_wire_harms_nobody() {
    let rig = rig().await;
    let ListenAddress::Tcp(address) = *rig.hive().address() else { panic!("not on TCP") };
    let long = "x".repeat(100_000);
    let auth = format!("Authorization: Bearer {TOKEN}\r\n");
    for bytes in [
        "\r\n\r\n\r\n".to_owned(),
        "\0\u{1}\u{2} / HTTP/1.1\r\n\r\n".to_owned(),
        format!("GET /{long} HTTP/1.1\r\nHost: h\r\n{auth}\r\n"),
        format!("GET {} HTTP/1.1\r\nHost: h\r\n{auth}X: {long}\r\n\r\n", path(1)),
        format!("GET {} HTTP/9.9\r\n\r\n", path(1)),
        format!("GET {}\0 HTTP/1.1\r\nHost: h\r\n{auth}\r\n", path(1)),
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage that is no frame of HTTP/2 at all".to_owned(),
        format!("GET {} HTTP/1.1\r\nHost: h\r\n{auth}Content-Length: 5\r\nContent-Length: 6\r\n\r\n", path(1)),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The hive may hang up before it has read all of it.
        let _ = stream.write_all(bytes.as_bytes()).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(!text.starts_with("HTTP/1.1 2"), "{:?} got {text:?}", &bytes[..bytes.len().min(40)]);
    }
    assert!(sha(&rig.get(1, None).await.whole()) == sha(&film_bytes(2, 3 * MIB, 0, 3 * MIB)));
}

#[tokio::test]
async fn h2c_serves_and_a_broken_body_is_a_reset() {
    let rig = Rig::start(vec![Account::bot("bot", 7001)], vec![film(2, 12 * MIB)]).await;
    let ListenAddress::Tcp(address) = *rig.hive().address() else { panic!("not on TCP") };
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = || {
        let uri = format!("http://hive{}", path(1));
        Request::get(uri).header("authorization", format!("Bearer {TOKEN}")).body(Empty::<Bytes>::new()).unwrap()
    };
    let whole = sender.send_request(request()).await.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert!(sha(&whole) == sha(&film_bytes(2, 12 * MIB, 0, 12 * MIB)));
    rig.sim.faults().add(Rule::on("upload.getFile", Fault::FloodWait(900)).offset(8 * MIB, 9 * MIB));
    let response = sender.send_request(request()).await.unwrap();
    assert_eq!(response.headers()["content-length"], "12582912");
    assert!(response.into_body().collect().await.is_err(), "a short body looks whole");
    // The connection lives on for other streams.
    let refused = sender.send_request(request()).await.unwrap();
    assert_eq!(wire::Fault::read(refused.headers()).unwrap().0, Told::FloodWait);
}

#[tokio::test]
async fn operators_see_numbers_and_health() {
    let rig = rig().await;
    rig.get(1, None).await.whole();
    let text = rig.admin("/metrics").await.1;
    for line in [
        "hive_requests_total{method=\"GET\",outcome=\"ok\"} 1",
        "hive_sent_bytes_total 3145728",
        "hive_session_bytes_total{session=\"bot\"} 3145728",
        "hive_session_faults_total{kind=\"flood\",session=\"bot\"} 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    assert_eq!(rig.admin("/healthz").await.0, StatusCode::OK);
    rig.sim.world().ban("bot", None).unwrap();
    rig.ask(Method::HEAD, &path(1), &[("cache-control", "no-cache")]).await;
    assert_eq!(rig.admin("/healthz").await.0, StatusCode::SERVICE_UNAVAILABLE);
}
