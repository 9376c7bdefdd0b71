//! A hive that breaks, lies or babbles: what comes out is the right bytes or an error, never a short clean end.
#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is the test's")]

use futures_util::StreamExt;
use hive_client::{HiveAddress, HiveClient, HiveConfig};
use secrecy::SecretString;
use slice::{ByteRange, ETag, MediaId, OriginError, SliceOrigin, Slug};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const MEDIA: MediaId = MediaId::message(-1_001_700_000_001, 7);
const HEAD_OK: &str =
    "HTTP/1.1 200 OK\r\netag: \"v1\"\r\nx-media-size: 10\r\ncontent-type: a/b\r\ncontent-length: 10\r\n\r\n";

fn part(first: u64, last: u64, etag: &str, length: u64, body: &str) -> String {
    format!(
        "HTTP/1.1 206 Partial Content\r\netag: \"{etag}\"\r\nx-media-size: 10\r\ncontent-type: a/b\r\ncontent-range: bytes \
         {first}-{last}/10\r\ncontent-length: {length}\r\n\r\n{body}"
    )
}

fn fault(status: &str, code: &str, extra: &str) -> String {
    format!("HTTP/1.1 {status}\r\nx-hive-fault: {code}\r\n{extra}content-length: 0\r\n\r\n")
}

/// Answers connection after connection with the next line of the script, then closes; what came in goes out by the channel.
async fn scripted(script: Vec<String>) -> (HiveClient, tokio::task::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HiveAddress::Tcp(listener.local_addr().unwrap().to_string());
    let server = tokio::spawn(async move {
        let mut requests = Vec::new();
        for answer in script {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if socket.read(&mut byte).await.unwrap() == 0 {
                    break;
                }
                head.push(byte[0]);
            }
            requests.push(String::from_utf8(head).unwrap());
            socket.write_all(answer.as_bytes()).await.unwrap();
            let _ = socket.shutdown().await;
        }
        requests
    });
    let config = HiveConfig {
        addresses: vec![address],
        token: SecretString::from("token"),
        http2: false,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_secs(5),
        retry_window: Duration::from_millis(400),
        max_idle: 4,
        hop: None,
    };
    (HiveClient::new(config).unwrap(), server)
}

async fn read(client: &HiveClient) -> Result<Vec<u8>, OriginError> {
    let mut body = client.open(MEDIA, &ETag::new("v1"), ByteRange { start: 2, end: 8 }).await?.body;
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes)
}

