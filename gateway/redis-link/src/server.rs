//! Where Redis is, and one connection to it.

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::{ClusterClient, ClusterConfig};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelNodeConnectionInfo, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, RedisResult, Value,
};
use secrecy::{ExposeSecret, SecretString};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How often a Cluster is asked again where a slot has gone.
const REDIRECTIONS: u32 = 3;

/// Not an address of Redis. It is not shown, as it may hold a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Of a single server.
    #[error("not a Redis address; write redis://[user:password@]host:port/db or redis+unix:///path")]
    Url,
    /// Of a node of a Cluster, or of a Sentinel.
    #[error("not a list of addresses; write host:port for each")]
    Nodes,
}

/// Who the gateway is to Redis.
#[derive(Clone, Debug, Default)]
pub struct Login {
    /// None for Redis' default user.
    pub user: Option<String>,
    /// None where none is asked for.
    pub password: Option<SecretString>,
}

/// Where Redis is. Cloning is cheap; no clone connects by itself.
#[derive(Clone)]
pub struct Server(Arc<Kind>);

enum Kind {
    Single(Client),
    Cluster(ClusterClient),
    /// Locked while the master is looked up: the client keeps its connections to the Sentinels.
    Sentinel(tokio::sync::Mutex<SentinelClient>),
}

impl fmt::Debug for Server {
    /// Not what it holds: there may be a password in it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.0 {
            Kind::Single(_) => "Server(single)",
            Kind::Cluster(_) => "Server(cluster)",
            Kind::Sentinel(_) => "Server(sentinel)",
        })
    }
}

impl Server {
    /// One server: `redis://[user:password@]host:port/db` or `redis+unix:///path`. Connects nowhere.
    ///
    /// # Errors
    /// [`AddressError::Url`].
    pub fn single(url: &str) -> Result<Self, AddressError> {
        // The error quotes parts of the address.
        Client::open(url).map(|client| Self(Arc::new(Kind::Single(client)))).map_err(|_| AddressError::Url)
    }

    /// A Cluster, by some of its nodes (`host:port`); the others are learnt from these. Connects nowhere.
    ///
    /// # Errors
    /// [`AddressError::Nodes`].
    pub fn cluster(nodes: &[String], login: &Login) -> Result<Self, AddressError> {
        let builder = ClusterClient::builder(infos(nodes, login, 0)?).retries(REDIRECTIONS);
        builder.build().map(|client| Self(Arc::new(Kind::Cluster(client)))).map_err(|_| AddressError::Nodes)
    }

    /// The master that Sentinels (`host:port`) know by `name`, and its database. Connects nowhere.
    ///
    /// # Errors
    /// [`AddressError::Nodes`].
    pub fn sentinel(
        nodes: &[String],
        sentinels: &Login,
        name: &str,
        master: &Login,
        database: u32,
    ) -> Result<Self, AddressError> {
        let infos = infos(nodes, sentinels, 0)?;
        let node = SentinelNodeConnectionInfo::default().set_redis_connection_info(settings(master, database));
        let client = SentinelClient::build(infos, name.to_owned(), Some(node), SentinelServerType::Master);
        client
            .map(|client| Self(Arc::new(Kind::Sentinel(tokio::sync::Mutex::new(client)))))
            .map_err(|_| AddressError::Nodes)
    }

    /// A connection of one's own, made within `patience`, on which each answer may take `response`.
    ///
    /// # Errors
    /// What kept it from being made. Its text may quote an address: tell [`RedisError::category`] on, not the text.
    pub async fn connect(&self, patience: Duration, response: Duration) -> RedisResult<Connection> {
        let made = tokio::time::timeout(patience, self.made(patience, response)).await;
        made.unwrap_or_else(|_| Err(RedisError::from((ErrorKind::Io, "no connection in time"))))
    }

    async fn made(&self, patience: Duration, response: Duration) -> RedisResult<Connection> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(response));
        match &*self.0 {
            Kind::Single(client) => {
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
            }
            Kind::Cluster(client) => {
                let config = ClusterConfig::new().set_connection_timeout(patience).set_response_timeout(response);
                client.get_async_connection_with_config(config).await.map(Connection::Cluster)
            }
            Kind::Sentinel(client) => {
                let master = client.lock().await.async_get_client().await?;
                master.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Single)
            }
        }
    }
}

fn infos(nodes: &[String], login: &Login, database: u32) -> Result<Vec<ConnectionInfo>, AddressError> {
    let info = |node: &String| {
        let (host, port) = node.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let address = ConnectionAddr::Tcp(host.to_owned(), port.parse().ok()?);
        let info = address.into_connection_info().ok()?;
        (!host.is_empty()).then(|| info.set_redis_settings(settings(login, database)))
    };
    let infos: Option<Vec<_>> = nodes.iter().map(info).collect();
    infos.filter(|infos| !infos.is_empty()).ok_or(AddressError::Nodes)
}

fn settings(login: &Login, database: u32) -> RedisConnectionInfo {
    let mut settings = RedisConnectionInfo::default().set_db(i64::from(database));
    if let Some(user) = &login.user {
        settings = settings.set_username(user);
    }
    match &login.password {
        Some(password) => settings.set_password(password.expose_secret()),
        None => settings,
    }
}

/// One connection, which may be shared by cloning.
#[derive(Clone)]
pub enum Connection {
    /// To one server.
    Single(MultiplexedConnection),
    /// To the nodes of a Cluster.
    Cluster(ClusterConnection),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connection")
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AddressError, Login, Server};

    #[test]
    fn addresses_are_refused_without_being_shown() {
        let nodes = |list: &[&str]| list.iter().map(|&node| node.to_owned()).collect::<Vec<_>>();
        for bad in ["localhost", "http://x", "redis://u:secret@[::"] {
            assert_eq!(Server::single(bad).err(), Some(AddressError::Url), "{bad}");
        }
        for bad in [&[][..], &["a"], &["a:b"], &[":1"], &["a:1", "b:70000"]] {
            assert_eq!(Server::cluster(&nodes(bad), &Login::default()).err(), Some(AddressError::Nodes), "{bad:?}");
        }
        for good in [&["a:1"][..], &["[::1]:7000", "b.example:7001"]] {
            assert!(Server::cluster(&nodes(good), &Login::default()).is_ok(), "{good:?}");
        }
        let login = Login { user: None, password: Some("hush".to_owned().into()) };
        let server = Server::sentinel(&nodes(&["a:26379"]), &Login::default(), "films", &login, 0).unwrap();
        assert_eq!(format!("{server:?} {login:?}").matches("hush").count(), 0);
    }
}
