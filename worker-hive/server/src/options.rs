//! From the settings file to what each part takes.

use config::{HiveSettings, ListenAddress, Secret};
use mtproto::ClientConfig;
use pool::PoolConfig;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long transfers under way may go on after SIGTERM.
const DRAIN: Duration = Duration::from_secs(30);
/// Longer than a gateway keeps a fetch for a viewer who paused.
const STALL: Duration = Duration::from_secs(120);

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
    /// Connections to Telegram.
    pub client: ClientConfig,
    /// Sessions and streams.
    pub pool: PoolConfig,
    /// How long transfers under way may go on when the hive is told to stop.
    pub drain: Duration,
    /// A body whose next bytes nobody fetches for this long is given up, and its session freed.
    pub stall: Duration,
}

impl From<HiveSettings> for HiveOptions {
    fn from(settings: HiveSettings) -> Self {
        let telegram = settings.telegram;
        let pool = settings.pool;
        let addresses = telegram.data_centres.iter().map(|dc| (dc.id, dc.address)).collect();
        Self {
            listen: settings.listen,
            admin: settings.admin.address,
            token: settings.token,
            store: settings.store.folder,
            client: ClientConfig {
                addresses: Arc::new(addresses),
                api_id: telegram.api_id,
                connections: pool.connections_per_session,
                connect_timeout: pool.connect_timeout.get(),
                call_timeout: pool.call_timeout.get(),
                device_model: telegram.device_model,
                system_version: telegram.system_version,
                app_version: telegram.app_version,
                lang_code: telegram.lang_code,
                ..ClientConfig::default()
            },
            pool: PoolConfig {
                streams_per_session: pool.streams_per_session,
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
        }
    }
}

#[cfg(test)]
mod tests {
    use super::HiveOptions;
    use config::{HiveSettings, parse};
    use std::collections::HashSet;
    use std::path::Path;

    fn options(text: &str) -> String {
        let text = format!("token = \"t\"\n{text}");
        let loaded =
            parse::<HiveSettings>(&text, Path::new("f.toml")).unwrap_or_else(|error| panic!("{text}\n{error}"));
        // The token's own text is not shown, but whether it is the same.
        let token = loaded.settings.token.expose().to_owned();
        format!("{token} {:?}", HiveOptions::from(loaded.settings))
    }

    /// By section, each key with a value that is not the default.
    const KEYS: [(&str, &[(&str, &str)]); 6] = [
        ("", &[("listen", "\"127.0.0.1:7\"")]),
        ("admin", &[("address", "\"127.0.0.1:7\"")]),
        ("store", &[("folder", "\"/elsewhere\"")]),
        (
            "telegram",
            &[
                ("api_id", "77"),
                ("device_model", "\"d\""),
                ("system_version", "\"s\""),
                ("app_version", "\"a\""),
                ("lang_code", "\"de\""),
                ("data_centres", "[{ id = 9, address = \"127.0.0.1:7\" }]"),
            ],
        ),
        (
            "pool",
            &[
                ("connections_per_session", "7"),
                ("streams_per_session", "7"),
                ("window_start", "7"),
                ("window_max", "7"),
                ("chunk", "\"256KiB\""),
                ("first_chunk", "\"32KiB\""),
                ("buffer", "\"7MiB\""),
                ("connect_timeout", "\"7s\""),
                ("call_timeout", "\"7s\""),
                ("chunk_deadline", "\"17s\""),
                ("retry_window", "\"7s\""),
                ("max_flood_wait", "\"7s\""),
            ],
        ),
        ("cache", &[("location_ttl", "\"7s\""), ("negative_ttl", "\"7s\"")]),
    ];
    /// Of use to the command alone, or to signing in.
    const NOT_HERE: [&str; 3] = ["level", "format", "api_hash"];

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
