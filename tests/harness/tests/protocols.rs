//! HTTP/2 without and with TLS: bytes are right there too, and a cut body is a reset stream, not an end.

use bytes::Bytes;
use harness::{Failure, Settings, Stack, self_signed};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::sync::Arc;
use telegram_sim::Shape;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

async fn get_h2(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    scheme: &str,
    target: &str,
    range: &str,
) -> Result<(StatusCode, Incoming), Failure> {
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder().uri(format!("{scheme}://films.test{target}")).header("range", range);
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    Ok((response.status(), response.into_body()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_body_over_http2_is_a_reset() -> Result<(), Failure> {
    let shape = Shape { account_bytes_per_second: 8 << 20, ..Shape::default() };
    let settings = Settings { shape, ..Settings::default() }
        .film("a.mkv", 12 << 20)
        .gateway("listen", "[{ address = \"127.0.0.1:0\", h2c = true }]");
    let mut stack = Stack::start(settings.gateway("hive.retry_window", "\"1s\"")).await?;
    let film = stack.film("a.mkv")?.clone();
    let stream = TcpStream::connect(stack.client.address).await?;
    let (status, mut body) = get_h2(stream, "http", &stack.link(&film), "bytes=0-").await?;
    assert_eq!(status, 206);
    let mut bytes = Vec::new();
    let mut hive = stack.hive.take();
    let end = loop {
        match body.frame().await {
            Some(Ok(frame)) => bytes.extend(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => break Some(error),
            None => break None,
        }
        if bytes.len() > 2 << 20
            && let Some(hive) = hive.take()
        {
            hive.kill().await;
        }
    };
    assert!((bytes.len() as u64) < film.size, "the hive died too late for this test");
    assert!(end.is_some(), "a part must not look whole");
    film.compare(0, &bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_speaks_both_protocols() -> Result<(), Failure> {
    let folder = tempfile::tempdir()?;
    let signed = self_signed(folder.path(), "films.test")?;
    let listen = format!("[{{ address = \"127.0.0.1:0\", {} }}]", signed.tls);
    let stack = Stack::start(Settings::default().film("a.mkv", 3 << 20).gateway("listen", &listen)).await?;
    let film = stack.film("a.mkv")?;
    let mut roots = RootCertStore::empty();
    roots.add(signed.certificate)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    for round in 0..2 {
        let stream = TcpStream::connect(stack.client.address).await?;
        let connector = TlsConnector::from(Arc::new(config.clone()));
        let stream = connector.connect(ServerName::try_from("films.test")?, stream).await?;
        let (status, body) = if round == 0 {
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
            get_h2(stream, "https", &stack.link(film), "bytes=100-2000099").await?
        } else {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let request = Request::builder().uri(stack.link(film)).header("host", "films.test");
            let request = request.header("range", "bytes=100-2000099").body(Empty::<Bytes>::new())?;
            let response = sender.send_request(request).await?;
            (response.status(), response.into_body())
        };
        assert_eq!(status, 206);
        let bytes = body.collect().await?.to_bytes();
        assert_eq!(bytes.len(), 2_000_000);
        film.compare(100, &bytes)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
    }
    Ok(())
}
