//! From the settings file to what each part takes.

use config::worker_hive::IpVersion;
use config::{HiveSettings, ListenAddress, Secret};
use leases::{LeaseOptions, WhenAway};
use mtproto::{ClientConfig, IpVersions, KeyError, Route, RouteError, RsaKeyError, RsaKeys, StoreKey};
use pool::PoolConfig;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use traces::{Export, Traces, TracesError};

/// How long transfers under way may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);
/// Longer than a gateway keeps a fetch for a viewer who paused.
const STALL: Duration = Duration::from_secs(120);

/// Where the store's key may be instead of in a file.
const STORE_KEY: &str = "STREAMVAULT_STORE_KEY";

/// Name of the catalog's file in the store's folder, where the settings name none.
const CATALOG: &str = "catalog.sqlite";

/// What a hive is started with.
#[derive(Clone, Debug)]
pub struct HiveOptions {
    /// Where gateways connect.
    pub listen: ListenAddress,
    /// Where metrics and health are read.
    pub admin: SocketAddr,
    /// What gateways must present.
    pub token: Secret,
    /// Folder of the session files.
    pub store: PathBuf,
    /// What their secrets are encrypted with.
    pub store_key: Option<StoreKey>,
    /// File of the catalog of virtual files; made if it is not there.
    pub catalog: PathBuf,
    /// Where hives agree on who runs which session; without it, this hive is the only one.
    pub leases: Option<SharedLeases>,
    /// Connections to Telegram.
    pub client: ClientConfig,
    /// Sessions and streams.
    pub pool: PoolConfig,
    /// How long transfers under way may go on when the hive is told to stop.
    pub drain: Duration,
    /// A body whose next bytes nobody fetches for this long is given up, and its session freed.
    pub stall: Duration,
    /// Where requests' traces go; without it, nowhere.
    pub traces: Option<Export>,
}

/// Other hives have the same sessions.
#[derive(Clone, Debug)]
pub struct SharedLeases {
    /// Address of Redis.
    pub url: Secret,
    /// First part of its keys.
    pub prefix: String,
    /// Who this hive is, and for how long it has what it takes.
    pub options: LeaseOptions,
}

