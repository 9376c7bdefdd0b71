//! What a stack is started with, and the settings files that follow from it.

use crate::Failure;
use crate::films::{CHANNELS, HOME_DC, NewFilm};
use crate::plugins::{Guest, PluginSettings};
use crate::sign::{SECRET, VIEWER_KEY_ID, link_secret, viewer_key};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use telegram_sim::{Document, Shape, Sim};

/// Dotted keys and values as they stand in a settings file.
pub(crate) type Toml = BTreeMap<String, String>;

/// Opens the gateway's admin interface for changes.
pub const ADMIN_TOKEN: &str = "harness-admin-token";

/// What to start. Settings are dotted TOML keys and values, added to or put over a minimal file.
#[derive(Debug, Default)]
pub struct Settings {
    /// Films in order of message ids from 1.
    pub films: Vec<NewFilm>,
    /// Accounts of the hive, at least one; the first is premium.
    pub accounts: usize,
    /// How slow the simulated network is.
    pub shape: Shape,
    /// Over the gateway's minimal settings.
    pub gateway: Toml,
    /// Over the hive's minimal settings.
    pub hive: Toml,
    /// Over each tenant's minimal settings, in order. None: one tenant `films` for every host below `test`.
    pub tenants: Vec<(String, Toml)>,
    /// Plugins, in order.
    pub plugins: Vec<PluginSettings>,
    /// Whether the plugins share a Redis of the stack's own.
    pub redis: bool,
    /// Whether plugins are signed, and load only if they are.
    pub signed: bool,
    /// Tenant, name and text of files in `plugins.secrets_folder`.
    pub secrets: Vec<(String, String, String)>,
}

impl Settings {
    /// Adds a generated film at home.
    #[must_use]
    pub fn film(self, name: &str, size: u64) -> Self {
        self.film_on(name, size, HOME_DC)
    }

    /// Adds a generated film on a data-centre.
    #[must_use]
    pub fn film_on(self, name: &str, size: u64, dc: i32) -> Self {
        self.with_film(NewFilm { dc, ..NewFilm::generated(name, size) })
    }

    /// Adds a film with given bytes at home.
    #[must_use]
    pub fn film_of(self, name: &str, bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        let document = Document::from_bytes(name, HOME_DC, bytes);
        self.with_film(NewFilm { document: Some(document), ..NewFilm::generated(name, size) })
    }

    /// Adds a film.
    #[must_use]
    pub fn with_film(mut self, film: NewFilm) -> Self {
        self.films.push(film);
        self
    }

    /// Sets one gateway setting.
    #[must_use]
    pub fn gateway(mut self, key: &str, toml: &str) -> Self {
        self.gateway.insert(key.to_owned(), toml.to_owned());
        self
    }

    /// Sets one hive setting.
    #[must_use]
    pub fn hive(mut self, key: &str, toml: &str) -> Self {
        self.hive.insert(key.to_owned(), toml.to_owned());
        self
    }

    /// Sets one setting of a tenant, which is added if it is not there yet: for the host `ID.test`, with all channels and secrets of
    /// its own.
    #[must_use]
    pub fn tenant(mut self, id: &str, key: &str, toml: &str) -> Self {
        set_tenant(&mut self.tenants, id, key, toml);
        self
    }

    /// Adds a plugin, or sets further settings of it.
    #[must_use]
    pub fn plugin(mut self, plugin: PluginSettings) -> Self {
        set_plugin(&mut self.plugins, plugin);
        self
    }
}

pub(crate) fn set_tenant(tenants: &mut Vec<(String, Toml)>, id: &str, key: &str, toml: &str) {
    let index = tenants.iter().position(|(known, _)| known == id).unwrap_or_else(|| {
        tenants.push((id.to_owned(), Toml::new()));
        tenants.len() - 1
    });
    if let Some((_, settings)) = tenants.get_mut(index) {
        settings.insert(key.to_owned(), toml.to_owned());
    }
}

pub(crate) fn set_plugin(plugins: &mut Vec<PluginSettings>, plugin: PluginSettings) {
    match plugins.iter_mut().find(|known| known.name == plugin.name) {
        Some(known) => {
            known.keys.extend(plugin.keys);
            // `plugin OTHER KEY=…` names the plugin, not what it is made of.
            if matches!(plugin.guest, Guest::Fixed(_)) {
                known.guest = plugin.guest;
            }
        }
        None => plugins.push(plugin),
    }
}

/// The gateway's settings, as they stand now.
#[derive(Debug)]
pub(crate) struct GatewayFile {
    pub(crate) keys: Toml,
    pub(crate) tenants: Vec<(String, Toml)>,
    pub(crate) plugins: Vec<PluginSettings>,
    pub(crate) redis: bool,
    pub(crate) signed: bool,
}

impl GatewayFile {
    /// The whole file. `folder` is the stack's.
    pub(crate) fn text(&self, folder: &Path) -> String {
        self.text_with(folder, &Toml::new())
    }

