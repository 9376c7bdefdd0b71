//! The `worker-hive` command as an operator types it.

use crate::rig::{CHANNEL, MIB, TOKEN, film, film_bytes, path, sha, world};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use telegram_sim::{Account, Document, Sim};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

pub(crate) struct Desk {
    pub(crate) sim: Sim,
    pub(crate) folder: TempDir,
}

impl Desk {
    fn new() -> Self {
        Self::with(vec![film(4, 5 * MIB)])
    }

    pub(crate) fn with(films: Vec<Document>) -> Self {
        let accounts = vec![Account::bot("bot", 7001), Account::user("user", 7002)];
        let sim = Sim::start(world(accounts, films)).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let desk = Self { sim, folder };
        let root = desk.folder.path();
        let centre = |id: i32| format!("{{ id = {id}, address = \"{}\" }}", desk.sim.dc_addr(id).unwrap());
        let text = format!(
            "listen = \"unix:{0}/hive.sock\"\ntoken = \"{TOKEN}\"\n[admin]\naddress = \"127.0.0.1:0\"\n[store]\nfolder = \"{0}/store\"\n\
             [telegram]\napi_id = 1\ndata_centres = [{1}, {2}]\n[log]\nlevel = \"trace\"\n",
            root.display(),
            centre(2),
            centre(4)
        );
        desk.write("hive.toml", &text);
        desk.write("seeds.json", &serde_json::to_string(&desk.sim.seeds()).unwrap());
        desk
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::File::create(self.folder.path().join(name)).unwrap().write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker-hive"));
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }
}

pub(crate) fn text(output: &Output) -> (i32, String, String) {
    let read = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), read(&output.stdout), read(&output.stderr))
}

#[tokio::test]
async fn import_check_sessions_and_run() {
    let desk = Desk::new();
    let (code, out, err) = text(&desk.run(&["import", "--config", "hive.toml", "seeds.json"]));
    assert_eq!((code, out.as_str()), (0, "imported bot\nimported user\n"), "{err}");
    let again = text(&desk.run(&["import", "--config", "hive.toml", "seeds.json"]));
    assert!(again.0 == 1 && again.2.contains("there is a session named `bot` already"), "{again:?}");
    let skipped = text(&desk.run(&["import", "--config", "hive.toml", "--skip-existing", "seeds.json"]));
    assert_eq!((skipped.0, skipped.1.as_str()), (0, "kept bot\nkept user\n"));
    let (code, out, err) = text(&desk.run(&["check", "--config", "hive.toml"]));
    assert!(code == 0 && out.starts_with("ok: 2 session(s) in "), "{out}{err}");
    let (code, out, _) = text(&desk.run(&["sessions", "--config", "hive.toml"]));
    assert!(code == 0 && out.lines().count() == 3 && out.contains("bot      bot   unknown  7001     2"), "{out}");

    // Into a file: a pipe that nobody reads would block the hive in its own log.
    let stderr = std::fs::File::create(desk.folder.path().join("log")).unwrap();
    let run = ["run", "--config", "hive.toml"];
    let child = desk.command(&run).stdout(Stdio::piped()).stderr(stderr).spawn().unwrap();
    let body = download(&desk.folder.path().join("hive.sock")).await;
    assert!(sha(&body) == sha(&film_bytes(4, 5 * MIB, 0, 5 * MIB)));
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    let (code, out, _) = text(&tokio::task::spawn_blocking(|| child.wait_with_output().unwrap()).await.unwrap());
    let log = std::fs::read_to_string(desk.folder.path().join("log")).unwrap();
    assert_eq!(code, 0, "{log}");
    assert!(out.starts_with("LISTEN unix:/") && out.contains("\nADMIN 127.0.0.1:"), "{out}");
    assert!(log.contains("account is up") && log.contains("upload.getFile") && log.contains("from-test"), "{log}");
    // Everything is logged, and yet nothing that would let a reader act as the account or as a gateway.
    assert!(!log.contains(TOKEN));
    for seed in desk.sim.seeds() {
        for dc in [2, 4] {
            let key = seed.auth_key(dc).unwrap();
            let listed = key[..8].iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
            assert!(!log.contains(&seed.auth_keys[&dc][..16]) && !log.contains(&listed), "a key is in the log");
        }
    }
    let (_, out, _) = text(&desk.run(&["sessions", "--config", "hive.toml"]));
    assert!(out.contains("2,4"), "where it was authorized is kept: {out}");
}

