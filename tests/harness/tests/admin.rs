//! The admin API of a running gateway: what it refuses, what it changes while viewers watch, and that no request makes it fail.
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]

use harness::{ADMIN_TOKEN, Answer, Failure, Redis, Settings, Stack, binary, eventually, token};
use http::Method;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

const FILM: &str = "/stream/-1001700000001/1";
const CHANNEL: i64 = -1_001_700_000_001;

/// A stack whose one tenant of the settings is `fixed`, with a folder for others.
async fn stack(home: &Path) -> Result<Stack, Failure> {
    Stack::start(settings(home)).await
}

fn settings(home: &Path) -> Settings {
    let shown = home.display();
    Settings::default()
        .film("a.mkv", 1 << 20)
        .tenant("fixed", "status", "\"active\"")
        .gateway("tenants.folder", &format!("\"{shown}/tenants\""))
        .gateway("admin.audit", &format!("\"{shown}/audit.log\""))
        .gateway("admin.tokens", "[{ name = \"eye\", role = \"read\", token = \"eye-token\" }]")
}

fn in_an_hour() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(0) + 3600
}

async fn watch(stack: &Stack, host: &str, secret: &str) -> Result<Answer, Failure> {
    let expires = in_an_hour();
    let link = format!("{FILM}?md5={}&expires={expires}", token(FILM, expires, secret));
    stack.client.ask(Method::GET, &link, &[("host", host), ("range", "bytes=0-99")]).await
}

async fn status(stack: &Stack, host: &str, secret: &str) -> Result<u16, Failure> {
    Ok(watch(stack, host, secret).await?.status.as_u16())
}

fn audit(home: &TempDir) -> Result<Vec<Value>, Failure> {
    let text = std::fs::read_to_string(home.path().join("audit.log"))?;
    Ok(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?)
}

/// Every operation of the description, with its path's parameters filled in.
async fn operations(stack: &Stack) -> Result<Vec<(Method, String)>, Failure> {
    let described = stack.admin.api(Method::GET, "/openapi.json", None).await?.body;
    let mut all = Vec::new();
    for (path, item) in described["paths"].as_object().ok_or("no paths")? {
        let path = path.replace("{id}", "fixed").replace("{name}", "p");
        for method in item.as_object().ok_or("no operations")?.keys() {
            all.push((method.to_uppercase().parse()?, path.clone()));
        }
    }
    assert!(all.len() > 20, "{all:?}");
    Ok(all)
}

