//! The gateway's unit under a systemd of the test's own: ready when it serves, and still the same unit after an upgrade.

use harness::{Client, Failure, Settings, Stack, binary, eventually};
use http::Method;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// Directives that are about processes. The others ask for what only the system's manager may give: users, credentials, name spaces.
const OF_PROCESSES: [&str; 10] = [
    "Type",
    "NotifyAccess",
    "TimeoutStartSec",
    "TimeoutStopSec",
    "KillMode",
    "Restart",
    "RestartSec",
    "ExecStartPre",
    "ExecStart",
    "ExecReload",
];

/// A manager such as each user has one. It starts only where it finds a folder that says that the machine was booted with systemd, so it
/// gets a `/run` of its own.
struct Manager {
    process: Child,
    folder: TempDir,
}

impl Manager {
    async fn start(unit: &str) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let units = folder.path().join("settings/systemd/user");
        std::fs::create_dir_all(&units)?;
        std::fs::create_dir(folder.path().join("run"))?;
        std::fs::write(units.join("gateway.service"), unit)?;
        let boot = "mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/system && exec /lib/systemd/systemd --user";
        // As another user than root: in a name space where one is root.
        let process = Command::new("unshare")
            .args(["--map-root-user", "--mount", "sh", "-c", boot])
            .env("XDG_RUNTIME_DIR", folder.path().join("run"))
            .env("XDG_CONFIG_HOME", folder.path().join("settings"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("said"))?)
            .spawn()?;
        let manager = Self { process, folder };
        let up = eventually("a manager", async || Ok(manager.path("run/systemd/private").exists())).await;
        match up {
            Ok(()) => Ok(manager),
            Err(error) => {
                Err(format!("{error}: {}", std::fs::read_to_string(manager.path("said")).unwrap_or_default()).into())
            }
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn systemctl(&self, words: &[&str]) -> Result<String, Failure> {
        let mut command = Command::new("systemctl");
        let output = command.arg("--user").args(words).env("XDG_RUNTIME_DIR", self.path("run")).output()?;
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        if output.status.success() { Ok(said.trim().to_owned()) } else { Err(format!("{words:?}: {said}").into()) }
    }

    fn show(&self, property: &str) -> Result<String, Failure> {
        self.systemctl(&["show", "--value", "-p", property, "gateway.service"])
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        let _ = self.systemctl(&["stop", "gateway.service"]);
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The shipped unit as far as it is about processes, of this program with these settings.
fn unit(settings: &Path, log: &Path) -> Result<String, Failure> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/systemd/gateway.service");
    let mut unit = format!("[Service]\nStandardOutput=file:{0}\nStandardError=file:{0}\n", log.display());
    for line in std::fs::read_to_string(shipped)?.lines() {
        let key = line.split('=').next().unwrap_or_default();
        if OF_PROCESSES.contains(&key) {
            let line = line.replace("/usr/bin/gateway", &binary("gateway")?.display().to_string());
            unit += &(line.replace("/etc/streamvault/gateway.toml", &settings.display().to_string()) + "\n");
        }
    }
    assert_eq!(unit.lines().count(), OF_PROCESSES.len() + 3, "{unit}");
    Ok(unit)
}

fn is_alive(process: &str) -> bool {
    Path::new("/proc").join(process).join("exe").read_link().is_ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_unit_stays_itself_while_one_process_follows_the_other() -> Result<(), Failure> {
    let mut stack = Stack::start(Settings::default().film("a.mkv", 1 << 20)).await?;
    stack.gateway.take().ok_or("no gateway")?.kill().await;
    let log = stack.folder().join("unit.log");
    let manager = Manager::start(&unit(&stack.folder().join("gateway.toml"), &log)?).await?;
    manager
        .systemctl(&["start", "gateway.service"])
        .map_err(|error| format!("{error}{}", std::fs::read_to_string(&log).unwrap_or_default()))?;
    assert_eq!(manager.show("StatusText")?, "Serving");
    let said = std::fs::read_to_string(&log)?;
    let address = said.lines().find_map(|line| line.strip_prefix("LISTEN ")).ok_or("it listens nowhere")?;
    let client = Client { address: address.parse()? };
    let film = stack.film("a.mkv")?;
    let watch = async || {
        let answer = client.ask(Method::GET, &stack.link(film), &[]).await?;
        assert_eq!(answer.status, 200);
        film.compare(0, &answer.body)
    };
    watch().await?;

    let old = manager.show("MainPID")?;
    manager.systemctl(&["reload", "gateway.service"])?;
    watch().await?;
    assert_eq!(manager.show("MainPID")?, old);

    manager.systemctl(&["kill", "--kill-whom=main", "--signal=QUIT", "gateway.service"])?;
    eventually("another main process", async || Ok(manager.show("MainPID")? != old)).await?;
    watch().await?;
    eventually("the end of the first", async || Ok(!is_alive(&old))).await?;
    // The manager has seen it by now, or sees it before it answers what follows.
    watch().await?;
    let new = manager.show("MainPID")?;
    assert_eq!((manager.show("ActiveState")?.as_str(), is_alive(&new)), ("active", true));
    assert_eq!(manager.show("NRestarts")?, "0");

    // Not by a stop: where cgroups are of the first kind, as in some containers, systemd kills a main process that it did not start itself without
    // waiting for its end. That it hears of the end is seen either way.
    manager.systemctl(&["kill", "--kill-whom=main", "--signal=TERM", "gateway.service"])?;
    eventually("the unit's end", async || Ok(manager.show("ActiveState")? != "active" && !is_alive(&new))).await?;
    eventually("its last word", async || Ok(manager.show("ActiveState")? != "deactivating")).await?;
    let ended = (manager.show("Result")?, manager.show("ExecMainStatus")?, manager.show("ActiveState")?);
    let said = std::fs::read_to_string(&log)?;
    assert_eq!(ended, ("success".to_owned(), "0".to_owned(), "inactive".to_owned()), "{said}");
    Ok(())
}
