//! What plugins cost: a call by itself, requests behind chains of them, and a guest that spins.

use crate::measure::Samples;
use crate::rig::{Rig, is_installed, put};
use crate::table::{Table, figure};
use crate::wrk::Plan;
use harness::{Failure, Settings};
use plugin_host::{Host, HostConfig, Plugins, Policy, Request};
use plugin_kv::{Kv, MemoryBounds};
use plugin_package::{Hook, Isolation, Spec, Trust};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const ROUNDS: usize = 7;
const SECONDS: u32 = 3;
const CONNECTIONS: u32 = 32;
const FILM: u64 = 64 << 20;
const RANGE: u64 = 4 << 10;
const REQUESTS: u64 = 4096;
const CALLS: usize = 20_000;
/// The harness's channel, as links name it.
const CHAT_ID: i64 = -1_001_700_000_001;

/// Tenants of one gateway, by the plugins in front of their films.
const TENANTS: [(&str, usize, &str, u32); 6] = [
    ("none", 0, "warm", 0),
    ("one, warm, as it ships: its verdict is kept for 10 s", 1, "warm", 10),
    ("four, warm, as they ship", 4, "warm", 10),
    ("one, warm, asked about each request", 1, "warm", 0),
    ("four, warm, asked about each", 4, "warm", 0),
    ("one, fresh for each call, asked about each", 1, "request", 0),
];

pub(crate) async fn run() -> Result<(), Failure> {
    println!("## Plugins\n");
    let folder = folder()?;
    calls(&folder).await?;
    spinning(&folder)?;
    if !is_installed("wrk") {
        println!("Requests skipped: wrk is not installed (Debian's package `wrk`).\n");
        return Ok(());
    }
    requests(&folder).await
}

/// Where scripts/guests lays plugins out: beside the folder of this program.
fn folder() -> Result<PathBuf, Failure> {
    let program = std::env::current_exe()?;
    let folder = program.ancestors().nth(2).ok_or("no target folder")?.join("plugins/policy-tiers");
    if folder.join("plugin.toml").is_file() {
        Ok(folder)
    } else {
        Err(format!("{} is missing; run scripts/guests", folder.display()).into())
    }
}

/// Calls in this process, one after the other.
async fn calls(folder: &Path) -> Result<(), Failure> {
    let code = tempfile::tempdir()?;
    let host = Host::new(
        HostConfig { code_folder: code.path().join("code"), instances: 64 },
        Kv::in_memory(MemoryBounds::default()),
    )?;
    let mut specs = Vec::new();
    for (tenant, (_, count, isolation, _)) in TENANTS.iter().enumerate() {
        for number in 0..*count {
            let mut spec = Spec::new(format!("p{tenant}-{number}"), folder);
            spec.tenants = plugin_package::Tenants::Only([format!("t{tenant}")].into());
            spec.isolation = Some(if *isolation == "warm" { Isolation::Warm } else { Isolation::Request });
            specs.push(spec);
        }
    }
    let (plugins, changes) = Plugins::open(host, specs, Trust::default()).await;
    if let Some(change) = changes.iter().find(|change| change.problem().is_some()) {
        return Err(format!("{change:?}").into());
    }
    println!("Calls of `policy-tiers` with a request of a browser, {CALLS} one after the other.\n");
    let mut table = Table::new(1, ["plugins in the chain", "p50 µs", "p90 µs", "p99 µs"]);
    // What is kept is not asked: that row is one of the next table.
    for (tenant, (name, ..)) in TENANTS.iter().enumerate().filter(|(_, (_, count, _, keep))| *count > 0 && *keep == 0) {
        let tenant: Arc<str> = format!("t{tenant}").into();
        let mut samples = Samples::default();
        for call in 0..CALLS + 1000 {
            let request = request(&tenant);
            let started = crate::measure::now();
            let chain = plugins.chain(Hook::Policy, &tenant).ok_or("no chain")?;
            let verdict = chain.policy(&request).await;
            let took = started.elapsed();
            if !matches!(verdict, Policy::Allow(..)) {
                return Err(format!("{name}: {verdict:?}").into());
            }
            if call >= 1000 {
                samples.add(took.as_secs_f64());
            }
        }
        let at = |share: f64| figure(samples.quantile(share) * 1e6);
        table.row([(*name).to_owned(), at(0.5), at(0.9), at(0.99)]);
    }
    println!("{table}");
    Ok(())
}

