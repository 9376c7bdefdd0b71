//! Further gateways over a stack's hive, which know each other.

use crate::client::Client;
use crate::disk::put;
use crate::process::{Process, binary};
use crate::settings::Toml;
use crate::stack::Stack;
use crate::{Answer, Failure, Film};
use http::Method;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The token of all fleets.
pub const PEERS_TOKEN: &str = "harness-peers-token";

/// One gateway of a fleet, with a cache of its own.
pub struct Gateway {
    /// The process, unless it was killed.
    pub process: Option<Process>,
    /// Asks it as a viewer does, at its first address.
    pub client: Client,
    /// All its public addresses.
    pub listeners: Vec<SocketAddr>,
    /// Asks its admin listener.
    pub admin: Client,
    /// Where other gateways ask it.
    pub socket: PathBuf,
}

impl Stack {
    /// Starts a gateway for each of `over`, settings of its own beside those of the stack. They are each other's fleet, unless these say
    /// otherwise; `FOLDER` in them is the stack's folder, in which the gateway of number N (from 0) listens on `peer-N.sock`.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub async fn start_fleet(&self, over: &[&[(&str, &str)]]) -> Result<Vec<Gateway>, Failure> {
        let folder = self.folder.path().display().to_string();
        let address = |number: usize| format!("\"unix:{folder}/peer-{number}.sock\"");
        let members: Vec<String> = (0..over.len()).map(|at| format!("{{ address = {} }}", address(at))).collect();
        let mut fleet = Vec::new();
        for (number, over) in over.iter().enumerate() {
            let mut keys: Toml = [
                ("cache.folder", format!("\"{folder}/cache-{number}\"")),
                ("peers.listen", address(number)),
                ("peers.self", address(number)),
                ("peers.members", format!("[{}]", members.join(", "))),
                ("peers.token", format!("\"{PEERS_TOKEN}\"")),
                // A busy machine must not look like a dead gateway.
                ("peers.patience", "\"20s\"".to_owned()),
                ("peers.connect_timeout", "\"20s\"".to_owned()),
            ]
            .map(|(key, value)| (key.to_owned(), value))
            .into();
            keys.extend(over.iter().map(|(key, value)| ((*key).to_owned(), value.replace("FOLDER", &folder))));
            let path = |ending: &str| self.folder.path().join(format!("gateway-{number}.{ending}"));
            put(&path("toml"), self.file.text_with(self.folder.path(), &keys).as_bytes())?;
            let settings = path("toml").to_string_lossy().into_owned();
            let arguments = ["run", "--config", &settings];
            let mut process = Process::start(&binary("gateway")?, &arguments, &path("log"))?;
            let (listeners, socket) = process.wait_for_all("LISTEN", "PEERS unix:").await?;
            let listeners: Vec<SocketAddr> = listeners.iter().filter_map(|address| address.parse().ok()).collect();
            let client = Client { address: *listeners.first().ok_or("the gateway listens nowhere")? };
            let socket = PathBuf::from(socket);
            let admin = Client { address: process.wait_for("ADMIN").await?.parse()? };
            let mut gateway = Gateway { process: Some(process), client, listeners, admin, socket };
            gateway.listening().await?;
            fleet.push(gateway);
        }
        Ok(fleet)
    }

    /// Asks a gateway of a fleet for a film.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get_from(&self, gateway: &Gateway, film: &Film) -> Result<Answer, Failure> {
        gateway.client.ask(Method::GET, &self.link(film), &[]).await
    }
}

impl Gateway {
    /// The addresses are said before they are listened on.
    async fn listening(&mut self) -> Result<(), Failure> {
        let addresses: Vec<SocketAddr> = self.listeners.iter().copied().chain([self.admin.address]).collect();
        loop {
            let mut all = tokio::net::UnixStream::connect(&self.socket).await.is_ok();
            for &address in &addresses {
                all &= tokio::net::TcpStream::connect(address).await.is_ok();
            }
            if all {
                return Ok(());
            }
            if self.process.as_mut().is_none_or(Process::has_ended) {
                return Err("the gateway ended at once".into());
            }
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    }

    /// One metric's value; as [`Stack::metric`].
    ///
    /// # Errors
    /// When the admin listener does not answer or has no such series.
    pub async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let text = String::from_utf8(self.admin.ask(Method::GET, "/metrics", &[]).await?.body)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| format!("there is no metric {name}").into())
    }

    /// What it counted between itself and the others.
    ///
    /// # Errors
    /// As [`Self::metric`].
    pub async fn peers(&self, what: &str) -> Result<f64, Failure> {
        self.metric(&format!("streamvault_peers_total{{what=\"{what}\"}}")).await
    }
}
