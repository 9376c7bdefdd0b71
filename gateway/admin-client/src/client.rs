//! One question, one answer.

use clap::Args;
use config::gateway::AdminRole;
use config::{ConfigError, GatewaySettings, Secret};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A listener that is there is connected to at once.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest answer that is believed to be one.
const LONGEST: usize = 64 << 20;

/// Which gateway.
#[derive(Args, Clone, Debug)]
pub struct Gateway {
    /// Its settings: admin.address and admin.token.
    #[arg(long, value_name = "FILE")]
    pub config: PathBuf,
    /// Its admin listener, if that is elsewhere than the settings say.
    #[arg(long, value_name = "HOST:PORT")]
    pub address: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The gateway's settings can't be had.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The gateway can't be reached, or refused.
    #[error("the gateway at {address}: {message}")]
    Gateway {
        /// Its admin listener.
        address: String,
        /// What it said, or what kept it from saying anything.
        message: String,
    },
    /// No runtime could be started to ask with.
    #[error("can't ask: {0}")]
    Runtime(#[from] std::io::Error),
}

/// A gateway's admin listener.
#[derive(Debug)]
pub struct AdminClient {
    address: String,
    token: Option<Secret>,
    patience: Duration,
}

impl AdminClient {
    /// Reads the settings. An answer may take `patience`.
    ///
    /// # Errors
    /// [`AdminError::Config`].
    pub fn new(gateway: &Gateway, patience: Duration) -> Result<Self, AdminError> {
        let settings = config::load::<GatewaySettings>(&gateway.config)?.settings;
        let address = match &gateway.address {
            Some(address) => address.clone(),
            None => reachable(settings.admin.address).to_string(),
        };
        // The operator's own, or else the mightiest.
        let mut tokens: Vec<_> = settings.admin.all_tokens().collect();
        tokens.sort_by_key(|(_, role, _)| *role == AdminRole::Read);
        let token = tokens.into_iter().next().map(|(_, _, token)| token.clone());
        Ok(Self { address, token, patience })
    }

    /// Host and port of the listener.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The body of a good answer. Blocks.
    ///
    /// # Errors
    /// [`AdminError::Gateway`], with what a refusal says; [`AdminError::Runtime`].
    pub fn ask(&self, method: Method, path: &str) -> Result<String, AdminError> {
        self.send(method, path, Bytes::new())
    }

    /// As [`Self::ask`], by `POST` and with a body.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<String, AdminError> {
        self.change(Method::POST, path, body)
    }

    /// As [`Self::ask`], with a body.
    ///
    /// # Errors
    /// As [`Self::ask`].
    pub fn change(&self, method: Method, path: &str, body: &impl Serialize) -> Result<String, AdminError> {
        let body = serde_json::to_vec(body).map_err(|error| self.error(error))?;
        self.send(method, path, body.into())
    }

    /// Takes an answer for what it should be.
    ///
    /// # Errors
    /// [`AdminError::Gateway`]: it is something else.
    pub fn read<'a, T: Deserialize<'a>>(&self, body: &'a str) -> Result<T, AdminError> {
        serde_json::from_str(body).map_err(|error| self.error(format!("an answer that makes no sense here: {error}")))
    }

    fn send(&self, method: Method, path: &str, body: Bytes) -> Result<String, AdminError> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.call(method, path, body))
    }

    async fn call(&self, method: Method, path: &str, body: Bytes) -> Result<String, AdminError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|error| self.error(error))?;
        let stream = match timeout(CONNECT, TcpStream::connect(&self.address)).await {
            Ok(connected) => connected.map_err(|error| self.error(format!("{error}; is it running?")))?,
            Err(_) => return Err(self.error("does not answer; is it running?")),
        };
        let answer = timeout(self.patience, exchange(stream, request)).await;
        let (status, body) =
            answer.map_err(|_| self.error("gave no answer in time"))?.map_err(|error| self.error(error))?;
        if status.is_success() {
            return Ok(body);
        }
        // Problem details, as RFC 9457 has them, or a line of text.
        let detail = serde_json::from_str::<serde_json::Value>(&body).ok();
        let detail = detail.as_ref().and_then(|problem| problem.get("detail")?.as_str());
        let line = detail.or_else(|| body.lines().next()).unwrap_or_default();
        Err(self.error(format!("{status}: {line}")))
    }

    fn error(&self, message: impl ToString) -> AdminError {
        AdminError::Gateway { address: self.address.clone(), message: message.to_string() }
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(stream: TcpStream, request: Request<Full<Bytes>>) -> Result<(StatusCode, String), Fault> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the answer's last byte, or with this command.
    let driver = tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), LONGEST).collect().await?.to_bytes();
    driver.abort();
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

/// A listener on all addresses is reached by the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

#[cfg(test)]
mod tests {
    use super::reachable;

    #[test]
    fn listeners_on_all_addresses_are_reached_by_the_loopback() {
        let rows = [("0.0.0.0:9090", "127.0.0.1:9090"), ("[::]:9090", "[::1]:9090"), ("192.0.2.1:1", "192.0.2.1:1")];
        for (address, wanted) in rows {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), wanted);
        }
    }
}