pub(crate) async fn download(socket: &Path) -> Vec<u8> {
    let connect = async {
        loop {
            match UnixStream::connect(socket).await {
                Ok(stream) => break stream,
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let mut stream = tokio::time::timeout(Duration::from_secs(30), connect).await.unwrap();
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {TOKEN}\r\nX-Request-ID: from-test\r\nConnection: close\r\n\r\n",
        path(1)
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains(&format!("-100{CHANNEL}")), "{head}");
    answer.split_off(end)
}

#[test]
fn wrong_usage_and_failures_are_told_apart_and_helped() {
    let desk = Desk::new();
    for arguments in [&[][..], &["run"], &["import"], &["melt"], &["run", "--config"]] {
        let (code, out, err) = text(&desk.run(arguments));
        assert!(code == 2 && out.is_empty() && err.contains("--help"), "{arguments:?}: {code} {err}");
    }
    for arguments in
        [&["--help"][..], &["run", "--help"], &["import", "--help"], &["sessions", "--help"], &["check", "--help"]]
    {
        let (code, out, _) = text(&desk.run(arguments));
        assert!(code == 0 && out.contains("Example"), "{arguments:?}: {out}");
    }
    desk.write("typo.toml", "tokn = \"x\"\n");
    desk.write("bad.json", "{\"account\": \"x\", \"auth_keys\": {\"2\": \"deadbeef\"}");
    for (arguments, needle) in [
        (&["check", "--config", "missing.toml"][..], "missing.toml"),
        (&["check", "--config", "typo.toml"], "token"),
        (&["import", "--config", "hive.toml", "bad.json"], "bad.json: not a session seed, at line 1"),
        (&["import", "--config", "hive.toml", "none.json"], "none.json"),
        (&["run", "--config", "hive.toml"], "the session store is empty"),
    ] {
        let (code, out, err) = text(&desk.run(arguments));
        assert!(code == 1 && out.is_empty() && err.contains(needle), "{arguments:?}: {code} {out} {err}");
        assert!(!err.contains("deadbeef"));
    }
}

#[test]
fn a_session_s_route_is_set_and_no_secret_is_an_argument_or_shown() {
    let desk = Desk::new();
    assert_eq!(desk.run(&["import", "--config", "hive.toml", "seeds.json"]).status.code(), Some(0));
    let route = |arguments: &[&str]| {
        let all = [&["sessions", "route", "--config", "hive.toml", "bot"], arguments].concat();
        let (code, out, err) = text(&desk.run(&all));
        assert!(!format!("{out}{err}").contains("s3cret"), "{out}{err}");
        (code, out, err)
    };
    let shows = |expected: &str| {
        let (code, out, err) = route(&[]);
        assert_eq!((code, out), (0, format!("bot: {expected}\n")), "{err}");
    };
    shows("the hive's own");
    assert_eq!(route(&["socks5://127.0.0.1:1080?ip=6"]).1, "bot: socks5://127.0.0.1:1080?ip=6\n");
    let (code, _, err) = route(&["http://user:s3cret@127.0.0.1:1"]);
    assert!(code == 1 && err.contains("is no argument"), "{err}");
    shows("socks5://127.0.0.1:1080?ip=6");
    desk.write("route", "http://user:s3cret@127.0.0.1:1\n");
    assert_eq!(route(&["--file", "route"]).0, 0);
    shows("http://[hidden]@127.0.0.1:1");
    let mut child = desk.command(&["sessions", "route", "--config", "hive.toml", "user", "-"]);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let link = format!("tg://proxy?server=127.0.0.1&port=9&secret=dd{}", "5c".repeat(16));
    child.stdin.take().unwrap().write_all(link.as_bytes()).unwrap();
    assert_eq!(text(&child.wait_with_output().unwrap()).1, "user: mtproxy://[hidden]@127.0.0.1:9\n");
    for (wrong, words) in [("ftp://s3cret", "a route is"), ("mtproxy://ees3cret@h:1", "must be 16 bytes")] {
        desk.write("route", wrong);
        let (code, _, err) = route(&["--file", "route"]);
        assert!(code == 1 && err.contains(words), "{err}");
    }
    assert_eq!(desk.run(&["check", "--config", "hive.toml"]).status.code(), Some(0));
    assert_eq!(route(&["--unset"]).1, "bot: the hive's own\n");
    shows("the hive's own");
    let settings = std::fs::read_to_string(desk.folder.path().join("hive.toml")).unwrap();
    desk.write("wrong.toml", &format!("{settings}[route]\nurl = \"ftp://s3cret\"\n"));
    let (code, out, err) = text(&desk.run(&["check", "--config", "wrong.toml"]));
    assert!(code == 1 && err.contains("route.url: ") && !format!("{out}{err}").contains("s3cret"), "{err}");
}