/// A guest that never answers, and what it does to others on the same thread.
fn spinning(good: &Path) -> Result<(), Failure> {
    const LIMIT: Duration = Duration::from_millis(5);
    const SPINS: usize = 200;
    let folder = tempfile::tempdir()?;
    let (manifest, module) = harness::spinning()?;
    put(&folder.path().join("plugin.toml"), manifest.as_bytes())?;
    put(&folder.path().join("spinning.wasm"), &module)?;
    let only = |name: &str, tenant: &str, from: &Path| {
        let mut spec = Spec::new(name, from);
        spec.tenants = plugin_package::Tenants::Only([tenant.to_owned()].into());
        spec
    };
    let mut spin = only("spin", "spin", folder.path());
    spin.limits.time = Some(LIMIT);
    let specs = vec![spin, only("good", "good", good)];
    // One thread for all, and not one of this program's own runtime: nobody can run elsewhere.
    let (late, alone, beside) = std::thread::scope(|scope| {
        scope
            .spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(async {
                    let code = tempfile::tempdir()?;
                    let config = HostConfig { code_folder: code.path().join("code"), instances: 16 };
                    let host = Host::new(config, Kv::in_memory(MemoryBounds::default()))?;
                    let (plugins, _) = Plugins::open(host, specs, Trust::default()).await;
                    let plugins = Arc::new(plugins);
                    let alone = others(&plugins, |count| count < 5_000).await?;
                    let task = tokio::spawn(spin_for(plugins.clone(), SPINS, LIMIT));
                    let beside = others(&plugins, |_| !task.is_finished()).await?;
                    Ok::<_, Failure>((task.await??, alone, beside))
                })
            })
            .join()
            .map_err(|_| "the thread of the measurement ended")?
    })?;
    println!(
        "A guest that computes for ever, `limits.time` 5 ms, {SPINS} calls one after the other; calls of `policy-tiers` on the same \
         thread meanwhile, each after a yield.\n"
    );
    let mut table = Table::new(1, ["what", "n", "p50 µs", "p99 µs", "max µs"]);
    for (name, samples) in
        [("cut off after its deadline", &late), ("others, alone", &alone), ("others, beside it", &beside)]
    {
        let at = |share: f64| figure(samples.quantile(share) * 1e6);
        table.row([name.to_owned(), samples.count().to_string(), at(0.5), at(0.99), at(1.0)]);
    }
    println!("{table}");
    Ok(())
}

async fn spin_for(plugins: Arc<Plugins>, spins: usize, limit: Duration) -> Result<Samples, Failure> {
    let tenant: Arc<str> = "spin".into();
    let mut late = Samples::default();
    for _ in 0..spins {
        let chain = plugins.chain(Hook::Policy, &tenant).ok_or("no chain")?;
        let started = crate::measure::now();
        let verdict = chain.policy(&request(&tenant)).await;
        late.add_time(started.elapsed().saturating_sub(limit));
        if !matches!(verdict, Policy::Failed { .. }) {
            return Err(format!("a guest that never answers answered {verdict:?}").into());
        }
    }
    Ok(late)
}

/// Calls of a well-behaved plugin. What is timed is the call, with the turns that others take in it.
async fn others(plugins: &Plugins, go_on: impl Fn(usize) -> bool) -> Result<Samples, Failure> {
    let tenant: Arc<str> = "good".into();
    let mut samples = Samples::default();
    while go_on(samples.count()) {
        let chain = plugins.chain(Hook::Policy, &tenant).ok_or("no chain")?;
        let started = crate::measure::now();
        tokio::task::yield_now().await;
        if !matches!(chain.policy(&request(&tenant)).await, Policy::Allow(..)) {
            return Err("the other plugin failed".into());
        }
        samples.add_time(started.elapsed());
    }
    Ok(samples)
}

