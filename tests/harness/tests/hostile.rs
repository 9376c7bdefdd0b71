//! Requests that are too much, and a hive that is none.

use harness::{Failure, Settings, Stack};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_much_gets_a_clear_status() -> Result<(), Failure> {
    let stack = Stack::start(Settings::default().film("a.mkv", 300_000)).await?;
    let film = stack.film("a.mkv")?.clone();
    let link = stack.link(&film);
    // A thousand ranges: more than the bound, so the whole film, once.
    let many: Vec<String> = (0..1000).map(|n| format!("{}-{}", n * 200, n * 200 + 9)).collect();
    let answer = stack.client.ask(Method::GET, &link, &[("range", &format!("bytes={}", many.join(",")))]).await?;
    assert_eq!((answer.status.as_u16(), answer.body.len() as u64), (200, film.size));
    film.compare(0, &answer.body)?;
    // Headers: many, long, and a target longer than any link.
    let cases = [
        format!("GET {link} HTTP/1.1\r\nHost: films.test\r\nX-Long: {}\r\n\r\n", "x".repeat(2 << 20)),
        format!("GET {link} HTTP/1.1\r\nHost: films.test\r\n{}\r\n", "X-Many: 1\r\n".repeat(5000)),
        format!("GET /{} HTTP/1.1\r\nHost: films.test\r\nConnection: close\r\n\r\n", "x".repeat(500_000)),
        format!("GET {link} HTTP/9.9\r\nHost: films.test\r\n\r\n"),
        "GET\r\n\r\n".to_owned(),
        "\r\n\r\n\r\n".to_owned(),
    ];
    for case in cases {
        let answer = String::from_utf8_lossy(&stack.client.raw(case.as_bytes()).await?).into_owned();
        let status = answer.split(' ').nth(1).unwrap_or("closed");
        assert!(matches!(status, "400" | "404" | "414" | "431" | "505" | "closed"), "{status} for {:.60}", case);
    }
    assert_eq!(stack.get("a.mkv", Some("bytes=0-9")).await?.status, 206, "it still serves");
    assert!(!stack.error_log("gateway").contains("panicked"));
    Ok(())
}

/// What a stand-in for the hive answers to every request.
async fn answer_always(listener: UnixListener, answer: Vec<u8>) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut head = [0; 4096];
            let _ = socket.read(&mut head).await;
            let _ = socket.write_all(&answer).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hive_that_lies_gives_a_clear_status_or_a_broken_body() -> Result<(), Failure> {
    let head =
        "HTTP/1.1 200 OK\r\netag: \"v1\"\r\nx-media-size: 1000\r\ncontent-type: video/mp4\r\ncontent-length: 1000\r\n";
    let part = |etag: &str, range: &str, length: usize| {
        format!(
            "HTTP/1.1 206 OK\r\netag: \"{etag}\"\r\nx-media-size: 1000\r\ncontent-type: a/b\r\ncontent-range: bytes {range}\r\ncontent-length: {length}\r\n\r\n"
        )
    };
    let cases: [(&str, Vec<u8>); 6] = [
        ("garbage", b"\x00\x01\x02 what is this\r\n\r\n".to_vec()),
        ("a status without a fault", b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_vec()),
        ("a head for every request", format!("{head}\r\n").into_bytes()),
        ("another range", (part("v1", "0-9/1000", 10) + "0123456789").into_bytes()),
        ("another version each time", (part("v2", "0-999/1000", 1000) + &"x".repeat(1000)).into_bytes()),
        ("a short body", (part("v1", "0-999/1000", 1000) + "short").into_bytes()),
    ];
    let mut stack =
        Stack::start(Settings::default().film("a.mkv", 1000).gateway("hive.retry_window", "\"300ms\"")).await?;
    stack.hive.take().ok_or("no hive")?.kill().await;
    let socket = stack.cache_folder().with_file_name("hive.sock");
    for (name, answer) in cases {
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let lying = tokio::spawn(answer_always(listener, answer));
        let answer = stack.get("a.mkv", None).await?;
        assert!(answer.status.is_server_error() || answer.broken.is_some(), "{name}: {answer:?}");
        lying.abort();
    }
    let _ = std::fs::remove_file(&socket);
    stack.start_hive().await?;
    let answer = stack.get("a.mkv", None).await?;
    assert_eq!(answer.status, 200);
    stack.film("a.mkv")?.compare(0, &answer.body)?;
    assert!(!stack.error_log("gateway").contains("panicked"));
    Ok(())
}