    /// The same for another gateway of the stack, with settings of its own.
    pub(crate) fn text_with(&self, folder: &Path, over: &Toml) -> String {
        let shown = folder.display();
        let mut toml: Toml = [
            ("listen", "[{ address = \"127.0.0.1:0\" }]".to_owned()),
            ("threads", "2".to_owned()),
            ("admin.address", "\"127.0.0.1:0\"".to_owned()),
            ("admin.token", format!("\"{ADMIN_TOKEN}\"")),
            ("takedown.file", format!("\"{shown}/takedowns\"")),
            ("hive.address", format!("\"unix:{shown}/hive.sock\"")),
            ("hive.token", "\"harness-token\"".to_owned()),
            ("cache.folder", format!("\"{shown}/cache\"")),
            ("cache.min_free", "\"64MiB\"".to_owned()),
            ("certificates.folder", format!("\"{shown}/certificates\"")),
            ("tenant", self.tenants()),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .into();
        let mut add = |key: &str, value: String| drop(toml.insert(key.to_owned(), value));
        if !self.plugins.is_empty() {
            add("plugins.code_folder", format!("\"{shown}/code\""));
            add("plugins.secrets_folder", format!("\"{shown}/secrets\""));
            let plugins: Vec<String> = self.plugins.iter().map(|plugin| plugin.toml(folder)).collect();
            add("plugin", format!("[{}]", plugins.join(", ")));
        }
        if self.signed {
            add("plugins.require_signature", "true".to_owned());
            add("plugins.trusted_keys", format!("[{{ id = \"harness\", file = \"{shown}/plugins.pub\" }}]"));
        }
        if self.redis {
            add("redis.url", format!("\"redis+unix://{shown}/redis.sock\""));
            // A busy machine must not look like a lost Redis.
            add("redis.timeout", "\"5s\"".to_owned());
            add("redis.rate_timeout", "\"5s\"".to_owned());
        }
        toml.extend(self.keys.clone());
        if !over.is_empty() {
            // The list in that file is one gateway's.
            toml.remove("takedown.file");
        }
        toml.extend(over.clone());
        lines(&toml)
    }

    fn tenants(&self) -> String {
        if self.tenants.is_empty() {
            return format!(
                "[{{ id = \"films\", domains = [\"*.test\", \"127.0.0.1\"], link.secrets = [{{ id = \"first\", secret = \"{SECRET}\" }}] }}]"
            );
        }
        let tenants: Vec<String> = self.tenants.iter().map(|(id, over)| tenant(id, over)).collect();
        format!("[{}]", tenants.join(", "))
    }
}

fn tenant(id: &str, over: &Toml) -> String {
    let mut keys: Toml = [
        ("id", format!("\"{id}\"")),
        ("domains", format!("[\"{id}.test\"]")),
        ("channels", format!("{:?}", CHANNELS.map(|bare| -1_000_000_000_000 - bare))),
        ("link.secrets", format!("[{{ id = \"first\", secret = \"{}\" }}]", link_secret(id))),
        (
            "viewer.keys",
            format!("[{{ id = \"{VIEWER_KEY_ID}\", algorithm = \"HS256\", key = \"{}\" }}]", viewer_key(id)),
        ),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    keys.extend(over.clone());
    inline(&keys)
}

/// `{ key = value, … }`.
pub(crate) fn inline(toml: &Toml) -> String {
    let pairs: Vec<String> = toml.iter().map(|(key, value)| format!("{key} = {value}")).collect();
    format!("{{ {} }}", pairs.join(", "))
}

pub(crate) fn lines(toml: &Toml) -> String {
    toml.iter().fold(String::new(), |text, (key, value)| text + key + " = " + value + "\n")
}

/// The hive's settings.
pub(crate) fn hive_text(sim: &Sim, folder: &Path, over: Toml) -> Result<String, Failure> {
    let folder = folder.display();
    let seeds = sim.seeds();
    let mut addresses = String::new();
    for dc in seeds.first().map(|seed| seed.dcs.as_slice()).unwrap_or_default() {
        write!(addresses, "{{ id = {}, address = \"{}:{}\" }}, ", dc.id, dc.ip, dc.port)?;
    }
    let pairs = [
        ("listen", format!("\"unix:{folder}/hive.sock\"")),
        ("token", "\"harness-token\"".to_owned()),
        ("admin.address", "\"127.0.0.1:0\"".to_owned()),
        ("store.folder", format!("\"{folder}/sessions\"")),
        ("telegram.api_id", seeds.first().map_or(1, |seed| seed.api_id).to_string()),
        ("telegram.data_centres", format!("[{addresses}]")),
    ];
    let mut toml: Toml = pairs.map(|(key, value)| (key.to_owned(), value)).into();
    toml.extend(over);
    Ok(lines(&toml))
}
