//! Simulator, hive and gateway, held up together.

use crate::disk::put;
use crate::films::{self, CHANNELS, Film, HOME_DC};
use crate::plugins::{Guest, PluginSettings, public_pem};
use crate::process::{Process, ProcessError, binary};
use crate::redis::Redis;
use crate::settings::{ADMIN_TOKEN, GatewayFile, Settings, hive_text, set_plugin, set_tenant};
use crate::sign::{link_secret, path_escape, sign, token};
use crate::successors::Successors;
use crate::{Answer, Client, Failure};
use http::Method;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};
use telegram_sim::{Account, Channel, Sim, World};
use tempfile::TempDir;

/// What a command came to.
#[derive(Clone, Debug)]
pub struct Printed {
    /// Its exit status; none if a signal ended it.
    pub exit: Option<i32>,
    /// What it wrote to standard output.
    pub out: String,
    /// What it wrote to standard error.
    pub err: String,
}

impl Printed {
    /// What it printed, if it succeeded.
    ///
    /// # Errors
    /// What it said otherwise.
    pub fn done(self) -> Result<String, Failure> {
        if self.exit == Some(0) {
            Ok(self.out)
        } else {
            Err(format!("{:?}: {}{}", self.exit, self.out, self.err).into())
        }
    }
}

/// Everything, running.
pub struct Stack {
    /// The simulated Telegram, with its faults and counters.
    pub sim: Sim,
    /// What lies in its channels.
    pub films: Vec<Film>,
    /// The gateway's process, unless it was killed.
    pub gateway: Option<Process>,
    /// The hive's process, unless it was killed.
    pub hive: Option<Process>,
    /// The plugins' Redis, if there is to be one and it was not killed.
    pub redis: Option<Redis>,
    /// Asks the gateway, at its first address.
    pub client: Client,
    /// All its public addresses, in the order in which it says them: one kind of listener after the other.
    pub listeners: Vec<SocketAddr>,
    /// Asks the gateway's admin listener.
    pub admin: Client,
    /// Last second of links that name no other: one for the whole run, so that a film's link stays the same when the second turns.
    pub(crate) links_until: i64,
    pub(crate) file: GatewayFile,
    /// Before the folder: what writes there ends first.
    pub(crate) successors: Successors,
    pub(crate) folder: TempDir,
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
        let (channels, mut films) = films::channels(settings.films)?;
        for channel in channels {
            world = world.with_channel(channel);
        }
        let sim = Sim::start_on(world, settings.shape, 0)?;
        for placed in sim.world().documents() {
            if let Some(film) = films.iter_mut().find(|film| film.message_id == placed.message_id) {
                film.document = placed.document;
            }
        }
        let path = |name: &str| folder.path().join(name);
        put(&path("worker-hive.toml"), hive_text(&sim, folder.path(), settings.hive)?.as_bytes())?;
        let Settings { gateway: keys, tenants, plugins, redis, signed, secrets, .. } = settings;
        for plugin in &plugins {
            plugin.place(folder.path(), signed)?;
        }
        for (tenant, name, text) in secrets {
            put(&path("secrets").join(tenant).join(name), text.as_bytes())?;
        }
        put(&path("plugins.pub"), public_pem().as_bytes())?;
        let file = GatewayFile { keys, tenants, plugins, redis, signed };
        put(&path("gateway.toml"), file.text(folder.path()).as_bytes())?;
        for seed in sim.seeds() {
            let file = path(&format!("{}.json", seed.account));
            put(&file, &serde_json::to_vec(&seed)?)?;
            let mut import = start("worker-hive", "import", &path(""), &[&file.to_string_lossy()])?;
            while import.next_line().await.is_some() {}
        }
        let nowhere = Client { address: ([127, 0, 0, 1], 1).into() };
        let (gateway, hive) = (None, None);
        let successors = Successors::new(folder.path());
        let redis = if redis { Some(Redis::start(folder.path()).await?) } else { None };
        let (client, admin, listeners) = (nowhere, nowhere, Vec::new());
        let links_until = unix_now() + 3600;
        let mut stack =
            Self { sim, films, gateway, hive, redis, client, listeners, admin, links_until, file, successors, folder };
        stack.gateway_command(&["takedown", "init"]).await?.done()?;
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
        let pid_file = self.folder.path().join("gateway.pid");
        let mut gateway = start("gateway", "run", self.folder.path(), &["--pid-file", &pid_file.to_string_lossy()])?;
        let (listeners, admin) = gateway.wait_for_all("LISTEN", "ADMIN").await?;
        self.listeners = listeners.iter().filter_map(|address| address.parse().ok()).collect();
        self.client.address = *self.listeners.first().ok_or("the gateway listens nowhere")?;
        self.admin.address = admin.parse()?;
        self.gateway = Some(gateway);
        // The addresses are said before they are listened on.
        for address in self.listeners.iter().copied().chain([self.admin.address]) {
            while tokio::net::TcpStream::connect(address).await.is_err() {
                if self.gateway.as_mut().is_none_or(Process::has_ended) {
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
        match film.parts.is_empty() {
            true => format!("/stream/{}/{}/{}", film.chat_id, film.message_id, film.name),
            false => format!("/v/{}/film.mkv", film.name),
        }
    }

    /// Has the hive join films to a virtual file, by the command that operators have. It is a film from then on, by its slug.
    ///
    /// # Errors
    /// When there is no such film, or what the command says when it fails.
    pub async fn join(&mut self, slug: &str, name: &str, parts: &[&str]) -> Result<(), Failure> {
        let mut arguments = vec!["--slug".to_owned(), slug.to_owned(), "--replace".to_owned()];
        arguments.extend(["--name".to_owned(), name.to_owned()]);
        let mut joined = Vec::new();
        for part in parts {
            let film = self.film(part)?;
            arguments.push(format!("{}/{}", film.chat_id, film.message_id));
            joined.push(film.clone());
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        self.hive_command(&["virtual", "add"], &arguments).await?;
        self.films.retain(|film| film.name != slug);
        self.films.push(Film::joined(slug, joined)?);
        Ok(())
    }

    /// Runs a command of the hive's to its end.
    ///
    /// # Errors
    /// What it says when it fails.
    pub async fn hive_command(&self, command: &[&str], arguments: &[&str]) -> Result<(), Failure> {
        let settings = self.folder.path().join("worker-hive.toml");
        let output = tokio::process::Command::new(binary("worker-hive")?)
            .args(command)
            .arg("--config")
            .arg(settings)
            .args(arguments)
            .output()
            .await?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned().into()) }
    }

    /// Runs one of the gateway's commands to its end; those that ask a running gateway ask the stack's.
    ///
    /// # Errors
    /// When it can't be run.
    pub async fn gateway_command(&self, words: &[&str]) -> Result<Printed, Failure> {
        let mut command = tokio::process::Command::new(binary("gateway")?);
        command.args(words).arg("--config").arg(self.folder.path().join("gateway.toml"));
        let asks = !matches!(words, [.., "init"] | ["auth", "magic", ..] | ["sign", ..]);
        if asks {
            command.arg("--address").arg(self.admin.address.to_string());
        }
        let output = command.output().await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Printed { exit: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) })
    }

    /// The stack's folder: settings, logs, what gateways keep.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The gateway's list of what must not be served.
    #[must_use]
    pub fn takedown_file(&self) -> PathBuf {
        self.folder.path().join("takedowns")
    }

    /// The first channel as links name it.
    #[must_use]
    pub fn chat_id(&self) -> i64 {
        Channel::new(CHANNELS[0], "").chat_id()
    }

    /// A signed link (path and query) to a film, good for an hour from the start.
    #[must_use]
    pub fn link(&self, film: &Film) -> String {
        sign(&self.path(film), self.links_until)
    }

    /// The same by the secret of a tenant that is named; `bound` stands behind the path in what is hashed.
    #[must_use]
    pub fn link_of(&self, tenant: &str, film: &Film, bound: &str) -> String {
        let (path, expires) = (self.path(film), self.links_until);
        let token = token(&format!("{path}{bound}"), expires, &link_secret(tenant));
        format!("{}?md5={token}&expires={expires}", path_escape(&path))
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
        let film = self.films.iter_mut().find(|film| film.name == name).ok_or("no such film")?;
        let document = films::document(name, HOME_DC, size, version);
        film.size = size;
        film.content = document.content.clone();
        film.document = self.sim.world().replace_document(film.chat_id, film.message_id, document)?;
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

    /// Starts Redis again, after a kill: empty.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_redis(&mut self) -> Result<(), Failure> {
        self.redis = Some(Redis::start(self.folder.path()).await?);
        Ok(())
    }

    /// Asks the gateway's admin listener, with the token that allows changes.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn change(&self, method: Method, path: &str) -> Result<Answer, Failure> {
        let token = format!("Bearer {ADMIN_TOKEN}");
        self.admin.ask(method, path, &[("authorization", &token)]).await
    }

    /// Sets one gateway setting in the file; the gateway reads it at the next reload.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn set_gateway(&mut self, key: &str, toml: &str) -> Result<(), Failure> {
        self.file.keys.insert(key.to_owned(), toml.to_owned());
        self.write()
    }

    /// Sets one setting of a tenant in the file, which is added if need be.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn set_tenant(&mut self, id: &str, key: &str, toml: &str) -> Result<(), Failure> {
        set_tenant(&mut self.file.tenants, id, key, toml);
        self.write()
    }

    /// Sets keys of a plugin's table in the file; a new one is added. A new one, or one of the harness's own, gets a new folder.
    ///
    /// # Errors
    /// When the file can't be written or there is no such plugin.
    pub fn set_plugin(&mut self, plugin: PluginSettings) -> Result<(), Failure> {
        let known = self.file.plugins.iter().any(|known| known.name == plugin.name);
        if !known || matches!(plugin.guest, Guest::Fixed(_)) {
            plugin.place(self.folder.path(), self.file.signed)?;
        }
        set_plugin(&mut self.file.plugins, plugin);
        self.write()
    }

    /// Takes a plugin out of the file.
    ///
    /// # Errors
    /// When the file can't be written.
    pub fn drop_plugin(&mut self, name: &str) -> Result<(), Failure> {
        self.file.plugins.retain(|plugin| plugin.name != name);
        self.write()
    }

    /// Spoils the files of a plugin: `trap`, `delete`, `truncate`, `garbage`, `cwasm`, `unsign`, `sign-otherwise`, `manifest`, or
    /// `newer`, which is the same plugin in another version.
    ///
    /// # Errors
    /// When there is no such plugin or way.
    pub fn break_plugin(&self, name: &str, how: &str) -> Result<(), Failure> {
        self.plugin(name)?.spoil(self.folder.path(), how, self.file.signed)
    }

    /// Puts the files of a plugin in their place again.
    ///
    /// # Errors
    /// When there is no such plugin.
    pub fn restore_plugin(&self, name: &str) -> Result<(), Failure> {
        self.plugin(name)?.place(self.folder.path(), self.file.signed)
    }

    /// Writes a file into a tenant's folder of secrets.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put_secret(&self, tenant: &str, name: &str, text: &str) -> Result<(), Failure> {
        put(&self.folder.path().join("secrets").join(tenant).join(name), text.as_bytes())
    }

    /// Ids of the tenants in the settings; none if there is only the one of stacks that name none.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = &str> {
        self.file.tenants.iter().map(|(id, _)| id.as_str())
    }

    fn plugin(&self, name: &str) -> Result<&PluginSettings, Failure> {
        self.file.plugins.iter().find(|plugin| plugin.name == name).ok_or_else(|| format!("no plugin {name}").into())
    }

    fn write(&self) -> Result<(), Failure> {
        put(&self.folder.path().join("gateway.toml"), self.file.text(self.folder.path()).as_bytes())
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

#[expect(clippy::disallowed_methods, reason = "links of tests expire by the same clock as the gateway's")]
pub(crate) fn unix_now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| i64::try_from(d.as_secs()).unwrap_or(i64::MAX))
}
