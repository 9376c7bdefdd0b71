//! Where a request's time went, told to a collector by gateway and hive together.
#![expect(clippy::disallowed_methods, reason = "how long an end takes is measured here")]

use harness::{Collector, Failure, Settings, Stack, ToldSpan, eventually, size};
use http::Method;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const AUTHORIZATION: &str = "Basic c3RyZWFtdmF1bHQ6dHJhY2Vz";
const GATEWAY: &str = "streamvault-gateway";
const HIVE: &str = "streamvault-worker-hive";
/// A collector is waited for as long, by nobody else. Bounds of what must not wait for it, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(5);
/// Of somebody's trace, which is recorded, and which is not.
const RECORDED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const UNRECORDED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

fn told(settings: Settings, collector: &Collector, sample: &str) -> Settings {
    let authorization = format!("\"{AUTHORIZATION}\"");
    settings
        .gateway("traces.endpoint", &collector.endpoint())
        .gateway("traces.authorization", &authorization)
        .gateway("traces.sample", sample)
        .hive("traces.endpoint", &collector.endpoint())
        .hive("traces.authorization", &authorization)
        .hive("traces.sample", "0")
}

/// Those of one trace, once nothing is missing: each has one above it, but for one.
async fn whole(collector: &Collector, names: &[&str]) -> Result<Vec<ToldSpan>, Failure> {
    let mut whole = Vec::new();
    let wanted: BTreeSet<&str> = names.iter().copied().collect();
    eventually("the whole trace", async || {
        let spans = collector.spans()?;
        let seen: BTreeSet<&str> = spans.iter().map(|span| &*span.name).collect();
        let ids: BTreeSet<&str> = spans.iter().map(|span| &*span.id).collect();
        let roots = spans.iter().filter(|span| !ids.contains(&*span.parent)).count();
        let is_whole = wanted.is_subset(&seen) && roots == 1;
        whole = spans;
        Ok(is_whole)
    })
    .await
    .map_err(|error| format!("{error}: {:#?}", collector.spans()))?;
    Ok(whole)
}

fn one<'a>(spans: &'a [ToldSpan], name: &str) -> Result<&'a ToldSpan, Failure> {
    spans.iter().find(|span| span.name == name).ok_or_else(|| format!("no span {name}: {spans:#?}").into())
}

