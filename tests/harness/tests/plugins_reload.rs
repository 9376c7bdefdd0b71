//! Plugins change under load: no request may fail for it, and nothing may stay behind.

use harness::{ADMIN_TOKEN, Client, Failure, Fixed, PluginSettings, Settings, Stack};
use http::Method;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const VIEWERS: usize = 4;
/// Reloads after which memory is taken for settled.
const SETTLED: u64 = 400;
/// Reloads of the soak, those before included.
const SOAK: u64 = SETTLED + 1_000;
/// Every so many reloads the plugin that ships changes too: it costs more to compile.
const LARGE: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_reloads_under_load_fail_no_request() -> Result<(), Failure> {
    reload(60).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: part of the soak"]
async fn soak_thousand_reloads_under_load_stay_flat() -> Result<(), Failure> {
    let resident = reload(SOAK).await?;
    // The least of some: a reading in the middle of a compilation has that in it, too.
    let at = |count: u64| {
        let around = resident.iter().filter(|(number, _)| (count - 50..=count).contains(number));
        around.map(|(_, bytes)| *bytes).min().unwrap_or(0) as f64
    };
    for hundred in (100..=SOAK).step_by(100) {
        println!("resident after {hundred} reloads: {:.1} MB", at(hundred) / 1e6);
    }
    let (early, late) = (at(SETTLED), at(SOAK));
    assert!((late / early - 1.0).abs() <= 0.05, "from {early} to {late} bytes");
    Ok(())
}

/// Reloads a changed policy so many times while viewers ask without a pause; gives the resident set after each.
async fn reload(times: u64) -> Result<Vec<(u64, u64)>, Failure> {
    // Nobody reads the log here, and what waits in its queue would be taken for a leak.
    let settings = Settings::default().gateway("log.access", "'off'").film("a.mkv", 1 << 20).plugin(policy(0)).plugin(
        PluginSettings::new("policy-tiers")
            .set("settings.free_viewer_streams", "0")
            .set("settings.free_bytes_per_second", "0")
            .set("order", "200"),
    );
    let mut stack = Stack::start(settings).await?;
    let film = stack.film("a.mkv")?.clone();
    let link: Arc<str> = stack.link(&film).into();
    stack.get("a.mkv", None).await?;

    let (done, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let progress = Arc::new(tokio::sync::Notify::new());
    let mut viewers = tokio::task::JoinSet::new();
    for _ in 0..VIEWERS {
        let (client, link, film) = (stack.client, link.clone(), film.clone());
        let (done, served, progress) = (done.clone(), served.clone(), progress.clone());
        viewers.spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let answer = client.ask(Method::GET, &link, &[("range", "bytes=1000-66535")]).await?;
                if answer.status != 206 || answer.broken.is_some() {
                    return Err(format!("{} {:?}", answer.status, String::from_utf8_lossy(&answer.body)).into());
                }
                film.compare(1000, &answer.body)?;
                served.fetch_add(1, Ordering::Relaxed);
                progress.notify_one();
            }
            Ok::<(), Failure>(())
        });
    }
    let mut resident = Vec::new();
    for number in 1..=times {
        stack.set_plugin(policy(number))?;
        // A long run begins with as many large ones as it will have after: the allocator then has what compiling needs, and what
        // comes on top of it is what stays behind.
        if number % LARGE == 0 || (times > SETTLED && number <= SETTLED) {
            stack.break_plugin("policy-tiers", "newer")?;
        }
        let before = served.load(Ordering::Relaxed);
        loaded(&stack.admin, number).await?;
        // Each generation has to have answered somebody before the next comes.
        while served.load(Ordering::Relaxed) < before + VIEWERS as u64 {
            tokio::select! {
                // Before the end only one that failed ends.
                Some(ended) = viewers.join_next() => ended??,
                () = progress.notified() => {}
            }
        }
        let gateway = stack.gateway.as_ref().ok_or("no gateway")?;
        resident.push((number, gateway.resident_bytes().ok_or("the gateway is gone")?));
    }
    done.store(true, Ordering::Relaxed);
    while let Some(viewer) = viewers.join_next().await {
        viewer??;
    }
    for kind in ["trap", "start", "broken", "wall", "busy"] {
        let failures = format!("streamvault_plugin_failures_total{{plugin=\"gate\",kind=\"{kind}\"}}");
        assert_eq!(stack.metric(&failures).await?, 0.0, "{kind}");
    }
    let allowed = stack.metric("streamvault_plugin_verdicts_total{plugin=\"gate\",verdict=\"allow\"}").await?;
    let served = served.load(Ordering::Relaxed);
    assert!(allowed >= served as f64, "{served} were served, {allowed} allowed");
    println!("{times} reloads, {served} requests");
    Ok(resident)
}

/// The same policy in as many versions as there are numbers.
fn policy(number: u64) -> PluginSettings {
    let allow = Fixed::Allow {
        rate: None,
        viewer_streams: u32::try_from(1_000 + number).ok(),
        tenant_streams: None,
        expires: None,
        ranges: Vec::new(),
        viewer: None,
        keep: None,
    };
    PluginSettings::fixed("gate", allow)
}

async fn loaded(admin: &Client, number: u64) -> Result<(), Failure> {
    let token = format!("Bearer {ADMIN_TOKEN}");
    let answer = admin.ask(Method::POST, "/v1/plugins/reload", &[("authorization", &token)]).await?;
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    if answer.status == 200 && text.contains("gate") { Ok(()) } else { Err(format!("reload {number}: {text}").into()) }
}
