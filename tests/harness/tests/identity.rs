//! Viewers' identities and links on demand: what is let in, and what each wrong credential is told.
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder, and signs by the clock")]

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ed25519_dalek::{Signer, SigningKey};
use harness::{Answer, Client, Failure, Fixed, PluginSettings, Redis, Settings, Stack, eventually, viewer_token};
use http::Method;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

#[path = "identity/browsers.rs"]
mod browsers;
#[path = "identity/issuers.rs"]
mod issuers;

/// A private key as `openssl genpkey -algorithm ed25519` writes it. Tenants `a` and `b` share it: the tenant must count, not the key.
const PEM: &str = "-----BEGIN PRIVATE KEY-----\\nMC4CAQAwBQYDK2VwBCIEILese2cuxsqEXb+GjUxrYnaxsLqOa6ET3Ou0TVvJIigN\\n-----END PRIVATE KEY-----";
const SEED: &str = "t6x7Zy7GyoRdv4aNTGtidrGwuo5roRPc67RNW8kiKA0=";
const MANAGER: &str = "the-managers-secret-has-32-bytes-or-more";
/// The test is one viewer who asks as much as many.
const UNLIMITED: &str = "{ address = \"unlimited\", identity = \"unlimited\" }";
const FRONTEND: &str = "https://www.a.test";

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs().cast_signed())
}

fn identity(more: &str) -> String {
    format!("{{ refresh_grace = \"0s\", keys = [{{ id = \"k1\", algorithm = \"EdDSA\", key = \"{PEM}\" }}]{more} }}")
}

fn settings() -> Settings {
    let manager = format!(", manager_secret = \"{}\"", MANAGER);
    Settings { redis: true, ..Settings::default() }
        .film("a.mkv", 1 << 20)
        .gateway("rates.sign", UNLIMITED)
        .gateway("rates.auth", UNLIMITED)
        .tenant("a", "identity", &identity(&manager))
        .tenant("a", "sign", "{ max_ttl = \"5h\" }")
        .tenant("a", "origins", &format!("[\"{FRONTEND}\"]"))
        .tenant("a", "link.id_parameter", "\"id\"")
        .tenant("a", "link.prefix_parameter", "\"st\"")
        .tenant("a", "link.expression", "\"$arg_id $secure_link_expires$uri $secret\"")
        .tenant("b", "identity", &identity(""))
        .tenant("b", "sign", "{ bind_address = true, guests = true }")
        .tenant("b", "link.prefix_parameter", "\"st\"")
        .tenant("c", "identity", &identity(", guests = true"))
        .tenant("c", "sign", "{}")
        .tenant("d", "identity", &identity(", guests = false"))
        .tenant("d", "sign", "{ guests = false }")
        .plugin(PluginSettings::fixed("pay", Fixed::Deny(402, "Pay".to_owned())).set("tenants", "[\"c\"]"))
}

/// One viewer's browser, as far as cookies go.
#[derive(Clone, Debug, Default)]
struct Jar {
    host: &'static str,
    session: String,
    refresh: String,
}

impl Jar {
    fn of(host: &'static str) -> Self {
        Self { host, ..Self::default() }
    }

    fn cookies(&self) -> String {
        format!("session={}; session_refresh={}", self.session, self.refresh)
    }

    async fn post(&mut self, client: &Client, target: &str, body: &Value) -> Result<Answer, Failure> {
        let cookies = self.cookies();
        let headers = [("host", self.host), ("cookie", &cookies), ("content-type", "application/json")];
        let answer =
            client.post(target, &headers, &if body.is_null() { String::new() } else { body.to_string() }).await?;
        self.keep(&answer);
        Ok(answer)
    }

    fn keep(&mut self, answer: &Answer) {
        for cookie in answer.headers.get_all("set-cookie") {
            let text = cookie.to_str().unwrap_or_default();
            let (name, value) = text.split(';').next().and_then(|pair| pair.split_once('=')).unwrap_or_default();
            match name {
                "session" => value.clone_into(&mut self.session),
                "session_refresh" => value.clone_into(&mut self.refresh),
                _ => {}
            }
        }
    }

