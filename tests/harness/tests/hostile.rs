//! Requests that are too much, and a hive that is none.

use harness::{Failure, Settings, Stack, sign};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// 2100-01-01.
const EXPIRES: i64 = 4_102_444_800;

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
    // Headers: many, long, and a target longer than any link; and requests shorter than any HTTP/2 preface.
    let head = format!("GET {link} HTTP/1.1\r\nHost: films.test\r\n");
    let cases = [
        (format!("{head}X-Long: {}\r\n\r\n", "x".repeat(2 << 20)), "431"),
        (format!("{head}{}\r\n", "X-Many: 1\r\n".repeat(5000)), "431"),
        (format!("GET /{} HTTP/1.1\r\nHost: films.test\r\nConnection: close\r\n\r\n", "x".repeat(100_000)), "431"),
        (format!("GET {link} HTTP/9.9\r\nHost: films.test\r\n\r\n"), "400"),
        ("GET\r\n\r\n".to_owned(), "400"),
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "400"),
    ];
    for (case, status) in cases {
        let start: String = case.chars().take(60).collect();
        let answer = stack.client.raw(case.as_bytes()).await.map_err(|e| format!("{start:?}: {e}"))?;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(answer.split(' ').nth(1), Some(status), "for {start:?}");
    }
    assert_eq!(stack.get("a.mkv", Some("bytes=0-9")).await?.status, 206, "it still serves");
    assert!(!stack.error_log("gateway").contains("panicked"));
    Ok(())
}

/// A stand-in for the hive that says the same to every HEAD and to every GET, and closes.
async fn answer_always(listener: UnixListener, to_head: String, to_get: String) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let (to_head, to_get) = (to_head.clone(), to_get.clone());
        tokio::spawn(async move {
            let mut head = [0; 4096];
            let _ = socket.read(&mut head).await;
            let answer = if head.starts_with(b"HEAD") { to_head } else { to_get };
            let _ = socket.write_all(answer.as_bytes()).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hive_that_lies_gives_a_clear_status_or_a_broken_body() -> Result<(), Failure> {
    let entity = |etag: &str| format!("etag: \"{etag}\"\r\nx-media-size: 1000\r\ncontent-type: video/mp4\r\n");
    let described = format!("HTTP/1.1 200 OK\r\n{}content-length: 1000\r\n\r\n", entity("v1"));
    let part = |etag: &str, range: &str, length: usize, body: &str| {
        let head = format!("content-range: bytes {range}\r\ncontent-length: {length}\r\n\r\n");
        format!("HTTP/1.1 206 OK\r\n{}{head}{body}", entity(etag))
    };
    let garbage = "\0\u{1}\u{2} what is this\r\n\r\n".to_owned();
    let whole = "x".repeat(1000);
    // What is said to HEAD, what to GET, and what the viewer gets: a status, or a body that breaks.
    let cases = [
        ("garbage", garbage.clone(), garbage, Some(502)),
        ("no fault", "HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n".to_owned(), String::new(), Some(502)),
        ("a head without a body", described.clone(), described.clone(), Some(502)),
        ("another range", described.clone(), part("v1", "0-9/1000", 10, "0123456789"), Some(502)),
        ("another version", described.clone(), part("v2", "0-999/1000", 1000, &whole), Some(503)),
        ("a short body", described, part("v1", "0-999/1000", 1000, "short"), None),
    ];
    let settings = Settings::default().film("a.mkv", 1000).gateway("hive.retry_window", "\"300ms\"");
    let mut stack = Stack::start(settings).await?;
    stack.hive.take().ok_or("no hive")?.kill().await;
    let socket = stack.cache_folder().with_file_name("hive.sock");
    for (number, (name, to_head, to_get, status)) in (100..).zip(cases) {
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let lying = tokio::spawn(answer_always(listener, to_head, to_get));
        // A media of its own for each row: what one row leaves in memory must not decide the next.
        let path = format!("/stream/{}/{number}", stack.chat_id());
        let answer = stack.client.ask(Method::GET, &sign(&path, EXPIRES), &[]).await?;
        match status {
            Some(status) => assert_eq!(answer.status, status, "{name}"),
            None => assert!(answer.status == 200 && answer.broken.is_some(), "{name}: {answer:?}"),
        }
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
