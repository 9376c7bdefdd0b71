//! Simulator, hive and gateway, held up together.

use crate::films::{self, Film};
use crate::process::{Process, ProcessError, binary};
use crate::sign::{SECRET, sign};
use crate::{Answer, Client, Failure};
use http::Method;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use telegram_sim::{Account, Channel, Document, Shape, Sim, World};
use tempfile::TempDir;

/// Bare id of the one channel.
const CHANNEL: i64 = 1_700_000_001;
/// Where accounts are at home; films default to it.
const HOME_DC: i32 = 2;

/// What to start. Settings are dotted TOML keys and values, added to or put over a minimal file.
#[derive(Debug, Default)]
pub struct Settings {
    /// Name, data-centre, size, bytes (generated if `None`), in order of message ids from 1.
    pub films: Vec<(String, i32, u64, Option<Document>)>,
    /// Accounts of the hive, at least one; the first is premium.
    pub accounts: usize,
    /// How slow the simulated network is.
    pub shape: Shape,
    /// Over the gateway's minimal settings.
    pub gateway: BTreeMap<String, String>,
    /// Over the hive's minimal settings.
    pub hive: BTreeMap<String, String>,
}

impl Settings {
    /// Adds a generated film at home.
    #[must_use]
    pub fn film(self, name: &str, size: u64) -> Self {
        self.film_on(name, size, HOME_DC)
    }

    /// Adds a generated film on a data-centre.
    #[must_use]
    pub fn film_on(mut self, name: &str, size: u64, dc: i32) -> Self {
        self.films.push((name.to_owned(), dc, size, None));
        self
    }

    /// Adds a film with given bytes at home.
    #[must_use]
    pub fn film_of(mut self, name: &str, bytes: Vec<u8>) -> Self {
        let size = bytes.len() as u64;
        self.films.push((name.to_owned(), HOME_DC, size, Some(Document::from_bytes(name, HOME_DC, bytes))));
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
}

/// Everything, running.
pub struct Stack {
    /// The simulated Telegram, with its faults and counters.
    pub sim: Sim,
    /// What lies in its channel.
    pub films: Vec<Film>,
    /// The gateway's process, unless it was killed.
    pub gateway: Option<Process>,
    /// The hive's process, unless it was killed.
    pub hive: Option<Process>,
    /// Asks the gateway.
    pub client: Client,
    /// Asks the gateway's admin listener.
    pub admin: Client,
    folder: TempDir,
}

impl Stack {
    /// Starts all three.
    ///
    /// # Errors
    /// Whatever keeps one of them from starting, with the end of its log.
    pub async fn start(settings: Settings) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("streamvault-").tempdir()?;
        let mut world = World::new(1);
        for number in 0..settings.accounts.max(1) {
            let account = Account::user(&format!("account-{number}"), 5_000_000 + i64::try_from(number)?);
            world = world.with_account(if number == 0 { account.premium() } else { account });
        }
        let mut channel = Channel::new(CHANNEL, "films");
        let mut films = Vec::new();
        for (message_id, (name, dc, size, given)) in (1..).zip(settings.films) {
            let document = given.unwrap_or_else(|| films::document(&name, dc, size, 0));
            films.push(Film { name, message_id, document: 0, size, content: document.content.clone() });
            channel = channel.with_document(message_id, document);
        }
        let sim = Sim::start_on(world.with_channel(channel), settings.shape, 0)?;
        for placed in sim.world().documents() {
            if let Some(film) = films.iter_mut().find(|film| film.message_id == placed.message_id) {
                film.document = placed.document;
            }
        }
        let path = |name: &str| folder.path().join(name);
        write_settings(&path("worker-hive.toml"), hive_settings(&sim, &path("")), settings.hive)?;
        write_settings(&path("gateway.toml"), gateway_settings(&path("")), settings.gateway)?;
        for seed in sim.seeds() {
            let file = path(&format!("{}.json", seed.account));
            put(&file, &serde_json::to_vec(&seed)?)?;
            let mut import = start("worker-hive", "import", &path(""), &[&file.to_string_lossy()])?;
            while import.next_line().await.is_some() {}
        }
        let nowhere = Client { address: ([127, 0, 0, 1], 1).into() };
        let mut stack = Self { sim, films, gateway: None, hive: None, client: nowhere, admin: nowhere, folder };
        stack.start_hive().await?;
        stack.start_gateway().await?;
        Ok(stack)
    }