#[tokio::test]
async fn without_a_token_nothing_but_401() -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let stack = stack(home.path()).await?;
    let mut asked = operations(&stack).await?;
    for path in
        ["/", "/v1", "/openapi.json", "/nothing", "/v1/tenants/fixed/nothing", "/plugins", "/cache/stat", "/takedown"]
    {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS, Method::PATCH] {
            asked.push((method, path.to_owned()));
        }
    }
    for (method, path) in &asked {
        for token in [None, Some(""), Some("wrong"), Some("eye-tokens")] {
            let told = stack.admin.api_as(token, method.clone(), path, Some(&json!({}))).await?;
            assert_eq!(told.status, 401, "{method} {path} {token:?}: {told:?}");
            assert!(told.headers.contains_key("www-authenticate"));
        }
    }
    for path in ["/livez", "/readyz", "/healthz", "/metrics"] {
        assert_eq!(stack.admin.ask(Method::GET, path, &[]).await?.status, 200, "{path}");
    }
    // Who may read changes nothing.
    for (method, path) in operations(&stack).await? {
        let told = stack.admin.api_as(Some("eye-token"), method.clone(), &path, None).await?;
        let wanted = if method == Method::GET { 200 } else { 403 };
        assert_eq!(told.status, wanted, "{method} {path}: {told:?}");
    }
    let refused = audit(&home)?;
    assert!(
        !refused.is_empty() && refused.iter().all(|line| line["who"] == "eye" && line["status"] == 403),
        "{refused:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_tenant_lives() -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let mut stack = stack(home.path()).await?;
    let new = json!({ "id": "new", "settings": { "domains": ["new.test"], "channels": [CHANNEL] } });
    let made = stack.admin.api(Method::POST, "/v1/tenants", Some(&new)).await?;
    assert_eq!(made.status, 201, "{made:?}");
    let first = made.body["secret"]["text"].as_str().ok_or("no secret")?.to_owned();
    assert_eq!(first.len(), 64);
    assert_eq!(status(&stack, "new.test", &first).await?, 206);
    assert_eq!(status(&stack, "other.test", &first).await?, 421);

    // What another one has, is nobody else's; what the settings say stays there.
    for (id, domain, wanted) in [
        ("new", "x.test", 409),
        ("other", "new.test", 409),
        ("other", "fixed.test", 409),
        ("fixed", "y.test", 409),
        ("A", "x.test", 422),
    ] {
        let body = json!({ "id": id, "settings": { "domains": [domain], "channels": [CHANNEL] } });
        let told = stack.admin.api(Method::POST, "/v1/tenants", Some(&body)).await?;
        assert_eq!(told.status, wanted, "{id} {domain}: {told:?}");
    }
    for (settings, key) in [
        (json!({ "domains": [], "channels": [CHANNEL] }), "domains"),
        (json!({ "domains": ["x.test"] }), "channels"),
        (json!({ "domains": ["x.test"], "channels": [1], "link": { "expression": "$uri" } }), "link.expression"),
        (json!({ "domains": ["x.test"], "channels": [1], "limits": { "streams": 0 } }), "limits.streams"),
    ] {
        let told =
            stack.admin.api(Method::POST, "/v1/tenants", Some(&json!({ "id": "x", "settings": settings }))).await?;
        assert_eq!((told.status, told.body["errors"][0]["key"].as_str()), (422, Some(key)), "{told:?}");
    }

    // The new secret signs, the old one's links go on for their time.
    let rotated = stack.admin.api(Method::POST, "/v1/tenants/new/rotate", Some(&json!({ "keep": "1h" }))).await?;
    let second = rotated.body["secret"]["text"].as_str().ok_or("no secret")?.to_owned();
    assert_eq!((status(&stack, "new.test", &first).await?, status(&stack, "new.test", &second).await?), (206, 206));
    stack.admin.api(Method::POST, "/v1/tenants/new/rotate", Some(&json!({ "keep": "0s" }))).await?;
    eventually("old secrets are dropped", async || Ok(status(&stack, "new.test", &first).await? == 403)).await?;
    eventually("the second one too", async || Ok(status(&stack, "new.test", &second).await? == 403)).await?;
    let rotated = stack.admin.api(Method::POST, "/v1/tenants/new/rotate", Some(&json!({}))).await?;
    let third = rotated.body["secret"]["text"].as_str().ok_or("no secret")?.to_owned();

    let told = stack.admin.api(Method::POST, "/v1/tenants/new/suspend", None).await?;
    assert_eq!((told.status, status(&stack, "new.test", &third).await?), (200, 503));
    stack.admin.api(Method::POST, "/v1/tenants/new/resume", None).await?;
    let version = stack.admin.api(Method::GET, "/v1/tenants/new", None).await?.body["version"].as_u64();
    let change = json!({ "domains": ["newer.test"], "version": version });
    assert_eq!(stack.admin.api(Method::PATCH, "/v1/tenants/new", Some(&change)).await?.status, 200);
    let told = stack.admin.api(Method::PATCH, "/v1/tenants/new", Some(&change)).await?;
    assert_eq!(told.status, 409, "somebody else was faster: {told:?}");
    assert_eq!((status(&stack, "newer.test", &third).await?, status(&stack, "new.test", &third).await?), (206, 421));

    // It is there after the end of the process, however that comes.
    if let Some(gateway) = stack.gateway.take() {
        gateway.kill().await;
    }
    // Beside one that came from elsewhere with the same domain: a reload serves whom a start serves.
    let tenants = home.path().join("tenants");
    std::fs::create_dir(tenants.join("twin"))?;
    for file in std::fs::read_dir(tenants.join("new"))? {
        let file = file?;
        std::fs::write(tenants.join("twin").join(file.file_name()), "the twin's own secret")?;
    }
    std::fs::copy(tenants.join("new.toml"), tenants.join("twin.toml"))?;
    stack.start_gateway().await?;
    assert_eq!(status(&stack, "newer.test", &third).await?, 206);
    assert_eq!(stack.admin.api(Method::POST, "/v1/reload", None).await?.status, 200);
    assert_eq!(status(&stack, "newer.test", &third).await?, 206);
    // Nor do the settings put out whom they served until now.
    stack.set_tenant("fixed", "domains", "[\"fixed.test\", \"newer.test\"]")?;
    let told = stack.admin.api(Method::POST, "/v1/reload", None).await?;
    assert!(told.status == 409 && told.body.to_string().contains("newer.test"), "{told:?}");
    stack.set_tenant("fixed", "domains", "[\"fixed.test\"]")?;
    assert_eq!(stack.admin.api(Method::DELETE, "/v1/tenants/twin", None).await?.status, 200);

    // What is revoked is somebody's.
    for (tenant, wanted) in [("new", 200), ("fixed", 200), ("nobody", 404)] {
        let link = json!({ "tenant": tenant, "kind": "link", "id": "x", "seconds": 60 });
        let told = stack.admin.api(Method::POST, "/v1/revocations", Some(&link)).await?;
        assert_eq!(told.status, wanted, "{tenant}: {told:?}");
    }
    let printed = stack.gateway_command(&["admin", "tenants", "list"]).await?.done()?;
    assert!(printed.lines().any(|line| line.starts_with("new ") && line.contains("newer.test")), "{printed}");
    stack.gateway_command(&["admin", "tenants", "change", "new", "--streams", "7"]).await?.done()?;
    let shown = stack.admin.api(Method::GET, "/v1/tenants/new", None).await?.body;
    assert_eq!(shown["settings"]["limits"]["streams"], 7);
    stack.gateway_command(&["admin", "tenants", "delete", "new"]).await?.done()?;
    assert_eq!(status(&stack, "newer.test", &third).await?, 421);
    assert_eq!(stack.admin.api(Method::DELETE, "/v1/tenants/new", None).await?.status, 404);
    assert!(!home.path().join("tenants/new").exists(), "its secrets are still there");

    let lines = audit(&home)?;
    let done: Vec<&str> =
        lines.iter().filter(|line| line["refused"].is_null()).filter_map(|line| line["what"].as_str()).collect();
    for what in [
        "tenantCreate",
        "tenantRotate",
        "tenantSecretsPrune",
        "tenantSuspend",
        "tenantResume",
        "tenantChange",
        "tenantDelete",
    ] {
        assert!(done.contains(&what), "{what}: {done:?}");
    }
    let text = format!("{lines:?}{}", stack.error_log("gateway"));
    for secret in [&first, &second, &third, ADMIN_TOKEN] {
        assert!(!text.contains(secret), "a secret is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn settings_change_all_or_not_at_all() -> Result<(), Failure> {
    let home = tempfile::tempdir()?;
    let mut stack = stack(home.path()).await?;
    let diff = async |stack: &Stack| stack.admin.api(Method::GET, "/v1/config/diff", None).await;
    assert_eq!(diff(&stack).await?.body, json!({ "reloadable": [], "restart": [], "plugins": [] }));
    stack.set_gateway("limits.max_ranges", "1")?;
    stack.set_gateway("cache.max_size", "\"2GiB\"")?;
    stack.set_gateway("log.level", "\"debug\"")?;
    stack.set_gateway("hive.response_timeout", "\"21s\"")?;
    stack.set_gateway("admin.tokens", "[{ name = \"eye\", role = \"read\", token = \"other-token\" }]")?;
    let keys = |list: &Value| -> Vec<String> {
        list.as_array().into_iter().flatten().filter_map(|one| one["key"].as_str().map(str::to_owned)).collect()
    };
    let told = diff(&stack).await?.body;
    let live = ["admin.tokens[eye].token", "cache.max_size", "limits.max_ranges", "log.level"];
    assert_eq!(
        (keys(&told["reloadable"]), keys(&told["restart"])),
        (live.map(str::to_owned).to_vec(), vec!["hive.response_timeout".to_owned()])
    );
    assert!(!told.to_string().contains("other-token"));

    // One thing is wrong: nothing changes.
    stack.set_tenant("fixed", "domains", "[\"fixed.test\", \"b c\"]")?;
    let told = stack.admin.api(Method::POST, "/v1/reload", None).await?;
    assert_eq!(told.status, 409, "{told:?}");
    assert!(told.body["detail"].as_str().is_some_and(|detail| detail.contains("gateway.toml")), "{told:?}");
    assert_eq!(stack.admin.api_as(Some("other-token"), Method::GET, "/v1/config", None).await?.status, 401);
    let running = stack.admin.api(Method::GET, "/v1/config", None).await?.body;
    assert_eq!(running["settings"]["limits.max_ranges"], "16");
    assert!(!running.to_string().contains(ADMIN_TOKEN) && running["settings"]["admin.token"] == "[secret]");

    stack.set_tenant("fixed", "domains", "[\"fixed.test\"]")?;
    stack.gateway.as_ref().ok_or("no gateway")?.notify("HUP").await?;
    eventually("SIGHUP is obeyed", async || {
        Ok(stack.admin.api_as(Some("other-token"), Method::GET, "/v1/config", None).await?.status == 200)
    })
    .await?;
    eventually("and told", async || Ok(keys(&diff(&stack).await?.body["reloadable"]).is_empty())).await?;
    let told = diff(&stack).await?.body;
    assert_eq!(
        (keys(&told["reloadable"]).len(), keys(&told["restart"])),
        (0, vec!["hive.response_timeout".to_owned()])
    );
    assert_eq!(stack.admin.api_as(Some("eye-token"), Method::GET, "/v1/config", None).await?.status, 401);
    assert_eq!(stack.admin.api(Method::GET, "/v1/cache", None).await?.body["max_size"], 2_u64 << 30);
    let expires = in_an_hour();
    let link = format!("{FILM}?md5={}&expires={expires}", token(FILM, expires, "link secret of fixed"));
    let two = [("host", "fixed.test"), ("range", "bytes=0-9,20-29")];
    assert_eq!(stack.client.ask(Method::GET, &link, &two).await?.status, 200, "more ranges than one are the whole");
    eventually("the audit line is there", async || {
        Ok(audit(&home)?.iter().any(|line| line["who"] == "local" && line["what"] == "reload"))
    })
    .await?;
    let log = stack.error_log("gateway");
    assert!(
        log.contains("limits.max_ranges: 16 -> 1")
            && log.contains("hive.response_timeout: 20s -> 21s: in force after a restart"),
        "{log}"
    );
    assert!(!log.contains("other-token"));

    // Readiness is taken away; streams and viewers stay.
    let secret = "link secret of fixed";
    for (on, ready) in [(true, 503), (false, 200)] {
        stack.admin.api(Method::PUT, "/v1/drain", Some(&json!({ "draining": on }))).await?;
        assert_eq!(stack.admin.ask(Method::GET, "/readyz", &[]).await?.status, ready);
        assert_eq!(stack.admin.ask(Method::GET, "/livez", &[]).await?.status, 200);
        assert_eq!(status(&stack, "fixed.test", secret).await?, 206);
    }
    let sessions = stack.admin.api(Method::GET, "/v1/sessions", None).await?.body;
    assert_eq!(
        (sessions[0]["problem"].as_str(), sessions[0]["sessions"][0]["name"].as_str()),
        (None, Some("account-0")),
        "{sessions}"
    );
    let printed = stack.gateway_command(&["admin", "sessions"]).await?.done()?;
    assert!(printed.contains("account-0"), "{printed}");

    // Without a hive what is cached is served: ready, and said to be degraded.
    if let Some(hive) = stack.hive.take() {
        hive.kill().await;
    }
    let other = format!("/stream/{CHANNEL}/2");
    let link = format!("{other}?md5={}&expires={expires}", token(&other, expires, secret));
    let asked =
        tokio::time::timeout(Duration::from_secs(3), stack.client.ask(Method::GET, &link, &[("host", "fixed.test")]));
    let _ = asked.await;
    eventually("it is said", async || {
        let answer = stack.admin.ask(Method::GET, "/readyz", &[]).await?;
        Ok(answer.status == 200 && String::from_utf8_lossy(&answer.body).contains("degraded"))
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn gateways_with_one_key_share_tenants() -> Result<(), Failure> {
    let (home, other, third) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let key = "\"a key of at least 32 characters!\"";
    let one = Stack::start(Settings { redis: true, ..settings(home.path()).gateway("tenants.key", key) }).await?;
    let url = format!("\"{}\"", one.redis.as_ref().map(Redis::url).ok_or("no Redis")?);
    let joined = |home: &Path| {
        settings(home).gateway("tenants.key", key).gateway("redis.url", &url).gateway("redis.timeout", "\"5s\"")
    };
    let two = Stack::start(joined(other.path())).await?;
    let new = json!({ "id": "new", "settings": { "domains": ["new.test"], "channels": [CHANNEL] } });
    let made = one.admin.api(Method::POST, "/v1/tenants", Some(&new)).await?.body;
    let secret = made["secret"]["text"].as_str().ok_or("no secret")?.to_owned();
    eventually("the other one serves it", async || Ok(status(&two, "new.test", &secret).await? == 206)).await?;
    two.admin.api(Method::POST, "/v1/tenants/new/suspend", None).await?;
    eventually("the first one obeys", async || Ok(status(&one, "new.test", &secret).await? == 503)).await?;
    one.admin.api(Method::POST, "/v1/tenants/new/resume", None).await?;
    // One that comes later.
    let late = Stack::start(joined(third.path())).await?;
    eventually("it has learnt it", async || Ok(status(&late, "new.test", &secret).await? == 206)).await?;
    two.admin.api(Method::DELETE, "/v1/tenants/new", None).await?;
    for stack in [&one, &two, &late] {
        eventually("it is gone everywhere", async || Ok(status(stack, "new.test", &secret).await? == 421)).await?;
    }
    Ok(())
}

/// The interpreter with schemathesis installed; made on the first use.
fn python() -> Result<PathBuf, Failure> {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients");
    let setup = clients.join("setup.sh");
    let output = std::process::Command::new(&setup).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(PathBuf::from(String::from_utf8(output.stdout)?.trim()))
}

/// schemathesis makes requests out of the description, good ones and bad ones. `ADMIN_FUZZ_SEED` replays, `ADMIN_FUZZ_EXAMPLES` is how many for
/// each operation.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_makes_it_fail() -> Result<(), Failure> {
    let python = python()?;
    let home = tempfile::tempdir()?;
    let mut stack = stack(home.path()).await?;
    let variable =
        |name: &str, usual: u32| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual);
    let seed = variable("ADMIN_FUZZ_SEED", rand::random());
    let examples = variable("ADMIN_FUZZ_EXAMPLES", 5);
    println!("ADMIN_FUZZ_SEED={seed} ADMIN_FUZZ_EXAMPLES={examples}");
    let described = std::process::Command::new(binary("gateway")?).args(["admin", "openapi"]).output()?;
    let file = home.path().join("openapi.json");
    std::fs::write(&file, &described.stdout)?;
    let output = tokio::process::Command::new(python.with_file_name("schemathesis"))
        .arg("run")
        .arg(&file)
        .arg("--url")
        .arg(format!("http://{}", stack.admin.address))
        .args(["--header", &format!("Authorization: Bearer {ADMIN_TOKEN}")])
        .args(["--seed", &seed.to_string(), "--max-examples", &examples.to_string()])
        .args(["--phases", "coverage,fuzzing", "--checks", "all"])
        // Not everything that has the right form is right: a domain that another tenant has, a path that names no media.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--suppress-health-check", "all", "--continue-on-failure", "--no-color"])
        .current_dir(home.path())
        .output()
        .await?;
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    println!("{said}");
    assert_eq!(stack.admin.ask(Method::GET, "/livez", &[]).await?.status, 200);
    let log = stack.error_log("gateway");
    assert!(!log.contains("panicked"), "{log}");
    // And viewers never noticed.
    assert!(stack.gateway.as_mut().is_some_and(|gateway| gateway.id().is_some()));
    Ok(())
}
