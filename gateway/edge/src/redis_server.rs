//! Where Redis is, for everybody who needs one: purges and takedowns, rates, tenants, viewers' sessions, certificates, the plugins' store.

use config::gateway::Redis;
use redis_link::{AddressError, Login, Server};
use secrecy::SecretString;

/// Where the settings' Redis is.
pub(crate) fn server(redis: &Redis) -> Result<Server, AddressError> {
    let login = |user: &Option<String>, password: &Option<config::Secret>| Login {
        user: user.clone(),
        password: password.as_ref().map(|password| SecretString::from(password.expose())),
    };
    match (&redis.url, &redis.cluster, &redis.sentinel) {
        (Some(url), ..) => Server::single(url.expose()),
        (_, Some(cluster), _) => Server::cluster(&cluster.nodes, &login(&cluster.user, &cluster.password)),
        (.., Some(sentinel)) => Server::sentinel(
            &sentinel.nodes,
            &login(&sentinel.sentinel_user, &sentinel.sentinel_password),
            &sentinel.master,
            &login(&sentinel.user, &sentinel.password),
            sentinel.database,
        ),
        // The settings' own check saw to it that there is one.
        (None, None, None) => Err(AddressError::Url),
    }
}
