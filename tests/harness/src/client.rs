//! A viewer: one connection for each request, every byte counted, a broken body told from a whole one.

use crate::Failure;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Asks one gateway.
#[derive(Clone, Copy, Debug)]
pub struct Client {
    /// Where it listens.
    pub address: SocketAddr,
}

/// An answer, whole or broken.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Body bytes that came.
    pub body: Vec<u8>,
    /// Why the body ended before its declared length, if it did.
    pub broken: Option<String>,
    /// From the request to the body's end.
    pub took: Duration,
}

impl Client {
    /// Sends one request and reads the answer to its end.
    ///
    /// # Errors
    /// When there is no answer: no connection, no head, or silence.
    pub async fn ask(&self, method: Method, target: &str, headers: &[(&str, &str)]) -> Result<Answer, Failure> {
        self.ask_from(None, method, target, headers).await
    }

    /// POSTs a body.
    ///
    /// # Errors
    /// When there is no answer: no connection, no head, or silence.
    pub async fn post(&self, target: &str, headers: &[(&str, &str)], body: &str) -> Result<Answer, Failure> {
        let body = Bytes::copy_from_slice(body.as_bytes());
        tokio::time::timeout(PATIENCE, async {
            let (status, headers, incoming) = self.open_with(None, Method::POST, target, headers, body).await?;
            Answer::begun(status, headers).finish(incoming).await
        })
        .await?
    }

    /// As [`Self::ask`], from an address of this machine: on Linux, any of 127.0.0.0/8.
    ///
    /// # Errors
    /// When there is no answer: no connection, no head, or silence.
    pub async fn ask_from(
        &self,
        from: Option<IpAddr>,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        tokio::time::timeout(PATIENCE, async {
            #[expect(clippy::disallowed_methods, reason = "that an answer took its time is a thing to test")]
            let started = std::time::Instant::now();
            let (status, headers, incoming) = self.open_from(from, method, target, headers).await?;
            let mut answer = Answer::begun(status, headers).finish(incoming).await?;
            answer.took = started.elapsed();
            Ok(answer)
        })
        .await?
    }

    /// Sends one request and returns with the answer's head; the body is the caller's to read or to leave.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn open(
        &self,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<(StatusCode, HeaderMap, Incoming), Failure> {
        self.open_from(None, method, target, headers).await
    }

    /// As [`Self::open`], from an address of this machine.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn open_from(
        &self,
        from: Option<IpAddr>,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<(StatusCode, HeaderMap, Incoming), Failure> {
        self.open_with(from, method, target, headers, Bytes::new()).await
    }

    async fn open_with(
        &self,
        from: Option<IpAddr>,
        method: Method,
        target: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<(StatusCode, HeaderMap, Incoming), Failure> {
        let stream = match from {
            Some(from) => {
                let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.bind((from, 0).into())?;
                socket.connect(self.address).await?
            }
            None => TcpStream::connect(self.address).await?,
        };
        stream.set_nodelay(true)?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // Ends with the connection, which ends with the body.
        tokio::spawn(connection);
        let mut request = Request::builder().method(method).uri(target);
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
            request = request.header("host", "films.test");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = sender.send_request(request.body(Full::new(body))?).await?;
        let (parts, body) = response.into_parts();
        Ok((parts.status, parts.headers, body))
    }

    /// Sends bytes as they are and reads until the other side closes. For requests after which it has to.
    ///
    /// # Errors
    /// When nothing can be connected to, or the other side neither says anything nor closes.
    pub async fn raw(&self, bytes: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut stream = TcpStream::connect(self.address).await?;
        // A server that refuses early may close while we still write: what it said before counts.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        loop {
            match tokio::time::timeout(Duration::from_secs(5), stream.read(&mut piece)).await {
                Ok(Ok(read @ 1..)) => answer.extend_from_slice(piece.get(..read).unwrap_or_default()),
                Ok(Ok(0) | Err(_)) => return Ok(answer),
                Err(_) if answer.is_empty() => return Err("neither an answer nor an end".into()),
                // Kept alive for a next request.
                Err(_) => return Ok(answer),
            }
        }
    }
}

impl Answer {
    /// An answer of which only the head has come.
    pub(crate) fn begun(status: StatusCode, headers: HeaderMap) -> Self {
        Self { status, headers, body: Vec::new(), broken: None, took: Duration::ZERO }
    }

    /// Reads the body to its end, good or bad.
    pub(crate) async fn finish(mut self, mut body: Incoming) -> Result<Self, Failure> {
        let read = async {
            while let Some(frame) = body.frame().await {
                self.body.extend(frame?.into_data().unwrap_or_default());
            }
            Ok::<(), hyper::Error>(())
        };
        if let Err(error) = tokio::time::timeout(PATIENCE, read).await? {
            self.broken = Some(error.to_string());
        }
        Ok(self)
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
