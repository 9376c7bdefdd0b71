//! `list`, `reload`, `enable`, `disable`, `rollback`, `promote`: talk to a running gateway's admin listener.

use crate::cli::{Gateway, List, Named};
use crate::error::CommandError;
use crate::listing::{self, Listed};
use crate::session::block_on;
use config::{GatewaySettings, Loaded, Secret};
use http::header::{AUTHORIZATION, HOST};
use http::{Method, Request};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use std::io::{Write, stdout};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A listener that is there is connected to at once.
const CONNECT: Duration = Duration::from_secs(5);
/// A reload compiles every plugin that has changed, one after the other.
const ANSWER: Duration = Duration::from_secs(300);
/// Longest answer that is believed to be one.
const LONGEST: usize = 16 << 20;

/// What a change came to.
#[derive(Deserialize)]
struct Done {
    changes: Vec<String>,
}

pub(crate) fn list(list: &List) -> Result<(), CommandError> {
    let admin = Admin::of(&list.gateway)?;
    let body = block_on(admin.call(Method::GET, "/plugins"))?;
    let text = if list.json { body } else { listing::table(&admin.read::<Vec<Listed>>(&body)?) };
    write!(stdout(), "{text}")?;
    Ok(())
}

/// A change to all plugins. Fails if it leaves one that should be in service and is not, or not as its files are.
pub(crate) fn change(gateway: &Gateway, what: &str) -> Result<(), CommandError> {
    let admin = Admin::of(gateway)?;
    let done = block_on(admin.call(Method::POST, &format!("/plugins/{what}")))?;
    for line in admin.read::<Done>(&done)?.changes {
        writeln!(stdout(), "{line}")?;
    }
    let listed = block_on(admin.call(Method::GET, "/plugins"))?;
    let problems: Vec<String> = admin.read::<Vec<Listed>>(&listed)?.iter().filter_map(Listed::problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(CommandError::failed(problems.join("\n"))) }
}

/// A change to one plugin.
pub(crate) fn change_one(named: &Named, what: &str) -> Result<(), CommandError> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if named.name.is_empty() || !named.name.bytes().all(plain) {
        return Err(CommandError::failed(format!("{:?} is no name for a plugin", named.name)));
    }
    let admin = Admin::of(&named.gateway)?;
    let done = block_on(admin.call(Method::POST, &format!("/plugins/{}/{what}", named.name)))?;
    for line in admin.read::<Done>(&done)?.changes {
        writeln!(stdout(), "{line}")?;
    }
    Ok(())
}

/// A gateway's admin listener.
struct Admin {
    address: String,
    token: Option<Secret>,
}

impl Admin {
    fn of(gateway: &Gateway) -> Result<Self, CommandError> {
        let Loaded { settings, .. } = config::load::<GatewaySettings>(&gateway.config)?;
        let address = match &gateway.address {
            Some(address) => address.clone(),
            None => reachable(settings.admin.address).to_string(),
        };
        Ok(Self { address, token: settings.admin.token })
    }

    /// The body of a good answer.
    async fn call(&self, method: Method, path: &str) -> Result<String, CommandError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.address);
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, format!("Bearer {}", token.expose()));
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.error(error))?;
        let stream = match timeout(CONNECT, TcpStream::connect(&self.address)).await {
            Ok(connected) => connected.map_err(|error| self.error(format!("{error}; is it running?")))?,
            Err(_) => return Err(self.error("does not answer; is it running?")),
        };
        let answer = timeout(ANSWER, exchange(stream, request)).await;
        let (status, body) =
            answer.map_err(|_| self.error("gave no answer in time"))?.map_err(|error| self.error(error))?;
        if status.is_success() {
            return Ok(body);
        }
        let line = body.lines().next().unwrap_or_default();
        Err(self.error(format!("{status}: {line}")))
    }

    fn read<'a, T: Deserialize<'a>>(&self, body: &'a str) -> Result<T, CommandError> {
        serde_json::from_str(body).map_err(|error| self.error(format!("an answer that makes no sense here: {error}")))
    }

    fn error(&self, message: impl ToString) -> CommandError {
        CommandError::Gateway { address: self.address.clone(), message: message.to_string() }
    }
}

type Fault = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(stream: TcpStream, request: Request<Empty<Bytes>>) -> Result<(http::StatusCode, String), Fault> {
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
