//! Sessions that the real clients made come in, sessions go out to them, and nobody types a code twice.

use crate::rig::{CHANNEL, KIB, film, film_bytes, world};
use mtproto::{Account, Ask, ClientConfig, MessageRef, RsaKeys, SessionFolder};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use telegram_sim::{Account as SimAccount, Sim, rsa_public_pem};
use tempfile::TempDir;

const BOT: i64 = 7001;
const USER: i64 = 7002;
const HASH: i64 = -77;
const CHAT: i64 = -1_000_000_000_000 - CHANNEL;

/// A simulated Telegram, and a folder for everything else.
pub(crate) struct Bench {
    pub(crate) sim: Sim,
    folder: TempDir,
}

/// What a client made, and what is known of it.
struct Source {
    what: &'static str,
    /// The file's bytes, or the string for standard input.
    session: Result<PathBuf, String>,
    user_id: i64,
    /// Peers that it knows.
    peers: bool,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let accounts = vec![SimAccount::bot("bot", BOT), SimAccount::user("user", USER)];
        let sim = Sim::start(world(accounts, vec![film(2, 64 * KIB)])).unwrap();
        Self { sim, folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
        self.path(name)
    }

    /// Settings with a store of its own.
    pub(crate) fn settings(&self, store: &str, more: &str) -> PathBuf {
        let centre = |id: i32| format!("{{ id = {id}, address = \"{}\" }}", self.sim.dc_addr(id).unwrap());
        let text = format!(
            "listen = \"unix:{0}/{store}.sock\"\ntoken = \"t\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
             [store]\nfolder = \"{0}/{store}\"\n{more}\n[telegram]\napi_id = 5\ndata_centres = [{1}, {2}]\n",
            self.folder.path().display(),
            centre(2),
            centre(4)
        );
        self.write(&format!("{store}.toml"), &text)
    }

    /// Has one of the clients do something; `fork` is where it is installed, if not in the environment itself.
    fn client(&self, what: &str, account: &str, fork: Option<&Path>, more: Value) -> Value {
        let seed = self.sim.seeds().into_iter().find(|seed| seed.account == account).unwrap();
        let address = self.sim.dc_addr(seed.home_dc).unwrap();
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap().keep();
        let mut job = json!({
            "what": what, "ip": address.ip().to_string(), "port": address.port(), "dc": seed.home_dc, "api_id": seed.api_id,
            "api_hash": seed.api_hash, "rsa": rsa_public_pem(), "folder": folder, "user_id": seed.user_id, "bot": seed.bot,
            "auth_key": seed.auth_keys[&seed.home_dc], "access_hash": HASH,
        });
        job.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        let path = folder.join("job.json");
        serde_json::to_writer(std::fs::File::create(&path).unwrap(), &job).unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/sessions.py");
        let mut command = Command::new(&installed()[0]);
        if let Some(fork) = fork {
            command.env("PYTHONPATH", fork);
        }
        let output = command.arg(script).arg(&path).output().unwrap();
        assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn sign_ins(&self) -> u64 {
        let counts = self.sim.counters().snapshot();
        ["auth.sendCode", "auth.signIn", "auth.importBotAuthorization"].iter().map(|method| counts.calls(method)).sum()
    }

    /// Whom Telegram takes the session for. With `fetch`, a film's beginning is fetched first, before anybody knows who the account is.
    async fn sign_in(&self, store: &Path, fetch: bool) -> i64 {
        let sessions = SessionFolder::open(store).unwrap();
        let name = sessions.accounts().unwrap().remove(0);
        let addresses = [2, 4].map(|dc| (dc, self.sim.dc_addr(dc).unwrap()));
        let config = ClientConfig {
            addresses: Arc::new(HashMap::from(addresses)),
            rsa_keys: RsaKeys::from_pem(&rsa_public_pem()).unwrap(),
            connections: 1,
            ..ClientConfig::default()
        };
        let account = Account::open(&sessions, &name, Arc::new(config)).unwrap();
        if fetch {
            let film = account.locate(MessageRef { chat_id: CHAT, message_id: 1 }).await.unwrap();
            let bytes = account.get_chunk(&film, 0, 4096, &Ask::new(true)).await.unwrap();
            assert!(bytes == film_bytes(2, 64 * KIB, 0, 4096));
        }
        account.bring_up().await.unwrap();
        account.close().await.unwrap();
        account.info().user_id
    }
}

/// The interpreter, and the folders of Pyrogram and Pyrofork; made on the first use.
fn installed() -> &'static [PathBuf] {
    static INSTALLED: OnceLock<Vec<PathBuf>> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/setup.sh");
        let output = Command::new(setup).output().expect("clients/setup.sh can be run");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().lines().map(PathBuf::from).collect()
    })
}

