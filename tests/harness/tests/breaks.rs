//! Viewers, gateways and hives that end in the middle; media that change under readers. Whatever happens, bytes are right or the
//! body visibly breaks.

use harness::{Failure, Film, Settings, Stack, size};
use http::Method;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use telegram_sim::Shape;

/// Slow enough that a film is still on its way when something ends.
fn slow(megabytes_per_second: u64) -> Shape {
    let bytes = megabytes_per_second << 20;
    Shape { rtt_ms: 20, account_bytes_per_second: bytes, ..Shape::default() }
}

/// Reads a body until `enough` bytes came or it ended; true when it ended cleanly.
async fn read_until(incoming: &mut Incoming, body: &mut Vec<u8>, enough: usize) -> Result<bool, Failure> {
    while body.len() < enough {
        match incoming.frame().await {
            None => return Ok(true),
            Some(frame) => body.extend(frame?.into_data().unwrap_or_default()),
        }
    }
    Ok(false)
}

fn asked(stack: &Stack, film: &Film) -> u64 {
    stack.sim.counters().snapshot().chunks_of(film.document).iter().map(|chunk| chunk.limit * chunk.asked).sum()
}

fn seed() -> u64 {
    let seed = std::env::var("STREAMVAULT_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or_else(rand::random);
    println!("replay with STREAMVAULT_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_leaves_and_the_others_finish() -> Result<(), Failure> {
    let settings = Settings { shape: slow(8), ..Settings::default() }.film("a.mkv", size("8MiB")?);
    let stack = Stack::start(settings).await?;
    let film = stack.film("a.mkv")?;
    let link = stack.link(film);
    let (status, _, mut leader) = stack.client.open(Method::GET, &link, &[]).await?;
    assert_eq!(status, 200);
    let mut begun = Vec::new();
    assert!(!read_until(&mut leader, &mut begun, 1).await?, "the film must still be on its way");
    let mut others = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (client, link) = (stack.client, link.clone());
        others.spawn(async move { client.ask(Method::GET, &link, &[]).await });
    }
    read_until(&mut leader, &mut begun, 2 << 20).await?;
    drop(leader);
    while let Some(answer) = others.join_next().await {
        let answer = answer??;
        assert_eq!(answer.broken, None);
        assert_eq!(answer.body.len() as u64, film.size);
        film.compare(0, &answer.body)?;
    }
    assert_eq!(asked(&stack, film), film.size, "every byte was asked of Telegram once");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_killed_while_it_fills_loses_nothing_whole_and_lies_about_nothing() -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed());
    let settings = Settings { shape: slow(16), ..Settings::default() }.film("a.mkv", size("24MiB")?);
    let mut stack = Stack::start(settings).await?;
    let mut whole = 0;
    for _ in 0..4 {
        let film = stack.film("a.mkv")?.clone();
        let (_, _, mut viewer) = stack.client.open(Method::GET, &stack.link(&film), &[]).await?;
        let mut body = Vec::new();
        let enough = whole + rng.random_range(1..5 << 20);
        let ended = read_until(&mut viewer, &mut body, enough).await?;
        stack.gateway.take().ok_or("no gateway")?.kill().await;
        if !ended {
            assert!(
                read_until(&mut viewer, &mut body, usize::MAX).await.is_err(),
                "a killed gateway must not look like an end"
            );
        }
        film.compare(0, &body)?;
        stack.start_gateway().await?;
        // A slice whose successor has begun is whole; the viewer has seen that much of the film.
        whole = (body.len().saturating_sub(1) >> 20 << 20).saturating_sub(1 << 20);
        if whole > 0 {
            let answer = stack.get("a.mkv", Some(&format!("bytes=0-{}", whole - 1))).await?;
            assert_eq!(
                answer.header("x-cache-status"),
                Some("REVALIDATED"),
                "{whole} bytes were whole before the kill"
            );
            film.compare(0, &answer.body)?;
        }
    }
    let film = stack.film("a.mkv")?;
    let answer = stack.get("a.mkv", None).await?;
    assert_eq!((answer.broken, answer.body.len() as u64), (None, film.size));
    film.compare(0, &answer.body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hive_killed_mid_body_is_waited_for() -> Result<(), Failure> {
    let settings = Settings { shape: slow(8), ..Settings::default() }.film("a.mkv", size("12MiB")?);
    let mut stack = Stack::start(settings.gateway("hive.retry_window", "\"60s\"")).await?;
    let film = stack.film("a.mkv")?.clone();
    let (_, _, mut viewer) = stack.client.open(Method::GET, &stack.link(&film), &[]).await?;
    let mut body = Vec::new();
    read_until(&mut viewer, &mut body, 3 << 20).await?;
    stack.hive.take().ok_or("no hive")?.kill().await;
    stack.start_hive().await?;
    assert!(read_until(&mut viewer, &mut body, usize::MAX).await?, "the transfer ends by itself");
    assert_eq!(body.len() as u64, film.size);
    film.compare(0, &body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hive_that_stays_away_is_a_broken_body() -> Result<(), Failure> {
    let settings = Settings { shape: slow(8), ..Settings::default() }.film("a.mkv", size("12MiB")?);
    let mut stack = Stack::start(settings.gateway("hive.retry_window", "\"1s\"")).await?;
    let film = stack.film("a.mkv")?.clone();
    let (_, _, mut viewer) = stack.client.open(Method::GET, &stack.link(&film), &[]).await?;
    let mut body = Vec::new();
    read_until(&mut viewer, &mut body, 2 << 20).await?;
    stack.hive.take().ok_or("no hive")?.kill().await;
    assert!(read_until(&mut viewer, &mut body, usize::MAX).await.is_err(), "a part must not look whole");
    assert!((body.len() as u64) < film.size);
    film.compare(0, &body)?;
    let line = stack.log_line().await?;
    assert_eq!(line["outcome"], "body-cut");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_mid_body_never_mixes_versions() -> Result<(), Failure> {
    let mut rng = StdRng::seed_from_u64(seed());
    let settings = Settings { shape: slow(24), ..Settings::default() }
        .film("a.mkv", size("6MiB")?)
        .gateway("cache.metadata_ttl", "\"0s\"")
        .hive("cache.location_ttl", "\"0s\"");
    let mut stack = Stack::start(settings).await?;
    let mut versions = vec![stack.film("a.mkv")?.clone()];
    for version in 1..=6 {
        let mut viewers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (client, link) = (stack.client, stack.link(stack.film("a.mkv")?));
            let start: u64 = rng.random_range(0..2 << 20);
            viewers.spawn(async move {
                let range = format!("bytes={start}-");
                (start, client.ask(Method::GET, &link, &[("range", &range)]).await)
            });
        }
        stack.replace("a.mkv", size("6MiB")? - version * 1000, version)?;
        stack.sim.world().expire_references(Some(versions.last().ok_or("none")?.document))?;
        versions.push(stack.film("a.mkv")?.clone());
        while let Some(joined) = viewers.join_next().await {
            let (start, answer) = joined?;
            let answer = answer?;
            if answer.status != 206 {
                assert!(answer.status.is_server_error(), "{answer:?}");
                continue;
            }
            // The size in the head says which version the answer claims; each byte must be that version's.
            let claimed = answer.header("content-range").and_then(|r| r.rsplit('/').next()?.parse::<u64>().ok());
            let film = versions.iter().find(|film| Some(film.size) == claimed).ok_or("an unknown version")?;
            film.compare(start, &answer.body)?;
            assert!(answer.broken.is_some() || start + answer.body.len() as u64 == film.size);
        }
    }
    let answer = stack.get("a.mkv", None).await?;
    let film = stack.film("a.mkv")?;
    assert_eq!((answer.broken, answer.body.len() as u64), (None, film.size));
    film.compare(0, &answer.body)
}
