//! Chromium, for what only a browser does: cookies, origins, playing.

use crate::Failure;
use crate::process::Process;
use bytes::Bytes;
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A headless Chromium, driven by WebDriver.
pub struct Browser {
    driver: SocketAddr,
    session: String,
    _process: Process,
}

/// The driver takes a port that is free at one kind of addresses and then wants it at the other as well, where it may be taken: after a crowd's
/// test most ports are, for the minute in which the kernel remembers connections that were closed.
async fn start_driver(driver: &Path, log: &Path) -> Result<(Process, SocketAddr), Failure> {
    let mut tries = 0;
    loop {
        let mut process = Process::start(driver, &["--port=0"], log)?;
        match process.wait_for("ChromeDriver was started successfully on port").await {
            Ok(said) => return Ok((process, format!("127.0.0.1:{}", said.trim_end_matches('.')).parse()?)),
            Err(error) if tries < 300 && error.to_string().contains("Address already in use") => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(250)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

impl Browser {
    /// Starts one with further arguments; its logs go into the folder.
    ///
    /// # Errors
    /// When Chromium or its driver is not installed, or does not come up.
    pub async fn start(folder: &Path, further: &[&str]) -> Result<Self, Failure> {
        let driver = on_path(&["chromedriver", "chromium.chromedriver"])?;
        let chromium = on_path(&["chromium", "chromium-browser", "google-chrome"])?;
        let (process, driver) = start_driver(&driver, &folder.join("chromedriver.log")).await?;
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
        let arguments: Vec<&str> = arguments.into_iter().chain(further.iter().copied()).collect();
        let options = json!({ "binary": chromium, "args": arguments });
        let capabilities = json!({ "alwaysMatch": { "browserName": "chrome", "goog:chromeOptions": options, "timeouts": { "script": 60_000 } } });
        let mut browser = Self { driver, session: String::new(), _process: process };
        let created = browser.command(Method::POST, "/session", json!({ "capabilities": capabilities })).await?;
        browser.session = created["sessionId"].as_str().ok_or("no session id")?.to_owned();
        Ok(browser)
    }

    /// Goes to an address.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn open(&self, url: &str) -> Result<(), Failure> {
        self.in_session(Method::POST, "/url", json!({ "url": url })).await.map(drop)
    }

    /// Where it is.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn url(&self) -> Result<String, Failure> {
        let url = self.in_session(Method::GET, "/url", Value::Null).await?;
        Ok(url.as_str().unwrap_or_default().to_owned())
    }

    /// Runs a script whose last argument is the function that takes its result.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn run(&self, script: &str, arguments: Value) -> Result<Value, Failure> {
        self.in_session(Method::POST, "/execute/async", json!({ "script": script, "args": arguments })).await
    }

    /// Clicks on what a selector finds.
    ///
    /// # Errors
    /// What the driver says, also when there is nothing to click on.
    pub async fn click(&self, selector: &str) -> Result<(), Failure> {
        let wanted = json!({ "using": "css selector", "value": selector });
        let found = self.in_session(Method::POST, "/element", wanted).await?;
        let id = found.as_object().and_then(|found| found.values().next()?.as_str()).ok_or("no element")?.to_owned();
        self.in_session(Method::POST, &format!("/element/{id}/click"), json!({})).await.map(drop)
    }

    /// Ends it.
    ///
    /// # Errors
    /// What the driver says.
    pub async fn close(&self) -> Result<(), Failure> {
        self.in_session(Method::DELETE, "", json!({})).await.map(drop)
    }

    /// One WebDriver command (W3C WebDriver §6); gives its `value`.
    async fn command(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let stream = tokio::net::TcpStream::connect(self.driver).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", self.driver.to_string());
        let request = request
            .header("content-type", "application/json")
            .body(Full::<Bytes>::from(if body.is_null() { String::new() } else { body.to_string() }))?;
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