#[tokio::test]
async fn every_script_gives_the_bytes_or_an_error() {
    let good = || part(2, 7, "v1", 6, "cdefgh");
    let cases: Vec<(&str, Vec<String>, Result<&str, OriginError>)> = vec![
        ("whole", vec![good()], Ok("cdefgh")),
        ("cut mid-body, resumed", vec![part(2, 7, "v1", 6, "cde"), part(5, 7, "v1", 3, "fgh")], Ok("cdefgh")),
        (
            "cut twice",
            vec![part(2, 7, "v1", 6, "c"), part(3, 7, "v1", 5, "de"), part(5, 7, "v1", 3, "fgh")],
            Ok("cdefgh"),
        ),
        ("closed before the answer", vec![String::new(), good()], Ok("cdefgh")),
        ("restarting hive says 502", vec![fault("502 Bad", "upstream-reset", ""), good()], Ok("cdefgh")),
        (
            "no fault header, no sense",
            vec!["HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".into()],
            Err(OriginError::Protocol),
        ),
        ("garbage, then sense", vec!["\0\u{1}garbage\r\n\r\n".into(), good()], Ok("cdefgh")),
        ("200 instead of 206", vec![HEAD_OK.replace("length: 10", "length: 6") + "cdefgh"], Err(OriginError::Protocol)),
        ("another range", vec![part(0, 5, "v1", 6, "abcdef")], Err(OriginError::Protocol)),
        ("one byte more than asked for", vec![part(2, 8, "v1", 7, "cdefghi")], Err(OriginError::Protocol)),
        ("no range named", vec![good().replace("bytes 2-7/10", "bytes")], Err(OriginError::Protocol)),
        ("no size named", vec![good().replace("2-7/10", "2-7/*")], Err(OriginError::Protocol)),
        ("another version", vec![part(2, 7, "v2", 6, "cdefgh")], Err(OriginError::Changed)),
        (
            "another version on resume",
            vec![part(2, 7, "v1", 6, "cde"), part(5, 7, "v2", 3, "xyz")],
            Err(OriginError::Changed),
        ),
        ("short with a clean end, resumed", vec![part(2, 7, "v1", 3, "cde"), part(5, 7, "v1", 3, "fgh")], Ok("cdefgh")),
        ("longer than the range", vec![part(2, 7, "v1", 9, "cdefghijk")], Err(OriginError::Protocol)),
        ("gone on resume", vec![part(2, 7, "v1", 6, "cde"), fault("410 Gone", "gone", "")], Err(OriginError::Gone)),
        (
            "flood longer than the window",
            vec![fault("503 No", "flood-wait", "retry-after: 9\r\n")],
            Err(OriginError::Busy { retry_after: Some(Duration::from_secs(9)) }),
        ),
        ("token refused", vec![fault("401 No", "unauthorized", "")], Err(OriginError::Protocol)),
        ("unknown fault", vec![fault("503 No", "melted", "")], Err(OriginError::Protocol)),
    ];
    for (name, script, expected) in cases {
        let tries = script.len();
        let (client, server) = scripted(script).await;
        let got = read(&client).await;
        assert_eq!(got, expected.map(|s| s.as_bytes().to_vec()), "{name}");
        let requests = server.await.unwrap();
        assert_eq!(requests.len(), tries, "{name}");
        assert!(
            requests.iter().all(|r| r.contains("authorization: Bearer token") && r.contains("if-match: \"v1\"")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_hive_that_stays_away_is_an_error_within_the_window() {
    let (client, server) = scripted(vec![part(2, 7, "v1", 6, "cde")]).await;
    assert_eq!(read(&client).await, Err(OriginError::Unreachable));
    assert_eq!(server.await.unwrap().len(), 1);
    assert!(client.stats().snapshot().iter().any(|(name, n)| *name == "retries" && *n > 1));
}

#[tokio::test]
async fn a_description_is_read_from_head() {
    let (client, server) = scripted(vec![HEAD_OK.into()]).await;
    let meta = client.describe(MEDIA).await.unwrap();
    assert_eq!((meta.size, meta.etag.as_str()), (10, "v1"));
    assert!(server.await.unwrap()[0].starts_with("HEAD /v1/media/-1001700000001/7 HTTP/1.1"));
}

#[tokio::test]
async fn a_virtual_file_is_asked_for_by_its_slug_and_comes_with_its_chats() {
    let spans = "x-location-chat-id: -5\r\nx-location-msg-id: 7\r\nx-media-chats: -5, -6\r\n";
    let told = HEAD_OK.replace("content-length", &format!("{spans}content-length"));
    let longest = "x".repeat(Slug::LONGEST);
    for slug in ["k3x9abc", "a_B-9", longest.as_str()] {
        let media = MediaId::Virtual(Slug::parse(slug).unwrap());
        let (client, server) = scripted(vec![told.clone()]).await;
        assert_eq!(client.describe(media).await.unwrap().spans.unwrap().chats, [-5, -6]);
        assert!(server.await.unwrap()[0].starts_with(&format!("HEAD /v1/media/v/{slug} HTTP/1.1")));
    }
    let media = MediaId::Virtual(Slug::parse("k3x9abc").unwrap());
    let (client, server) = scripted(vec![HEAD_OK.into()]).await;
    assert_eq!(client.describe(media).await, Err(OriginError::Protocol), "nobody could judge who may see it");
    server.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_nobody_is_at_any_more_ends_before_patience_does() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = HiveAddress::Tcp(listener.local_addr().unwrap().to_string());
    let taken = tokio::spawn(async move { listener.accept().await.unwrap() });
    let config = HiveConfig {
        addresses: vec![address],
        token: SecretString::from("token"),
        http2: true,
        connect_timeout: Duration::from_secs(5),
        response_timeout: Duration::from_secs(600),
        idle_timeout: Duration::from_secs(600),
        retry_window: Duration::ZERO,
        max_idle: 4,
        hop: None,
    };
    let described = HiveClient::new(config).unwrap().describe(MEDIA).await;
    assert_eq!(described, Err(OriginError::Unreachable), "the connection is lost, and not just this answer late");
    drop(taken.await);
}
