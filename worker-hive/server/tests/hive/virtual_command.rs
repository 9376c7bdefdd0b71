//! `worker-hive virtual` as an operator types it, at a running hive.

use crate::command::{Desk, download, text};
use crate::rig::{CHANNEL, MIB};
use std::process::{Command, Stdio};
use telegram_sim::Document;

#[tokio::test]
async fn files_are_added_shown_listed_and_removed() {
    let part = |name: &str, seed| Document::generated(name, 2, MIB, seed);
    let desk = Desk::with(vec![part("a b.mkv.2", 1), part("a b.mkv.1", 2), part("notes.txt", 3)]);
    let ask = |arguments: &[&str]| {
        let all: Vec<&str> = ["virtual", arguments[0], "--config", "hive.toml"]
            .into_iter()
            .chain(arguments[1..].iter().copied())
            .collect();
        text(&desk.run(&all))
    };
    assert_eq!(desk.run(&["import", "--config", "hive.toml", "seeds.json"]).status.code(), Some(0));
    let (code, _, err) = ask(&["list"]);
    assert!(code == 1 && err.contains("hive.sock can't be asked, see that it runs"), "{err}");
    let log = std::fs::File::create(desk.folder.path().join("log")).unwrap();
    let run = ["run", "--config", "hive.toml"];
    let mut hive = desk.command(&run).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    // Returns once the hive answers.
    download(&desk.folder.path().join("hive.sock")).await;
    let message = |id: i32| format!("-100{CHANNEL}/{id}");
    let (first, second, notes) = (message(1), message(2), message(3));

    let (code, out, err) = ask(&["add", "--by-names", &first, &second]);
    assert_eq!(code, 0, "{err}");
    let slug = out.strip_prefix("added ").and_then(|rest| rest.split(' ').next()).unwrap().to_owned();
    assert_eq!(out, format!("added {slug} a b.mkv (2097152 bytes in 2 parts): /v/{slug}/a b.mkv\n"));
    let (code, out, err) =
        ask(&["add", "--slug", "my-notes", "--name", "notes.txt", "--content-type", "text/plain", &notes]);
    assert!(code == 0 && out.starts_with("added my-notes notes.txt (1048576 bytes in 1 parts)"), "{out}{err}");
    for (arguments, needle) in [
        (&["add", "--slug", "my-notes", "--name", "x", &first][..], "--replace"),
        (&["add", "--by-names", &first, &notes], "part 2 (-1001234567890/3): \"notes.txt\" has no part number"),
        (&["add", "--by-names", &first], "part 1 is missing"),
        (&["add", &message(99)], "part 1 (-1001234567890/99): no session sees"),
        (&["show", "nothing"], "there is no such virtual file"),
        (&["remove", "nothing"], "there is no such virtual file"),
    ] {
        let (code, out, err) = ask(arguments);
        assert!(code == 1 && out.is_empty() && err.contains(needle), "{arguments:?}: {code} {out}{err}");
    }
    let (code, out, _) = ask(&["add", "--slug", "my-notes", "--replace", "--name", "y.mkv", &first]);
    assert!(code == 0 && out.starts_with("added my-notes y.mkv"), "{out}");
    let (_, out, _) = ask(&["show", &slug]);
    assert!(
        out.contains(&format!("part  1  {second}  1048576  ")) && out.contains(&format!("part  2  {first}  ")),
        "{out}"
    );
    let (_, out, _) = ask(&["list"]);
    assert!(out.starts_with("SLUG") && out.lines().count() == 3 && out.contains("a b.mkv"), "{out}");
    let (code, out, _) = ask(&["remove", &slug]);
    assert_eq!((code, out), (0, format!("removed {slug}\n")));
    let (_, out, _) = ask(&["list"]);
    assert!(out.lines().count() == 2 && out.contains("my-notes"), "{out}");
    let (code, _, _) = ask(&["add", "-1001/x"]);
    assert_eq!(code, 2, "wrong usage");

    let pid = hive.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(tokio::task::spawn_blocking(move || hive.wait().unwrap().code()).await.unwrap(), Some(0));
    assert!(!desk.folder.path().join("store/catalog.sqlite-wal").exists(), "the journal was folded in");
}