/// The settings name something that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file of RSA keys can't be read.
    #[error("telegram.rsa_keys: {}: {source}", path.display())]
    RsaFile {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file holds something else.
    #[error("telegram.rsa_keys: {0}")]
    RsaKeys(#[from] RsaKeyError),
    /// The way to Telegram can't be read.
    #[error("route.url: {0}")]
    Route(#[from] RouteError),
    /// The store's key can't be had.
    #[error("{0}")]
    StoreKey(#[from] KeyError),
    /// Traces can't be told.
    #[error("traces: {0}")]
    Traces(#[from] TracesError),
    /// Two keys, of which one is the wrong one.
    #[error("store.key_file and {STORE_KEY} both name a key: leave one of them out")]
    TwoStoreKeys,
}

/// The key of the session store: out of the settings' file, or out of the environment.
///
/// # Errors
/// [`OptionsError`], when both are there, or the one can't be used.
pub fn store_key(store: &config::worker_hive::Store) -> Result<Option<StoreKey>, OptionsError> {
    let variable = std::env::var(STORE_KEY).ok().filter(|text| !text.is_empty()).map(Zeroizing::new);
    match (&store.key_file, variable) {
        (Some(_), Some(_)) => Err(OptionsError::TwoStoreKeys),
        (Some(file), None) => Ok(Some(StoreKey::read(file)?)),
        (None, Some(text)) => Ok(Some(StoreKey::parse(&text)?)),
        (None, None) => Ok(None),
    }
}

fn rsa_keys(path: Option<&Path>) -> Result<RsaKeys, OptionsError> {
    let Some(path) = path else { return Ok(RsaKeys::telegram()) };
    let text = std::fs::read_to_string(path);
    let text = text.map_err(|source| OptionsError::RsaFile { path: path.to_owned(), source })?;
    Ok(RsaKeys::from_pem(&text)?)
}

/// The way to Telegram that the settings name.
///
/// # Errors
/// [`RouteError`], which never quotes the text.
fn route(settings: &config::worker_hive::Route) -> Result<Route, RouteError> {
    let route = settings.url.as_ref().map_or_else(|| Ok(Route::direct()), |url| Route::parse(url.expose()))?;
    let route = match settings.ip {
        // The text may choose a version too.
        IpVersion::V4 => route,
        IpVersion::V6 => route.with_ip(IpVersions::V6),
        IpVersion::Any => route.with_ip(IpVersions::Any),
    };
    Ok(settings.bind.iter().fold(route, |route, address| route.with_bind(*address)))
}

fn shared_leases(redis: config::worker_hive::SharedLeases) -> SharedLeases {
    let when_away = match redis.when_away {
        config::worker_hive::WhenAway::Keep => WhenAway::Keep,
        config::worker_hive::WhenAway::Stop => WhenAway::Stop,
    };
    let hive = redis.hive.unwrap_or_else(machine);
    let options = LeaseOptions { hive, ttl: redis.lease.get(), when_away };
    SharedLeases { url: redis.url, prefix: redis.prefix, options }
}

/// The machine's name, as far as it can be a hive's.
fn machine() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_');
    let name: String = name.trim().chars().filter(is_plain).take(64).collect();
    if name.is_empty() { "hive".to_owned() } else { name }
}

fn export(settings: &config::Traces) -> Result<Export, TracesError> {
    let export = Export {
        service: "streamvault-worker-hive",
        version: env!("CARGO_PKG_VERSION"),
        endpoint: settings.endpoint.clone(),
        authorization: settings.authorization.as_ref().map(|secret| SecretString::from(secret.expose())),
        sample: settings.sample,
    };
    Traces::check(&export).map(|()| export)
}

impl TryFrom<HiveSettings> for HiveOptions {
    type Error = OptionsError;

    fn try_from(settings: HiveSettings) -> Result<Self, OptionsError> {
        let telegram = settings.telegram;
        let pool = settings.pool;
        let addresses = telegram.data_centres.iter().map(|dc| (dc.id, dc.address)).collect();
        Ok(Self {
            listen: settings.listen,
            admin: settings.admin.address,
            token: settings.token,
            catalog: settings.catalog.file.unwrap_or_else(|| settings.store.folder.join(CATALOG)),
            store_key: store_key(&settings.store)?,
            store: settings.store.folder,
            leases: settings.redis.map(shared_leases),
            traces: settings.traces.as_ref().map(export).transpose()?,
            client: ClientConfig {
                addresses: Arc::new(addresses),
                rsa_keys: rsa_keys(telegram.rsa_keys.as_deref())?,
                api_id: telegram.api_id,
                connections_min: pool.connections_min,
                connections: pool.connections_per_session,
                connect_timeout: pool.connect_timeout.get(),
                call_timeout: pool.call_timeout.get(),
                route: route(&settings.route)?,
                keep_alive: pool.keep_alive.get(),
                idle: pool.idle.get(),
                device_model: telegram.device_model,
                system_version: telegram.system_version,
                app_version: telegram.app_version,
                lang_code: telegram.lang_code,
                ..ClientConfig::default()
            },
            pool: PoolConfig {
                streams_per_session: pool.streams_per_session,
                streams_premium: pool.streams_premium,
                streams_standard: pool.streams_standard,
                queue: pool.queue,
                hedges: f64::from(u32::try_from(pool.hedges_percent).unwrap_or(0)) / 100.0,
                window_start: pool.window_start,
                window_max: pool.window_max,
                chunk: u32::try_from(pool.chunk.bytes()).unwrap_or(mtproto::MAX_CHUNK),
                first_chunk: u32::try_from(pool.first_chunk.bytes()).unwrap_or(mtproto::MAX_CHUNK),
                deadline: pool.chunk_deadline.get(),
                admission: pool.retry_window.get(),
                buffer: usize::try_from(pool.buffer.bytes()).unwrap_or(usize::MAX),
                max_flood_wait: pool.max_flood_wait.get(),
                location_ttl: settings.cache.location_ttl.get(),
                negative_ttl: settings.cache.negative_ttl.get(),
            },
            drain: DRAIN,
            stall: STALL,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{HiveOptions, OptionsError, store_key};
    use config::{HiveSettings, parse};
    use mtproto::StoreKey;
    use std::collections::HashSet;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn options(text: &str) -> String {
        let text = format!("token = \"t\"\n{text}");
        let loaded =
            parse::<HiveSettings>(&text, Path::new("f.toml")).unwrap_or_else(|error| panic!("{text}\n{error}"));
        // The token's own text is not shown, but whether it is the same.
        let token = loaded.settings.token.expose().to_owned();
        format!("{token} {:?}", HiveOptions::try_from(loaded.settings).unwrap())
    }

    const RSA: &str = concat!(
        "\"",
        env!("CARGO_MANIFEST_DIR"),
        "/tests/simulator.pem\"\ndata_centres = [{ id = 8, address = \"127.0.0.1:7\" }]"
    );

    /// By section, each key with a value that is not the default.
    const KEYS: [(&str, &[(&str, &str)]); 10] = [
        ("", &[("listen", "\"127.0.0.1:7\"")]),
        ("admin", &[("address", "\"127.0.0.1:7\"")]),
        ("store", &[("folder", "\"/elsewhere\"")]),
        ("catalog", &[("file", "\"/elsewhere/films\"")]),
        (
            "telegram",
            &[
                ("api_id", "77"),
                ("device_model", "\"d\""),
                ("system_version", "\"s\""),
                ("app_version", "\"a\""),
                ("lang_code", "\"de\""),
                ("data_centres", "[{ id = 9, address = \"127.0.0.1:7\" }]"),
                ("rsa_keys", RSA),
            ],
        ),
        ("route", &[("url", "\"socks5://proxy.example:7\""), ("ip", "\"any\""), ("bind", "[\"127.0.0.7\"]")]),
        (
            "pool",
            &[
                ("connections_per_session", "7"),
                ("connections_min", "3"),
                ("streams_per_session", "7"),
                ("streams_premium", "7"),
                ("streams_standard", "7"),
                ("queue", "7"),
                ("hedges_percent", "7"),
                ("window_start", "7"),
                ("window_max", "7"),
                ("chunk", "\"256KiB\""),
                ("first_chunk", "\"32KiB\""),
                ("buffer", "\"7MiB\""),
                ("connect_timeout", "\"7s\""),
                ("call_timeout", "\"7s\""),
                ("keep_alive", "\"7s\""),
                ("idle", "\"7s\""),
                ("chunk_deadline", "\"17s\""),
                ("retry_window", "\"7s\""),
                ("max_flood_wait", "\"7s\""),
            ],
        ),
        (
            "redis",
            &[
                ("url", "\"redis://h\""),
                ("prefix", "\"x\"\nurl = \"redis://h\""),
                ("hive", "\"x\"\nurl = \"redis://h\""),
                ("lease", "\"7s\"\nurl = \"redis://h\""),
                ("when_away", "\"stop\"\nurl = \"redis://h\""),
            ],
        ),
        ("cache", &[("location_ttl", "\"7s\""), ("negative_ttl", "\"7s\"")]),
        (
            "traces",
            &[
                ("endpoint", "\"http://h/v1\""),
                ("authorization", "\"x\"\nendpoint = \"http://h/v1\""),
                ("sample", "0.5\nendpoint = \"http://h/v1\""),
            ],
        ),
    ];
    /// Of use to the command alone, to signing in, or to the gateway.
    const NOT_HERE: [&str; 5] = ["level", "format", "api_hash", "key_file", "follow"];

    #[test]
    fn the_stores_key_comes_from_a_file_that_nobody_else_may_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.key");
        StoreKey::make(&file).unwrap();
        let mut store = config::worker_hive::Store { key_file: Some(file.clone()), ..Default::default() };
        assert!(store_key(&store).unwrap().is_some());
        std::fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(store_key(&store), Err(OptionsError::StoreKey(_))));
        store.key_file = None;
        assert!(store_key(&store).unwrap().is_none());
    }

    #[test]
    fn every_setting_changes_something_of_its_own() {
        let mut seen = HashSet::from([options("")]);
        let mut known = HashSet::from(["token".to_owned()]);
        for (section, keys) in KEYS {
            for (key, value) in keys {
                let head = if section.is_empty() { String::new() } else { format!("[{section}]\n") };
                assert!(seen.insert(options(&format!("{head}{key} = {value}\n"))), "{section}.{key} changes nothing");
                known.insert((*key).to_owned());
            }
        }
        // A new key must be listed above.
        for line in config::example::<HiveSettings>().lines() {
            let line = line.trim_start_matches("# Example: ").trim_start_matches('#');
            if let Some((key, _)) =
                line.split_once(" = ").filter(|(key, _)| key.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()))
            {
                assert!(known.contains(key) || NOT_HERE.contains(&key), "{key} is not in the list");
            }
        }
    }
}
