//! Several gateways on one Redis: what one is told all do, whoever was away meanwhile; and a list that can't be read serves nothing.
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]

use harness::{Answer, Failure, Printed, Redis, Settings, Stack, binary, eventually};
use std::time::Duration;

const A: &str = "/stream/-1001700000001/1";
const B: &str = "/stream/-1001700000001/2";

/// Two gateways with caches of their own, and the Redis of the first.
struct Two {
    first: Stack,
    second: Stack,
}

impl Two {
    async fn start() -> Result<Self, Failure> {
        let settings = || Settings::default().film("a.mkv", 1 << 20).film("b.mkv", 64 << 20);
        let first = Stack::start(Settings { redis: true, ..settings() }).await?;
        let url = format!("\"{}\"", first.redis.as_ref().map(Redis::url).ok_or("no Redis")?);
        let second = Stack::start(settings().gateway("redis.url", &url).gateway("redis.timeout", "\"5s\"")).await?;
        let two = Self { first, second };
        two.taken_by_both(&["cache", "purge", "--all"]).await?;
        Ok(two)
    }

    /// A command at the first that says that both took it; before that, they may not have found each other yet.
    async fn taken_by_both(&self, words: &[&str]) -> Result<(), Failure> {
        eventually("both take it", async || {
            Ok(self.first.gateway_command(words).await?.out.contains("taken by 2 of 2"))
        })
        .await
    }
}

async fn first_bytes(stack: &Stack, name: &str) -> Result<Answer, Failure> {
    stack.get(name, Some("bytes=0-99")).await
}

async fn is_hit(stack: &Stack, name: &str) -> Result<bool, Failure> {
    Ok(first_bytes(stack, name).await?.header("x-cache-status") == Some("HIT"))
}

/// Asks until it is cached.
async fn warm(stack: &Stack, name: &str) -> Result<(), Failure> {
    eventually("it is cached", async || is_hit(stack, name).await).await
}