    async fn guest(client: &Client, host: &'static str) -> Result<Self, Failure> {
        let mut jar = Self::of(host);
        expect(&jar.post(client, "/auth/guest", &Value::Null).await?, 200, "")?;
        if jar.session.is_empty() || jar.refresh.is_empty() {
            return Err("a guest got no cookies".into());
        }
        Ok(jar)
    }

    async fn sign(&self, client: &Client, path: &str) -> Result<Answer, Failure> {
        self.clone().post(client, "/sign", &json!({ "path": path })).await
    }

    async fn get(&self, client: &Client, target: &str) -> Result<Answer, Failure> {
        client.ask(Method::GET, target, &[("host", self.host)]).await
    }
}

fn expect(answer: &Answer, status: u16, what: &str) -> Result<(), Failure> {
    if answer.status == status {
        return Ok(());
    }
    Err(format!("{what}: {} instead of {status}: {}", answer.status, String::from_utf8_lossy(&answer.body)).into())
}

fn object(answer: &Answer) -> Result<Value, Failure> {
    Ok(serde_json::from_slice(&answer.body)?)
}

fn text(value: &Value) -> Result<String, Failure> {
    Ok(value.as_str().ok_or_else(|| format!("no text: {value}"))?.to_owned())
}

/// A token of any header and claims, signed with the tenants' own key: what only a thief of it could make.
fn forged(header: &Value, claims: &Value) -> Result<String, Failure> {
    let message =
        format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
    let seed: [u8; 32] = STANDARD.decode(SEED)?.try_into().map_err(|_| "no seed")?;
    let signature = SigningKey::from_bytes(&seed).sign(message.as_bytes());
    Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes())))
}

