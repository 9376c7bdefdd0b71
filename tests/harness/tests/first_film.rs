//! The README's "From nothing to a film", as somebody types it who has nothing yet: the real programs, in a shell and at a terminal, before
//! a simulated Telegram. Its lines are run as they stand there, but for what is the reader's own.

use harness::{Client, Failure, Process, Terminal, binary};
use http::Method;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::task::spawn_blocking;

const API_ID: &str = "1000001";
const HASH: &str = "0123456789abcdef0123456789abcdef";
const PHONE: &str = "999660000001";
const CODE: &str = "24680";
const PASSWORD: &str = "correct horse";
/// The film's message, another than the README's.
const MESSAGE: &str = "17";
/// Longest wait for a command to end, or for a listener.
const PATIENCE: Duration = Duration::from_secs(60);

/// An account with a password, and a film that doesn't lie where the account is at home.
fn world(film: &Path) -> String {
    format!(
        "api_id = {API_ID}\napi_hash = \"{HASH}\"\n\
         [[account]]\nname = \"reader\"\nuser_id = 5000000001\nphone = \"{PHONE}\"\ncode = \"{CODE}\"\npassword = \"{PASSWORD}\"\n\
         [[channel]]\nid = 1700000041\ntitle = \"Not these\"\nusername = \"not_these\"\n\
         [[channel.message]]\nid = 1\ntext = \"hello\"\n\
         [[channel]]\nid = 1700000042\ntitle = \"My films\"\n\
         [[channel.message]]\nid = {MESSAGE}\ndocument = {{ dc = 4, file = \"{}\" }}\n",
        film.display()
    )
}

/// The shell blocks of the README's section: the settings and the commands.
fn blocks() -> Result<(String, Vec<String>), Failure> {
    let readme = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md"))?;
    let section = readme.split("\n## From nothing to a film\n").nth(1).ok_or("the README has no such section")?;
    let section = section.split("\n## ").next().unwrap_or_default();
    let mut blocks = section.split("```sh\n").skip(1).map(|block| block.split("```").next().unwrap_or_default());
    let (settings, commands) = (blocks.next().ok_or("no settings")?, blocks.next().ok_or("no commands")?);
    assert!(blocks.next().is_none(), "the test knows of two blocks");
    Ok((settings.to_owned(), commands.lines().map(str::to_owned).collect()))
}

/// Puts the reader's own in the place of the example's, which must be there.
fn own(line: &str, example: &str, own: &str) -> String {
    assert!(line.contains(example), "{line:?} lacks {example:?}");
    line.replace(example, own)
}

struct Reader {
    home: TempDir,
    /// The README's folder, below home.
    folder: PathBuf,
    /// With the programs in it.
    path: String,
}

impl Reader {
    fn new() -> Result<Self, Failure> {
        let home = tempfile::Builder::new().prefix("streamvault-").tempdir()?;
        let programs = binary("gateway")?;
        let programs = programs.parent().ok_or("no folder of programs")?.display();
        let path = format!("{programs}:{}", std::env::var("PATH")?);
        Ok(Self { folder: home.path().join("films"), home, path })
    }

    fn shell(&self, folder: &Path, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-euc", script]).current_dir(folder).env("PATH", &self.path);
        command
    }

