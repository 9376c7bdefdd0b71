//! Debian's Chromium opens a signed URL of a film whose index lies at its end, plays it and seeks.

use harness::{Browser, Failure, Settings, Stack};
use serde_json::json;
use std::path::Path;
use std::time::Duration;
use telegram_sim::Shape;

/// Plays, then seeks to each position; resolves with what the decoder showed after each seek.
const PLAY_AND_SEEK: &str = r"
const [positions, done] = arguments;
const video = document.querySelector('video');
const wait = (event) => new Promise((go, fail) => {
    video.addEventListener(event, go, { once: true });
    video.addEventListener('error', () => fail(video.error && video.error.message), { once: true });
});
const frame = () => new Promise((go) => video.requestVideoFrameCallback((now, shown) => go(shown.mediaTime)));
(async () => {
    if (video.readyState < 1) await wait('loadedmetadata');
    video.muted = true;
    // A film opened by itself starts by itself: who asks as well may be told that the one interrupts the other.
    await video.play().catch((error) => { if (error.name !== 'AbortError') throw error; });
    const first = await frame();
    while (video.currentTime < first + 0.3) await frame();
    const played = video.currentTime;
    const shown = [];
    for (const position of positions) {
        const arrived = wait('seeked');
        video.currentTime = position;
        await arrived;
        shown.push(await frame());
    }
    done({ duration: video.duration, width: video.videoWidth, played, shown });
})().catch((error) => done({ error: String(error) }));
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_plays_and_seeks() -> Result<(), Failure> {
    let sample = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/sample.mp4"))?;
    let find = |name: &[u8]| sample.windows(4).position(|window| window == name).ok_or("no such box");
    assert!(find(b"moov")? > find(b"mdat")?, "the sample's index must lie at its end");
    let folder = tempfile::tempdir()?;
    // Small slices, so that even this small film takes several; slow enough that Chromium does not have all of it before it
    // needs the index at the end, or the place it seeks to.
    let shape = Shape { rtt_ms: 40, account_bytes_per_second: 256 << 10, ..Shape::default() };
    let settings = Settings { shape, ..Settings::default() }.film_of("sample.mp4", sample);
    let settings = settings.gateway("cache.slice_size", "\"64KiB\"").gateway("cache.first_run", "2");
    let mut stack = Stack::start(settings).await?;
    let film = stack.film("sample.mp4")?.clone();
    let url = format!("http://{}{}", stack.client.address, stack.link(&film));
    let browser = Browser::start(folder.path(), &[]).await?;
    browser.open(&url).await?;
    let positions = [20.0, 3.0, 12.0];
    let seen = browser.run(PLAY_AND_SEEK, json!([positions])).await;
    browser.close().await?;
    let seen = seen?;
    println!("{seen}");
    assert!(seen["error"].is_null(), "{seen}");
    assert!(seen["width"].as_u64() > Some(0) && seen["played"].as_f64() > Some(0.0), "{seen}");
    for (position, shown) in positions.iter().zip(seen["shown"].as_array().ok_or("nothing was shown")?) {
        let shown = shown.as_f64().ok_or("no time")?;
        assert!((shown - position).abs() < 1.0, "asked for {position}, was shown {shown}");
    }
    let ranged = async {
        while stack.log_line().await?["status"] != 206 {}
        Ok::<(), Failure>(())
    };
    tokio::time::timeout(Duration::from_secs(20), ranged).await.map_err(|_| "Chromium asked for no range")?
}
