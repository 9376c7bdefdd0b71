//! Tenants' own domains: certificates of a real ACME server and of files, and addresses that proxies tell.
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]

use bytes::Bytes;
use harness::{AcmeServer, Client, Curl, Failure, Gateway, PluginSettings, Settings, Stack, browse};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// Curl's word for a handshake that failed, and for a certificate that its root does not vouch for.
const NO_HANDSHAKE: i32 = 35;
const NOT_BELIEVED: i32 = 60;
/// The first address is TLS, the second plain.
const LISTEN: &str = r#"[{ address = "127.0.0.1:0", tls = {} }, { address = "127.0.0.1:0", https_port = 8443 }]"#;
const TLS_ALPN: &str = r#"["tls-alpn-01"]"#;
const HTTP: &str = r#"["http-01"]"#;
const DAY: u64 = 86_400;

/// Waits until something holds that follows by itself.
async fn until<F: Future<Output = Result<bool, Failure>>>(what: &str, holds: impl Fn() -> F) -> Result<(), Failure> {
    for _ in 0..300 {
        if holds().await? {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(format!("waited in vain: {what}").into())
}

fn events(event: &str) -> String {
    format!("streamvault_certificate_events_total{{event=\"{event}\"}}")
}

async fn issued(stack: &Stack, count: f64) -> Result<(), Failure> {
    let waited = until("certificates", || async { Ok(stack.metric(&events("issued")).await? >= count) }).await;
    waited.map_err(|error| format!("{error}\n{}", stack.error_log("gateway")).into())
}

fn sorted(mut names: Vec<String>) -> Vec<String> {
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenants_have_domains_and_certificates_of_their_own() -> Result<(), Failure> {
    let acme = AcmeServer::start().await?;
    let settings = Settings::default()
        .film("a.mkv", 3 << 20)
        .film("big.mkv", 40 << 20)
        .film_of("note.txt", b"words of a film".to_vec())
        .tenant("one", "domains", r#"["one.test", "*.one.test"]"#)
        .tenant("one", "hsts", "\"365d\"")
        .tenant("two", "limits.streams", "1")
        .tenant("shut", "status", "\"suspended\"")
        .tenant("shut", "branding.name", "\"Closed & Sons\"")
        .tenant("rest", "domains", "[\"*\"]")
        .gateway("listen", LISTEN);
    let mut stack = Stack::start(acme.for_gateway(settings, TLS_ALPN)).await?;
    acme.lead(stack.listeners[1], stack.listeners[0])?;
    issued(&stack, 3.0).await?;
    assert_eq!(sorted(acme.orders()), ["one.test", "shut.test", "two.test"]);

    let (film, big) = (stack.film("a.mkv")?.clone(), stack.film("big.mkv")?.clone());
    let mut curl = Curl { root: acme.root(), address: stack.listeners[0] };
    let link = stack.link_of("one", &film, "");
    for (version, more) in [("2", "--http2"), ("1.1", "--http1.1"), ("2", "--tls-max=1.2")] {
        let (option, value) = more.split_once('=').unwrap_or((more, ""));
        let more: Vec<&str> = [option, value].into_iter().filter(|word| !word.is_empty()).collect();
        let got = curl.get("https", "one.test", &link, &more).await?;
        assert_eq!((got.exit, got.status, got.version.as_str()), (0, 200, version), "{}", got.error);
        assert_eq!(got.header("strict-transport-security"), Some("max-age=31536000"));
        film.compare(0, &got.body)?;
    }

    // Secrets, limits and branding are each tenant's own.
    let got = curl.get("https", "two.test", &link, &[]).await?;
    assert_eq!((got.status, got.header("strict-transport-security")), (403, None));
    let (curl_of_two, held) = (curl.clone(), stack.link_of("two", &big, ""));
    let slow =
        tokio::spawn(
            async move { curl_of_two.get("https", "two.test", &held, &["--limit-rate", "50k"]).await.map(drop) },
        );
    until("a stream", || async { Ok(stack.metric("streamvault_limit_state{what=\"streams\"}").await? >= 1.0) }).await?;
    let got = curl.get("https", "two.test", &stack.link_of("two", &film, ""), &["--interface", "127.0.0.2"]).await?;
    assert_eq!(got.status, 503, "two's one stream is taken");
    assert_eq!(curl.get("https", "one.test", &link, &[]).await?.status, 200, "one has no such limit");
    slow.abort();
    let shut = curl.get("https", "shut.test", "/", &["-H", "accept: text/html"]).await?;
    assert_eq!(shut.status, 503);
    assert!(String::from_utf8_lossy(&shut.body).contains("<h1>Closed &amp; Sons</h1>"));

    // A browser that believes nothing but the test's root.
    let note = stack.link_of("one", stack.film("note.txt")?, "");
    let urls = ["https://one.test/robots.txt", &format!("https://one.test{note}"), "https://shut.test/"];
    let pages = browse(&acme.root(), stack.listeners[0], &urls).await?;
    for (page, words) in pages.iter().zip(["Disallow: /", "words of a film", "<h1>Closed &amp; Sons</h1>"]) {
        assert!(page.contains(words), "{words} is not in {page}");
    }

    // Plain HTTP sends to the same target, as it was sent, and promises nothing.
    let plain = Curl { address: stack.listeners[1], ..curl.clone() };
    let got = plain.get("http", "one.test", "/stream/%41//b%2Fc?x=%20&y", &[]).await?;
    assert_eq!((got.status, got.header("strict-transport-security")), (308, None));
    assert_eq!(got.header("location"), Some("https://one.test:8443/stream/%41//b%2Fc?x=%20&y"));
    assert_eq!(plain.get("http", "one.test", "/.well-known/acme-challenge/nothing", &[]).await?.status, 308);

    // Names that anybody can make up: nobody's by name, below a wildcard, and none at all.
    let unknown = ["nobody.test", "made-up.one.test", "sub.two.test", "127.0.0.1"];
    for name in unknown {
        assert_eq!(curl.get("https", name, "/", &[]).await?.exit, NO_HANDSHAKE, "{name}");
    }
    let burst = (0..60).map(|number| {
        let curl = curl.clone();
        tokio::spawn(
            async move { curl.get("https", &format!("n{number}.one.test"), "/", &[]).await.map(|got| got.exit) },
        )
    });
    let burst: Vec<_> = burst.collect();
    assert_eq!(curl.get("https", "one.test", &link, &[]).await?.status, 200, "while others make up names");
    for guess in burst {
        assert_eq!(guess.await??, NO_HANDSHAKE);
    }
    assert!(stack.metric(&events("unknown")).await? >= 63.0, "an address is no name; all others were asked about");
    assert_eq!(acme.orders().len(), 3, "none of them was ordered for: {:?}", acme.orders());

    // What is kept is used again; a tenant that is added is proven the other way.
    stack.gateway.take().ok_or("no gateway")?.kill().await;
    stack.set_gateway("certificates.acme.challenges", HTTP)?;
    stack.set_tenant("three", "hsts", "\"1d\"")?;
    stack.start_gateway().await?;
    acme.lead(stack.listeners[1], stack.listeners[0])?;
    issued(&stack, 1.0).await?;
    curl.address = stack.listeners[0];
    for host in ["one", "two", "three"] {
        let got = curl.get("https", &format!("{host}.test"), &stack.link_of(host, &film, ""), &[]).await?;
        assert_eq!((got.exit, got.status), (0, 200), "{host}: {}", got.error);
    }
    assert_eq!(acme.orders()[3..], ["three.test"]);
    Ok(())
}

/// The end of the certificate that a name is served with, in curl's words.
async fn expiry(curl: &Curl, host: &str) -> Result<String, Failure> {
    let got = curl.get("https", host, "/robots.txt", &["-v"]).await?;
    let line = got.error.lines().find(|line| line.contains("expire date:")).map(str::to_owned);
    line.ok_or_else(|| format!("no certificate: {}", got.error).into())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_are_renewed_ahead_of_their_end() -> Result<(), Failure> {
    let acme = AcmeServer::start().await?;
    // Good for another day, which is less than a third of its time.
    acme.set_validity(60 * DAY, DAY)?;
    let settings = Settings::default().tenant("one", "hsts", "\"1d\"").gateway("listen", LISTEN);
    let stack = Stack::start(acme.for_gateway(settings, HTTP)).await?;
    acme.lead(stack.listeners[1], stack.listeners[0])?;
    issued(&stack, 1.0).await?;
    let curl = Curl { root: acme.root(), address: stack.listeners[0] };
    let first = expiry(&curl, "one.test").await?;
    acme.set_validity(60, 90 * DAY)?;
    issued(&stack, 2.0).await?;
    assert_ne!(expiry(&curl, "one.test").await?, first);
    let ends = stack.metric("streamvault_certificate_state{what=\"first_expiry_timestamp_seconds\"}").await?;
    assert!(ends > 80.0 * 86_400.0, "{ends}");
    assert_eq!(acme.orders(), ["one.test", "one.test"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_cannot_be_kept_serves_and_is_ordered_once() -> Result<(), Failure> {
    let acme = AcmeServer::start().await?;
    let folder = tempfile::tempdir()?;
    // Where the file belongs, something is that no file can replace.
    let file = folder.path().join("one.test.pem");
    std::fs::create_dir_all(file.join("in the way"))?;
    let settings = Settings::default().tenant("one", "hsts", "\"1d\"").gateway("listen", LISTEN);
    let settings = acme.for_gateway(settings, r#"["tls-alpn-01", "http-01"]"#);
    let stack = Stack::start(settings.gateway("certificates.folder", &format!("{:?}", folder.path()))).await?;
    acme.lead(stack.listeners[1], stack.listeners[0])?;
    issued(&stack, 1.0).await?;
    let curl = Curl { root: acme.root(), address: stack.listeners[0] };
    assert_eq!(curl.get("https", "one.test", "/robots.txt", &[]).await?.exit, 0);
    std::fs::remove_dir_all(&file)?;
    until("it is kept", || async { Ok(file.is_file()) }).await?;
    assert_eq!(acme.orders(), ["one.test"]);
    assert_eq!(stack.metric(&events("failed")).await?, 0.0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_share_what_one_of_them_ordered_on_demand() -> Result<(), Failure> {
    let acme = AcmeServer::start().await?;
    let mut settings = Settings { redis: true, ..Settings::default() }
        .film("a.mkv", 100 << 10)
        .tenant("fixed", "domains", "[\"*.fixed.test\"]")
        .plugin(PluginSettings::new("tenant-registry"));
    for tenant in ["shop", "bar", "late"] {
        settings.secrets.push((tenant.to_owned(), "main".to_owned(), format!("link secret of {tenant}")));
    }
    let stack = Stack::start(settings).await?;
    let redis = stack.redis.as_ref().ok_or("no redis")?;
    for tenant in ["shop", "bar", "late"] {
        let record = format!(
            r#"{{"domains":["{tenant}.test","*.{tenant}.test"],"link_secrets":["main"],"channels":[{}]}}"#,
            stack.chat_id()
        );
        redis.ask(&["set", &format!("sv:{{tenant-registry}}:k:tenant:{tenant}"), &record]).await?;
        for domain in [format!("{tenant}.test"), format!("*.{tenant}.test")] {
            redis.ask(&["set", &format!("sv:{{tenant-registry}}:k:domain:{domain}"), tenant]).await?;
        }
    }
    let keys = acme.keys(HTTP);
    let mut over: Vec<(&str, &str)> = keys.iter().map(|(key, value)| (*key, value.as_str())).collect();
    over.extend([("listen", LISTEN), ("certificates.store", "\"redis\""), ("certificates.acme.orders_per_hour", "2")]);
    let fleet = stack.start_fleet(&[&over, &over]).await?;
    let [first, second] = &fleet[..] else { return Err("two gateways".into()) };
    // Challenges reach the gateway that does not order.
    acme.lead(first.listeners[1], first.listeners[0])?;
    let film = stack.film("a.mkv")?;
    let curl = |gateway: &Gateway| Curl { root: acme.root(), address: gateway.listeners[0] };
    let served = async |gateway: &Gateway, tenant: &str| {
        let got = curl(gateway).get("https", &format!("{tenant}.test"), &stack.link_of(tenant, film, ""), &[]).await?;
        Ok::<_, Failure>((got.exit, got.status))
    };
    let log = |number: usize| {
        std::fs::read_to_string(stack.folder().join(format!("gateway-{number}.log"))).unwrap_or_default()
    };
    assert_eq!(served(second, "shop").await?, (0, 200), "its handshake waits for the order: {}{}", log(1), acme.log());
    assert_eq!(acme.orders(), ["shop.test"]);
    assert_eq!(served(first, "shop").await?, (0, 200), "what the other one ordered: {}", log(0));
    for name in ["x.shop.test", "a.fixed.test", "nobody.test"] {
        assert_eq!(curl(second).get("https", name, "/", &[]).await?.exit, NO_HANDSHAKE, "{name}");
    }
    assert_eq!(acme.orders().len(), 1, "{:?}", acme.orders());

    // Several at once wait for one order; and what an hour has is not more.
    let (one, other) = tokio::join!(served(second, "bar"), served(second, "bar"));
    assert_eq!((one?, other?), ((0, 200), (0, 200)));
    assert_eq!(served(second, "late").await?.0, NO_HANDSHAKE);
    assert_eq!(acme.orders(), ["shop.test", "bar.test"]);
    assert_eq!(second.metric(&events("held")).await?, 1.0);
    assert_eq!(served(second, "shop").await?, (0, 200), "a spent budget is nothing to names that are there");
    assert_eq!(served(first, "late").await?, (0, 200), "the other gateway's hour");
    Ok(())
}

struct Pem {
    certificate: String,
    key: String,
}

fn pem(name: &str) -> Result<Pem, Failure> {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()])?;
    Ok(Pem { certificate: cert.pem(), key: signing_key.serialize_pem() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificates_of_files_change_while_they_serve() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let path = |name: &str| folder.path().join(name);
    let put = |name: &str, pem: &Pem| {
        std::fs::write(path(&format!("{name}.pem")), &pem.certificate)?;
        std::fs::write(path(&format!("{name}.key")), &pem.key)
    };
    let (old, two, new) = (pem("one.test")?, pem("two.test")?, pem("one.test")?);
    put("one", &old)?;
    put("two", &two)?;
    let roots = [("old", &old), ("two-root", &two), ("new", &new)];
    for (name, pem) in roots {
        std::fs::write(path(name), &pem.certificate)?;
    }
    let pair = |name: &str| {
        let path = |ending: &str| path(&format!("{name}.{ending}")).display().to_string();
        format!("{{ certificate = \"{}\", key = \"{}\" }}", path("pem"), path("key"))
    };
    let settings = Settings::default()
        .film("a.mkv", 6 << 20)
        .tenant("one", "hsts", "\"1d\"")
        .tenant("two", "hsts", "\"1d\"")
        .gateway("listen", LISTEN)
        .gateway("certificates.files", &format!("[{}, {}]", pair("one"), pair("two")));
    let stack = Stack::start(settings).await?;
    let film = stack.film("a.mkv")?.clone();
    let with = |root: &str| Curl { root: path(root), address: stack.listeners[0] };
    let exit =
        async |root: &str, host: &str| Ok::<_, Failure>(with(root).get("https", host, "/robots.txt", &[]).await?.exit);
    assert_eq!(exit("old", "one.test").await?, 0);
    assert_eq!(exit("two-root", "two.test").await?, 0);
    assert_eq!(exit("old", "two.test").await?, NOT_BELIEVED, "each name has its own");

    let (slow, link) = (with("old"), stack.link_of("one", &film, ""));
    let slow = tokio::spawn(async move { slow.get("https", "one.test", &link, &["--limit-rate", "400k"]).await });
    put("one", &new)?;
    // Without a word to the gateway.
    until("the new certificate", || async { Ok(exit("new", "one.test").await? == 0) }).await?;
    assert_eq!(exit("old", "one.test").await?, NOT_BELIEVED);
    std::fs::write(path("one.key"), &two.key)?;
    stack.gateway.as_ref().ok_or("no gateway")?.notify("HUP").await?;
    until("a word about it", || async { Ok(stack.error_log("gateway").contains("can't be used; the old ones stay")) })
        .await?;
    assert_eq!(exit("new", "one.test").await?, 0, "a pair that does not fit changes nothing");
    let whole = slow.await??;
    assert_eq!((whole.exit, whole.status), (0, 200), "{}", whole.error);
    film.compare(0, &whole.body)
}

const BOUND: &str = "\"$secure_link_expires$uri$remote_addr $secret\"";

/// The status line of what was answered to bytes as they are, from an address of this machine.
async fn raw(address: Client, bytes: &[u8]) -> Result<String, Failure> {
    let answer = address.raw(bytes).await?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_that_are_named_are_believed() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let own = pem("one.test")?;
    let (certificate, key) = (folder.path().join("one.pem"), folder.path().join("one.key"));
    std::fs::write(&certificate, &own.certificate)?;
    std::fs::write(&key, &own.key)?;
    let tls = format!("{{ certificate = \"{}\", key = \"{}\" }}", certificate.display(), key.display());
    let line = "address = \"127.0.0.1:0\", proxy_protocol = true";
    let settings = Settings::default()
        .film("a.mkv", 100 << 10)
        .tenant("one", "link.expression", BOUND)
        .gateway("listen", &format!("[{{ address = \"127.0.0.1:0\" }}, {{ {line} }}, {{ {line}, tls = {tls} }}]"))
        .gateway("proxies.trusted", "[\"127.0.0.1\"]");
    let mut stack = Stack::start(settings).await?;
    let film = stack.film("a.mkv")?.clone();
    let link = stack.link_of("one", &film, "192.0.2.1");
    let request = format!("GET {link} HTTP/1.1\r\nhost: one.test\r\nconnection: close\r\n\r\n");
    let with = |head: &[u8]| [head, request.as_bytes()].concat();
    let behind = Client { address: stack.listeners[1] };
    let v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\x7f\x00\x00\x01\x12\x34\x01\xbb";
    for (head, status, remote) in [
        (&b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 80\r\n"[..], "HTTP/1.1 200 OK", "192.0.2.1"),
        (b"PROXY TCP4 192.0.2.9 127.0.0.1 4660 80\r\n", "HTTP/1.1 403 Forbidden", "192.0.2.9"),
        (b"PROXY UNKNOWN\r\n", "HTTP/1.1 403 Forbidden", "127.0.0.1"),
        (v2, "HTTP/1.1 200 OK", "192.0.2.1"),
    ] {
        assert_eq!(raw(behind, &with(head)).await?, status, "{}", String::from_utf8_lossy(head));
        assert_eq!(stack.log_line().await?["remote"], remote);
    }
    assert_eq!(raw(behind, &with(b"")).await?, "", "no line, no answer");

    // The same before a handshake.
    let mut roots = RootCertStore::empty();
    roots.add(rustls_pem(&own.certificate)?)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let mut stream = TcpStream::connect(stack.listeners[2]).await?;
    stream.write_all(b"PROXY TCP4 192.0.2.1 127.0.0.1 4660 443\r\n").await?;
    let stream = TlsConnector::from(Arc::new(config)).connect(ServerName::try_from("one.test")?, stream).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder().uri(&link).header("host", "one.test").body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await?;
    assert_eq!(response.status(), 200);
    film.compare(0, &response.into_body().collect().await?.to_bytes())?;
    assert_eq!(stack.log_line().await?["remote"], "192.0.2.1");

    // Headers: of the one that is named, and of nobody else.
    for header in ["x-forwarded-for", "cf-connecting-ip"] {
        if header == "cf-connecting-ip" {
            stack.gateway.take().ok_or("no gateway")?.kill().await;
            stack.set_gateway("proxies.header", "\"cf-connecting-ip\"")?;
            stack.start_gateway().await?;
        }
        for (from, said, status, remote) in [
            ("127.0.0.1", "192.0.2.1", 200, "192.0.2.1"),
            ("127.0.0.1", "192.0.2.9", 403, "192.0.2.9"),
            ("127.0.0.2", "192.0.2.1", 403, "127.0.0.2"),
        ] {
            let headers = [("host", "one.test"), (header, said)];
            let got = stack.client.ask_from(Some(from.parse()?), Method::GET, &link, &headers).await?;
            assert_eq!(got.status, status, "{header}: {said} from {from}");
            assert_eq!(stack.log_line().await?["remote"], remote);
        }
    }
    Ok(())
}

fn rustls_pem(text: &str) -> Result<tokio_rustls::rustls::pki_types::CertificateDer<'static>, Failure> {
    use tokio_rustls::rustls::pki_types::pem::PemObject;
    Ok(tokio_rustls::rustls::pki_types::CertificateDer::from_pem_slice(text.as_bytes())?)
}
