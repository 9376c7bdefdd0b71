//! The simulator as a program: what it prints, what it writes, how it's steered, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a check that can't go on stops")]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Client, sha256};
use serde_json::{Value, json};
use telegram_sim::SessionSeed;

/// A running program and the lines it printed before READY.
struct Running {
    child: Child,
    lines: Vec<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    fn start(arguments: &[&str]) -> Self {
        let mut child = program(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = stdout.lines().map(Result::unwrap).take_while(|line| line != "READY").collect();
        Self { child, lines }
    }

    /// What follows a word, of every line that begins with it.
    fn after(&self, word: &str) -> Vec<&str> {
        self.lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' ')).collect()
    }

    fn stop(mut self, signal: &str) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_telegram-sim"));
    command.args(arguments);
    command
}

fn library(folder: &Path) -> HashMap<String, Vec<u8>> {
    let long: Vec<u8> = (0..1_500_000_u32).map(|index| (index / 7) as u8).collect();
    let files = [("a film.mp4", long), ("empty.bin", Vec::new()), ("sub/notes.txt", b"hello".to_vec())];
    std::fs::create_dir(folder.join("sub")).unwrap();
    for (name, content) in &files {
        std::fs::File::create(folder.join(name)).unwrap().write_all(content).unwrap();
    }
    std::fs::File::create(folder.join(".hidden")).unwrap();
    let name = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    files.into_iter().map(|(path, content)| (name(path), content)).collect()
}

/// Speaks with a control socket.
fn converse(stream: impl std::io::Read + Write, commands: &[Value]) -> Vec<Value> {
    let mut stream = BufReader::new(stream);
    let mut answers = Vec::new();
    for command in commands {
        writeln!(stream.get_mut(), "{command}").unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        answers.push(serde_json::from_str(&line).unwrap());
    }
    answers
}

#[tokio::test]
async fn a_library_is_served_as_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let (films, seeds) = (folder.path().join("films"), folder.path().join("seeds"));
    std::fs::create_dir(&films).unwrap();
    let files = library(&films);
    let (films, seeds) = (films.to_str().unwrap(), seeds.to_str().unwrap());
    let running = Running::start(&["run", "--library", films, "--seeds", seeds, "--foreign", "alternate"]);
    assert_eq!((running.after("DC").len(), running.after("SEED").len()), (2, 3));
    let pem = std::fs::read_to_string(running.after("RSA")[0]).unwrap();
    let key = program(&["key"]).output().unwrap();
    assert_eq!(String::from_utf8(key.stdout).unwrap(), pem);

    let path = running.after("SEED")[0].strip_prefix("bot-1 ").unwrap();
    let seed: SessionSeed = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let client = Client::from_seed(seed);
    client.carry_to(4).await.unwrap();
    let mut found = Vec::new();
    for line in running.after("FILE") {
        let fields: Vec<_> = line.splitn(5, ' ').collect();
        let (chat, message, size, dc, name) = (fields[0], fields[1], fields[2], fields[3], fields[4]);
        let channel = chat.strip_prefix("-100").unwrap().parse().unwrap();
        let document = client.document(channel, message.parse().unwrap()).await.unwrap();
        assert_eq!((document.dc_id.to_string().as_str(), document.size.to_string().as_str()), (dc, size), "{line}");
        let content = client.download(&document, 4).await.unwrap();
        assert_eq!(sha256(&content), sha256(&files[name]), "{line}");
        found.push((dc.to_owned(), name.to_owned()));
    }
    let expected = [("2", "a film.mp4"), ("4", "empty.bin"), ("2", "notes.txt")];
    assert_eq!(found, expected.map(|(dc, name)| (dc.to_owned(), name.to_owned())));
    assert_eq!(running.stop("-TERM"), Some(0));
}

