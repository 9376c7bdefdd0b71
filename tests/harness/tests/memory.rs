//! Five hundred slow viewers of cold and warm films must not fill the gateway's memory.

use harness::{Failure, Film, Settings, Stack};
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const VIEWERS: u64 = 500;
const FILMS: u64 = 50;
const WARM: u64 = 25;
const FILM_SIZE: u64 = 24 << 20;
const BYTES_PER_SECOND: usize = 64 << 10;
const SECONDS: usize = 20;
const MOST_RESIDENT: u64 = 150 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_hundred_slow_viewers_fit_in_150_mib() -> Result<(), Failure> {
    let mut settings = Settings { accounts: 4, ..Settings::default() };
    for number in 0..FILMS {
        settings = settings.film(&format!("{number}.mkv"), FILM_SIZE);
    }
    let stack = Stack::start(settings).await?;
    for number in 0..WARM {
        let answer = stack.get(&format!("{number}.mkv"), None).await?;
        assert_eq!(answer.body.len() as u64, FILM_SIZE);
    }
    let watching = Arc::new(AtomicBool::new(true));
    let most = Arc::new(AtomicU64::new(0));
    let mut viewers = tokio::task::JoinSet::new();
    for number in 0..VIEWERS {
        let film = stack.film(&format!("{}.mkv", number % FILMS))?.clone();
        let start = number / FILMS * (1 << 20);
        let (link, address, watching) = (stack.link(&film), stack.client.address, watching.clone());
        viewers.spawn(async move { watch_slowly(&film, &link, start, address, &watching).await });
    }
    let gateway = stack.gateway.as_ref().ok_or("no gateway")?;
    for _ in 0..SECONDS * 4 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        most.fetch_max(gateway.resident_bytes().ok_or("the gateway is gone")?, Ordering::Relaxed);
    }
    let active = stack.metric("streamvault_active_requests").await?;
    assert!(active >= VIEWERS as f64 * 0.99, "only {active} of {VIEWERS} viewers were still watching");
    watching.store(false, Ordering::Relaxed);
    while let Some(viewer) = viewers.join_next().await {
        viewer??;
    }
    let most = most.load(Ordering::Relaxed);
    println!("largest resident set: {} MiB", most >> 20);
    assert!(most < MOST_RESIDENT, "the gateway took {} MiB", most >> 20);
    assert_eq!(stack.client.ask(Method::GET, "/x", &[]).await?.status, 404, "it still serves");
    Ok(())
}

/// Takes 64 KiB each second through a receive buffer that holds no more, and compares them with the film.
async fn watch_slowly(
    film: &Film,
    link: &str,
    start: u64,
    address: std::net::SocketAddr,
    watching: &AtomicBool,
) -> Result<(), Failure> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(u32::try_from(BYTES_PER_SECOND)?)?;
    let mut stream = socket.connect(address).await?;
    let request = format!("GET {link} HTTP/1.1\r\nHost: films.test\r\nRange: bytes={start}-\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if !head.starts_with(b"HTTP/1.1 206") {
        return Err(String::from_utf8_lossy(&head).into_owned().into());
    }
    let mut at = start;
    let mut second = vec![0; BYTES_PER_SECOND];
    let mut pace = tokio::time::interval(Duration::from_secs(1));
    while watching.load(Ordering::Relaxed) {
        pace.tick().await;
        stream.read_exact(&mut second).await?;
        film.compare(at, &second)?;
        at += second.len() as u64;
    }
    Ok(())
}