pub(crate) fn hive(arguments: &[&str], input: Option<&str>) -> Output {
    hive_with(arguments, input, &[])
}

pub(crate) fn hive_with(arguments: &[&str], input: Option<&str>, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker-hive"));
    command.args(arguments).envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who doesn't read its input may have ended by now.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

pub(crate) fn ok(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

pub(crate) fn failed(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn sources(bench: &Bench) -> Vec<Source> {
    let text = |made: &Value| Err(made["string"].as_str().unwrap().to_owned());
    let file = |made: &Value| Ok(PathBuf::from(made["file"].as_str().unwrap()));
    let telethon = bench.client("telethon_sign_in", "user", None, json!({ "phone": "999660007002", "code": "12345" }));
    let kurigram = bench.client("pyrogram_sign_in", "bot", None, json!({ "token": "7001:bot" }));
    let source = |what, session, user_id, peers| Source { what, session, user_id, peers };
    let mut sources = vec![
        source("a Telethon string", text(&telethon), USER, false),
        source("a Telethon file", file(&telethon), USER, true),
        source("a Kurigram string", text(&kurigram), BOT, false),
        source("a Kurigram file", file(&kurigram), BOT, false),
    ];
    let forks = [
        ("Kurigram by its storage", None),
        ("Pyrogram", Some(installed()[1].as_path())),
        ("Pyrofork", Some(installed()[2].as_path())),
    ];
    for (what, fork) in forks {
        let made = bench.client("pyrogram_make", "bot", fork, json!({}));
        sources.push(source(what, text(&made), BOT, false));
        sources.push(source(what, file(&made), BOT, true));
        let old = made["old"].as_array().unwrap();
        sources.extend(old.iter().map(|old| source(what, Err(old.as_str().unwrap().to_owned()), BOT, false)));
    }
    let journal = sources[5].session.as_ref().unwrap().with_extension("session-wal");
    assert!(journal.metadata().unwrap().len() > 0, "all that Kurigram's file holds is in its journal");
    sources
}

#[tokio::test]
async fn sessions_of_the_real_clients_are_signed_in_here_without_another_code() {
    let bench = Bench::new();
    let sources = sources(&bench);
    let before = bench.sign_ins();
    assert!(before >= 3, "the clients signed in: {before}");
    for (at, source) in sources.iter().enumerate() {
        let what = source.what;
        let config = bench.settings(&format!("store-{at}"), "");
        let mut arguments = vec!["import", "--config", config.to_str().unwrap()];
        let imported = match &source.session {
            Ok(file) => {
                let untouched = std::fs::read(file).unwrap();
                arguments.push(file.to_str().unwrap());
                let output = hive(&arguments, None);
                assert!(std::fs::read(file).unwrap() == untouched, "{what}: an import changes no file");
                output
            }
            Err(string) if at % 2 == 0 => {
                arguments.extend(["--name", "mine", "-"]);
                hive(&arguments, Some(&format!("# {what}\n\n{string}\n")))
            }
            // The prompt, which takes a line from standard input where there is no terminal.
            Err(string) => hive(&arguments, Some(&format!("{string}\n"))),
        };
        let out = ok(&imported);
        assert!(out.starts_with("imported "), "{what}: {out}");
        let store = bench.path(&format!("store-{at}"));
        let sessions = SessionFolder::open(&store).unwrap();
        let name = sessions.accounts().unwrap().remove(0);
        let peers: Vec<_> = sessions.export(&name).unwrap().peers().collect();
        assert_eq!(peers.iter().any(|(id, _)| *id == CHAT), source.peers, "{what}: {peers:?}");
        // The hash in what a storage alone made is a made-up one.
        let fetch = !source.peers || source.user_id == USER;
        assert_eq!(bench.sign_in(&store, fetch).await, source.user_id, "{what}");
    }
    assert_eq!(bench.sign_ins(), before, "nobody was asked for a code or a token again");
}

#[test]
fn exported_strings_are_taken_by_the_real_clients() {
    let bench = Bench::new();
    let seeds = bench.write("seeds.json", &serde_json::to_string(&bench.sim.seeds()).unwrap());
    let config = bench.settings("store", "");
    let config = config.to_str().unwrap();
    ok(&hive(&["import", "--config", config, seeds.to_str().unwrap()], None));
    let export = |format: &str, name: &str| {
        let file = bench.path(&format!("{name}.{format}"));
        let out = file.to_str().unwrap();
        let exported = hive(&["export", "--config", config, "--format", format, "--output", out, name], None);
        let said = ok(&exported);
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let text = std::fs::read_to_string(&file).unwrap().trim().to_owned();
        assert!(!said.contains(&text) && !String::from_utf8_lossy(&exported.stderr).contains(&text));
        let printed = ok(&hive(&["export", "--config", config, "--format", format, "--yes-print-secret", name], None));
        assert_eq!(printed.trim(), text);
        let again = hive(&["export", "--config", config, "--format", format, "--output", out, name], None);
        assert!(failed(&again).contains("exists"), "no file is written over");
        text
    };
    for (name, id) in [("user", USER), ("bot", BOT)] {
        let (telethon, pyrogram) = (export("telethon", name), export("pyrogram", name));
        let me = bench.client("telethon_accept", name, None, json!({ "string": telethon }));
        assert_eq!(me["me"], id);
        let me = bench.client("pyrogram_accept", name, None, json!({ "string": pyrogram }));
        assert_eq!(me["me"], id);
        let seed = bench.sim.seeds().into_iter().find(|seed| seed.account == name).unwrap();
        // Who has other layers of the protocol than the simulator reads the string all the same.
        for fork in installed()[1..].iter().filter(|_| name == "bot") {
            let seen = bench.client("pyrogram_load", name, Some(fork), json!({ "string": pyrogram }));
            let expected =
                json!({ "dc": 2, "auth_key": seed.auth_keys[&2], "me": id, "bot": seed.bot, "api_id": seed.api_id });
            assert_eq!(seen, expected);
        }
        let other = bench.settings(&format!("other-{name}"), "");
        let text = export("json", name);
        ok(&hive(&["import", "--config", other.to_str().unwrap(), "-"], Some(&text)));
    }
    let neither = hive(&["export", "--config", config, "--format", "json", "bot"], None);
    assert_eq!(neither.status.code(), Some(2), "onto the screen only if that is said");
    assert!(
        failed(&hive(&["export", "--config", config, "--format", "json", "--yes-print-secret", "no"], None))
            .contains("no session named")
    );
}

#[test]
fn what_can_not_come_in_is_named_but_not_shown() {
    let bench = Bench::new();
    let config = bench.settings("store", "");
    let config = config.to_str().unwrap();
    let import = |more: &[&str], input: &str| hive(&[&["import", "--config", config], more].concat(), Some(input));
    let good = bench.client("pyrogram_make", "bot", None, json!({}));
    let (string, file) = (good["string"].as_str().unwrap(), good["file"].as_str().unwrap());
    let secret = &string[60..90];
    let two = format!("{string}\n{}", &string[..300]);
    let cases: [(&[&str], &str, &str); 6] = [
        (&["-"], &string[..300], "standard input, line 1: not a session string"),
        (&["-"], &two, "standard input, line 2: not a session string"),
        (&["-"], "", "nothing is in it"),
        (&["--name", "../x", "-"], string, "`account` must be 1 to 64 characters"),
        (&["--name", "x", "-", file], string, "--name names one session, and there are 2"),
        (&["-"], "{\"account\":\"x\"}", "not a session seed"),
    ];
    for (more, input, expected) in cases {
        let error = failed(&import(more, input));
        assert!(error.contains(expected) && !error.contains(secret), "{error}");
    }
    assert!(
        SessionFolder::open(&bench.path("store")).unwrap().accounts().unwrap().is_empty(),
        "nothing came in by halves"
    );
    assert_eq!(ok(&import(&["--name", "one", "-"], string)), "imported one\n");
    let error = failed(&import(&["--name", "two", "-"], string));
    assert!(error.contains("the key of `one`") && !error.contains(secret), "{error}");
    assert_eq!(ok(&import(&["--name", "two", "--skip-existing", "-"], string)), "kept two\n");
    let old = good["old"][0].as_str().unwrap();
    let text = std::fs::read_to_string(config).unwrap().replace("api_id = 5\n", "");
    let silent = bench.write("silent.toml", &text.replace("/store\"", "/silent\""));
    let silent = silent.to_str().unwrap();
    let error = failed(&hive(&["import", "--config", silent, "-"], Some(old)));
    assert!(error.contains("--api-id"), "{error}");
    ok(&hive(&["import", "--config", silent, "--api-id", "9", "-"], Some(old)));
}