async fn listed(stack: &Stack) -> Result<String, Failure> {
    stack.gateway_command(&["cache", "ls"]).await?.done()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_is_told_all_do() -> Result<(), Failure> {
    let two = Two::start().await?;
    for stack in [&two.first, &two.second] {
        warm(stack, "a.mkv").await?;
        warm(stack, "b.mkv").await?;
    }
    two.taken_by_both(&["cache", "purge", A]).await?;
    assert!(!is_hit(&two.second, "a.mkv").await?, "purged at the other");
    assert!(is_hit(&two.second, "b.mkv").await?, "and nothing else");

    // A running response of the other breaks off, and a new one is refused.
    let link = two.second.link(two.second.film("b.mkv")?);
    let (status, _, mut body) = two.second.client.open(http::Method::GET, &link, &[]).await?;
    assert_eq!(status, 200);
    two.taken_by_both(&["takedown", "add", B, "--reason", "Notice"]).await?;
    let mut broken = false;
    while let Some(frame) = http_body_util::BodyExt::frame(&mut body).await {
        broken = frame.is_err();
        if broken {
            break;
        }
    }
    assert!(broken, "it broke off");
    for stack in [&two.first, &two.second] {
        assert_eq!(first_bytes(stack, "b.mkv").await?.status, 451);
        assert_eq!(first_bytes(stack, "a.mkv").await?.status, 206);
    }
    let list = two.second.gateway_command(&["takedown", "ls"]).await?.done()?;
    assert!(list.contains(B) && list.contains("Notice"), "{list}");
    let log = two.second.error_log("gateway");
    assert!(log.contains("taken down by another gateway"), "{log}");

    // Lifted at the other, and so at both.
    two.second.gateway_command(&["takedown", "remove", B, "--reason", "Lifted"]).await?;
    eventually("it is served", async || Ok(first_bytes(&two.first, "b.mkv").await?.status == 206)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_down_catches_up() -> Result<(), Failure> {
    let mut two = Two::start().await?;
    warm(&two.second, "a.mkv").await?;
    warm(&two.second, "b.mkv").await?;
    two.second.gateway.take().ok_or("no gateway")?.kill().await;
    two.first.gateway_command(&["cache", "purge", A]).await?;
    two.first.gateway_command(&["takedown", "add", B, "--reason", "Notice"]).await?;
    two.second.start_gateway().await?;
    // From its first answer on.
    assert_eq!(first_bytes(&two.second, "b.mkv").await?.status, 451, "taken down while it was away");
    assert!(!is_hit(&two.second, "a.mkv").await?, "purged while it was away");
    eventually("the purge", async || {
        let listed = listed(&two.second).await?;
        Ok(!listed.contains(B))
    })
    .await?;
    // By its own file, too: without Redis, after another restart.
    two.first.redis.take().ok_or("no Redis")?.kill().await;
    two.second.gateway.take().ok_or("no gateway")?.kill().await;
    two.second.start_gateway().await?;
    assert_eq!(first_bytes(&two.second, "b.mkv").await?.status, 451);
    assert_eq!(first_bytes(&two.second, "a.mkv").await?.status, 206);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_redis_each_goes_on_and_tells_later() -> Result<(), Failure> {
    let mut two = Two::start().await?;
    two.first.redis.take().ok_or("no Redis")?.kill().await;
    warm(&two.second, "a.mkv").await?;
    let alone: Printed = two.first.gateway_command(&["takedown", "add", B, "--reason", "Notice"]).await?;
    assert_eq!(alone.exit, Some(1), "not all are told: {alone:?}");
    assert!(alone.out.contains("is down") && alone.err.contains("Redis can't be reached"), "{alone:?}");
    assert_eq!(first_bytes(&two.first, "b.mkv").await?.status, 451, "in force here");
    assert_eq!(first_bytes(&two.second, "b.mkv").await?.status, 206, "serves on");
    let alone = two.first.gateway_command(&["cache", "purge", A]).await?;
    assert_eq!(alone.exit, Some(1), "{alone:?}");
    // A Redis that has forgotten everything.
    two.first.start_redis().await?;
    eventually("the takedown", async || Ok(first_bytes(&two.second, "b.mkv").await?.status == 451)).await?;
    eventually("the purge", async || Ok(!listed(&two.second).await?.contains(A))).await?;
    for stack in [&two.first, &two.second] {
        let log = stack.error_log("gateway");
        let said = log.lines().filter(|line| line.contains("until Redis is back") && line.contains("sv:{gateways}"));
        assert_eq!(said.count(), 1, "said once: {log}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_cannot_be_read_serves_nothing() -> Result<(), Failure> {
    let mut stack = Stack::start(Settings::default().film("a.mkv", 1000)).await?;
    stack.gateway_command(&["takedown", "add", A, "--reason", "Notice"]).await?.done()?;
    stack.gateway.take().ok_or("no gateway")?.kill().await;
    let file = stack.takedown_file();
    let settings = file.with_file_name("gateway.toml");
    let good = std::fs::read(&file)?;
    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    *flipped.get_mut(middle).ok_or("an empty list")? ^= 1;
    let cut = good.get(..good.len() - 5).ok_or("an empty list")?;
    let damages =
        [(None, "is missing"), (Some(cut), "line"), (Some(flipped.as_slice()), "line"), (Some(&[][..]), "line")];
    for (bad, says) in damages {
        match bad {
            Some(bad) => std::fs::write(&file, bad)?,
            None => std::fs::remove_file(&file)?,
        }
        for command in ["run", "check"] {
            let mut program = tokio::process::Command::new(binary("gateway")?);
            let output = program.args([command, "--config"]).arg(&settings).kill_on_drop(true).output();
            let output = tokio::time::timeout(Duration::from_secs(20), output).await??;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{command}: {said}");
            assert!(said.contains("takedown.file") && said.contains(says), "{command}: {said}");
        }
    }
    std::fs::write(&file, good)?;
    stack.start_gateway().await?;
    assert_eq!(first_bytes(&stack, "a.mkv").await?.status, 451);
    Ok(())
}
