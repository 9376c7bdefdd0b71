//! How a gateway ends, and how its connections do.

use harness::{Failure, Settings, Stack};
use http::Method;
use http_body_util::BodyExt;
use telegram_sim::Shape;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_lets_transfers_finish_and_then_ends_at_once() -> Result<(), Failure> {
    let shape = Shape { account_bytes_per_second: 4 << 20, ..Shape::default() };
    let mut stack = Stack::start(Settings { shape, ..Settings::default() }.film("a.mkv", 8 << 20)).await?;
    let film = stack.film("a.mkv")?.clone();
    let (status, _, mut body) = stack.client.open(Method::GET, &stack.link(&film), &[]).await?;
    assert_eq!(status, 200);
    let gateway = stack.gateway.take().ok_or("no gateway")?;
    // The process helper waits twenty seconds for the end, less than the drain's bound: it must not wait for that.
    let ended = tokio::spawn(gateway.signal("TERM"));
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        bytes.extend(frame?.into_data().unwrap_or_default());
    }
    assert_eq!(bytes.len() as u64, film.size, "the transfer under way was cut");
    film.compare(0, &bytes)?;
    assert!(ended.await?, "the gateway ends by itself, with status 0");
    assert!(stack.client.open(Method::GET, "/", &[]).await.is_err(), "nobody listens any more");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_end_when_the_client_was_told_so() -> Result<(), Failure> {
    let stack = Stack::start(Settings::default().film("a.mkv", 1000)).await?;
    let link = stack.link(stack.film("a.mkv")?);
    // HTTP/1.0 reads to the end of the connection.
    let old = format!("GET {link} HTTP/1.0\r\nHost: films.test\r\n\r\n");
    let answer = tokio::time::timeout(std::time::Duration::from_secs(4), stack.client.raw(old.as_bytes())).await??;
    assert!(answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200"));
    // Two requests at once get two answers.
    let one = format!("GET {link} HTTP/1.1\r\nHost: films.test\r\nRange: bytes=0-9\r\n\r\n");
    let two = format!("GET {link} HTTP/1.1\r\nHost: films.test\r\nConnection: close\r\n\r\n");
    let answers = stack.client.raw((one + &two).as_bytes()).await?;
    let text = String::from_utf8_lossy(&answers);
    assert!(text.contains("HTTP/1.1 206") && text.contains("HTTP/1.1 200"), "{text:?}");
    // Whatever the log's level, no token stands in it.
    let settings = Settings::default().film("a.mkv", 1000).gateway("log.level", "\"debug\"");
    let stack = Stack::start(settings).await?;
    let link = stack.link(stack.film("a.mkv")?);
    stack.client.raw(format!("GET {link} HTTP/9.9\r\nHost: films.test\r\n\r\n").as_bytes()).await?;
    stack.get("a.mkv", None).await?;
    let log = stack.error_log("gateway");
    assert!(!log.is_empty() && !log.contains("md5="), "{log}");
    Ok(())
}
