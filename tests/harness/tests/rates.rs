//! Rates, streams and months over two gateways and one Redis, whole programs all of them. Counters decide; a window is a day, so that what
//! comes back meanwhile is less than one request.

use harness::{Answer, Client, Failure, Redis, RedisFleet, SECRET, Settings, Stack, eventually};
use http::Method;
use http_body_util::BodyExt;
use std::net::{IpAddr, Ipv4Addr};

/// Requests that one address may make, and what 2 % of them are.
const RATE: usize = 600;
const TOLERATED: usize = RATE / 50;
/// Clients at once, of each gateway.
const WORKERS: usize = 8;

struct Two {
    first: Stack,
    second: Stack,
}

impl Two {
    async fn start(settings: impl Fn() -> Settings) -> Result<Self, Failure> {
        let first = Stack::start(Settings { redis: true, ..settings() }).await?;
        let url = format!("\"{}\"", first.redis.as_ref().map(Redis::url).ok_or("no Redis")?);
        let settings = settings().gateway("redis.url", &url);
        // A busy machine must not look like a lost Redis.
        let settings = settings.gateway("redis.timeout", "\"5s\"").gateway("redis.rate_timeout", "\"5s\"");
        let two = Self { first, second: Stack::start(settings).await? };
        two.both("gateways", 2.0).await?;
        two.both("redis_away", 0.0).await?;
        Ok(two)
    }

    /// Waits until a figure of the rates is the same at both.
    async fn both(&self, what: &str, value: f64) -> Result<(), Failure> {
        let series = format!("streamvault_rates_state{{what=\"{what}\"}}");
        eventually(what, async || {
            // Exact: both are counts.
            let seen = [self.first.metric(&series).await?, self.second.metric(&series).await?];
            Ok(seen.iter().all(|seen| (seen - value).abs() < 0.5))
        })
        .await
    }

    /// How many of twice `RATE` requests of one address pass at each gateway, all asked at once.
    async fn passes(&self, address: u8) -> Result<[usize; 2], Failure> {
        let workers = |client: Client| {
            (0..WORKERS).map(move |_| tokio::spawn(async move { passes(client, address, RATE / WORKERS + 1).await }))
        };
        let (here, there) = (workers(self.first.client), workers(self.second.client));
        let (here, there): (Vec<_>, Vec<_>) = (here.collect(), there.collect());
        let mut passed = [0, 0];
        for (sum, workers) in passed.iter_mut().zip([here, there]) {
            for worker in workers {
                *sum += worker.await??;
            }
        }
        Ok(passed)
    }
}

/// What the gateway answers by itself, and counts.
async fn ask(client: Client, address: u8) -> Result<Answer, Failure> {
    let from = IpAddr::V4(Ipv4Addr::new(127, 0, 0, address));
    client.ask_from(Some(from), Method::GET, "/robots.txt", &[]).await
}

async fn passes(client: Client, address: u8, requests: usize) -> Result<usize, Failure> {
    let mut passed = 0;
    for _ in 0..requests {
        let answer = ask(client, address).await?;
        match answer.status.as_u16() {
            200 => passed += 1,
            429 => {
                let field = |name: &str| answer.header(name).map(str::to_owned).ok_or(format!("no {name}"));
                let wait: u64 = field("retry-after")?.parse()?;
                assert!((1..=86_400).contains(&wait), "{wait}");
                assert_eq!(field("ratelimit-policy")?, format!("\"api-address\";q={RATE};w=86400"));
                assert!(field("ratelimit")?.starts_with("\"api-address\";r=0;t="), "{answer:?}");
            }
            other => return Err(format!("{other}").into()),
        }
    }
    Ok(passed)
}

