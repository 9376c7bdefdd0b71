//! Debian's Chromium opens a signed URL of a film whose index lies at its end, plays it and seeks.

use bytes::Bytes;
use harness::{Failure, Process, Settings, Stack};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
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
    await video.play();
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

struct Browser {
    driver: std::net::SocketAddr,
    session: String,
    _process: Process,
}

impl Browser {
    async fn start(folder: &Path) -> Result<Self, Failure> {
        let driver = on_path(&["chromedriver", "chromium.chromedriver"])?;
        let chromium = on_path(&["chromium", "chromium-browser", "google-chrome"])?;
        let mut process = Process::start(&driver, &["--port=0"], &folder.join("chromedriver.log"))?;
        let said = process.wait_for("ChromeDriver was started successfully on port").await?;
        let driver = format!("127.0.0.1:{}", said.trim_end_matches('.')).parse()?;
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--autoplay-policy=no-user-gesture-required",
        ];
        let options = json!({ "binary": chromium, "args": arguments });
        let capabilities = json!({ "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options, "timeouts": { "script": 60_000 } } });
        let mut browser = Self { driver, session: String::new(), _process: process };
        let created = browser.command(Method::POST, "/session", json!({ "capabilities": capabilities })).await?;
        browser.session = created["sessionId"].as_str().ok_or("no session id")?.to_owned();
        Ok(browser)
    }

    /// One WebDriver command (W3C WebDriver §6); gives its `value`.
    async fn command(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let stream = tokio::net::TcpStream::connect(self.driver).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", self.driver.to_string());
        let request = request.header("content-type", "application/json").body(Full::<Bytes>::from(body.to_string()))?;
        let bytes = sender.send_request(request).await?.into_body().collect().await?.to_bytes();
        let answer: Value = serde_json::from_slice(&bytes)?;
        let value = answer["value"].clone();
        if value["error"].is_string() { Err(format!("{path}: {value}").into()) } else { Ok(value) }
    }

    async fn in_session(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        self.command(method, &format!("/session/{}{path}", self.session), body).await
    }
}

fn on_path(names: &[&str]) -> Result<PathBuf, Failure> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    found
        .into_iter()
        .find(|file| file.is_file())
        .ok_or_else(|| format!("none of {names:?} is installed: run scripts/setup test").into())
}

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
    let browser = Browser::start(folder.path()).await?;
    browser.in_session(Method::POST, "/url", json!({ "url": url })).await?;
    let positions = [20.0, 3.0, 12.0];
    let script = json!({ "script": PLAY_AND_SEEK, "args": [positions] });
    let seen = browser.in_session(Method::POST, "/execute/async", script).await;
    browser.in_session(Method::DELETE, "", json!({})).await?;
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
