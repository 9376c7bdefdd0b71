//! Sessions that the real clients made come in, sessions go out to them, and nobody types a code twice.

use crate::rig::{CHANNEL, KIB, Rig, film, world};
use mtproto::{Account, ClientConfig, RsaKeys, SessionFolder, Setting, StoreKey};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use telegram_sim::{Account as SimAccount, Sim, rsa_public_pem};
use tempfile::TempDir;

const BOT: i64 = 7001;
const USER: i64 = 7002;
const HASH: i64 = -77;
const CHAT: i64 = -1_000_000_000_000 - CHANNEL;

/// A simulated Telegram, and a folder for everything else.
struct Bench {
    sim: Sim,
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
    fn new() -> Self {
        let accounts = vec![SimAccount::bot("bot", BOT), SimAccount::user("user", USER)];
        let sim = Sim::start(world(accounts, vec![film(2, 64 * KIB)])).unwrap();
        Self { sim, folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::File::create(self.path(name)).unwrap().write_all(text.as_bytes()).unwrap();
        self.path(name)
    }

    /// Settings with a store of its own.
    fn settings(&self, store: &str, more: &str) -> PathBuf {
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

    /// Whom Telegram takes the session for.
    async fn sign_in(&self, store: &Path) -> i64 {
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

fn hive(arguments: &[&str], input: Option<&str>) -> Output {
    hive_with(arguments, input, &[])
}

fn hive_with(arguments: &[&str], input: Option<&str>, environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_worker-hive"));
    command.args(arguments).envs(environment.iter().copied());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // Who doesn't read its input may have ended by now.
    let _ = stdin.write_all(input.unwrap_or_default().as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

fn ok(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn failed(output: &Output) -> String {
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
        assert_eq!(bench.sign_in(&store).await, source.user_id, "{what}");
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
        for fork in [None, Some(installed()[1].as_path()), Some(installed()[2].as_path())] {
            let seen = bench.client("pyrogram_load", name, fork, json!({ "string": pyrogram }));
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

#[test]
fn a_store_is_encrypted_by_its_next_run_and_opens_with_its_key_alone() {
    let bench = Bench::new();
    let seeds = bench.write("seeds.json", &serde_json::to_string(&bench.sim.seeds()).unwrap());
    let plain = bench.settings("store", "");
    ok(&hive(&["import", "--config", plain.to_str().unwrap(), seeds.to_str().unwrap()], None));
    let (key, other) = (bench.path("store.key"), bench.path("other.key"));
    for file in [&key, &other] {
        ok(&hive(&["keygen", file.to_str().unwrap()], None));
    }
    let sealed = bench.settings("store", &format!("key_file = \"{}\"", key.display()));
    let sealed = sealed.to_str().unwrap();
    let mut run = Command::new(env!("CARGO_BIN_EXE_worker-hive"));
    let mut run = run.args(["run", "--config", sealed]).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(run.stdout.take().unwrap());
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert!(line.starts_with("LISTEN "), "{line}");
    assert!(Command::new("kill").args(["-TERM", &run.id().to_string()]).status().unwrap().success());
    lines.read_to_string(&mut line).unwrap();
    assert!(run.wait().unwrap().success());
    for seed in bench.sim.seeds() {
        let auth_key = seed.auth_key(2).unwrap();
        for entry in std::fs::read_dir(bench.path("store")).unwrap() {
            let path = entry.unwrap().path();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            assert!(!path.to_str().unwrap().ends_with("-wal"), "journals are folded in");
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(16).any(|window| window == &auth_key[..16]), "{}", path.display());
        }
    }
    let sessions =
        |environment: &[(&str, &str)], config: &str| hive_with(&["sessions", "--config", config], None, environment);
    assert!(ok(&sessions(&[], sealed)).contains("bot"));
    let text = std::fs::read_to_string(&key).unwrap();
    let bare = bench.settings("store", "");
    let bare = bare.to_str().unwrap();
    assert!(failed(&sessions(&[], bare)).contains("no key is configured"));
    assert!(ok(&sessions(&[("STREAMVAULT_STORE_KEY", text.trim())], bare)).contains("bot"));
    let wrong = std::fs::read_to_string(&other).unwrap();
    let error = failed(&sessions(&[("STREAMVAULT_STORE_KEY", wrong.trim())], bare));
    assert!(error.contains("with another key") && !error.contains(wrong.trim()), "{error}");
    let sealed = bench.settings("store", &format!("key_file = \"{}\"", key.display()));
    let sealed = sealed.to_str().unwrap();
    assert!(failed(&sessions(&[("STREAMVAULT_STORE_KEY", text.trim())], sealed)).contains("leave one of them out"));
    let change = ["rekey", "--config", sealed, "--to", other.to_str().unwrap()];
    assert_eq!(ok(&hive(&change, None)).lines().count(), 3);
    assert!(failed(&sessions(&[], sealed)).contains("with another key"));
    assert!(ok(&sessions(&[("STREAMVAULT_STORE_KEY", wrong.trim())], bare_again(&bench).as_str())).contains("user"));
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o640)).unwrap();
    let sealed = bench.settings("store", &format!("key_file = \"{}\"", other.display()));
    assert!(failed(&sessions(&[], sealed.to_str().unwrap())).contains("chmod 600"));
}

fn bare_again(bench: &Bench) -> String {
    bench.settings("store", "").to_str().unwrap().to_owned()
}

#[tokio::test]
async fn sessions_are_shown_as_they_run_and_taken_out_of_service() {
    let key = StoreKey::parse(&"7".repeat(64)).unwrap();
    let accounts = vec![SimAccount::bot("ann", BOT), SimAccount::bot("ben", 7003)];
    let rig = Rig::start_with(accounts, vec![film(2, 64 * KIB)], |options| options.store_key = Some(key.clone())).await;
    let admin = rig.hive().admin().unwrap();
    let text = format!(
        "token = \"t\"\n[admin]\naddress = \"{admin}\"\n[store]\nfolder = \"{}\"\n",
        rig.path_in_folder("store").display()
    );
    let config = rig.path_in_folder("hive.toml");
    std::fs::File::create(&config).unwrap().write_all(text.as_bytes()).unwrap();
    let config = config.to_str().unwrap().to_owned();
    let command = move |more: &[&str]| {
        let arguments: Vec<String> = more.iter().map(|text| (*text).to_owned()).collect();
        let config = config.clone();
        tokio::task::spawn_blocking(move || {
            let (action, rest) = arguments.split_at(arguments.len().min(1));
            let action = action.iter().map(String::as_str);
            let all: Vec<&str> = ["sessions"].into_iter().chain(action).chain(["--config", &config]).collect();
            let all: Vec<&str> = all.into_iter().chain(rest.iter().map(String::as_str)).collect();
            hive_with(&all, None, &[("STREAMVAULT_STORE_KEY", &"7".repeat(64))])
        })
    };
    rig.until_metric("hive_session_up{session=\"ann\"} 1").await;
    let table = ok(&command(&[]).await.unwrap());
    let head = table.lines().next().unwrap();
    let ann = table.lines().find(|line| line.starts_with("ann")).unwrap();
    assert!(head.contains("STATE") && head.contains("FLOOD UNTIL") && head.contains("LAST ERROR"), "{table}");
    assert!(ann.contains("0/15") && ann.contains("MB/s") && ann.contains("7001"), "{table}");
    assert!(failed(&command(&["disable", "carl"]).await.unwrap()).contains("no session named `carl`"));
    assert_eq!(ok(&command(&["disable", "ann"]).await.unwrap()), "disabled ann\n");
    let sessions = SessionFolder::open(&rig.path_in_folder("store")).unwrap().with_key(Some(key));
    assert!(sessions.setting("ann", Setting::Disabled).unwrap().is_some());
    let shown = async {
        while !ok(&command(&[]).await.unwrap()).lines().any(|line| line.starts_with("ann") && line.contains("disabled"))
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), shown).await.expect("the hive sees that ann is disabled");
    assert_eq!(ok(&command(&["enable", "ann"]).await.unwrap()), "enabled ann\n");
    assert_eq!(ok(&command(&["remove", "ann"]).await.unwrap()), "removed ann\n");
    assert_eq!(sessions.accounts().unwrap(), ["ben"]);
    rig.get(1, None).await.whole();
}