fn within(passed: usize) -> bool {
    (RATE - TOLERATED..=RATE + TOLERATED).contains(&passed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rates_hold_over_two_gateways_with_redis_without_it_and_when_it_is_back() -> Result<(), Failure> {
    let settings = || {
        films()
            .film("film.mkv", 16 << 20)
            .gateway("rates.api.address", &format!("\"{RATE}/1d\""))
            .tenant("films", "limits.viewer_streams", "50")
            .tenant("films", "limits.bytes_per_month", "\"1TiB\"")
    };
    let mut two = Two::start(settings).await?;
    // More than sockets hold: both go on at the end only, after all that happens meanwhile.
    let mut running = Vec::new();
    for stack in [&two.first, &two.second] {
        let film = stack.film("film.mkv")?;
        let (status, _, body) = stack.client.open(Method::GET, &stack.link(film), &[]).await?;
        assert_eq!(status, 200);
        running.push((film.clone(), body));
    }

    let passed = two.passes(1).await?;
    println!("with Redis: {passed:?} of {RATE}");
    assert!(within(passed.iter().sum()), "{passed:?}");

    // Gone: each has its share, for whom Redis knew and for whom it didn't; nobody is refused for want of it.
    two.first.redis.take().ok_or("no Redis")?.kill().await;
    two.both("redis_away", 1.0).await?;
    let (known, new) = (two.passes(1).await?, two.passes(2).await?);
    println!("without: {known:?} more for the known, {new:?} for the new");
    assert!(known.iter().sum::<usize>() <= TOLERATED, "{known:?}");
    assert!(within(new.iter().sum()) && new.iter().all(|passed| passed.abs_diff(RATE / 2) <= TOLERATED), "{new:?}");
    let link_of_new = link(&two.second, "film.mkv")?;
    let film = two.second.client.ask(Method::GET, &link_of_new, &[("host", "films.test"), ("range", "bytes=0-99")]);
    assert_eq!(film.await?.status, 206, "a stream may begin");

    // Back, and empty: it is told of what it missed, and everybody else has one rate again.
    two.first.start_redis().await?;
    two.both("redis_away", 0.0).await?;
    let first = passes(two.second.client, 2, 1).await? + passes(two.first.client, 2, 1).await?;
    let (told, others) = (two.passes(2).await?, two.passes(3).await?);
    println!("back: {first} and {told:?} more for the new of before, {others:?} of {RATE}");
    assert!(first + told.iter().sum::<usize>() <= TOLERATED, "{told:?}");
    assert!(within(others.iter().sum()), "{others:?}");

    for (film, body) in running {
        let body = body.collect().await?.to_bytes();
        assert_eq!(body.len() as u64, film.size, "the film came whole");
        film.compare(0, &body)?;
    }
    Ok(())
}

fn link(stack: &Stack, name: &str) -> Result<String, Failure> {
    Ok(stack.link(stack.film(name)?))
}

/// A tenant with bounds, whose links the harness signs as it does for a stack's only one.
fn films() -> Settings {
    Settings::default().tenant("films", "link.secrets", &format!("[{{ id = \"first\", secret = \"{SECRET}\" }}]"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewers_streams_and_a_tenants_month_are_counted_over_both_gateways() -> Result<(), Failure> {
    let settings = || {
        films()
            .film("a.mkv", 64 << 20)
            .film("b.mkv", 64 << 20)
            .tenant("films", "limits.viewer_streams", "1")
            .tenant("films", "limits.viewer_bytes_per_second", "\"1MiB\"")
            .tenant("films", "limits.bytes_per_month", "\"5MiB\"")
            .tenant("films", "limits.when_spent", "\"cut\"")
    };
    let two = Two::start(settings).await?;
    let host = [("host", "films.test")];
    let (first, second) = (link(&two.first, "a.mkv")?, link(&two.second, "b.mkv")?);
    let (status, _, running) = two.first.client.open(Method::GET, &first, &host).await?;
    assert_eq!(status, 200);
    let some = [("host", "films.test"), ("range", "bytes=0-99")];
    let refused = two.second.client.ask(Method::GET, &second, &some).await?;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, Some("10")), "one stream, wherever");
    drop(running);
    eventually("its place is given back", async || {
        Ok(two.second.client.ask(Method::GET, &second, &some).await?.status == 206)
    })
    .await?;

    // What goes out at one gateway is spent at the other, and what runs is cut.
    let mut begun = None;
    eventually("the other one's place is given back, too", async || {
        let (status, _, body) = two.first.client.open(Method::GET, &first, &host).await?;
        begun = Some(body);
        Ok(status == 200)
    })
    .await?;
    let mut running = begun.ok_or("no film")?;
    let mut sent = 0;
    let cut = loop {
        match running.frame().await {
            Some(Ok(frame)) => sent += frame.into_data().map_or(0, |data| data.len()),
            Some(Err(_)) => break true,
            None => break false,
        }
    };
    assert!(cut && sent < 6 << 20, "{sent} bytes, cut: {cut}");
    // What it has begun when it learns of it is cut.
    let asks = async || two.second.client.ask(Method::GET, &second, &some).await;
    eventually("the other knows", async || Ok(asks().await.is_ok_and(|answer| answer.status == 503))).await?;
    let spent = two.second.client.ask(Method::GET, &second, &some).await?;
    let wait: u64 = spent.header("retry-after").ok_or("no Retry-After")?.parse()?;
    assert!((1..=86_400).contains(&wait), "{wait}");
    let month = "streamvault_month_sent_bytes{tenant=\"films\"}";
    assert!(two.second.metric(month).await? >= f64::from(5 << 20));
    assert!(two.first.metric("streamvault_requests_total{outcome=\"quota-midway\"}").await? >= 1.0);
    assert!(two.second.metric("streamvault_requests_total{outcome=\"quota-spent\"}").await? >= 1.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_finds_its_redis_in_a_cluster_and_behind_sentinels() -> Result<(), Failure> {
    let (cluster, watched) = (RedisFleet::cluster().await?, RedisFleet::with_sentinel().await?);
    let of_cluster = format!("[\"127.0.0.1:{}\"]", cluster.port(0));
    let of_sentinel = format!("[\"127.0.0.1:{}\"]", watched.port(1));
    let forms = [
        vec![("redis.cluster.nodes", of_cluster)],
        vec![("redis.sentinel.nodes", of_sentinel), ("redis.sentinel.master", "\"films\"".to_owned())],
    ];
    for form in forms {
        let mut settings = Settings::default().gateway("rates.api.address", "\"3/1d\"");
        for (key, value) in &form {
            settings = settings.gateway(key, value);
        }
        let settings = settings.gateway("redis.timeout", "\"5s\"").gateway("redis.rate_timeout", "\"5s\"");
        let stack = Stack::start(settings).await?;
        eventually("Redis is found", async || {
            Ok(stack.metric("streamvault_rates_state{what=\"redis_away\"}").await? < 0.5)
        })
        .await?;
        assert_eq!(passes_of(&stack, 9).await?, 3, "{form:?}");
        let alone = stack.metric("streamvault_rates_alone_total{route=\"api\"}").await?;
        assert!(alone < 0.5, "{form:?}: {alone} decided without Redis");
        // The way by which gateways tell each other things goes through the same Redis.
        eventually("a purge is taken", async || {
            let printed = stack.gateway_command(&["cache", "purge", "--all"]).await?;
            Ok(printed.out.contains("taken by 1 of 1"))
        })
        .await?;
    }
    Ok(())
}

async fn passes_of(stack: &Stack, requests: usize) -> Result<usize, Failure> {
    let mut passed = 0;
    for _ in 0..requests {
        passed += usize::from(ask(stack.client, 1).await?.status == 200);
    }
    Ok(passed)
}
