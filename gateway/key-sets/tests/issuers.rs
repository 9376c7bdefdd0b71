//! Key sets of an issuer that answers over TLS, doesn't answer, or answers something else.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]

use identity::{Issuer, SignAlgorithm, SigningKey, Subject};
use key_sets::{KeySet, SetupError, Source};
use parking_lot::Mutex;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use viewer::{Rules, TokenError, Verifier};

const NOW: i64 = 1_800_000_000;
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const ONE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEILese2cuxsqEXb+GjUxrYnaxsLqOa6ET3Ou0TVvJIigN\n-----END PRIVATE KEY-----";
const OTHER: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8g\n-----END PRIVATE KEY-----";

/// An https server of one answer, which can be changed.
struct Server {
    folder: tempfile::TempDir,
    port: u16,
    answer: Arc<Mutex<String>>,
    asked: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("ca.pem"), cert.pem()).unwrap();
        let key = PrivateKeyDer::Pkcs8(signing_key.serialize_der().into());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = builder.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (answer, asked) = (Arc::<Mutex<String>>::default(), Arc::<AtomicUsize>::default());
        let (says, counts) = (answer.clone(), asked.clone());
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") && stream.read_buf(&mut request).await.unwrap_or(0) > 0 {}
                counts.fetch_add(1, Ordering::SeqCst);
                let text = says.lock().clone();
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { folder, port, answer, asked, task }
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn says(&self, status: &str, body: &str) {
        let length = body.len();
        *self.answer.lock() =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nLocation: /other\r\n\r\n{body}");
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn source(&self) -> Source {
        Source::Url { url: format!("https://localhost:{}/jwks.json", self.port), ca: Some(self.ca()) }
    }
}

fn issuer(kid: &str, pem: &str) -> Issuer {
    let key = SigningKey { id: kid.to_owned(), algorithm: SignAlgorithm::EdDsa, material: pem.into() };
    Issuer::new("a", &[key]).unwrap()
}

fn token(issuer: &Issuer) -> String {
    issuer.access(&Subject::guest([1; 16]), "s", [2; 16], NOW, Duration::from_secs(900)).unwrap()
}

fn verifier() -> Arc<Verifier> {
    let rules =
        Rules { issuer: Some("a".into()), audience: Some("a".into()), published: true, ..Rules::new(Vec::new()) };
    Arc::new(Verifier::new(rules).unwrap())
}

fn key_set(source: Source) -> Arc<KeySet> {
    Arc::new(KeySet::new(source, HOUR, DAY).unwrap())
}

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test]
async fn keys_are_fetched_kept_and_fetched_again() {
    let server = Server::start().await;
    let (one, other) = (issuer("1", ONE), issuer("2", OTHER));
    let (verifier, set) = (verifier(), key_set(server.source()));
    server.says("200 OK", &one.published().to_string());
    assert_eq!(verifier.verify(&token(&one), NOW).unwrap_err(), TokenError::UnknownKey);
    assert!(set.renew(&verifier, at(0)).await, "a token that names an unknown key has the issuer asked");
    assert!(verifier.verify(&token(&one), NOW).is_ok());

    // However many tokens name keys that there are not, the issuer is asked every ten seconds at most.
    for second in 0..100 {
        set.renew(&verifier, Duration::from_millis(second * 99)).await;
    }
    assert_eq!(server.asked(), 1);
    server.says("200 OK", &other.published().to_string());
    assert!(set.renew(&verifier, at(10)).await);
    assert!(verifier.verify(&token(&other), NOW).is_ok());
    assert_eq!(verifier.verify(&token(&one), NOW).unwrap_err(), TokenError::UnknownKey, "a key that is gone");

    // What can't be read changes nothing.
    let before = server.asked();
    let long = " ".repeat(70_000);
    for (step, (status, body)) in
        [("500 Oops", ""), ("302 Found", ""), ("200 OK", "no"), ("200 OK", "{\"keys\":[]}"), ("200 OK", &long)]
            .into_iter()
            .enumerate()
    {
        server.says(status, body);
        set.renew(&verifier, at(100 + 10 * step as u64)).await;
        assert!(verifier.verify(&token(&other), NOW).is_ok(), "{status} {}", body.len());
    }
    assert_eq!(server.asked() - before, 5, "a redirect is not followed");

    // A change of settings waits for nobody.
    let (after, later) = (self::verifier(), key_set(server.source()));
    later.adopt(&set, &after);
    assert!(after.verify(&token(&other), NOW).is_ok());

    // Away: the keys count until they are too old.
    server.task.abort();
    set.tend(&verifier, at(80_000)).await;
    assert!(verifier.verify(&token(&other), NOW).is_ok());
    set.tend(&verifier, at(10) + DAY + at(1)).await;
    assert_eq!(verifier.verify(&token(&other), NOW).unwrap_err(), TokenError::UnknownKey);
}

#[tokio::test]
async fn who_leaves_keeps_nobody_from_the_keys() {
    let server = Server::start().await;
    let one = issuer("1", ONE);
    let (verifier, set) = (verifier(), key_set(server.source()));
    server.says("200 OK", &one.published().to_string());
    // The stranger goes before the issuer has so much as heard of it.
    assert!(tokio::time::timeout(Duration::ZERO, set.renew(&verifier, at(0))).await.is_err());
    // Within the same ten seconds.
    let patience = tokio::time::timeout(Duration::from_secs(20), async {
        while verifier.verify(&token(&one), NOW).is_err() {
            set.renew(&verifier, at(1)).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    patience.await.unwrap();
    assert_eq!(server.asked(), 1);
}

#[tokio::test]
async fn nobody_else_can_publish() {
    let (server, stranger) = (Server::start().await, Server::start().await);
    let one = issuer("1", ONE);
    server.says("200 OK", &one.published().to_string());
    // The stranger's certificate is for the same name; who vouches for it is somebody else.
    let url = format!("https://localhost:{}/jwks.json", server.port);
    let (verifier, set) = (verifier(), key_set(Source::Url { url, ca: Some(stranger.ca()) }));
    assert!(!set.renew(&verifier, at(0)).await);
    // The name counts, too.
    let url = format!("https://127.0.0.1:{}/jwks.json", server.port);
    let set = key_set(Source::Url { url, ca: Some(server.ca()) });
    assert!(!set.renew(&verifier, at(0)).await);
    assert_eq!(server.asked(), 0, "nothing is said before the certificate holds");
    for url in ["http://localhost/x", "localhost", "https://", "ftp://a"] {
        let made = KeySet::new(Source::Url { url: url.to_owned(), ca: None }, HOUR, DAY);
        assert!(matches!(made, Err(SetupError::Url(_))), "{url}");
    }
    let none = Source::Url { url: "https://a".to_owned(), ca: Some("/nowhere".into()) };
    assert!(matches!(KeySet::new(none, HOUR, DAY), Err(SetupError::Ca(_))));
}

#[tokio::test]
async fn a_file_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let (one, verifier) = (issuer("1", ONE), verifier());
    let set = key_set(Source::File(path.clone()));
    set.tend(&verifier, at(0)).await;
    assert!(verifier.verify(&token(&one), NOW).is_err());
    std::fs::write(&path, one.published().to_string()).unwrap();
    set.tend(&verifier, at(9)).await;
    assert!(verifier.verify(&token(&one), NOW).is_err(), "not so soon after a failure");
    set.tend(&verifier, at(10)).await;
    assert!(verifier.verify(&token(&one), NOW).is_ok());
}