fn claims(audience: &str, expires: i64) -> Value {
    json!({ "iss": "a", "aud": audience, "sub": "mallory", "guest": false, "iat": now(), "exp": expires, "jti": "x", "sid": "y" })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_wrong_credential_is_refused() -> Result<(), Failure> {
    let mut stack = Stack::start(settings()).await?;
    let film = stack.film("a.mkv")?.clone();
    let (client, path) = (stack.client, stack.path(&film));

    // A guest signs and streams.
    let answer = Jar::of("a.test").post(&client, "/auth/guest", &Value::Null).await?;
    expect(&answer, 200, "guest")?;
    let cookies: Vec<_> =
        answer.headers.get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok()).collect();
    assert!(cookies.iter().all(|cookie| cookie.contains("; HttpOnly; SameSite=Lax")), "{cookies:?}");
    assert!(cookies.iter().any(|cookie| cookie.starts_with("session_refresh=") && cookie.contains("; Path=/auth;")));
    let mut guest = Jar::of("a.test");
    guest.keep(&answer);
    let signed = guest.sign(&client, &path).await?;
    expect(&signed, 200, "sign")?;
    let signed = object(&signed)?;
    let (link, id) = (text(&signed["url"])?, text(&signed["id"])?);
    let left = signed["expires"].as_i64().unwrap_or(0) - now();
    assert!((4 * 3600 - 60..=4 * 3600).contains(&left), "four hours are usual, not {left} s");
    let streamed = guest.get(&client, &link).await?;
    expect(&streamed, 200, "stream")?;
    film.compare(0, &streamed.body)?;
    expect(&guest.clone().post(&client, "/sign", &json!({ "path": path, "ttl": 6 * 3600 })).await?, 400, "a long ttl")?;
    let other = "/stream/-1009999999999/1";
    expect(&guest.sign(&client, other).await?, 403, "a channel of nobody's")?;
    expect(&guest.sign(&client, "/stream/x").await?, 404, "no media")?;
    expect(&Jar::guest(&client, "c.test").await?.sign(&client, &path).await?, 402, "the policy says no")?;
    expect(&Jar::of("d.test").post(&client, "/auth/guest", &Value::Null).await?, 403, "no guests")?;

    // The published key verifies, and is all that is published.
    let keys = object(&client.ask(Method::GET, "/auth/jwks.json", &[("host", "a.test")]).await?)?;
    assert_eq!((&keys["keys"][0]["kid"], &keys["keys"][0]["d"]), (&json!("k1"), &Value::Null), "{keys}");

    // Tokens that nobody issued.
    let (eddsa, later) = (json!({ "alg": "EdDSA", "kid": "k1" }), now() + 600);
    let public = text(&keys["keys"][0]["x"])?;
    let mac = |claims: &Value, key: &[u8]| viewer_token(&claims.to_string(), &String::from_utf8_lossy(key));
    let none = format!(
        "{}.{}.",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"none"}"#),
        URL_SAFE_NO_PAD.encode(claims("a", later).to_string())
    );
    let magic = stack.gateway_command(&["auth", "magic", "--sub", "alice", "--tenant", "a"]).await?.done()?;
    let magic_token = magic.trim().strip_prefix("/auth?token=").ok_or("no link")?.to_owned();
    let mut changed = guest.session.clone().into_bytes();
    let middle = changed.len() / 2;
    changed[middle] = if changed[middle] == b'A' { b'B' } else { b'A' };
    for (what, token, status) in [
        ("as the issuer would", forged(&eddsa, &claims("a", later))?, 200),
        ("expired", forged(&eddsa, &claims("a", now() - 10))?, 401),
        ("without an expiry", forged(&eddsa, &json!({ "iss": "a", "aud": "a", "sub": "m" }))?, 401),
        ("for another tenant", forged(&eddsa, &claims("b", later))?, 401),
        ("of no algorithm", none, 401),
        ("the public key as a secret", mac(&claims("a", later), public.as_bytes()), 401),
        ("a one-time link's token", magic_token.clone(), 401),
        ("changed", String::from_utf8(changed)?, 401),
        ("none", String::new(), 401),
    ] {
        let jar = Jar { session: token, ..Jar::of("a.test") };
        expect(&jar.sign(&client, &path).await?, status, what)?;
    }
    let elsewhere = Jar { host: "b.test", ..guest.clone() };
    expect(&elsewhere.sign(&client, &path).await?, 401, "another tenant's token, by the same key")?;
    expect(
        &elsewhere.clone().post(&client, "/auth/refresh", &Value::Null).await?,
        401,
        "another tenant's refresh token",
    )?;

    // Pages of other sites.
    let from = |origin: &'static str| {
        let cookies = guest.cookies();
        let body = json!({ "path": path }).to_string();
        async move {
            let headers =
                [("host", "a.test"), ("cookie", &*cookies), ("content-type", "application/json"), ("origin", origin)];
            client.post("/sign", &headers, &body).await
        }
    };
    expect(&from("https://evil.test").await?, 403, "another site's page")?;
    let shared = from(FRONTEND).await?;
    expect(&shared, 200, "the tenant's own frontend")?;
    assert_eq!(shared.header("access-control-allow-origin"), Some(FRONTEND));
    let asked = [("host", "a.test"), ("origin", FRONTEND), ("access-control-request-method", "POST")];
    expect(&client.ask(Method::OPTIONS, "/sign", &asked).await?, 204, "asked beforehand")?;
    let unread =
        client.post("/sign", &[("host", "a.test"), ("origin", FRONTEND), ("content-type", "text/plain")], "{}").await?;
    expect(&unread, 401, "a frontend without a viewer")?;
    assert_eq!(unread.header("access-control-allow-origin"), Some(FRONTEND), "a page must be able to read why");

    // A refresh token works once. Used again it ends the session, with the tokens that came of it.
    let stolen = guest.clone();
    expect(&guest.post(&client, "/auth/refresh", &Value::Null).await?, 200, "refresh")?;
    assert_ne!(stolen.refresh, guest.refresh);
    expect(&guest.sign(&client, &path).await?, 200, "renewed")?;
    expect(&stolen.clone().post(&client, "/auth/refresh", &Value::Null).await?, 401, "replayed")?;
    expect(&guest.clone().post(&client, "/auth/refresh", &Value::Null).await?, 401, "the session is over for all")?;
    expect(&guest.sign(&client, &path).await?, 401, "and so are its tokens")?;
    expect(&stolen.sign(&client, &path).await?, 401, "stolen")?;
    expect(&guest.get(&client, &link).await?, 200, "a link that was signed is still one")?;

    // Signing out, and tokens that were kept.
    let mut leaving = Jar::guest(&client, "a.test").await?;
    let kept = leaving.clone();
    expect(&leaving.post(&client, "/auth/logout", &Value::Null).await?, 204, "logout")?;
    assert_eq!((&*leaving.session, &*leaving.refresh), ("", ""));
    expect(&kept.sign(&client, &path).await?, 401, "kept after signing out")?;
    expect(&kept.clone().post(&client, "/auth/refresh", &Value::Null).await?, 401, "kept after signing out")?;

    // Who is gone before the answer is out all the same.
    let leaving = Jar::guest(&client, "a.test").await?;
    let request = format!(
        "POST /auth/logout HTTP/1.1\r\nHost: a.test\r\nCookie: {}\r\nContent-Length: 0\r\n\r\n",
        leaving.cookies()
    );
    let mut stream = TcpStream::connect(client.address).await?;
    stream.write_all(request.as_bytes()).await?;
    drop(stream);
    eventually("who has left is out", async || Ok(leaving.sign(&client, &path).await?.status == 401)).await?;

    // A frontend that finds its viewer's token expired asks for a guest: the viewer is still the same.
    let before = Jar::guest(&client, "a.test").await?;
    let mut returning = Jar { session: String::new(), ..before.clone() };
    let known = object(&before.clone().post(&client, "/auth/guest", &Value::Null).await?)?;
    let again = returning.post(&client, "/auth/guest", &Value::Null).await?;
    assert_eq!(object(&again)?["sub"], known["sub"]);
    assert!(!returning.session.is_empty() && returning.refresh != before.refresh, "it was renewed");

    // A one-time link: a scanner uses nothing up, a person does, at one of all gateways.
    let fleet = stack.start_fleet(&[&[], &[]]).await?;
    let [second, third] = &fleet[..] else { return Err("no fleet".into()) };
    // Signing out at one is signing out at all, and pushes nothing out of the log of what operators do.
    expect(&before.sign(&second.client, &path).await?, 200, "another gateway")?;
    expect(&returning.post(&client, "/auth/logout", &Value::Null).await?, 204, "logout")?;
    eventually("signed out everywhere", async || Ok(before.sign(&second.client, &path).await?.status == 401)).await?;
    let socket = stack.redis.as_ref().map(Redis::url).ok_or("no Redis")?.replace("redis+unix://", "");
    let length = async |log: &str| -> Result<String, Failure> {
        let asked = tokio::process::Command::new("redis-cli").args(["-s", &socket, "XLEN", log]).output().await?;
        Ok(String::from_utf8(asked.stdout)?.trim().to_owned())
    };
    assert_eq!(length("sv:{gateways}:log").await?, "0");
    assert_ne!(length("sv-signouts:{gateways}:log").await?, "0");
    let host = [("host", "a.test")];
    for _ in 0..2 {
        let page = client.ask(Method::GET, magic.trim(), &host).await?;
        expect(&page, 200, "scanned")?;
        assert!(String::from_utf8_lossy(&page.body).contains("alice") && page.headers.get("set-cookie").is_none());
    }
    let form = [("host", "a.test"), ("content-type", "application/x-www-form-urlencoded")];
    let entered = client.post("/auth", &form, &format!("token={magic_token}&next=%2Ffilms")).await?;
    expect(&entered, 303, "entered")?;
    assert_eq!(entered.header("location"), Some("/films"));
    let mut alice = Jar::of("a.test");
    alice.keep(&entered);
    expect(&alice.sign(&client, &path).await?, 200, "alice")?;
    let again = format!("token={magic_token}");
    expect(&client.post("/auth", &form, &again).await?, 410, "used")?;
    expect(&second.client.post("/auth", &form, &again).await?, 410, "used at another gateway")?;
    let old = json!({ "iss": "a", "aud": "a/magic", "sub": "m", "guest": false, "exp": now() - 10, "jti": "z" });
    let old = forged(&eddsa, &old)?;
    expect(&client.ask(Method::GET, &format!("/auth?token={old}"), &host).await?, 410, "expired")?;
    for token in [format!("{}x", &magic_token[..magic_token.len() - 1]), alice.session.clone(), "x".to_owned()] {
        expect(&client.post("/auth", &form, &format!("token={token}")).await?, 403, "no such link")?;
    }
    let at_b = [("host", "b.test"), ("content-type", "application/x-www-form-urlencoded")];
    let fresh = stack.gateway_command(&["auth", "magic", "--sub", "bob", "--tenant", "a"]).await?.done()?;
    let fresh = fresh.trim().strip_prefix("/auth?").ok_or("no link")?.to_owned();
    expect(&client.post("/auth", &at_b, &fresh).await?, 403, "another tenant's link")?;
    let manager = format!("Bearer {}", MANAGER);
    let wanted = json!({ "sub": "carol", "claims": { "tier": "paid" } }).to_string();
    let mut headers = vec![("host", "a.test"), ("content-type", "application/json")];
    expect(&client.post("/auth/magic", &headers, &wanted).await?, 401, "no manager")?;
    headers.push(("authorization", &manager));
    let made = client.post("/auth/magic", &headers, &wanted).await?;
    expect(&made, 200, "a manager")?;
    let made = text(&object(&made)?["url"])?;
    expect(&third.client.ask(Method::GET, &made, &host).await?, 200, "a manager's link at another gateway")?;

    // Revocation by id reaches every gateway.
    expect(&third.client.ask(Method::GET, &link, &host).await?, 200, "not yet revoked")?;
    let said =
        stack.gateway_command(&["auth", "revoke", "--link", &id, "--tenant", "a", "--for", "1d"]).await?.done()?;
    assert!(said.contains("taken by 3 of 3 gateways"), "{said}");
    for gateway in [client, second.client, third.client] {
        expect(&gateway.ask(Method::GET, &link, &host).await?, 410, "revoked")?;
    }
    expect(&guest.get(&client, &link.replace(&format!("id={id}&"), "")).await?, 403, "without its id")?;
    let below = format!("/stream/{}", film.chat_id);
    let below = ["sign", "--path", &below, "--below", "--id", "series-1", "--tenant", "a"];
    let below = stack.gateway_command(&below).await?.done()?;
    let below = format!("{}/{}/{}", below.trim(), film.message_id, film.name);
    expect(&client.ask(Method::GET, &below, &host).await?, 200, "below a path")?;
    let up = below.replace(&format!("/{}/", film.chat_id), &format!("/{}/../-1009999999999/", film.chat_id));
    expect(&client.ask(Method::GET, &up, &host).await?, 403, "beside the path")?;
    stack.gateway_command(&["auth", "revoke", "--link", "series-1", "--tenant", "a"]).await?.done()?;
    expect(&client.ask(Method::GET, &below, &host).await?, 410, "a revoked path")?;

    // Bound to the address that asked.
    let b = Jar::guest(&client, "b.test").await?;
    let bound = b.sign(&client, &path).await?;
    expect(&bound, 200, "bound")?;
    let bound = text(&object(&bound)?["url"])?;
    for (from, status) in [("127.0.0.1", 200), ("127.0.0.2", 403)] {
        let answer = client.ask_from(Some(from.parse()?), Method::GET, &bound, &[("host", "b.test")]).await?;
        expect(&answer, status, from)?;
    }

    // What is down is not signed; and without Redis nobody is let in, and everybody streams.
    let alice_link = text(&object(&alice.sign(&client, &path).await?)?["url"])?;
    stack.redis.take().ok_or("no Redis")?.kill().await;
    expect(&Jar::of("a.test").post(&client, "/auth/guest", &Value::Null).await?, 503, "no sessions")?;
    expect(&alice.sign(&client, &path).await?, 200, "a token needs no Redis")?;
    expect(&alice.get(&client, &alice_link).await?, 200, "nor does a link")?;
    stack.start_redis().await?;
    Jar::guest(&client, "a.test").await?;
    stack.gateway_command(&["takedown", "add", &path, "--reason", "test"]).await?;
    expect(&alice.sign(&client, &path).await?, 451, "taken down")?;

    // Credentials stand in no log.
    let mut log = stack.error_log("gateway");
    while let Ok(Ok(line)) = tokio::time::timeout(std::time::Duration::from_millis(300), stack.log_line()).await {
        log.push_str(&line.to_string());
    }
    let mac = below.split('/').nth(1).and_then(|token| token.rsplit('.').next()).unwrap_or_default();
    for secret in [&*guest.session, &guest.refresh, &magic_token, mac, MANAGER] {
        assert!(
            secret.len() > 20 && !log.contains(secret),
            "a credential is in a log: {}…",
            &secret[..4.min(secret.len())]
        );
    }
    Ok(())
}
