//! The moments in which a gateway starts, or is about to be replaced: signals, takedowns and revocations that come just then. A start is held up
//! by a pipe in the place of one of its files, for as long as the test wants.
#![expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]

use harness::{Failure, Settings, Signal, Stack, binary, eventually};
use http::Method;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

/// What the file of the month's bytes holds where nobody has a quota.
const NOTHING: &str = "{\"name\":\"\",\"month\":\"\",\"sent\":{}}";

fn pipe(at: &Path) -> Result<(), Failure> {
    let made = std::process::Command::new("mkfifo").arg(at).status()?;
    if made.success() { Ok(()) } else { Err(format!("mkfifo {}", at.display()).into()) }
}

/// A gateway that waits at its access log. It has its sockets by then, and nothing else.
struct Starting {
    child: tokio::process::Child,
    pipe: PathBuf,
    log: PathBuf,
}

impl Starting {
    async fn new(stack: &Stack) -> Result<Self, Failure> {
        let folder = stack.folder();
        let [socket, pipe, log] = ["start.sock", "access.log", "start.log"].map(|name| folder.join(name));
        let _ = std::fs::remove_file(&socket);
        let child = tokio::process::Command::new(binary("gateway")?)
            .args(["run", "--config"])
            .arg(folder.join("gateway.toml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .kill_on_drop(true)
            .spawn()?;
        let starting = Self { child, pipe, log };
        let bound = eventually("it has its sockets", async || Ok(socket.exists())).await;
        bound.map_err(|error| format!("{error}: {}", starting.said()))?;
        Ok(starting)
    }

    fn signal(&self, stack: &Stack, signal: Signal) -> Result<(), Failure> {
        stack.signal_process(self.child.id().ok_or("it has ended")?, signal)
    }

    /// Lets it go on, and reads its log from then on.
    fn go_on(&self) {
        let pipe = self.pipe.clone();
        std::thread::spawn(move || {
            std::fs::File::open(pipe).and_then(|mut log| std::io::copy(&mut log, &mut std::io::sink()))
        });
    }

    fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    async fn ended(&mut self) -> Result<ExitStatus, Failure> {
        Ok(tokio::time::timeout(std::time::Duration::from_secs(20), self.child.wait()).await??)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn signals_that_come_during_a_start_are_not_lost() -> Result<(), Failure> {
    let mut stack = Stack::start(Settings::default().film("a.mkv", 1000)).await?;
    stack.gateway.take().ok_or("no gateway")?.kill().await;
    let folder = stack.folder().to_owned();
    stack.set_gateway("log.access", &format!("{{ file = \"{}\" }}", folder.join("access.log").display()))?;
    stack.set_gateway("listen", &format!("[{{ address = \"unix:{}\" }}]", folder.join("start.sock").display()))?;
    pipe(&folder.join("access.log"))?;

    // Told to end, it ends, although it waits for something else.
    for signal in [Signal::TERM, Signal::INT] {
        let mut starting = Starting::new(&stack).await?;
        starting.signal(&stack, signal)?;
        let status = starting.ended().await?;
        assert!(status.success(), "{signal:?}: {status}: {}", starting.said());
    }
    // Told to reload, it does when it serves.
    let mut starting = Starting::new(&stack).await?;
    for signal in [Signal::HUP, Signal::XFSZ] {
        starting.signal(&stack, signal)?;
    }
    starting.go_on();
    eventually("it reloads", async || Ok(starting.said().contains("the settings were read again"))).await?;
    starting.signal(&stack, Signal::TERM)?;
    let status = starting.ended().await?;
    assert!(status.success(), "{status}: {}", starting.said());
    Ok(())
}

/// A stack without Redis whose next gateway waits, with the folders already its own, until its pipe is written to.
struct Held {
    stack: Stack,
    pipe: PathBuf,
    /// After the stack: what writes there ends first.
    _tenants: tempfile::TempDir,
}

impl Held {
    async fn start() -> Result<Self, Failure> {
        let tenants = tempfile::tempdir()?;
        let settings = ["a.mkv", "b.mkv", "c.mkv"].iter().fold(Settings::default(), |s, name| s.film(name, 1 << 20));
        let settings = settings
            .gateway("tenants.folder", &format!("\"{}\"", tenants.path().display()))
            .tenant("a", "link.id_parameter", "\"id\"")
            .tenant("a", "link.expression", "\"$arg_id $secure_link_expires$uri $secret\"");
        let stack = Stack::start(settings).await?;
        let held = stack.folder().join("cache/sent.json");
        pipe(&held)?;
        Ok(Self { stack, pipe: held, _tenants: tenants })
    }

    /// Has it hand over, and gives its number when the next one has the folders.
    async fn hands_over(&self) -> Result<u32, Failure> {
        // Its number is said a moment after its addresses.
        eventually("it serves", async || Ok(self.stack.serving().is_some())).await?;
        let pid = self.stack.signal_gateway(Signal::QUIT)?;
        eventually("it lets go of the folders", async || {
            let told = self.stack.admin.api(Method::POST, "/v1/reload", None).await?;
            match told.status {
                200 => Ok(false),
                503 => Ok(told.headers.contains_key("retry-after")),
                other => Err(format!("{other}: {}", told.body).into()),
            }
        })
        .await?;
        Ok(pid)
    }

    /// What the one that waits reads.
    fn let_read(&self, text: &'static str) {
        let pipe = self.pipe.clone();
        std::thread::spawn(move || std::fs::write(pipe, text));
    }

    /// A link to a film that can be revoked by this id.
    async fn link(&self, name: &str, id: &str) -> Result<String, Failure> {
        let path = self.stack.path(self.stack.film(name)?);
        let link = self.stack.gateway_command(&["sign", "--path", &path, "--id", id, "--tenant", "a"]).await?.done()?;
        Ok(link.trim().to_owned())
    }

    async fn status(&self, link: &str) -> Result<u16, Failure> {
        let headers = [("host", "a.test"), ("range", "bytes=0-9")];
        Ok(self.stack.client.ask(Method::GET, link, &headers).await?.status.as_u16())
    }

    async fn take_down(&self, name: &str) -> Result<String, Failure> {
        let path = self.stack.path(self.stack.film(name)?);
        self.stack.gateway_command(&["takedown", "add", &path, "--by", "a", "--reason", "b"]).await?.done()
    }

    fn on_disk(&self, name: &str) -> Result<bool, Failure> {
        let film = self.stack.film(name)?;
        let line = format!("/stream/{}/{}\t", film.chat_id, film.message_id);
        Ok(std::fs::read_to_string(self.stack.takedown_file())?.contains(&line))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_operators_do_in_the_middle_of_an_upgrade_is_done() -> Result<(), Failure> {
    let held = Held::start().await?;
    let [a, b, c] =
        [held.link("a.mkv", "one").await?, held.link("b.mkv", "two").await?, held.link("c.mkv", "two").await?];
    for link in [&a, &b, &c] {
        assert_eq!(held.status(link).await?, 206);
    }
    let revoke = ["auth", "revoke", "--tenant", "a", "--for", "1d", "--link"];
    held.stack.gateway_command(&[&revoke[..], &["one"]].concat()).await?.done()?;
    assert_eq!(held.status(&a).await?, 410);

    // While nobody else serves yet a takedown is in force at once, and the next one puts it on the disk.
    let old = held.hands_over().await?;
    held.take_down("b.mkv").await?;
    assert_eq!(held.status(&b).await?, 451);
    eventually("the takedown is on the disk", async || held.on_disk("b.mkv")).await?;
    assert_eq!(held.stack.serving(), Some(old), "the other one still waits");
    let tenant = serde_json::json!({ "id": "new", "settings": { "domains": ["new.test"], "channels": [-1] } });
    let refused = held.stack.admin.api(Method::POST, "/v1/tenants", Some(&tenant)).await?;
    assert_eq!(refused.status, 503, "nobody would know of it: {refused:?}");
    held.let_read(NOTHING);
    let new = held.stack.successor_of(Some(old)).await?;
    assert_eq!(held.stack.admin.api(Method::POST, "/v1/tenants", Some(&tenant)).await?.status, 201);
    assert_eq!((held.status(&a).await?, held.status(&b).await?), (410, 451), "from its first answer on");
    assert_eq!(held.status(&held.link("a.mkv", "three").await?).await?, 206);

    // One that fails: what was done meanwhile stays done, and changes are taken again.
    assert_eq!(held.hands_over().await?, new);
    held.take_down("c.mkv").await?;
    held.let_read("{");
    eventually("it takes back", async || {
        Ok(held.stack.admin.api(Method::POST, "/v1/reload", None).await?.status == 200)
    })
    .await?;
    assert_eq!((held.stack.serving(), held.status(&c).await?), (Some(new), 451));
    assert!(held.on_disk("c.mkv")? && held.on_disk("b.mkv")?);

    // Told to end in the middle, both do.
    assert_eq!(held.hands_over().await?, new);
    held.stack.signal_process(new, Signal::TERM)?;
    eventually("nobody is left", async || Ok(held.stack.gateways().is_empty())).await?;
    Ok(())
}

/// Who ends at once takes along whom it was starting: nobody else would end that one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigint_in_the_middle_of_an_upgrade_leaves_nobody() -> Result<(), Failure> {
    let held = Held::start().await?;
    let old = held.hands_over().await?;
    assert_eq!(held.stack.gateways().len(), 2);
    held.stack.signal_process(old, Signal::INT)?;
    eventually("nobody is left", async || Ok(held.stack.gateways().is_empty())).await?;
    Ok(())
}