    /// Runs lines to their end.
    async fn run(&self, folder: &Path, script: &str) -> Result<String, Failure> {
        let mut command = tokio::process::Command::from(self.shell(folder, script));
        let output = command.kill_on_drop(true).output();
        let output = tokio::time::timeout(PATIENCE, output).await??;
        assert!(output.status.success(), "{script}\n{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts what a line leaves running in the background.
    fn start(&self, line: &str, log: &str) -> Result<Process, Failure> {
        let script = format!("cd '{}' && PATH='{}' exec {line}", self.folder.display(), self.path);
        Ok(Process::start(Path::new("/bin/sh"), &["-c", &script], &self.home.path().join(log))?)
    }

    /// Puts settings before those of a file: they make the test's Telegram and ports out of the real ones.
    fn prepend(&self, file: &str, settings: &str) -> Result<(), Failure> {
        let file = self.folder.join(file);
        let text = std::fs::read_to_string(&file)?;
        put(&file, &format!("{settings}{text}"))
    }
}

#[expect(clippy::disallowed_methods, reason = "a test writes into its temporary folder")]
fn put(file: &Path, text: &str) -> Result<(), Failure> {
    Ok(std::fs::write(file, text)?)
}

/// Types what the sign-in asks for.
fn sign_in(command: &Command) {
    let mut screen = Terminal::run(command);
    for (question, answer, hidden) in [
        ("API hash: ", HASH, true),
        ("Phone number (with country code): ", PHONE, false),
        ("Code (nothing: send it another way): ", CODE, false),
        ("Password: ", PASSWORD, true),
    ] {
        screen.wait_for(question);
        assert_eq!(screen.echoes(), !hidden, "{question}");
        screen.type_line(answer);
    }
    screen.wait_for("signed in user-5000000001: user 5000000001");
    let (status, all) = screen.end();
    assert!(status.success(), "{all}");
    assert!(!all.contains(HASH) && !all.contains(PASSWORD), "{all}");
}

/// The gateway says its address before it listens on it.
async fn listening(address: &str) -> Result<(), Failure> {
    let wait = async {
        while TcpStream::connect(address).await.is_err() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, wait).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_readme_leads_from_nothing_to_a_film() -> Result<(), Failure> {
    let (settings, commands) = blocks()?;
    let [login, run, channels, sign, play] = commands.as_slice() else {
        return Err(format!("not five commands: {commands:?}").into());
    };
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples/sample.mp4").canonicalize()?;
    let reader = Reader::new()?;
    let home = reader.home.path();
    put(&home.join("world.toml"), &world(&source))?;
    let mut sim = Process::start(
        &binary("telegram-sim")?,
        &["run", "--world", &home.join("world.toml").to_string_lossy()],
        &home.join("sim.log"),
    )?;
    let mut centres = String::new();
    while let Some(line) = sim.next_line().await.filter(|line| line != "READY") {
        if let ["DC", id, ip, port] = line.split(' ').collect::<Vec<_>>().as_slice() {
            centres += &format!("{{ id = {id}, address = \"{ip}:{port}\" }}, ");
        }
    }

    reader.run(home, &settings).await?;
    let key = home.join("rsa.pem");
    reader.run(home, "telegram-sim key > rsa.pem").await?;
    let elsewhere = "admin = { address = \"127.0.0.1:0\" }\n";
    let telegram = format!("telegram = {{ rsa_keys = \"{}\", data_centres = [{centres}] }}\n", key.display());
    reader.prepend("worker-hive.toml", &(elsewhere.to_owned() + &telegram))?;
    reader.prepend("gateway.toml", &(elsewhere.to_owned() + "listen = [{ address = \"127.0.0.1:0\" }]\n"))?;

    let login = reader.shell(&reader.folder, &own(login, "12345", API_ID));
    spawn_blocking(move || sign_in(&login)).await?;
    let (hive, gateway) = run.strip_suffix(" &").and_then(|run| run.split_once(" & ")).ok_or("not two programs")?;
    let mut hive = reader.start(hive, "hive.log")?;
    hive.wait_for("LISTEN").await?;
    let mut gateway = reader.start(gateway, "gateway.log")?;
    let address = gateway.wait_for("LISTEN").await?;
    listening(&address).await?;
    let listed = reader.run(&reader.folder, channels).await?;
    let row = listed.lines().find(|line| line.ends_with("  My films")).ok_or_else(|| listed.clone())?;
    assert!(listed.contains("  @not_these  user-5000000001  Not these\n"), "{listed}");
    let chat = row.split(' ').next().unwrap_or_default();
    let sign = own(sign, "/-1001700000001/2/", &format!("/{chat}/{MESSAGE}/"));
    let sign = own(&sign, "127.0.0.1:8080", &address);
    let url = reader.run(&reader.folder, &format!("{sign}\n{play}\necho \"$url\"")).await?;

    let film = std::fs::read(&source)?;
    let played = reader.folder.join("film.mp4");
    assert!(std::fs::read(&played)? == film, "another film");
    match Command::new("ffprobe").args(["-v", "error", "-show_entries", "format=nb_streams"]).arg(&played).output() {
        Ok(output) => assert!(output.status.success() && output.stderr.is_empty(), "{output:?}"),
        Err(error) => println!("the film was not probed, as ffprobe can't be run: {error}"),
    }
    let client = Client { address: address.parse()? };
    let target = url.trim().strip_prefix(&format!("http://{address}")).ok_or("another base")?;
    for (range, status, bytes) in [(None, 200, &film[..]), (Some("bytes=100000-199999"), 206, &film[100_000..200_000])]
    {
        let headers: Vec<_> = range.iter().map(|range| ("range", *range)).collect();
        let answer = client.ask(Method::GET, target, &headers).await?;
        assert_eq!((answer.status.as_u16(), &answer.broken), (status, &None), "{range:?}");
        assert!(answer.body == bytes, "{range:?}");
    }
    assert!(
        gateway.signal("TERM").await && hive.signal("TERM").await && sim.signal("TERM").await,
        "all three end well"
    );
    Ok(())
}
