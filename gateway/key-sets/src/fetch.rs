//! One GET over https.

use bytes::Bytes;
use http::header::{ACCEPT, HOST, USER_AGENT};
use http::{Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use viewer::LONGEST_KEY_SET;

/// The whole of it: name, connection, TLS, answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why there is no answer. For operators.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    #[error("can't connect: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it answers {0}")]
    Status(StatusCode),
    #[error("the answer breaks off, or is longer than 64 KiB")]
    Body,
    #[error("the address can't be asked for")]
    Address,
}

/// Gets what is there. The address has a scheme of https, and a host.
pub(crate) async fn get(url: &Uri, tls: &Arc<ClientConfig>) -> Result<Bytes, FetchError> {
    tokio::time::timeout(PATIENCE, ask(url, tls)).await.map_err(|_| FetchError::Late)?
}

async fn ask(url: &Uri, tls: &Arc<ClientConfig>) -> Result<Bytes, FetchError> {
    let authority = url.authority().ok_or(FetchError::Address)?;
    let bare = authority.host().trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(bare.to_owned()).map_err(|_| FetchError::Address)?;
    let stream = TcpStream::connect((bare, authority.port_u16().unwrap_or(443))).await?;
    let stream = TlsConnector::from(tls.clone()).connect(name, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let target = url.path_and_query().map_or("/", http::uri::PathAndQuery::as_str);
    let request = Request::get(target)
        .header(HOST, authority.as_str())
        .header(USER_AGENT, "streamvault")
        .header(ACCEPT, "application/json, application/jwk-set+json")
        .body(Empty::<Bytes>::new())
        .map_err(|_| FetchError::Address)?;
    let answer = async {
        let answer = sender.send_request(request).await?;
        if answer.status() != StatusCode::OK {
            return Err(FetchError::Status(answer.status()));
        }
        let body = Limited::new(answer.into_body(), LONGEST_KEY_SET).collect().await;
        Ok(body.map_err(|_| FetchError::Body)?.to_bytes())
    };
    // The connection lives as long as its one answer.
    tokio::pin!(answer, connection);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}
