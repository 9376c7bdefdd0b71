//! TLS on viewers' connections: a handshake with the certificate for the name that the client asks for.
//!
//! pingora would do it before its app sees the connection, but offers `h2` and `http/1.1` only: challenges of certificates are a protocol of their
//! own (RFC 8737). And here a handshake may wait for a certificate that is ordered for it.

use crate::certificates::Certificates;
use crate::clock;
use crate::connections::{Event, Place};
use bytes::BytesMut;
use certificates::{ACME_ALPN, ServerName, Table};
use pingora::listeners::tls::Acceptor;
use pingora::protocols::l4::stream::Stream as SocketStream;
use pingora::protocols::{ALPN, Shutdown, Ssl, Stream};
use rustls::crypto::aws_lc_rs::{Ticketer, default_provider};
use rustls::server::Acceptor as HelloReader;
use rustls::version::{TLS12, TLS13};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;

/// How long it waits for a certificate. Longer than an order takes, shorter than a browser's patience.
const ORDER_PATIENCE: Duration = Duration::from_secs(45);
/// Bytes of the longest first message (RFC 8446 §4: a handshake message may be longer, a client's first one never is).
const LONGEST_HELLO: usize = 20 << 10;

/// Makes TLS of connections.
pub(crate) struct Tls {
    acceptor: Acceptor,
    certificates: Arc<Certificates>,
}

impl Tls {
    /// For all certificates of the table, now and later.
    pub(crate) fn new(certificates: Arc<Certificates>) -> Result<Self, rustls::Error> {
        let table: Arc<Table> = certificates.table.clone();
        // For whoever asks for the process' own, such as the client of ACME. The first one installed stands.
        let _ = default_provider().install_default();
        let provider = Arc::new(default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(table);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec(), ACME_ALPN.to_vec()];
        // Who comes back resumes without a signature, also at another thread.
        config.ticketer = Ticketer::new()?;
        Ok(Self { acceptor: Acceptor::from_server_config(Arc::new(config)), certificates })
    }

    /// Shakes hands, each step of it within this time. `None`: there is nobody to serve, be it that the handshake failed, or that it was all that was wanted.
    pub(crate) async fn accept(&self, mut stream: SocketStream, patience: Duration, place: &Place) -> Option<Stream> {
        if self.certificates.orders() && self.prepare(&mut stream, patience).await.is_none() {
            place.count(Event::HandshakeLate);
            return None;
        }
        match pingora_timeout::timeout(patience, self.acceptor.tls_handshake(stream)).await {
            Ok(Ok(mut stream)) => match stream.selected_alpn_proto() {
                Some(ALPN::Custom(_)) => {
                    // The authority has seen its proof.
                    stream.shutdown().await;
                    None
                }
                _ => Some(Box::new(stream)),
            },
            Ok(Err(error)) => {
                tracing::debug!(%error, "a handshake failed");
                place.count(Event::HandshakeFailed);
                None
            }
            Err(_) => {
                place.count(Event::HandshakeLate);
                None
            }
        }
    }

    /// Reads the client's first message and has a certificate for its name, if one may be ordered. What was read is put back.
    async fn prepare(&self, stream: &mut SocketStream, patience: Duration) -> Option<()> {
        let mut read = BytesMut::new();
        let name = pingora_timeout::timeout(patience, server_name(stream, &mut read)).await.ok()?;
        stream.rewind(&read);
        if let Some(name) = name.and_then(|name| name.parse::<ServerName>().ok())
            && self.certificates.table.find(name.as_str()).is_none()
        {
            let certificates = self.certificates.clone();
            // A task of its own: an order that is too late for this client is in time for the next one.
            let obtained = tokio::spawn(async move { certificates.obtain(&name, clock::now()).await });
            let _ = pingora_timeout::timeout(ORDER_PATIENCE, obtained).await;
        }
        Some(())
    }
}

/// The name in a client's first message. `None` also where there is none, or no message: the handshake will tell the client.
async fn server_name(stream: &mut SocketStream, read: &mut BytesMut) -> Option<String> {
    let mut hello = HelloReader::default();
    let mut seen = 0;
    while read.len() < LONGEST_HELLO {
        if stream.read_buf(read).await.ok()? == 0 {
            return None;
        }
        let mut new = read.get(seen..)?;
        while !new.is_empty() {
            hello.read_tls(&mut new).ok()?;
        }
        seen = read.len();
        if let Some(accepted) = hello.accept().ok()? {
            let hello = accepted.client_hello();
            let challenge = hello.alpn().is_some_and(|mut offered| offered.next() == Some(ACME_ALPN));
            return hello.server_name().filter(|_| !challenge).map(str::to_ascii_lowercase);
        }
    }
    None
}