/// The names from this span up to the root.
fn way(spans: &[ToldSpan], from: &ToldSpan) -> Vec<String> {
    let mut way = vec![format!("{}: {}", from.service, from.name)];
    let mut at = from;
    while let Some(above) = spans.iter().find(|span| span.id == at.parent) {
        way.push(format!("{}: {}", above.service, above.name));
        at = above;
    }
    way
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cold_request_is_one_trace_through_both_programs() -> Result<(), Failure> {
    let collector = Collector::start(AUTHORIZATION).await?;
    let stack = Stack::start(told(Settings::default().film("a.mkv", size("3MiB")?), &collector, "1")).await?;
    let answer = stack.get("a.mkv", Some("bytes=1000-1999")).await?;
    assert_eq!(answer.status, 206);
    let names = ["viewer", "tenant", "media", "open", "send", "fill", "ask", "hive", "chunk", "upload.getFile"];
    let spans = whole(&collector, &names).await?;
    let viewer = one(&spans, "viewer")?;
    assert!(spans.iter().all(|span| span.trace == viewer.trace && span.time.0 <= span.time.1), "{spans:#?}");
    for (key, value) in [
        ("http.request.method", "GET"),
        ("http.response.status_code", "206"),
        ("url.path", &*stack.path(stack.film("a.mkv")?)),
        ("streamvault.outcome", "served"),
        ("streamvault.tenant", "films"),
        ("streamvault.cache", "MISS"),
        ("streamvault.bytes", "1000"),
    ] {
        assert_eq!(viewer.notes.get(key).map(String::as_str), Some(value), "{key}: {viewer:#?}");
    }
    let (gateway, hive) = (|name: &str| format!("{GATEWAY}: {name}"), |name: &str| format!("{HIVE}: {name}"));
    let fetch = spans.iter().find(|span| span.name == "upload.getFile").ok_or("no call")?;
    let seen = way(&spans, fetch);
    let ends = (seen.first().cloned(), seen.last().cloned());
    assert_eq!(ends, (Some(hive("upload.getFile")), Some(gateway("viewer"))), "{seen:?}");
    let both = seen.contains(&gateway("ask")) && seen.contains(&hive("hive")) && seen.contains(&gateway("fill"));
    assert!(both && seen.contains(&hive("chunk")), "{seen:?}");
    assert_eq!(fetch.notes.get("streamvault.session").map(String::as_str), Some("account-0"), "{fetch:#?}");

    // A link is a credential, and so are tokens; where a viewer is, is nobody's business. The hive's address is a path here.
    let all = format!("{spans:?}");
    for secret in ["md5=", "expires=", AUTHORIZATION, "Bearer", "harness-token", "127.0.0.1"] {
        assert!(!all.contains(secret), "{secret} was told: {all}");
    }

    // The same again comes out of the cache: the hive is not part of it.
    let before = spans.len();
    assert_eq!(stack.get("a.mkv", Some("bytes=1000-1999")).await?.status, 206);
    eventually("the second request", async || {
        Ok(collector.spans()?.iter().skip(before).any(|span| span.name == "viewer"))
    })
    .await?;
    let second: Vec<_> = collector.spans()?.into_iter().filter(|span| span.trace != viewer.trace).collect();
    assert!(!second.iter().any(|span| ["fill", "describe", "ask"].contains(&&*span.name)), "{second:#?}");
    assert_eq!(one(&second, "viewer")?.notes.get("streamvault.cache").map(String::as_str), Some("HIT"));
    Ok(())
}

/// What is opened while the part before is read belongs to the request, too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_part_of_a_joined_film_is_in_the_trace() -> Result<(), Failure> {
    let collector = Collector::start(AUTHORIZATION).await?;
    let settings = Settings::default().film("a.mkv.001", 1 << 20).film("a.mkv.002", 1 << 20);
    let mut stack = Stack::start(told(settings, &collector, "1")).await?;
    stack.join("joined", "a.mkv", &["a.mkv.001", "a.mkv.002"]).await?;
    assert_eq!(stack.get("joined", Some("bytes=1048000-1049000")).await?.status, 206);
    let method = "upload.getFile";
    eventually("every call is told, of whichever part", async || {
        let told = collector.spans()?.iter().filter(|span| span.name == method).count();
        Ok(told > 1 && u64::try_from(told)? == stack.sim.counters().snapshot().calls(method))
    })
    .await
    .map_err(|error| format!("{error}: {:#?}", collector.spans()))?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_why_and_viewers_draw_nothing() -> Result<(), Failure> {
    let collector = Collector::start(AUTHORIZATION).await?;
    let mut stack = Stack::start(told(Settings::default().film("a.mkv", 4096), &collector, "1")).await?;
    let path = stack.path(stack.film("a.mkv")?);
    let bad = format!("{path}?md5=AAAAAAAAAAAAAAAAAAAAAA&expires=4102444800");
    assert_eq!(stack.client.ask(Method::GET, &bad, &[]).await?.status, 403);
    let spans = whole(&collector, &["viewer"]).await?;
    let viewer = one(&spans, "viewer")?;
    assert_eq!(viewer.notes.get("http.response.status_code").map(String::as_str), Some("403"), "{viewer:#?}");
    assert!(viewer.failed.is_none(), "what a viewer did wrong is no fault of ours: {viewer:#?}");

    // Not followed, unless the operator says so: this viewer's trace is not ours.
    let link = stack.link(stack.film("a.mkv")?);
    assert_eq!(stack.client.ask(Method::GET, &link, &[("traceparent", UNRECORDED)]).await?.status, 200);
    eventually("two requests", async || Ok(roots(&collector)? == 2)).await?;
    assert!(!format!("{:?}", collector.spans()?).contains("0af7651916cd43dd8448eb211c80319c"));

    // From now on it is.
    stack.set_gateway("traces.follow", "true")?;
    stack.set_gateway("traces.sample", "0")?;
    stack.gateway.take().ok_or("no gateway")?.kill().await;
    stack.start_gateway().await?;
    for given in [Some(UNRECORDED), None, Some(RECORDED)] {
        let fields: Vec<_> = given.map(|given| ("traceparent", given)).into_iter().collect();
        assert_eq!(stack.client.ask(Method::GET, &link, &fields).await?.status, 200);
    }
    eventually("the third request", async || Ok(roots(&collector)? == 3)).await?;
    let spans = collector.spans()?;
    let viewers: Vec<_> = spans.iter().filter(|span| span.name == "viewer").collect();
    assert_eq!(viewers.last().map(|span| &*span.parent), Some("b7ad6b7169203331"));
    assert_eq!(viewers.last().map(|span| &*span.trace), Some("0af7651916cd43dd8448eb211c80319c"));
    Ok(())
}

/// Requests of viewers that were told.
fn roots(collector: &Collector) -> Result<usize, Failure> {
    Ok(collector.spans()?.iter().filter(|span| span.name == "viewer").count())
}

/// Nobody listens, or whoever listens never answers: viewers and the end don't wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_or_silent_keeps_nobody_waiting() -> Result<(), Failure> {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    for endpoint in ["http://127.0.0.1:1/v1/traces".to_owned(), format!("http://{}/v1/traces", silent.local_addr()?)] {
        let settings = Settings::default().film("a.mkv", 4096).gateway("traces.endpoint", &format!("\"{endpoint}\""));
        let mut stack = Stack::start(settings.gateway("traces.sample", "1")).await?;
        // More than may wait to be told, over more than one try to tell.
        for _ in 0..3000 {
            let answer = stack.get("a.mkv", None).await?;
            assert_eq!(answer.status, 200);
            assert!(answer.took < PATIENCE, "{:?}", answer.took);
        }
        eventually("the log says so", async || Ok(stack.error_log("gateway").contains("traces are lost"))).await?;
        let asked = Instant::now();
        assert!(stack.gateway.take().ok_or("no gateway")?.signal("TERM").await, "it does not end");
        assert!(asked.elapsed() < 3 * PATIENCE, "{:?}", asked.elapsed());
        let log = stack.error_log("gateway");
        assert_eq!(log.matches("traces are lost").count(), 1, "it is said once: {log}");
    }
    Ok(())
}