#[tokio::test]
async fn it_is_steered_over_both_kinds_of_socket() {
    let folder = tempfile::tempdir().unwrap();
    let world = folder.path().join("world.toml");
    let text = r#"
        [[account]]
        name = "bot-1"
        user_id = 7000000001
        bot = true
        [[channel]]
        id = 1700000001
        title = "Films"
        [[channel.message]]
        id = 2
        document = { dc = 2, text = "first", name = "a.txt" }
    "#;
    std::fs::File::create(&world).unwrap().write_all(text.as_bytes()).unwrap();
    let socket = folder.path().join("control.sock");
    let unix = format!("unix:{}", socket.display());
    for address in ["127.0.0.1:0", &unix] {
        let running = Running::start(&["run", "--world", world.to_str().unwrap(), "--control", address]);
        let commands = [
            json!({ "do": "seeds" }),
            json!({ "do": "add_fault", "rule": { "method": "upload.getFile", "then": { "flood_wait": 5 } } }),
            json!({ "do": "faults" }),
            json!({ "do": "clear_faults" }),
            json!({ "do": "shape", "shape": { "rtt_ms": 1, "flood": { "budget_bytes": 5, "wait_seconds": 9 } } }),
            json!({ "do": "get_shape" }),
            json!({ "do": "reachability", "dc": 4, "state": "silent" }),
            json!({ "do": "replace_document", "chat_id": -1_001_700_000_001_i64, "message_id": 2,
                    "document": { "dc": 2, "text": "second", "name": "b.txt" } }),
            json!({ "do": "documents" }),
            json!({ "do": "expire_references" }),
            json!({ "do": "new_key", "dc": 2 }),
            json!({ "do": "ban", "account": "bot-1" }),
            json!({ "do": "delete_message", "chat_id": -1_001_700_000_001_i64, "message_id": 2 }),
            json!({ "do": "counters" }),
            json!({ "do": "reset_counters" }),
        ];
        let control = running.after("CONTROL")[0];
        let answers = match control.strip_prefix("unix:") {
            Some(path) => converse(std::os::unix::net::UnixStream::connect(path).unwrap(), &commands),
            None => converse(std::net::TcpStream::connect(control).unwrap(), &commands),
        };
        for (command, answer) in commands.iter().zip(&answers) {
            assert_eq!(answer["ok"], true, "{command}: {answer}");
        }
        assert_eq!(answers[2]["result"][0]["rule"]["then"]["flood_wait"], 5);
        assert_eq!((&answers[5]["rtt_ms"], &answers[5]["flood"]["wait_seconds"]), (&json!(1), &json!(9)));
        assert_eq!(answers[8]["result"][0]["name"], "b.txt");
        assert_eq!(answers[10]["key"].as_str().unwrap().len(), 512);
        let wrong = [
            json!({ "do": "nonsense" }),
            json!({ "do": "remove_fault", "id": 99 }),
            json!({ "do": "delete_message", "chat_id": 1, "message_id": 2 }),
            json!({ "do": "reachability", "dc": 77, "state": "up" }),
            json!(["not", "a", "command"]),
        ];
        let answers = match control.strip_prefix("unix:") {
            Some(path) => converse(std::os::unix::net::UnixStream::connect(path).unwrap(), &wrong),
            None => converse(std::net::TcpStream::connect(control).unwrap(), &wrong),
        };
        for (command, answer) in wrong.iter().zip(&answers) {
            assert_eq!(answer["ok"], false, "{command}: {answer}");
            assert!(!answer["error"].as_str().unwrap().is_empty());
        }
        assert_eq!(running.stop("-INT"), Some(0));
    }
    assert!(!socket.exists(), "the socket is taken away at the end");
}

#[test]
fn exit_codes() {
    let table: [(&[&str], i32, &str); 6] = [
        (&["--help"], 0, "Usage"),
        (&["run", "--help"], 0, "Examples:"),
        (&["run"], 2, "--library"),
        (&["run", "--library", "x", "--world", "y"], 2, "cannot be used with"),
        (&["run", "--library", "/nonexistent/folder"], 1, "/nonexistent/folder"),
        (&["run", "--world", "/nonexistent/world.toml"], 1, "/nonexistent/world.toml"),
    ];
    for (arguments, code, text) in table {
        let output = program(arguments).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(text), "{arguments:?}: {said}");
    }
}