    /// Starts the hive, as at first or after a kill.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_hive(&mut self) -> Result<(), Failure> {
        let mut hive = start("worker-hive", "run", self.folder.path(), &[])?;
        hive.wait_for("LISTEN").await?;
        self.hive = Some(hive);
        Ok(())
    }

    /// Starts the gateway, as at first or after a kill; it may listen on another port than before.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_gateway(&mut self) -> Result<(), Failure> {
        let mut gateway = start("gateway", "run", self.folder.path(), &[])?;
        self.client.address = gateway.wait_for("LISTEN").await?.parse()?;
        self.admin.address = gateway.wait_for("ADMIN").await?.parse()?;
        self.gateway = Some(gateway);
        // The addresses are said before they are listened on.
        for address in [self.client.address, self.admin.address] {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                if self.gateway.as_ref().and_then(Process::id).is_none() {
                    return Err("the gateway ended at once".into());
                }
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }

    /// A film by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn film(&self, name: &str) -> Result<&Film, Failure> {
        self.films.iter().find(|film| film.name == name).ok_or_else(|| format!("no film {name}").into())
    }

    /// Decoded path of a film's link.
    #[must_use]
    pub fn path(&self, film: &Film) -> String {
        format!("/stream/{}/{}/{}", self.chat_id(), film.message_id, film.name)
    }

    /// The channel as links name it.
    #[must_use]
    pub fn chat_id(&self) -> i64 {
        Channel::new(CHANNEL, "").chat_id()
    }

    /// A signed link (path and query) to a film, good for an hour.
    #[must_use]
    pub fn link(&self, film: &Film) -> String {
        sign(&self.path(film), unix_now() + 3600)
    }

    /// GET of a film's range (`bytes=…`), or of the whole.
    ///
    /// # Errors
    /// When there is no answer or no such film.
    pub async fn get(&self, name: &str, range: Option<&str>) -> Result<Answer, Failure> {
        let headers: Vec<_> = range.map(|range| ("range", range)).into_iter().collect();
        self.client.ask(Method::GET, &self.link(self.film(name)?), &headers).await
    }

    /// Puts other bytes under the film's message, as an edit does; `version` 1 and up each give others.
    ///
    /// # Errors
    /// When there is no such film.
    pub fn replace(&mut self, name: &str, size: u64, version: u64) -> Result<(), Failure> {
        let chat = self.chat_id();
        let film = self.films.iter_mut().find(|film| film.name == name).ok_or("no such film")?;
        let document = films::document(name, HOME_DC, size, version);
        film.size = size;
        film.content = document.content.clone();
        film.document = self.sim.world().replace_document(chat, film.message_id, document)?;
        Ok(())
    }

    /// One metric's value. `name` holds its labels as the text format prints them.
    ///
    /// # Errors
    /// When the admin listener does not answer or has no such series.
    pub async fn metric(&self, name: &str) -> Result<f64, Failure> {
        let text = String::from_utf8(self.admin.ask(Method::GET, "/metrics", &[]).await?.body)?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.ok_or_else(|| format!("there is no metric {name}").into())
    }

    /// The gateway's next access-log line.
    ///
    /// # Errors
    /// When the gateway is gone or the line is no JSON.
    pub async fn log_line(&mut self) -> Result<serde_json::Value, Failure> {
        let line = self.gateway.as_mut().ok_or("no gateway")?.next_line().await.ok_or("the log ended")?;
        Ok(serde_json::from_str(&line)?)
    }

    /// What a process of the stack wrote to standard error so far: `gateway` or `worker-hive`.
    #[must_use]
    pub fn error_log(&self, program: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(format!("{program}.log"))).unwrap_or_default()
    }

    /// The gateway's cache folder.
    #[must_use]
    pub fn cache_folder(&self) -> PathBuf {
        self.folder.path().join("cache")
    }
}

fn start(program: &str, command: &str, folder: &std::path::Path, more: &[&str]) -> Result<Process, ProcessError> {
    let settings = folder.join(format!("{program}.toml"));
    let settings = settings.to_string_lossy();
    let mut arguments = vec![command, "--config", &settings];
    arguments.extend(more);
    Process::start(&binary(program)?, &arguments, &folder.join(format!("{program}.log")))
}

type Toml = BTreeMap<String, String>;

fn gateway_settings(folder: &std::path::Path) -> Toml {
    let folder = folder.display();
    let pairs = [
        ("listen", "[{ address = \"127.0.0.1:0\" }]".to_owned()),
        ("threads", "2".to_owned()),
        ("admin.address", "\"127.0.0.1:0\"".to_owned()),
        ("hive.address", format!("\"unix:{folder}/hive.sock\"")),
        ("hive.token", "\"harness-token\"".to_owned()),
        ("cache.folder", format!("\"{folder}/cache\"")),
        ("cache.min_free", "\"64MiB\"".to_owned()),
        (
            "tenant",
            format!(
                "[{{ id = \"films\", domains = [\"*.test\", \"127.0.0.1\"], link = {{ secrets = [{{ id = \"first\", secret = \"{SECRET}\" }}] }} }}]"
            ),
        ),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

fn hive_settings(sim: &Sim, folder: &std::path::Path) -> Toml {
    let folder = folder.display();
    let seeds = sim.seeds();
    let mut addresses = String::new();
    for dc in seeds.first().map(|seed| seed.dcs.as_slice()).unwrap_or_default() {
        let _ = write!(addresses, "{{ id = {}, address = \"{}:{}\" }}, ", dc.id, dc.ip, dc.port);
    }
    let pairs = [
        ("listen", format!("\"unix:{folder}/hive.sock\"")),
        ("token", "\"harness-token\"".to_owned()),
        ("admin.address", "\"127.0.0.1:0\"".to_owned()),
        ("store.folder", format!("\"{folder}/sessions\"")),
        ("telegram.api_id", seeds.first().map_or(1, |seed| seed.api_id).to_string()),
        ("telegram.data_centres", format!("[{addresses}]")),
    ];
    pairs.map(|(key, value)| (key.to_owned(), value)).into()
}

fn write_settings(path: &std::path::Path, mut minimal: Toml, over: Toml) -> Result<(), Failure> {
    minimal.extend(over);
    let text = minimal.iter().fold(String::new(), |text, (key, value)| text + key + " = " + value + "\n");
    put(path, text.as_bytes())
}

#[expect(clippy::disallowed_methods, reason = "the harness owns its temporary folder")]
fn put(path: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    Ok(std::fs::write(path, bytes)?)
}

#[expect(clippy::disallowed_methods, reason = "links of tests expire by the same clock as the gateway's")]
pub(crate) fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
