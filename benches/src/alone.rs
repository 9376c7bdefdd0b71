//! A hive without a gateway before it, and the simulated Telegram in a process of its own, so that each one's processor time is known.

use crate::rig::{Edge, put};
use harness::{Client, Failure, Process, binary};
use std::fmt::Write;
use std::path::Path;
use telegram_sim::SessionSeed;
use tempfile::TempDir;

const TOKEN: &str = "bench-token";
const CHANNEL: i64 = 1_700_000_001;
const DC: i32 = 2;

/// What a set-up is made from.
pub(crate) struct Setup {
    pub(crate) rtt_ms: u64,
    /// 0 for any.
    pub(crate) connection_bytes_per_second: u64,
    pub(crate) accounts: usize,
    /// Films, all of this size, under the messages 1, 2, …
    pub(crate) films: usize,
    pub(crate) film: u64,
}

pub(crate) struct Alone {
    pub(crate) hive: Edge,
    pub(crate) sim_pid: u32,
    pub(crate) seeds: Vec<SessionSeed>,
    admin: Client,
    _processes: [Process; 2],
    folder: TempDir,
}

impl Alone {
    pub(crate) async fn start(setup: &Setup) -> Result<Self, Failure> {
        let folder = tempfile::Builder::new().prefix("streamvault-bench-").tempdir()?;
        let path = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
        put(Path::new(&path("world.toml")), world(setup)?.as_bytes())?;
        let (rtt, rate) = (setup.rtt_ms.to_string(), setup.connection_bytes_per_second.to_string());
        let (world, keys) = (path("world.toml"), path("seeds"));
        let arguments = ["run", "--world", &world, "--seeds", &keys, "--rtt-ms", &rtt, "--bytes-per-second", &rate];
        let mut sim = Process::start(&binary("telegram-sim")?, &arguments, &folder.path().join("sim.log"))?;
        sim.wait_for("READY").await?;
        let seeds = (0..setup.accounts)
            .map(|number| {
                let text = std::fs::read_to_string(folder.path().join(format!("seeds/{}.json", name(number))))?;
                Ok(serde_json::from_str(&text)?)
            })
            .collect::<Result<Vec<SessionSeed>, Failure>>()?;

        put(Path::new(&path("hive.toml")), settings(seeds.first().ok_or("no account")?, folder.path())?.as_bytes())?;
        let (settings, log) = (path("hive.toml"), folder.path().join("hive.log"));
        let files: Vec<String> =
            (0..setup.accounts).map(|number| path(&format!("seeds/{}.json", name(number)))).collect();
        let mut import = vec!["import", "--config", &settings];
        import.extend(files.iter().map(String::as_str));
        let mut import = Process::start(&binary("worker-hive")?, &import, &log)?;
        while import.next_line().await.is_some() {}
        let mut hive = Process::start(&binary("worker-hive")?, &["run", "--config", &settings], &log)?;
        let address = hive.wait_for("LISTEN").await?.parse()?;
        let admin = Client { address: hive.wait_for("ADMIN").await?.parse()? };
        let (hive_pid, sim_pid) = (hive.id().ok_or("the hive ended")?, sim.id().ok_or("the simulator ended")?);
        let edge = Edge { name: "hive alone", client: Client { address }, tls: None, pids: vec![hive_pid] };
        Ok(Self { hive: edge, sim_pid, seeds, admin, _processes: [hive, sim], folder })
    }

    /// Where a film is asked for, and by which right.
    pub(crate) fn film(&self, message: usize) -> (String, String) {
        (format!("/v1/media/-100{CHANNEL}/{message}"), format!("Bearer {TOKEN}"))
    }

    /// Warm connections of all accounts.
    pub(crate) async fn connections(&self) -> Result<u64, Failure> {
        let answer = self.admin.ask(http::Method::GET, "/metrics", &[]).await?;
        let text = String::from_utf8(answer.body)?;
        let lines = text.lines().filter(|line| line.starts_with("hive_session_connections{"));
        Ok(lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum())
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn name(number: usize) -> String {
    format!("account-{number}")
}

fn world(setup: &Setup) -> Result<String, Failure> {
    let mut text = format!("data_centres = [{DC}]\n");
    for number in 0..setup.accounts {
        writeln!(text, "[[account]]\nname = \"{}\"\nuser_id = {}\nhome_dc = {DC}", name(number), 5_000_000 + number)?;
    }
    writeln!(text, "[[channel]]\nid = {CHANNEL}\ntitle = \"films\"")?;
    for message in 1..=setup.films {
        writeln!(text, "[[channel.message]]\nid = {message}")?;
        let size = setup.film;
        writeln!(text, "document = {{ dc = {DC}, name = \"{message}.mkv\", generated = {message}, size = {size} }}")?;
    }
    Ok(text)
}

fn settings(seed: &SessionSeed, folder: &Path) -> Result<String, Failure> {
    let mut addresses = String::new();
    for dc in &seed.dcs {
        write!(addresses, "{{ id = {}, address = \"{}:{}\" }}, ", dc.id, dc.ip, dc.port)?;
    }
    Ok(format!(
        "listen = \"127.0.0.1:0\"\ntoken = \"{TOKEN}\"\nadmin.address = \"127.0.0.1:0\"\nstore.folder = \"{}\"\n\
         telegram.api_id = {}\ntelegram.data_centres = [{addresses}]\ncache.location_ttl = \"1h\"\n",
        folder.join("store").display(),
        seed.api_id
    ))
}