fn request(tenant: &Arc<str>) -> Arc<Request> {
    let mut request = Request::default();
    request.id = "00112233445566aa".to_owned();
    request.tenant = tenant.clone();
    request.method = "GET";
    request.host = "films.test".to_owned();
    request.path = "/stream/-1001700000001/7/film.mp4".to_owned();
    request.origin = "https://films.test".to_owned();
    request.target = "/stream/-1001700000001/7/film.mp4?md5=0123456789012345678901&expires=1800000000".to_owned();
    request.headers = vec![("referer".to_owned(), "https://films.test/watch/7".to_owned())];
    request.remote_address = Some("192.0.2.7".to_owned());
    request.viewer = "192.0.2.7".to_owned();
    request.range = Some("bytes=1048576-".to_owned());
    Arc::new(request)
}

/// Hits over HTTP, tenant by tenant of one gateway.
async fn requests(folder: &Path) -> Result<(), Failure> {
    let mut tenants = String::new();
    let mut plugins = String::new();
    for (number, (_, count, isolation, keep)) in TENANTS.iter().enumerate() {
        write!(
            tenants,
            "{{ id = \"t{number}\", domains = [\"t{number}.test\"{}], channels = [{}], link = {{ secrets = [{{ id = \"first\", secret = \"{}\" }}] }} }}, ",
            if number == 0 { ", \"*\"" } else { "" },
            CHAT_ID,
            harness::SECRET,
        )?;
        for plugin in 0..*count {
            write!(
                plugins,
                "{{ name = \"p{number}-{plugin}\", folder = {folder:?}, tenants = [\"t{number}\"], isolation = \"{isolation}\", settings = {{ free_bytes_per_second = 0, free_viewer_streams = 0, keep_seconds = {keep} }} }}, "
            )?;
        }
    }
    let code = tempfile::tempdir()?;
    let settings = Settings::default()
        .gateway("threads", "1")
        .gateway("tenant", &format!("[{tenants}]"))
        .gateway("plugin", &format!("[{plugins}]"))
        .gateway("plugins.code_folder", &format!("{:?}", code.path().join("code")))
        .film("hits.mkv", FILM);
    let rig = Rig::start(settings, false).await?;
    let edge = rig.edges()?.into_iter().next().ok_or("no gateway")?;
    let link = rig.stack.link(rig.stack.film("hits.mkv")?);
    while edge.fetch(&link, "bytes=0-", u64::MAX).await?.cache != "HIT" {}
    let mut text = String::new();
    for number in 0..REQUESTS {
        let first = number * 7919 * RANGE % (FILM - RANGE);
        writeln!(text, "{link} bytes={first}-{}", first + RANGE - 1)?;
    }
    let list = rig.folder().join("requests-plugins");
    put(&list, text.as_bytes())?;
    let mut rows: Vec<(Samples, Samples, Samples)> = TENANTS.iter().map(|_| Default::default()).collect();
    for round in 0..ROUNDS {
        eprintln!("bench: plugins: round {} of {ROUNDS}", round + 1);
        let mut order: Vec<usize> = (0..TENANTS.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for number in order {
            if let Some((per_second, cpu, p99)) = rows.get_mut(number) {
                let host = format!("t{number}.test");
                let plan =
                    Plan { list: &list, host: Some(&host), connections: CONNECTIONS, seconds: SECONDS, size: RANGE };
                let load = plan.run(&edge).await?;
                per_second.add(load.requests / load.seconds);
                cpu.add(load.cpu / load.requests);
                p99.add(load.p99);
            }
        }
    }
    println!(
        "Random ranges of 4 KiB of a cached film, one gateway with one worker, a tenant for each row; {CONNECTIONS} connections \
         kept alive, {SECONDS} s a run, medians of {ROUNDS} alternating rounds. wrk shares the machine.\n"
    );
    let mut table =
        Table::new(1, ["plugins before the cache", "requests/s", "to none", "CPU µs each", "more µs", "p99 ms"]);
    let (base, base_cpu) = rows.first().map_or((f64::NAN, f64::NAN), |(all, cpu, _)| (all.median(), cpu.median()));
    for ((name, ..), (per_second, cpu, p99)) in TENANTS.iter().zip(&rows) {
        table.row([
            (*name).to_owned(),
            figure(per_second.median()),
            format!("{:+.1} %", (per_second.median() / base - 1.0) * 100.0),
            figure(cpu.median() * 1e6),
            figure((cpu.median() - base_cpu) * 1e6),
            figure(p99.median() / 1e3),
        ]);
    }
    println!("{table}");
    Ok(())
}
