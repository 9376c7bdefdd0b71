//! The same in a real browser.

use super::{identity, text};
use harness::{Browser, Failure, Settings, Stack, eventually, self_signed};
use serde_json::json;
use std::path::Path;

/// Lets somebody in, asks for a link, and says what a script can see of it.
const GUEST_AND_SIGN: &str = r"
const [path, done] = arguments;
const post = (url, body) => fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
(async () => {
    const before = (await post('/sign', JSON.stringify({ path }))).status;
    const guest = await post('/auth/guest');
    const who = await guest.json();
    const signed = await post('/sign', JSON.stringify({ path }));
    done({ before, who, status: signed.status, signed: await signed.json(), cookies: document.cookie });
})().catch((error) => done({ error: String(error) }));
";

const PLAY: &str = r"
const [done] = arguments;
const video = document.querySelector('video');
video.muted = true;
video.addEventListener('error', () => done({ error: video.error && video.error.message }), { once: true });
video.requestVideoFrameCallback((now, shown) => done({ width: video.videoWidth, at: shown.mediaTime }));
// A film opened by itself starts by itself: who asks as well may be told that the one interrupts the other.
video.play().catch((error) => error.name === 'AbortError' || done({ error: String(error) }));
";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_goes_from_guest_to_film() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let tls = self_signed(folder.path(), "127.0.0.1")?.tls;
    let listen = format!("[{{ address = \"127.0.0.1:0\", {tls} }}]");
    let sample = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/sample.mp4"))?;
    let settings = Settings::default()
        .film_of("sample.mp4", sample)
        .gateway("listen", &listen)
        .tenant("a", "domains", "[\"127.0.0.1\"]")
        .tenant("a", "identity", &identity(""))
        .tenant("a", "sign", "{}");
    let mut stack = Stack::start(settings).await?;
    let path = stack.path(stack.film("sample.mp4")?);
    let origin = format!("https://{}", stack.client.address);
    let browser = Browser::start(folder.path(), &["--ignore-certificate-errors"]).await?;
    let done = async {
        browser.open(&format!("{origin}/robots.txt")).await?;
        let seen = browser.run(GUEST_AND_SIGN, json!([path])).await?;
        println!("{seen}");
        assert_eq!((&seen["before"], &seen["status"]), (&json!(401), &json!(200)), "{seen}");
        assert_eq!(
            (&seen["who"]["guest"], &seen["cookies"]),
            (&json!(true), &json!("")),
            "no script reads the cookies"
        );
        browser.open(&format!("{origin}{}", text(&seen["signed"]["url"])?)).await?;
        let shown = browser.run(PLAY, json!([])).await?;
        assert!(shown["error"].is_null() && shown["width"].as_u64() > Some(0), "{shown}");

        // A one-time link: a page with a button, and the button lets in.
        let link = ["auth", "magic", "--sub", "alice", "--next", "/robots.txt", "--tenant", "a", "--base", &origin];
        let link = stack.gateway_command(&link).await?.done()?;
        browser.open(link.trim()).await?;
        browser.click("button").await?;
        // The driver is back from a click before the form's answer is shown.
        let next = format!("{origin}/robots.txt");
        eventually("the page after the button", async || Ok(browser.url().await? == next)).await?;
        let seen = browser.run(GUEST_AND_SIGN, json!([path])).await?;
        println!("{seen}");
        assert_eq!((&seen["before"], &seen["who"]["sub"]), (&json!(200), &json!("alice")), "{seen}");
        Ok::<(), Failure>(())
    }
    .await;
    browser.close().await?;
    done?;
    let mut streamed = false;
    while let Ok(Ok(line)) = tokio::time::timeout(std::time::Duration::from_millis(300), stack.log_line()).await {
        let guest = line["viewer"].as_str().is_some_and(|viewer| viewer.starts_with("guest-"));
        streamed |= guest && line["outcome"] == "served" && line["protocol"] == "h2";
    }
    assert!(streamed, "the film went to the guest, over HTTP/2");
    Ok(())
}
